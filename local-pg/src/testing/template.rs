//! The migrated database that test databases are copies of.

use std::time::Duration;

use schema::{
    migrate,
    roles::{self, Role, Roles},
};
use service::database::Database;
use tokio_postgres::Client;

use super::{API_ROLE, WORKER_ROLE};
use crate::{Error, admin};

/// Enough for a test that crosses midnight.
const DAYS_AHEAD: u32 = 1;
const DEADLINE: Duration = Duration::from_secs(60);

/// The name of the finished template on `server`, made when it is not there. `client` is any connection to it.
///
/// The name carries the migrations' hash, so a server that outlives a change of the migrations gets a new template.
pub(crate) async fn ready(server: &str, client: &Client) -> Result<String, Error> {
    let name = name(&migrations_hash());
    if !admin::has_template(client, &name).await? {
        make(server, &name).await?;
    }
    Ok(name)
}

/// Makes the template, one maker at a time across processes. Its own connection holds the lock and ends with it.
async fn make(server: &str, name: &str) -> Result<(), Error> {
    let client = admin::connect(server).await?;
    admin::lock_templates(&client).await?;
    if admin::has_template(&client, name).await? {
        return Ok(());
    }
    // A maker that was interrupted leaves an unmarked one.
    admin::drop_database(&client, name).await?;
    admin::create_database(&client, name, None).await?;
    migrate(&format!("{server}/{name}"), password(server)).await?;
    admin::finish_template(&client, name).await
}

fn name(hash: &str) -> String {
    format!("taskrow_template_{hash}")
}

/// A throw-away server never outlives the build that started it, so the newest version is enough of a hash.
fn migrations_hash() -> String {
    migrate::required_version()
}

/// Roles belong to the server, so all its databases share them; they have its own password.
async fn migrate(url: &str, password: &str) -> Result<(), Error> {
    let database =
        Database::from_url(url, "test template").map_err(|error| Error::Migrate(error.to_string().into()))?;
    let role = |name: &str| {
        let name = name.parse().map_err(|error| Error::Migrate(Box::new(error)))?;
        Ok::<_, Error>(Some(Role { name, password: Some(password.to_owned()) }))
    };
    let roles = Roles { api: role(API_ROLE)?, worker: role(WORKER_ROLE)? };
    migrate::up(&database, DAYS_AHEAD, DEADLINE).await.map_err(|error| Error::Migrate(error.into()))?;
    roles::apply(&database, &roles, DEADLINE).await.map_err(|error| Error::Migrate(error.into()))
}

/// Of a URL that this crate made: its passwords need no escapes.
fn password(server: &str) -> &str {
    let user_info = server.rsplit_once('@').map_or("", |(before, _)| before);
    user_info.rsplit_once(':').map_or("", |(_, password)| password)
}
