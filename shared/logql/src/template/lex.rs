//! Template text to tokens.
//!
//! In: the text. Out: stretches of plain text, already trimmed by `{{-` and `-}}`, and the tokens of each action. Comments
//! are gone, strings and characters are unquoted, numbers are read.

/// A token and the byte at which it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) position: usize,
    pub(super) kind: Kind,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Text(String),
    Open,
    Close,
    /// Blanks, which separate arguments.
    Space,
    /// A name: keyword, function, `true`, `nil`.
    Word(String),
    /// `.name`
    Field(String),
    /// `$name` or `$`
    Variable(String),
    Dot,
    Pipe,
    Comma,
    Declare,
    Assign,
    LeftParen,
    RightParen,
    /// A string, unquoted.
    Quoted(String),
    /// A number or character as written, and its value.
    Number(String, super::tree::Number),
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// Cuts a template into tokens. The error is Go's, without the name of the template: `1: unclosed action`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, (usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut trim_left = false;
    while at < text.len() {
        let rest = &text[at..];
        let open = rest.find("{{");
        let mut plain = &rest[..open.unwrap_or(rest.len())];
        if trim_left {
            plain = plain.trim_start_matches(SPACES);
        }
        let trims_before = open.is_some_and(|open| {
            let inside = &rest[open + 2..];
            inside.starts_with('-') && inside[1..].starts_with(SPACES)
        });
        if trims_before {
            plain = plain.trim_end_matches(SPACES);
        }
        if !plain.is_empty() {
            found.push(Token { position: at, kind: Kind::Text(plain.to_owned()) });
        }
        let Some(open) = open else { break };
        let mut lexer = Lexer { text, at: at + open + 2, found: &mut found, parens: 0 };
        if trims_before {
            lexer.at += 2;
        }
        trim_left = lexer.action(at + open)?;
        at = lexer.at;
    }
    Ok(found)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    found: &'t mut Vec<Token>,
    parens: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn push(&mut self, length: usize, kind: Kind) {
        self.found.push(Token { position: self.at, kind });
        self.at += length;
    }

    fn error<T>(&self, why: impl Into<String>) -> Result<T, (usize, String)> {
        Err((self.at.min(self.text.len()), why.into()))
    }

    /// How long the right delimiter is here, and whether it trims what follows.
    fn closing(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        if rest.starts_with("}}") {
            return Some((2, false));
        }
        let marker = rest.strip_prefix(SPACES)?.strip_prefix("-}}");
        marker.map(|_| (4, true))
    }

    /// Reads one action or comment; true if blanks behind it are trimmed.
    fn action(&mut self, open: usize) -> Result<bool, (usize, String)> {
        if self.rest().starts_with("/*") {
            return self.comment();
        }
        self.found.push(Token { position: open, kind: Kind::Open });
        loop {
            if let Some((length, trims)) = self.closing() {
                if self.parens > 0 {
                    return self.error("unclosed left paren");
                }
                self.push(length, Kind::Close);
                return Ok(trims);
            }
            self.token()?;
        }
    }

    fn comment(&mut self) -> Result<bool, (usize, String)> {
        let Some(end) = self.rest().find("*/") else { return self.error("unclosed comment") };
        self.at += end + 2;
        match self.closing() {
            Some((length, trims)) => {
                self.at += length;
                Ok(trims)
            }
            None => self.error("comment ends before closing delimiter"),
        }
    }

    fn token(&mut self) -> Result<(), (usize, String)> {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return self.error("unclosed action") };
        match c {
            ' ' | '\t' | '\r' | '\n' => {
                // The last blank may belong to a trimming delimiter.
                let mut length = rest.len() - rest.trim_start_matches(SPACES).len();
                if rest[length..].starts_with("-}}") {
                    length -= 1;
                }
                self.push(length.max(1), Kind::Space);
            }
            ':' if rest.starts_with(":=") => self.push(2, Kind::Declare),
            ':' => return self.error("expected :="),
            '=' => self.push(1, Kind::Assign),
            '|' => self.push(1, Kind::Pipe),
            ',' => self.push(1, Kind::Comma),
            '(' => {
                self.parens += 1;
                self.push(1, Kind::LeftParen);
            }
            ')' if self.parens == 0 => return self.error("unexpected right paren"),
            ')' => {
                self.parens -= 1;
                self.push(1, Kind::RightParen);
            }
            '"' => return self.string(),
            '`' => return self.raw_string(),
            '\'' => return self.character(),
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => return self.field(),
            '$' => return self.variable(),
            '.' | '+' | '-' | '0'..='9' => return self.number(),
            c if c == '_' || c.is_alphanumeric() => return self.word(),
            c => return self.error(format!("unrecognized character in action: {}", super::value::unicode(c))),
        }
        Ok(())
    }

    fn name_length(&self, from: usize) -> usize {
        let rest = &self.rest()[from..];
        rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len())
    }

    /// Names, fields and variables must end at something that can follow them.
    fn check_end(&self, length: usize) -> Result<(), (usize, String)> {
        match self.rest()[length..].chars().next() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(' | '=') => Ok(()),
            Some('}') if self.rest()[length..].starts_with("}}") => Ok(()),
            Some(c) => self.error(format!("bad character {}", super::value::unicode(c))),
        }
    }

    fn field(&mut self) -> Result<(), (usize, String)> {
        let length = self.name_length(1);
        if length == 0 {
            self.check_end(1)?;
            self.push(1, Kind::Dot);
            return Ok(());
        }
        self.check_end(1 + length)?;
        let name = self.rest()[1..=length].to_owned();
        self.push(1 + length, Kind::Field(name));
        Ok(())
    }

    fn variable(&mut self) -> Result<(), (usize, String)> {
        let length = 1 + self.name_length(1);
        self.check_end(length)?;
        let name = self.rest()[..length].to_owned();
        self.push(length, Kind::Variable(name));
        Ok(())
    }

    fn word(&mut self) -> Result<(), (usize, String)> {
        let length = self.name_length(0);
        self.check_end(length)?;
        let name = self.rest()[..length].to_owned();
        self.push(length, Kind::Word(name));
        Ok(())
    }

    fn number(&mut self) -> Result<(), (usize, String)> {
        let rest = self.rest();
        let mut length = usize::from(rest.starts_with(['+', '-']));
        let mut before = '\0';
        for c in rest[length..].chars() {
            let sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E' | 'p' | 'P');
            if !(sign || c == '.' || c == '_' || c.is_alphanumeric()) {
                break;
            }
            length += c.len_utf8();
            before = c;
        }
        let written = rest[..length].to_owned();
        match super::tree::Number::parse(&written) {
            Some(number) => self.push(length, Kind::Number(written, number)),
            None => return self.error(format!("bad number syntax: {}", model::quote(&written))),
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), (usize, String)> {
        match unquote(self.rest(), '"') {
            Ok((text, length)) => self.push(length, Kind::Quoted(text)),
            Err(true) => return self.error("unterminated quoted string"),
            Err(false) => return self.error("invalid syntax"),
        }
        Ok(())
    }

    fn raw_string(&mut self) -> Result<(), (usize, String)> {
        let Some(end) = self.rest()[1..].find('`') else { return self.error("unterminated raw quoted string") };
        let text = self.rest()[1..=end].replace('\r', "");
        self.push(end + 2, Kind::Quoted(text));
        Ok(())
    }

    fn character(&mut self) -> Result<(), (usize, String)> {
        match unquote(self.rest(), '\'') {
            Ok((text, length)) if text.chars().count() == 1 => {
                let value = text.chars().next().map_or(0, |c| i64::from(u32::from(c)));
                let written = self.rest()[..length].to_owned();
                self.push(length, Kind::Number(written, super::tree::Number::Int(value)));
                Ok(())
            }
            Ok(_) => self.error("malformed character constant"),
            Err(_) => self.error("unterminated character constant"),
        }
    }
}

