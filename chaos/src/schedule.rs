//! Which fault comes when: a pure function of a seed.

use std::time::Duration;

use fastrand::Rng;

use crate::fault::{End, Fault, Takes, Whom};

/// One in so many faults begins before the one before it is over.
const OVERLAPS: u32 = 5;

/// What there is to break, and how long things take.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Apis.
    pub apis: usize,
    /// Workers.
    pub workers: usize,
    /// Whether Redis tells workers what to claim.
    pub redis: bool,
    /// Of the workers.
    pub lease_ttl: Duration,
    /// How long faults may go on.
    pub length: Duration,
}

/// A fault and its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// From 1.
    pub number: u32,
    /// From the start of the run.
    pub at: Duration,
    /// How long it lasts; then it is undone.
    pub lasts: Duration,
    /// Which.
    pub fault: Fault,
}

/// The faults of a run, in order. Every kind comes once before any comes again, as far as there is time.
pub fn schedule(seed: u64, shape: &Shape) -> Vec<Planned> {
    let mut rng = Rng::with_seed(seed);
    let mut planned: Vec<Planned> = Vec::new();
    let mut deck: Vec<Fault> = Vec::new();
    let mut at = calm(&mut rng, shape) * 2;
    for number in 1.. {
        if deck.is_empty() {
            deck = faults(&mut rng, shape);
            rng.shuffle(&mut deck);
        }
        let Some(fault) = deck.pop() else { return planned };
        let lasts = lasts(&mut rng, shape, fault);
        let same = planned.iter().filter(|planned| planned.fault.takes() == fault.takes());
        at = same.map(|planned| planned.at + planned.lasts).fold(at, Duration::max);
        // The end of the run is calm, or there would be no recovery to see.
        if at + lasts > shape.length {
            return planned;
        }
        planned.push(Planned { number, at, lasts, fault });
        let next = deck.last().map(|fault| fault.takes());
        let may_overlap = next.is_some_and(|next| next != fault.takes() && next != Takes::Postgres);
        at += if may_overlap && rng.u32(..OVERLAPS) == 0 { lasts / 2 } else { lasts + calm(&mut rng, shape) };
    }
    planned
}

/// Between the end of a fault and the next: enough to see the rate come back.
fn calm(rng: &mut Rng, shape: &Shape) -> Duration {
    shape.lease_ttl.mul_f64(0.3 + 0.4 * rng.f64())
}

/// One of each kind.
fn faults(rng: &mut Rng, shape: &Shape) -> Vec<Fault> {
    let whom = |rng: &mut Rng| match rng.u8(..6) {
        0 => Whom::Api(rng.usize(..shape.apis)),
        1 | 2 => Whom::Worker(rng.usize(..shape.workers)),
        3 => Whom::Pooler,
        _ => Whom::All,
    };
    let minutes = if rng.bool() { 1 } else { -1 } * rng.i32(5..=600);
    let mut faults = vec![
        Fault::KillWorker(rng.usize(..shape.workers)),
        Fault::TermWorker(rng.usize(..shape.workers)),
        Fault::FreezeWorker(rng.usize(..shape.workers)),
        Fault::SkewWorker(rng.usize(..shape.workers), minutes),
        Fault::KillApi(rng.usize(..shape.apis)),
        Fault::TermApi(rng.usize(..shape.apis)),
        Fault::FreezeApi(rng.usize(..shape.apis)),
        Fault::TerminateSome,
        Fault::TerminateAll,
        Fault::RestartPostgres(End::Fast),
        Fault::RestartPostgres(End::Immediate),
        Fault::RestartPostgres(End::Killed),
        Fault::Cut(whom(rng)),
        Fault::Swallow(whom(rng)),
        Fault::Delay(whom(rng), Duration::from_millis(rng.u64(5..60))),
        Fault::Throttle(whom(rng), rng.u32(20_000..200_000)),
        Fault::ExhaustConnections,
        Fault::ReadOnly,
        Fault::DiskFull,
        Fault::KillPooler,
    ];
    if shape.redis {
        faults.extend([Fault::FlushRedis, Fault::RestartRedis, Fault::CutRedis, Fault::SwallowRedis]);
    }
    faults
}

/// How long a fault lasts.
fn lasts(rng: &mut Rng, shape: &Shape, fault: Fault) -> Duration {
    let milliseconds = |rng: &mut Rng, range| Duration::from_millis(rng.u64(range));
    match fault {
        // Longer than the TTL, and than the next look of those who rescue.
        Fault::FreezeWorker(_) => shape.lease_ttl.mul_f64(1.3) + milliseconds(rng, 500..2000),
        // Waits for an end in order.
        Fault::TermWorker(_) | Fault::TermApi(_) => milliseconds(rng, 200..1000),
        Fault::TerminateSome | Fault::TerminateAll | Fault::FlushRedis => Duration::from_millis(200),
        Fault::DiskFull | Fault::ReadOnly | Fault::ExhaustConnections => milliseconds(rng, 1500..4000),
        _ => milliseconds(rng, 500..3000),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SHAPE: Shape =
        Shape { apis: 2, workers: 4, redis: true, lease_ttl: Duration::from_secs(3), length: Duration::from_secs(600) };

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(schedule(7, &SHAPE), schedule(7, &SHAPE));
        assert_ne!(schedule(7, &SHAPE), schedule(8, &SHAPE));
    }

    #[test]
    fn every_kind_comes_before_any_comes_again_and_everything_is_over_in_time() {
        for seed in 0..50 {
            let planned = schedule(seed, &SHAPE);
            let kinds: HashSet<_> = planned[..24].iter().map(|planned| planned.fault.kind()).collect();
            assert_eq!(kinds.len(), 24, "seed {seed}");
            assert!(planned.iter().all(|planned| planned.at + planned.lasts <= SHAPE.length));
        }
    }

    #[test]
    fn two_faults_of_one_thing_never_overlap() {
        for seed in 0..50 {
            let planned = schedule(seed, &SHAPE);
            for (at, one) in planned.iter().enumerate() {
                let meanwhile = planned[at + 1..].iter().take_while(|other| other.at < one.at + one.lasts);
                let same: Vec<_> = meanwhile.filter(|other| other.fault.takes() == one.fault.takes()).collect();
                assert!(same.is_empty(), "seed {seed}: {one:?} {same:?}");
            }
        }
    }
}
