//! Who was let in, and by which list.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};
use service::tokens::Tokens;

use crate::access::Reason;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

/// Counts refusals. Clones share the numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessMetrics {
    refused: Family<Refused, Counter>,
}

impl AccessMetrics {
    pub(super) fn register(&self, registry: &mut Registry, tokens: Option<Tokens>) {
        registry.register("api_access_refused", "Requests refused by who sent them", self.refused.clone());
        for reason in Reason::ALL {
            drop(self.refused.get_or_create(&Refused { reason: reason.as_str() }));
        }
        registry.register_collector(Box::new(List { tokens }));
    }

    /// A request was refused. The label never says whose it was: tokens come and go.
    pub(crate) fn refused(&self, reason: Reason) {
        self.refused.get_or_create(&Refused { reason: reason.as_str() }).inc();
    }
}

/// The list as it is when somebody scrapes.
#[derive(Debug)]
struct List {
    tokens: Option<Tokens>,
}

impl Collector for List {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let count = self.tokens.as_ref().map_or(0, Tokens::count);
        let is_stale = self.tokens.as_ref().is_some_and(Tokens::is_stale);
        for (name, help, value) in [
            ("api_tokens", "Tokens in the list; 0: everybody may do everything", count as i64),
            ("api_tokens_stale", "1 while an older list holds, for the file is bad or gone", i64::from(is_stale)),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}
