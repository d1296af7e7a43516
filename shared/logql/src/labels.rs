//! The labels of one entry on its way through a pipeline.
//!
//! In: the stream's labels, the entry's structured metadata, and what the stages set and take away. Out: the labels as
//! they stand, each with its category. A parsed label goes before metadata, metadata before the stream's. Nothing is
//! allocated per line once the buffers have grown: names and values of an entry lie in one text that is used again.

use model::Labels;

/// The label that names an error.
pub const ERROR: &str = "__error__";
/// The label that tells more about it.
pub const ERROR_DETAILS: &str = "__error_details__";
/// What is put behind a name that the stream or the metadata has already.
pub(crate) const DUPLICATE_SUFFIX: &str = "_extracted";
/// Most labels that the stages may make of one entry; the rest is left out. Each new name is compared with all.
const LABELS_PER_LINE_MAX: usize = 2048;

/// Most keys of a line that are remembered for the next one.
const MEMOS_MAX: usize = 256;
/// Longest key, with its prefix, that is remembered.
const MEMO_BYTES_MAX: usize = 256;

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

/// A label that a stage made.
#[derive(Debug, Clone, Copy)]
struct Slot {
    name: Span,
    value: Span,
    /// Hash of the name: tells most names apart without looking at them.
    hash: u32,
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
    /// One bit for each hash of a slot: most new names are seen to be new without a search.
    seen: u64,
    /// The keys of the line before, in order. Lines of a stream resemble each other.
    memos: Vec<Memo>,
    /// How many keys this line had so far.
    keys: usize,
    /// A text that a stage may borrow.
    buffer: String,
}

/// What became of a key, as far as it is the same for every line of the stream.
#[derive(Debug, Default)]
struct Memo {
    prefix: String,
    key: String,
    /// The cleaned name, with the suffix if the stream has it.
    name: String,
    hash: u32,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fate {
    /// Empty, reserved, or not needed.
    #[default]
    Skipped,
    Taken,
    /// Whether the metadata has the name, and whether it is then needed, must be seen line by line.
    TakenUnlessInMetadata,
}

impl Overlay {
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
        self.seen = 0;
        self.keys = 0;
    }

    fn add(&mut self, slot: Slot) {
        self.seen |= 1 << (slot.hash % 64);
        self.slots.push(slot);
    }

    fn push(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        self.span_from(start)
    }

    /// What was written behind `start`. A text beyond 4 GB cannot come from one entry; it would end up empty.
    fn span_from(&self, start: usize) -> Span {
        let at = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
        Span { start: at(start), end: at(self.text.len()) }
    }

    fn find(&self, name: &str, hash: u32) -> Option<usize> {
        if self.seen & (1 << (hash % 64)) == 0 {
            return None;
        }
        self.slots.iter().position(|slot| slot.hash == hash && self.str(slot.name) == name)
    }

    fn is_hidden(&self, category: Category, name: &str) -> bool {
        !self.hidden.is_empty() && self.hidden.iter().any(|(c, span)| *c == category && self.str(*span) == name)
    }
}

