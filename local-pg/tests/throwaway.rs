//! Throw-away servers: start, restart, crash, removal.

mod support;

use std::path::PathBuf;

use local_pg::{Error, Installation, Server, StopMode};
use support::{ask, connect, eventually, installations, listens};

fn throwaway(settings: &[(&str, &str)]) -> Server {
    Server::throwaway(&Installation::find().unwrap(), settings).unwrap()
}

fn home(server: &Server) -> PathBuf {
    server.data_dir().parent().unwrap().to_owned()
}

#[tokio::test]
async fn every_major_serves_and_leaves_nothing_behind() {
    for installation in installations() {
        let server = Server::throwaway(&installation, &[]).unwrap();
        assert_eq!(ask(&server.url("postgres"), "SHOW server_encoding").await, "UTF8");
        let version = ask(&server.url("postgres"), "SHOW server_version").await;
        assert!(version.starts_with(installation.version()), "{version} from {installation:?}");

        let (home, port) = (home(&server), server.port());
        drop(server);
        assert!(!home.exists(), "{}", home.display());
        assert!(!listens(port));
    }
}

#[tokio::test]
async fn a_restart_keeps_data_and_url() {
    let mut server = throwaway(&[]);
    let url = server.url("postgres");
    ask(&url, "CREATE TABLE kept AS SELECT 1 AS n").await;
    for (mode, rows) in [(StopMode::Smart, "1"), (StopMode::Fast, "2"), (StopMode::Immediate, "3")] {
        let before = server.pid().unwrap();
        server.restart(mode).unwrap();
        assert_ne!(server.pid(), Some(before));
        assert_eq!(server.url("postgres"), url);
        assert_eq!(ask(&url, "SELECT count(*) FROM kept").await, rows);
        ask(&url, "INSERT INTO kept VALUES (1)").await;
    }
}

#[tokio::test]
async fn a_killed_server_starts_again() {
    let mut server = throwaway(&[]);
    let url = server.url("postgres");
    ask(&url, "CREATE TABLE kept ()").await;
    // A backend that works without pause outlives its postmaster by a little.
    let (busy, _connection) = connect(&url).await.unwrap();
    let work = busy.simple_query("SELECT count(*) FROM generate_series(1, 20000000)");
    let work = std::pin::pin!(work);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), work).await.is_err());

    server.kill().unwrap();
    assert_eq!(server.pid(), None);
    assert!(!listens(server.port()));
    server.start().unwrap();
    assert_eq!(ask(&url, "SELECT count(*) FROM kept").await, "0");
}

#[tokio::test]
async fn stop_and_start_may_be_repeated() {
    let mut server = throwaway(&[]);
    server.start().unwrap();
    server.stop(StopMode::Fast).unwrap();
    server.stop(StopMode::Fast).unwrap();
    assert_eq!(server.pid(), None);
    assert!(server.data_dir().is_dir(), "stopping alone removes nothing");
    server.start().unwrap();
    assert_eq!(ask(&server.url("postgres"), "SELECT 1").await, "1");
}

#[tokio::test]
async fn settings_win_over_defaults_but_not_over_safety() {
    let server = throwaway(&[("fsync", "on"), ("work_mem", "5MB"), ("listen_addresses", "*")]);
    let url = server.url("postgres");
    for (setting, value) in [
        ("fsync", "on"),
        ("work_mem", "5MB"),
        ("full_page_writes", "off"),
        ("max_connections", "200"),
        ("shared_buffers", "128MB"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
    ] {
        assert_eq!(ask(&url, &format!("SHOW {setting}")).await, value, "{setting}");
    }
}

#[tokio::test]
async fn nobody_enters_without_the_password() {
    let server = throwaway(&[]);
    let url = format!("postgresql://taskrow:wrong@127.0.0.1:{}/postgres", server.port());
    let error = connect(&url).await.err().unwrap().to_string();
    assert!(error.contains("db error"), "{error}");
    eventually("the refusal is in the log", || server.log().contains("password authentication failed"));
}

#[test]
fn a_failed_start_shows_the_log() {
    let error = Server::throwaway(&Installation::find().unwrap(), &[("fsink", "on")]).unwrap_err();
    assert!(matches!(error, Error::NotStarted { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(r#"unrecognized configuration parameter "fsink""#), "{text}");
}
