//! What each class of answers does to a task.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::TimeDelta;
use queue::Status;

use super::{Setup, receiver::Receiver};

fn answer(code: u16, body: &'static str) -> impl Fn() -> Response + Clone {
    move || (StatusCode::from_u16(code).expect("a status"), body).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again() {
    for code in [408, 409, 425, 429, 500, 502, 503, 504, 599] {
        let receiver = Receiver::once(answer(code, "come\n back")).await;
        let setup = Setup::kind(&format!("url = \"{}\"", receiver.url("/"))).await;
        let error = setup.retries("1").await;
        assert!(error.starts_with(&format!("HTTP {code} ")) && error.ends_with(": come back"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_not_change_fails_at_once() {
    for code in [400, 401, 403, 404, 410, 422, 451, 301, 304] {
        let receiver = Receiver::once(answer(code, "")).await;
        let setup = Setup::kind(&format!("url = \"{}\"", receiver.url("/"))).await;
        let error = setup.fails_at_once("1").await;
        assert!(error.starts_with(&format!("HTTP {code} ")), "{error}");
        assert_eq!(receiver.got().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_explanation_is_cut() {
    let receiver = Receiver::once(|| (StatusCode::BAD_REQUEST, "no ".repeat(100_000)).into_response()).await;
    let setup = Setup::kind(&format!("url = \"{}\"", receiver.url("/"))).await;
    let error = setup.fails_at_once("1").await;
    assert!(error.starts_with("HTTP 400 Bad Request: no no ") && error.len() < 600, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_says_how_long_to_leave_it_alone() {
    // A date, far in the future: it is cut to an hour, and a tenth of it may be added.
    for (value, least, most) in [("1800", 1_800, 1_980), ("Fri, 31 Dec 9999 23:59:59 GMT", 3_600, 3_960)] {
        let busy = move || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", value)]).into_response();
        let receiver = Receiver::once(busy).await;
        let setup = Setup::kind(&format!("url = \"{}\"", receiver.url("/"))).await;
        let id = setup.submit("1").await;
        let task = setup.queue.reaches(id, Status::Scheduled).await;
        let wait = task.run_at.expect("it is due") - task.updated_at;
        let slack = TimeDelta::seconds(60);
        assert!(wait > TimeDelta::seconds(least) - slack && wait < TimeDelta::seconds(most) + slack, "{value}: {wait}");
    }
}
