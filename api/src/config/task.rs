//! Tasks that do not say otherwise.

use clap::Args;
use queue::task::{DEFAULT_MAX_ATTEMPTS, DEFAULT_TIMEOUT, MAX_ATTEMPTS_LIMIT, TIMEOUT_LIMIT};
use service::{exit::Failure, url_pattern::UrlPattern};

/// Defaults of tasks.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Tasks")]
pub struct TaskArgs {
    /// Attempts of a task that does not say. More outlast longer troubles, fewer show hopeless tasks as failed sooner.
    #[arg(id = "task-max-attempts", long, value_name = "N", env = "TASK_MAX_ATTEMPTS", default_value_t = DEFAULT_MAX_ATTEMPTS)]
    pub max_attempts: i16,
    /// Longest run of one attempt of a task that does not say.
    #[arg(id = "task-timeout", long, value_name = "DURATION", env = "TASK_TIMEOUT", default_value_t = DEFAULT_TIMEOUT.into())]
    pub timeout: humantime::Duration,
    /// Patterns of the URLs that clients may name as `callback_url`, separated by commas: `https://hooks.example.com/*`. None: there are no
    /// callbacks. Workers must be configured to make them, too.
    #[arg(id = "api-callback-urls", long, value_name = "PATTERNS", env = "API_CALLBACK_URLS", value_delimiter = ',')]
    pub callback_urls: Vec<UrlPattern>,
}

impl TaskArgs {
    pub(super) fn validate(&self) -> Result<(), Failure> {
        if !(1..=MAX_ATTEMPTS_LIMIT).contains(&self.max_attempts) {
            return Err(Failure::usage(format!("TASK_MAX_ATTEMPTS must be 1 to {MAX_ATTEMPTS_LIMIT}")));
        }
        if self.timeout.as_millis() == 0 || *self.timeout > TIMEOUT_LIMIT {
            return Err(Failure::usage("TASK_TIMEOUT must be above zero and at most 7 days"));
        }
        Ok(())
    }
}

impl Default for TaskArgs {
    fn default() -> Self {
        Self { max_attempts: DEFAULT_MAX_ATTEMPTS, timeout: DEFAULT_TIMEOUT.into(), callback_urls: Vec::new() }
    }
}
