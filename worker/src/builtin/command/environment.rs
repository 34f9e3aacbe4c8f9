//! What a program finds in its environment: nothing of the worker's but what is listed, so no password of it.

use std::{collections::BTreeMap, ffi::OsString};

use crate::handler::Context;

/// Passed on unless the operator lists others.
pub(super) const PASSED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];
/// Variables of this name say what the task is; nobody else sets them.
const OURS: &str = "TASKROW_";

/// What is the same for all tasks: variables of the worker, where it has them, then the operator's.
pub(super) fn fixed(
    inherit: &[String],
    environment: BTreeMap<String, String>,
) -> Result<Vec<(OsString, OsString)>, String> {
    for name in inherit {
        check("inherit", name)?;
    }
    for (name, value) in &environment {
        check("environment", name)?;
        if value.contains('\0') {
            return Err(format!("environment: {name} must not contain NUL"));
        }
    }
    let inherited = inherit.iter().filter_map(|name| Some((name.into(), own(name)?)));
    let given = environment.into_iter().map(|(name, value)| (name.into(), value.into()));
    Ok(inherited.chain(given).collect())
}

/// What differs from attempt to attempt.
pub(super) fn of_task(task: &Context) -> [(&'static str, String); 5] {
    [
        ("TASKROW_TASK_ID", task.id().to_string()),
        ("TASKROW_ATTEMPT", task.attempt().to_string()),
        ("TASKROW_MAX_ATTEMPTS", task.max_attempts().to_string()),
        ("TASKROW_QUEUE", task.queue().to_owned()),
        ("TASKROW_KIND", task.kind().to_owned()),
    ]
}

/// A variable of the worker.
#[expect(clippy::disallowed_methods, reason = "the operator's file says which variables programs get")]
pub(super) fn own(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn check(field: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(format!("{field}: {name:?} is no name of a variable"));
    }
    if name.starts_with(OURS) {
        return Err(format!("{field}: {name} is set for each task"));
    }
    Ok(())
}
