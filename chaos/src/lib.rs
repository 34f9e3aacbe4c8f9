//! Proof that nothing is lost and nothing is recorded twice: real processes under load and faults, and a checker of what they saw.
//!
//! - [`history`]: what clients, handlers and the harness saw; [`audit`]: what the database saw
//! - [`system`]: Postgres, PgBouncer, Redis, apis and workers, each [`process`] behind a [`proxy`] of its own
//! - [`schedule`]: which [`fault`] comes when, from a seed; [`inject`] does it
//! - [`load`]: the clients; [`probe`]: the workers' handler
//! - [`run`]: all of it; [`upgrade`]: the same load, while a release replaces another; [`recovery`]: how long each fault was felt; [`report`]
//! - [`checker`]: proves from these that every promise was kept

pub mod admin;
pub mod audit;
pub mod binaries;
pub mod checker;
pub mod clock;
pub mod collect;
pub mod disk;
pub mod fault;
pub mod history;
pub mod inject;
pub mod load;
pub mod probe;
pub mod process;
pub mod proxy;
pub mod recovery;
pub mod report;
pub mod run;
pub mod schedule;
pub mod supervise;
pub mod system;
pub mod upgrade;
pub mod writer;
