//! Drops the databases of finished tests, so that a long run does not fill the disk.
//!
//! One thread per process, one database at a time. What it has not done when the process ends goes with the server.

use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use crate::{Error, admin};

struct Database {
    server: String,
    name: String,
}

/// Asks for a database to be dropped; never blocks.
pub(crate) fn send(server: &str, name: &str) {
    static DROPPER: OnceLock<Sender<Database>> = OnceLock::new();
    let dropper = DROPPER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || drop_each(&receiver));
        sender
    });
    // Without a thread to receive it, the database waits for the server's end.
    let _ = dropper.send(Database { server: server.to_owned(), name: name.to_owned() });
}

fn drop_each(databases: &Receiver<Database>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    for database in databases {
        // The server may be gone already, with its test.
        let _ = runtime.block_on(drop_one(&database));
    }
}

async fn drop_one(database: &Database) -> Result<(), Error> {
    let client = admin::connect(&database.server).await?;
    admin::drop_database(&client, &database.name).await
}
