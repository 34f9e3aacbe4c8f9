//! Durable servers: data, port and password outlive the process; misuse is refused in one line.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use local_pg::{Error, Installation, Server, StopMode};
use support::{ask, eventually, installations, listens, open_tempdir};

/// For [`host`]: the directory of the server to run.
const HOST_DIR: &str = "LOCAL_PG_TEST_HOST_DIR";

fn durable(dir: &Path, port: Option<u16>) -> Result<Server, Error> {
    Server::durable(&Installation::find().unwrap(), dir, port)
}

#[tokio::test]
async fn data_port_and_password_are_kept() {
    for installation in installations() {
        let dir = open_tempdir();
        let path = dir.path().join("deeper/pg");
        let server = Server::durable(&installation, &path, None).unwrap();
        let url = server.url("app");
        assert_eq!(server.note(), None);
        assert_eq!(server.data_dir(), path.join("data"));
        server.create_database("app").await.unwrap();
        server.create_database("app").await.unwrap();
        ask(&url, "CREATE TABLE kept AS SELECT 7 AS n").await;
        assert_eq!(ask(&url, "SHOW fsync").await, "on");
        drop(server);

        let server = Server::durable(&installation, &path, None).unwrap();
        assert_eq!(server.url("app"), url);
        assert_eq!(ask(&url, "SELECT n FROM kept").await, "7");
        for (file, mode) in [("", 0o700), ("password", 0o600), ("log", 0o600)] {
            let permissions = fs::metadata(path.join(file)).unwrap().permissions();
            assert_eq!(permissions.mode() & 0o777, mode, "{file}");
        }
    }
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let dir = open_tempdir();
    let path = dir.path().join("pg");
    let server = durable(&path, None).unwrap();
    let error = durable(&path, None).unwrap_err();
    assert!(matches!(error, Error::AlreadyRunning { pid, .. } if Some(pid) == server.pid()), "{error}");
    assert!(listens(server.port()), "the first one still runs");
}

#[test]
fn data_of_another_major_are_refused() {
    let dir = open_tempdir();
    let path = dir.path().join("pg");
    drop(durable(&path, None).unwrap());
    fs::write(path.join("data/PG_VERSION"), "13\n").unwrap();
    let error = durable(&path, None).unwrap_err();
    assert!(matches!(error, Error::OtherMajor { data: 13, .. }), "{error}");
    assert!(error.to_string().contains("holds data of Postgres 13"), "{error}");
}

#[test]
fn a_taken_port_is_refused_when_asked_for_and_replaced_when_not() {
    let dir = open_tempdir();
    let path = dir.path().join("pg");
    let mut server = durable(&path, None).unwrap();
    server.stop(StopMode::Fast).unwrap();
    let port = server.port();
    drop(server);
    let _other = TcpListener::bind(("127.0.0.1", port)).unwrap();

    let error = durable(&path, Some(port)).unwrap_err();
    assert!(matches!(error, Error::PortTaken(taken) if taken == port), "{error}");
    let replaced = durable(&path, None).unwrap().port();
    assert_ne!(replaced, port);
    assert_eq!(durable(&path, None).unwrap().port(), replaced, "remembered");
}

#[test]
fn data_that_the_servers_account_cannot_reach_go_elsewhere() {
    if !rustix::process::geteuid().is_root() {
        // An ordinary user's server has the user's own rights.
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let server = durable(&closed.path().join("pg"), None).unwrap();
    let note = server.note().unwrap().to_owned();
    let data = server.data_dir();
    assert!(data.starts_with("/var/lib/taskrow"), "{}", data.display());
    assert!(note.contains(data.parent().unwrap().to_str().unwrap()), "{note}");
    drop(server);
    fs::remove_dir_all(data.parent().unwrap()).unwrap();
    // Not when it holds something else.
    let _ = fs::remove_dir("/var/lib/taskrow");
}

/// Not a test by itself: the process that [`a_killed_parent_takes_its_server_along`] kills.
#[test]
#[expect(clippy::print_stdout, reason = "speaks to its parent")]
fn host() {
    #[expect(clippy::disallowed_methods, reason = "set by the test below")]
    let Some(dir) = std::env::var_os(HOST_DIR) else { return };
    let server = durable(Path::new(&dir), None).unwrap();
    println!("\nport {}", server.port());
    // Until killed, or the test that waits for us is gone.
    let _ = std::io::stdin().lines().next();
}

#[tokio::test]
async fn a_killed_parent_takes_its_server_along() {
    let dir = open_tempdir();
    let path = dir.path().join("pg");
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host", "--nocapture"])
        .env(HOST_DIR, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let port = BufReader::new(host.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("port ")?.parse().ok())
        .unwrap();
    assert!(listens(port));

    host.kill().unwrap();
    host.wait().unwrap();
    eventually("the server stops in order", || !path.join("data/postmaster.pid").exists());
    assert!(!listens(port));
    let server = durable(&path, None).unwrap();
    assert!(!server.log().contains("was not properly shut down"), "{}", server.log());
}
