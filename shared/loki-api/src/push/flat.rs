//! A push laid flat: one text that holds all that was sent, and places in it.
//!
//! In: the streams of any format. Out: the same in five allocations: 8 bytes a text, lists of metadata names kept once, nothing
//! to be dropped piece by piece. Whoever takes a push takes its text too, and copies none of it. Judges nothing.

use std::borrow::Cow;
use std::ops::Range;

use model::Labels;

use super::name_lists::NameLists;
use super::{DecodeError, PushEntry, PushRequest, PushStream};

/// Room behind the text of a push for what its judge adds.
pub(super) const SPARE_BYTES: usize = 4 << 10;

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where the longest text ends that can have places.
    pub const END_MAX: usize = u32::MAX as usize;

    /// From here to there, neither beyond `END_MAX`.
    #[inline]
    pub fn new(start: usize, end: usize) -> Self {
        Span { start: start as u32, end: end as u32 }
    }

    /// Adds a piece to a text and gives its place; `None` if there is no room.
    #[inline]
    pub fn append(text: &mut String, piece: &str) -> Option<Self> {
        let start = text.len();
        let end = start.checked_add(piece.len()).filter(|end| *end <= Self::END_MAX)?;
        text.push_str(piece);
        Some(Span::new(start, end))
    }

    /// The piece.
    #[inline]
    pub fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    #[inline]
    pub(super) fn of_bytes(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Bytes of the piece.
    #[inline]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A push whose texts are places in one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlatPush {
    /// What all places are in. Between them may be anything.
    pub text: String,
    /// The streams, in the order sent; the same labels may come more than once.
    pub streams: Vec<FlatStream>,
    /// The entries of all streams, side by side.
    pub entries: Vec<FlatEntry>,
    /// The metadata values of all entries, side by side.
    pub values: Vec<Span>,
    /// The lists of metadata names, as sent.
    pub names: NameLists,
}

/// A stream of a push.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlatStream {
    /// The labels; empty values were dropped.
    pub labels: Labels,
    /// A label name that was given twice.
    pub duplicate_label: Option<Box<str>>,
    /// Which entries of the push are this stream's.
    pub entries: Range<usize>,
}

/// An entry of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlatEntry {
    /// Nanoseconds since 1970; `None` where the client sent no time at all.
    pub timestamp_ns: Option<i64>,
    /// The line.
    pub line: Span,
    /// The number of its list of metadata names.
    pub names: u32,
    /// Where its values begin, one for each name.
    pub values: u32,
}

impl FlatPush {
    /// Lays a request flat; about so many bytes of text are expected.
    pub fn gather(request: &PushRequest<'_>, text_bytes: usize) -> Result<Self, DecodeError> {
        let pairs: usize = request.streams.iter().map(|stream| stream.metadata.len()).sum();
        if pairs > Span::END_MAX {
            return Err(DecodeError::TooMany);
        }
        let mut push = FlatPush {
            text: String::with_capacity(text_bytes.min(Span::END_MAX) + SPARE_BYTES),
            entries: Vec::with_capacity(request.streams.iter().map(|stream| stream.entries.len()).sum()),
            values: Vec::with_capacity(pairs),
            ..FlatPush::default()
        };
        for stream in &request.streams {
            let start = push.entries.len();
            for entry in &stream.entries {
                push.add(entry, stream.metadata_of(entry))?;
            }
            push.streams.push(FlatStream {
                labels: stream.labels.clone(),
                duplicate_label: stream.duplicate_label.clone(),
                entries: start..push.entries.len(),
            });
        }
        Ok(push)
    }

    fn add(&mut self, entry: &PushEntry<'_>, pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> Result<(), DecodeError> {
        let line = append(&mut self.text, &entry.line)?;
        let values = self.values.len() as u32;
        let mut names = NameLists::EMPTY;
        for (name, value) in pairs {
            names = match self.names.find(self.text.as_bytes(), names, name.as_bytes()) {
                Some(list) => list,
                None => self.names.add(names, append(&mut self.text, name)?, Span::default()),
            };
            self.values.push(append(&mut self.text, value)?);
        }
        self.entries.push(FlatEntry { timestamp_ns: entry.timestamp_ns, line, names, values });
        Ok(())
    }

