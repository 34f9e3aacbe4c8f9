//! Rescue against a worker that was only slow.

use queue::{
    Status,
    finish::{Fenced, finish},
    requeue::{Reason, Requeued, requeue},
    rescue::rescue,
    session,
};

use crate::support::{
    Harness, On,
    harness::{done, finished, ids, retry_later, returned},
};

const ROUNDS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_late_finisher_of_a_rescued_lease_writes_nothing() {
    let mut queue = Harness::new(On::Machine).await;
    let all = queue.submit_plain(100).await;
    let slow = queue.worker().await;
    let held = queue.claim(slow, 100).await;
    queue.bury(slow).await;
    let fast = queue.worker().await;
    let reclaimed = queue.claim(fast, 100).await;
    let mut other = queue.connect(session::DURABLE).await;
    let late: Vec<_> = held.iter().map(|task| finished(task, done())).collect();
    let good: Vec<_> = reclaimed.iter().map(|task| finished(task, done())).collect();
    let (late, good) = tokio::join!(finish(&mut other, slow, &late), finish(&mut queue.durable, fast, &good));
    assert_eq!(late.unwrap(), [Fenced::LeaseLost; 100]);
    assert_eq!(good.unwrap(), [Fenced::Applied; 100]);
    for id in all {
        let found = queue.get(id).await;
        assert_eq!((found.status, found.attempt, found.worker), (Status::Done, 2, Some(fast.0)));
    }
    queue.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rescue_against_finish() {
    let mut queue = Harness::new(On::Machine).await;
    let mut rescuer = queue.connect(session::DURABLE).await;
    for round in 0..ROUNDS {
        queue.let_due().await;
        queue.promote().await;
        queue.submit_plain(70).await;
        let worker = queue.worker().await;
        let claimed = queue.claim(worker, 1 + round % 140).await;
        queue.silence(worker).await;
        let given: Vec<_> = claimed.iter().map(|task| finished(task, done())).collect();
        let (answers, rescued) = tokio::join!(finish(&mut queue.durable, worker, &given), rescue(&mut rescuer));
        rescued.unwrap();
        for (task, answer) in claimed.iter().zip(answers.unwrap()) {
            let expected = match answer {
                Fenced::Applied => (Status::Done, task.attempt),
                // Each attempt ends by a death here.
                Fenced::LeaseLost if task.attempt == 1 => (Status::Queued, 1),
                Fenced::LeaseLost if task.attempt < task.max_attempts => (Status::Scheduled, task.attempt),
                Fenced::LeaseLost => (Status::Failed, task.attempt),
                Fenced::AlreadyFinal => panic!("finished once"),
            };
            assert_eq!(queue.stand(task.id).await, expected);
        }
        queue.rescue().await;
        queue.check_invariants().await;
        assert_eq!(queue.number("SELECT count(*) FROM taskrow.leases").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rescue_against_giving_back() {
    let mut queue = Harness::new(On::Machine).await;
    let mut rescuer = queue.connect(session::DURABLE).await;
    for round in 0..ROUNDS {
        let all = queue.submit_plain(64).await;
        let worker = queue.worker().await;
        let claimed = queue.claim(worker, 64).await;
        assert_eq!(ids(&claimed), all);
        queue.silence(worker).await;
        let reason = if round % 2 == 0 { Reason::Release } else { retry_later() };
        let given: Vec<_> = claimed[..32].iter().map(|task| returned(task, reason.clone())).collect();
        let (answers, rescued) = tokio::join!(requeue(&mut queue.durable, worker, &given), rescue(&mut rescuer));
        rescued.unwrap();
        queue.rescue().await;
        queue.check_invariants().await;
        for (task, answer) in claimed.iter().zip(answers.unwrap()) {
            let expected = match (answer, &reason) {
                (Requeued::Applied, Reason::Release) => (Status::Queued, 0),
                (Requeued::Applied, _) => (Status::Scheduled, 1),
                (_, _) => (Status::Queued, 1),
            };
            assert_eq!(queue.stand(task.id).await, expected);
        }
        for id in all {
            queue.cancel(id).await;
        }
    }
}

/// Several rescuers, several dead workers, parts of the same batches: no deadlock, nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn rescuers_against_each_other() {
    let mut queue = Harness::new(On::Machine).await;
    let mut others = [
        queue.connect(session::DURABLE).await,
        queue.connect(session::DURABLE).await,
        queue.connect(session::DURABLE).await,
    ];
    for _ in 0..30 {
        let all = queue.submit_plain(256).await;
        for part in [10, 60, 100, 50, 36] {
            let worker = queue.worker().await;
            assert_eq!(queue.claim(worker, part).await.len(), part);
            queue.silence(worker).await;
        }
        let [one, two, three] = &mut others;
        let (one, two, three) = tokio::join!(rescue(one), rescue(two), rescue(three));
        let rescued = [one.unwrap(), two.unwrap(), three.unwrap()];
        queue.rescue().await;
        assert_eq!(queue.number("SELECT count(*) FROM taskrow.leases").await, 0);
        assert!(rescued.iter().map(|rescued| rescued.returned).sum::<usize>() <= 256);
        queue.check_invariants().await;
        for id in all {
            assert_eq!(queue.stand(id).await, (Status::Queued, 1));
            queue.cancel(id).await;
        }
    }
}
