//! Stopping.

use std::time::Duration;

use clap::Args;

/// Default of `API_DRAIN_DELAY`.
const DRAIN_DELAY: Duration = Duration::from_secs(5);
/// Default of `API_DRAIN_BUDGET`.
const DRAIN_BUDGET: Duration = Duration::from_secs(20);

/// How the API stops. The two together must be shorter than the pod's `terminationGracePeriodSeconds`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Stopping")]
pub struct DrainArgs {
    /// How long to serve on after SIGTERM, with /ready at 503: load balancers need that long to look elsewhere.
    #[arg(id = "api-drain-delay", long, value_name = "DURATION", env = "API_DRAIN_DELAY", default_value_t = DRAIN_DELAY.into())]
    pub drain_delay: humantime::Duration,
    /// How long requests may take to end after that; what is left is cut off.
    #[arg(id = "api-drain-budget", long, value_name = "DURATION", env = "API_DRAIN_BUDGET", default_value_t = DRAIN_BUDGET.into())]
    pub drain_budget: humantime::Duration,
}

impl Default for DrainArgs {
    fn default() -> Self {
        Self { drain_delay: DRAIN_DELAY.into(), drain_budget: DRAIN_BUDGET.into() }
    }
}
