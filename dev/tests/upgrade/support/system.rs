//! An api and a worker of one release.

use rustix::process::Signal;

use super::{process::Process, release::Release};
use crate::eventually::eventually;

/// Both, ready.
pub(crate) struct System {
    pub(crate) version: String,
    pub(crate) api: Process,
    pub(crate) worker: Process,
    /// The worker's identity.
    pub(crate) worker_id: i64,
}

impl System {
    pub(crate) async fn start(release: &Release, url: &str, settings: &[(&str, &str)]) -> Self {
        let settings = [&[("API_DRAIN_DELAY", "500ms")], settings].concat();
        let api = Process::start(release, "api", url, &settings).await;
        let worker = Process::start(release, "worker", url, &settings).await;
        api.ready().await;
        worker.ready().await;
        let registered =
            |line: &serde_json::Value| (line["message"] == "registered").then(|| line["worker.id"].as_i64()).flatten();
        let worker_id = eventually(async || worker.lines().iter().find_map(registered)).await;
        Self { version: release.version.clone(), api, worker, worker_id }
    }

    /// Tells both to stop at once, and waits until they have done so in order.
    pub(crate) async fn stop(&mut self) {
        self.api.signal(Signal::TERM);
        self.worker.signal(Signal::TERM);
        for (name, process) in [("api", &mut self.api), ("worker", &mut self.worker)] {
            assert_eq!(process.ended().await, Some(0), "{name} {} did not stop in order", self.version);
        }
    }

    /// What either has held against the schema since it was ready.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let lines = [self.api.lines(), self.worker.lines()].concat();
        let is_complaint = |line: &&serde_json::Value| {
            // While Postgres does not answer, nothing is known.
            line["dependency"] == "schema"
                && line["reason"].as_str().is_some_and(|reason| !reason.starts_with("unknown"))
        };
        lines.iter().filter(is_complaint).map(ToString::to_string).collect()
    }
}
