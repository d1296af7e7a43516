//! What must be in a block for any of its lines to match.
//!
//! In: the stages of a pipeline. Out: a `Need`: which tokens, pairs and texts a matching entry's block is sure to have. A line
//! filter is a *substring* match, so `|= "500"` must find `5001`: only a token that the needle itself delimits on both
//! sides may be asked for; the whole needle is asked for as a text. A conservative under-approximation: it may ask too
//! little, it never asks for what a match could lack. Pure: no filter is read here.

mod regexes;

use logql::ast::{LabelFilter, LineFilter, LineMatch, LineOp, MatchOp, Matcher, Stage};
use segment::GRAM_BYTES;

/// A condition on the filters of a block or a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Nothing is asked: anything may match.
    Nothing,
    /// A word of the line: a maximal run of letters, digits and `_`.
    Token(String),
    /// A piece of the line, whatever the case of its ASCII letters; here they are small ones.
    Text(String),
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

    /// Whether a match is possible where `has` says which tokens, texts and pairs may be present.
    pub fn possible(&self, has: &impl Fn(&Need) -> bool) -> bool {
        match self {
            Need::Nothing => true,
            Need::Token(_) | Need::Text(_) | Need::Pair { .. } => has(self),
            Need::All(parts) => parts.iter().all(|part| part.possible(has)),
            Need::OneOf(parts) => parts.iter().any(|part| part.possible(has)),
        }
    }

    /// The tokens, texts and pairs.
    pub fn visit(&self, each: &mut impl FnMut(&Need)) {
        match self {
            Need::Nothing => {}
            Need::Token(_) | Need::Text(_) | Need::Pair { .. } => each(self),
            Need::All(parts) | Need::OneOf(parts) => parts.iter().for_each(|part| part.visit(each)),
        }
    }
}

/// As a plan prints it: `500`, `"50"`, `trace_id=x`, `(a b)`, `(a|b)`.
impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (parts, separator) = match self {
            Need::Nothing => return f.write_str("nothing"),
            Need::Token(text) => return f.write_str(text),
            Need::Text(text) => return write!(f, "{text:?}"),
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
        LineOp::Regex => regexes::of_regex,
        LineOp::Pattern => of_line_pattern,
        LineOp::NotContains | LineOp::NotRegex | LineOp::NotPattern => return Need::Nothing,
    };
    Need::one_of(filter.alternatives.iter().map(|alternative| match alternative {
        LineMatch::Text(text) => of_text(text),
        LineMatch::Ip(_) => Need::Nothing,
    }))
}

fn of_substring(needle: &str) -> Need {
    Need::all([words_of(needle), text_of(needle)])
}

/// The needle itself, if it has a gram to ask for.
fn text_of(needle: &str) -> Need {
    if needle.len() < GRAM_BYTES { Need::Nothing } else { Need::Text(needle.to_ascii_lowercase()) }
}

/// The words inside `needle` that it delimits itself: all fragments but the first and the last.
fn words_of(needle: &str) -> Need {
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

    /// What is asked for, without texts (or without all else).
    fn only(need: &Need, texts: bool) -> Need {
        match need {
            Need::All(parts) => Need::all(parts.iter().map(|part| only(part, texts))),
            Need::OneOf(parts) => Need::one_of(parts.iter().map(|part| only(part, texts))),
            other if matches!(other, Need::Text(_)) == texts => other.clone(),
            _ => Need::Nothing,
        }
    }

    fn check_only(op: LineOp, text: &str, texts: bool, want: &str) {
        let filter = LineFilter { op, alternatives: vec![LineMatch::Text(text.to_owned())] };
        let need = only(&of_pipeline(&[Stage::LineFilter(filter)]), texts);
        assert_eq!(need.to_string(), want, "{op:?} {text}");
    }

    fn check(op: LineOp, text: &str, want: &str) {
        check_only(op, text, false, want);
    }

    #[test]
    fn needles_ask_for_themselves() {
        let check = |text, want| check_only(LineOp::Contains, text, true, want);
        check("", "nothing");
        check("50", "nothing");
        check("500", r#""500""#);
        check("OOMKilled é", r#""oomkilled é""#);
        check_only(LineOp::NotContains, "500", true, "nothing");
        check_only(LineOp::Pattern, "GET /api/<_> x <_>", true, r#"("get /api/" " x ")"#);
    }

    #[test]
    fn regexes_ask_for_texts() {
        let check = |text, want| check_only(LineOp::Regex, text, true, want);
        check("abc", r#""abc""#);
        check("ab.*cd", "nothing");
        check("abc.*def", r#"("abc" "def")"#);
        check("abc|de", "nothing");
        check("abc|def.*ghi", r#"("abc"|("def" "ghi"))"#);
        check("abc.*def|xyz", r#"(("abc" "def")|"xyz")"#);
        check("(?i)panic", r#""panic""#);
        check("(?i)kop", "(\"kop\"|\"\u{212a}op\")");
        check("(?i)fast", r#"("fast"|"faſt")"#);
        check("(?i)é12", r#"("É12"|"é12")"#);
        check("corrupt(ed)? page", r#"("corrupted page"|"corrupt page")"#);
        check(r"\bfoo\B-bar$", r#""foo-bar""#);
        check("x(abc)+y", r#"("xabc" "abcy")"#);
        check("x(abc)*y", "nothing");
        check("0{3}1", r#""0001""#);
        check("0{9}1", "nothing");
        check("0{2,3}11", "\"011\"");
        check("foo[0-9]bar", r#"("foo" "bar")"#);
        check("foo[01]bar", r#"("foo0bar"|"foo1bar")"#);
        check("foo()bar", r#""foobar""#);
        check("[[a]]foo", r#"("[]foo"|"a]foo")"#);
    }

    /// Nested repeats are not spelled out to the end of memory.
    #[test]
    fn spellings_are_short() {
        let nested = (0..20).fold("abc".to_owned(), |inner, _| format!("({inner}){{8}}"));
        assert!(
            of_line_filter(&LineFilter { op: LineOp::Regex, alternatives: vec![LineMatch::Text(nested)] })
                .to_string()
                .len()
                < 100_000
        );
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
        let behind_json = of_pipeline(&[Stage::Json(vec![]), filter()]).to_string();
        assert_eq!(behind_json, r#"((a " a ")|(b " b "))"#);
        assert_eq!(of_pipeline(&[Stage::LineFormat(String::new()), filter()]), Need::Nothing);
        assert_eq!(of_pipeline(&[Stage::Decolorize, filter()]), Need::Nothing);
    }
}
