//! What becomes of a stream's labels, remembered from push to push: clients send the same streams again and again.
//!
//! In: labels as sent, and limits. Out: the labels as stored, what they say of the level, or why they are refused. What is
//! remembered is remembered for the very limits it was found with, so that other limits find their own. Bounded; refusals are
//! not remembered.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use loki_api::config::Limits;
use model::{Labels, TenantId};

use crate::level::OfStream;
use crate::refusal::Refusal;

/// The label that says which service a stream is of.
const SERVICE_NAME: &str = "service_name";
const UNKNOWN_SERVICE: &str = "unknown_service";
/// Streams that Loki writes itself and that belong to no service.
const INTERNAL_LABELS: [&str; 2] = ["__aggregated_metric__", "__pattern__"];
/// The labels of a backfilled stream; no client may send them.
pub(crate) const BACKFILL_LABELS: [&str; 2] = ["__backfill__", "__backfill_shard__"];

/// Limits whose streams are remembered: beyond them those that were not asked for are forgotten.
const LIMITS_MAX: usize = 16;
/// Bytes of all labels that are remembered. In memory they take about four times as much.
const LABEL_BYTES_MAX: usize = 4 << 20;

/// A stream that may be stored.
#[derive(Debug)]
pub(crate) struct KnownStream {
    /// The labels as stored: with the service that they name, and those of a backfill.
    pub(crate) labels: Labels,
    pub(crate) level: OfStream,
}

/// Remembers streams.
#[derive(Debug, Default)]
pub(crate) struct KnownStreams(Mutex<Memory>);

/// The limits asked for last stand first.
#[derive(Debug, Default)]
struct Memory(VecDeque<OfLimits>);

/// The streams that were judged by one set of limits. Holding it keeps its address from being that of other limits.
#[derive(Debug)]
struct OfLimits {
    limits: Arc<Limits>,
    streams: HashMap<Labels, Arc<KnownStream>, RandomState>,
    bytes: usize,
}

impl KnownStreams {
    /// What becomes of a stream of a tenant that has these limits.
    pub(crate) fn know(
        &self,
        labels: &Labels,
        tenant: &TenantId,
        limits: &Arc<Limits>,
        backfill: Option<&str>,
    ) -> Result<Arc<KnownStream>, (Labels, Refusal)> {
        if backfill.is_some() {
            return judge(labels, tenant, limits, backfill).map(Arc::new);
        }
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = memory.of(limits).streams.get(labels) {
            return Ok(Arc::clone(stream));
        }
        let stream = Arc::new(judge(labels, tenant, limits, None)?);
        memory.remember(labels, Arc::clone(&stream), limits);
        Ok(stream)
    }
}

impl Memory {
    /// The streams judged by these limits, which from now on stand first.
    fn of(&mut self, limits: &Arc<Limits>) -> &mut OfLimits {
        let place = self.0.iter().position(|known| Arc::ptr_eq(&known.limits, limits));
        if place != Some(0) {
            let known = place.and_then(|place| self.0.remove(place));
            let new = || OfLimits { limits: Arc::clone(limits), streams: HashMap::default(), bytes: 0 };
            self.0.push_front(known.unwrap_or_else(new));
            self.0.truncate(LIMITS_MAX);
        }
        &mut self.0[0]
    }

    /// Keeps a stream, and forgets those of other limits, or at last of these, where there is no room for all.
    fn remember(&mut self, labels: &Labels, stream: Arc<KnownStream>, limits: &Arc<Limits>) {
        let bytes = labels.byte_len() + stream.labels.byte_len();
        if bytes > LABEL_BYTES_MAX {
            return;
        }
        while self.0.len() > 1 && self.bytes() + bytes > LABEL_BYTES_MAX {
            self.0.pop_back();
        }
        let known = self.of(limits);
        if known.bytes + bytes > LABEL_BYTES_MAX {
            known.streams.clear();
            known.bytes = 0;
        }
        known.bytes += bytes;
        known.streams.insert(labels.clone(), stream);
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|known| known.bytes).sum()
    }
}

/// Judges a stream's labels; a refused one's are given as they would be stored.
fn judge(
    sent: &Labels,
    tenant: &TenantId,
    limits: &Limits,
    backfill: Option<&str>,
) -> Result<KnownStream, (Labels, Refusal)> {
    let labels = enriched(sent, limits, backfill);
    match check(&labels, tenant, limits) {
        Ok(()) => Ok(KnownStream { level: OfStream::new(&labels, limits), labels }),
        Err(refusal) => Err((labels, refusal)),
    }
}

