//! A full disk, as a limit on how large files may get: Postgres ignores the signal that comes with it, and its writes fail.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use service::exit::Failure;

/// No file may grow beyond this. Tables of a run are larger soon, and so is three quarters of each file of the log.
const LIMIT: u64 = 4 * 1024 * 1024;

/// Limits a server: its postmaster, from which new processes inherit, and those it has.
pub fn fill(postmaster: u32) -> Result<(), Failure> {
    limit(postmaster, Some(LIMIT))
}

/// Takes the limits away, of whatever is still there.
pub fn free(postmaster: u32) -> Result<(), Failure> {
    limit(postmaster, None)
}

fn limit(postmaster: u32, soft: Option<u64>) -> Result<(), Failure> {
    // The postmaster first: what it starts meanwhile inherits.
    for pid in [vec![postmaster], children(postmaster)?].concat() {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
        let Ok(before) = prlimit(Some(pid), Resource::Fsize, Rlimit { current: soft, maximum: None }) else { continue };
        // The hard limit of others could not be raised again; there is none on the machines this runs on.
        if before.maximum.is_some() {
            return Err(Failure::software("this machine limits the size of files; a full disk cannot be tried"));
        }
    }
    Ok(())
}

/// The processes whose parent this is. Those that end meanwhile are left out.
fn children(parent: u32) -> Result<Vec<u32>, Failure> {
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in parentheses, may hold anything; then come the state and the parent.
        let after = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        after.split_whitespace().nth(1).and_then(|text| text.parse().ok()) == Some(parent)
    };
    let entries = fs::read_dir("/proc").map_err(Failure::software)?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter(is_child).collect())
}
