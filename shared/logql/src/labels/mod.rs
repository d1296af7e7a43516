//! The labels of one entry on its way through a pipeline.
//!
//! In: the stream's labels, the entry's structured metadata, and what the stages set and take away. Out: the labels as
//! they stand, each with its category. A parsed label goes before metadata, metadata before the stream's. Nothing is
//! allocated per line once the buffers have grown: names are numbers, and values that stand in the line are not copied.

mod names;

use model::{EntryRef, Labels};

pub(crate) use names::{Ended, Fate, Known, Place, Prefix};
use names::{NameId, Names, bit_of};

/// The label that names an error.
pub const ERROR: &str = "__error__";
/// The label that tells more about it.
pub const ERROR_DETAILS: &str = "__error_details__";
/// What is put behind a name that the stream or the metadata has already.
pub(crate) const DUPLICATE_SUFFIX: &str = "_extracted";
/// Most labels that the stages may make of one entry; the rest is left out. Each new name is compared with all.
const LABELS_PER_LINE_MAX: usize = 2048;

/// Where a label comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// The stream.
    Stream,
    /// The entry's structured metadata.
    Metadata,
    /// A stage of the pipeline made or changed it.
    Parsed,
}

/// The labels that somebody behind the parsers asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Needed {
    /// All of them.
    #[default]
    All,
    /// These at most; parsers stop once they have found them, and do not run if there are none.
    Only(Vec<String>),
}

impl Needed {
    fn wants(&self, name: &str) -> bool {
        match self {
            Needed::All => true,
            Needed::Only(names) => names.iter().any(|n| n == name),
        }
    }

    /// Whether a name is wanted, with or without a suffix.
    fn may_want(&self, name: &str) -> bool {
        match self {
            Needed::All => true,
            Needed::Only(names) => {
                names.iter().any(|n| n.strip_suffix(DUPLICATE_SUFFIX).unwrap_or(n) == name || n == name)
            }
        }
    }

    /// Whether a label under this prefix is wanted.
    fn wants_prefix(&self, prefix: &str) -> bool {
        match self {
            Needed::All => true,
            Needed::Only(names) => names.iter().any(|n| n.starts_with(prefix)),
        }
    }
}

/// A piece of the overlay's text.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
enum Text {
    /// In the line as it was stored.
    Line(Span),
    /// In the overlay's own text.
    Own(Span),
}

/// A label that a stage made.
#[derive(Debug, Clone, Copy)]
struct Slot {
    name: NameId,
    value: Text,
    category: Category,
    /// A parser made it, so no later one may.
    extracted: bool,
    dropped: bool,
}

/// What the stages have set and hidden. Emptied for each entry, its buffers stay.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    text: String,
    slots: Vec<Slot>,
    /// Labels of stream or metadata that are no longer seen.
    hidden: Vec<(Category, Span)>,
    error: Option<&'static str>,
    details: Option<Span>,
    /// How many needed labels were found.
    found: usize,
    /// How many of them parsers can find in lines of this stream, at the most.
    findable: usize,
    /// One bit for each name in the metadata: most names are seen not to be there without a search.
    metadata_bits: u64,
    /// The same for the stream.
    stream_bits: u64,
    names: Names,
    /// A text that a stage may borrow.
    buffer: String,
}

impl Overlay {
    /// An overlay for the lines of one stream.
    pub(crate) fn new(stream: &Labels, needed: &Needed) -> Self {
        let stream_bits = stream.iter().fold(0, |bits, (name, _)| bits | bit_of(name));
        // A key of a stream label's name becomes a label with a suffix, and one of an error's name none.
        let can_be_found = |name: &&String| !matches!(name.as_str(), ERROR | ERROR_DETAILS) && !stream.contains(name);
        let findable = match needed {
            Needed::All => usize::MAX,
            Needed::Only(names) => names.iter().filter(can_be_found).count(),
        };
        Overlay { stream_bits, findable, ..Overlay::default() }
    }

