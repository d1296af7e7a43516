//! What a push is refused for: Loki's reasons, statuses and texts, and how many texts become one answer.
//!
//! In: single refusals with the lines and bytes they cost. Out: one status and one body. Equal texts are told once with
//! their number; different ones stand in the order in which they came up. Decides nothing.

use http::StatusCode;
use model::{Labels, TenantId};

/// Different texts that one answer tells; a push of a million bad lines must not become an answer of a million texts.
const TEXTS_TOLD_MAX: usize = 100;

/// Why an entry, a stream or a whole push is not stored. The names are the values of `reason` in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reason {
    GreaterThanMaxSampleAge,
    TooFarInFuture,
    LineTooLong,
    MaxLabelNamesPerSeries,
    LabelNameTooLong,
    LabelValueTooLong,
    DuplicateLabelNames,
    MissingLabels,
    MissingEnforcedLabels,
    DisallowedStructuredMetadata,
    StructuredMetadataTooLarge,
    StructuredMetadataTooMany,
    TooManyDays,
    PushTooLarge,
    RateLimited,
    StreamLimit,
    PerStreamRateLimit,
    BlockedIngestion,
    InvalidDocument,
}

impl Reason {
    /// The name in the metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::GreaterThanMaxSampleAge => "greater_than_max_sample_age",
            Reason::TooFarInFuture => "too_far_in_future",
            Reason::LineTooLong => "line_too_long",
            Reason::MaxLabelNamesPerSeries => "max_label_names_per_series",
            Reason::LabelNameTooLong => "label_name_too_long",
            Reason::LabelValueTooLong => "label_value_too_long",
            Reason::DuplicateLabelNames => "duplicate_label_names",
            Reason::MissingLabels => "missing_labels",
            Reason::MissingEnforcedLabels => "missing_enforced_labels",
            Reason::DisallowedStructuredMetadata => "disallowed_structured_metadata",
            Reason::StructuredMetadataTooLarge => "structured_metadata_too_large",
            Reason::StructuredMetadataTooMany => "structured_metadata_too_many",
            Reason::TooManyDays => "too_many_days",
            Reason::PushTooLarge => "push_too_large",
            Reason::RateLimited => "rate_limited",
            Reason::StreamLimit => "stream_limit",
            Reason::PerStreamRateLimit => "per_stream_rate_limit",
            Reason::BlockedIngestion => "blocked_ingestion",
            Reason::InvalidDocument => "invalid_document",
        }
    }

    /// Whether waiting helps: these are answered 429, the others 400.
    fn is_rate(self) -> bool {
        matches!(self, Reason::RateLimited | Reason::StreamLimit | Reason::PerStreamRateLimit)
    }
}

/// One refusal, with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) text: String,
}

/// The refusals of a push.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// Distinct texts, how often each, and whether waiting helps.
    texts: Vec<(String, u64, bool)>,
    /// Texts beyond `TEXTS_TOLD_MAX`.
    untold: u64,
    /// Lines and bytes lost, by reason.
    discarded: Vec<(Reason, u64, u64)>,
}

impl Refusals {
    /// Notes a refusal that costs so many lines and bytes. Gives the number of its text, if that is told.
    pub(crate) fn add(&mut self, refusal: Refusal, lines: u64, bytes: u64) -> Option<usize> {
        self.discard(refusal.reason, lines, bytes);
        if let Some(place) = self.texts.iter().position(|(text, ..)| *text == refusal.text) {
            self.texts.get_mut(place)?.1 += 1;
            return Some(place);
        }
        if self.texts.len() >= TEXTS_TOLD_MAX {
            self.untold += 1;
            return None;
        }
        self.texts.push((refusal.text, 1, refusal.reason.is_rate()));
        Some(self.texts.len() - 1)
    }

    /// Counts what is lost without telling it.
    pub(crate) fn discard(&mut self, reason: Reason, lines: u64, bytes: u64) {
        match self.discarded.iter_mut().find(|(known, ..)| *known == reason) {
            Some(row) => (row.1, row.2) = (row.1 + lines, row.2 + bytes),
            None => self.discarded.push((reason, lines, bytes)),
        }
    }

