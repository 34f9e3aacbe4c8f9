//! Payloads by chance: stored byte for byte, or refused with a reason.

use std::{cell::Cell, collections::BTreeMap};

use proptest::{collection::vec, prelude::*, sample::Index};
use tokio::runtime::Runtime;

use super::{
    exchange::{Reply, exchange},
    impatient, regressions, runner,
};

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zé€😀/ ]{0,6}",
        2 => any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
        1 => (0xD800..0xDC00u16, 0xDC00..0xE000u16).prop_map(|(high, low)| format!("\\u{high:04X}\\u{low:04x}")),
        1 => prop_oneof![Just("\\u0000"), Just("\\ud800"), Just("\\\\u0000"), Just("\\\""), Just("\u{7f}\u{2028}")].prop_map(str::to_owned),
    ];
    vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        1 => prop_oneof![Just("1e400000"), Just("-1E-400000"), Just("1e131071"), Just("NaN"), Just("01"), Just("-")].prop_map(str::to_owned),
        1 => (1..150_000usize).prop_map(|digits| "9".repeat(digits)),
    ]
}

/// JSON texts, nearly all of them valid, with doubled keys and odd spaces.
fn value() -> impl Strategy<Value = String> {
    let leaf =
        prop_oneof![2 => number(), 3 => string(), 1 => Just(" null\t".to_owned()), 1 => Just("\r\n[ ]".to_owned())];
    let deep = (100..150usize).prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    prop_oneof![9 => leaf, 1 => deep].prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(" , "))),
            (string(), vec(inner, 0..4)).prop_map(|(key, values)| {
                let members: Vec<_> = values.into_iter().map(|value| format!("{key}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// JSON, what is left of it after an accident, and what never was any.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let hit = (value(), any::<Index>(), any::<u8>()).prop_map(|(text, at, byte)| {
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes
    });
    prop_oneof![
        6 => value().prop_map(String::into_bytes),
        2 => hit,
        1 => (value(), any::<Index>()).prop_map(|(text, at)| text.as_bytes()[..at.index(text.len())].to_vec()),
        1 => value().prop_map(|text| [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        1 => vec(any::<u8>(), 0..100),
    ]
}

fn post(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn only(mut replies: Vec<Reply>) -> Reply {
    assert_eq!(replies.len(), 1, "{replies:?}");
    replies.remove(0)
}

#[test]
fn a_payload_reads_back_byte_for_byte_or_is_refused() {
    let runtime = Runtime::new().unwrap();
    let app = runtime.block_on(impatient());
    let stored = Cell::new(0);
    let outcome = runner(300, regressions!("payloads")).run(&body(), |body| {
        runtime.block_on(async {
            let reply = only(exchange(app.address, &post("/tasks", "application/json", &body)).await);
            reply.check().map_err(TestCaseError::fail)?;
            if reply.status != 201 {
                prop_assert!([400, 422].contains(&reply.status), "{:?}", reply);
                return Ok(());
            }
            stored.set(stored.get() + 1);
            let id = reply.json()["id"].as_str().unwrap().to_owned();
            let read = app.get(&format!("/tasks/{id}")).await.text;
            let expected = format!("\"payload\":{},\"result\":null", std::str::from_utf8(body.trim_ascii()).unwrap());
            prop_assert!(read.contains(&expected), "{} is not in {}", expected, read);
            Ok(())
        })
    });
    outcome.unwrap();
    // The view casts to jsonb: a value that Postgres cannot hold would fail here.
    let kept = runtime.block_on(app.database.number("SELECT count(payload::text) FROM tasks"));
    assert!(kept == stored.get() && kept > 0, "{kept} are stored, {} were accepted", stored.get());
}

/// Lines of a batch, and how they are told apart.
fn lines() -> impl Strategy<Value = Vec<(Vec<u8>, &'static str)>> {
    let line = prop_oneof![
        5 => value().prop_map(|text| format!("{{\"payload\":{}}}", text.replace(['\r', '\n'], " ")).into_bytes()),
        1 => Just(b"{\"payload\":1,\"queue\":\"q\",\"priority\":7}".to_vec()),
        1 => Just(b" \t".to_vec()),
        1 => body(),
    ];
    let end =
        prop_oneof![6 => Just("\n"), 2 => Just("\r\n"), 1 => Just("\n\n"), 1 => Just("\r"), 1 => Just("\u{2028}")];
    vec((line, end), 0..6)
}

#[test]
fn lines_are_stored_all_or_none() {
    let runtime = Runtime::new().unwrap();
    let app = runtime.block_on(impatient());
    let (stored, statuses) = (Cell::new(0), std::cell::RefCell::new(BTreeMap::<u16, usize>::new()));
    let outcome = runner(200, regressions!("lines")).run(&lines(), |lines| {
        let body: Vec<u8> = lines.iter().flat_map(|(line, end)| [line.as_slice(), end.as_bytes()].concat()).collect();
        runtime.block_on(async {
            let reply = only(exchange(app.address, &post("/tasks/batch", "application/x-ndjson", &body)).await);
            reply.check().map_err(TestCaseError::fail)?;
            *statuses.borrow_mut().entry(reply.status).or_default() += 1;
            if reply.status == 201 {
                let count = reply.json()["tasks"].as_array().unwrap().len();
                let sent = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
                prop_assert_eq!(count, sent);
                stored.set(stored.get() + count as i64);
            }
            Ok(())
        })
    });
    outcome.unwrap();
    let kept = runtime.block_on(app.database.number("SELECT count(payload::text) FROM tasks"));
    assert_eq!(kept, stored.get());
    assert!(statuses.borrow().len() == 3, "201, 400 and 422 come up: {statuses:?}");
}
