//! What the API answers, and what that means to a load test.

use std::{error::Error, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{RequestBuilder, Response, StatusCode, header};
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::problem::Kind;

/// Longest answer, in bytes. A page of the API has up to 8 MiB of payloads and results, escaped as they were sent.
const ANSWER_LIMIT: usize = 32 << 20;
/// Most characters of an error's body that are logged.
const EXPLANATION_LIMIT: usize = 300;
/// Longest wait that an answer may ask for.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(30);

/// What became of a submit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Submitted {
    /// Stored, under this id.
    Accepted(Uuid),
    /// Certainly not stored.
    NotStored(Again),
    /// Stored or not: the answer was lost, or says that it does not know.
    Unknown(Again),
    /// Not stored, and sending it again changes nothing.
    Refused(String),
}

/// Why something must be asked again, and when at the earliest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) reason: String,
    pub(super) after: Duration,
}

/// Why a question has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may have one later.
    Again(Again),
    /// It never will.
    Refused(String),
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    retry_after: Duration,
    body: Bytes,
}

/// There is no answer.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) reason: String,
    /// The connection was never made.
    pub(super) is_unsent: bool,
}

impl Answer {
    /// As the answer to POST /tasks.
    pub(super) fn of_submit(&self) -> Submitted {
        #[derive(Deserialize)]
        struct Id {
            id: Uuid,
        }
        let again = || Again { reason: self.explained(), after: self.retry_after };
        let is_harmless =
            || [Kind::Busy, Kind::DatabaseUnavailable, Kind::Stopping].into_iter().any(|kind| self.is(kind));
        match self.status {
            StatusCode::CREATED => match serde_json::from_slice(&self.body) {
                Ok(Id { id }) => Submitted::Accepted(id),
                Err(_) => Submitted::Unknown(Again { reason: "HTTP 201 without an id".to_owned(), ..again() }),
            },
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Submitted::NotStored(again()),
            StatusCode::SERVICE_UNAVAILABLE if is_harmless() => Submitted::NotStored(again()),
            // Also of a load balancer that lost its connection to the API.
            status if status.is_server_error() => Submitted::Unknown(again()),
            _ => Submitted::Refused(format!("POST /tasks: {}", self.explained())),
        }
    }

    /// As the answer to a question.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Trouble> {
        match self.status {
            StatusCode::OK => serde_json::from_slice(&self.body)
                .map_err(|error| Trouble::Refused(format!("an answer is not that of a Taskrow API: {error}"))),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(self.again()),
            status if status.is_server_error() => Err(self.again()),
            _ => Err(Trouble::Refused(format!("a question about tasks: {}", self.explained()))),
        }
    }

    fn again(&self) -> Trouble {
        Trouble::Again(Again { reason: self.explained(), after: self.retry_after })
    }

    /// Whether it is this problem.
    pub(super) fn is(&self, kind: Kind) -> bool {
        #[derive(Deserialize)]
        struct Typed {
            r#type: String,
        }
        serde_json::from_slice(&self.body).is_ok_and(|Typed { r#type }| r#type == kind.path())
    }

    /// The status, and what the API says about it or the beginning of what else there is.
    pub(super) fn explained(&self) -> String {
        #[derive(Deserialize)]
        struct Problem {
            title: String,
            detail: String,
        }
        let text = match serde_json::from_slice(&self.body) {
            Ok(Problem { title, detail }) => format!("{title}: {detail}"),
            Err(_) => String::from_utf8_lossy(&self.body).into_owned(),
        };
        let start: String = text.chars().take(EXPLANATION_LIMIT).collect();
        let words: Vec<_> = start.split_whitespace().collect();
        format!("HTTP {} {}", self.status.as_u16(), words.join(" ")).trim_end().to_owned()
    }
}

impl From<Lost> for Trouble {
    fn from(lost: Lost) -> Self {
        Self::Again(Again { reason: lost.reason, after: Duration::ZERO })
    }
}

/// Sends a request and reads its answer.
pub(super) async fn send(request: RequestBuilder) -> Result<Answer, Lost> {
    let lost = |error: reqwest::Error| Lost { is_unsent: error.is_connect(), reason: reason(&error.without_url()) };
    let response = request.send().await.map_err(lost)?;
    let (status, retry_after) = (response.status(), retry_after(&response));
    let body = body(response).await.map_err(|reason| Lost { reason, is_unsent: false })?;
    Ok(Answer { status, retry_after, body })
}

async fn body(mut response: Response) -> Result<Bytes, String> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error.without_url()))? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(format!("the answer is over {ANSWER_LIMIT} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Zero without a number of seconds; the form with a date is a proxy's at most, and the wait between tries will do.
fn retry_after(response: &Response) -> Duration {
    let text = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.trim().parse().ok()).map_or(Duration::ZERO, Duration::from_secs).min(RETRY_AFTER_LIMIT)
}

/// An error with its sources, on one line.
pub(super) fn reason(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_test::client::Page;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: Duration::from_secs(2),
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn a_submit_counts_as_not_stored_only_when_that_is_certain() {
        let id = Uuid::from_u128(7);
        assert_eq!(answer(201, &format!(r#"{{"id":"{id}"}}"#)).of_submit(), Submitted::Accepted(id));
        let problem =
            |kind: Kind| answer(kind.status().as_u16(), &format!(r#"{{"type":"{}"}}"#, kind.path())).of_submit();
        for kind in Kind::ALL {
            let submitted = problem(kind);
            match kind {
                Kind::QueueFull
                | Kind::Busy
                | Kind::DatabaseUnavailable
                | Kind::RateLimited
                | Kind::RequestTimeout
                | Kind::Stopping => {
                    assert!(
                        matches!(&submitted, Submitted::NotStored(again) if again.after.as_secs() == 2),
                        "{submitted:?}"
                    );
                }
                Kind::OutcomeUnknown | Kind::Internal => {
                    assert!(matches!(submitted, Submitted::Unknown(_)), "{submitted:?}")
                }
                _ => assert!(matches!(submitted, Submitted::Refused(_)), "{submitted:?}"),
            }
        }
        for (status, body) in [(201, ""), (503, ""), (503, "no healthy upstream"), (502, ""), (504, "")] {
            assert!(matches!(answer(status, body).of_submit(), Submitted::Unknown(_)), "{status} {body}");
        }
        for status in [200, 302, 401, 404] {
            assert!(matches!(answer(status, "").of_submit(), Submitted::Refused(_)), "{status}");
        }
    }

    #[test]
    fn questions_are_asked_again_only_when_that_may_help() {
        for status in [408, 429, 500, 502, 503] {
            assert!(matches!(answer(status, "").read::<Page>(), Err(Trouble::Again(_))), "{status}");
        }
        for (status, body) in [(200, "<html>"), (302, ""), (404, ""), (422, "")] {
            assert!(matches!(answer(status, body).read::<Page>(), Err(Trouble::Refused(_))), "{status}");
        }
        assert!(answer(200, r#"{"tasks":[],"next_cursor":null}"#).read::<Page>().is_ok());
    }
}
