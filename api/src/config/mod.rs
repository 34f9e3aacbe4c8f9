//! Flags and environment of the API, one struct per concern. Those of Postgres and of logs are `service`'s.
//!
//! | variable | default | concern |
//! |---|---|---|
//! | `API_BIND` | `0.0.0.0:8080` | [`HttpArgs`] |
//! | `API_CONNECTIONS` | `10000` | [`HttpArgs`] |
//! | `API_HEAD_TIMEOUT` | `10s` | [`HttpArgs`] |
//! | `API_REQUEST_TIMEOUT` | `30s` | [`HttpArgs`] |
//! | `API_BODY_LIMIT` | `1MiB` | [`HttpArgs`] |
//! | `API_BATCH_BODY_LIMIT` | `32MiB` | [`HttpArgs`] |
//! | `API_BODY_MEMORY` | `256MiB` | [`HttpArgs`] |
//! | `API_DRAIN_DELAY` | `5s` | [`DrainArgs`] |
//! | `API_DRAIN_BUDGET` | `20s` | [`DrainArgs`] |
//! | `API_RATE_LIMIT` | | [`RateArgs`] |
//! | `API_RATE_BURST` | | [`RateArgs`] |
//! | `API_TRUSTED_PROXIES` | | [`RateArgs`] |
//! | `API_READERS` | `2` | [`ReadArgs`] |
//! | `API_DATABASE_CONNECTIONS` | `8` | [`ReadArgs`] |
//! | `API_WAITERS` | `1000` | [`WaitArgs`] |
//! | `API_FLUSHERS` | `2` | [`SubmitArgs`] |
//! | `API_SUBMIT_BUFFER_TASKS` | `20000` | [`SubmitArgs`] |
//! | `API_SUBMIT_BUFFER_BYTES` | `64MiB` | [`SubmitArgs`] |
//! | `API_IDEMPOTENCY_TTL` | `24h` | [`SubmitArgs`] |
//! | `API_CALLBACK_URLS` | | [`TaskArgs`] |
//! | `TASK_MAX_ATTEMPTS` | `20` | [`TaskArgs`] |
//! | `TASK_TIMEOUT` | `1h` | [`TaskArgs`] |

mod drain;
mod http;
mod rate;
mod read;
mod size;
mod submit;
mod task;
mod wait;

use clap::Args;
use service::exit::Failure;

pub use self::{
    drain::DrainArgs, http::HttpArgs, rate::RateArgs, read::ReadArgs, size::Size, submit::SubmitArgs, task::TaskArgs,
    wait::WaitArgs,
};
use crate::batch::BATCH_LIMIT;

/// Everything that is configured about the API.
#[derive(Args, Clone, Debug, Default)]
pub struct ApiArgs {
    /// Connections and requests.
    #[command(flatten)]
    pub http: HttpArgs,
    /// How fast clients may ask.
    #[command(flatten)]
    pub rate: RateArgs,
    /// Stopping.
    #[command(flatten)]
    pub drain: DrainArgs,
    /// Reading, and changing single tasks.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Waiting for tasks.
    #[command(flatten)]
    pub wait: WaitArgs,
    /// Group commit.
    #[command(flatten)]
    pub submit: SubmitArgs,
    /// Tasks that do not say otherwise.
    #[command(flatten)]
    pub task: TaskArgs,
}

impl ApiArgs {
    /// Checks values and their relations. Nothing is opened before.
    pub fn validate(&self) -> Result<(), Failure> {
        self.http.validate()?;
        self.rate.validate()?;
        self.read.validate()?;
        self.submit.validate()?;
        self.task.validate()?;
        if self.submit.submit_buffer_tasks < BATCH_LIMIT {
            return Err(Failure::usage(format!(
                "API_SUBMIT_BUFFER_TASKS must be at least {BATCH_LIMIT}, the most tasks of one batch request"
            )));
        }
        if self.submit.submit_buffer_bytes.bytes() < self.http.batch_body_limit.bytes() {
            return Err(Failure::usage("API_SUBMIT_BUFFER_BYTES must be at least API_BATCH_BODY_LIMIT"));
        }
        Ok(())
    }
}

/// A value that must not be zero.
fn positive<T: PartialEq + From<u8>>(name: &str, value: T) -> Result<(), Failure> {
    if value == T::from(0) { Err(Failure::usage(format!("{name} must be above zero"))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        api: ApiArgs,
    }

    fn validate(flags: &[&str]) -> Result<(), String> {
        let cli = Cli::try_parse_from([&["api"], flags].concat()).map_err(|error| error.to_string())?;
        cli.api.validate().map_err(|failure| failure.to_string())
    }

    #[test]
    fn no_flags_mean_the_defaults() {
        let parsed = Cli::try_parse_from(["api"]).unwrap().api;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", ApiArgs::default()));
        assert_eq!(validate(&[]), Ok(()));
    }

    #[test]
    fn bad_values_blame_their_variable() {
        for (flags, blamed) in [
            (&["--api-bind", "everywhere"][..], "--api-bind"),
            (&["--api-flushers", "0"], "API_FLUSHERS"),
            (&["--api-readers", "0"], "API_READERS"),
            (&["--api-connections", "0"], "API_CONNECTIONS"),
            (&["--api-database-connections", "0"], "API_DATABASE_CONNECTIONS"),
            (&["--api-head-timeout", "0s"], "API_HEAD_TIMEOUT"),
            (&["--api-request-timeout", "0s"], "API_REQUEST_TIMEOUT"),
            (&["--api-body-limit", "1 lorry"], "--api-body-limit"),
            (&["--api-body-limit", "0"], "API_BODY_LIMIT"),
            (&["--api-body-memory", "1MiB"], "API_BODY_MEMORY"),
            (&["--api-batch-body-limit", "65MiB"], "API_SUBMIT_BUFFER_BYTES"),
            (&["--api-submit-buffer-tasks", "9999"], "API_SUBMIT_BUFFER_TASKS"),
            (&["--api-idempotency-ttl", "0s"], "API_IDEMPOTENCY_TTL"),
            (&["--api-idempotency-ttl", "2years"], "API_IDEMPOTENCY_TTL"),
            (&["--task-max-attempts", "1001"], "TASK_MAX_ATTEMPTS"),
            (&["--task-timeout", "8d"], "TASK_TIMEOUT"),
            (&["--api-callback-urls", "ftp://a"], "--api-callback-urls"),
            (&["--api-drain-delay", "soon"], "--api-drain-delay"),
            (&["--api-rate-limit", "100"], "--api-rate-limit"),
            (&["--api-rate-burst", "5"], "API_RATE_BURST"),
            (&["--api-rate-limit", "1/s", "--api-rate-burst", "0"], "--api-rate-burst"),
            (&["--api-rate-limit", "1/s", "--api-rate-burst", "1000001"], "API_RATE_BURST"),
            (&["--api-trusted-proxies", "10.0.0.0/33"], "--api-trusted-proxies"),
        ] {
            let error = validate(flags).unwrap_err();
            assert!(error.contains(blamed), "{flags:?}: {error}");
        }
    }
}
