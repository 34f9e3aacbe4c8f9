//! How the binary gets into Postgres, and what of that shows.

use std::{
    net::Ipv4Addr,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
};

use local_pg::{Server, testing};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;
use tokio::task::spawn_blocking;

use crate::support::{
    eventually,
    process::Process,
    queue::{Queue, task},
};

/// What people put into passwords.
const PASSWORDS: [&str; 5] = ["p@ss:w/rd%", "%41%zz ?#&=+", "'\"\\$`", "pässwörd ☃", "  spaces  "];

/// A role that must give its password (SCRAM), and owns the database.
async fn role(queue: &Queue, password: &str) {
    let quoted = password.replace('\'', "''");
    let database = queue.url.rsplit('/').next().expect("a name");
    let role = format!("app_{database}");
    // What a worker made as this role is its own, so it is made once.
    let is_there = queue.count(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{role}'")).await == 1;
    let verb = if is_there { "ALTER" } else { "CREATE" };
    queue
        .execute(&format!(
            "SET password_encryption = 'scram-sha-256'; {verb} ROLE {role} LOGIN SUPERUSER PASSWORD '{quoted}'"
        ))
        .await;
}

/// Host and port, and name of the database.
fn location(url: &str) -> (&str, &str, &str) {
    let (authority, name) = url.rsplit_once('@').expect("a user").1.split_once('/').expect("a name");
    let (host, port) = authority.split_once(':').expect("a port");
    (host, port, name)
}

async fn works(queue: &Queue, worker: &Process) {
    worker.registered(1).await;
    let id = queue.submit_one(task("echo", r#""pay10ad-secret""#)).await;
    queue.done_at(&[id], 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_password_works_and_none_is_logged() {
    let queue = Queue::new().await;
    let (host, port, name) = location(&queue.url);
    let user = format!("app_{name}");
    for password in PASSWORDS {
        role(&queue, password).await;
        let parts =
            [("DATABASE_HOST", host), ("DATABASE_PORT", port), ("DATABASE_NAME", name), ("DATABASE_USER", &user)];
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), format!("{password}\n")).expect("written");
        let path = file.path().to_str().expect("text").to_owned();
        let url = format!("postgresql://{user}@{host}:{port}/{name}");
        let by_parts: Vec<_> = parts.into_iter().chain([("POSTGRES_PASSWORD", password)]).collect();
        for settings in [
            by_parts,
            vec![("DATABASE_URL", url.as_str()), ("POSTGRES_PASSWORD", password)],
            vec![("DATABASE_URL", url.as_str()), ("POSTGRES_PASSWORD_FILE", path.as_str())],
        ] {
            let mut worker = Process::start_with(&[settings.as_slice(), &[("RUST_LOG", "trace")]].concat());
            works(&queue, &worker).await;
            worker.signal(Signal::TERM);
            assert_eq!(worker.ended().await.code(), Some(0));
            let output = worker.output();
            assert!(!output.contains(password), "the password is in the log");
            assert!(!output.contains("pay10ad-secret"), "the payload is in the log");
        }
    }
    // As the tutorial writes it: in the URL, not encoded.
    role(&queue, PASSWORDS[0]).await;
    let url = format!("postgresql://{user}:{}@{host}:{port}/{name}", PASSWORDS[0]);
    let worker = Process::start_with(&[("DATABASE_URL", &url)]);
    works(&queue, &worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_ready_and_not_shown() {
    let queue = Queue::new().await;
    role(&queue, "right").await;
    let (host, port, name) = location(&queue.url);
    let url = format!("postgresql://app_{name}:wr0ng-secret@{host}:{port}/{name}");
    let worker = Process::start_with(&[("DATABASE_URL", &url), ("RUST_LOG", "trace")]);
    let body = eventually("it was refused", async || {
        let (status, body) = worker.get("/ready").await;
        assert_eq!(status, 503);
        body.contains("password authentication failed").then_some(body)
    })
    .await;
    assert!(!body.contains("wr0ng-secret") && !worker.output().contains("wr0ng-secret"));
}

/// An authority, and a server whose certificate it signed for this name.
fn server_with_tls(name: &str) -> (Server, tempfile::TempDir) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).expect("parameters").signed_by(&key, &authority).expect("signed");
    // Postgres wants to own its key; whose account that is, only its data directory tells.
    let mut server = testing::server_with(&[]);
    let data = server.data_dir();
    let owner = std::fs::metadata(&data).expect("its directory");
    for (file, text) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        let path = data.join(file);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("closed");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("given");
    }
    std::fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").expect("written");
    server.restart(local_pg::StopMode::Fast).expect("restarts");
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("ca.pem"), authority.pem()).expect("written");
    (server, dir)
}

/// Whether all of the worker's connections are encrypted, or none is.
async fn is_encrypted(queue: &Queue, expected: bool) -> bool {
    let all = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'taskrow worker %'";
    queue.execute(&format!("SELECT bool_and(ssl = {expected}) {all}")).await == "t"
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_encrypted_as_told() {
    let (server, dir) = spawn_blocking(|| server_with_tls("127.0.0.1")).await.expect("a server");
    let queue = Queue::on(&server).await;
    let ca = dir.path().join("ca.pem").to_str().expect("text").to_owned();
    let mode = |mode| ("DATABASE_SSLMODE", mode);
    for (settings, expected) in [
        (vec![mode("disable")], false),
        (vec![mode("require")], true),
        (vec![mode("prefer")], true),
        (vec![], true),
        (vec![mode("verify-full"), ("DATABASE_CA_FILE", &ca)], true),
    ] {
        let mut worker = Process::start(&queue, &settings);
        works(&queue, &worker).await;
        assert!(is_encrypted(&queue, expected).await, "{settings:?}");
        worker.signal(Signal::TERM);
        assert_eq!(worker.ended().await.code(), Some(0));
    }
    let url = format!("{}?sslmode=verify-full&sslrootcert={ca}", queue.url);
    works(&queue, &Process::start_with(&[("DATABASE_URL", &url)])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_fit_is_refused() {
    let (server, dir) = spawn_blocking(|| server_with_tls("elsewhere.example")).await.expect("a server");
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(dir.path().join("stranger.pem"), stranger.cert.pem()).expect("written");
    let queue = Queue::on(&server).await;
    for ca in ["ca.pem", "stranger.pem"] {
        let ca = dir.path().join(ca).to_str().expect("text").to_owned();
        let worker = Process::start(&queue, &[("DATABASE_SSLMODE", "verify-full"), ("DATABASE_CA_FILE", &ca)]);
        let reason = eventually("it was refused", async || {
            let (status, body) = worker.get("/ready").await;
            assert_eq!(status, 503);
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            let reason = body["dependencies"]["postgres"].as_str().expect("a reason").to_owned();
            (reason != "not reached yet").then_some(reason)
        })
        .await;
        assert!(reason.contains("certificate"), "{ca}: {reason}");
        assert_eq!(worker.identities(), [0_i64; 0]);
    }
    // `require` encrypts, and asks nobody who that is.
    works(&queue, &Process::start(&queue, &[("DATABASE_SSLMODE", "require")])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_encryption_is_refused_when_it_is_required() {
    let queue = Queue::new().await;
    assert!(queue.url.contains(&Ipv4Addr::LOCALHOST.to_string()));
    let worker = Process::start(&queue, &[("DATABASE_SSLMODE", "require")]);
    eventually("it was refused", async || {
        let (status, body) = worker.get("/ready").await;
        assert_eq!(status, 503);
        body.contains("TLS").then_some(())
    })
    .await;
}
