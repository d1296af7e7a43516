//! Functions over text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::{Scope, int_at, text_at};
use crate::template::value::{Value, lossy};

type Result<'r> = std::result::Result<Value<'r>, String>;

/// A text as result, counted against the room.
fn made<'r>(scope: &mut Scope<'r>, text: String) -> Result<'r> {
    scope.claim(text.len())?;
    Ok(Value::text(text))
}

pub(super) fn lower<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    // Go maps letter by letter: the last sigma of a Greek word is not special.
    made(scope, text_at(a, 0).chars().flat_map(char::to_lowercase).collect())
}

pub(super) fn upper<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let one = |c: char| Some(c.to_uppercase()).filter(|upper| upper.len() == 1).and_then(|mut u| u.next()).unwrap_or(c);
    made(scope, text_at(a, 0).chars().map(one).collect())
}

/// Makes the first letter of each word a capital.
pub(super) fn title<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let mut before = ' ';
    let mut out = String::new();
    for c in text_at(a, 0).chars() {
        let inside = before == '_' || before.is_alphanumeric() || !(before.is_ascii() || before.is_whitespace());
        if inside {
            out.push(c)
        } else {
            out.extend(c.to_uppercase())
        }
        before = c;
    }
    made(scope, out)
}

fn replaced<'r>(scope: &mut Scope<'r>, text: &str, old: &str, new: &str, times: i64) -> Result<'r> {
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    let times = usize::try_from(times).map_or(found, |times| times.min(found));
    scope.claim(text.len().saturating_add(times.saturating_mul(new.len())))?;
    Ok(Value::text(text.replacen(old, new, times)))
}

/// `Replace text old new n`
pub(super) fn replace_some<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    replaced(scope, text_at(a, 0), text_at(a, 1), text_at(a, 2), int_at(a, 3))
}

/// `replace old new text`
pub(super) fn replace<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    replaced(scope, text_at(a, 2), text_at(a, 0), text_at(a, 1), -1)
}

pub(super) fn trim<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    made(scope, text_at(a, 0).trim().to_owned())
}

/// `Trim text cutset`
pub(super) fn trim_of<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let cutset = text_at(a, 1);
    made(scope, text_at(a, 0).trim_matches(|c| cutset.contains(c)).to_owned())
}

/// `trimAll cutset text`
pub(super) fn trim_all<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let cutset = text_at(a, 0);
    made(scope, text_at(a, 1).trim_matches(|c| cutset.contains(c)).to_owned())
}

pub(super) fn trim_left_of<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let cutset = text_at(a, 1);
    made(scope, text_at(a, 0).trim_start_matches(|c| cutset.contains(c)).to_owned())
}

pub(super) fn trim_right_of<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let cutset = text_at(a, 1);
    made(scope, text_at(a, 0).trim_end_matches(|c| cutset.contains(c)).to_owned())
}

fn without_prefix(text: &str, prefix: &str) -> String {
    text.strip_prefix(prefix).unwrap_or(text).to_owned()
}

fn without_suffix(text: &str, suffix: &str) -> String {
    text.strip_suffix(suffix).unwrap_or(text).to_owned()
}

/// `TrimPrefix text prefix`
pub(super) fn trim_prefix_of<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    made(scope, without_prefix(text_at(a, 0), text_at(a, 1)))
}

/// `trimPrefix prefix text`
pub(super) fn trim_prefix<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    made(scope, without_prefix(text_at(a, 1), text_at(a, 0)))
}

/// `TrimSuffix text suffix`
pub(super) fn trim_suffix_of<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    made(scope, without_suffix(text_at(a, 0), text_at(a, 1)))
}

/// `trimSuffix suffix text`
pub(super) fn trim_suffix<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    made(scope, without_suffix(text_at(a, 1), text_at(a, 0)))
}

pub(super) fn regex_replace<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let (text, replacement) = (text_at(a, 1), text_at(a, 2));
    let mut out = String::new();
    let mut copied = 0;
    for captures in scope.regex(text_at(a, 0))?.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(&text[copied..whole.start()]);
        captures.expand(replacement, &mut out);
        copied = whole.end();
        if out.len() > scope.room {
            return Err("output is too long".to_owned());
        }
    }
    out.push_str(&text[copied..]);
    made(scope, out)
}

pub(super) fn regex_replace_literal<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let (text, replacement) = (text_at(a, 1), text_at(a, 2));
    let regex = scope.regex(text_at(a, 0))?.into_owned();
    scope.claim(text.len().saturating_add(regex.find_iter(text).count().saturating_mul(replacement.len())))?;
    Ok(Value::text(regex.replace_all(text, regex::NoExpand(replacement)).into_owned()))
}

pub(super) fn count<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let found = scope.regex(text_at(a, 0))?.find_iter(text_at(a, 1)).count();
    Ok(Value::Int(i64::try_from(found).unwrap_or(i64::MAX)))
}

