//! What never leaves a worker but to the receiver it is for.

use axum::{http::StatusCode, response::IntoResponse};
use queue::Status;
use serde_json::json;

use super::{
    Files, KIND, Setup,
    receiver::{Got, Receiver},
};
use crate::support::{
    process::Process,
    queue::{Queue, task},
};

const TOKEN: &str = "s3cret-t0ken-0123456789";
const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazfgh5S3NiM=";

/// Answers with what it was sent, as debugging aids do.
async fn echoing(status: StatusCode) -> Receiver {
    Receiver::start(move |_, got: &Got| (status, format!("{:?}", got.headers)).into_response()).await
}

fn lines(receiver: &Receiver) -> String {
    let secrets =
        "secret_headers = { Authorization = \"DIR/token\", X-Key = \"DIR/token\" }\nsigning_keys = [\"DIR/key\"]";
    format!("url = \"{}\"\n{secrets}", receiver.url("/"))
}

fn files() -> [(&'static str, String); 2] {
    [("token", format!("Bearer {TOKEN}\n")), ("key", format!("{KEY}\n"))]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_header_is_in_no_error_and_no_result() {
    let files = files();
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let receiver = echoing(StatusCode::OK).await;
    let setup = Setup::kind_and(&lines(&receiver), &files).await;
    let result = setup.result("1").await.to_string();
    assert_eq!(receiver.only().header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert!(result.contains("[secret]") && !result.contains(TOKEN), "{result}");

    let receiver = echoing(StatusCode::FORBIDDEN).await;
    let setup = Setup::kind_and(&lines(&receiver), &files).await;
    let error = setup.fails_at_once("1").await;
    assert!(error.contains("[secret]") && !error.contains(TOKEN), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_written_as_json_is_redacted_too() {
    let receiver = Receiver::start(|_, _: &Got| r#"{"plain": "s3/cret+0123", "escaped": "s3\/cret+0123"}"#).await;
    let lines = format!("url = \"{}\"\nsecret_headers = {{ X-Key = \"DIR/token\" }}", receiver.url("/"));
    let setup = Setup::kind_and(&lines, &[("token", "s3/cret+0123\n")]).await;
    assert_eq!(setup.result("1").await["body"], json!(r#"{"plain": "[secret]", "escaped": "[secret]"}"#));
}

/// Wherever the limit cuts.
#[tokio::test(flavor = "multi_thread")]
async fn not_even_the_beginning_of_a_secret_is_kept() {
    let receiver = Receiver::start(|_, _: &Got| format!("0123456789{TOKEN}")).await;
    for limit in [10, 11, 20, 32, 33] {
        let lines = format!("{}\nresponse_limit = {limit}", lines(&receiver));
        let files = files();
        let setup = Setup::kind_and(&lines, &files.each_ref().map(|(name, text)| (*name, text.as_str()))).await;
        let body = setup.result("1").await["body"].as_str().expect("text").to_owned();
        assert!(body == "0123456789[secret]" || "0123456789[secret]".starts_with(&body), "{limit}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_tells_of_secrets_payloads_or_targets() {
    let receiver = echoing(StatusCode::BAD_REQUEST).await;
    let file = format!(
        "[kinds.{KIND}]\ntype = \"http\"\n{}\n[callbacks]\nallow = [\"https://hooks.example\"]",
        lines(&receiver)
    );
    let files_ = files();
    let mut all = vec![("kinds.toml", file.as_str())];
    all.extend(files_.each_ref().map(|(name, text)| (*name, text.as_str())));
    let files = Files::new(&all);
    let path = files.path("kinds.toml");
    let queue = Queue::new().await;
    // Nobody listens there: whoever asked a proxy of the environment would get no answer.
    let proxies = [
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
        ("ALL_PROXY", "http://127.0.0.1:1"),
    ];
    let settings = [&[("RUST_LOG", "trace"), ("WORKER_HANDLERS", path.to_str().expect("text"))], &proxies[..]].concat();
    let worker = Process::start(&queue, &settings);
    let id = queue.submit_one(task(KIND, r#"{"patient": "Doe"}"#)).await;
    let error = queue.reaches(id, Status::Failed).await.error.expect("a reason");
    assert!(error.starts_with("HTTP 400 "), "the receiver itself was asked: {error}");
    let callback = json!({"url": "https://inside.example/?token=t0p", "event": {"patient": "Doe"}}).to_string();
    let refused = queue.submit_one(task("taskrow.callback", &callback)).await;
    queue.reaches(refused, Status::Failed).await;
    let output = worker.output();
    assert!(output.contains("not sent"), "a refusal is worth a line");
    for secret in [TOKEN, KEY, "MV+b5sSYspob7oDazfgh5S3NiM", "Doe", "t0p", "inside.example"] {
        assert!(!output.contains(secret), "{secret} is in the log");
    }
}