    fn str(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.text.clear();
        self.slots.clear();
        self.hidden.clear();
        self.error = None;
        self.details = None;
        self.found = 0;
        self.metadata_bits = 0;
        self.names.start_line();
    }

    fn push(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        self.span_from(start)
    }

    /// What was written behind `start`.
    fn span_from(&self, start: usize) -> Span {
        span(start, self.text.len())
    }

    /// The place of a name's slot, if the entry has it: a slot and its name point at each other.
    fn slot(&self, name: NameId) -> Option<usize> {
        let at = self.names.slot(name);
        self.slots.get(at).is_some_and(|slot| slot.name == name).then_some(at)
    }

    fn find(&self, name: &str) -> Option<usize> {
        if self.slots.is_empty() { None } else { self.names.find(name).and_then(|name| self.slot(name)) }
    }

    /// Puts a slot where its name has one already, or behind the others.
    fn put(&mut self, slot: Slot) {
        match self.slot(slot.name).and_then(|at| self.slots.get_mut(at)) {
            Some(old) => *old = slot,
            None => {
                self.names.set_slot(slot.name, self.slots.len());
                self.slots.push(slot);
            }
        }
    }

    fn is_hidden(&self, category: Category, name: &str) -> bool {
        !self.hidden.is_empty() && self.hidden.iter().any(|(c, span)| *c == category && self.str(*span) == name)
    }
}

/// A text beyond 4 GB cannot come from one entry; it would end up empty.
fn span(start: usize, end: usize) -> Span {
    let at = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
    Span { start: at(start), end: at(end) }
}

/// The labels of one entry.
#[derive(Debug)]
pub struct LineLabels<'a> {
    line: &'a str,
    stream: &'a Labels,
    metadata: &'a [(&'a str, &'a str)],
    overlay: &'a mut Overlay,
    needed: &'a Needed,
}

/// A place to which the labels can be set back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    slots: usize,
    found: usize,
}

impl<'a> LineLabels<'a> {
    /// The labels of an entry before the first stage.
    pub(crate) fn new(entry: &EntryRef<'a>, stream: &'a Labels, overlay: &'a mut Overlay, needed: &'a Needed) -> Self {
        overlay.clear();
        let metadata = entry.metadata;
        let mut labels = LineLabels { line: entry.line, stream, metadata, overlay, needed };
        for (name, value) in metadata {
            labels.overlay.metadata_bits |= bit_of(name);
            if value.is_empty() {
                let span = labels.overlay.push(name);
                labels.overlay.hidden.push((Category::Metadata, span));
            } else if labels.overlay.stream_bits & bit_of(name) != 0 && stream.contains(name) {
                labels.suffix_metadata(name, value);
            }
        }
        labels
    }

    /// Metadata of the stream's own names is told apart by a suffix.
    fn suffix_metadata(&mut self, name: &str, value: &str) {
        let span = self.overlay.push(name);
        self.overlay.hidden.push((Category::Metadata, span));
        // The suffixed name may have been sent too: the stream's gives way, and of the metadata's the later one counts.
        let is_suffixed = |other: &str| other.strip_suffix(DUPLICATE_SUFFIX) == Some(name);
        if let Some((sent, _)) = self.stream.iter().find(|(other, _)| is_suffixed(other)) {
            let span = self.overlay.push(sent);
            self.overlay.hidden.push((Category::Stream, span));
        } else if self.metadata.iter().any(|(other, value)| is_suffixed(other) && !value.is_empty()) {
            return;
        }
        let name = self.overlay.names.intern(name);
        let name = self.overlay.names.suffixed(name);
        let value = Text::Own(self.overlay.push(value));
        self.overlay.put(Slot { name, value, category: Category::Metadata, extracted: false, dropped: false });
    }

    /// A label's value as it stands, errors included.
    pub fn get(&self, name: &str) -> Option<&str> {
        match name {
            ERROR => self.error(),
            ERROR_DETAILS => self.error_details(),
            _ => self.find(name).map(|(_, value)| value),
        }
    }

