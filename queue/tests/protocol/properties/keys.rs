//! Random histories of keyed submits against a model.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestRunner};
use queue::{
    Status, TaskId,
    cancel::Cancelled,
    claim::Claimed,
    keyed::{How, Outcome, Request, UniqueMode, store},
    retention,
    retry::Retried,
    workers::WorkerId,
};

use super::{config, regressions};
use crate::support::{
    Harness, On,
    harness::{done, failed},
    keys::{idempotency, unique},
    sql,
    tasks::{But, task},
};

const CASES: u32 = 40;
const STEPS: usize = 40;

#[derive(Clone, Debug)]
enum Step {
    /// Items of one request: the key of each, if any, and whether it replaces, and whether it is for later. With an idempotency key, perhaps.
    Submit {
        items: Vec<Item>,
        request: Option<u8>,
    },
    /// The request that was last sent comes again, as it was or as one whose answer was lost.
    Again {
        is_same_process: bool,
    },
    Claim,
    Finish {
        is_done: bool,
    },
    Cancel {
        task: Index,
    },
    Retry {
        task: Index,
    },
    Promote,
    /// Idempotency keys expire.
    Expire,
    CleanUp,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    key: Option<u8>,
    replaces: bool,
    is_later: bool,
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let item = (proptest::option::weighted(0.8, 0..3u8), any::<bool>(), any::<bool>());
    let item = item.prop_map(|(key, replaces, is_later)| Item { key, replaces, is_later });
    let step = prop_oneof![
        6 => (vec(item, 1..5), proptest::option::weighted(0.4, 0..2u8)).prop_map(|(items, request)| Step::Submit { items, request }),
        2 => any::<bool>().prop_map(|is_same_process| Step::Again { is_same_process }),
        2 => Just(Step::Claim),
        2 => any::<bool>().prop_map(|is_done| Step::Finish { is_done }),
        2 => any::<Index>().prop_map(|task| Step::Cancel { task }),
        2 => any::<Index>().prop_map(|task| Step::Retry { task }),
        1 => Just(Step::Promote),
        1 => Just(Step::Expire),
        1 => Just(Step::CleanUp),
    ];
    vec(step, 1..STEPS)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    status: Status,
    payload: String,
    key: Option<u8>,
}

#[derive(Default)]
struct Model {
    tasks: BTreeMap<TaskId, Entry>,
    /// By key: what was sent, and its answer.
    requests: BTreeMap<u8, (u64, Vec<TaskId>)>,
    /// Numbers payloads and requests.
    sent: u64,
}

/// A request as it was sent, to be sent again.
struct Sent {
    request: Request,
    again: Request,
    items: Vec<Item>,
    number: u64,
    key: Option<u8>,
    answer: Option<Vec<(How, TaskId)>>,
}

impl Model {
    fn open(&self, key: u8) -> Option<TaskId> {
        self.tasks.iter().find(|(_, task)| task.key == Some(key) && !task.status.is_final()).map(|(id, _)| *id)
    }

    /// Item by item, as if each had come by itself. The ids of those that are stored come from the answer.
    fn submit(&mut self, sent: &Sent, answer: &[(How, TaskId)]) {
        assert_eq!(answer.len(), sent.items.len());
        // Whether a running task takes a payload is decided once for a request.
        for (index, (item, (how, id))) in sent.items.iter().zip(answer).enumerate() {
            let payload = format!("[{}, {index}]", sent.number);
            let status = if item.is_later { Status::Scheduled } else { Status::Queued };
            let expected = match item.key.and_then(|key| self.open(key)) {
                None => {
                    assert!(!self.tasks.contains_key(id), "a new id");
                    self.tasks.insert(*id, Entry { status, payload, key: item.key });
                    How::Stored
                }
                Some(open) => {
                    assert_eq!(*id, open);
                    let task = self.tasks.get_mut(&open).unwrap();
                    if item.replaces && task.status != Status::Processing {
                        (task.status, task.payload) = (status, payload);
                        How::Replaced
                    } else {
                        How::Kept
                    }
                }
            };
            assert_eq!(*how, expected, "item {index}");
        }
        if let Some(key) = sent.key {
            self.requests.insert(key, (sent.number, answer.iter().map(|(_, id)| *id).collect()));
        }
    }
}

#[test]
fn a_history_of_keys_is_a_history_of_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let queue = RefCell::new(runtime.block_on(Harness::new(On::Machine)));
    TestRunner::new(config(CASES, regressions!("keys")))
        .run(&history(), |steps| {
            runtime.block_on(live(&mut queue.borrow_mut(), steps));
            Ok(())
        })
        .unwrap();
}

async fn live(queue: &mut Harness, steps: Vec<Step>) {
    let tables =
        "records, outcomes, failures, ready, leases, scheduled, workers, idempotency_keys, unique_keys, keyed_tasks";
    let tables: Vec<_> = tables.split(", ").map(|table| format!("taskrow.{table}")).collect();
    sql::run(&mut queue.durable, &format!("TRUNCATE {}", tables.join(", "))).await;
    let mut model = Model::default();
    let worker = queue.worker().await;
    let mut held: Vec<Claimed> = Vec::new();
    let mut last: Option<Sent> = None;
    for step in steps {
        apply(queue, &mut model, worker, &mut held, &mut last, step).await;
        compare(queue, &model).await;
        queue.check_invariants().await;
    }
}

