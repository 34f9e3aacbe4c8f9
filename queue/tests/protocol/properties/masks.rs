//! Masks and ids: against sets of places, and the SQL functions against the Rust ones.

use std::{cell::RefCell, collections::BTreeSet};

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use queue::{Mask, TaskId};
use uuid::Uuid;

use super::{config, regressions};
use crate::support::{Harness, On, sql};

/// Any mask, with the full, the empty and the nearly empty ones far more often than by chance.
fn mask() -> impl Strategy<Value = Mask> {
    prop_oneof![
        any::<i64>(),
        Just(0),
        Just(-1),
        Just(i64::MIN),
        Just(i64::MAX),
        (0..64u32).prop_map(|place| 1 << place)
    ]
    .prop_map(Mask::from_sql)
}

fn places(mask: Mask) -> BTreeSet<u32> {
    (0..64).filter(|place| mask.contains(Mask::of_place(*place))).collect()
}

#[test]
fn a_mask_is_a_set_of_places() {
    let cases = (mask(), mask(), 0..70usize);
    TestRunner::new(config(2000, regressions!("masks")))
        .run(&cases, |(mask, other, count)| {
            let (set, other_set) = (places(mask), places(other));
            prop_assert_eq!(mask.places().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(mask.size(), set.len());
            prop_assert_eq!(mask.is_empty(), set.is_empty());
            prop_assert_eq!(places(mask.lowest(count)), set.iter().copied().take(count).collect::<BTreeSet<_>>());
            prop_assert_eq!(places(mask | other), &set | &other_set);
            prop_assert_eq!(places(mask & other), &set & &other_set);
            prop_assert_eq!(places(mask & !other), &set - &other_set);
            prop_assert_eq!(mask.contains(other), set.is_superset(&other_set));
            prop_assert_eq!(places(Mask::first(count)), (0..count.min(64) as u32).collect::<BTreeSet<_>>());
            prop_assert_eq!(Mask::from_sql(mask.to_sql()), mask);
            Ok(())
        })
        .unwrap();
}

/// A split takes the lowest and leaves the rest: together they are the whole, and they share nothing.
#[test]
fn a_split_neither_loses_nor_doubles() {
    TestRunner::new(config(2000, regressions!("splits")))
        .run(&(mask(), 0..70usize), |(mask, count)| {
            let taken = mask.lowest(count);
            let rest = mask & !taken;
            prop_assert_eq!(taken | rest, mask);
            prop_assert!((taken & rest).is_empty());
            prop_assert_eq!(taken.size(), count.min(mask.size()));
            prop_assert!(taken.places().all(|place| rest.places().all(|left| place < left)));
            Ok(())
        })
        .unwrap();
}

#[test]
fn sql_and_rust_agree_on_masks_and_ids() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let queue = RefCell::new(runtime.block_on(Harness::new(On::Machine)));
    let ask = |query: String| runtime.block_on(sql::lines(&mut queue.borrow_mut().durable, &query));
    let cases = (vec((mask(), -1..70i64), 100), vec((any::<u128>(), 0..64u32), 100));
    TestRunner::new(config(40, regressions!("sql")))
        .run(&cases, |(masks, ids)| {
            let given: Vec<_> = masks.iter().map(|(mask, count)| format!("({}, {count})", mask.to_sql())).collect();
            let answers = ask(format!(
                "SELECT taskrow.mask_size(mask) || ' ' || taskrow.mask_lowest(mask, count) || ' '
                        || ARRAY(SELECT taskrow.mask_places(mask) ORDER BY 1)::text
                 FROM (VALUES {}) AS given(mask, count)",
                given.join(", ")
            ));
            for ((mask, count), answer) in masks.iter().zip(answers) {
                let lowest = mask.lowest(usize::try_from(*count).unwrap_or(0));
                let places: Vec<_> = mask.places().map(|place| place.to_string()).collect();
                prop_assert_eq!(answer, format!("{} {} {{{}}}", mask.size(), lowest.to_sql(), places.join(",")));
            }
            let given: Vec<_> =
                ids.iter().map(|(id, place)| format!("('{}'::uuid, {place})", Uuid::from_u128(*id))).collect();
            let answers = ask(format!(
                "SELECT taskrow.task_bit(id) || ' ' || taskrow.task_batch(id) || ' ' || taskrow.batch_task(taskrow.task_batch(id), place)
                 FROM (VALUES {}) AS given(id, place)",
                given.join(", ")
            ));
            for ((id, place), answer) in ids.iter().zip(answers) {
                let id = TaskId::from_uuid(Uuid::from_u128(*id));
                let batch = id.batch();
                prop_assert_eq!(answer, format!("{} {} {}", id.bit().to_sql(), batch.uuid(), batch.task(*place)));
                prop_assert_eq!(batch.tasks(id.bit()).collect::<Vec<_>>(), vec![id]);
            }
            Ok(())
        })
        .unwrap();
}