/// Query escapes: `+` is a blank; a `%` without two digits behind it is an error.
pub(super) fn urldecode<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let text = text_at(a, 0);
    for (at, _) in text.match_indices('%') {
        let escape: String = text[at..].chars().take(3).collect();
        if escape.len() != 3 || !escape[1..].bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("invalid URL escape {}", model::quote(&escape)));
        }
    }
    let spaced = text.replace('+', " ");
    made(scope, lossy(percent_decode_str(&spaced).collect()))
}

pub(super) fn urlencode<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    made(scope, query_escape(text_at(a, 0)))
}

/// Escapes a text for the query of a URL.
pub(super) fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn aligned<'r>(scope: &mut Scope<'r>, a: &[Value<'r>], left: bool) -> Result<'r> {
    let text = text_at(a, 1);
    let Ok(width) = usize::try_from(int_at(a, 0)) else { return made(scope, text.to_owned()) };
    let length = text.chars().count();
    if width >= length {
        scope.claim(width.saturating_add(text.len()))?;
        let blanks = " ".repeat(width - length);
        return Ok(Value::text(if left { format!("{text}{blanks}") } else { format!("{blanks}{text}") }));
    }
    let kept = if left { text.chars().take(width).collect() } else { text.chars().skip(length - width).collect() };
    made(scope, kept)
}

pub(super) fn align_left<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    aligned(scope, a, true)
}

pub(super) fn align_right<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    aligned(scope, a, false)
}

pub(super) fn b64enc<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    made(scope, STANDARD.encode(text_at(a, 0)))
}

/// What cannot be decoded gives the error's text, not an error.
pub(super) fn b64dec<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    // Go skips line ends inside the text.
    let text: String = text_at(a, 0).chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let decoded = STANDARD.decode(&text).map(lossy).unwrap_or_else(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) => at,
            base64::DecodeError::InvalidLastSymbol { offset, .. } => offset,
            base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len() / 4 * 4,
        };
        format!("illegal base64 data at input byte {at}")
    });
    made(scope, decoded)
}

/// Cuts at bytes; half a character becomes U+FFFD. A negative length counts from the end.
pub(super) fn trunc<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let (length, bytes) = (int_at(a, 0), text_at(a, 1).as_bytes());
    let count = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
    let kept = match count >= bytes.len() {
        true => bytes,
        false if length < 0 => &bytes[bytes.len() - count..],
        false => &bytes[..count],
    };
    made(scope, lossy(kept.to_vec()))
}

/// `substr start end text`, in bytes. Out of range it panics in sprig, and so is an error.
pub(super) fn substr<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let (start, end, bytes) = (int_at(a, 0), int_at(a, 1), text_at(a, 2).as_bytes());
    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let (from, to) = match (start, end) {
        (start, end) if start < 0 => (0, end),
        (start, end) if end < 0 || end > length => (start, length),
        both => both,
    };
    let why = || match (from, to) {
        (_, to) if to > length || to < 0 => format!("runtime error: slice bounds out of range [:{to}]"),
        (from, to) if from > to && to == length => format!("runtime error: slice bounds out of range [{from}:{to}]"),
        (from, to) => format!("runtime error: slice bounds out of range [{from}:{to}]"),
    };
    let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    let cut = range.and_then(|(from, to)| bytes.get(from..to)).ok_or_else(why)?;
    made(scope, lossy(cut.to_vec()))
}

pub(super) fn contains<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(Value::Bool(text_at(a, 1).contains(text_at(a, 0))))
}

pub(super) fn has_prefix<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(Value::Bool(text_at(a, 1).starts_with(text_at(a, 0))))
}

pub(super) fn has_suffix<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(Value::Bool(text_at(a, 1).ends_with(text_at(a, 0))))
}

fn indented(scope: &mut Scope<'_>, a: &[Value<'_>], start: &str) -> std::result::Result<String, String> {
    let text = text_at(a, 1);
    let blanks = repeated(scope, int_at(a, 0), " ")?;
    let lines = text.matches('\n').count() + 1;
    scope.claim(text.len().saturating_add(lines.saturating_mul(blanks.len())))?;
    Ok(format!("{start}{blanks}{}", text.replace('\n', &format!("\n{blanks}"))))
}

pub(super) fn indent<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    indented(scope, a, "").map(Value::text)
}

pub(super) fn nindent<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    indented(scope, a, "\n").map(Value::text)
}

fn repeated(scope: &mut Scope<'_>, times: i64, text: &str) -> std::result::Result<String, String> {
    let times = usize::try_from(times).map_err(|_| "strings: negative Repeat count")?;
    scope.claim(times.saturating_mul(text.len()))?;
    Ok(text.repeat(times))
}

pub(super) fn repeat<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    repeated(scope, int_at(a, 0), text_at(a, 1)).map(Value::text)
}

/// What is no JSON gives nothing, not an error.
pub(super) fn from_json<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let text = text_at(a, 0);
    scope.claim(text.len())?;
    Ok(serde_json::from_str(text).map_or(Value::Nil, Value::from_json))
}
