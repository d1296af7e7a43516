//! Patterns of `| pattern` and `|>`: literals with captures between them, `<ip> - <_> "<method>`.
//!
//! In: the pattern's text. Out: a parser that cuts a line, or a filter that tests it. Both find each literal once, from
//! left to right, and never go back.

use memchr::memmem::Finder;

use crate::Error;

/// A piece of a pattern.
#[derive(Debug, Clone)]
enum Piece {
    Literal(Box<Finder<'static>>),
    /// `<_>` has no name.
    Capture(Option<String>),
}

/// Splits a pattern. Two captures in a row could not be told apart.
fn pieces(text: &str) -> Result<Vec<Piece>, Error> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    let mut previous = None;
    while let Some(c) = rest.chars().next() {
        let Some((name, after)) = capture(rest) else {
            literal.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            continue;
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(Box::new(Finder::new(&literal).into_owned())));
            literal.clear();
        } else if let Some(previous) = previous {
            return Err(Error::invalid(format!(
                "found consecutive capture '<{previous}><{name}>': invalid expression"
            )));
        }
        pieces.push(Piece::Capture((name != "_").then(|| name.to_owned())));
        previous = Some(name);
        rest = after;
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(Box::new(Finder::new(&literal).into_owned())));
    }
    Ok(pieces)
}

/// `<name>` at the start of a text; the name and what follows.
fn capture(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('<')?.split_once('>')?;
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (starts && goes_on).then_some((name, after))
}

/// The pattern of `| pattern`.
#[derive(Debug, Clone)]
pub(crate) struct PatternParser {
    pieces: Vec<Piece>,
}

impl PatternParser {
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let invalid = |why: String| Error::invalid(format!("invalid pattern parser: {why}"));
        let pieces = pieces(text).map_err(|error| invalid(error.text().to_owned()))?;
        let mut names: Vec<&str> = pieces.iter().filter_map(Piece::name).collect();
        if names.is_empty() {
            return Err(invalid("at least one capture is required".to_owned()));
        }
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first()) {
            return Err(invalid(format!("duplicate capture name ({twice}): invalid expression")));
        }
        Ok(PatternParser { pieces })
    }

    /// Calls `found` for each named capture. Where a literal is missing, the capture before it takes the rest.
    pub(crate) fn parse<'l>(&self, line: &'l str, mut found: impl FnMut(&str, &'l str)) {
        let mut rest = line;
        let mut pieces = self.pieces.iter();
        if let Some(Piece::Literal(literal)) = self.pieces.first() {
            let Some(after) = rest.as_bytes().strip_prefix(literal.needle()) else { return };
            rest = rest.get(rest.len() - after.len()..).unwrap_or_default();
            pieces.next();
        }
        if line.is_empty() {
            return;
        }
        while let Some(piece) = pieces.next() {
            let cut = match pieces.next() {
                Some(Piece::Literal(literal)) => literal.find(rest.as_bytes()).map(|at| (at, literal.needle().len())),
                _ => None,
            };
            let (at, literal_bytes) = cut.unwrap_or((rest.len(), 0));
            if let Some(name) = piece.name() {
                found(name, rest.get(..at).unwrap_or_default());
            }
            if cut.is_none() {
                return;
            }
            rest = rest.get(at + literal_bytes..).unwrap_or_default();
        }
    }
}

impl Piece {
    fn name(&self) -> Option<&str> {
        match self {
            Piece::Capture(Some(name)) => Some(name),
            _ => None,
        }
    }
}

/// The pattern of `|>`.
#[derive(Debug, Clone)]
pub(crate) struct PatternFilter {
    pieces: Vec<Piece>,
}

impl PatternFilter {
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let pieces = pieces(text)?;
        match pieces.iter().find_map(Piece::name) {
            Some(name) => Err(Error::invalid(format!("named captures are not allowed: found '<{name}>'"))),
            None => Ok(PatternFilter { pieces }),
        }
    }

    /// Whether the literals follow each other in a line, each capture holding at least a byte. The first literal may
    /// lie anywhere; the last must end the line unless a capture follows it.
    pub(crate) fn matches(&self, line: &str) -> bool {
        let Some(last) = self.pieces.last() else { return line.is_empty() };
        if line.is_empty() {
            return false;
        }
        let mut rest = line.as_bytes();
        for (i, piece) in self.pieces.iter().enumerate() {
            let Piece::Literal(literal) = piece else { continue };
            match literal.find(rest) {
                Some(0) if i > 0 => return false,
                Some(at) => rest = rest.get(at + literal.needle().len()..).unwrap_or_default(),
                None => return false,
            }
        }
        matches!(last, Piece::Capture(_)) != rest.is_empty()
    }
}
