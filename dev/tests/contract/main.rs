//! The API against its own document: schemathesis makes requests from `/openapi.json`, valid ones and broken ones, and holds the answers to it.
//!
//! No answer may be a 5xx; status, content type, headers and body must be as documented; what fits the document must be accepted, and what
//! does not must be refused. What OpenAPI cannot say is in `hooks.py`. By hand, with another seed, against an API that runs:
//! `cd dev/tests/contract && ../../../.taskrow/schemathesis/bin/schemathesis run http://127.0.0.1:8080/openapi.json --seed 7`

#[path = "../support/eventually.rs"]
mod eventually;
#[path = "../upgrade/support/process.rs"]
#[expect(dead_code, reason = "each test program uses a part")]
mod process;
#[path = "../upgrade/support/release.rs"]
#[expect(dead_code, reason = "each test program uses a part")]
mod release;

use std::{path::Path, time::Duration};

use local_pg::testing;
use process::Process;
use release::Release;
use tokio::{process::Command, time};

/// The same requests each time: a failure can be had again.
const SEED: &str = "1";
/// Requests made up per operation and phase, beside those that follow from the document alone.
const EXAMPLES: &str = "40";
/// Longest run; one takes half a minute on two cores.
const LIMIT: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_the_document_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    let schemathesis = folder.join("../../../.taskrow/schemathesis/bin/schemathesis");
    assert!(schemathesis.exists(), "schemathesis is not installed: run dev/setup.sh --test");
    let database = testing::database().await;
    let release = Release::current();
    // Nobody waits: a stream of events may last an hour.
    let api = Process::start(&release, "api", database.url(), &[("API_WAITERS", "0")]).await;
    let worker = Process::start(&release, "worker", database.url(), &[]).await;
    api.ready().await;
    worker.ready().await;

    let mut command = Command::new(schemathesis);
    command
        .current_dir(folder)
        .args(["run", &format!("http://{}/openapi.json", api.address())])
        .args(["--seed", SEED, "--max-examples", EXAMPLES])
        .kill_on_drop(true);
    let ended = time::timeout(LIMIT, command.output()).await.expect("it ends in time").expect("it runs");
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{told}{}", String::from_utf8_lossy(&ended.stderr));
    let (_, document) = api.get("/openapi.json").await;
    let operations: usize = document["paths"].as_object().expect("paths").values().map(methods).sum();
    assert!(
        told.contains(&format!("Tested: {operations}\n")),
        "not all of {operations} operations were tested: {told}"
    );
    let errors: Vec<_> = api.lines().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let (_, done) = api.get("/tasks?status=done").await;
    assert!(done["tasks"].as_array().is_some_and(|tasks| !tasks.is_empty()), "no task was run: {done}");
}

fn methods(path: &serde_json::Value) -> usize {
    path.as_object().map_or(0, serde_json::Map::len)
}