/// Reads a quoted text with Go's escapes: its value and its length as written. `Err(true)`: it does not end.
fn unquote(text: &str, quote: char) -> Result<(String, usize), bool> {
    let mut bytes = Vec::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((super::value::lossy(bytes), at + 1)),
            '\n' => return Err(true),
            '\\' => {
                let (_, escape) = chars.next().ok_or(true)?;
                escaped(escape, &mut chars, quote, &mut bytes)?;
            }
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err(true)
}

fn escaped(
    escape: char,
    chars: &mut impl Iterator<Item = (usize, char)>,
    quote: char,
    bytes: &mut Vec<u8>,
) -> Result<(), bool> {
    let mut digits = |start: u32, count: usize, radix: u32| {
        (0..count).try_fold(start, |value, _| {
            let digit = chars.next().and_then(|(_, c)| c.to_digit(radix)).ok_or(false)?;
            value.checked_mul(radix).map(|v| v + digit).ok_or(false)
        })
    };
    let byte = match escape {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        c if c == quote => u8::try_from(c).map_err(|_| false)?,
        'x' => u8::try_from(digits(0, 2, 16)?).map_err(|_| false)?,
        '0'..='7' => u8::try_from(digits(escape.to_digit(8).unwrap_or(0), 2, 8)?).map_err(|_| false)?,
        'u' | 'U' => {
            let code = digits(0, if escape == 'u' { 4 } else { 8 }, 16)?;
            let c = char::from_u32(code).ok_or(false)?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        _ => return Err(false),
    };
    bytes.push(byte);
    Ok(())
}
