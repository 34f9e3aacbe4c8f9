//! Paths, options and headers by chance.

use std::cell::Cell;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::{collection::vec, prelude::*, sample::select};
use tokio::runtime::Runtime;

use super::{exchange::exchange, impatient, regressions, runner};

const METHODS: &[&str] = &["GET", "POST", "DELETE", "PATCH", "PUT", "OPTIONS", "TRACE", "get", "X-Y"];
const PATHS: &[&str] = &[
    "/tasks",
    "/tasks/batch",
    "/tasks/{}",
    "/tasks/{}/cancel",
    "/tasks/{}/retry",
    "/tasks/{}/events",
    "/tasks/{}/explain",
    "/queues",
    "/queues/{}",
    "/queues/{}/pause",
    "/queues/{}/resume",
    "/workers",
    "/problems/{}",
    "/docs/{}",
    "/{}",
    "//{}",
];
const OPTIONS: &[&str] = &[
    "queue",
    "kind",
    "priority",
    "delay",
    "run_at",
    "max_attempts",
    "timeout",
    "unique_key",
    "unique_mode",
    "callback_url",
    "wait",
    "status",
    "limit",
    "cursor",
    "colour",
];
const HEADERS: &[&str] = &[
    "idempotency-key",
    "prefer",
    "if-none-match",
    "last-event-id",
    "content-type",
    "content-encoding",
    "accept",
    "expect",
    "x-odd",
];
const VALUES: &[&str] = &[
    "",
    "0",
    "-1",
    "1e400000",
    "inf",
    "NaN",
    "99999999999999999999",
    "100d",
    "1 hour",
    "2027-01-01T00:00:00Z",
    "+999999-01-01T00:00:00Z",
    "019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40",
    "{019ab7a0-5f3c-7c41-b5ce-2f0f8d1c6a40}",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "done",
    "keep",
    "replace",
    "default",
    "taskrow.callback",
    "a/b",
    "..",
    "wait=10",
    "wait=\"",
    "\"key\"",
    "\"half",
    "application/json",
    "application/x-ndjson",
    "100-continue",
    "W/\"x\", *",
    "'; DROP TABLE taskrow.records; --",
    "\0",
    "\u{feff}",
    "\u{202e}",
];

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => select(VALUES).prop_map(|text| text.as_bytes().to_vec()),
        2 => vec(any::<u8>(), 0..20),
        1 => (0..2000usize).prop_map(|length| vec![b'x'; length]),
    ]
}

/// A value in a URI: percent-encoded, or with the bytes that need not be.
fn encoded() -> impl Strategy<Value = String> {
    value().prop_map(|bytes| percent_encode(&bytes, NON_ALPHANUMERIC).to_string())
}

/// A value of a header: what a line can hold.
fn field() -> impl Strategy<Value = Vec<u8>> {
    value().prop_map(|bytes| bytes.into_iter().filter(|byte| *byte >= b' ' && *byte != 127).collect())
}

#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    path: String,
    options: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: &'static str,
}

fn request() -> impl Strategy<Value = Request> {
    let path = (select(PATHS), encoded()).prop_map(|(path, value)| path.replace("{}", &value));
    let options = vec((select(OPTIONS), encoded()), 0..4);
    let headers = vec((select(HEADERS), field()), 0..4);
    let body = select(&["", "1", "{}", "[]", "[{\"payload\":1}]", "{\"kinds\":null}", "{\"kinds\":[\"a\"]}"][..]);
    (select(METHODS), path, options, headers, body).prop_map(|(method, path, options, headers, body)| Request {
        method,
        path,
        options,
        headers,
        body,
    })
}

impl Request {
    fn bytes(&self) -> Vec<u8> {
        let options: Vec<_> = self.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (method, path, length) = (self.method, &self.path, self.body.len());
        let head = format!("{method} {path}?{} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n", options.join("&"));
        let mut bytes = head.into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes
            .extend(format!("content-type: application/json\r\ncontent-length: {length}\r\n\r\n{}", self.body).bytes());
        bytes
    }
}

#[test]
fn whatever_is_asked_gets_a_proper_answer_and_only_what_was_accepted_is_stored() {
    let runtime = Runtime::new().unwrap();
    let app = runtime.block_on(impatient());
    let stored = Cell::new(0);
    let outcome = runner(600, regressions!("requests")).run(&request(), |request| {
        let replies = runtime.block_on(exchange(app.address, &request.bytes()));
        let replies: Vec<_> = replies.into_iter().filter(|reply| reply.status >= 200).collect();
        prop_assert_eq!(replies.len(), 1, "{:?}", &replies);
        let reply = &replies[0];
        reply.check().map_err(TestCaseError::fail)?;
        if reply.status == 201 {
            stored.set(stored.get() + reply.json()["tasks"].as_array().map_or(1, |tasks| tasks.len() as i64));
        }
        Ok(())
    });
    outcome.unwrap();
    let kept = runtime.block_on(app.database.number("SELECT count(*) FROM tasks"));
    assert_eq!(kept, stored.get());
}
