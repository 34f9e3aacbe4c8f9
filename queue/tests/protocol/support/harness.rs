//! The operations of the queue, as the specifications name them.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use local_pg::testing::TestDatabase;
use queue::{
    Lane, NewTask, Status, TaskId,
    cancel::{Cancelled, cancel},
    claim::{Claimed, Floors, claim},
    finish::{Fenced, Finished, Outcome, finish},
    inspect::{self, Filter, Page, Task},
    promote::{Promoted, promote},
    requeue::{Reason, Requeued, Returned, requeue},
    rescue::{Rescued, rescue},
    retry::{Retried, retry},
    session,
    submit::{Stored, Submission, store},
    workers::{self, Pulse, Registration, WorkerId},
};
use service::database::{Database, Session};

use super::{On, invariants, sql, tasks};

/// Heartbeats are moved by hand, so no test waits for it.
pub(crate) const LEASE_TTL: Duration = Duration::from_secs(30);
/// Rows a claim may lock where a specification does not care.
const ROWS: usize = 1000;

/// A queue in a database of its own.
pub(crate) struct Harness {
    /// For what must be on disk: submit, finish, requeue, rescue, by hand.
    pub(crate) durable: AsyncPgConnection,
    /// For claims and heartbeats.
    pub(crate) volatile: AsyncPgConnection,
    /// For more connections.
    pub(crate) database: Database,
    _kept: TestDatabase,
}

impl Harness {
    pub(crate) async fn new(on: On) -> Self {
        let kept = on.database().await;
        let database = Database::from_url(kept.url(), "test").unwrap_or_else(|failure| panic!("{failure}"));
        let durable = database.connect(session::DURABLE).await.unwrap();
        let volatile = database.connect(session::VOLATILE).await.unwrap();
        Self { durable, volatile, database, _kept: kept }
    }

    /// Another connection, with the settings of the processes.
    pub(crate) async fn connect(&self, session: Session) -> AsyncPgConnection {
        self.database.connect(session).await.unwrap()
    }

    // What is submitted

    pub(crate) async fn submit(&mut self, tasks: Vec<NewTask>) -> Vec<TaskId> {
        let submission = Submission::new(tasks);
        let stored = store(&self.durable, &submission).await.unwrap();
        assert!(matches!(stored, Stored::Now(_)), "{stored:?}");
        submission.ids().to_vec()
    }

    pub(crate) async fn submit_one(&mut self, task: NewTask) -> TaskId {
        self.submit(vec![task]).await[0]
    }

    /// So many plain tasks.
    pub(crate) async fn submit_plain(&mut self, count: usize) -> Vec<TaskId> {
        self.submit(tasks::several(count, &tasks::task())).await
    }

    // Workers

    pub(crate) async fn worker(&mut self) -> WorkerId {
        self.worker_of(&[tasks::QUEUE], &[tasks::KIND]).await
    }

    pub(crate) async fn worker_of(&mut self, queues: &[&str], kinds: &[&str]) -> WorkerId {
        register(&mut self.durable, queues, kinds).await
    }

    pub(crate) async fn heartbeat(&mut self, worker: WorkerId) -> Pulse {
        workers::heartbeat(&mut self.volatile, worker).await.unwrap()
    }

    pub(crate) async fn deregister(&mut self, worker: WorkerId) {
        workers::deregister(&mut self.durable, worker).await.unwrap();
    }

    /// The worker is not heard of for a little longer than its lease lasts.
    pub(crate) async fn silence(&mut self, worker: WorkerId) {
        silence(&mut self.durable, worker).await;
    }

    pub(crate) async fn rescue(&mut self) -> Rescued {
        rescue(&mut self.durable).await.unwrap()
    }

    /// The worker dies and is found dead.
    pub(crate) async fn bury(&mut self, worker: WorkerId) -> Rescued {
        self.silence(worker).await;
        self.rescue().await
    }

    // What a worker does

    /// Claims plain tasks, from the front.
    pub(crate) async fn claim(&mut self, worker: WorkerId, tasks: usize) -> Vec<Claimed> {
        self.claim_from(worker, tasks, ROWS, &[tasks::default_lane()]).await
    }

    pub(crate) async fn claim_from(
        &mut self,
        worker: WorkerId,
        tasks: usize,
        rows: usize,
        lanes: &[Lane],
    ) -> Vec<Claimed> {
        let mut claimed = claim(&mut self.volatile, worker, tasks, rows, lanes, &mut Floors::default()).await.unwrap();
        claimed.sort_by_key(|task| task.id);
        claimed
    }

    pub(crate) async fn claim_one(&mut self, worker: WorkerId) -> Claimed {
        self.claim(worker, 1).await.pop().expect("a task to claim")
    }

