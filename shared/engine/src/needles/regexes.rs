//! What a regular expression cannot do without: words that it delimits, and texts.
//!
//! In: a pattern. Out: a `Need`. The expression is walked twice, once for words and once for texts: neighbours that stand
//! for few strings are spelled out and joined, the rest stands for itself. One that cannot be understood asks for nothing.

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

use super::{Need, is_token_char, text_of, words_of};

/// Deepest nesting of a regular expression that is looked into; what lies deeper asks for nothing.
const DEPTH_MAX: usize = 32;
/// Longest string that is put together from parts.
const SPELLING_BYTES_MAX: usize = 256;
/// Most repeats that are spelled out.
const REPEATS_MAX: u32 = 8;

pub(super) fn of_regex(pattern: &str) -> Need {
    let parsed = logql::regexp::translate(pattern).ok().and_then(|translated| regex_syntax::parse(&translated).ok());
    let Some(hir) = parsed else { return Need::Nothing };
    Need::all([Aim::Words, Aim::Texts].map(|aim| aim.of_hir(&hir, 0)))
}

/// What strings are spelled for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// For words. A space stands for "something that is no part of a word", be it a character or the edge of the line, so
    /// the strings are good for finding words and for nothing else.
    Words,
    /// For texts: just what is matched, in small ASCII letters. Other letters are kept, so that `(?i)é` has two spellings, as
    /// has `(?i)k`, which matches the Kelvin sign too.
    Texts,
}

impl Aim {
    /// Most strings that a part of a regular expression may stand for and still be spelled out.
    fn spellings_max(self) -> usize {
        match self {
            Aim::Words => 16,
            Aim::Texts => 8,
        }
    }

    fn of_hir(self, hir: &Hir, depth: usize) -> Need {
        if depth > DEPTH_MAX {
            return Need::Nothing;
        }
        if let Some(spellings) = self.spell(hir, depth) {
            return self.of_spellings(&spellings);
        }
        match hir.kind() {
            HirKind::Concat(parts) => self.of_concat(parts, depth),
            HirKind::Alternation(parts) => Need::one_of(parts.iter().map(|part| self.of_hir(part, depth + 1))),
            HirKind::Capture(capture) => self.of_hir(&capture.sub, depth + 1),
            HirKind::Repetition(repetition) if repetition.min > 0 => self.of_hir(&repetition.sub, depth + 1),
            _ => Need::Nothing,
        }
    }

    /// Neighbours that can be spelled out are joined, so that each delimits the other; the rest stands for itself.
    fn of_concat(self, parts: &[Hir], depth: usize) -> Need {
        let mut needs = Vec::new();
        let mut run = vec![String::new()];
        for part in parts {
            if let Some(spellings) = self.spell(part, depth + 1) {
                run = self.product(&run, &spellings).unwrap_or_else(|| {
                    needs.push(self.of_spellings(&run));
                    spellings
                });
                continue;
            }
            // What is repeated follows what is before it, and is followed by what is behind it.
            let repeated = match part.kind() {
                HirKind::Repetition(repetition) if repetition.min > 0 => self.spell(&repetition.sub, depth + 1),
                _ => None,
            };
            match repeated.as_ref().and_then(|spellings| self.product(&run, spellings)) {
                Some(joined) => needs.push(self.of_spellings(&joined)),
                None => needs.extend([self.of_spellings(&run), self.of_hir(part, depth + 1)]),
            }
            run = repeated.unwrap_or_else(|| vec![String::new()]);
        }
        needs.push(self.of_spellings(&run));
        Need::all(needs)
    }

    fn of_spellings(self, spellings: &[String]) -> Need {
        let of_text = match self {
            Aim::Words => words_of,
            Aim::Texts => text_of,
        };
        Need::one_of(spellings.iter().map(|text| of_text(text)))
    }

