//! Begins a question again when a segment under it goes away, or goes on without one that is damaged.
//!
//! In: work that reads segments. Out: its result by one listing from beginning to end, so that no entry is seen twice or missed. A
//! listed object that is gone was merged and collected meanwhile: a new listing shows what it has become. One that is gone in two
//! listings in a row is missing. What is found damaged for the first time is read from the store again: it may have been repaired
//! since it was kept. A damaged or missing segment ends the question with an error that names it, unless the question is
//! to go on without it: then it begins again, and the answer says what was left out.

use std::collections::BTreeMap;

use crate::reader::Reader;
use crate::tenants::Tenants;
use crate::{Engine, Error};

/// How often a question is begun under which segments are collected.
const STARTS_MAX: usize = 5;
/// Damaged segments that one question goes on without; each costs a beginning.
const LEFT_OUT_MAX: usize = 32;

/// Segments that a question goes on without, and why.
pub(crate) type LeftOut = BTreeMap<String, String>;

impl Engine {
    /// Does work on a question's tenants, from a new beginning if need be. Gives the reader that came to the end too: it has the
    /// figures and the warnings.
    pub(crate) async fn attempts<T, W>(
        &self,
        tenants: Tenants,
        skip_corrupt: bool,
        work: impl Fn(Reader) -> W,
    ) -> Result<(T, Reader), Error>
    where
        W: Future<Output = Result<T, Error>>,
    {
        let mut reader = self.reader(tenants);
        let (mut gone, mut starts) = (None, 1);
        loop {
            let error = match work(reader.clone()).await {
                Ok(done) => return Ok((done, reader)),
                Err(Error::Gone { key }) if gone.as_ref() != Some(&key) => {
                    if starts == STARTS_MAX {
                        let why = "segments were collected faster than they could be read: ask again";
                        return Err(Error::Unavailable(format!("object {key}: {why}")));
                    }
                    starts += 1;
                    reader = reader.again(None);
                    gone = Some(key);
                    continue;
                }
                Err(Error::Corrupt { key, .. }) if reader.distrust(&key) => {
                    reader = reader.again(None);
                    continue;
                }
                Err(Error::Gone { key }) => Error::Corrupt { key, why: "it is listed, but not there".to_owned() },
                Err(error) => error,
            };
            let Error::Corrupt { key, why } = error else { return Err(error) };
            self.count_corrupt();
            let may_leave_out = skip_corrupt || self.settings.skip_corrupt_segments;
            if !may_leave_out || !key.ends_with(".seg") || reader.left_out().len() == LEFT_OUT_MAX {
                return Err(Error::Corrupt { key, why });
            }
            reader = reader.again(Some((key, why)));
        }
    }
}

/// What an answer says about segments that were left out.
pub(crate) fn warnings(left_out: &LeftOut) -> Vec<String> {
    left_out
        .iter()
        .map(|(key, why)| format!("left out, so entries may be missing: object {key} is corrupt: {why}"))
        .collect()
}
