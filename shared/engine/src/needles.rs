//! What must be in a block for any of its lines to match.
//!
//! In: the stages of a pipeline. Out: a `Need`: which tokens and pairs a matching entry's block is sure to have. A line filter is
//! a *substring* match, so `|= "500"` must find `5001`: only a token that the needle itself delimits on both sides may
//! be asked for. A conservative under-approximation: it may ask too little, it never asks for what a match could lack.
//! Pure: no filter is read here.

use logql::ast::{LabelFilter, LineFilter, LineMatch, LineOp, MatchOp, Matcher, Stage};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// Most strings that a part of a regular expression may stand for and still be spelled out.
const SPELLINGS_MAX: usize = 16;
/// Deepest nesting of a regular expression that is looked into; what lies deeper asks for nothing.
const DEPTH_MAX: usize = 32;

/// A condition on the filters of a block or a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Nothing is asked: anything may match.
    Nothing,
    /// A word of the line: a maximal run of letters, digits and `_`.
    Token(String),
    /// A stream label or structured metadata of that name and value.
    Pair {
        /// The label.
        name: String,
        /// Its value, never empty.
        value: String,
    },
    /// Each of them. Never empty, never nested directly.
    All(Vec<Need>),
    /// At least one of them.
    OneOf(Vec<Need>),
}

impl Need {
    /// Joins needs that must all hold.
    pub fn all(parts: impl IntoIterator<Item = Need>) -> Need {
        let mut all = Vec::new();
        for part in parts {
            match part {
                Need::Nothing => {}
                Need::All(inner) => all.extend(inner),
                other => all.push(other),
            }
        }
        all.dedup();
        match all.len() {
            0 => Need::Nothing,
            1 => all.swap_remove(0),
            _ => Need::All(all),
        }
    }

    /// Joins needs of which one must hold: if one asks for nothing, so does the whole.
    pub fn one_of(parts: impl IntoIterator<Item = Need>) -> Need {
        let mut any = Vec::new();
        for part in parts {
            match part {
                Need::Nothing => return Need::Nothing,
                Need::OneOf(inner) => any.extend(inner),
                other => any.push(other),
            }
        }
        any.dedup();
        match any.len() {
            0 => Need::Nothing,
            1 => any.swap_remove(0),
            _ => Need::OneOf(any),
        }
    }

    /// Whether a match is possible where `token` and `pair` say what may be present.
    pub fn possible(&self, token: &impl Fn(&str) -> bool, pair: &impl Fn(&str, &str) -> bool) -> bool {
        match self {
            Need::Nothing => true,
            Need::Token(text) => token(text),
            Need::Pair { name, value } => pair(name, value),
            Need::All(parts) => parts.iter().all(|part| part.possible(token, pair)),
            Need::OneOf(parts) => parts.iter().any(|part| part.possible(token, pair)),
        }
    }
}

/// As a plan prints it: `500`, `trace_id=x`, `(a b)`, `(a|b)`.
impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (parts, separator) = match self {
            Need::Nothing => return f.write_str("nothing"),
            Need::Token(text) => return f.write_str(text),
            Need::Pair { name, value } => return write!(f, "{name}={value}"),
            Need::All(parts) => (parts, " "),
            Need::OneOf(parts) => (parts, "|"),
        };
        let parts: Vec<String> = parts.iter().map(Need::to_string).collect();
        write!(f, "({})", parts.join(separator))
    }
}

/// What the stages of a pipeline ask for, taken together.
pub fn of_pipeline(stages: &[Stage]) -> Need {
    let mut needs = Vec::new();
    // Labels are the stored ones until a stage may make new ones; the line is the stored one until a stage changes it.
    let mut stored_labels = true;
    for stage in stages {
        match stage {
            Stage::LineFilter(filter) => needs.push(of_line_filter(filter)),
            Stage::LabelFilter(filter) if stored_labels => needs.push(of_label_filter(filter)),
            Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize => break,
            Stage::Json(_) | Stage::Logfmt { .. } | Stage::Regexp(_) | Stage::Pattern(_) | Stage::LabelFormat(_) => {
                stored_labels = false;
            }
            // They take labels away: a filter behind them matches less, never more.
            Stage::Drop(_) | Stage::Keep(_) | Stage::LabelFilter(_) => {}
        }
    }
    Need::all(needs)
}

fn of_line_filter(filter: &LineFilter) -> Need {
    let of_text: fn(&str) -> Need = match filter.op {
        LineOp::Contains => of_substring,
        LineOp::Regex => of_regex,
        LineOp::Pattern => of_line_pattern,
        LineOp::NotContains | LineOp::NotRegex | LineOp::NotPattern => return Need::Nothing,
    };
    Need::one_of(filter.alternatives.iter().map(|alternative| match alternative {
        LineMatch::Text(text) => of_text(text),
        LineMatch::Ip(_) => Need::Nothing,
    }))
}

