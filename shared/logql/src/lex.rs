//! Text to tokens, one at a time.
//!
//! In: a query. Out: tokens with the place where each begins; words that LogQL knows are told apart from names, numbers
//! with a unit from plain ones. Follows Loki's scanner, which is Go's: the same comments, strings and positions.

use crate::Error;
use crate::ast::{Conversion, RangeOp, VectorOp};
use crate::parse::duration;
use crate::stage::convert;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'q> {
    /// The query is over.
    End,
    /// A name.
    Identifier(&'q str),
    /// A string, unquoted.
    Text(String),
    /// A number as written.
    Number(&'q str),
    /// `5m`, `1.5h`, `-1m`: nanoseconds.
    Duration(i64),
    /// `10KB`.
    Bytes(u64),
    /// `[5m]`: nanoseconds.
    Range(i64),
    /// `--strict` or `--keep-empty`.
    Flag(&'static str),
    /// `rate` and its kin, followed by `(`.
    RangeOp(RangeOp),
    /// `sum` and its kin, followed by `(`, `by` or `without`.
    VectorOp(VectorOp),
    /// `bytes`, `duration`, `duration_seconds`, followed by `(`.
    Conversion(Conversion),
    /// `vector`, followed by `(`.
    Vector,
    /// A keyword or punctuation, in lower case.
    Word(&'static str),
}

/// Words that are never names.
const KEYWORDS: [&str; 22] = [
    "and",
    "bool",
    "by",
    "decolorize",
    "drop",
    "group_left",
    "group_right",
    "ignoring",
    "json",
    "keep",
    "label_format",
    "line_format",
    "logfmt",
    "offset",
    "on",
    "or",
    "pattern",
    "regexp",
    "unless",
    "unpack",
    "unwrap",
    "without",
];

/// Punctuation, longer before shorter.
const SYMBOLS: [&str; 27] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "|", "=", ">", "<", "{", "}", "(", ")", "]", ",", ".",
    "+", "-", "*", "/", "%", "^",
];

const FLAGS: [&str; 2] = ["--strict", "--keep-empty"];

impl Token<'_> {
    /// What a syntax error calls it.
    pub(crate) fn name(&self) -> String {
        match self {
            Token::End => "$end".into(),
            Token::Identifier(_) => "IDENTIFIER".into(),
            Token::Text(_) => "STRING".into(),
            Token::Number(_) => "NUMBER".into(),
            Token::Duration(_) => "DURATION".into(),
            Token::Bytes(_) => "BYTES".into(),
            Token::Range(_) => "RANGE".into(),
            Token::Flag(_) => "FUNCTION_FLAG".into(),
            Token::RangeOp(op) => op.name().to_ascii_uppercase(),
            Token::VectorOp(op) => op.name().to_ascii_uppercase(),
            Token::Conversion(Conversion::Number) => "NUMBER_CONV".into(),
            Token::Conversion(Conversion::Bytes) => "BYTES_CONV".into(),
            Token::Conversion(Conversion::Duration) => "DURATION_CONV".into(),
            Token::Conversion(Conversion::DurationSeconds) => "DURATION_SECONDS_CONV".into(),
            Token::Vector => "VECTOR".into(),
            Token::Word(word) => (*word).into(),
        }
    }

    /// Whether Loki knows the line of such a token. Its scanner forgets it when it looks further than one character.
    fn has_line(&self) -> bool {
        match self {
            Token::Duration(_) | Token::Bytes(_) | Token::Range(_) | Token::Flag(_) => false,
            Token::Word(word) => word.len() == 1 || word.starts_with(|c: char| c.is_ascii_alphabetic()),
            _ => true,
        }
    }
}

/// Reads tokens from a query. A copy looks ahead.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'q> {
    query: &'q str,
    /// Where the next token is looked for.
    offset: usize,
    /// Where the last one began.
    start: usize,
}

impl<'q> Lexer<'q> {
    /// A lexer at the beginning.
    pub(crate) fn new(query: &'q str) -> Self {
        Self { query, offset: 0, start: 0 }
    }

