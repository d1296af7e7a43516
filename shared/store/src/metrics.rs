//! Shows the store's counters to Prometheus.
//!
//! In: a registry that somebody else prints. Out: requests by kind and bytes in both directions, read at each scrape. Counts
//! nothing itself.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;

use crate::{Counters, Store};

impl Store {
    /// Adds this store's counters to a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Scrape(self.counters())));
    }
}

#[derive(Debug)]
struct Scrape(Arc<Counters>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let counts = self.0.snapshot();
        let kind = ConstCounter::new(0u64).metric_type();
        let help = "Requests made to the store, as S3 bills them";
        let mut requests = encoder.encode_descriptor("logbarn_store_requests", help, None, kind)?;
        let kinds = [
            ("put", counts.puts),
            ("get", counts.gets),
            ("list", counts.lists),
            ("delete", counts.deletes),
            ("head", counts.heads),
        ];
        for (operation, count) in kinds {
            ConstCounter::new(count).encode(requests.encode_family(&[("operation", operation)])?)?;
        }
        let bytes = [
            ("logbarn_store_read_bytes", "Bytes read from the store", counts.bytes_in),
            ("logbarn_store_written_bytes", "Bytes written to the store", counts.bytes_out),
        ];
        for (name, help, count) in bytes {
            let kind = ConstCounter::new(0u64).metric_type();
            ConstCounter::new(count).encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}
