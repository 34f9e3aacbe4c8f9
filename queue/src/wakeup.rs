//! Wakeups: hints that there may be something to do, by `NOTIFY` on one channel.
//!
//! A hint may be lost, late or doubled. Everything found by a hint is also found by polling, so without hints the system is
//! only slower, by the poll interval.
//!
//! `NOTIFY` in a transaction takes a lock of the whole cluster at commit: inside the submitting transaction it makes submits
//! queue up behind each other (2,600 instead of 8,500 inserts a second). So writers commit first, and then tell what happened, at most
//! every few milliseconds in a process: by a statement sent right behind the writing one if it is their [`Turn`], else by the
//! [`Notifier`]'s own connection.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use diesel::{
    QueryResult,
    sql_types::{Array, Bool, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::StreamExt;
use service::{
    backoff::{Backoff, jittered},
    database::{Database, Session},
};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{session, statement::statement, task::Name, workers::WorkerId};

/// Shortest time between two notifications of one process.
const PACE: Duration = Duration::from_millis(4);
/// Most different hints that wait to be sent; more are dropped, as hints may be.
const PENDING_LIMIT: usize = 1024;
/// How often a listener checks that its own notifications come back.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// How long such a notification may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

const LISTEN: Session = session::VOLATILE.named("listener");

/// Something that may have happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hint {
    /// There may be work in a queue.
    Work(Name),
    /// Something was scheduled; it may be due before what was known.
    Schedule,
    /// A running task of this worker is to be cancelled.
    Cancel(WorkerId),
    /// A queue was paused.
    Pause(Name),
    /// Anything may have happened: hints may have been missed.
    Anything,
}

impl Hint {
    fn encode(&self) -> String {
        match self {
            Self::Work(queue) => format!("work {queue}"),
            Self::Schedule => "schedule".to_owned(),
            Self::Cancel(worker) => format!("cancel {}", worker.0),
            Self::Pause(queue) => format!("pause {queue}"),
            Self::Anything => "anything".to_owned(),
        }
    }

    /// None: not ours, or of a newer release.
    fn decode(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            Some(("work", queue)) => Name::new(queue).ok().map(Self::Work),
            Some(("cancel", worker)) => worker.parse().ok().map(|id| Self::Cancel(WorkerId(id))),
            Some(("pause", queue)) => Name::new(queue).ok().map(Self::Pause),
            None if text == "schedule" => Some(Self::Schedule),
            None if text == "anything" => Some(Self::Anything),
            _ => None,
        }
    }
}

statement! {
    struct Send<'a> -> (Bool,) { hints: &'a [String] => Array<Text> }
    "SELECT pg_notify('taskrow', hint) IS NOT NULL FROM unnest($1::text[]) AS hint"
}

statement! {
    /// As [`Send`], on the connection of somebody who has more to do than to wait for the lock that sessions with `NOTIFY` hold while they commit.
    struct SendAlong<'a> -> (Bool,) { hints: &'a [String] => Array<Text> }
    "SELECT pg_notify('taskrow', hint) IS NOT NULL
     FROM (SELECT set_config('lock_timeout', '50ms', true)) AS bound CROSS JOIN unnest($1::text[]) AS hint"
}

async fn send(connection: &mut AsyncPgConnection, hints: &[String]) -> QueryResult<()> {
    let _: Vec<(bool,)> = Send { hints }.load(connection).await?;
    Ok(())
}

/// Tells others. Clones share one connection and one pace.
#[derive(Clone, Debug, Default)]
pub struct Notifier {
    state: Arc<Mutex<State>>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    pending: BTreeSet<Hint>,
    sent_at: Option<Instant>,
}

/// Hints that somebody with a connection of his own sends at his turn; see [`Notifier::turn`].
#[derive(Debug)]
pub struct Turn {
    hints: Vec<String>,
}

impl Turn {
    /// Sends them. Fails when a commit of another session keeps the cluster's lock of notifications for 50 ms: then
    /// [tell](Notifier::tell) them.
    pub async fn send(&self, connection: &AsyncPgConnection) -> QueryResult<()> {
        let _: Vec<(bool,)> = SendAlong { hints: &self.hints }.load(&mut &*connection).await?;
        Ok(())
    }
}

impl State {
    /// How long until the pace allows to send.
    fn wait(&self) -> Duration {
        self.sent_at.map_or(Duration::ZERO, |at| PACE.saturating_sub(at.elapsed()))
    }

    /// Whoever takes hints out sends them now.
    fn take(&mut self) -> Vec<String> {
        self.sent_at = Some(Instant::now());
        std::mem::take(&mut self.pending).iter().map(Hint::encode).collect()
    }
}