    /// The next token; `End` again and again when there is none.
    pub(crate) fn next(&mut self) -> Result<Token<'q>, Error> {
        self.skip_blanks()?;
        self.start = self.offset;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        match first {
            '"' | '`' => self.text(first),
            '\'' => Err(self.error(true, "invalid char literal")),
            '[' => self.range(),
            '0'..='9' => self.number(),
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            '-' if self.flag().is_some() => Ok(self.take_flag()),
            '-' if self.quantity("-", is_duration).is_some() => Ok(self.negative_duration()),
            _ if first == '_' || first.is_alphabetic() => Ok(self.word()),
            _ => self.symbol(first),
        }
    }

    /// An error at the place of the last token.
    pub(crate) fn error_at(&self, token: &Token<'_>, text: impl Into<String>) -> Error {
        self.error(token.has_line(), text)
    }

    fn error(&self, line_known: bool, text: impl Into<String>) -> Error {
        if self.query.is_empty() {
            return Error::invalid(text); // Loki has no position at all for it
        }
        let before = &self.query[..self.start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = if line_known { before.matches('\n').count() + 1 } else { 0 };
        let column = before[line_start..].chars().count() + 1;
        Error::parse_at(u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX), text)
    }

    fn rest(&self) -> &'q str {
        &self.query[self.offset..]
    }

    /// Skips what means nothing: blanks, `# …`, `// …` and `/* … */`.
    fn skip_blanks(&mut self) -> Result<(), Error> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.offset += rest.len() - trimmed.len();
            if trimmed.starts_with('#') || trimmed.starts_with("//") {
                self.offset += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    self.start = self.offset;
                    return Err(self.error(true, "comment not terminated"));
                };
                self.offset += end + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn text(&mut self, quote: char) -> Result<Token<'q>, Error> {
        let inside = &self.rest()[1..];
        let length = if quote == '`' { inside.find('`') } else { end_of_string(inside) };
        let Some(length) = length else { return Err(self.error(true, "literal not terminated")) };
        let written = &inside[..length];
        self.offset += length + 2;
        if quote == '`' {
            return Ok(Token::Text(written.replace('\r', "")));
        }
        unquote(written).map(Token::Text).ok_or_else(|| self.error(true, "invalid char escape"))
    }

    /// `[5m]`: everything up to the bracket is a duration, with not even blanks around it.
    fn range(&mut self) -> Result<Token<'q>, Error> {
        let inside = &self.rest()[1..];
        let Some(length) = inside.find(']') else {
            return Err(self.error(false, "missing closing ']' in duration"));
        };
        self.offset += length + 2;
        duration::prometheus(&inside[..length]).map(Token::Range).map_err(|why| self.error(false, why))
    }

    /// A number, or a number with a unit if what is written without a blank behind it makes one.
    fn number(&mut self) -> Result<Token<'q>, Error> {
        let number = &self.rest()[..number_length(self.rest())];
        if let Some(written) = self.quantity(number, is_duration)
            && let Ok(duration_ns) = duration::any(written)
        {
            self.offset += written.len();
            return Ok(Token::Duration(duration_ns));
        }
        if let Some(written) = self.quantity(number, is_size)
            && let Ok(size_bytes) = convert::bytes(written)
        {
            self.offset += written.len();
            return Ok(Token::Bytes(size_bytes));
        }
        self.offset += number.len();
        let octal = number.len() > 1 && number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
        match number.chars().find(|c| octal && matches!(c, '8' | '9')) {
            Some(digit) => Err(self.error(true, format!("invalid digit '{digit}' in octal literal"))),
            None => Ok(Token::Number(number)),
        }
    }

    /// `number` and the characters of a unit behind it, if there are any.
    fn quantity(&self, number: &str, of_unit: fn(char) -> bool) -> Option<&'q str> {
        let rest = self.rest();
        let unit = &rest[number.len()..];
        let length = unit.find(|c: char| !(c.is_numeric() || c == '.' || of_unit(c))).unwrap_or(unit.len());
        let written = &rest[..number.len() + length];
        (length > 0 && (number != "-" || convert::duration_ns(written).is_ok_and(|ns| ns != 0))).then_some(written)
    }

    fn negative_duration(&mut self) -> Token<'q> {
        let written = self.quantity("-", is_duration).unwrap_or_default();
        self.offset += written.len();
        Token::Duration(convert::duration_ns(written).unwrap_or_default())
    }

    fn flag(&self) -> Option<&'static str> {
        let rest = self.rest();
        let length = rest.find(|c: char| !(c.is_alphabetic() || c == '-')).unwrap_or(rest.len());
        FLAGS.into_iter().find(|flag| *flag == &rest[..length])
    }

    fn take_flag(&mut self) -> Token<'q> {
        let flag = self.flag().unwrap_or_default();
        self.offset += flag.len();
        Token::Flag(flag)
    }

    /// A keyword, a function if an argument follows, otherwise a name.
    fn word(&mut self) -> Token<'q> {
        let rest = self.rest();
        let length = rest.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(rest.len());
        let written = &rest[..length];
        self.offset += length;
        let lower = written.to_ascii_lowercase();
        if let Some(keyword) = KEYWORDS.into_iter().find(|keyword| *keyword == lower) {
            return Token::Word(keyword);
        }
        match function(&lower) {
            Some(token) if takes_argument(self.rest()) => token,
            _ => Token::Identifier(written),
        }
    }

    fn symbol(&mut self, first: char) -> Result<Token<'q>, Error> {
        match SYMBOLS.into_iter().find(|symbol| self.rest().starts_with(symbol)) {
            Some(symbol) => {
                self.offset += symbol.len();
                Ok(Token::Word(symbol))
            }
            None => Err(self.error(true, format!("unexpected character: {first:?}"))),
        }
    }
}

