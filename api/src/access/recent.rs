//! What is remembered of clients' recent requests, in bounded memory.

use std::{
    collections::HashMap,
    hash::Hash,
    mem,
    sync::{Mutex, PoisonError},
};

use governor::{nanos::Nanos, state::StateStore};

/// Most clients of one generation. Two tables of 65,536 places, of 33 bytes each for addresses: 4.3 MB.
const GENERATION: usize = 50_000;

/// Clients in two generations. Once the young one is full it becomes the old one, and the old one is forgotten: those of it who have
/// not come again since. However many addresses somebody has, memory stays bounded, and nobody pays for others: who is forgotten starts
/// with a full allowance.
#[derive(Debug)]
pub(super) struct Recent<K> {
    generations: Mutex<Generations<K>>,
    limit: usize,
}

#[derive(Debug)]
struct Generations<K> {
    young: HashMap<K, Nanos>,
    old: HashMap<K, Nanos>,
}

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self::of(GENERATION)
    }
}

impl<K> Recent<K> {
    fn of(limit: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Self { generations: Mutex::new(generations), limit }
    }
}

impl<K: Clone + Eq + Hash> StateStore for Recent<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { young, old } = &mut *generations;
        if let Some(known) = young.get_mut(key) {
            let (outcome, state) = measure(Some(*known))?;
            *known = state;
            return Ok(outcome);
        }
        // Who is refused changes nothing, and stays in the old generation: it is young again with its next request that is not.
        let (outcome, state) = measure(old.get(key).copied())?;
        young.insert(key.clone(), state);
        if young.len() >= self.limit {
            *old = mem::take(young);
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the calls of each key; true: refused.
    fn call(recent: &Recent<u32>, key: u32, refuse: bool) -> u64 {
        let outcome = recent.measure_and_replace(&key, |state| {
            let count = state.map_or(0, u64::from) + 1;
            if refuse { Err(count) } else { Ok((count, Nanos::from(count))) }
        });
        outcome.unwrap_or_else(|count| count)
    }

    fn held(recent: &Recent<u32>) -> usize {
        let generations = recent.generations.lock().unwrap();
        generations.young.len() + generations.old.len()
    }

    #[test]
    fn memory_is_bounded_however_many_come() {
        let recent = Recent::of(100);
        for key in 0..10_000 {
            assert_eq!(call(&recent, key, false), 1);
            assert!(held(&recent) <= 200, "{key}");
        }
    }

    #[test]
    fn who_keeps_coming_is_remembered_among_many_others() {
        let recent = Recent::of(100);
        for round in 1..=1000_u64 {
            assert_eq!(call(&recent, 0, false), round);
            for other in 0..50 {
                call(&recent, 1 + u32::try_from(round).unwrap() * 50 + other, false);
            }
        }
    }

    #[test]
    fn who_is_refused_is_not_remembered_for_it() {
        let recent = Recent::of(100);
        assert_eq!((call(&recent, 1, true), call(&recent, 1, true)), (1, 1));
        assert_eq!(held(&recent), 0);
    }
}