/// The words inside `needle` that it delimits itself: all fragments but the first and the last.
fn of_substring(needle: &str) -> Need {
    let mut fragments = needle.split(|c| !is_token_char(c)).skip(1).peekable();
    let mut words = Vec::new();
    while let Some(fragment) = fragments.next() {
        if fragments.peek().is_some() && !fragment.is_empty() {
            words.push(Need::Token(fragment.to_owned()));
        }
    }
    Need::all(words)
}

/// Each literal between two `<_>` is a substring of the line.
fn of_line_pattern(pattern: &str) -> Need {
    Need::all(pattern.split("<_>").map(of_substring))
}

/// A letter, digit or `_`; must agree with `segment::tokens`, which a test asserts.
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What a regular expression cannot do without. One that cannot be understood asks for nothing.
fn of_regex(pattern: &str) -> Need {
    let parsed = logql::regexp::translate(pattern).ok().and_then(|translated| regex_syntax::parse(&translated).ok());
    parsed.map_or(Need::Nothing, |hir| of_hir(&hir, 0))
}

fn of_hir(hir: &Hir, depth: usize) -> Need {
    if depth > DEPTH_MAX {
        return Need::Nothing;
    }
    if let Some(spellings) = spell(hir, depth) {
        return of_spellings(&spellings);
    }
    match hir.kind() {
        HirKind::Concat(parts) => of_concat(parts, depth),
        HirKind::Alternation(parts) => Need::one_of(parts.iter().map(|part| of_hir(part, depth + 1))),
        HirKind::Capture(capture) => of_hir(&capture.sub, depth + 1),
        HirKind::Repetition(repetition) if repetition.min > 0 => of_hir(&repetition.sub, depth + 1),
        _ => Need::Nothing,
    }
}

/// Neighbours that can be spelled out are joined, so that each delimits the other; the rest stands for itself.
fn of_concat(parts: &[Hir], depth: usize) -> Need {
    let mut needs = Vec::new();
    let mut run = vec![String::new()];
    for part in parts {
        match spell(part, depth + 1) {
            Some(spellings) if run.len() * spellings.len() <= SPELLINGS_MAX => run = product(&run, &spellings),
            Some(spellings) => {
                needs.push(of_spellings(&run));
                run = spellings;
            }
            None => {
                needs.push(of_spellings(&run));
                needs.push(of_hir(part, depth + 1));
                run = vec![String::new()];
            }
        }
    }
    needs.push(of_spellings(&run));
    Need::all(needs)
}

fn of_spellings(spellings: &[String]) -> Need {
    Need::one_of(spellings.iter().map(|text| of_substring(text)))
}

/// All strings that `hir` can match, if they are few. A space stands for "something that is no part of a word", be it a
/// character or the edge of the line, so the strings are good for finding words and for nothing else.
fn spell(hir: &Hir, depth: usize) -> Option<Vec<String>> {
    if depth > DEPTH_MAX {
        return None;
    }
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![std::str::from_utf8(&literal.0).ok()?.to_owned()]),
        HirKind::Class(class) => spell_class(class),
        HirKind::Look(look) => spell_look(*look),
        // One or more delimiters are as good as one.
        HirKind::Repetition(repetition) if repetition.min > 0 && is_delimiter(&repetition.sub) => {
            Some(vec![" ".to_owned()])
        }
        HirKind::Repetition(_) => None,
        HirKind::Capture(capture) => spell(&capture.sub, depth + 1),
        HirKind::Concat(parts) => parts.iter().try_fold(vec![String::new()], |run, part| {
            let spellings = spell(part, depth + 1)?;
            (run.len() * spellings.len() <= SPELLINGS_MAX).then(|| product(&run, &spellings))
        }),
        HirKind::Alternation(parts) => {
            let mut spellings = Vec::new();
            for part in parts {
                spellings.extend(spell(part, depth + 1)?);
                if spellings.len() > SPELLINGS_MAX {
                    return None;
                }
            }
            Some(spellings)
        }
    }
}

fn product(left: &[String], right: &[String]) -> Vec<String> {
    left.iter().flat_map(|l| right.iter().map(move |r| format!("{l}{r}"))).collect()
}

fn spell_class(class: &Class) -> Option<Vec<String>> {
    let Class::Unicode(class) = class else { return None };
    if class.iter().all(|range| holds_no_token_char(range.start(), range.end())) {
        return (!class.ranges().is_empty()).then(|| vec![" ".to_owned()]);
    }
    let mut spellings = Vec::new();
    for range in class.iter() {
        for c in range.start()..=range.end() {
            if spellings.len() == SPELLINGS_MAX {
                return None;
            }
            spellings.push(c.to_string());
        }
    }
    Some(spellings)
}

