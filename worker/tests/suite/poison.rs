//! A task that kills the process it runs in, among others that do no harm. The real binary, and a real kill by the task's own program.

use std::path::Path;

use queue::{NewTask, Status, TaskId, explain};
use rustix::process::Signal;

use crate::support::{
    eventually,
    process::Process,
    queue::{Queue, task},
};

/// Its payload.
const POISON: &str = r#""kill""#;

/// Kind `act`: kills the worker if the payload says so; otherwise takes long enough to be hit by a neighbour that does.
const KINDS: &str = r#"
[kinds.act]
type = "command"
program = "/bin/sh"
arguments = ["-c", 'case "$(cat)" in *kill*) kill -KILL $PPID;; esac; sleep 0.1; echo true']
"#;

fn act(payload: &str) -> NewTask {
    let mut task = task("act", payload);
    task.options.max_attempts = 20;
    task
}

/// Starts a worker, and another one when it has died, as a supervisor does, until the task has ended. Returns the last one.
async fn supervise(queue: &Queue, kinds: &Path, until: TaskId) -> Process {
    let settings = [("WORKER_HANDLERS", kinds.to_str().expect("text")), ("PATH", "/usr/bin:/bin")];
    loop {
        let mut worker = Process::start(queue, &settings);
        let is_over = eventually("the worker dies, or the task has ended", async || {
            if queue.get(until).await.status.is_final() {
                return Some(true);
            }
            worker.has_ended().then_some(false)
        })
        .await;
        if is_over {
            return worker;
        }
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&worker.ended().await), Some(9));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_task_is_set_aside_and_its_neighbours_are_done() {
    let queue = Queue::new().await;
    let kinds = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(kinds.path(), KINDS).expect("written");
    // All of one batch, started at the same time, again and again.
    let mut batch = vec![act(r#""work""#); 5];
    batch[2] = act(POISON);
    let ids = queue.submit(batch).await;
    let rescuer = Process::start(&queue, &[("WORKER_QUEUES", "nothing")]);
    let mut worker = supervise(&queue, kinds.path(), ids[2]).await;

    let poison = queue.reaches(ids[2], Status::Failed).await;
    assert_eq!(poison.error.as_deref(), Some("set aside: 5 workers died while they held it"));
    for (place, neighbour) in queue.ended(&ids).await.iter().enumerate().filter(|(place, _)| *place != 2) {
        assert_eq!(neighbour.status, Status::Done, "place {place}: {neighbour:?}");
    }
    // The evidence: a row per death, with its worker, and the reason that explain gives.
    let told = |what: &str| {
        format!("SELECT {what} FROM taskrow.failures WHERE task_id = '{}' AND crashes IS NOT NULL", ids[2])
    };
    assert_eq!(queue.count(&told("count(DISTINCT worker)")).await, 5);
    assert_eq!(queue.execute(&told("string_agg(crashes::text, ' ' ORDER BY failed_at)")).await, "1 2 3 4 5");
    assert_eq!(
        queue.count(&told("count(*) FILTER (WHERE error LIKE 'worker % died while it held the task')")).await,
        5
    );
    let facts = queue.explain(ids[2]).await;
    assert_eq!(facts.attempts.len(), 5);
    assert!(matches!(explain::reasons(&facts)[..], [explain::Reason::SetAside { crashes: 5 }]));
    assert_eq!(
        queue.count("SELECT count(*) FROM taskrow.failures WHERE crashes IS NULL").await,
        0,
        "none of it is a failure"
    );
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0));
    drop(rescuer);
}
