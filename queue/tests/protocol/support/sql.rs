//! SQL for what the protocol has no operation for: making time pass, and looking behind it.

use diesel::{QueryableByName, sql_query, sql_types::Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Runs statements that answer nothing.
pub(crate) async fn run(connection: &mut AsyncPgConnection, statements: &str) {
    connection.batch_execute(statements).await.unwrap_or_else(|error| panic!("{error}: {statements}"));
}

/// The one text column of a query's rows.
pub(crate) async fn lines(connection: &mut AsyncPgConnection, query: &str) -> Vec<String> {
    let query = format!("SELECT q.line::text AS line FROM ({query}) AS q(line)");
    let rows: Vec<Line> = sql_query(&query).load(connection).await.unwrap_or_else(|error| panic!("{error}: {query}"));
    rows.into_iter().map(|row| row.line).collect()
}

/// The one number a query answers.
pub(crate) async fn number(connection: &mut AsyncPgConnection, query: &str) -> i64 {
    lines(connection, query).await[0].parse().unwrap()
}
