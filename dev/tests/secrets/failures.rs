//! Processes whose passwords are wrong, or that reach nobody: they run, and say why they are not ready.

use crate::{
    eventually::eventually,
    evidence::{Evidence, POSTGRES, REDIS, WRONG, encoded},
    servers::Servers,
    support::{process::Process, release::Release},
};

/// Waits until api and worker say this reason; what can be seen of them.
async fn fail(url: &str, settings: &[(&str, &str)], reason: &str) {
    let settings = [settings, &[("RUST_LOG", "trace"), ("API_DRAIN_DELAY", "0s")]].concat();
    let mut evidence = Evidence::default();
    for name in ["api", "worker"] {
        let mut process = Process::start(&Release::current(), name, url, &settings).await;
        eventually(async || {
            let body = process.text("/ready").await;
            body.contains(reason).then_some(()).ok_or(body)
        })
        .await;
        if name == "api" {
            // Refused: there is nobody to store it.
            let (status, body) = process.call("POST", "/tasks", &serde_json::json!(1)).await;
            evidence.add("a submit", format!("{status} {body}"));
        }
        evidence.add_process(name, &process).await;
        process.stop().await;
        evidence.add_log(name, &process);
        assert!(evidence.holds(&format!("{name} /ready"), reason));
    }
    evidence.is_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_for_postgres_does_not_show() {
    let servers = Servers::start().await;
    fail(&servers.url(Some(WRONG)), &[], "password authentication failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_for_redis_does_not_show() {
    let servers = Servers::start().await;
    let redis = format!("redis://:{}@{}", encoded(WRONG), servers.redis.address());
    let settings = [("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", redis.as_str())];
    fail(&servers.url(Some(POSTGRES)), &settings, "authentication failed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_listens_is_told_without_the_password() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url = format!("postgresql://app:{}@{nobody}/app", encoded(POSTGRES));
    let redis = format!("redis://:{}@{nobody}", encoded(REDIS));
    fail(&url, &[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", &redis)], "refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_that_fails_is_told_without_the_password() {
    let servers = Servers::start().await;
    fail(&servers.url(Some(POSTGRES)), &[("DATABASE_SSLMODE", "require")], "TLS").await;
}