/// The labels with the service that they name, and those of a backfill.
fn enriched(labels: &Labels, limits: &Limits, backfill: Option<&str>) -> Labels {
    let names = &limits.discover_service_name;
    let known = INTERNAL_LABELS.iter().any(|name| labels.contains(name)) || labels.contains(SERVICE_NAME);
    let discovers = !names.is_empty() && !known;
    if !discovers && backfill.is_none() {
        return labels.clone();
    }
    let mut builder = labels.to_builder();
    if discovers {
        let service = names.iter().find_map(|name| labels.get(name).filter(|value| !value.is_empty()));
        builder.set(SERVICE_NAME, service.unwrap_or(UNKNOWN_SERVICE));
    }
    if let Some(shard) = backfill {
        builder.set(BACKFILL_LABELS[0], "true").set(BACKFILL_LABELS[1], shard);
    }
    builder.build()
}

fn check(labels: &Labels, tenant: &TenantId, limits: &Limits) -> Result<(), Refusal> {
    if labels.is_empty() {
        return Err(Refusal::missing_labels());
    }
    let missing: Vec<&str> =
        limits.enforced_labels.iter().map(String::as_str).filter(|name| !labels.contains(name)).collect();
    if !missing.is_empty() {
        return Err(Refusal::missing_enforced(tenant, labels, &missing));
    }
    let names = labels.len() - usize::from(labels.contains(SERVICE_NAME));
    if names > limits.max_label_names_per_series {
        return Err(Refusal::too_many_labels(labels, names, limits.max_label_names_per_series));
    }
    for (name, value) in labels.iter() {
        if name.len() > limits.max_label_name_length {
            return Err(Refusal::label_name_too_long(labels, name));
        }
        if value.len() > limits.max_label_value_length {
            return Err(Refusal::label_value_too_long(labels, value));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(names: &[&str], name_bytes_max: usize) -> Arc<Limits> {
        let discover_service_name = names.iter().map(|name| (*name).to_owned()).collect();
        Arc::new(Limits { discover_service_name, max_label_name_length: name_bytes_max, ..Limits::default() })
    }

    /// Whatever was asked before, with whatever limits: the answer is that of a memory without any past.
    #[test]
    fn what_is_known_is_what_these_limits_say() {
        let known = KnownStreams::default();
        let tenants = [TenantId::new("a").expect("an id"), TenantId::new("b").expect("an id")];
        for round in 0..3 {
            // New limits each round, as if the file of overrides had changed: more than are remembered.
            for (i, names) in [&["app"][..], &["job"], &[], &["job", "app"]].iter().cycle().take(20).enumerate() {
                let limits = limits(names, if i % 5 == round { 2 } else { 100 });
                for tenant in tenants.iter().chain(&tenants) {
                    for app in ["x", "y"] {
                        let labels = Labels::from_pairs([("app", app), ("job", "j"), ("level", "INFO")]);
                        let told = known.know(&labels, tenant, &limits, None).map(|stream| stream.labels.clone());
                        let want = judge(&labels, tenant, &limits, None).map(|stream| stream.labels);
                        let text = |refused: (Labels, Refusal)| (refused.0, refused.1.text);
                        assert_eq!(told.map_err(text), want.map_err(text), "{round} {i} {tenant} {app}");
                    }
                }
            }
        }
        assert_eq!(known.0.lock().expect("no panic").0.len(), LIMITS_MAX);
    }

    #[test]
    fn a_stream_is_judged_once() {
        let (known, tenant) = (KnownStreams::default(), TenantId::single());
        let limits = limits(&["app"], 100);
        let labels = Labels::from_pairs([("app", "x")]);
        let know = |backfill| known.know(&labels, &tenant, &limits, backfill).expect("may be stored");
        let first = know(None);
        assert!(Arc::ptr_eq(&know(None), &first));
        assert_eq!(first.labels.to_string(), r#"{app="x", service_name="x"}"#);
        // A backfill has labels of its own, and nobody else gets them.
        let shard = r#"{__backfill__="true", __backfill_shard__="7", app="x", service_name="x"}"#;
        assert_eq!(know(Some("7")).labels.to_string(), shard);
        assert!(Arc::ptr_eq(&know(None), &first));
    }

    /// More labels than there is room for, of two limits in turn and then of one of them.
    #[test]
    fn what_is_remembered_is_bounded() {
        let (known, tenant) = (KnownStreams::default(), TenantId::single());
        let both = [limits(&["app"], 100), limits(&["app"], 100)];
        let mut most = 0;
        for i in 0..12_000 {
            let limits = if i < 6000 { &both[i % 2] } else { &both[0] };
            let labels = Labels::from_pairs([("app", format!("{i}{}", "x".repeat(400)))]);
            known.know(&labels, &tenant, limits, None).expect("may be stored");
            let memory = known.0.lock().expect("no panic");
            most = most.max(memory.bytes());
            if i % 1000 == 0 {
                let bytes = |(sent, stream): (&Labels, &Arc<KnownStream>)| sent.byte_len() + stream.labels.byte_len();
                let held = memory.0.iter().flat_map(|known| &known.streams).map(bytes).sum::<usize>();
                assert_eq!(held, memory.bytes());
            }
        }
        assert!((LABEL_BYTES_MAX / 2..=LABEL_BYTES_MAX).contains(&most), "{most}");
    }
}
