//! Cuts a line into the tokens that may vary and the text between them that may not.
//!
//! In: a line. Out: its leading separators and its tokens, each with the separators behind it. A token is never empty and
//! holds none of the characters that separators begin with, so that a `<_>` in its place finds exactly the token again,
//! however the filter `|>` searches. What cannot be said in a pattern (`<name>`, the end of a very long line) is one last
//! token that reaches to the end of the line.

/// Bytes of a line that are looked at; the rest is one token.
const LINE_BYTES_MAX: usize = 4096;
/// Tokens of a line; the rest is one more.
const TOKENS_MAX: usize = 192;

/// A token and what stands behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'l> {
    /// Its text, not empty.
    pub(super) text: &'l str,
    /// The separators up to the next token; empty only at the end of the line.
    pub(super) after: &'l str,
    /// Whether it reaches to the end of the line, whatever it holds. It has no text in a pattern.
    pub(super) is_rest: bool,
}

impl Token<'_> {
    /// Whether it names a value: `user=` or `"user":`. Lines with other names are of another kind.
    pub(super) fn is_key(&self) -> bool {
        let named = match self.after.strip_prefix('=') {
            Some(rest) => !rest.starts_with('='),
            None => self.after.starts_with("\":"),
        };
        named && !self.is_rest && self.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    }

    /// Whether it is all of the value that the token before it names: `alice` in `user=alice`, not in `msg="alice left"`.
    pub(super) fn is_value_of(&self, previous: &Token<'_>) -> bool {
        previous.is_key() && (!previous.after.ends_with('"') || self.after.starts_with('"'))
    }

    /// Whether it looks like a word: what has digits is likely another one in the next line.
    pub(super) fn is_word(&self) -> bool {
        !self.is_rest && is_word(self.text)
    }
}

/// Whether a text has no digits.
pub(super) fn is_word(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Fills `tokens` with those of the line and gives the separators before the first.
pub(super) fn split<'l>(line: &'l str, tokens: &mut Vec<Token<'l>>) -> &'l str {
    tokens.clear();
    let end = line.char_indices().map(|(at, _)| at).take_while(|at| *at <= LINE_BYTES_MAX).last().unwrap_or(0);
    let end = if line.len() <= LINE_BYTES_MAX { line.len() } else { end };
    let mut cut = Cut { line, end };
    let first = cut.separators(0);
    let mut from = first;
    while from < line.len() {
        let to = if tokens.len() < TOKENS_MAX { cut.token(from) } else { line.len() };
        let next = cut.separators(to);
        let text = line.get(from..to).unwrap_or_default();
        let is_rest = to == line.len() && cut.end < to;
        tokens.push(Token { text, after: line.get(to..next).unwrap_or_default(), is_rest });
        from = next;
    }
    // The last of too many tokens is a rest as well.
    if tokens.len() > TOKENS_MAX
        && let Some(last) = tokens.last_mut()
    {
        last.is_rest = true;
    }
    line.get(..first).unwrap_or_default()
}

/// A line and where its separators and tokens end: from `end` on there is one token only.
struct Cut<'l> {
    line: &'l str,
    end: usize,
}

impl Cut<'_> {
    /// Where the separators that begin at `from` end.
    fn separators(&mut self, from: usize) -> usize {
        let text = self.line.get(from..self.end).unwrap_or_default();
        for (at, c) in text.char_indices() {
            // A colon belongs to the token before it; without one it separates, as in `"a":1`.
            let separates = is_separator(c) || c == ':';
            if !separates || self.is_capture(from + at) {
                return from + at;
            }
        }
        from.max(self.end)
    }

    /// Where the token that begins at `from` ends.
    fn token(&mut self, from: usize) -> usize {
        let text = self.line.get(from..self.end).unwrap_or_default();
        for (at, c) in text.char_indices() {
            if self.is_capture(from + at) {
                self.end = from;
                return self.line.len();
            }
            if is_separator(c) {
                return from + at;
            }
        }
        self.line.len()
    }

    /// Whether a pattern would take the text for a capture: `<name>`.
    fn is_capture(&self, at: usize) -> bool {
        let Some(rest) = self.line.get(at..).and_then(|rest| rest.strip_prefix('<')) else { return false };
        let name = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.starts_with('>')
    }
}

/// What separates tokens wherever it stands.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || r#"=,;()[]{}"'`<>|&?!\"#.contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut() {
        let check = |line: &str, want: &str| {
            let mut tokens = Vec::new();
            let mut got = format!("{}|", split(line, &mut tokens));
            for token in &tokens {
                let mark = if token.is_rest { "…" } else { "" };
                let key = if token.is_key() { "*" } else { "" };
                got.push_str(&format!("{}{mark}{key}|{}|", token.text, token.after));
            }
            assert_eq!(got, want, "{line}");
            let whole: String = tokens.iter().flat_map(|token| [token.text, token.after]).collect();
            assert!(line.ends_with(&whole), "{line}");
        };
        check("", "|");
        check("  ", "  |");
        check("user alice", "|user| |alice||");
        check("at 12:00:01 on 10.0.0.1:80, done.", "|at| |12:00:01| |on| |10.0.0.1:80|, |done.||");
        check("a: b", "|a:| |b||");
        check("user=alice id=7", "|user*|=|alice| |id*|=|7||");
        check("abcd==", "|abcd|==|");
        check(r#"{"a":1,"b":"x"}"#, r#"{"|a*|":|1|,"|b*|":"|x|"}|"#);
        check("see <div>x</div>", "|see| |<div>x</div>…||");
        check("a<b>c d", "|a<b>c d…||");
        check("1 < 2 > 1", "|1| < |2| > |1||");
        check("é ü\u{a0}ß", "|é| |ü|\u{a0}|ß||");
    }

    #[test]
    fn the_end_of_a_long_line_is_one_token() {
        let mut tokens = Vec::new();
        let line = "a ".repeat(TOKENS_MAX + 10);
        split(&line, &mut tokens);
        assert_eq!(tokens.len(), TOKENS_MAX + 1);
        assert!(tokens.last().is_some_and(|token| token.is_rest && token.text.len() == 20));
        for line in ["é".repeat(LINE_BYTES_MAX), format!("{} b c", "a".repeat(LINE_BYTES_MAX - 1))] {
            let mut tokens = Vec::new();
            split(&line, &mut tokens);
            assert!(tokens.last().is_some_and(|token| token.is_rest), "{}", tokens.len());
            assert_eq!(tokens.iter().map(|token| token.text.len() + token.after.len()).sum::<usize>(), line.len());
        }
    }
}
