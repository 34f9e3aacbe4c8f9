//! Random histories against the model of the whole queue.

use std::{cell::RefCell, time::Duration};

use proptest::test_runner::TestRunner;
use queue::{
    Status, TaskId,
    finish::{Fenced, Finished, Outcome},
    inspect::Filter,
    requeue::{Reason, Requeued, Returned},
    workers::{Pulse, WorkerId},
};
use uuid::Uuid;

use super::{
    config,
    model::{Held, Model},
    regressions,
    steps::{End, Step, WORKERS, Why, history},
};
use crate::support::{
    Harness, On,
    harness::{again, done, failed, retry_later},
    sql,
    tasks::{But, default_lane, several, task},
};

const CASES: u32 = 60;
const STEPS: usize = 40;

#[test]
fn a_history_of_the_queue_is_a_history_of_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let queue = RefCell::new(runtime.block_on(Harness::new(On::Machine)));
    TestRunner::new(config(CASES, regressions!("state_machine")))
        .run(&history(STEPS), |steps| {
            runtime.block_on(live(&mut queue.borrow_mut(), steps));
            Ok(())
        })
        .unwrap();
}

async fn live(queue: &mut Harness, steps: Vec<Step>) {
    let tables = "records, outcomes, failures, ready, leases, scheduled, workers, progress, unique_keys, keyed_tasks";
    let truncate = format!(
        "TRUNCATE {}",
        tables.split(", ").map(|table| format!("taskrow.{table}")).collect::<Vec<_>>().join(", ")
    );
    sql::run(&mut queue.durable, &truncate).await;
    let mut model = Model::default();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(queue.worker().await);
    }
    for step in steps {
        apply(queue, &mut model, &mut workers, step).await;
        compare(queue, &model).await;
        queue.check_invariants().await;
    }
    compare_lists(queue, &model).await;
}

async fn apply(queue: &mut Harness, model: &mut Model, workers: &mut [WorkerId], step: Step) {
    let any = |index: proptest::sample::Index, model: &Model| {
        let ids: Vec<_> = model.tasks.keys().copied().collect();
        (!ids.is_empty()).then(|| *index.get(&ids))
    };
    match step {
        Step::Submit { count, attempts, is_later, is_urgent } => {
            let mut given = task().attempts(attempts).priority(i16::from(is_urgent));
            if is_later {
                given = given.after(Duration::from_secs(3600));
            }
            let ids = queue.submit(several(count, &given)).await;
            model.submit(&ids, attempts, is_later, is_urgent);
        }
        Step::Claim { worker, tasks, rows } => {
            let claimed = queue.claim_from(workers[worker], tasks, rows, &[default_lane()]).await;
            model.claim(workers[worker], tasks, rows, &claimed);
        }
        Step::Finish { worker, which, how } => {
            let held = which.of(&model.held_by(workers[worker]));
            let answers = finish(queue, workers[worker], &held, how).await;
            held.into_iter().zip(answers).for_each(|(held, answer)| model.finish(held, how, answer));
        }
        Step::GiveBack { worker, which, why } => {
            let mut held = which.of(&model.held_by(workers[worker]));
            if matches!(why, Why::Retry) {
                // As workers do: without an attempt left there is nothing to retry.
                held.retain(|held| model.tasks[&held.id].attempt < model.tasks[&held.id].max_attempts);
            }
            let answers = give_back(queue, workers[worker], &held, why).await;
            held.into_iter().zip(answers).for_each(|(held, answer)| model.give_back(held, why, answer));
        }
        Step::FinishLate { which, how } => {
            for late in which.of(&model.late) {
                assert_ne!(finish(queue, late.worker, &[late], how).await, [Fenced::Applied], "{late:?}");
            }
        }
        Step::GiveBackLate { which, why } => {
            for late in which.of(&model.late) {
                assert_eq!(give_back(queue, late.worker, &[late], why).await, [Requeued::LeaseLost], "{late:?}");
            }
        }
        Step::Cancel { task } => {
            if let Some(id) = any(task, model) {
                assert_eq!(queue.cancel(id).await, model.cancel(id));
            }
        }
        Step::Retry { task } => {
            if let Some(id) = any(task, model) {
                assert_eq!(queue.retry(id).await, model.retry(id));
            }
        }
        Step::Beat { worker } => {
            let Pulse::Alive { mut cancelled, .. } = queue.heartbeat(workers[worker]).await else { panic!("fenced") };
            cancelled.sort_unstable();
            assert_eq!(cancelled, model.cancelled_of(workers[worker]));
        }
        Step::Die { worker } => {
            let rescued = queue.bury(workers[worker]).await;
            assert_eq!((rescued.returned, rescued.ended), model.die(workers[worker]));
            assert_eq!(queue.heartbeat(workers[worker]).await, Pulse::Fenced);
            workers[worker] = queue.worker().await;
        }
        Step::Promote => {
            queue.let_due().await;
            queue.promote().await;
            model.promote();
        }
    }
}

async fn finish(queue: &mut Harness, worker: WorkerId, held: &[Held], how: End) -> Vec<Fenced> {
    let outcome = match how {
        End::Done => done(),
        End::Failed => failed(),
        End::Cancelled => Outcome::Cancelled,
    };
    let given: Vec<_> =
        held.iter().map(|held| Finished { lease: held.lease, id: held.id, outcome: outcome.clone() }).collect();
    queue.finish(worker, &given).await
}

async fn give_back(queue: &mut Harness, worker: WorkerId, held: &[Held], why: Why) -> Vec<Requeued> {
    let reason = match why {
        Why::Retry => retry_later(),
        Why::Again => again(),
        Why::Release => Reason::Release,
    };
    let given: Vec<_> =
        held.iter().map(|held| Returned { lease: held.lease, id: held.id, reason: reason.clone() }).collect();
    queue.requeue(worker, &given).await
}

/// By the view that people read.
async fn compare(queue: &mut Harness, model: &Model) {
    let query = "SELECT id || ' ' || status || ' ' || attempt FROM public.tasks ORDER BY id";
    let found = sql::lines(&mut queue.durable, query).await;
    let expected: Vec<_> =
        model.tasks.iter().map(|(id, task)| format!("{id} {} {}", task.status.as_str(), task.attempt)).collect();
    assert_eq!(found, expected);
}

/// By the pages that the API reads.
async fn compare_lists(queue: &mut Harness, model: &Model) {
    for status in Status::ALL {
        let mut filter = Filter { status: Some(status), limit: 100, ..Filter::default() };
        let mut found: Vec<(TaskId, i16)> = Vec::new();
        loop {
            let page = queue.list(&filter).await;
            found.extend(page.tasks.iter().map(|task| (task.id, task.attempt)));
            filter.before = page.next;
            if page.next.is_none() {
                break;
            }
        }
        found.reverse();
        let expected: Vec<_> = model
            .tasks
            .iter()
            .filter(|(_, task)| task.status == status)
            .map(|(id, task)| (*id, task.attempt))
            .collect();
        assert_eq!(found, expected, "{status:?}");
    }
    assert!(queue.find(TaskId::from_uuid(Uuid::nil())).await.is_none());
}
