//! The label strings of protobuf and legacy pushes: `{app="api", env="prod"}`.
//!
//! In: text in Prometheus' selector form, equalities only. Out: pairs sorted by name, or an error with its column in
//! Prometheus' words, since that is what clients are used to read.

use std::borrow::Cow;

use model::Labels;

/// Why a label string was refused: line, column and cause, as Prometheus' parser tells them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("1:{column}: parse error: {why}")]
pub struct LabelsError {
    column: usize,
    why: String,
}

/// A parsed label string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParsedLabels {
    /// The labels that have a value.
    pub labels: Labels,
    /// A name that was given twice.
    pub duplicate: Option<Box<str>>,
}

/// Whether a name is one that labels may have.
pub(super) fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Parses `{a="b", c='d'}`.
pub fn parse_labels(text: &str) -> Result<ParsedLabels, LabelsError> {
    let mut cursor = Cursor { text, at: 0 };
    let mut pairs: Vec<(&str, Cow<'_, str>)> = Vec::new();
    cursor.skip_spaces();
    if !cursor.eat('{') {
        return Err(cursor.unexpected("", r#"expected "{""#));
    }
    loop {
        cursor.skip_spaces();
        if cursor.eat('}') {
            break;
        }
        let name = cursor.name()?;
        cursor.skip_spaces();
        if !cursor.eat('=') {
            return Err(cursor.unexpected(" in label matching", r#"expected label matching operator"#));
        }
        cursor.skip_spaces();
        let value = cursor.value()?;
        pairs.push((name, value));
        cursor.skip_spaces();
        if !cursor.eat(',') && cursor.peek() != Some('}') {
            return Err(cursor.unexpected(" in label matching", r#"expected "," or "}""#));
        }
    }
    cursor.skip_spaces();
    if let Some(c) = cursor.peek() {
        return Err(cursor.error(format!("unexpected character: {}", go_rune(c))));
    }
    pairs.sort_by_key(|(name, _)| *name);
    let duplicate = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0.into());
    Ok(ParsedLabels { labels: pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect(), duplicate })
}

/// A place in the text.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn name(&mut self) -> Result<&'a str, LabelsError> {
        let rest = self.rest();
        let name = &rest[..rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())];
        if !is_label_name(name) {
            return Err(self.unexpected(" in label matching", "expected identifier or \"}\""));
        }
        self.at += name.len();
        // A character that no token inside braces begins with is told by itself.
        match self.peek() {
            Some(c) if !" \t\n\r=!,}\"'`".contains(c) => Err(self.inside_braces(c)),
            _ => Ok(name),
        }
    }

    /// A string in any of Go's quotes.
    fn value(&mut self) -> Result<Cow<'a, str>, LabelsError> {
        let quote = match self.peek() {
            Some(quote @ ('"' | '\'' | '`')) => quote,
            _ => return Err(self.unexpected(" in label matching", "expected string")),
        };
        let start = self.at;
        self.at += 1;
        // Nearly all values end before anything that needs a closer look.
        if let Some((value, _)) = self.rest().split_once([quote, '\\', '\n'])
            && self.text.as_bytes().get(self.at + value.len()) == Some(&(quote as u8))
        {
            self.at += value.len() + 1;
            return Ok(Cow::Borrowed(value));
        }
        let mut value = Vec::new();
        loop {
            let Some(c) = self.peek() else {
                return Err(LabelsError { column: start + 1, why: "unterminated quoted string".to_owned() });
            };
            self.at += c.len_utf8();
            match c {
                c if c == quote => return Ok(Cow::Owned(String::from_utf8_lossy(&value).into_owned())),
                '\\' if quote != '`' => self.escape(quote, &mut value)?,
                '\n' if quote != '`' => {
                    return Err(LabelsError { column: start + 1, why: "unterminated quoted string".to_owned() });
                }
                c => value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }

    /// What stands behind a backslash, as Go reads it.
    fn escape(&mut self, quote: char, value: &mut Vec<u8>) -> Result<(), LabelsError> {
        let Some(c) = self.peek() else {
            return Err(self.error("escape sequence not terminated".to_owned()));
        };
        let simple = match c {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            c if c == quote => c as u8,
            _ => 0,
        };
        if simple != 0 {
            self.at += 1;
            value.push(simple);
            return Ok(());
        }
        let (skip, digits, radix) = match c {
            'x' => (1, 2, 16),
            'u' => (1, 4, 16),
            'U' => (1, 8, 16),
            '0'..='7' => (0, 3, 8),
            c => return Err(self.error(format!("unknown escape sequence {}", go_rune(c)))),
        };
        let code = self.rest().get(skip..skip + digits).filter(|code| code.chars().all(|c| c.is_digit(radix)));
        let Some(number) = code.and_then(|code| u32::from_str_radix(code, radix).ok()) else {
            return Err(self.error("illegal character in escape sequence".to_owned()));
        };
        if digits > 3 {
            let c = char::from_u32(number)
                .ok_or_else(|| self.error("escape sequence is an invalid Unicode code point".to_owned()))?;
            value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            let byte = u8::try_from(number).map_err(|_| self.error("escape sequence is an invalid byte".to_owned()))?;
            value.push(byte);
        }
        self.at += skip + digits;
        Ok(())
    }

    /// The text at the cursor is not what must stand there.
    fn unexpected(&self, place: &str, expected: &str) -> LabelsError {
        match self.peek() {
            None => self.error("unexpected end of input inside braces".to_owned()),
            Some(c) if !place.is_empty() && !"=!,}\"'`{".contains(c) && !c.is_ascii_alphabetic() => {
                self.inside_braces(c)
            }
            Some(c) => self.error(format!("unexpected {}{place}, {expected}", model::quote(&c.to_string()))),
        }
    }

    fn inside_braces(&self, c: char) -> LabelsError {
        self.error(format!("unexpected character inside braces: {}", go_rune(c)))
    }

    fn error(&self, why: String) -> LabelsError {
        LabelsError { column: self.at + 1, why }
    }
}

/// A character as Go's `%q` prints a rune.
fn go_rune(c: char) -> String {
    match c {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => format!("'{}'", model::quote(&c.to_string()).trim_matches('"')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_strings() {
        let check = |text: &str, want: &str| {
            assert_eq!(parse_labels(text).map(|p| p.labels.to_string()), Ok(want.into()), "{text}")
        };
        check(r#"{app="api", env="prod"}"#, r#"{app="api", env="prod"}"#);
        check(r#" { b = 'x' ,a=`raw\n`, } "#, r#"{a="raw\\n", b="x"}"#);
        check("{}", "{}");
        check(r#"{e="", q="a\"b\\c\n\x41\u00fc\101"}"#, r#"{q="a\"b\\c\nAüA"}"#);
        check("{q=\"a}b,c=d{\"}", r#"{q="a}b,c=d{"}"#);
        assert_eq!(parse_labels(r#"{a="1",b="2",a="3"}"#).map(|p| p.duplicate), Ok(Some("a".into())));
    }

    #[test]
    fn refused() {
        let check =
            |text: &str, want: &str| assert_eq!(parse_labels(text).expect_err(text).to_string(), want, "{text}");
        check(r#"{bad-name="x"}"#, "1:5: parse error: unexpected character inside braces: '-'");
        check(r#"{1a="x"}"#, "1:2: parse error: unexpected character inside braces: '1'");
        check(
            r#"{a b="x"}"#,
            r#"1:4: parse error: unexpected "b" in label matching, expected label matching operator"#,
        );
        check(r#"{a=x}"#, r#"1:4: parse error: unexpected "x" in label matching, expected string"#);
        check(r#"{a="x"#, "1:4: parse error: unterminated quoted string");
        check(r#"{a="x""#, "1:7: parse error: unexpected end of input inside braces");
        check(r#"{a="\q"}"#, "1:6: parse error: unknown escape sequence 'q'");
        check(r#"{a="x"} b"#, "1:9: parse error: unexpected character: 'b'");
        for bad in [
            "",
            "{",
            "a",
            "{\"a\"=\"b\"}",
            "{ü=\"x\"}",
            "{a!=\"b\"}",
            "{a=\"\\u12\"}",
            "{a=\"\\xzz\"}",
            "{a=\"\\400\"}",
            "{a=\"\\",
        ] {
            assert!(parse_labels(bad).is_err(), "{bad}");
        }
    }
}
