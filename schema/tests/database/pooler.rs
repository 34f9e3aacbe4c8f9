//! Timeouts through a transaction pooler, which takes no settings from those who connect: the role's own hold.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use local_pg::Pooler;
use schema::{
    migrate,
    roles::{self, Role, Roles, SETTINGS},
};
use service::database::{Database, Session};
use tokio::task::block_in_place;

use crate::support::empty;

const DEADLINE: Duration = Duration::from_secs(60);

/// Whether these settings hold, by one simple statement: prepared ones are not the point here.
async fn hold(connection: &mut AsyncPgConnection, settings: &[(&str, &str)]) -> bool {
    let all: Vec<_> = settings.iter().map(|(name, value)| format!("current_setting('{name}') = '{value}'")).collect();
    let assert = format!("DO $$ BEGIN ASSERT {}; END $$", all.join(" AND "));
    connection.batch_execute(&assert).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeouts_of_a_role_hold_through_a_transaction_pooler() {
    let empty = empty().await;
    let (login, location) = empty.url.split_once("://").unwrap().1.rsplit_once('@').unwrap();
    let ((owner, password), (server, name)) = (login.split_once(':').unwrap(), location.split_once('/').unwrap());
    let user = format!("{name}_pooled");
    migrate::up(&empty.database, 1, DEADLINE).await.unwrap();
    let role = Role { name: user.parse().unwrap(), password: Some(password.to_owned()) };
    roles::apply(&empty.database, &Roles { api: Some(role), worker: None }, DEADLINE).await.unwrap();
    let pooler = block_in_place(|| Pooler::before(server, &[(&user, password), (owner, password)])).unwrap();
    let database = |user: &str| {
        let url = |server: &str| format!("postgresql://{user}:{password}@{server}/{name}");
        let database =
            Database::from_url(&url(server), "test").and_then(|it| it.behind_pooler(&url(&pooler.address())));
        database.unwrap_or_else(|failure| panic!("{failure}"))
    };

    let mut pooled = database(&user).connect(Session::POOL).await.unwrap();
    assert!(hold(&mut pooled, &SETTINGS).await, "the role's");
    // Around it, what the process sends holds.
    let session = Session { direct: true, ..Session::POOL };
    let mut direct = database(&user).connect(session).await.unwrap();
    assert!(hold(&mut direct, &[("statement_timeout", "10s"), ("lock_timeout", "10s")]).await, "the session's");
    // A user without settings has none there: it is the role's that are seen above.
    let mut without = database(owner).connect(Session::POOL).await.unwrap();
    assert!(hold(&mut without, &[("statement_timeout", "0"), ("lock_timeout", "0")]).await, "none");
}