    /// All strings that `hir` can match, if they are few.
    fn spell(self, hir: &Hir, depth: usize) -> Option<Vec<String>> {
        if depth > DEPTH_MAX {
            return None;
        }
        match hir.kind() {
            HirKind::Empty => Some(vec![String::new()]),
            HirKind::Literal(literal) => Some(vec![self.folded(std::str::from_utf8(&literal.0).ok()?)]),
            HirKind::Class(class) => self.spell_class(class),
            HirKind::Look(look) => self.spell_look(*look),
            HirKind::Repetition(repetition) => self.spell_repetition(repetition, depth),
            HirKind::Capture(capture) => self.spell(&capture.sub, depth + 1),
            HirKind::Concat(parts) => parts
                .iter()
                .try_fold(vec![String::new()], |run, part| self.product(&run, &self.spell(part, depth + 1)?)),
            HirKind::Alternation(parts) => {
                let mut spellings = Vec::new();
                for part in parts {
                    spellings.extend(self.spell(part, depth + 1)?);
                    if spellings.len() > self.spellings_max() {
                        return None;
                    }
                }
                Some(spellings)
            }
        }
    }

    fn spell_repetition(self, repetition: &Repetition, depth: usize) -> Option<Vec<String>> {
        let Repetition { min, max, sub, .. } = repetition;
        // One or more delimiters are as good as one.
        if self == Aim::Words && *min > 0 && is_delimiter(sub) {
            return Some(vec![" ".to_owned()]);
        }
        match (*min, *max) {
            (0, Some(1)) => {
                let mut spellings = self.spell(sub, depth + 1)?;
                spellings.push(String::new());
                (spellings.len() <= self.spellings_max()).then_some(spellings)
            }
            (times, Some(most)) if times == most && (1..=REPEATS_MAX).contains(&times) => {
                let each = self.spell(sub, depth + 1)?;
                (1..times).try_fold(each.clone(), |run, _| self.product(&run, &each))
            }
            _ => None,
        }
    }

    fn spell_class(self, class: &Class) -> Option<Vec<String>> {
        let Class::Unicode(class) = class else { return None };
        if self == Aim::Words && class.iter().all(|range| holds_no_token_char(range.start(), range.end())) {
            return (!class.ranges().is_empty()).then(|| vec![" ".to_owned()]);
        }
        let mut spellings = Vec::new();
        for c in class.iter().flat_map(|range| range.start()..=range.end()) {
            let spelling = self.folded(c.encode_utf8(&mut [0; 4]));
            if spellings.contains(&spelling) {
                continue;
            }
            if spellings.len() == self.spellings_max() {
                return None;
            }
            spellings.push(spelling);
        }
        Some(spellings)
    }

    /// An edge of the line or of a word: a letter beside it has no letter on its other side. It takes no room.
    fn spell_look(self, look: Look) -> Option<Vec<String>> {
        let inside_word = matches!(look, Look::WordAsciiNegate | Look::WordUnicodeNegate);
        match self {
            Aim::Words => (!inside_word).then(|| vec![" ".to_owned()]),
            Aim::Texts => Some(vec![String::new()]),
        }
    }

    fn folded(self, text: &str) -> String {
        match self {
            Aim::Words => text.to_owned(),
            Aim::Texts => text.to_ascii_lowercase(),
        }
    }

    /// Each of `left` followed by each of `right`, unless they are too many or too long.
    fn product(self, left: &[String], right: &[String]) -> Option<Vec<String>> {
        let [left_bytes, right_bytes] = [left, right].map(|side| side.iter().map(String::len).max().unwrap_or(0));
        let short = left_bytes.min(right_bytes) == 0 || left_bytes + right_bytes <= SPELLING_BYTES_MAX;
        let fits = short && left.len() * right.len() <= self.spellings_max();
        fits.then(|| left.iter().flat_map(|l| right.iter().map(move |r| format!("{l}{r}"))).collect())
    }
}

fn is_delimiter(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            !class.ranges().is_empty() && class.iter().all(|range| holds_no_token_char(range.start(), range.end()))
        }
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).is_ok_and(|text| !text.chars().any(is_token_char)),
        _ => false,
    }
}

fn holds_no_token_char(start: char, end: char) -> bool {
    [('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')].iter().all(|(first, last)| end < *first || start > *last)
}
