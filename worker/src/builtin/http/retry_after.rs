//! How long a receiver asks to be left alone.

use std::time::{Duration, SystemTime};

use hyper::header::{HeaderMap, RETRY_AFTER};

/// Longest wait that a receiver can ask for: as long as the worker's own schedule waits at most by default.
const CAP: Duration = Duration::from_secs(3600);
/// A tenth is added at random, for tasks that were turned away together.
const JITTER: f64 = 0.1;

/// What `Retry-After` asks for, jitter included; none if it is absent, no wait at all, or neither a number of seconds nor a date.
pub(super) fn wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let asked = asked(headers.get(RETRY_AFTER)?.to_str().ok()?.trim(), now)?;
    Some(asked.mul_f64(1.0 + JITTER * fastrand::f64()))
}

fn asked(value: &str, now: SystemTime) -> Option<Duration> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let asked = if is_number {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).ok()?
    };
    (!asked.is_zero()).then_some(asked.min(CAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood_and_capped() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (value, seconds) in [
            ("7", Some(7)),
            ("3600", Some(3600)),
            ("3601", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:36 GMT", None),
            ("0", None),
            ("-1", None),
            ("1.5", None),
            ("+5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(asked(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }

    #[test]
    fn the_jitter_only_adds_and_only_a_tenth() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "100".parse().unwrap())]);
        for _ in 0..1000 {
            let wait = wait(&headers, SystemTime::now()).unwrap();
            assert!((100.0..=110.0).contains(&wait.as_secs_f64()), "{wait:?}");
        }
        assert_eq!(wait(&HeaderMap::new(), SystemTime::now()), None);
    }
}
