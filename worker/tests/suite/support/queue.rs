//! One database: submitting to it and looking into it.

use std::time::Duration;

use ::queue::{
    Json, Lane, NewTask, ReadyBatch, TaskId, inspect, overview, session,
    submit::{Stored, Submission, store},
    task::{Name, Options, Start, Status},
};
use local_pg::{
    Server,
    testing::{self, TestDatabase},
};
use service::{
    database::{Database, Link},
    tasks::Tasks,
};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{
    backend::{Backend, Submitter},
    eventually,
    proxy::Proxy,
    worker::Servers,
};

/// A migrated database, a connection to it that mends itself, and what tells workers of its tasks.
pub(crate) struct Queue {
    _database: TestDatabase,
    /// As superuser, for the test itself.
    pub(crate) url: String,
    /// What workers connect to: by their role, which may do what they need and no more. (As superuser where nothing is migrated.)
    pub(crate) worker_url: String,
    link: Mutex<Link>,
    submitter: Submitter,
    backend: Backend,
}

/// A task for the queue `default`, to be started at once.
pub(crate) fn task(kind: &str, payload: &str) -> NewTask {
    let lane = Lane { queue: name("default"), kind: name(kind) };
    let timeout = Duration::from_secs(60);
    let options = Options { lane, priority: 0, max_attempts: 5, timeout, start: Start::Now };
    NewTask { options, payload: Json::parse(payload.as_bytes()).expect("JSON"), callback_url: None }
}

