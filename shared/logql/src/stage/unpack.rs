//! `| unpack`: takes apart what a `pack` stage of the agent put together.
//!
//! The strings of a JSON object become labels and its `_entry` the line, but only if there is an `_entry`.

use super::json::{ERROR, unescape_key};
use super::json_scan::{JsonError, Scanner, Text, Value, blank_invalid, string_into, unescape_into};
use crate::labels::{LineLabels, Prefix};

const ENTRY_KEY: &str = "_entry";

/// Sets labels and writes the packed line to `out`; `false` if the line stays as it is.
pub(crate) fn process(line: &str, labels: &mut LineLabels<'_>, out: &mut String) -> bool {
    if line.is_empty() {
        return false;
    }
    let mut scanner = Scanner::new(line);
    if scanner.peek() != Some(b'{') {
        labels.set_error(ERROR, Some("expecting json object(6), but it is not"));
        return false;
    }
    // Two walks instead of a list of pairs: whether the pairs count is known only at the end.
    let mut is_packed = false;
    let walked = each_string(line, |key, text| {
        if key != ENTRY_KEY {
            return Ok(());
        }
        out.clear();
        unescape_into(text.raw, out).ok_or(JsonError::BadEscape)?;
        blank_invalid(out, 0);
        is_packed = true;
        Ok(())
    });
    if let Err(error) = walked {
        labels.set_error(ERROR, Some(error.text()));
        return false;
    }
    if is_packed {
        let again = each_string(line, |key, text| {
            if key != ENTRY_KEY {
                labels.extract_with(Prefix::NONE, key, |out| string_into(text, out));
            }
            Ok(())
        });
        debug_assert!(again.is_ok(), "the first walk came through");
    }
    is_packed
}

/// Calls `visit` with each member that is a string, its value as written.
fn each_string(line: &str, mut visit: impl FnMut(&str, Text<'_>) -> Result<(), JsonError>) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(line);
    scanner.peek().ok_or(JsonError::MalformedObject)?;
    scanner.step();
    let mut next = scanner.peek().ok_or(JsonError::Malformed)?;
    loop {
        match next {
            b'}' => return Ok(()),
            b'"' => {}
            _ => return Err(JsonError::MalformedObject),
        }
        let key = unescape_key(scanner.key()?)?;
        if let Value::String(text) = scanner.value()? {
            visit(&key, text)?;
        }
        match scanner.peek().ok_or(JsonError::MalformedArray)? {
            b'}' => return Ok(()),
            b',' => scanner.step(),
            _ => return Err(JsonError::MalformedObject),
        }
        next = scanner.peek().ok_or(JsonError::MalformedArray)?;
    }
}
