//! Servers: start, crash, restart, pause, removal.

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use local_redis::{Error, Server};
use support::{Client, ask, eventually, installations, listens};

/// For [`host`]: whether it is one.
const HOST: &str = "LOCAL_REDIS_TEST_HOST";

/// The server's working directory, as the server says.
fn dir(server: &Server) -> PathBuf {
    let mut client = Client::connect(&server.address());
    client.send("CONFIG GET dir");
    let [_, _, dir] = [(); 3].map(|()| client.answer().unwrap());
    dir.into()
}

#[test]
fn every_product_serves_and_leaves_nothing_behind() {
    for installation in installations() {
        let server = Server::of(&installation, &[]).unwrap();
        assert_eq!(ask(&server.address(), "PING"), "+PONG", "{installation:?}");
        let about = ask(&server.address(), "INFO server");
        assert!(about.contains(installation.version()), "{about} from {installation:?}");
        assert!(about.contains(&format!("process_id:{}\r\n", server.pid().unwrap())), "{about}");

        let (dir, address) = (dir(&server), server.address());
        assert!(dir.is_dir());
        drop(server);
        assert!(!dir.exists(), "{}", dir.display());
        assert!(!listens(&address));
    }
}

#[test]
fn a_server_starts_again_on_the_same_port_and_empty() {
    for installation in installations() {
        let mut server = Server::of(&installation, &[]).unwrap();
        let address = server.address();
        for end in [Server::kill, Server::stop] {
            let before = server.pid().unwrap();
            assert_eq!(ask(&address, "SET key value"), "+OK");
            end(&mut server).unwrap();
            end(&mut server).unwrap();
            assert_eq!(server.pid(), None);
            assert!(!listens(&address));

            server.start_again().unwrap();
            server.start_again().unwrap();
            assert_ne!(server.pid(), Some(before));
            assert_eq!(server.address(), address);
            assert_eq!(ask(&address, "DBSIZE"), ":0");
        }
        let files: Vec<_> = dir(&server).read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files, ["log"], "no data on disk");
    }
}

#[test]
fn a_paused_server_answers_after_it_goes_on() {
    let server = Server::start().unwrap();
    let mut client = Client::connect(&server.address());
    server.pause().unwrap();
    server.pause().unwrap();
    client.send("PING");
    let mut other = Client::connect(&server.address());
    other.send("PING");
    assert!(!client.has_answer());
    server.resume().unwrap();
    assert_eq!(client.answer().unwrap(), "+PONG");
    assert_eq!(other.answer().unwrap(), "+PONG");
}

#[test]
fn a_paused_server_can_be_ended() {
    let mut server = Server::start().unwrap();
    let dir = dir(&server);
    for end in [Server::kill, Server::stop] {
        server.pause().unwrap();
        end(&mut server).unwrap();
        server.start_again().unwrap();
    }
    server.pause().unwrap();
    drop(server);
    assert!(!dir.exists());
}

#[test]
fn two_servers_run_at_once() {
    let (one, two) = (Server::start().unwrap(), Server::start().unwrap());
    assert_ne!(one.address(), two.address());
    assert_eq!(ask(&one.address(), "SET key value"), "+OK");
    assert_eq!(ask(&two.address(), "DBSIZE"), ":0");
    drop(one);
    assert_eq!(ask(&two.address(), "PING"), "+PONG");
}

#[test]
fn settings_hold_except_those_that_make_a_server_private() {
    let settings = [("requirepass", "secret"), ("maxmemory", "20mb"), ("bind", "0.0.0.0"), ("save", "900 1")];
    let server = Server::with(&settings).unwrap();
    assert!(ask(&server.address(), "PING").starts_with("-NOAUTH"));
    let mut client = Client::connect(&server.address());
    client.send("AUTH secret");
    assert_eq!(client.answer().unwrap(), "+OK");
    for (setting, value) in
        [("maxmemory", "20971520"), ("bind", "127.0.0.1"), ("save", ""), ("appendonly", "no"), ("unixsocket", "")]
    {
        client.send(&format!("CONFIG GET {setting}"));
        let [_, _, answer] = [(); 3].map(|()| client.answer().unwrap());
        assert_eq!(answer, value, "{setting}");
    }
}

#[test]
fn a_taken_port_is_refused() {
    for installation in installations() {
        let mut server = Server::of(&installation, &[]).unwrap();
        server.kill().unwrap();
        let _other = std::net::TcpListener::bind(server.address()).unwrap();
        let error = server.start_again().unwrap_err();
        assert!(matches!(error, Error::PortTaken(_)), "{error}");
    }
}

#[test]
fn a_failed_start_shows_the_log() {
    for installation in installations() {
        let error = Server::of(&installation, &[("maxmemori", "1")]).unwrap_err();
        assert!(matches!(error, Error::NotStarted { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("{} did not start", installation.product())), "{text}");
        assert!(text.contains("maxmemori"), "{text}");
    }
}

/// Not a test by itself: the process that [`a_killed_parent_takes_its_server_along`] kills.
#[test]
#[expect(clippy::print_stdout, reason = "speaks to its parent")]
fn host() {
    #[expect(clippy::disallowed_methods, reason = "set by the test below")]
    if std::env::var_os(HOST).is_none() {
        return;
    }
    let server = Server::start().unwrap();
    println!("\nserver {} {}", server.address(), dir(&server).display());
    // Until killed, or the test that waits for us is gone.
    let _ = std::io::stdin().lines().next();
}

#[test]
fn a_killed_parent_takes_its_server_along() {
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host", "--nocapture"])
        .env(HOST, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(host.stdout.take().unwrap())
        .lines()
        .find_map(|line| line.unwrap().strip_prefix("server ").map(str::to_owned))
        .unwrap();
    let (address, dir) = line.split_once(' ').unwrap();
    assert_eq!(ask(address, "PING"), "+PONG");

    host.kill().unwrap();
    host.wait().unwrap();
    eventually("server and directory are gone", || !listens(address) && !Path::new(dir).exists());
}