    /// Status and text of one refusal, by the number that `add` gave.
    pub(crate) fn told(&self, number: Option<usize>) -> (u16, &str) {
        match number.and_then(|number| self.texts.get(number)) {
            Some((text, _, rate)) => (if *rate { 429 } else { 400 }, text),
            None => (400, "refused, as many others of this request"),
        }
    }

    /// Lines and bytes lost, by reason.
    pub(crate) fn discarded(&self) -> &[(Reason, u64, u64)] {
        &self.discarded
    }

    /// Status and text of the answer; none if nothing was refused. What waiting helps against takes precedence, as in Loki.
    pub(crate) fn answer(&self) -> Option<(StatusCode, String)> {
        let waiting_helps = self.texts.iter().any(|(_, _, rate)| *rate);
        let told: Vec<_> = self.texts.iter().filter(|(_, _, rate)| *rate == waiting_helps).collect();
        let text = match told.as_slice() {
            [] => return None,
            [(text, 1, _)] if self.untold == 0 => text.clone(),
            many => {
                let mut parts: Vec<String> =
                    many.iter().map(|(text, n, _)| format!("{n} errors like: {text}")).collect();
                if self.untold > 0 {
                    parts.push(format!("{} other errors", self.untold));
                }
                parts.join("; ")
            }
        };
        let status = if waiting_helps { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::BAD_REQUEST };
        Some((status, text))
    }
}

/// The texts, each beside the reason it belongs to.
impl Refusal {
    fn new(reason: Reason, text: String) -> Self {
        Refusal { reason, text }
    }

    pub(crate) fn too_old(stream: &Labels, timestamp_ns: i64, oldest_ns: i64) -> Self {
        let (time, oldest) = (rfc3339(timestamp_ns), rfc3339(oldest_ns));
        let text = format!(
            "entry for stream '{stream}' has timestamp too old: {time}, oldest acceptable timestamp is: {oldest}"
        );
        Refusal::new(Reason::GreaterThanMaxSampleAge, text)
    }

    pub(crate) fn too_new(stream: &Labels, timestamp_ns: i64) -> Self {
        let text = format!("entry for stream '{stream}' has timestamp too new: {}", rfc3339(timestamp_ns));
        Refusal::new(Reason::TooFarInFuture, text)
    }

    pub(crate) fn line_too_long(stream: &Labels, length: usize, max: u64) -> Self {
        let text = format!(
            "max entry size '{max}' bytes exceeded for stream '{stream}' while adding an entry with length '{length}' bytes"
        );
        Refusal::new(Reason::LineTooLong, text)
    }

    pub(crate) fn too_many_labels(stream: &Labels, names: usize, max: usize) -> Self {
        let text = format!("entry for stream '{stream}' has {names} label names; limit {max}");
        Refusal::new(Reason::MaxLabelNamesPerSeries, text)
    }

    pub(crate) fn label_name_too_long(stream: &Labels, name: &str) -> Self {
        Refusal::new(Reason::LabelNameTooLong, format!("stream '{stream}' has label name too long: '{name}'"))
    }

    pub(crate) fn label_value_too_long(stream: &Labels, value: &str) -> Self {
        Refusal::new(Reason::LabelValueTooLong, format!("stream '{stream}' has label value too long: '{value}'"))
    }

    pub(crate) fn duplicate_label(stream: &Labels, name: &str) -> Self {
        Refusal::new(Reason::DuplicateLabelNames, format!("stream '{stream}' has duplicate label name: '{name}'"))
    }

    pub(crate) fn missing_labels() -> Self {
        Refusal::new(Reason::MissingLabels, "error at least one label pair is required per stream".to_owned())
    }

    pub(crate) fn missing_enforced(tenant: &TenantId, stream: &Labels, names: &[&str]) -> Self {
        let names = names.join(",");
        let text = format!("missing required labels '{names}' for user '{tenant}' for stream '{stream}' (policy: '')");
        Refusal::new(Reason::MissingEnforcedLabels, text)
    }

    pub(crate) fn metadata_disallowed(stream: &Labels) -> Self {
        let text = format!(
            "stream '{stream}' includes structured metadata, but this feature is disallowed. Please see \
             `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it"
        );
        Refusal::new(Reason::DisallowedStructuredMetadata, text)
    }

