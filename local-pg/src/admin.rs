//! Statements about whole databases.

use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls};

use crate::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to the maintenance database of the server at `base_url`.
pub(crate) async fn connect(base_url: &str) -> Result<Client, Error> {
    let failed = sql("connect to the local Postgres");
    let mut config: Config = match base_url.parse() {
        Ok(config) => config,
        Err(error) => return Err(failed(error)),
    };
    config.dbname("postgres").application_name("local-pg").connect_timeout(CONNECT_TIMEOUT);
    let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
    #[expect(clippy::disallowed_methods, reason = "ends with the client; its errors are the client's too")]
    tokio::spawn(connection);
    Ok(client)
}

/// Whether there is a database of that name.
pub(crate) async fn has_database(client: &Client, name: &str) -> Result<bool, Error> {
    let row = client
        .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&name])
        .await
        .map_err(sql("look for a database"))?;
    Ok(row.is_some())
}

/// Whether there is a finished template of that name. What [`finish_template`] has not marked may be half made.
pub(crate) async fn has_template(client: &Client, name: &str) -> Result<bool, Error> {
    let row = client
        .query_opt("SELECT FROM pg_database WHERE datname = $1 AND datistemplate", &[&name])
        .await
        .map_err(sql("look for a template"))?;
    Ok(row.is_some())
}

/// Creates a database, empty or as a copy of `template`.
pub(crate) async fn create_database(client: &Client, name: &str, template: Option<&str>) -> Result<(), Error> {
    // template0 has no clients, ever; template1 might.
    let template = quote(template.unwrap_or("template0"));
    run(client, &format!("CREATE DATABASE {} TEMPLATE {template}", quote(name))).await
}

/// Marks a database as a template and closes it to clients: one with a client cannot be copied.
pub(crate) async fn finish_template(client: &Client, name: &str) -> Result<(), Error> {
    run(client, &format!("ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false", quote(name))).await
}

/// Drops a database, its clients notwithstanding.
pub(crate) async fn drop_database(client: &Client, name: &str) -> Result<(), Error> {
    run(client, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote(name))).await
}

/// Waits for, and takes, the lock on making templates. It goes with the connection.
pub(crate) async fn lock_templates(client: &Client) -> Result<(), Error> {
    run(client, "SELECT pg_advisory_lock(7305808869229538153)").await
}

async fn run(client: &Client, statement: &str) -> Result<(), Error> {
    client.batch_execute(statement).await.map_err(sql(statement))
}

fn sql(doing: &str) -> impl FnOnce(tokio_postgres::Error) -> Error + use<> {
    let doing = doing.to_owned();
    |source| Error::Sql { doing, source }
}

/// An identifier in double quotes.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
