//! The least that a task on Postgres can take from being sent to being claimed: insert and commit, NOTIFY, LISTEN, claim and commit, each a
//! statement on a bare connection. No HTTP, no batches, no leases.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use service::exit::Failure;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{self, Instant},
};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Statement};

use crate::server::Bench;

const LIMIT: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Floor {
    submitter: Client,
    insert: Statement,
    notifier: Client,
    notify: Statement,
    claimer: Client,
    claim: Statement,
    _listener: Client,
    heard: mpsc::Receiver<()>,
    _drivers: JoinSet<()>,
}

impl Floor {
    /// Four connections and a table.
    pub(crate) async fn start(bench: &mut Bench) -> Result<Self, Failure> {
        bench
            .run("CREATE TABLE floor (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload json NOT NULL)")
            .await?;
        Self::connect(&bench.url).await.map_err(Failure::software)
    }

    async fn connect(url: &str) -> Result<Self, tokio_postgres::Error> {
        let (tell, heard) = mpsc::channel(16);
        let mut drivers = JoinSet::new();
        let config: Config = url.parse()?;
        let mut clients = Vec::new();
        for _ in 0..4 {
            let (client, mut connection) = config.connect(NoTls).await?;
            let tell = tell.clone();
            drivers.spawn(async move {
                let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
                while let Some(Ok(message)) = messages.next().await {
                    if matches!(message, AsyncMessage::Notification(_)) {
                        let _ = tell.try_send(());
                    }
                }
            });
            clients.push(client);
        }
        let mut clients = clients.into_iter();
        let mut next = || clients.next().expect("four were opened");
        let (submitter, notifier, claimer, listener) = (next(), next(), next(), next());
        listener.batch_execute("LISTEN floor").await?;
        // As ours: what is submitted is durable, a claim that is lost is claimed again.
        claimer.batch_execute("SET synchronous_commit = off").await?;
        let insert = submitter.prepare("INSERT INTO floor (payload) VALUES ($1::text::json)").await?;
        let notify = notifier.prepare("SELECT pg_notify('floor', '')").await?;
        let claim = claimer
            .prepare(
                "DELETE FROM floor WHERE ctid = ANY (ARRAY(SELECT ctid FROM floor ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED))
                 RETURNING id, payload::text",
            )
            .await?;
        Ok(Self { submitter, insert, notifier, notify, claimer, claim, _listener: listener, heard, _drivers: drivers })
    }

    /// One task.
    pub(crate) async fn time(&mut self) -> Result<Duration, Failure> {
        time::timeout(LIMIT, self.run()).await.map_err(Failure::software)?.map_err(Failure::software)
    }

    async fn run(&mut self) -> Result<Duration, tokio_postgres::Error> {
        let sent = Instant::now();
        self.submitter.execute(&self.insert, &[&r#"{"input":"x"}"#]).await?;
        self.notifier.execute(&self.notify, &[]).await?;
        self.heard.recv().await;
        self.claimer.query(&self.claim, &[]).await?;
        Ok(sent.elapsed())
    }
}
