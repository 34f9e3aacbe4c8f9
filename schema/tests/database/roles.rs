//! Roles that own nothing: what `migrate` makes of them, and what they cannot do.

use std::{collections::BTreeSet, time::Duration};

use diesel_async::SimpleAsyncConnection;
use local_pg::testing::own_server;
use schema::{
    migrate::{self, Error},
    roles::{self, GRANTS, Grant, Role, Roles, SETTINGS},
};
use service::database::{Database, Session};

use crate::support::{Empty, empty, empty_on};

const DEADLINE: Duration = Duration::from_secs(60);

fn role(name: &str, password: Option<&str>) -> Option<Role> {
    Some(Role { name: name.parse().unwrap(), password: password.map(str::to_owned) })
}

/// A migrated database, whose roles have its name: they belong to the whole server, which tests share.
async fn migrated(empty: Empty) -> (Empty, Roles) {
    migrate::up(&empty.database, 1, DEADLINE).await.unwrap();
    let name = empty.url.rsplit('/').next().unwrap();
    let roles = Roles {
        api: role(&format!("{name} \"api\""), Some("api p@ss'%")),
        worker: role(&format!("{name}_worker"), Some("worker")),
    };
    roles::apply(&empty.database, &roles, DEADLINE).await.unwrap();
    (empty, roles)
}

