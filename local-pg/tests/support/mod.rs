//! What the tests of this crate share.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use local_pg::Installation;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

pub(crate) type Connection = JoinHandle<Result<(), tokio_postgres::Error>>;

/// One installation of every major version there is.
pub(crate) fn installations() -> Vec<Installation> {
    let mut majors = BTreeSet::new();
    let found: Vec<_> = Installation::all().filter(|found| majors.insert(found.major())).collect();
    assert!(!found.is_empty(), "{}", local_pg::Error::NotFound);
    found
}

/// A client, and its connection, which ends after the client is dropped.
pub(crate) async fn connect(url: &str) -> Result<(Client, Connection), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    #[expect(clippy::disallowed_methods, reason = "ends with the client")]
    let connection = tokio::spawn(connection);
    Ok((client, connection))
}

/// The last row's first column as text. The connection is closed by then.
pub(crate) async fn ask(url: &str, statements: &str) -> String {
    let (client, connection) = connect(url).await.expect("connect");
    let messages = client.simple_query(statements).await.expect(statements);
    let mut answer = String::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            answer = row.get(0).unwrap_or_default().to_owned();
        }
    }
    drop(client);
    connection.await.expect("no panic").expect("end of connection");
    answer
}

/// Waits until `condition` holds, 30 s at most.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether something accepts connections on the port.
pub(crate) fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// A directory that the server's account can enter, unlike what `tempfile` makes for root.
pub(crate) fn open_tempdir() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().expect("temporary directory")
}