/// The labels of one entry.
#[derive(Debug)]
pub struct LineLabels<'a> {
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
    pub(crate) fn new(
        stream: &'a Labels,
        metadata: &'a [(&'a str, &'a str)],
        overlay: &'a mut Overlay,
        needed: &'a Needed,
    ) -> Self {
        overlay.clear();
        let mut labels = LineLabels { stream, metadata, overlay, needed };
        for (name, value) in metadata {
            if value.is_empty() {
                let span = labels.overlay.push(name);
                labels.overlay.hidden.push((Category::Metadata, span));
            } else if stream.contains(name) {
                labels.suffix_metadata(name, value);
            }
        }
        labels
    }

    /// Metadata of the stream's own names is told apart by a suffix.
    fn suffix_metadata(&mut self, name: &str, value: &str) {
        let span = self.overlay.push(name);
        self.overlay.hidden.push((Category::Metadata, span));
        self.overlay.text.push_str(DUPLICATE_SUFFIX);
        let name = Span { start: span.start, end: self.overlay.span_from(0).end };
        let value = self.overlay.push(value);
        let hash = hash_of(self.overlay.str(name));
        let slot = Slot { name, value, hash, category: Category::Metadata, extracted: false, dropped: false };
        self.overlay.add(slot);
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
        if !overlay.slots.is_empty()
            && let Some(slot) = overlay.find(name, hash_of(name)).and_then(|i| overlay.slots.get(i))
            && !slot.dropped
        {
            return Some((slot.category, overlay.str(slot.value)));
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
        let hash = hash_of(name);
        let at = self.overlay.find(name, hash);
        if at.is_none() && self.overlay.slots.len() >= LABELS_PER_LINE_MAX {
            return;
        }
        let value = self.overlay.push(value);
        if let Some(slot) = at.and_then(|i| self.overlay.slots.get_mut(i)) {
            *slot = Slot { value, category: Category::Parsed, dropped: false, ..*slot };
            return;
        }
        let name = self.overlay.push(name);
        let slot = Slot { name, value, hash, category: Category::Parsed, extracted: false, dropped: false };
        self.overlay.add(slot);
    }

    /// Takes a label away.
    pub fn remove(&mut self, name: &str) {
        self.hide_below(name);
        let at = self.overlay.find(name, hash_of(name));
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
            let kept = keep(self.overlay.str(slot.name), self.overlay.str(slot.value));
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
        self.overlay.error = Some(error);
        if let Some(details) = details {
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
        let parsed = parsed.map(|slot| (slot.category, overlay.str(slot.name), overlay.str(slot.value)));
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

    /// Whether the stream or the metadata has a label of that name.
    pub(crate) fn base_has(&self, name: &str) -> bool {
        self.stream.contains(name) || self.metadata_has(name)
    }

    fn metadata_has(&self, name: &str) -> bool {
        self.metadata.iter().any(|(n, _)| *n == name) && !self.overlay.is_hidden(Category::Metadata, name)
    }

    /// A parser's label: `key` is cleaned, gets a suffix if stream or metadata have the name, and is left out if a
    /// parser made it before or nobody needs it. `write` appends the value.
    pub(crate) fn extract(&mut self, prefix: &str, key: &str, write: impl FnOnce(&mut String)) {
        let at = self.overlay.keys.min(MEMOS_MAX - 1);
        self.overlay.keys += 1;
        if prefix.len() + key.len() > MEMO_BYTES_MAX {
            let mut memo = Memo::default();
            memo.resolve(prefix, key, self.stream, self.needed);
            self.extract_as(&memo, write);
            return;
        }
        if self.overlay.memos.len() <= at {
            self.overlay.memos.push(Memo::default());
        }
        let Some(memo) = self.overlay.memos.get_mut(at) else { return };
        if memo.key != key || memo.prefix != prefix || memo.name.is_empty() {
            memo.resolve(prefix, key, self.stream, self.needed);
        }
        // The memo is put back below: it must not be borrowed while the rest of the overlay changes.
        let memo = std::mem::take(memo);
        self.extract_as(&memo, write);
        if let Some(place) = self.overlay.memos.get_mut(at) {
            *place = memo;
        }
    }

    fn extract_as(&mut self, memo: &Memo, write: impl FnOnce(&mut String)) {
        let suffixed;
        let (mut name, mut hash) = (memo.name.as_str(), memo.hash);
        match memo.fate {
            Fate::Skipped => return,
            Fate::Taken => {}
            Fate::TakenUnlessInMetadata if !self.metadata_has(name) => {
                if !self.needed.wants(name) {
                    return;
                }
            }
            Fate::TakenUnlessInMetadata => {
                suffixed = format!("{name}{DUPLICATE_SUFFIX}");
                (name, hash) = (&suffixed, hash_of(&suffixed));
                if !self.needed.wants(name) {
                    return;
                }
            }
        }
        let at = self.overlay.find(name, hash);
        let is_extracted = at.and_then(|i| self.overlay.slots.get(i)).is_some_and(|slot| slot.extracted);
        if is_extracted || self.overlay.slots.len() >= LABELS_PER_LINE_MAX {
            return;
        }
        if name.ends_with(DUPLICATE_SUFFIX) {
            self.hide_below(name);
        }
        let start = self.overlay.text.len();
        write(&mut self.overlay.text);
        let value = self.overlay.span_from(start);
        let name = self.overlay.push(name);
        let slot = Slot { name, value, hash, category: Category::Parsed, extracted: true, dropped: false };
        match at.and_then(|i| self.overlay.slots.get_mut(i)) {
            Some(old) => *old = slot,
            None => self.overlay.add(slot),
        }
        self.overlay.found += 1;
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

impl Memo {
    /// Finds out what becomes of a key in this stream.
    fn resolve(&mut self, prefix: &str, key: &str, stream: &Labels, needed: &Needed) {
        let Memo { name, .. } = self;
        name.clear();
        if !prefix.is_empty() {
            name.push_str(prefix);
            name.push('_');
        }
        let before = name.len();
        sanitize_into(key, prefix.is_empty(), name);
        self.fate = if name.len() == before || name == ERROR || name == ERROR_DETAILS {
            Fate::Skipped
        } else if stream.contains(name) {
            name.push_str(DUPLICATE_SUFFIX);
            if needed.wants(name) { Fate::Taken } else { Fate::Skipped }
        } else if needed.may_want(name) {
            Fate::TakenUnlessInMetadata
        } else {
            Fate::Skipped
        };
        self.hash = hash_of(&self.name);
        self.prefix.clear();
        self.prefix.push_str(prefix);
        self.key.clear();
        self.key.push_str(key);
    }
}

/// FNV-1a over the name: short names, no setup.
fn hash_of(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
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