    pub(crate) async fn finish(&mut self, worker: WorkerId, finished: &[Finished]) -> Vec<Fenced> {
        finish(&mut self.durable, worker, finished).await.unwrap()
    }

    /// Finishes all of them in the same way.
    pub(crate) async fn finish_all(&mut self, worker: WorkerId, tasks: &[Claimed], outcome: Outcome) -> Vec<Fenced> {
        let finished: Vec<_> = tasks.iter().map(|task| finished(task, outcome.clone())).collect();
        self.finish(worker, &finished).await
    }

    pub(crate) async fn requeue(&mut self, worker: WorkerId, returned: &[Returned]) -> Vec<Requeued> {
        requeue(&mut self.durable, worker, returned).await.unwrap()
    }

    /// Gives all of them back in the same way.
    pub(crate) async fn requeue_all(&mut self, worker: WorkerId, tasks: &[Claimed], reason: Reason) -> Vec<Requeued> {
        let returned: Vec<_> = tasks.iter().map(|task| returned(task, reason.clone())).collect();
        self.requeue(worker, &returned).await
    }

    pub(crate) async fn promote(&mut self) -> Promoted {
        promote(&mut self.volatile).await.unwrap()
    }

    /// Everything that is scheduled is due.
    pub(crate) async fn let_due(&mut self) {
        sql::run(&mut self.durable, "UPDATE taskrow.scheduled SET run_at = run_at - interval '10 years'").await;
    }

    // By hand

    pub(crate) async fn cancel(&mut self, id: TaskId) -> Cancelled {
        cancel(&mut self.durable, id).await.unwrap()
    }

    pub(crate) async fn retry(&mut self, id: TaskId) -> Retried {
        retry(&mut self.durable, id).await.unwrap()
    }

    pub(crate) async fn find(&mut self, id: TaskId) -> Option<Task> {
        inspect::get(&mut self.volatile, id).await.unwrap()
    }

    pub(crate) async fn get(&mut self, id: TaskId) -> Task {
        self.find(id).await.expect("the task exists")
    }

    pub(crate) async fn status(&mut self, id: TaskId) -> Status {
        self.get(id).await.status
    }

    /// Status and burnt attempts.
    pub(crate) async fn stand(&mut self, id: TaskId) -> (Status, i16) {
        let task = self.get(id).await;
        (task.status, task.attempt)
    }

    pub(crate) async fn list(&mut self, filter: &Filter) -> Page {
        inspect::list(&mut self.volatile, filter).await.unwrap()
    }

    // Behind the protocol

    pub(crate) async fn number(&mut self, query: &str) -> i64 {
        sql::number(&mut self.durable, query).await
    }

    pub(crate) async fn check_invariants(&mut self) {
        invariants::check(&mut self.durable).await;
    }
}

pub(crate) async fn register(connection: &mut AsyncPgConnection, queues: &[&str], kinds: &[&str]) -> WorkerId {
    let registration = Registration {
        name: "test".to_owned(),
        version: "0.0.0".to_owned(),
        lease_ttl: LEASE_TTL,
        concurrency: 10,
        queues: queues.iter().map(|queue| tasks::name(queue)).collect(),
        kinds: kinds.iter().map(|kind| tasks::name(kind)).collect(),
    };
    workers::register(connection, &registration).await.unwrap()
}

pub(crate) async fn silence(connection: &mut AsyncPgConnection, worker: WorkerId) {
    let ttl_s = LEASE_TTL.as_secs() + 1;
    // Nobody is found dead right after Postgres started.
    sql::run(connection, "SELECT pg_sleep_until(pg_postmaster_start_time() + interval '10 seconds')").await;
    sql::run(
        connection,
        &format!(
            "UPDATE taskrow.workers SET heartbeat_at = clock_timestamp() - interval '{ttl_s} s' WHERE id = {}",
            worker.0
        ),
    )
    .await;
}

pub(crate) fn finished(task: &Claimed, outcome: Outcome) -> Finished {
    Finished { lease: task.lease, id: task.id, outcome }
}

pub(crate) fn returned(task: &Claimed, reason: Reason) -> Returned {
    Returned { lease: task.lease, id: task.id, reason }
}

pub(crate) fn done() -> Outcome {
    Outcome::Done(tasks::json("{\"ok\":true}"))
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed("broken".to_owned())
}

pub(crate) fn again() -> Reason {
    Reason::Again { delay: Duration::from_secs(3600) }
}

pub(crate) fn retry_later() -> Reason {
    Reason::Retry { delay: Duration::from_secs(3600), error: "flaky".to_owned() }
}

pub(crate) fn ids(claimed: &[Claimed]) -> Vec<TaskId> {
    claimed.iter().map(|task| task.id).collect()
}
