//! Tasks to submit.

use std::time::Duration;

use chrono::{DateTime, Utc};
use queue::{
    Json, Lane, NewTask,
    task::{Name, Options, Start},
};

/// The queue and the kind of a task that does not say.
pub(crate) const QUEUE: &str = "default";
pub(crate) const KIND: &str = "echo";

/// A name known to be good.
pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A queue and a kind.
pub(crate) fn lane(queue: &str, kind: &str) -> Lane {
    Lane { queue: name(queue), kind: name(kind) }
}

/// The lane of a task that does not say.
pub(crate) fn default_lane() -> Lane {
    lane(QUEUE, KIND)
}

/// JSON known to be good.
pub(crate) fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

/// A plain task: default lane, priority 0, three attempts, due at once.
pub(crate) fn task() -> NewTask {
    let options = Options {
        lane: default_lane(),
        priority: 0,
        max_attempts: 3,
        timeout: Duration::from_secs(60),
        start: Start::Now,
    };
    NewTask { options, payload: json("null"), callback_url: None }
}

/// So many of the same.
pub(crate) fn several(count: usize, task: &NewTask) -> Vec<NewTask> {
    vec![task.clone(); count]
}

/// So many tasks that share no batch: each has a timeout of its own.
pub(crate) fn apart(count: usize, task: &NewTask) -> Vec<NewTask> {
    (1..=count).map(|n| task.clone().timeout(Duration::from_millis(n as u64))).collect()
}

/// Changes to a task.
pub(crate) trait But: Sized {
    fn lane(self, queue: &str, kind: &str) -> Self;
    fn priority(self, priority: i16) -> Self;
    fn attempts(self, max_attempts: i16) -> Self;
    fn timeout(self, timeout: Duration) -> Self;
    fn after(self, delay: Duration) -> Self;
    fn at(self, time: DateTime<Utc>) -> Self;
    fn payload(self, text: &str) -> Self;
}

impl But for NewTask {
    fn lane(mut self, queue: &str, kind: &str) -> Self {
        self.options.lane = lane(queue, kind);
        self
    }

    fn priority(mut self, priority: i16) -> Self {
        self.options.priority = priority;
        self
    }

    fn attempts(mut self, max_attempts: i16) -> Self {
        self.options.max_attempts = max_attempts;
        self
    }

    fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    fn after(mut self, delay: Duration) -> Self {
        self.options.start = Start::After(delay);
        self
    }

    fn at(mut self, time: DateTime<Utc>) -> Self {
        self.options.start = Start::At(time);
        self
    }

    fn payload(mut self, text: &str) -> Self {
        self.payload = json(text);
        self
    }
}
