//! What a client cannot make a worker reach.

use axum::{http::StatusCode, response::IntoResponse};
use serde_json::json;

use super::{
    Setup,
    receiver::{Got, Receiver},
};

const REFUSED: &str = "the target's address is private or reserved, which this worker does not let others choose";

/// However its address is written, and by any name.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_reaches_no_private_address() {
    let receiver = Receiver::start(|_, _: &Got| "ok").await;
    let port = receiver.address.port();
    let hosts = [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "127.1",
        "127.0.0.1.",
        "localhost",
        "LOCALHOST",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::1]",
        "[::]",
        "0",
        "0.0.0.0",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fc00::1]",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "%31%32%37.0.0.1",
        "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
    ];
    let allow: Vec<String> = hosts.iter().map(|host| format!("http://{host}:{port}")).collect();
    let setup = Setup::kind(&format!("allow = {allow:?}")).await;
    for url in allow {
        assert_eq!(setup.fails_at_once(&json!({"url": url}).to_string()).await, REFUSED, "{url}");
    }
    assert_eq!(receiver.got().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_own_target_may_be_private_and_by_permission_a_clients() {
    let receiver = Receiver::start(|_, _: &Got| "ok").await;
    let by_name = receiver.url("/").replace("127.0.0.1", "localhost");
    Setup::kind(&format!("url = \"{by_name}\"")).await.result("1").await;
    let setup =
        Setup::kind(&format!("allow = [\"{by_name}\", \"http://169.254.169.254\"]\nallow_private = true")).await;
    setup.result(&json!({"url": by_name}).to_string()).await;
    assert_eq!(receiver.got().len(), 2);
    // What only the machine's own network answers at is never a client's to choose.
    assert_eq!(setup.fails_at_once(r#"{"url": "http://169.254.169.254/latest/meta-data"}"#).await, REFUSED);
}

/// The receiver is the operator's; where it sends us is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_leads_to_no_private_address() {
    let inside = Receiver::start(|_, _: &Got| "secret").await;
    let port = inside.address.port();
    for host in ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let location = format!("http://{host}:{port}/");
        let receiver = Receiver::start(move |_, _: &Got| redirect(&location)).await;
        let setup = Setup::kind(&format!("url = \"{}\"\nredirects = 3", receiver.url("/"))).await;
        assert_eq!(setup.fails_at_once("1").await, REFUSED, "{host}");
    }
    assert_eq!(inside.got().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_leads_a_client_nowhere_it_could_not_have_gone() {
    let inside = Receiver::start(|_, _: &Got| "secret").await;
    let location = inside.url("/");
    let receiver = Receiver::start(move |_, _: &Got| redirect(&location)).await;
    let lines = format!("allow = [\"{}\"]\nallow_private = true\nredirects = 3", receiver.url(""));
    let setup = Setup::kind(&lines).await;
    let error = setup.fails_at_once(&json!({"url": receiver.url("/")}).to_string()).await;
    assert_eq!(error, "HTTP 307 Temporary Redirect: a redirect that is not followed");
    assert_eq!((receiver.got().len(), inside.got().len()), (1, 0));
}

fn redirect(location: &str) -> axum::response::Response {
    (StatusCode::TEMPORARY_REDIRECT, [("location", location.to_owned())]).into_response()
}