    /// A label's category and value, errors left aside.
    fn find(&self, name: &str) -> Option<(Category, &str)> {
        let overlay = &*self.overlay;
        if let Some(slot) = overlay.find(name).and_then(|i| overlay.slots.get(i))
            && !slot.dropped
        {
            return Some((slot.category, self.value(slot)));
        }
        if let Some((_, value)) = self.metadata.iter().find(|(n, _)| *n == name)
            && !overlay.is_hidden(Category::Metadata, name)
        {
            return Some((Category::Metadata, value));
        }
        let value = self.stream.get(name)?;
        (!overlay.is_hidden(Category::Stream, name)).then_some((Category::Stream, value))
    }

    /// Sets a label, whatever it was.
    pub fn set(&mut self, name: &str, value: &str) {
        match name {
            ERROR | ERROR_DETAILS => return,
            _ => self.hide_below(name),
        }
        let name = self.overlay.names.intern(name);
        let at = self.overlay.slot(name);
        if at.is_none() && self.overlay.slots.len() >= LABELS_PER_LINE_MAX {
            return;
        }
        let extracted = at.and_then(|i| self.overlay.slots.get(i)).is_some_and(|slot| slot.extracted);
        let value = Text::Own(self.overlay.push(value));
        self.overlay.put(Slot { name, value, category: Category::Parsed, extracted, dropped: false });
    }

    /// Takes a label away.
    pub fn remove(&mut self, name: &str) {
        self.hide_below(name);
        let at = self.overlay.find(name);
        if let Some(slot) = at.and_then(|i| self.overlay.slots.get_mut(i)) {
            slot.dropped = true;
        }
    }

    /// Hides what stream and metadata have under a name.
    fn hide_below(&mut self, name: &str) {
        let in_metadata = self.metadata.iter().any(|(n, _)| *n == name);
        for (category, there) in [(Category::Metadata, in_metadata), (Category::Stream, self.stream.contains(name))] {
            if there && !self.overlay.is_hidden(category, name) {
                let span = self.overlay.push(name);
                self.overlay.hidden.push((category, span));
            }
        }
    }

