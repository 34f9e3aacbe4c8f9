//! A hot statement: SQL written by hand, prepared once per connection.
//!
//! diesel caches a prepared statement by the query's type, so each statement is a type of its own with a static `QueryId`.
//! Its SQL refers to its parameters as `$1`, `$2`, .. in the order of the struct's fields, any number of times.

/// Declares a statement: `statement! { struct Name<'a> -> (row types) { field: type => sql type, .. } "SQL" }`.
///
/// The struct can then be loaded or executed on a connection by `diesel_async::RunQueryDsl`.
macro_rules! statement {
    (
        $(#[$meta:meta])*
        struct $name:ident $(<$lifetime:lifetime>)? -> $row:ty { $($field:ident: $kind:ty => $sql_type:ty),* $(,)? }
        $sql:expr
    ) => {
        $(#[$meta])*
        struct $name $(<$lifetime>)? { $($field: $kind),* }

        impl $(<$lifetime>)? diesel::query_builder::QueryId for $name $(<$lifetime>)? {
            type QueryId = $crate::statement::StaticId<{ $crate::statement::id_of(concat!(module_path!(), stringify!($name))) }>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl $(<$lifetime>)? diesel::query_builder::Query for $name $(<$lifetime>)? {
            type SqlType = $row;
        }

        impl $(<$lifetime>)? diesel::query_builder::QueryFragment<diesel::pg::Pg> for $name $(<$lifetime>)? {
            fn walk_ast<'b>(&'b self, mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>) -> diesel::QueryResult<()> {
                out.push_sql($sql);
                // diesel numbers parameters as it is told of them, once each and in order. The SQL above names them by
                // those numbers already, so the list of them goes into a comment.
                out.push_sql(" /*");
                $(
                    out.push_sql(" ");
                    out.push_bind_param::<$sql_type, _>(&self.$field)?;
                )*
                out.push_sql(" */");
                Ok(())
            }
        }
    };
}

/// Stands for one statement in diesel's cache.
pub(crate) struct StaticId<const ID: u64>;

/// FNV-1a of the statement's path.
pub(crate) const fn id_of(path: &str) -> u64 {
    let bytes = path.as_bytes();
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

pub(crate) use statement;
