//! Signatures, checked by the specification's own library.

use axum::{http::StatusCode, response::IntoResponse};
use standardwebhooks::Webhook;

use super::{
    Setup,
    receiver::{Got, Receiver},
};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazfgh5S3NiM=";
const STRANGE: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn holds(got: &Got, secret: &str) -> bool {
    Webhook::new(secret).expect("a secret").verify(&got.body, &got.headers).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_can_check_every_attempt_with_either_key() {
    let receiver = Receiver::once(|| StatusCode::SERVICE_UNAVAILABLE.into_response()).await;
    let lines = format!("url = \"{}\"\nsigning_keys = [\"DIR/new\", \"DIR/old\"]", receiver.url("/"));
    let setup = Setup::kind_and(&lines, &[("new", NEW), ("old", OLD)]).await;
    setup.retries(r#"{"a":  "\u00e4"}"#).await;
    for mut got in receiver.got() {
        assert!(holds(&got, NEW) && holds(&got, OLD) && !holds(&got, STRANGE), "{got:?}");
        assert_eq!(got.header("webhook-signature").expect("signatures").split(' ').count(), 2);
        got.body = got.body.slice(1..);
        assert!(!holds(&got, NEW), "what was changed on its way is found out");
    }
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_addresses_is_signed_too() {
    let receiver = Receiver::start(|_, _: &Got| "ok").await;
    let lines = format!("allow = [\"{}\"]\nallow_private = true\nsigning_keys = [\"DIR/key\"]", receiver.url(""));
    let setup = Setup::kind_and(&lines, &[("key", NEW)]).await;
    setup.result(&format!(r#"{{"url": "{}", "body": {{"a": 1}}}}"#, receiver.url("/"))).await;
    assert!(holds(&receiver.only(), NEW) && !holds(&receiver.only(), OLD));
}
