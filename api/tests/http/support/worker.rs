//! A worker that does what a test tells it.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use queue::{
    Json, Lane, TaskId,
    claim::{Claimed, Floors, claim},
    finish::{Fenced, Finished, Outcome, finish},
    progress,
    requeue::{Reason, Returned, requeue},
    task::Name,
    workers::{self, Registration, WorkerId},
};

use super::TestDb;

/// Takes kind `echo` from queue `default`.
pub(crate) struct TestWorker {
    connection: AsyncPgConnection,
    pub(crate) id: WorkerId,
}

impl TestWorker {
    pub(crate) async fn register(database: &TestDb) -> Self {
        let mut connection = database.connect().await;
        let registration = Registration {
            name: "tester".to_owned(),
            version: "1".to_owned(),
            lease_ttl: Duration::from_secs(60),
            concurrency: 4,
            queues: vec![Name::new("default").unwrap()],
            kinds: vec![Name::new("echo").unwrap()],
        };
        let id = workers::register(&mut connection, &registration).await.unwrap();
        Self { connection, id }
    }

    /// Claims everything there is.
    pub(crate) async fn claim(&mut self) -> Vec<Claimed> {
        let lane = Lane { queue: Name::new("default").unwrap(), kind: Name::new("echo").unwrap() };
        claim(&mut self.connection, self.id, 1000, 1000, &[lane], &mut Floors::default()).await.unwrap()
    }

    /// Claims everything and ends each as `outcome` says.
    pub(crate) async fn finish_all(&mut self, outcome: impl Fn(TaskId) -> Outcome) {
        let claimed = self.claim().await;
        self.finish(&claimed, outcome).await;
    }

    pub(crate) async fn finish(&mut self, claimed: &[Claimed], outcome: impl Fn(TaskId) -> Outcome) {
        let finished: Vec<_> =
            claimed.iter().map(|task| Finished { lease: task.lease, id: task.id, outcome: outcome(task.id) }).collect();
        let fenced = finish(&mut self.connection, self.id, &finished).await.unwrap();
        assert!(fenced.iter().all(|fenced| *fenced == Fenced::Applied), "{fenced:?}");
    }

    /// Its attempt failed; the next one is an hour away.
    pub(crate) async fn retry_later(&mut self, task: &Claimed, error: &str) {
        let reason = Reason::Retry { delay: Duration::from_secs(3600), error: error.to_owned() };
        let returned = Returned { lease: task.lease, id: task.id, reason };
        requeue(&mut self.connection, self.id, &[returned]).await.unwrap();
    }

    pub(crate) async fn report(&mut self, task: &Claimed, value: &str) {
        let report = (task.id, task.attempt, Json::parse(value.as_bytes()).unwrap());
        progress::report(&mut self.connection, &[report]).await.unwrap();
    }
}

/// Done, with this result.
pub(crate) fn done(result: &str) -> Outcome {
    Outcome::Done(Json::parse(result.as_bytes()).unwrap())
}
