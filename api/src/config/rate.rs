//! How fast clients may ask.

use std::{num::NonZeroU32, str::FromStr, time::Duration};

use clap::Args;
use governor::Quota;
use ipnet::IpNet;
use service::exit::Failure;

/// Most requests of a rate, and of a burst: more limits nothing.
const MOST: u32 = 1_000_000;

/// So many requests in a time, per client and api process.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Access")]
pub struct RateArgs {
    /// Most requests of one client in a second, a minute or an hour, such as 100/s, 600/m or 5000/h; above, 429. A client is a token, or an
    /// address where there are no tokens. Counted by each api process for itself. None: no limit.
    #[arg(id = "api-rate-limit", long, value_name = "RATE", env = "API_RATE_LIMIT")]
    pub limit: Option<Rate>,
    /// How many of them may come at once. As many as the rate's number when absent.
    #[arg(id = "api-rate-burst", long, value_name = "N", env = "API_RATE_BURST")]
    pub burst: Option<NonZeroU32>,
    /// Networks of the proxies in front, separated by commas, such as 10.0.0.0/8. Of a request that comes from one of them,
    /// X-Forwarded-For says the client's address; of others nobody believes it.
    #[arg(
        id = "api-trusted-proxies",
        long,
        value_name = "NETWORKS",
        env = "API_TRUSTED_PROXIES",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<IpNet>,
}

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    per: Duration,
}

impl RateArgs {
    pub(super) fn validate(&self) -> Result<(), Failure> {
        if self.burst.is_some() && self.limit.is_none() {
            return Err(Failure::usage("API_RATE_BURST means nothing without API_RATE_LIMIT"));
        }
        if self.burst.is_some_and(|burst| burst.get() > MOST) {
            return Err(Failure::usage(format!("API_RATE_BURST must be at most {MOST}")));
        }
        Ok(())
    }

    /// As the limiter takes it; none: no limit.
    pub(crate) fn quota(&self) -> Option<Quota> {
        let rate = self.limit?;
        let quota = Quota::with_period(rate.per / rate.count.get())?;
        Some(quota.allow_burst(self.burst.unwrap_or(rate.count)))
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (count, unit) = text.split_once('/')?;
            let per = match unit {
                "s" => Duration::from_secs(1),
                "m" => Duration::from_secs(60),
                "h" => Duration::from_secs(3600),
                _ => return None,
            };
            let count = count.parse().ok().filter(|count: &NonZeroU32| count.get() <= MOST)?;
            Some(Self { count, per })
        };
        read().ok_or_else(|| format!("must be a number from 1 to {MOST} and a time, such as 100/s, 600/m or 5000/h"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, period, burst) in
            [("100/s", 0.01, 100), ("600/m", 0.1, 600), ("1/h", 3600.0, 1), ("1000000/s", 1e-6, MOST)]
        {
            let args = RateArgs { limit: Some(text.parse().unwrap()), ..RateArgs::default() };
            let quota = args.quota().unwrap();
            assert_eq!(quota.replenish_interval(), Duration::from_secs_f64(period), "{text}");
            assert_eq!(quota.burst_size().get(), burst, "{text}");
        }
        for bad in ["", "100", "0/s", "100/d", "/s", "1.5/s", "-1/s", "1000001/s", "100 / s", "100/s/s"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
        assert!(RateArgs::default().quota().is_none());
    }
}
