//! How a worker gets into Redis, and what of that shows.

use local_redis::Installation;
use queue::Status;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;

use crate::{
    server::{Redis, have_looked},
    support::{
        backend::Backend,
        eventually,
        process::{Process, run},
        queue::{Queue, task, tasks},
    },
};

/// Each with what its message must name.
const BAD: &[(&[(&str, &str)], &str)] = &[
    (&[("QUEUE_BACKEND", "redis")], "REDIS_ADDR"),
    (&[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", "")], "REDIS_ADDR"),
    (&[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", "s3cret")], "REDIS_ADDR"),
    (&[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", "http://:s3cret@redis:6379")], "REDIS_ADDR"),
    (&[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", "redis://:s3cret@redis:port")], "REDIS_ADDR"),
    (&[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", "redis://:s3cret@redis/x")], "REDIS_ADDR"),
    (&[("QUEUE_BACKEND", "kafka"), ("REDIS_ADDR", "redis://:s3cret@redis")], "queue-backend"),
    (&[("QUEUE_BACKEND", ""), ("REDIS_ADDR", "redis://:s3cret@redis")], "queue-backend"),
    (
        &[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", "r:1"), ("REDIS_PASSWORD_FILE", "/nowhere/x")],
        "REDIS_PASSWORD_FILE",
    ),
    (&[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", "rediss://r"), ("REDIS_CA_FILE", "/nowhere/x")], "REDIS_CA_FILE"),
    (&[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", "r:1"), ("REDIS_CA_FILE", "/etc/hostname")], "REDIS_CA_FILE"),
    (&[("QUEUE_BACKEND", "redis"), ("REDIS_ADDR", "rediss://r"), ("REDIS_CA_FILE", "/etc/hostname")], "REDIS_CA_FILE"),
];

#[tokio::test(flavor = "multi_thread")]
async fn bad_settings_are_one_line_and_exit_64() {
    for (settings, blamed) in BAD {
        let ended = run(&[], &[settings, &[("DATABASE_URL", "postgresql://app@db/app")][..]].concat()).await;
        assert_eq!(ended.code, Some(64), "{settings:?}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{settings:?}: {ended:?}");
        assert!(ended.stderr.contains(blamed), "{settings:?} should name {blamed}: {ended:?}");
        assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn help_names_every_variable_and_no_secret() {
    let ended = run(&["--help"], &[("REDIS_ADDR", "redis://:s3cret@redis"), ("REDIS_PASSWORD", "s3cret")]).await;
    assert_eq!(ended.code, Some(0));
    assert!(!ended.stdout.contains("s3cret"), "{}", ended.stdout);
    for variable in
        ["QUEUE_BACKEND", "REDIS_ADDR", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_PASSWORD_FILE", "REDIS_CA_FILE"]
    {
        assert!(ended.stdout.contains(variable), "{variable} is not in --help");
    }
}

/// A queue whose submitters tell nobody.
async fn quiet() -> Queue {
    Queue::with(Backend::of(dispatch::DispatchArgs::default())).await
}

/// A worker of this Redis that finds nothing by itself.
async fn told(queue: &Queue, settings: &[(&str, &str)]) -> Process {
    let told = [
        ("QUEUE_BACKEND", "redis"),
        ("WORKER_POLL_INTERVAL", "1h"),
        ("WORKER_WAKEUPS", "false"),
        ("RUST_LOG", "trace"),
    ];
    let worker = Process::start(queue, &[&told, settings].concat());
    have_looked(queue, 1).await;
    worker
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_works_from_wherever_and_is_never_shown() {
    let password = "p@ss:w/rd%41 ?#&";
    let redis = Redis::with(&[("requirepass", password)]);
    let queue = quiet().await;
    let address = redis.address();
    let asking = format!("redis://:p%40ss%3Aw%2Frd%2541%20%3F%23%26@{address}");
    let client = redis::Client::open(asking.as_str()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("it is right");
    // As docs/redis.md says.
    let may = "~taskrow:* +@stream +expire +hello +auth +select";
    redis::cmd("ACL")
        .arg(&["SETUSER", "app", "on", ">s3cret-of-app"])
        .arg(may.split(' ').collect::<Vec<_>>())
        .query_async::<()>(&mut connection)
        .await
        .expect("a user");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{password}\n")).expect("written");
    let path = file.path().to_str().expect("text");
    let with_user = format!("redis://app:s3cret-of-app@{address}/0");
    for settings in [
        [("REDIS_ADDR", address.as_str()), ("REDIS_PASSWORD", password)].as_slice(),
        &[("REDIS_ADDR", &address), ("REDIS_PASSWORD_FILE", path)],
        // The file wins.
        &[("REDIS_ADDR", &address), ("REDIS_PASSWORD_FILE", path), ("REDIS_PASSWORD", "wrong")],
        &[("REDIS_ADDR", &asking)],
        &[("REDIS_ADDR", &with_user)],
        &[("REDIS_ADDR", &address), ("REDIS_USERNAME", "app"), ("REDIS_PASSWORD", "s3cret-of-app")],
    ] {
        let mut worker = told(&queue, settings).await;
        let (submission, _) = queue.store(tasks(1, "echo", r#""pay10ad-secret""#)).await;
        let id = submission.ids()[0];
        redis::cmd("XADD")
            .arg(&["taskrow:default#echo", "*", "batch", &id.batch().uuid().to_string()])
            .query_async::<String>(&mut connection)
            .await
            .expect("told");
        queue.reaches(id, Status::Done).await;
        eventually("it is ready", async || (worker.get("/ready").await.0 == 200).then_some(())).await;
        worker.signal(Signal::TERM);
        assert_eq!(worker.ended().await.code(), Some(0));
        let output = worker.output();
        for secret in [password, "s3cret-of-app", "pay10ad-secret", "p%40ss"] {
            assert!(!output.contains(secret), "{secret} is in the log");
        }
    }
}

/// How often the log says this of Redis.
fn says(worker: &Process, message: &str) -> usize {
    worker.lines().iter().filter(|line| line["dependency"] == "redis" && line["message"] == message).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_ready_and_one_line() {
    let redis = Redis::with(&[("requirepass", "right")]);
    let queue = redis.queue().await;
    let client = redis::Client::open(format!("redis://:right@{}", redis.address())).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("it is right");
    for given in ["", "wr0ng-secret"] {
        let worker = Process::start(&queue, &[("REDIS_PASSWORD", given)]);
        let reason = eventually("it was refused", async || {
            let (status, body) = worker.get("/ready").await;
            assert_eq!(status, 503);
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            let reason = body["dependencies"]["redis"].as_str().expect("a reason").to_owned();
            (reason != "not reached yet").then_some(reason)
        })
        .await;
        assert!(reason.contains("NOAUTH") || reason.contains("WRONGPASS") || reason.contains("assword"), "{reason}");
        assert_eq!(worker.get("/live").await.0, 200);
        let ids = queue.submit(tasks(100, "echo", "1")).await;
        queue.done_at(&ids, 1).await;
        // It goes on trying, and says no more about it.
        let tried = async |connection: &mut redis::aio::MultiplexedConnection| {
            let info: String = redis::cmd("INFO").arg("stats").query_async(connection).await.expect("info");
            let errors = info.lines().find_map(|line| line.strip_prefix("total_error_replies:"));
            errors.expect("a count").trim().parse::<u64>().expect("a number")
        };
        let before = tried(&mut connection).await;
        eventually("it tries again", async || (tried(&mut connection).await >= before + 5).then_some(())).await;
        assert_eq!(says(&worker, "dependency missing: not ready"), 1, "{}", worker.output());
        redis::cmd("CONFIG").arg(&["SET", "requirepass", given]).query_async::<()>(&mut connection).await.expect("set");
        eventually("it is ready", async || (worker.get("/ready").await.0 == 200).then_some(())).await;
        assert_eq!(says(&worker, "dependency reached"), 1, "{}", worker.output());
        // The other one is by what reads the streams.
        let complaints = worker.lines().iter().filter(|line| line["level"] == "WARN").count();
        assert_eq!(complaints, 2, "{}", worker.output());
        assert!(!worker.output().contains("wr0ng-secret"));
        redis::cmd("CONFIG")
            .arg(&["SET", "requirepass", "right"])
            .query_async::<()>(&mut connection)
            .await
            .expect("set");
    }
}

/// An authority's certificate, and a server's that it signed for this name, with its key.
fn certificates(name: &str) -> tempfile::TempDir {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).expect("parameters").signed_by(&key, &authority).expect("signed");
    let dir = tempfile::tempdir().expect("a directory");
    for (file, text) in
        [("ca.pem", authority.pem()), ("server.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
    {
        std::fs::write(dir.path().join(file), text).expect("written");
    }
    dir
}

/// A server that speaks TLS on a second port, with a certificate for this name.
fn with_tls(name: &str) -> (Redis, String, tempfile::TempDir) {
    let dir = certificates(name);
    let path = |file: &str| dir.path().join(file).to_str().expect("text").to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let redis = Redis::of(
        &Installation::find().unwrap_or_else(|error| panic!("test redis: {error}")),
        &[
            ("tls-port", &port.to_string()),
            ("tls-cert-file", &path("server.pem")),
            ("tls-key-file", &path("key.pem")),
            ("tls-ca-cert-file", &path("ca.pem")),
            ("tls-auth-clients", "no"),
        ],
    );
    (redis, format!("rediss://127.0.0.1:{port}"), dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_connections_trust_whom_they_are_told_to() {
    let (redis, url, dir) = with_tls("127.0.0.1");
    let queue = redis.queue().await;
    let ca = dir.path().join("ca.pem").to_str().expect("text").to_owned();
    let mut worker = told(&queue, &[("REDIS_ADDR", &url), ("REDIS_CA_FILE", &ca)]).await;
    let id = queue.submit_one(task("echo", "1")).await;
    queue.reaches(id, Status::Done).await;
    eventually("it is ready", async || (worker.get("/ready").await.0 == 200).then_some(())).await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0));

    let (elsewhere, other_url, other) = with_tls("elsewhere.example");
    let other_ca = other.path().join("ca.pem").to_str().expect("text").to_owned();
    let plain = format!("rediss://{}", redis.address());
    for (settings, said) in [
        // Signed by nobody it knows, twice; signed for another name; not encrypted at all.
        ([("REDIS_ADDR", url.as_str()), ("REDIS_CA_FILE", other_ca.as_str())].as_slice(), ["certificate"].as_slice()),
        (&[("REDIS_ADDR", &url)], &["certificate"]),
        (&[("REDIS_ADDR", &other_url), ("REDIS_CA_FILE", &other_ca)], &["certificate"]),
        (&[("REDIS_ADDR", &plain), ("REDIS_CA_FILE", &ca)], &["timed out", "no answer"]),
    ] {
        let worker = Process::start(&queue, settings);
        let id = queue.submit_one(task("echo", "1")).await;
        queue.reaches(id, Status::Done).await;
        let reason = eventually("it was refused", async || {
            let (status, body) = worker.get("/ready").await;
            assert_eq!(status, 503);
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            let reason = body["dependencies"]["redis"].as_str().expect("a reason").to_owned();
            (reason != "not reached yet").then_some(reason)
        })
        .await;
        assert!(said.iter().any(|said| reason.contains(said)), "{settings:?}: {reason}");
    }
    drop(elsewhere);
}