    /// The same push whose texts are in these bytes, most of them valid: invalid UTF-8 becomes U+FFFD, text by text.
    pub(super) fn with_lossy_text(mut self, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut text = String::with_capacity(bytes.len());
        let mut moved = |span: Span| append(&mut text, &super::text(span.of_bytes(bytes)));
        for entry in &mut self.entries {
            entry.line = moved(entry.line)?;
        }
        for value in &mut self.values {
            *value = moved(*value)?;
        }
        self.names.move_names(&mut moved)?;
        self.text = text;
        Ok(self)
    }

    /// An entry's values, one for each name.
    #[inline]
    pub fn values_of(&self, entry: &FlatEntry) -> &[Span] {
        let start = entry.values as usize;
        self.values.get(start..start + self.names.len(entry.names)).unwrap_or_default()
    }

    /// Bytes of an entry's line and metadata.
    pub fn bytes_of(&self, entry: &FlatEntry) -> usize {
        let values: usize = self.values_of(entry).iter().map(|value| value.len()).sum();
        entry.line.len() + self.names.bytes(entry.names) + values
    }

    /// The same with a tree of its own, for who reads it stream by stream.
    pub fn to_request(&self) -> PushRequest<'static> {
        let own = |span: Span| Cow::Owned(span.of(&self.text).to_owned());
        let streams = self.streams.iter().map(|flat| {
            let mut stream = PushStream {
                labels: flat.labels.clone(),
                duplicate_label: flat.duplicate_label.clone(),
                ..PushStream::default()
            };
            for entry in self.entries.get(flat.entries.clone()).unwrap_or_default() {
                let start = stream.metadata.len();
                let names = self.names.names(entry.names);
                let pairs = names.into_iter().zip(self.values_of(entry));
                stream.metadata.extend(pairs.map(|(name, value)| (own(name), own(*value))));
                let metadata = start..stream.metadata.len();
                let line = own(entry.line);
                stream.entries.push(PushEntry { timestamp_ns: entry.timestamp_ns, line, metadata });
            }
            stream
        });
        PushRequest { streams: streams.collect() }
    }
}

fn append(text: &mut String, piece: &str) -> Result<Span, DecodeError> {
    let size = text.len() as u64 + piece.len() as u64;
    Span::append(text, piece).ok_or(DecodeError::TooLarge { size, max: Span::END_MAX as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> impl Strategy<Value = PushRequest<'static>> {
        let own = |text: String| Cow::<'static, str>::Owned(text);
        let pair = ("[a-c.é]{0,2}", ".{0,3}").prop_map(move |(name, value)| (own(name), own(value)));
        let entry = (any::<Option<i64>>(), ".{0,9}", proptest::collection::vec(pair, 0..5));
        let stream = proptest::collection::vec(entry, 0..6).prop_map(move |entries| {
            let mut stream = PushStream { duplicate_label: Some("x".into()), ..PushStream::default() };
            for (timestamp_ns, line, pairs) in entries {
                let start = stream.metadata.len();
                stream.metadata.extend(pairs);
                let metadata = start..stream.metadata.len();
                stream.entries.push(PushEntry { timestamp_ns, line: own(line), metadata });
            }
            stream
        });
        proptest::collection::vec(stream, 0..4).prop_map(|streams| PushRequest { streams })
    }

    proptest! {
        #[test]
        fn what_is_laid_flat_is_the_same(request in request()) {
            let flat = FlatPush::gather(&request, 0).expect("small");
            prop_assert_eq!(flat.to_request(), request);
            let again = flat.clone().with_lossy_text(flat.text.as_bytes()).expect("small");
            prop_assert_eq!(again.to_request(), flat.to_request());
            for (entry, again) in flat.entries.iter().zip(&again.entries) {
                prop_assert_eq!(flat.bytes_of(entry), again.line.len() + again_metadata_bytes(&flat, entry));
            }
        }
    }

    fn again_metadata_bytes(push: &FlatPush, entry: &FlatEntry) -> usize {
        let names = push.names.names(entry.names);
        names.iter().chain(push.values_of(entry)).map(|span| span.of(&push.text).len()).sum()
    }
}