/// The same task so many times.
pub(crate) fn tasks(count: usize, kind: &str, payload: &str) -> Vec<NewTask> {
    vec![task(kind, payload); count]
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

impl Queue {
    /// On the server that all tests share.
    pub(crate) async fn new() -> Self {
        Self::with(Backend::new().await).await
    }

    /// The same, with this backend instead of the one that this target is about.
    pub(crate) async fn with(backend: Backend) -> Self {
        Self::of_migrated(testing::database().await, backend)
    }

    /// On a server of the test's own.
    pub(crate) async fn on(server: &Server) -> Self {
        Self::of_migrated(testing::migrated_database(server).await, Backend::new().await)
    }

    /// Nothing is migrated yet.
    pub(crate) async fn empty() -> Self {
        Self::of(testing::empty_database().await, Backend::new().await)
    }

    fn of_migrated(database: TestDatabase, backend: Backend) -> Self {
        Self { worker_url: database.worker_url(), ..Self::of(database, backend) }
    }

    fn of(database: TestDatabase, backend: Backend) -> Self {
        let url = database.url().to_owned();
        let link = Mutex::new(connect_to(&url).link(session::DURABLE));
        let submitter = backend.submitter(connect_to(&url));
        Self { _database: database, worker_url: url.clone(), url, link, submitter, backend }
    }

    pub(crate) fn database(&self) -> Database {
        connect_to(&self.url)
    }

    /// What a worker of this process connects to.
    pub(crate) fn servers(&self) -> Servers {
        Servers { database: connect_to(&self.worker_url), dispatch: self.backend.dispatch() }
    }

    /// The same, with a proxy before the database.
    pub(crate) fn servers_by(&self, proxy: &Proxy) -> Servers {
        Servers { database: connect_to(&proxy.url(&self.worker_url)), dispatch: self.backend.dispatch() }
    }

    /// What a process of the binary is told to connect to.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        [vec![("DATABASE_URL", self.worker_url.clone())], self.backend.environment()].concat()
    }

    /// Stores tasks, and tells of them as the backend does.
    pub(crate) async fn submit(&self, tasks: Vec<NewTask>) -> Vec<TaskId> {
        let (submission, stored) = self.store(tasks).await;
        self.submitter.tell(news(&submission, &stored));
        submission.ids().to_vec()
    }

    /// Stores tasks, as often as it takes; the ids make it idempotent. Nobody is told.
    pub(crate) async fn store(&self, tasks: Vec<NewTask>) -> (Submission, Stored) {
        let submission = Submission::new(tasks);
        let stored = eventually("the tasks are stored", async || {
            self.link.lock().await.run(async |connection| store(connection, &submission).await).await.ok()
        })
        .await;
        (submission, stored)
    }

    pub(crate) async fn submit_one(&self, task: NewTask) -> TaskId {
        self.submit(vec![task]).await[0]
    }

    /// A task as it stands.
    pub(crate) async fn get(&self, id: TaskId) -> inspect::Task {
        eventually("the task can be read", async || {
            self.link.lock().await.run(async |connection| inspect::get(connection, id).await).await.ok()
        })
        .await
        .expect("every acknowledged task is found")
    }

    /// Waits until a task stands so.
    pub(crate) async fn reaches(&self, id: TaskId, status: Status) -> inspect::Task {
        eventually(&format!("task {id} is {status:?}"), async || {
            let task = self.get(id).await;
            assert!(!task.status.is_final() || task.status == status, "{task:?}");
            (task.status == status).then_some(task)
        })
        .await
    }

    /// Waits until all tasks have a recorded outcome, and gives them.
    pub(crate) async fn ended(&self, ids: &[TaskId]) -> Vec<inspect::Task> {
        eventually("all tasks have ended", async || {
            let open = "SELECT (SELECT count(*) FROM taskrow.ready) + (SELECT count(*) FROM taskrow.leases)
                             + (SELECT count(*) FROM taskrow.scheduled)";
            (self.try_count(open).await? == 0).then_some(())
        })
        .await;
        let mut all = Vec::with_capacity(ids.len());
        for id in ids {
            all.push(self.get(*id).await);
        }
        all
    }

    /// Waits until all tasks are done, each at its first attempt if `attempt` says 1, and so on.
    pub(crate) async fn done_at(&self, ids: &[TaskId], attempt: i16) {
        for task in self.ended(ids).await {
            assert_eq!((task.status, task.attempt), (Status::Done, attempt), "{task:?}");
        }
    }

    /// A number out of the database.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        eventually(sql, async || self.try_count(sql).await).await
    }

    async fn try_count(&self, sql: &str) -> Option<i64> {
        ask(&self.url, sql).await.ok()?.parse().ok()
    }

    /// Waits until a query's number is so.
    pub(crate) async fn counts(&self, expected: i64, sql: &str) {
        eventually(&format!("{expected} = {sql}"), async || {
            (self.try_count(sql).await == Some(expected)).then_some(())
        })
        .await;
    }

    /// Runs statements.
    pub(crate) async fn execute(&self, sql: &str) -> String {
        ask(&self.url, sql).await.expect(sql)
    }

    /// Makes writers of a table wait, until the answer is dropped.
    pub(crate) async fn lock(&self, table: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.expect("a connection");
        Tasks::new().spawn(connection);
        client.batch_execute(&format!("BEGIN; LOCK TABLE taskrow.{table} IN EXCLUSIVE MODE")).await.expect("locked");
        client
    }

    /// Waits until a connection with this purpose waits for a lock.
    pub(crate) async fn blocks(&self, purpose: &str) {
        let blocked = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        self.counts(1, &format!("SELECT count(*) {blocked} AND application_name LIKE '%{purpose}'")).await;
    }

    pub(crate) async fn cancel(&self, id: TaskId) -> ::queue::cancel::Cancelled {
        let mut link = self.link.lock().await;
        link.run(async |connection| ::queue::cancel::cancel(connection, id).await).await.expect("cancel")
    }

    /// What explains where a task stands.
    pub(crate) async fn explain(&self, id: TaskId) -> ::queue::explain::Facts {
        let mut link = self.link.lock().await;
        let facts = link.run(async |connection| ::queue::explain::explain(connection, id).await).await;
        facts.expect("facts").expect("every acknowledged task is found")
    }

    pub(crate) async fn pause(&self, queue: &str) {
        let mut link = self.link.lock().await;
        link.run(async |connection| overview::pause(connection, &name(queue)).await).await.expect("pause");
    }

    pub(crate) async fn resume(&self, queue: &str) {
        let mut link = self.link.lock().await;
        link.run(async |connection| overview::resume(connection, &name(queue)).await).await.expect("resume");
    }

    /// Sends a hint as other processes do.
    pub(crate) async fn hint(&self, hint: &str) {
        self.execute(&format!("SELECT pg_notify('taskrow', '{hint}')")).await;
    }
}

/// What is ready now that it is stored. Who knows only that it was stored before tells of everything: a hint too many.
fn news(submission: &Submission, stored: &Stored) -> Vec<ReadyBatch> {
    let ready = submission.batches().filter(|(id, _)| match stored {
        Stored::Now(later) => !later.contains(id),
        Stored::Before => true,
    });
    ready.map(|(id, options)| ReadyBatch { id, lane: options.lane.clone(), priority: options.priority }).collect()
}

pub(crate) fn connect_to(url: &str) -> Database {
    Database::from_url(url, "test").expect("a URL")
}

/// The last row's first column as text, by a connection of its own.
pub(crate) async fn ask(url: &str, sql: &str) -> Result<String, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    Tasks::new().spawn(connection);
    let messages = client.simple_query(sql).await?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    Ok(rows.last().unwrap_or_default())
}