/// The token of a word that is a function when something in parentheses follows.
fn function(lower: &str) -> Option<Token<'static>> {
    let token = match lower {
        "bytes" => Token::Conversion(Conversion::Bytes),
        "duration" => Token::Conversion(Conversion::Duration),
        "duration_seconds" => Token::Conversion(Conversion::DurationSeconds),
        "vector" => Token::Vector,
        "ip" => Token::Word("ip"),
        "label_replace" => Token::Word("label_replace"),
        _ => {
            let range = RangeOp::ALL.into_iter().find(|op| op.name() == lower).map(Token::RangeOp);
            return range.or_else(|| VectorOp::ALL.into_iter().find(|op| op.name() == lower).map(Token::VectorOp));
        }
    };
    Some(token)
}

/// Whether `(`, `by (` or `without (` follows.
fn takes_argument(rest: &str) -> bool {
    let rest = rest.trim_start();
    let grouped = ["by", "without"].into_iter().find_map(|word| {
        rest.get(..word.len()).filter(|start| start.eq_ignore_ascii_case(word)).map(|_| &rest[word.len()..])
    });
    rest.starts_with('(') || grouped.is_some_and(|rest| rest.trim_start().starts_with('('))
}

/// How many bytes of the text make up a number as Go writes them.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let hexadecimal = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let prefixed = hexadecimal || matches!(bytes, [b'0', b'b' | b'B' | b'o' | b'O', b'0'..=b'9', ..]);
    let digits = |from: usize| {
        let is_digit = |b: &&u8| **b == b'_' || if hexadecimal { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
        from + bytes[from..].iter().take_while(is_digit).count()
    };
    let mut end = digits(if prefixed { 2 } else { 0 });
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    let exponent = bytes.get(end).is_some_and(|b| if hexadecimal { b"pP" } else { b"eE" }.contains(b));
    if exponent {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let power = bytes[end + 1 + sign..].iter().take_while(|b| b.is_ascii_digit()).count();
        if power > 0 {
            end += 1 + sign + power;
        }
    }
    end
}

fn is_duration(c: char) -> bool {
    matches!(c, 'n' | 'u' | 'µ' | 'm' | 's' | 'h' | 'd' | 'w' | 'y')
}

/// No E, Z or Y: such sizes do not fit.
fn is_size(c: char) -> bool {
    matches!(c, 'B' | 'i' | 'k' | 'K' | 'M' | 'G' | 'T' | 'P')
}

/// The length of a string up to its closing quote, if it has one on its line.
fn end_of_string(inside: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'\n' => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// Resolves Go's escapes. Bytes that are no UTF-8 become U+FFFD, as they do in stored lines.
fn unquote(written: &str) -> Option<String> {
    if !written.contains('\\') {
        return Some(written.to_owned());
    }
    let mut out = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest[at + 1..].chars().next()?;
        rest = &rest[at + 1 + escape.len_utf8()..];
        let simple = match escape {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            '"' => b'"',
            'x' => u8::try_from(digits(&mut rest, 2, 16)?).ok()?,
            '0'..='7' => {
                let high = escape.to_digit(8)? * 64;
                u8::try_from(high + digits(&mut rest, 2, 8)?).ok()?
            }
            'u' | 'U' => {
                let scalar = char::from_u32(digits(&mut rest, if escape == 'u' { 4 } else { 8 }, 16)?)?;
                out.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(simple);
    }
    out.extend_from_slice(rest.as_bytes());
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// Takes `count` digits.
fn digits(rest: &mut &str, count: usize, radix: u32) -> Option<u32> {
    let (digits, behind) = (rest.get(..count)?, rest.get(count..)?);
    *rest = behind;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, radix).ok())?
}
