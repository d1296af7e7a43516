//! One segment, read and compared with its name.
//!
//! In: a segment, and whether its name or its manifest told facts. Out: sound, bad with a reason, or gone. An error means that the
//! store did not answer.

use segment::Footer;
use store::{SegmentRef, Store};

use crate::{Error, footer};

/// A segment to be read.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) segment: SegmentRef,
    /// Whether rows and times are known from elsewhere.
    pub(crate) has_facts: bool,
    /// Whether queries read it.
    pub(crate) needed: bool,
}

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    Sound { rows: u64 },
    Bad(String),
    Gone,
}

impl Check {
    pub(crate) async fn run(&self, store: &Store, quick: bool) -> Result<Checked, Error> {
        let read = if quick { self.read_end(store).await } else { self.read_all(store).await };
        match read {
            Ok(footer) => Ok(self.compare(&footer)),
            Err(Error::Input { why, .. } | Error::Store(store::Error::Corrupt { why, .. })) => Ok(Checked::Bad(why)),
            Err(Error::Store(store::Error::NotFound { .. })) => Ok(Checked::Gone),
            Err(error) => Err(error),
        }
    }

    async fn read_end(&self, store: &Store) -> Result<Footer, Error> {
        Ok(footer::open(store, &self.segment).await?.0)
    }

    async fn read_all(&self, store: &Store) -> Result<Footer, Error> {
        let bytes = store.read_range(&self.segment, 0..self.segment.size).await?;
        if !self.segment.key.fits(&bytes) {
            return Err(footer::bad(&self.segment, "its name is not the hash of its content"));
        }
        let checked = tokio::task::spawn_blocking(move || segment::check(&bytes)).await;
        let checked = checked.map_err(|why| Error::Internal(why.to_string()))?;
        checked.map_err(|why| footer::bad(&self.segment, why))
    }

    fn compare(&self, footer: &Footer) -> Checked {
        let told = (self.segment.rows, self.segment.min_ts, self.segment.max_ts);
        let holds = (footer.rows(), footer.min_ts(), footer.max_ts());
        match self.has_facts && told != holds {
            true => Checked::Bad(format!("told rows, earliest and latest time are {told:?}, it holds {holds:?}")),
            false => Checked::Sound { rows: footer.rows() },
        }
    }
}