async fn apply(
    queue: &mut Harness,
    model: &mut Model,
    worker: WorkerId,
    held: &mut Vec<Claimed>,
    last: &mut Option<Sent>,
    step: Step,
) {
    let any = |index: Index, model: &Model| {
        let ids: Vec<_> = model.tasks.keys().copied().collect();
        (!ids.is_empty()).then(|| *index.get(&ids))
    };
    match step {
        Step::Submit { items, request: key } => {
            model.sent += 1;
            let number = model.sent;
            let make = || {
                let task = |(index, item): (usize, &Item)| {
                    let task = task().payload(&format!("[{number}, {index}]"));
                    if item.is_later { task.after(Duration::from_secs(3600)) } else { task }
                };
                let unique = |(index, item): (usize, &Item)| {
                    let mode = if item.replaces { UniqueMode::Replace } else { UniqueMode::Keep };
                    Some((index, unique(&item.key?.to_string(), mode)))
                };
                let tasks = items.iter().enumerate().map(task).collect();
                let unique = items.iter().enumerate().filter_map(unique).collect();
                Request::new(tasks, unique, key.and_then(|key| idempotency(&key.to_string(), number as u8)))
            };
            let mut sent = Sent { request: make(), again: make(), items: items.clone(), number, key, answer: None };
            let outcome = store(&mut queue.durable, &sent.request, false).await.unwrap();
            match (sent.key.and_then(|key| model.requests.get(&key)), outcome) {
                (Some(_), Outcome::Reused) => {}
                (None, Outcome::Answered(answer)) => {
                    let answer: Vec<_> = answer.tasks.iter().map(|task| (task.how, task.id)).collect();
                    model.submit(&sent, &answer);
                    sent.answer = Some(answer);
                    *last = Some(sent);
                }
                (_, other) => panic!("{other:?}"),
            }
        }
        Step::Again { is_same_process } => {
            // What expired meanwhile is a request like any other, and what has no key would be.
            let Some(sent) = last else { return };
            let Some((known, ids)) = sent.key.and_then(|key| model.requests.get(&key)) else { return };
            if *known != sent.number {
                return;
            }
            let request = if is_same_process { &sent.request } else { &sent.again };
            let outcome = store(&mut queue.durable, request, is_same_process).await.unwrap();
            let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
            assert_eq!(answer.tasks.iter().map(|task| task.id).collect::<Vec<_>>(), *ids);
            let first = sent.answer.as_ref().unwrap();
            for (task, (how, _)) in answer.tasks.iter().zip(first) {
                let is_told = if is_same_process && *how == How::Stored { How::Stored } else { How::Replayed };
                let is_folded = is_same_process && task.how == *how;
                assert!(task.how == is_told || is_folded, "{:?} after {how:?}", task.how);
            }
        }
        Step::Claim => {
            let claimed = queue.claim(worker, 3).await;
            for task in &claimed {
                let entry = model.tasks.get_mut(&task.id).unwrap();
                assert_eq!((entry.status, &*entry.payload), (Status::Queued, task.payload.get()));
                entry.status = Status::Processing;
            }
            held.extend(claimed);
        }
        Step::Finish { is_done } => {
            queue.finish_all(worker, held, if is_done { done() } else { failed() }).await;
            for task in held.drain(..) {
                let status = if is_done { Status::Done } else { Status::Failed };
                model.tasks.get_mut(&task.id).unwrap().status = status;
            }
        }
        Step::Cancel { task } => {
            let Some(id) = any(task, model) else { return };
            if queue.cancel(id).await == Cancelled::Now {
                model.tasks.get_mut(&id).unwrap().status = Status::Cancelled;
            }
        }
        Step::Retry { task } => {
            let Some(id) = any(task, model) else { return };
            let entry = &model.tasks[&id];
            let holder = entry.key.and_then(|key| model.open(key)).filter(|holder| *holder != id);
            let expected = match (entry.status, holder) {
                (_, Some(holder)) => Retried::KeyHeld(holder),
                (Status::Done, None) => Retried::Done,
                (Status::Failed | Status::Cancelled, None) => Retried::Queued("default".to_owned()),
                _ => Retried::Open,
            };
            let retried = queue.retry(id).await;
            // Of a done task the key may be forgotten.
            let is_forgotten = entry.status == Status::Done && retried == Retried::Done;
            assert!(retried == expected || is_forgotten, "{retried:?}, not {expected:?}");
            if matches!(retried, Retried::Queued(_)) {
                model.tasks.get_mut(&id).unwrap().status = Status::Queued;
            }
        }
        Step::Promote => {
            queue.let_due().await;
            queue.promote().await;
            for entry in model.tasks.values_mut().filter(|entry| entry.status == Status::Scheduled) {
                entry.status = Status::Queued;
            }
        }
        Step::Expire => {
            sql::run(&mut queue.durable, "UPDATE taskrow.idempotency_keys SET expires_at = clock_timestamp()").await;
            model.requests.clear();
        }
        Step::CleanUp => {
            retention::clean_up(&mut queue.durable, Duration::from_secs(1000), 0).await.unwrap();
            let is_open = |key: &u8| model.open(*key).is_some();
            let open = (0..3u8).filter(is_open).count() as i64;
            assert_eq!(queue.number("SELECT count(*) FROM taskrow.unique_keys").await, open);
            let kept = queue.number("SELECT count(*) FROM taskrow.idempotency_keys").await;
            assert_eq!(kept, model.requests.len() as i64);
        }
    }
}

async fn compare(queue: &mut Harness, model: &Model) {
    let query = "SELECT t.id || ' ' || t.status || ' ' || r.payload::text FROM public.tasks t JOIN taskrow.records r USING (id) ORDER BY t.id";
    let found = sql::lines(&mut queue.durable, query).await;
    let expected: Vec<_> =
        model.tasks.iter().map(|(id, task)| format!("{id} {} {}", task.status.as_str(), task.payload)).collect();
    assert_eq!(found, expected);
}
