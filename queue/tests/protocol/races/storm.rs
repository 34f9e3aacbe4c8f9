//! Everything at once on few tasks.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use queue::{
    TaskId,
    cancel::cancel,
    claim::{Claimed, Floors, claim},
    finish::{Outcome, finish},
    inspect::get,
    promote::promote,
    requeue::{Reason, requeue},
    rescue::rescue,
    retry::retry,
    session,
    workers::heartbeat,
};
use service::database::Database;
use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    Harness, On,
    harness::{done, failed, finished, register, returned, silence},
    random::random,
    tasks::{But, apart, default_lane, several, task},
};

const LENGTH: Duration = Duration::from_secs(8);

struct Actor {
    durable: AsyncPgConnection,
    volatile: AsyncPgConnection,
    random: fastrand::Rng,
    tasks: Vec<TaskId>,
}

impl Actor {
    async fn new(database: &Database, random: fastrand::Rng, tasks: Vec<TaskId>) -> Self {
        let durable = database.connect(session::DURABLE).await.unwrap();
        let volatile = database.connect(session::VOLATILE).await.unwrap();
        Self { durable, volatile, random, tasks }
    }

    fn any(&mut self) -> TaskId {
        self.tasks[self.random.usize(..self.tasks.len())]
    }

    /// A worker that claims, finishes, gives back, dies and is born again. It remembers leases it lost.
    async fn work(mut self) {
        let end = Instant::now() + LENGTH;
        let lanes = [default_lane()];
        let mut worker = register(&mut self.durable, &["default"], &["echo"]).await;
        let mut held: Vec<Claimed> = Vec::new();
        while Instant::now() < end {
            let count = self.random.usize(1..=40);
            match self.random.u8(..10) {
                0..4 => held.extend(
                    claim(&mut self.volatile, worker, count, 10, &lanes, &mut Floors::default()).await.unwrap(),
                ),
                4..6 => {
                    self.random.shuffle(&mut held);
                    let part = held.split_off(held.len() - count.min(held.len()));
                    let outcome = [done(), failed(), Outcome::Cancelled][self.random.usize(..3)].clone();
                    let given: Vec<_> = part.iter().map(|task| finished(task, outcome.clone())).collect();
                    finish(&mut self.durable, worker, &given).await.unwrap();
                }
                6..8 => {
                    self.random.shuffle(&mut held);
                    let part = held.split_off(held.len() - count.min(held.len()));
                    let given: Vec<_> = part.iter().map(|task| returned(task, self.reason(task))).collect();
                    requeue(&mut self.durable, worker, &given).await.unwrap();
                }
                8 => drop(heartbeat(&mut self.volatile, worker).await.unwrap()),
                _ => {
                    silence(&mut self.durable, worker).await;
                    if self.random.bool() {
                        worker = register(&mut self.durable, &["default"], &["echo"]).await;
                    }
                }
            }
        }
    }

    fn reason(&self, task: &Claimed) -> Reason {
        match task.id.uuid().as_u128() % 3 {
            0 if task.attempt < task.max_attempts => Reason::Retry { delay: Duration::ZERO, error: "storm".to_owned() },
            1 => Reason::Again { delay: Duration::ZERO },
            _ => Reason::Release,
        }
    }

    /// Somebody at the API.
    async fn meddle(mut self) {
        let end = Instant::now() + LENGTH;
        while Instant::now() < end {
            let id = self.any();
            match self.random.u8(..4) {
                0 => drop(cancel(&mut self.durable, id).await.unwrap()),
                1..3 => drop(retry(&mut self.durable, id).await.unwrap()),
                _ => drop(get(&mut self.volatile, id).await.unwrap().expect("no task is ever lost")),
            }
        }
    }

    /// What every worker does beside its work.
    async fn tend(mut self) {
        let end = Instant::now() + LENGTH;
        while Instant::now() < end {
            rescue(&mut self.durable).await.unwrap();
            promote(&mut self.volatile).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_and_nothing_deadlocks() {
    let mut random = random();
    let mut queue = Harness::new(On::Machine).await;
    let mut tasks = queue.submit(several(200, &task().attempts(1000))).await;
    tasks.extend(queue.submit(apart(30, &task().attempts(3))).await);
    let mut storm = JoinSet::new();
    for _ in 0..4 {
        storm.spawn(Actor::new(&queue.database, random.fork(), tasks.clone()).await.work());
    }
    for _ in 0..3 {
        storm.spawn(Actor::new(&queue.database, random.fork(), tasks.clone()).await.meddle());
    }
    for _ in 0..2 {
        storm.spawn(Actor::new(&queue.database, random.fork(), tasks.clone()).await.tend());
    }
    while let Some(end) = storm.join_next().await {
        end.unwrap();
        // Whatever others are doing: each statement leaves everything in order behind it.
        queue.check_invariants().await;
    }
    assert_eq!(queue.number("SELECT count(*) FROM taskrow.records").await, tasks.len() as i64);
}
