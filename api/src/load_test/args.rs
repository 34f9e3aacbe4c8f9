//! What a load test does.

use std::{path::PathBuf, time::Duration};

use clap::{Args, value_parser};
use queue::task::Name;
use reqwest::Url;

use crate::options::{DEFAULT_KIND, DEFAULT_QUEUE};

/// Default of `--url`.
const URL: &str = "http://localhost:8080";
/// Default of `--tasks`.
const TASKS: u32 = 1000;
/// Most tasks: what is kept of each takes some 100 bytes.
const TASKS_LIMIT: i64 = 1_000_000;
/// Default of `--concurrency`.
const CONCURRENCY: u16 = 16;
/// Most requests at once: what the usual limit of 1024 open files leaves room for.
const CONCURRENCY_LIMIT: i64 = 1000;
/// Default of `--deadline`.
const DEADLINE: Duration = Duration::from_secs(600);
/// Longer ones are mistakes.
const DEADLINE_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Flags of `api load-test`. They have no variables: what a load test does stands where it is started.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load test")]
pub struct LoadTestArgs {
    /// Where the API is. Plain HTTP only; no proxy is used, whatever the environment says.
    #[arg(id = "load-test-url", long = "url", value_name = "URL", value_parser = plain_http, default_value = URL)]
    pub url: Url,
    /// Tasks to submit, one a request. 1 to 1000000.
    #[arg(id = "load-test-tasks", long = "tasks", value_name = "N", value_parser = value_parser!(u32).range(1..=TASKS_LIMIT), default_value_t = TASKS)]
    pub tasks: u32,
    /// Submitting requests at once, each on its own connection. 1 to 1000.
    #[arg(id = "load-test-concurrency", long = "concurrency", value_name = "N", value_parser = value_parser!(u16).range(1..=CONCURRENCY_LIMIT), default_value_t = CONCURRENCY)]
    pub concurrency: u16,
    /// Longest time for all of it, the wait for /ready included. Up to 24 hours.
    #[arg(id = "load-test-deadline", long = "deadline", value_name = "DURATION", value_parser = deadline, default_value_t = DEADLINE.into())]
    pub deadline: humantime::Duration,
    /// Queue of the tasks.
    #[arg(id = "load-test-queue", long = "queue", value_name = "NAME", default_value = DEFAULT_QUEUE)]
    pub queue: Name,
    /// Kind of the tasks. Its handler gets an object: `load_test`, the id of the run, and `n`, a number.
    #[arg(id = "load-test-kind", long = "kind", value_name = "NAME", default_value = DEFAULT_KIND)]
    pub kind: Name,
    /// File with the API token to send, where the API asks for one; it needs the scopes submit and read.
    #[arg(id = "load-test-token-file", long = "token-file", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

fn plain_http(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; write http://host:port"))?;
    match url.scheme() {
        "http" => {}
        "https" => {
            return Err(
                "https is not supported; give the address where the API itself listens, as http://api".to_owned()
            );
        }
        other => return Err(format!("the scheme is {other}; write http://host:port")),
    }
    let is_bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if is_bare { Ok(url) } else { Err("takes no user, no password, no query and no fragment".to_owned()) }
}

fn deadline(text: &str) -> Result<humantime::Duration, String> {
    let deadline: humantime::Duration = text.parse().map_err(|error: humantime::DurationError| error.to_string())?;
    let fits = !deadline.is_zero() && *deadline <= DEADLINE_LIMIT;
    if fits { Ok(deadline) } else { Err("must be above zero and at most 24h".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: LoadTestArgs,
    }

    fn parse(flags: &[&str]) -> Result<LoadTestArgs, String> {
        Cli::try_parse_from([&["load-test"], flags].concat()).map(|cli| cli.args).map_err(|error| error.to_string())
    }

    #[test]
    fn the_flags_of_the_job_are_taken() {
        let job = include_str!("../../../kustomize/components/load-test/load-test.yaml");
        let flags =
            job.lines().find_map(|line| line.trim().strip_prefix("args: [load-test, ")?.strip_suffix(']')).unwrap();
        let args = parse(&flags.split(", ").collect::<Vec<_>>()).unwrap();
        assert_eq!((args.url.as_str(), args.tasks, args.concurrency), ("http://api/", 1000, 16));
        assert_eq!(*args.deadline, Duration::from_secs(600));
        assert_eq!((args.queue.as_str(), args.kind.as_str()), (DEFAULT_QUEUE, DEFAULT_KIND));
    }

    #[test]
    fn bad_values_blame_their_flag() {
        for (flag, reason) in [
            ("--url=https://api", "https is not supported"),
            ("--url=api:80", "http://host:port"),
            ("--url=http://", "empty host"),
            ("--url=http://me:secret@api", "no password"),
            ("--url=http://api/?queue=a", "no query"),
            ("--tasks=0", "1..=1000000"),
            ("--tasks=1000001", "1..=1000000"),
            ("--concurrency=1001", "1..=1000"),
            ("--deadline=0s", "above zero"),
            ("--deadline=25h", "24h"),
            ("--deadline=soon", "expected number"),
            ("--queue=a b", "a name is"),
        ] {
            let error = parse(&[flag]).unwrap_err();
            let name = flag.split('=').next().unwrap();
            assert!(error.contains(name) && error.contains(reason), "{flag}: {error}");
        }
    }
}