/// An edge of the line or of a word: a letter beside it has no letter on its other side.
fn spell_look(look: Look) -> Option<Vec<String>> {
    let inside_word = matches!(look, Look::WordAsciiNegate | Look::WordUnicodeNegate);
    (!inside_word).then(|| vec![" ".to_owned()])
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

/// Equality with a stored value. An empty value matches what is absent and asks for nothing. Metadata that has the name
/// of a stream label is seen as `name_extracted`, so such names ask for nothing either, nor do the error labels.
fn of_matcher(matcher: &Matcher) -> Need {
    let asks = matcher.op == MatchOp::Equal
        && !matcher.value.is_empty()
        && !matcher.name.ends_with("_extracted")
        && !matcher.name.starts_with("__");
    if asks { Need::Pair { name: matcher.name.clone(), value: matcher.value.clone() } } else { Need::Nothing }
}

fn of_label_filter(filter: &LabelFilter) -> Need {
    match filter {
        LabelFilter::String(matcher) => of_matcher(matcher),
        LabelFilter::And(left, right) => Need::all([of_label_filter(left), of_label_filter(right)]),
        LabelFilter::Or(left, right) => Need::one_of([of_label_filter(left), of_label_filter(right)]),
        // A missing label drops the line and a bad value keeps it: nothing that a filter could tell.
        LabelFilter::Number { .. }
        | LabelFilter::Duration { .. }
        | LabelFilter::Bytes { .. }
        | LabelFilter::Ip { .. } => Need::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: LineOp, text: &str, want: &str) {
        let filter = LineFilter { op, alternatives: vec![LineMatch::Text(text.to_owned())] };
        assert_eq!(of_pipeline(&[Stage::LineFilter(filter)]).to_string(), want, "{op:?} {text}");
    }

    #[test]
    fn substrings_ask_for_inner_words_only() {
        let check = |text, want| check(LineOp::Contains, text, want);
        check("500", "nothing");
        check(" 500 ", "500");
        check(" 500", "nothing");
        check("500 ", "nothing");
        check("GET /users 500", "users");
        check("status=500 method=GET ", "(500 method GET)");
        check("a é b", "nothing");
        check(" é ", "nothing");
        check("xéyéz", "y");
        check("", "nothing");
        check("  ", "nothing");
        check("trace_id=abc_1,", "abc_1");
    }

    #[test]
    fn negative_filters_ask_nothing() {
        check(LineOp::NotContains, " 500 ", "nothing");
        check(LineOp::NotRegex, " 500 ", "nothing");
        check(LineOp::NotPattern, " 500 ", "nothing");
    }

    #[test]
    fn regexes_ask_for_what_they_cannot_do_without() {
        let check = |text, want| check(LineOp::Regex, text, want);
        check("500", "nothing");
        check(r"\s500\s", "500");
        check(r"\s+500 ", "500");
        check(r"\s*500 ", "nothing");
        check(r"^error$", "error");
        check(r"^error", "nothing");
        check(r"\berror\b", "error");
        check(r"x\b y", "nothing");
        check(r" (GET|POST) ", "(GET|POST)");
        check(r" (GET|POST|) x ", "((GET x)|(POST x)|x)");
        check(r" a .* b ", "(a b)");
        check(r" a | b ", "(a|b)");
        check(r" a |b", "nothing");
        check(r"( a )+", "a");
        check(r"( a )*", "nothing");
        check(r"( a )?", "nothing");
        check(r"(?i) abc ", "(ABC|ABc|AbC|Abc|aBC|aBc|abC|abc)");
        check(r"(?i) longer ", "nothing");
        check(r" 50[034] ", "(500|503|504)");
        check(r" 5\d\d ", "nothing");
        check(r" a\B b ", "b");
        check(r" [[a]] b ", "(b|(a b))");
        check("(", "nothing");
    }

    #[test]
    fn line_patterns_ask_for_the_words_of_their_literals() {
        check(LineOp::Pattern, "GET /api/<_> status <_>", "(api status)");
        check(LineOp::Pattern, "<_> 500 <_>", "500");
    }

    fn equal(name: &str, value: &str) -> Stage {
        let (name, value) = (name.to_owned(), value.to_owned());
        Stage::LabelFilter(LabelFilter::String(Matcher { name, op: MatchOp::Equal, value }))
    }

    #[test]
    fn label_filters_ask_until_a_stage_makes_labels() {
        assert_eq!(of_pipeline(&[equal("trace_id", "x")]).to_string(), "trace_id=x");
        assert_eq!(of_pipeline(&[Stage::Drop(vec![]), equal("a", "x")]).to_string(), "a=x");
        assert_eq!(of_pipeline(&[Stage::Json(vec![]), equal("trace_id", "x")]), Need::Nothing);
        assert_eq!(of_pipeline(&[Stage::LabelFormat(vec![]), equal("a", "x")]), Need::Nothing);
        assert_eq!(of_pipeline(&[equal("a", "")]), Need::Nothing);
        assert_eq!(of_pipeline(&[equal("a_extracted", "x")]), Need::Nothing);
    }

    #[test]
    fn line_filters_ask_until_the_line_changes() {
        let filter = || {
            Stage::LineFilter(LineFilter {
                op: LineOp::Contains,
                alternatives: vec![LineMatch::Text(" a ".to_owned()), LineMatch::Text(" b ".to_owned())],
            })
        };
        assert_eq!(of_pipeline(&[Stage::Json(vec![]), filter()]).to_string(), "(a|b)");
        assert_eq!(of_pipeline(&[Stage::LineFormat(String::new()), filter()]), Need::Nothing);
        assert_eq!(of_pipeline(&[Stage::Decolorize, filter()]), Need::Nothing);
    }
}
