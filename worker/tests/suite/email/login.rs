//! Encryption, and who the worker says it is.

use serde_json::json;

use super::{
    Post, file, kind,
    server::{MailServer, certificates},
    to,
};
use crate::support::{
    process::Process,
    queue::{Queue, task},
};

const PASSWORD: &str = "s3cret p@ss:w/rd";

fn with_password(server_settings: &mut serde_json::Value) -> tempfile::TempDir {
    server_settings["user"] = json!("worker");
    server_settings["password"] = json!(PASSWORD);
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("password"), format!("{PASSWORD}\n")).expect("written");
    std::fs::write(dir.path().join("wrong"), "another\n").expect("written");
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_encrypted_as_told() {
    let certificates = certificates("127.0.0.1");
    let path = |name: &str| certificates.path().join(name).to_str().expect("text").to_owned();
    for tls in ["starttls", "implicit"] {
        let mut settings = json!({"tls": tls, "certificate": path("server.pem"), "key": path("server.key")});
        let secrets = with_password(&mut settings);
        let server = MailServer::with(settings).await;
        let ca = path("ca.pem");
        let lines = format!(
            "tls = \"{tls}\"\nca_file = \"{ca}\"\nusername = \"worker\"\npassword_file = \"{}/password\"",
            secrets.path().display()
        );
        let post = Post::with(&kind(server.port, &lines)).await;
        post.sent(&to("ann@example.com")).await;
        let mail = server.received(1).await.remove(0);
        assert_eq!((&mail["encrypted"], &mail["user"]), (&json!(true), &json!("worker")), "{tls}");

        // The system's authorities did not sign it.
        let post = Post::with(&kind(server.port, &format!("tls = \"{tls}\""))).await;
        let (error, attempt) = post.failed(&to("ann@example.com")).await;
        assert!(error.starts_with("cannot use ") && error.contains("certificate") && attempt == 3, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_refused() {
    let certificates = certificates("elsewhere.example");
    let path = |name: &str| certificates.path().join(name).to_str().expect("text").to_owned();
    let settings = json!({"tls": "implicit", "certificate": path("server.pem"), "key": path("server.key")});
    let server = MailServer::with(settings).await;
    let ca = path("ca.pem");
    let post = Post::with(&kind(server.port, &format!("tls = \"implicit\"\nca_file = \"{ca}\""))).await;
    let (error, _) = post.failed(&to("ann@example.com")).await;
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_encryption_nothing_is_said_to_a_server_that_should_have_it() {
    let server = MailServer::start().await;
    let post = Post::with(&kind(server.port, "")).await;
    let (error, attempt) = post.failed(&to("ann@example.com")).await;
    assert!(error.contains("STARTTLS is not supported") && attempt == 3, "{error}");
    assert_eq!(server.mails().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_the_operators_mistake_and_in_no_log() {
    let mut settings = json!({});
    let secrets = with_password(&mut settings);
    let server = MailServer::with(settings).await;
    let login = |file: &str| {
        let dir = secrets.path().display();
        format!("tls = \"none\"\nusername = \"worker\"\npassword_file = \"{dir}/{file}\"")
    };
    let post = Post::with(&kind(server.port, &login("wrong"))).await;
    let (error, attempt) = post.failed(&to("ann@example.com")).await;
    assert!(error.contains("did not take username and password: permanent error (535)") && attempt == 3, "{error}");
    let nobody = Post::with(&kind(server.port, "tls = \"none\"")).await;
    let (error, attempt) = nobody.failed(&to("ann@example.com")).await;
    assert!(error.contains("(530)") && attempt == 3, "{error}");

    // The real process, at its most talkative: neither secrets nor what clients write.
    let queue = Queue::new().await;
    let file = file(&kind(server.port, &login("password")));
    let path = file.path().join("kinds.toml");
    let settings = [("WORKER_HANDLERS", path.to_str().expect("text")), ("RUST_LOG", "trace")];
    let worker = Process::start(&queue, &settings);
    let id = queue
        .submit_one(task("email", &json!({"to": "ann@example.com", "subject": "s3cret", "text": "s3cret"}).to_string()))
        .await;
    queue.reaches(id, queue::Status::Done).await;
    assert!(!worker.output().contains("s3cret") && !worker.output().contains("ann@example.com"));
}