impl Notifier {
    /// Hands a hint over; never waits.
    pub fn tell(&self, hint: Hint) {
        let mut state = self.lock();
        if state.pending.len() < PENDING_LIMIT {
            state.pending.insert(hint);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// For a writer about to write: what to send behind its statement on its own connection, which spares an idle system the way
    /// through this one's. None: others were told a moment ago, so that these hints have to wait for their turn and are [told](Self::tell)
    /// after the write.
    pub fn turn(&self, hints: impl IntoIterator<Item = Hint>) -> Option<Turn> {
        let mut state = self.lock();
        if !state.pending.is_empty() || !state.wait().is_zero() {
            return None;
        }
        state.pending.extend(hints);
        if state.pending.is_empty() {
            return None;
        }
        Some(Turn { hints: state.take() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is handed over, until `stop`. A failed send drops its hints.
    pub async fn run(self, database: Database, stop: CancellationToken) {
        let mut link = database.link(session::VOLATILE.named("notifier"));
        let mut backoff = Backoff::default();
        let mut was_away = false;
        loop {
            tokio::select! {
                biased; // What was handed over before the stop is sent.
                () = self.wake.notified() => {}
                () = stop.cancelled() => return,
            }
            let wait = self.lock().wait();
            if !wait.is_zero() {
                time::sleep(wait).await;
            }
            let hints = self.lock().take();
            if hints.is_empty() {
                continue;
            }
            match link.run(async |connection| send(connection, &hints).await).await {
                Ok(()) => {
                    backoff.reset();
                    was_away = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut was_away, true) {
                        warn!(%error, "cannot send wakeups; workers poll");
                    }
                    tokio::select! {
                        () = backoff.wait() => {}
                        () = stop.cancelled() => return,
                    }
                }
            }
        }
    }
}

/// What a listener tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A hint. After every reconnect there is a [`Hint::Anything`], for what was missed.
    Hint(Hint),
    /// Whether hints arrive at all now. While not, there is polling.
    Listening(bool),
}

/// Listens on a connection of its own until `stop`, reconnecting as often as need be. `hear` must not block.
pub async fn listen(database: Database, stop: CancellationToken, mut hear: impl FnMut(Heard) + std::marker::Send) {
    let mut backoff = Backoff::default();
    loop {
        let session = listen_once(&database, &mut hear, &mut backoff);
        let error = tokio::select! {
            error = session => error,
            () = stop.cancelled() => return,
        };
        hear(Heard::Listening(false));
        warn!(error, "not listening for wakeups; polling meanwhile");
        tokio::select! {
            () = backoff.wait() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// One connection's life; returns why it ended.
async fn listen_once(
    database: &Database,
    hear: &mut (impl FnMut(Heard) + std::marker::Send),
    backoff: &mut Backoff,
) -> String {
    let mut connection = match database.connect(LISTEN).await {
        Ok(connection) => connection,
        Err(error) => return error.to_string(),
    };
    if let Err(error) = connection.batch_execute("LISTEN taskrow").await {
        return error.to_string();
    }
    // Listen first, look at the tables then: what comes in between is heard.
    hear(Heard::Listening(true));
    hear(Heard::Hint(Hint::Anything));
    backoff.reset();
    info!("listening for wakeups");
    let probe = format!("probe {}", fastrand::u64(..));
    loop {
        if let Err(reason) = hear_until(&mut connection, hear, Instant::now() + jittered(PROBE_INTERVAL), None).await {
            return reason;
        }
        // A half-open socket or a pooler in between looks like silence. Our own notification must come back.
        match time::timeout(PROBE_PATIENCE, send(&mut connection, std::slice::from_ref(&probe))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return "no answer to a probe".to_owned(),
        }
        match hear_until(&mut connection, hear, Instant::now() + PROBE_PATIENCE, Some(&probe)).await {
            Ok(true) => {}
            Ok(false) => {
                return "own notifications do not come back (is there a transaction pooler in between?)".to_owned();
            }
            Err(reason) => return reason,
        }
    }
}

/// Passes hints on until the deadline, or until `awaited` arrives. True: it did.
async fn hear_until(
    connection: &mut AsyncPgConnection,
    hear: &mut (impl FnMut(Heard) + std::marker::Send),
    deadline: Instant,
    awaited: Option<&str>,
) -> Result<bool, String> {
    let notifications = connection.notifications_stream();
    let mut notifications = std::pin::pin!(notifications);
    loop {
        match time::timeout_at(deadline, notifications.next()).await {
            Err(_) => return Ok(false),
            Ok(None) => return Err("the connection closed".to_owned()),
            Ok(Some(Err(error))) => return Err(error.to_string()),
            Ok(Some(Ok(notification))) if awaited == Some(notification.payload.as_str()) => return Ok(true),
            Ok(Some(Ok(notification))) => {
                if let Some(hint) = Hint::decode(&notification.payload) {
                    hear(Heard::Hint(hint));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_survive_the_wire_and_foreign_text_is_ignored() {
        let queue = Name::new("a/b:c").unwrap();
        for hint in
            [Hint::Work(queue.clone()), Hint::Schedule, Hint::Cancel(WorkerId(7)), Hint::Pause(queue), Hint::Anything]
        {
            assert_eq!(Hint::decode(&hint.encode()), Some(hint));
        }
        for text in ["", "work", "work ", "work a b", "cancel x", "probe 1", "new thing"] {
            assert_eq!(Hint::decode(text), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn turns_keep_the_pace_and_do_not_overtake_what_waits() {
        let work = || Hint::Work(Name::new("a").unwrap());
        let notifier = Notifier::default();
        assert!(notifier.turn([]).is_none(), "nothing to say is no turn");
        assert_eq!(notifier.turn([work()]).map(|turn| turn.hints), Some(vec!["work a".to_owned()]));
        assert!(notifier.turn([work()]).is_none(), "too soon");
        time::advance(PACE).await;
        assert!(notifier.turn([work()]).is_some());
        time::advance(PACE).await;
        notifier.tell(Hint::Schedule);
        assert!(notifier.turn([work()]).is_none(), "others wait");
    }
}
