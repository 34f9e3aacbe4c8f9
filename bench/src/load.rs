//! Tasks put into the database before the clock starts.

use queue::{
    Json, Lane, NewTask, ReadyBatch,
    submit::{Submission, store},
    task::{DEFAULT_MAX_ATTEMPTS, DEFAULT_TIMEOUT, Name, Options, Start},
};
use service::exit::Failure;

use crate::server::Bench;

/// Tasks stored in one statement.
const PAGE: usize = 4096;

/// Stores no-op tasks (kind `echo`), with payloads of so many bytes.
pub(crate) async fn load(bench: &mut Bench, tasks: usize, payload_bytes: usize) -> Result<(), Failure> {
    let payload = Json::parse(payload(payload_bytes).as_bytes()).map_err(Failure::usage)?;
    let name = |text: &str| Name::new(text).map_err(Failure::usage);
    let task = NewTask {
        options: Options {
            lane: Lane { queue: name("default")?, kind: name("echo")? },
            priority: 0,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            timeout: DEFAULT_TIMEOUT,
            start: Start::Now,
        },
        payload,
        callback_url: None,
    };
    let mut left = tasks;
    while left > 0 {
        let page = left.min(PAGE);
        let submission = Submission::new(vec![task.clone(); page]);
        bench.link.run(async |connection| store(connection, &submission).await).await.map_err(Failure::software)?;
        let ready =
            submission.batches().map(|(id, options)| ReadyBatch { id, lane: options.lane.clone(), priority: 0 });
        bench.publish(ready.collect()).await?;
        left -= page;
    }
    Ok(())
}

/// `{"input":"xx.."}` of so many bytes, and at least of 13.
pub(crate) fn payload(bytes: usize) -> String {
    format!(r#"{{"input":"{}"}}"#, "x".repeat(bytes.saturating_sub(12).max(1)))
}