    pub(crate) fn metadata_too_large(stream: &Labels, bytes: usize, max: u64) -> Self {
        let text = format!(
            "stream '{stream}' has structured metadata too large: '{bytes}' bytes, limit: '{max}' bytes. Please see \
             `limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it"
        );
        Refusal::new(Reason::StructuredMetadataTooLarge, text)
    }

    pub(crate) fn metadata_too_many(stream: &Labels, names: usize, max: usize) -> Self {
        let text = format!(
            "stream '{stream}' has too many structured metadata labels: '{names}', limit: '{max}'. Please see \
             `limits_config.max_structured_metadata_entries_count` or contact your Loki administrator to increase it"
        );
        Refusal::new(Reason::StructuredMetadataTooMany, text)
    }

    pub(crate) fn invalid_document(why: String) -> Self {
        Refusal::new(Reason::InvalidDocument, why)
    }

    pub(crate) fn too_many_days(max: usize) -> Self {
        Refusal::new(Reason::TooManyDays, format!("entries of more than {max} days in one push"))
    }

    pub(crate) fn push_too_large(max: usize) -> Self {
        Refusal::new(
            Reason::PushTooLarge,
            format!("one push holds more than {max} bytes of lines and structured metadata"),
        )
    }

    pub(crate) fn tenant_rate(tenant: &TenantId, limit: u64, lines: u64, bytes: u64) -> Self {
        let text = format!(
            "ingestion rate limit exceeded for user {tenant} (limit: {limit} bytes/sec) while attempting to ingest '{lines}' lines \
             totaling '{bytes}' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased"
        );
        Refusal::new(Reason::RateLimited, text)
    }

    pub(crate) fn stream_limit(tenant: &TenantId, stream: &Labels) -> Self {
        let text = format!(
            "maximum active stream limit exceeded when trying to create stream {stream}, reduce the number of active streams \
             (reduce labels or reduce label values), or contact your Loki administrator to see if the limit can be increased, \
             user: '{tenant}'"
        );
        Refusal::new(Reason::StreamLimit, text)
    }

    pub(crate) fn stream_rate(stream: &Labels, limit: u64, bytes: u64) -> Self {
        let (limit, bytes) = (loki_api::units::print_size(limit), loki_api::units::print_size(bytes));
        let text = format!(
            "Per stream rate limit exceeded (limit: {limit}/sec) while attempting to ingest for stream '{stream}' totaling {bytes}, \
             consider splitting a stream via additional labels or contact your Loki administrator to see if the limit can be increased"
        );
        Refusal::new(Reason::PerStreamRateLimit, text)
    }
}

/// A time to the second, as Go's RFC 3339 has it.
fn rfc3339(timestamp_ns: i64) -> String {
    let seconds = timestamp_ns.div_euclid(model::NANOS_PER_SECOND);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(refusals: &[Refusal]) -> Option<(u16, String)> {
        let mut all = Refusals::default();
        for refusal in refusals {
            all.add(refusal.clone(), 1, 1);
        }
        all.answer().map(|(status, text)| (status.as_u16(), text))
    }

    #[test]
    fn equal_texts_are_told_once() {
        let (a, b) = (Refusal::too_many_days(1), Refusal::missing_labels());
        assert_eq!(answer(&[]), None);
        assert_eq!(answer(std::slice::from_ref(&a)), Some((400, a.text.clone())));
        assert_eq!(answer(&[a.clone(), a.clone()]), Some((400, format!("2 errors like: {}", a.text))));
        let both = format!("2 errors like: {}; 1 errors like: {}", a.text, b.text);
        assert_eq!(answer(&[a.clone(), b, a]), Some((400, both)));
    }

    #[test]
    fn rates_take_precedence() {
        let rate = Refusal::tenant_rate(&TenantId::single(), 5, 1, 2);
        assert_eq!(answer(&[Refusal::missing_labels(), rate.clone()]), Some((429, rate.text)));
    }

    #[test]
    fn an_answer_is_bounded() {
        let many: Vec<Refusal> = (0..10_000).map(Refusal::too_many_days).collect();
        let (_, text) = answer(&many).expect("refused");
        assert!(text.ends_with("; 9900 other errors") && text.len() < 20_000);
    }
}
