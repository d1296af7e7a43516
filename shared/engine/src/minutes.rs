//! The counts by the minute that a footer points at: decoded once, and kept with the opened segment.
//!
//! In: an opened segment. Out: its counts, and which times a minute holds. What they are added up to is for others to say.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use segment::Counts;

use crate::Error;
use crate::footers::OpenSegment;
use crate::reader::{Reader, corrupt};

const MINUTE_NS: i64 = 60_000_000_000;

/// The first and the last time of a minute.
pub(crate) fn times_of(minute: i64) -> (i64, i64) {
    let end = minute.saturating_mul(MINUTE_NS);
    (end.saturating_sub(MINUTE_NS - 1), end)
}

/// A segment whose counts can be had without waiting.
pub(crate) struct Minutes {
    opened: Arc<OpenSegment>,
    /// Nothing if they are decoded already.
    stored: Option<Bytes>,
    /// What there is no room to keep for longer.
    own: OnceLock<Counts>,
}

impl Minutes {
    /// Reads what is needed.
    pub(crate) async fn read(opened: Arc<OpenSegment>, reader: &Reader) -> Result<Self, Error> {
        let stored = match opened.counts() {
            Some(_) => None,
            None => reader.read(&opened, &[opened.footer.counts_range()]).await?.pop(),
        };
        Ok(Minutes { opened, stored, own: OnceLock::new() })
    }

    /// The counts; the first to ask decodes them.
    pub(crate) fn counts(&self, reader: &Reader) -> Result<&Counts, Error> {
        if let Some(counts) = self.opened.counts().or(self.own.get()) {
            return Ok(counts);
        }
        let counts = self.opened.footer.decode_counts(self.stored.as_deref().unwrap_or_default());
        let counts = counts.map_err(|why| corrupt(&self.opened.segment, &why))?;
        Ok(match reader.footers().keep_counts(&self.opened, counts) {
            Ok(counts) => counts,
            Err(counts) => self.own.get_or_init(|| counts),
        })
    }
}
