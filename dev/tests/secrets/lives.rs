//! Processes that have the right passwords, work, lose their connections, work again, and stop.

use serde_json::json;

use crate::{
    eventually::eventually,
    evidence::{Evidence, POSTGRES, REDIS, encoded},
    servers::{Servers, file, path},
    support::{process::Process, release::Release},
};

/// Lives through it all; what can be seen of it.
async fn live(servers: &Servers, url: &str, settings: &[(&str, &str)]) -> Evidence {
    let settings = [settings, &[("RUST_LOG", "trace"), ("QUEUE_BACKEND", "redis"), ("API_DRAIN_DELAY", "0s")]].concat();
    let release = Release::current();
    let mut api = Process::start(&release, "api", url, &settings).await;
    let mut worker = Process::start(&release, "worker", url, &settings).await;
    for round in 0..2 {
        api.ready().await;
        worker.ready().await;
        let id = eventually(async || {
            let (status, task) = api.call("POST", "/tasks", &json!({"round": round})).await;
            (status == 201).then(|| task["id"].as_str().expect("an id").to_owned()).ok_or_else(|| task.to_string())
        })
        .await;
        eventually(async || {
            let (_, task) = api.get(&format!("/tasks/{id}")).await;
            (task["status"] == "done").then_some(()).ok_or_else(|| task.to_string())
        })
        .await;
        servers.break_connections().await;
    }
    let mut evidence = Evidence::default();
    for (name, process) in [("api", &mut api), ("worker", &mut worker)] {
        evidence.add_process(name, process).await;
        process.stop().await;
        evidence.add_log(name, process);
        assert!(evidence.holds(&format!("{name}'s log"), "the connection broke"), "nothing went wrong");
    }
    let cleaned = release.run("worker", url, &["cleanup", "--log-level", "trace"]).await;
    evidence.add_ended("cleanup", &cleaned);
    evidence
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_in_urls_do_not_show() {
    let servers = Servers::start().await;
    let redis = format!("redis://:{}@{}", encoded(REDIS), servers.redis.address());
    live(&servers, &servers.url(Some(POSTGRES)), &[("REDIS_ADDR", &redis)]).await.is_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_in_variables_do_not_show() {
    let servers = Servers::start().await;
    let redis = servers.redis.address();
    let settings = [("POSTGRES_PASSWORD", POSTGRES), ("REDIS_ADDR", &redis), ("REDIS_PASSWORD", REDIS)];
    live(&servers, &servers.url(None), &settings).await.is_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_in_files_do_not_show() {
    let servers = Servers::start().await;
    let files = (file(POSTGRES), file(REDIS));
    let (postgres, redis, address) = (path(&files.0), path(&files.1), servers.redis.address());
    let settings =
        [("POSTGRES_PASSWORD_FILE", postgres.as_str()), ("REDIS_ADDR", &address), ("REDIS_PASSWORD_FILE", &redis)];
    live(&servers, &servers.url(None), &settings).await.is_clean();
}
