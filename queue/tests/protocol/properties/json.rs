//! Whatever passes the door of `queue::json`, Postgres can hold: as json, as it is stored, and as jsonb, as the view shows it.

use std::cell::RefCell;

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use queue::Json;

use super::{config, regressions};
use crate::support::{Harness, On, sql};

/// Numbers around the limits of `numeric`, and ordinary ones.
fn number() -> impl Strategy<Value = String> {
    let digits =
        prop_oneof!["[1-9][0-9]{0,6}", Just("0".to_owned()), (1..140_000usize).prop_map(|count| "7".repeat(count))];
    let fraction = prop_oneof![
        4 => Just(String::new()),
        2 => "[0-9]{1,6}".prop_map(|digits| format!(".{digits}")),
        1 => (16_000..16_500usize).prop_map(|count| format!(".{}", "0".repeat(count))),
    ];
    let exponent = prop_oneof![
        4 => Just(String::new()),
        2 => (-20..20i32).prop_map(|exponent| format!("e{exponent}")),
        2 => (130_900..131_200i32).prop_map(|exponent| format!("E+{exponent}")),
        2 => (16_300..16_400i32).prop_map(|exponent| format!("e-{exponent}")),
        1 => any::<i64>().prop_map(|exponent| format!("e{exponent}")),
    ];
    (prop::bool::ANY, digits, fraction, exponent).prop_map(|(is_negative, digits, fraction, exponent)| {
        format!("{}{digits}{fraction}{exponent}", if is_negative { "-" } else { "" })
    })
}

/// Strings made of what may go wrong in one.
fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zé€😀/]{0,5}",
        2 => any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
        1 => (0xD800..0xDC00u16, 0xDC00..0xE000u16).prop_map(|(high, low)| format!("\\u{high:04X}\\u{low:04x}")),
        1 => Just("\\u0000".to_owned()),
        2 => prop_oneof!["\\\\\\\\", "\\\\\"", "\\\\n", "\\\\\\\\u0000", "\\\\/"],
        1 => Just("\u{7f}\u{2028}\u{fffe}".to_owned()),
    ];
    vec(piece, 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![2 => number(), 3 => string(), 1 => prop_oneof![Just("null"), Just("true"), Just(" [ ] ")].prop_map(str::to_owned)];
    let deep = (100..140usize).prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    prop_oneof![9 => leaf, 1 => deep].prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(" , "))),
            vec((string(), inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

#[test]
fn what_passes_the_door_postgres_can_hold() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let queue = RefCell::new(runtime.block_on(Harness::new(On::Machine)));
    TestRunner::new(config(400, regressions!("json")))
        .run(&value(), |text| {
            let Ok(json) = Json::parse(text.as_bytes()) else { return Ok(()) };
            prop_assert_eq!(json.get(), text.trim());
            let quoted = json.get().replace('\'', "''");
            let kept = format!("SELECT ('{quoted}'::json::jsonb IS NOT NULL)::text || '{quoted}'::json::text");
            let kept = runtime.block_on(sql::lines(&mut queue.borrow_mut().durable, &kept));
            prop_assert_eq!(&kept[0], &format!("true{}", json.get()));
            Ok(())
        })
        .unwrap();
}
