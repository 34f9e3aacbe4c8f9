//! Random legal runs pass.

use std::collections::BTreeMap;

use chaos::{
    checker::{Evidence, Rule, check},
    history::{Event, Submit},
};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::world::{Fate, Place, World, request, workers::Return};

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Submit(Submit, Fate),
    Claim { worker: Index, batch: Index, tasks: usize },
    Start(Index),
    Finish(Index),
    Fail(Index),
    GiveBack(Index, Return),
    Cancel(Index),
    Read(Index),
    Die { worker: Index, is_late: bool },
    Crash(Index),
    Pause,
    Resume,
    Promote,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Acknowledged),
        1 => Just(Fate::Repeated),
        1 => Just(Fate::Refused),
        1 => any::<bool>().prop_map(|is_stored| Fate::Unknown { is_stored }),
    ]
}

prop_compose! {
    fn submit()(tasks in prop_oneof![1..4_u16, 60..70_u16], has_key: bool, is_slow: bool, is_probe in prop::bool::weighted(0.8),
                delay_ms in prop_oneof![3 => Just(0), 1 => 1..5_000_u64], max_attempts in 1..8_i16) -> Submit {
        let of = |is, yes: &str, no: &str| if is { yes.to_owned() } else { no.to_owned() };
        Submit {
            key: has_key.then(String::new),
            queue: of(is_slow, "slow", "default"),
            kind: of(is_probe, "probe", "echo"),
            delay_ms,
            max_attempts,
            ..request(tasks)
        }
    }
}

fn action() -> impl Strategy<Value = Action> {
    let index = any::<Index>;
    let back = prop_oneof![Just(Return::Retry), Just(Return::Again), Just(Return::Release)];
    prop_oneof![
        4 => (submit(), fate()).prop_map(|(submit, fate)| Action::Submit(submit, fate)),
        6 => (index(), index(), 1..70_usize).prop_map(|(worker, batch, tasks)| Action::Claim { worker, batch, tasks }),
        6 => index().prop_map(Action::Start),
        3 => index().prop_map(Action::Finish),
        2 => index().prop_map(Action::Fail),
        5 => (index(), back).prop_map(|(task, why)| Action::GiveBack(task, why)),
        3 => index().prop_map(Action::Cancel),
        3 => index().prop_map(Action::Read),
        2 => (index(), any::<bool>()).prop_map(|(worker, is_late)| Action::Die { worker, is_late }),
        1 => index().prop_map(Action::Crash),
        1 => Just(Action::Pause),
        1 => Just(Action::Resume),
        3 => Just(Action::Promote),
    ]
}

/// A run of many actions, with all its tasks ended.
pub(crate) fn run() -> impl Strategy<Value = Evidence> {
    vec(action(), 10..120).prop_map(|actions| {
        let mut world = World::default();
        world.submit(request(3), Fate::Acknowledged);
        for (number, action) in actions.into_iter().enumerate() {
            apply(&mut world, number, action);
        }
        world.drain();
        (0..world.tasks.len()).step_by(3).for_each(|task| world.read(task));
        world.evidence()
    })
}

fn apply(world: &mut World, number: usize, action: Action) {
    match action {
        Action::Submit(mut submit, fate) => {
            submit.key = submit.key.map(|_| format!("key-{number}"));
            world.submit(submit, fate);
        }
        Action::Claim { worker, batch, tasks } => {
            let worker = *worker.get(&world.workers);
            world.claim(worker, batch.index(1000), tasks);
        }
        Action::Start(task) => on_leased(world, task, World::start),
        Action::Finish(task) => on_leased(world, task, |world, task| {
            let Place::Leased { lease } = world.tasks[task].place else { return };
            let mut held = world.held(lease);
            held.truncate(1 + held.len() / 2);
            held.iter().for_each(|task| world.start(*task));
            world.finish(&held);
        }),
        Action::Fail(task) => on_leased(world, task, |world, task| {
            world.start(task);
            world.fail(&[task]);
        }),
        Action::GiveBack(task, why) => on_leased(world, task, |world, task| {
            if why != Return::Release {
                world.start(task);
            }
            world.give_back(task, why);
        }),
        Action::Cancel(task) => world.cancel(task.index(world.tasks.len())),
        Action::Read(task) => world.read(task.index(world.tasks.len())),
        Action::Die { worker, is_late } => world.die(worker.index(world.workers.len()), is_late),
        Action::Crash(task) => world.crash(task.index(1000)),
        Action::Pause if world.paused.is_empty() => world.pause("slow"),
        Action::Resume if !world.paused.is_empty() => world.resume("slow"),
        Action::Pause | Action::Resume => {}
        Action::Promote => world.promote(),
    }
}

fn on_leased(world: &mut World, task: Index, act: impl FnOnce(&mut World, usize)) {
    let leased: Vec<usize> =
        (0..world.tasks.len()).filter(|task| matches!(world.tasks[*task].place, Place::Leased { .. })).collect();
    if !leased.is_empty() {
        act(world, *task.get(&leased));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_can_happen_is_accepted(evidence in run()) {
        let verdict = check(evidence);
        prop_assert!(verdict.holds(), "{verdict}");
    }

    #[test]
    fn the_order_of_evidence_does_not_matter(evidence in run(), seed: u64) {
        let expected = check(evidence.clone());
        prop_assert_eq!(check(shuffled(evidence, seed)), expected);
    }
}

#[test]
fn what_a_crash_undoes_is_allowed_after_one_only() {
    let mut world = World::default();
    world.submit(request(1), Fate::Acknowledged);
    world.crash(0);
    world.drain();
    let mut evidence = world.evidence();
    let verdict = check(evidence.clone());
    assert!(verdict.holds(), "{verdict}");
    assert_eq!((verdict.counts.starts, verdict.counts.crashes), (2, 1), "claimed again under the same number");
    evidence.lines.retain(|line| line.event != Event::Crash);
    assert_eq!(check(evidence).totals, BTreeMap::from([(Rule::Starts, 1)]));
}

#[test]
fn a_worker_may_finish_until_its_lease_is_given_back() {
    let mut world = World::default();
    let worker = world.workers[0];
    world.submit(request(2), Fate::Acknowledged);
    world.claim(worker, 0, 2);
    world.die(0, true);
    world.drain();
    let verdict = check(world.evidence());
    assert!(verdict.holds(), "{verdict}");
    assert_eq!(verdict.counts.marked, 1);
}

/// Each kind in an order of its own, the same for the same seed.
fn shuffled(mut evidence: Evidence, seed: u64) -> Evidence {
    fn mix<T>(items: &mut [T], mut state: u64) {
        for last in (1..items.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            items.swap(last, (state >> 33) as usize % (last + 1));
        }
    }
    mix(&mut evidence.lines, seed);
    mix(&mut evidence.audit, seed);
    mix(&mut evidence.tasks, seed);
    mix(&mut evidence.keys, seed);
    evidence
}
