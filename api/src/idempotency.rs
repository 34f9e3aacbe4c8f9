//! The header `Idempotency-Key`, and what makes two requests the same.
//!
//! The header follows draft-ietf-httpapi-idempotency-key-header: a structured field whose value is a string, `"8e03978e-40d5-43e8"`. Many clients
//! send it without the quotes; that is taken for the same key.

use axum::http::{HeaderMap, HeaderName};
use queue::{
    NewTask,
    keyed::{KEY_LIMIT, Unique, UniqueMode},
    task::Start,
};
use sha2::{Digest, Sha256};

use crate::problem::{Kind, Problem};

/// The header's name.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before, to a request with the same key.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Reads the header, if there is one.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(HEADER).iter();
    let Some(value) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(bad("given twice"));
    }
    let key = value.to_str().ok().and_then(parse).filter(|key| (1..=KEY_LIMIT).contains(&key.len()));
    key.map(Some).ok_or_else(|| {
        bad(&format!(
            "must be a string of 1 to {KEY_LIMIT} printable ASCII characters in quotes, such as \"8e03978e-40d5-43e8\""
        ))
    })
}

/// The string of a structured field (RFC 9651, 4.2.5), or what stands there without quotes. Parameters are not taken.
fn parse(value: &str) -> Option<String> {
    let value = value.trim_matches([' ', '\t']);
    let Some(rest) = value.strip_prefix('"') else {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\,;".contains(&byte);
        return value.bytes().all(is_plain).then(|| value.to_owned());
    };
    let mut key = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return characters.as_str().is_empty().then_some(key),
            '\\' => key.push(characters.next().filter(|escaped| ['"', '\\'].contains(escaped))?),
            plain @ ' '..='~' => key.push(plain),
            _ => return None,
        }
    }
}

fn bad(reason: &str) -> Problem {
    Problem::new(Kind::InvalidHeader, format!("Idempotency-Key: {reason}")).with("header", "Idempotency-Key")
}

/// Which route a request came to: the same body means something else on another one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    Task,
    Batch,
}

/// A hash of all that a request asks for: payloads byte for byte, and every option with its default. Replicas of one release and one configuration agree
/// on it.
pub(crate) fn fingerprint(route: Route, tasks: &[NewTask], unique: &[(usize, Unique)]) -> [u8; 32] {
    let mut hash = Fields(Sha256::new());
    hash.text(match route {
        Route::Task => "task 1",
        Route::Batch => "batch 1",
    });
    hash.number(tasks.len() as i128);
    for task in tasks {
        let options = &task.options;
        hash.text(options.lane.queue.as_str());
        hash.text(options.lane.kind.as_str());
        hash.number(options.priority.into());
        hash.number(options.max_attempts.into());
        hash.number(options.timeout.as_millis().cast_signed());
        match options.start {
            Start::Now => hash.text("now"),
            Start::After(delay) => {
                hash.text("after");
                hash.number(delay.as_millis().cast_signed());
            }
            Start::At(time) => {
                hash.text("at");
                hash.number(time.timestamp_micros().into());
            }
        }
        hash.text(task.payload.get());
        hash.text(task.callback_url.as_deref().unwrap_or_default());
    }
    for (index, Unique { key, mode }) in unique {
        hash.number(*index as i128);
        hash.text(key.as_str());
        hash.text(match mode {
            UniqueMode::Keep => "keep",
            UniqueMode::Replace => "replace",
        });
    }
    hash.0.finalize().into()
}

/// Fields one after the other, so that no two lists of them look the same.
struct Fields(Sha256);

impl Fields {
    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    fn number(&mut self, number: i128) {
        self.0.update(number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use axum::http::HeaderValue;
    use queue::{
        Json, Lane,
        keyed::UniqueKey,
        task::{Name, Options},
    };

    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, Kind> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        key(&headers).map_err(|problem| problem.kind())
    }

    #[test]
    fn keys_are_read_with_and_without_quotes() {
        let long = "x".repeat(KEY_LIMIT);
        for (value, key) in [
            ("\"abc\"", "abc"),
            ("abc", "abc"),
            ("  \"a b\"  ", "a b"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
            (&long, &long),
            (&format!("\"{long}\""), &long),
        ] {
            assert_eq!(read(&[value]), Ok(Some(key.to_owned())), "{value}");
        }
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn malformed_keys_are_refused() {
        let long = "x".repeat(KEY_LIMIT + 1);
        for value in [
            "",
            " ",
            "\"\"",
            "\"abc",
            "abc\"",
            "\"a\"b\"",
            r#""a\b""#,
            "\"a\";q=1",
            "a,b",
            "a b",
            "\"é\"",
            "é",
            "\"a\tb\"",
            &long,
        ] {
            assert_eq!(read(&[value]), Err(Kind::InvalidHeader), "{value}");
        }
        assert_eq!(read(&["a", "a"]), Err(Kind::InvalidHeader));
    }

    fn task(change: impl FnOnce(&mut NewTask)) -> NewTask {
        let name = |text: &str| Name::new(text).unwrap();
        let mut task = NewTask {
            options: Options {
                lane: Lane { queue: name("q"), kind: name("k") },
                priority: 0,
                max_attempts: 1,
                timeout: Duration::from_secs(1),
                start: Start::Now,
            },
            payload: Json::parse(b"1").unwrap(),
            callback_url: None,
        };
        change(&mut task);
        task
    }

    #[test]
    fn whatever_differs_makes_another_fingerprint() {
        let name = |text: &str| Name::new(text).unwrap();
        let unique = |key: &str, mode| Unique { key: UniqueKey::new(key).unwrap(), mode };
        let tasks = [
            task(|_| {}),
            task(|task| task.options.lane.queue = name("qk")),
            task(|task| task.options.lane.kind = name("other")),
            task(|task| task.options.priority = 1),
            task(|task| task.options.max_attempts = 2),
            task(|task| task.options.timeout = Duration::from_secs(2)),
            task(|task| task.options.start = Start::After(Duration::from_secs(2))),
            task(|task| task.options.start = Start::At(chrono::DateTime::UNIX_EPOCH)),
            task(|task| task.payload = Json::parse(b"1.0").unwrap()),
            task(|task| task.callback_url = Some("https://a.example/".into())),
        ];
        let mut all: Vec<_> =
            tasks.iter().map(|task| fingerprint(Route::Task, std::slice::from_ref(task), &[])).collect();
        let plain = &tasks[..1];
        assert_eq!(all[0], fingerprint(Route::Task, plain, &[]));
        all.push(fingerprint(Route::Batch, plain, &[]));
        all.push(fingerprint(Route::Batch, &[plain, plain].concat(), &[]));
        all.push(fingerprint(Route::Task, plain, &[(0, unique("a", UniqueMode::Keep))]));
        all.push(fingerprint(Route::Task, plain, &[(0, unique("a", UniqueMode::Replace))]));
        all.push(fingerprint(Route::Task, plain, &[(0, unique("b", UniqueMode::Keep))]));
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }
}
