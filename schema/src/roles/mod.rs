//! Roles for api and worker that own nothing and may do what their statements do.
//!
//! `migrate`, told their names, makes them if they are not there, gives them their passwords, and makes their rights in the database those of
//! [`GRANTS`]: what is missing is granted, what is over is revoked, in one transaction, so that nobody who works meanwhile is refused. It is done
//! after every migration, for new tables need new grants. Day partitions need none: statements go by the partitioned tables.
//!
//! Roles belong to the whole server, so no migration makes them. Who may not create roles waits for somebody who does: an administrator, an operator.

mod args;
mod grants;
mod names;

use std::time::Duration;

use diesel::{
    OptionalExtension, QueryableByName, sql_query,
    sql_types::{Bool, Text},
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use service::{backoff::Backoff, database::Database};
use tokio::time::Instant;
use tracing::{info, warn};

pub use self::{
    args::RolesArgs,
    grants::{GRANTS, Grant},
    names::{BadName, RoleName},
};
use crate::{
    migrate::{Error, locked_connection},
    partitions,
};

/// What holds on a role's connections when their start-up does not say otherwise, and through a transaction pooler it cannot.
pub const SETTINGS: [(&str, &str); 3] =
    [("statement_timeout", "15s"), ("lock_timeout", "15s"), ("idle_in_transaction_session_timeout", "1min")];

/// A role, and its password if it is to be set.
#[derive(Clone)]
pub struct Role {
    /// Its name in the database server.
    pub name: RoleName,
    /// Makes it a role that may log in. Postgres gets a verifier of it, never the password, so that no log of a statement has it.
    pub password: Option<String>,
}

/// The roles to make or mend.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// The api's.
    pub api: Option<Role>,
    /// The workers'.
    pub worker: Option<Role>,
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Role").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Makes roles and their rights what they should be, in a database whose migrations are applied.
pub async fn apply(database: &Database, roles: &Roles, deadline: Duration) -> Result<(), Error> {
    let both = [(&roles.api, Grant::api as fn(&Grant) -> &'static str), (&roles.worker, Grant::worker)];
    let both: Vec<_> = both.iter().filter_map(|(role, rights)| Some((role.as_ref()?, *rights))).collect();
    if both.is_empty() {
        return Ok(());
    }
    let mut connection = locked_connection(database, deadline).await?;
    for (role, rights) in both {
        make(&mut connection, role, deadline).await?;
        connection.transaction(async |connection| grant(connection, &role.name, rights).await).await?;
        if let Err(error) = set_timeouts(&mut connection, &role.name).await {
            tell_of_timeouts(&mut connection, &role.name, &error).await?;
        }
        info!(role = role.name.as_str(), "the role has its rights");
    }
    Ok(())
}

/// Makes a role, or waits for somebody who may; gives it its password.
async fn make(connection: &mut AsyncPgConnection, role: &Role, deadline: Duration) -> Result<(), Error> {
    let name = &role.name;
    let login = role.password.as_deref().map(login).unwrap_or_default();
    let started = Instant::now();
    let mut backoff = Backoff::default();
    let mut told = false;
    loop {
        match is_mighty(connection, name).await? {
            Some(true) => {
                let reason = "is a superuser or owns the schema: grants would limit nothing";
                return Err(Error::Role(format!("{name} {reason}")));
            }
            Some(false) if login.is_empty() => return Ok(()),
            Some(false) => {
                if let Err(error) = connection.batch_execute(&format!("ALTER ROLE {name}{login}")).await {
                    let role = name.as_str();
                    warn!(role, %error, "cannot set the role's password: whoever manages the role has to");
                }
                return Ok(());
            }
            None => {}
        }
        // Fails, too, when somebody else makes it at this moment.
        let Err(error) = connection.batch_execute(&format!("CREATE ROLE {name}{login}")).await else { return Ok(()) };
        let reason =
            format!("the role {name} is not there and cannot be made ({error}); an administrator has to make it");
        if started.elapsed() >= deadline {
            return Err(Error::Deadline(deadline, reason));
        }
        if !std::mem::replace(&mut told, true) {
            warn!(reason, "waiting for a role");
        }
        backoff.wait().await;
    }
}

/// The verifier is made here: the statement, which the server may log, does not hold the password.
fn login(password: &str) -> String {
    format!(" LOGIN PASSWORD '{}'", postgres_protocol::password::scram_sha_256(password.as_bytes()))
}

/// Whether a role may do anything in the schema, whatever it is granted; none: there is no such role.
async fn is_mighty(connection: &mut AsyncPgConnection, role: &RoleName) -> Result<Option<bool>, Error> {
    #[derive(QueryableByName)]
    struct Known {
        #[diesel(sql_type = Bool)]
        is_mighty: bool,
    }
    let known: Option<Known> = sql_query(
        "SELECT r.rolsuper OR pg_has_role(r.oid, n.nspowner, 'MEMBER') AS is_mighty
         FROM pg_roles r CROSS JOIN pg_namespace n WHERE r.rolname = $1 AND n.nspname = 'taskrow'",
    )
    .bind::<Text, _>(role.as_str())
    .get_result(connection)
    .await
    .optional()?;
    Ok(known.map(|known| known.is_mighty))
}

/// Takes and gives in the caller's transaction: others see all of it or nothing.
async fn grant(
    connection: &mut AsyncPgConnection,
    role: &RoleName,
    rights: fn(&Grant) -> &'static str,
) -> Result<(), Error> {
    // A worker that attaches a partition meanwhile writes to the same rows of the catalogue.
    partitions::lock_makers(connection).await?;
    let mut statements = String::new();
    for grant in GRANTS {
        statements += &format!("REVOKE ALL ON {} FROM {role};", grant.on);
        let rights = rights(grant);
        if !rights.is_empty() {
            statements += &format!("GRANT {rights} ON {} TO {role};", grant.on);
        }
    }
    connection.batch_execute(&statements).await?;
    connect(connection, role).await
}

/// Everybody may connect to a database, unless that was taken from them.
async fn connect(connection: &mut AsyncPgConnection, role: &RoleName) -> Result<(), Error> {
    #[derive(QueryableByName)]
    struct Missing {
        #[diesel(sql_type = Text)]
        database: String,
    }
    let missing: Option<Missing> = sql_query(
        "SELECT quote_ident(current_database()) AS database WHERE NOT has_database_privilege($1, current_database(), 'CONNECT')",
    )
    .bind::<Text, _>(role.as_str())
    .get_result(connection)
    .await
    .optional()?;
    if let Some(Missing { database }) = missing {
        connection.batch_execute(&format!("GRANT CONNECT ON DATABASE {database} TO {role}")).await?;
    }
    Ok(())
}

async fn set_timeouts(connection: &mut AsyncPgConnection, role: &RoleName) -> Result<(), diesel::result::Error> {
    let statements: String =
        SETTINGS.iter().map(|(name, value)| format!("ALTER ROLE {role} SET {name} = '{value}';")).collect();
    connection.batch_execute(&statements).await
}

/// Whoever made the role may have set them.
async fn tell_of_timeouts(
    connection: &mut AsyncPgConnection,
    role: &RoleName,
    error: &diesel::result::Error,
) -> Result<(), Error> {
    #[derive(QueryableByName)]
    struct Set {
        #[diesel(sql_type = Bool)]
        is_set: bool,
    }
    let set: Set = sql_query(
        "SELECT coalesce(bool_or(array_to_string(setconfig, ' ') LIKE '%statement\\_timeout=%'), false) AS is_set
         FROM pg_db_role_setting JOIN pg_roles ON pg_roles.oid = setrole WHERE rolname = $1",
    )
    .bind::<Text, _>(role.as_str())
    .get_result(connection)
    .await?;
    if !set.is_set {
        warn!(role = role.as_str(), %error, "cannot set the role's timeouts; through a transaction pooler it has none");
    }
    Ok(())
}
