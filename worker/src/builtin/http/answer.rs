//! What a receiver's answer means for the task.
//!
//! | answer | the task |
//! |---|---|
//! | 2xx | is done; the answer is the result |
//! | 408, 409, 425, 429, 5xx | is tried again, not before `Retry-After` |
//! | anything else | has failed |

use std::time::SystemTime;

use http_body_util::BodyExt;
use hyper::{HeaderMap, Response, StatusCode, body::Incoming, header::CONTENT_TYPE};
use queue::Json;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::{client::reason, headers::Headers, retry_after};
use crate::TaskError;

/// So much of the body of an answer that is no success is kept with the attempt, in characters.
const EXCERPT_LIMIT: usize = 500;
/// Most bytes of a character.
const CHARACTER_LIMIT: usize = 4;

/// A task's result.
#[derive(Serialize)]
struct Done<'a> {
    status: u16,
    body: Option<Body<'a>>,
    /// The body was longer than the limit; this is its beginning.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// Reads an answer, at most `limit` bytes of its body and until `deadline`, and judges it. `headers` know what must not be shown.
pub(super) async fn judge(
    answer: Response<Incoming>,
    limit: usize,
    deadline: Instant,
    headers: &Headers,
) -> Result<Json, TaskError> {
    let (head, body) = answer.into_parts();
    if !head.status.is_success() {
        // What the body would add is not worth another attempt.
        let body = timeout_at(deadline, read(body, EXCERPT_LIMIT * CHARACTER_LIMIT + headers.longest_secret())).await;
        let bytes = body.ok().and_then(Result::ok).unwrap_or_default();
        return Err(failure(head.status, &head.headers, &excerpt(headers.redact(lossy(bytes)))));
    }
    let bytes = timeout_at(deadline, read(body, limit + headers.longest_secret() + 1)).await;
    let bytes = bytes.map_err(|_| TaskError::retry("timed out: the answer's body did not end in time"))?;
    let bytes = bytes.map_err(|error| TaskError::retry(format!("the answer broke off: {}", reason(&error))))?;
    let truncated = bytes.len() > limit;
    let text = headers.redact(lossy(bytes));
    let text = if truncated { beginning(&text, limit) } else { &text };
    result(head.status, is_json(&head.headers) && !truncated, text, truncated)
}

/// At most `limit` bytes of a body. What is over is not waited for.
async fn read(mut body: Incoming, limit: usize) -> Result<Vec<u8>, hyper::Error> {
    let mut read = Vec::new();
    while read.len() < limit
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(&data[..data.len().min(limit - read.len())]);
        }
    }
    Ok(read)
}

/// At most so many bytes, and no part of a character.
fn beginning(text: &str, limit: usize) -> &str {
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    &text[..end]
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

/// The receiver has done its work, so a body that cannot be kept as JSON is kept as text.
fn result(status: StatusCode, is_json: bool, text: &str, truncated: bool) -> Result<Json, TaskError> {
    let done = |body| Json::from_value(&Done { status: status.as_u16(), body, truncated });
    if text.is_empty() {
        return Ok(done(None)?);
    }
    let parsed: Option<&RawValue> = is_json.then(|| serde_json::from_str(text).ok()).flatten();
    if let Some(json) = parsed.and_then(|json| done(Some(Body::Json(json))).ok()) {
        return Ok(json);
    }
    // The one character that Postgres cannot hold.
    Ok(done(Some(Body::Text(&text.replace('\0', "\u{fffd}"))))?)
}

fn failure(status: StatusCode, headers: &HeaderMap, excerpt: &str) -> TaskError {
    let mut message = format!("HTTP {status}");
    if status.is_redirection() {
        message.push_str(": a redirect that is not followed");
    }
    if !excerpt.is_empty() {
        message = format!("{message}: {excerpt}");
    }
    let is_temporary = matches!(status.as_u16(), 408 | 409 | 425 | 429) || status.is_server_error();
    match is_temporary {
        true => TaskError::Retry { message, after: retry_after::wait(headers, SystemTime::now()) },
        false => TaskError::fatal(message),
    }
}

/// One line of so many characters.
fn excerpt(text: String) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(EXCERPT_LIMIT) {
        Some((end, _)) => format!("{}..", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::header::{HeaderValue, RETRY_AFTER};

    use super::*;

    #[test]
    fn the_status_decides_whether_another_attempt_makes_sense() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("5"))]);
        for code in 300..600 {
            let status = StatusCode::from_u16(code).unwrap();
            let temporary = code >= 500 || [408, 409, 425, 429].contains(&code);
            match failure(status, &headers, "why") {
                TaskError::Retry { message, after } => {
                    assert!(temporary && message.starts_with(&format!("HTTP {code} ")) && message.ends_with(": why"));
                    assert!(after.unwrap() >= Duration::from_secs(5));
                }
                TaskError::Fatal { message } => assert!(!temporary && message.starts_with("HTTP "), "{message}"),
                TaskError::Again { .. } => panic!("{code}"),
            }
        }
    }

    #[test]
    fn what_cannot_be_kept_as_json_is_kept_as_text() {
        let body = |is_json, text: &str| result(StatusCode::OK, is_json, text, false).unwrap().get().to_owned();
        assert_eq!(body(true, r#" {"a": 1.0} "#), r#"{"status":200,"body":{"a": 1.0}}"#);
        assert_eq!(body(false, "{}"), r#"{"status":200,"body":"{}"}"#);
        assert_eq!(body(true, "{"), r#"{"status":200,"body":"{"}"#);
        assert_eq!(body(true, r#""\u0000""#), r#"{"status":200,"body":"\"\\u0000\""}"#);
        assert_eq!(body(false, "a\0b"), "{\"status\":200,\"body\":\"a\u{fffd}b\"}");
        assert_eq!(body(true, ""), r#"{"status":200,"body":null}"#);
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert_eq!(
            body(true, &deep),
            format!(r#"{{"status":200,"body":"{deep}"}}"#),
            "too deep with the status around it"
        );
    }

    #[test]
    fn an_excerpt_is_a_short_line() {
        assert_eq!(excerpt(" a\r\n\u{1b}[31m b\u{0} ".to_owned()), "a [31m b");
        assert_eq!(excerpt("\u{e4}".repeat(600)), format!("{}..", "\u{e4}".repeat(500)));
    }

    #[test]
    fn json_is_known_by_its_type() {
        let is_json = |kind| is_json(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]));
        assert!(is_json("application/json") && is_json("Application/Problem+JSON; charset=utf-8"));
        assert!(!is_json("text/plain") && !is_json("application/jsonl") && !is_json(""));
    }
}