/// The database as a role sees it.
fn at(empty: &Empty, role: Option<&Role>) -> Database {
    let role = role.unwrap();
    let (_, location) = empty.url.rsplit_once('@').unwrap();
    let user = percent_encoded(role.name.as_str());
    let password = percent_encoded(role.password.as_deref().unwrap_or_default());
    Database::from_url(&format!("postgresql://{user}:{password}@{location}"), "test").unwrap()
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// What a role was given, a line each, as `GRANT` has it.
async fn given(empty: &Empty, role: &Role) -> BTreeSet<String> {
    let to = format!("a.grantee = (SELECT oid FROM pg_roles WHERE rolname = '{}')", role.name.as_str());
    let query = format!(
        "SELECT concat('TABLE ', table_schema, '.', table_name, ' ', privilege_type)
         FROM information_schema.role_table_grants WHERE grantee = '{}'
         UNION ALL
         SELECT concat('TABLE ', relnamespace::regnamespace, '.', relname, ' ', a.privilege_type, ' ', attname)
         FROM pg_attribute JOIN pg_class c ON c.oid = attrelid, aclexplode(attacl) a WHERE {to}
         UNION ALL
         SELECT concat('SEQUENCE ', relnamespace::regnamespace, '.', relname, ' ', a.privilege_type)
         FROM pg_class, aclexplode(relacl) a WHERE {to} AND relkind = 'S'
         UNION ALL
         SELECT concat('FUNCTION ', pronamespace::regnamespace, '.', proname, '(', pg_get_function_identity_arguments(oid), ') ', a.privilege_type)
         FROM pg_proc, aclexplode(proacl) a WHERE {to}
         UNION ALL
         SELECT concat('SCHEMA ', nspname, ' ', a.privilege_type) FROM pg_namespace, aclexplode(nspacl) a WHERE {to}",
        role.name.as_str()
    );
    empty.lines(&query).await.into_iter().map(|line| line.replace("(day date)", "(date)")).collect()
}

/// What it is to be given.
fn wanted(rights: fn(&Grant) -> &'static str) -> BTreeSet<String> {
    let of = |grant: &Grant| {
        // Not the commas between columns.
        let rights = rights(grant).replace("), ", ");").replace("T, ", "T;").replace("E, ", "E;");
        let one = |right: &str| match right.split_once(" (") {
            Some((verb, columns)) => {
                columns.trim_end_matches(')').split(", ").map(|column| format!("{verb} {column}")).collect()
            }
            None => vec![right.to_owned()],
        };
        let rights: Vec<String> = rights.split(';').filter(|right| !right.is_empty()).flat_map(one).collect();
        rights.into_iter().map(|right| format!("{} {right}", grant.on)).collect::<Vec<_>>()
    };
    GRANTS.iter().flat_map(of).collect()
}

async fn have_what_they_need(empty: Empty) {
    let (empty, roles) = migrated(empty).await;
    let (api, worker) = (roles.api.as_ref().unwrap(), roles.worker.as_ref().unwrap());
    assert_eq!(given(&empty, api).await, wanted(Grant::api));
    assert_eq!(given(&empty, worker).await, wanted(Grant::worker));
    // By an operator's hand, or by a release that needed it.
    let more =
        format!("GRANT ALL ON taskrow.leases, taskrow.queues TO {}; REVOKE ALL ON taskrow.ready FROM {0}", api.name);
    empty.connect().await.batch_execute(&more).await.unwrap();
    assert_ne!(given(&empty, api).await, wanted(Grant::api));
    roles::apply(&empty.database, &roles, DEADLINE).await.unwrap();
    assert_eq!(given(&empty, api).await, wanted(Grant::api));
}

#[tokio::test]
async fn roles_have_the_rights_they_need_and_no_others() {
    have_what_they_need(empty().await).await;
}

#[tokio::test]
async fn roles_have_the_rights_they_need_and_no_others_on_postgres_16() {
    have_what_they_need(empty_on(16).await).await;
}

#[tokio::test]
async fn roles_have_the_rights_they_need_and_no_others_on_postgres_18() {
    have_what_they_need(empty_on(18).await).await;
}

/// What nobody but the owner, or but the other one, may do.
#[tokio::test]
async fn what_a_role_does_not_need_is_refused_to_it() {
    let (empty, roles) = migrated(empty().await).await;
    let of_both = [
        "DROP TABLE taskrow.records",
        "TRUNCATE taskrow.ready",
        "ALTER TABLE taskrow.ready ADD COLUMN x integer",
        "CREATE TABLE public.x ()",
        "CREATE TABLE taskrow.x ()",
        "CREATE FUNCTION taskrow.task_bit(text) RETURNS integer RETURN 1",
        "CREATE ROLE x",
        "CREATE DATABASE x",
        "COPY taskrow.queues TO '/tmp/x'",
        "COPY taskrow.queues TO PROGRAM 'cat'",
        "SELECT FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "UPDATE taskrow.outcomes SET status = 2",
        "UPDATE taskrow.records SET queue = 'other'",
        "UPDATE taskrow.failures SET error = ''",
        "DELETE FROM taskrow.records",
        "UPDATE taskrow.leases SET worker = 1",
        "UPDATE taskrow.ready SET queue = 'other'",
        "UPDATE taskrow.workers SET name = 'other'",
        "DELETE FROM public.__diesel_schema_migrations",
        "DELETE FROM taskrow.queues",
    ];
    let of_api = [
        "INSERT INTO taskrow.leases DEFAULT VALUES",
        "DELETE FROM taskrow.leases",
        "UPDATE taskrow.leases SET mask = 0",
        "UPDATE taskrow.workers SET heartbeat_at = now()",
        "INSERT INTO taskrow.progress DEFAULT VALUES",
        "DELETE FROM taskrow.idempotency_keys",
        "DELETE FROM taskrow.records_default",
        "SELECT nextval('taskrow.lease_ids')",
        "SELECT taskrow.make_day(current_date)",
        "SELECT taskrow.drop_day(current_date - 1)",
    ];
    let of_worker = [
        "DELETE FROM taskrow.outcomes",
        "UPDATE taskrow.records SET payload = '1'",
        "UPDATE taskrow.queues SET paused_at = now()",
        "INSERT INTO taskrow.idempotency_keys DEFAULT VALUES",
        "INSERT INTO taskrow.unique_keys DEFAULT VALUES",
        "INSERT INTO taskrow.callbacks DEFAULT VALUES",
    ];
    for (role, own) in [(&roles.api, &of_api[..]), (&roles.worker, &of_worker[..])] {
        let mut connection = at(&empty, role.as_ref()).connect(Session::POOL).await.unwrap();
        for statement in of_both.iter().chain(own) {
            let error = connection.batch_execute(statement).await.expect_err(statement).to_string();
            let is_refused =
                ["permission denied", "must be owner", "must be superuser"].iter().any(|why| error.contains(why));
            assert!(is_refused, "{role:?}: {statement}: {error}");
        }
    }
}

/// The functions do with their owner's rights what they are for, and nothing else.
#[tokio::test]
async fn a_worker_makes_and_drops_days_and_none_that_it_should_not() {
    let (empty, roles) = migrated(empty().await).await;
    let mut worker = at(&empty, roles.worker.as_ref()).connect(Session::POOL).await.unwrap();
    for (statement, error) in [
        ("SELECT taskrow.make_day(current_date + 400)", "the next 366 days"),
        ("SELECT taskrow.make_day(current_date - 3)", "the next 366 days"),
        ("SELECT taskrow.make_day('infinity')", "infinity"),
        ("SELECT taskrow.drop_day(current_date + 1)", "is not over"),
        ("SELECT taskrow.drop_day('-infinity')", "infinity"),
        ("DROP TABLE taskrow.records_default", "must be owner"),
    ] {
        let refused = worker.batch_execute(statement).await.expect_err(statement).to_string();
        assert!(refused.contains(error), "{statement}: {refused}");
    }
    // Nobody else's table is taken for one of theirs: a worker cannot make any that they would find.
    worker
        .batch_execute("CREATE TEMPORARY TABLE ready (batch uuid); SET search_path = pg_temp, taskrow")
        .await
        .unwrap();
    let owned = "SELECT c.relname || ' ' || (c.relowner = p.relowner) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid JOIN pg_class p ON p.oid = inhparent WHERE c.relkind = 'r'";
    let before = empty.lines(owned).await.len();
    worker.batch_execute("SELECT taskrow.make_day(current_date + 30)").await.unwrap();
    let after = empty.lines(owned).await;
    assert_eq!(after.iter().filter(|line| line.ends_with(" true")).count(), before + 3, "{after:?}");
}

#[tokio::test]
async fn a_password_is_set_and_changed_and_no_log_has_it() {
    let server = own_server(16);
    server.create_database("app").await.unwrap();
    let database = Database::from_url(&server.url("app"), "test").unwrap();
    migrate::up(&database, 1, DEADLINE).await.unwrap();
    let mut owner = database.connect(Session::POOL).await.unwrap();
    owner.batch_execute("ALTER SYSTEM SET log_statement = 'all'").await.unwrap();
    owner.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let (_, location) = server.base_url().rsplit_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let login = async |password: &str| {
        let url = format!("postgresql://the_api:{password}@{location}/app");
        Database::from_url(&url, "test")
            .unwrap()
            .connect(Session::POOL)
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    };
    for (password, other) in [("first-s3cret", "second-s3cret"), ("second-s3cret", "first-s3cret")] {
        let roles = Roles { api: role("the_api", Some(password)), worker: None };
        roles::apply(&database, &roles, DEADLINE).await.unwrap();
        assert!(!format!("{roles:?}").contains("s3cret"));
        login(password).await.unwrap();
        assert!(login(other).await.unwrap_err().contains("password authentication failed"));
    }
    // Without one, what is there stays.
    roles::apply(&database, &Roles { api: role("the_api", None), worker: None }, DEADLINE).await.unwrap();
    login("second-s3cret").await.unwrap();
    let log = std::fs::read_to_string(server.data_dir().parent().unwrap().join("log")).unwrap_or_else(|_| server.log());
    assert!(log.contains("ALTER ROLE \"the_api\" LOGIN PASSWORD 'SCRAM-SHA-256$"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}

/// What holds where nobody sends settings: through a transaction pooler.
#[tokio::test]
async fn a_role_has_its_timeouts() {
    let (empty, roles) = migrated(empty().await).await;
    for role in [&roles.api, &roles.worker] {
        let role = role.as_ref().unwrap();
        let set = empty
            .lines(&format!("SELECT unnest(setconfig) FROM pg_db_role_setting JOIN pg_roles r ON r.oid = setrole WHERE rolname = '{}'", role.name.as_str()))
            .await;
        let wanted: BTreeSet<_> = SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(set.into_iter().collect::<BTreeSet<_>>(), wanted);
    }
}

/// An administrator makes the roles; whoever owns the schema says what they may do.
#[tokio::test]
async fn an_owner_that_may_not_make_roles_says_so_and_grants_to_those_that_are_there() {
    let empty = empty().await;
    let name = empty.url.rsplit('/').next().unwrap().to_owned();
    let owner = role(&format!("{name}_owner"), Some("owner"));
    let mut admin = empty.connect().await;
    let make = format!("CREATE ROLE {name}_owner LOGIN PASSWORD 'owner'; ALTER DATABASE {name} OWNER TO {name}_owner");
    admin.batch_execute(&make).await.unwrap();
    let database = at(&empty, owner.as_ref());
    migrate::up(&database, 1, DEADLINE).await.unwrap();
    let roles = Roles { api: role(&format!("{name}_api"), Some("api")), worker: None };
    let error = roles::apply(&database, &roles, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline(..)) && error.to_string().contains("administrator"), "{error}");

    let make = format!("CREATE ROLE {name}_api LOGIN PASSWORD 'api'");
    let (waited, made) = tokio::join!(roles::apply(&database, &roles, DEADLINE), admin.batch_execute(&make));
    made.unwrap();
    waited.unwrap();
    assert_eq!(given(&empty, roles.api.as_ref().unwrap()).await, wanted(Grant::api));
    let mut api = at(&empty, roles.api.as_ref()).connect(Session::POOL).await.unwrap();
    api.batch_execute("SELECT FROM taskrow.records").await.unwrap();
    // Grants to the owner would limit nothing, and what is revoked from it is gone.
    let refused = roles::apply(&database, &Roles { api: owner, worker: None }, DEADLINE).await.unwrap_err();
    assert!(matches!(refused, Error::Role(_)), "{refused}");
    let drop = format!("DROP OWNED BY {name}_api; DROP ROLE {name}_api");
    admin.batch_execute(&drop).await.unwrap();
}