    /// Keeps only the labels for which `keep` holds; errors stay.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, &str) -> bool) {
        for i in 0..self.overlay.slots.len() {
            let Some(slot) = self.overlay.slots.get(i).copied() else { break };
            let kept = keep(self.overlay.names.text(slot.name), self.value(&slot));
            if let Some(slot) = self.overlay.slots.get_mut(i) {
                slot.dropped |= !kept;
            }
        }
        for (name, value) in self.metadata {
            if !keep(name, value) && !self.overlay.is_hidden(Category::Metadata, name) {
                let span = self.overlay.push(name);
                self.overlay.hidden.push((Category::Metadata, span));
            }
        }
        let stream = self.stream;
        for (name, value) in stream.iter() {
            if !keep(name, value) && !self.overlay.is_hidden(Category::Stream, name) {
                let span = self.overlay.push(name);
                self.overlay.hidden.push((Category::Stream, span));
            }
        }
    }

    /// The error of the entry, if there is one: `JSONParserErr` and its kin.
    pub fn error(&self) -> Option<&str> {
        self.overlay.error
    }

    /// What the error is about.
    pub fn error_details(&self) -> Option<&str> {
        self.overlay.details.map(|span| self.overlay.str(span))
    }

    /// Marks the entry; without details those of an earlier error stay.
    pub(crate) fn set_error(&mut self, error: &'static str, details: Option<&str>) {
        // A stream or metadata may have been sent with these very names: the pipeline's word goes before theirs.
        self.hide_below(ERROR);
        self.overlay.error = Some(error);
        if let Some(details) = details {
            self.hide_below(ERROR_DETAILS);
            self.overlay.details = Some(self.overlay.push(details));
        }
    }

    /// Takes the error away, not its details.
    pub(crate) fn clear_error(&mut self) {
        self.overlay.error = None;
    }

    /// Takes the details of the error away.
    pub(crate) fn clear_error_details(&mut self) {
        self.overlay.details = None;
    }

    /// All labels as they stand, in no order, each name once; errors count as parsed.
    pub fn iter(&self) -> impl Iterator<Item = (Category, &str, &str)> {
        let overlay = &*self.overlay;
        let below = move |category| move |(name, value)| (category, name, value);
        let stream = self.stream.iter().map(below(Category::Stream));
        let metadata = self.metadata.iter().copied().map(below(Category::Metadata));
        let parsed = overlay.slots.iter().filter(|slot| !slot.dropped);
        let parsed = parsed.map(|slot| (slot.category, overlay.names.text(slot.name), self.value(slot)));
        let error = self.error().map(|text| (Category::Parsed, ERROR, text));
        let details = self.error_details().map(|text| (Category::Parsed, ERROR_DETAILS, text));
        let below = stream.chain(metadata).filter(|(category, name, _)| !overlay.is_hidden(*category, name));
        below.chain(parsed).chain(error).chain(details)
    }

    /// All labels in one set.
    pub fn to_labels(&self) -> Labels {
        self.iter().map(|(_, name, value)| (name, value)).collect()
    }

    /// The labels of one category.
    pub fn category(&self, category: Category) -> Labels {
        let untouched = category == Category::Stream && self.overlay.hidden.is_empty();
        if untouched {
            return self.stream.clone();
        }
        self.iter().filter(|(c, ..)| *c == category).map(|(_, name, value)| (name, value)).collect()
    }

    /// Whether a parser needs not look under a prefix.
    pub(crate) fn wants_prefix(&self, prefix: &str) -> bool {
        self.needed.wants_prefix(prefix)
    }

    /// Whether every label that is asked for was found, so that a parser may stop.
    pub(crate) fn all_found(&self) -> bool {
        matches!(self.needed, Needed::Only(names) if self.overlay.found >= names.len())
    }

    /// Whether no parser can find another label that is asked for. Where a line's end may hold an error, it has to be read
    /// nevertheless.
    pub(crate) fn none_left(&self) -> bool {
        self.overlay.found >= self.overlay.findable
    }

    /// Whether the stream or the metadata has a label of that name.
    pub(crate) fn base_has(&self, name: &str) -> bool {
        self.stream.contains(name) || self.metadata_has(name)
    }

    fn metadata_has(&self, name: &str) -> bool {
        self.metadata.iter().any(|(n, _)| *n == name) && !self.overlay.is_hidden(Category::Metadata, name)
    }

    /// A parser's label: `key` is cleaned, gets a suffix if stream or metadata have the name, and is left out if a
    /// parser made it before or nobody needs it. A value that stands in the stored line is not copied.
    pub(crate) fn extract(&mut self, prefix: Prefix<'_>, key: &str, value: &str) {
        let fate = self.fate(prefix, key);
        self.extract_as(fate, value);
    }

    /// The same for a key whose fate is known.
    #[inline]
    pub(crate) fn extract_as(&mut self, fate: Fate, value: &str) {
        let Some(name) = self.claim(fate) else { return };
        let from = (value.as_ptr() as usize).wrapping_sub(self.line.as_ptr() as usize);
        let to = from.wrapping_add(value.len());
        let is_in_line = from <= self.line.len() && to <= self.line.len() && from <= to;
        let value = if is_in_line { Text::Line(span(from, to)) } else { Text::Own(self.overlay.push(value)) };
        self.make(name, value);
    }

    /// As `extract`, for a value that `write` appends.
    pub(crate) fn extract_with(&mut self, prefix: Prefix<'_>, key: &str, write: impl FnOnce(&mut String)) {
        let fate = self.fate(prefix, key);
        self.extract_as_with(fate, write);
    }

    /// As `extract_as`, for a value that `write` appends.
    pub(crate) fn extract_as_with(&mut self, fate: Fate, write: impl FnOnce(&mut String)) {
        let Some(name) = self.claim(fate) else { return };
        let start = self.overlay.text.len();
        write(&mut self.overlay.text);
        self.make(name, Text::Own(self.overlay.span_from(start)));
    }

    /// What becomes of a key in this stream.
    #[inline]
    pub(crate) fn fate(&mut self, prefix: Prefix<'_>, key: &str) -> Fate {
        self.overlay.names.fate(prefix, key, self.stream, self.needed)
    }

    /// The next key, if it is the one that the line before had there: `rest` of the line begins with it, and it ends there.
    #[inline]
    pub(crate) fn expected(&mut self, place: Place, rest: &[u8], ended: Ended) -> Option<Known> {
        self.overlay.names.expected(place, rest, ended)
    }

    /// The name under which a parser may make a label of a key of that fate.
    #[inline]
    fn claim(&mut self, fate: Fate) -> Option<NameId> {
        if self.overlay.slots.len() >= LABELS_PER_LINE_MAX {
            return None;
        }
        let (name, is_suffixed) = match fate {
            Fate::Skipped => return None,
            Fate::Taken(name) => (name, true),
            Fate::TakenUnlessInMetadata { name, bit, is_needed } => {
                let may_be_there = self.overlay.metadata_bits & bit != 0;
                if may_be_there && self.metadata_has(self.overlay.names.text(name)) {
                    let suffixed = self.overlay.names.suffixed(name);
                    (self.needed.wants(self.overlay.names.text(suffixed)).then_some(suffixed)?, true)
                } else {
                    (is_needed.then_some(name)?, false)
                }
            }
        };
        let at = self.overlay.slot(name);
        if at.and_then(|i| self.overlay.slots.get(i)).is_some_and(|slot| slot.extracted) {
            return None;
        }
        if is_suffixed {
            let text = self.overlay.names.text(name).to_owned();
            self.hide_below(&text);
        }
        Some(name)
    }

    #[inline]
    fn make(&mut self, name: NameId, value: Text) {
        self.overlay.put(Slot { name, value, category: Category::Parsed, extracted: true, dropped: false });
        self.overlay.found += 1;
    }

    /// Where the object under a key is remembered.
    pub(crate) fn place(&mut self, prefix: Prefix<'_>, key: &str) -> Place {
        self.overlay.names.place(prefix, key, self.stream, self.needed)
    }

    fn value(&self, slot: &Slot) -> &str {
        match slot.value {
            Text::Line(span) => self.line.get(span.start as usize..span.end as usize).unwrap_or_default(),
            Text::Own(span) => self.overlay.str(span),
        }
    }

    /// Lends a text whose memory lives as long as the stream's pipeline.
    pub(crate) fn take_buffer(&mut self) -> String {
        std::mem::take(&mut self.overlay.buffer)
    }

    /// Takes it back.
    pub(crate) fn give_buffer(&mut self, mut buffer: String) {
        buffer.clear();
        self.overlay.buffer = buffer;
    }

    /// Where the labels stand now.
    pub(crate) fn mark(&self) -> Mark {
        Mark { slots: self.overlay.slots.len(), found: self.overlay.found }
    }

    /// Forgets the labels that were extracted since the mark.
    pub(crate) fn reset(&mut self, mark: Mark) {
        self.overlay.slots.truncate(mark.slots);
        self.overlay.found = mark.found;
    }
}

/// Appends a key as a label name: blanks around it go, what a name cannot hold becomes `_`, and so does the place
/// before a leading digit if the name starts here.
pub(crate) fn sanitize_into(key: &str, starts_name: bool, out: &mut String) {
    let key = key.trim();
    if starts_name && key.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if key.bytes().all(fits) {
        out.push_str(key);
    } else {
        out.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    }
}
