//! `| decolorize`: takes ANSI control sequences out of the line.

use std::sync::LazyLock;

use regex::Regex;

/// What terminals take for a control sequence: CSI with its parameters and final byte, or OSC up to its bell.
const SEQUENCE: &str = concat!(
    r"[\x1b\x{9b}][\[\]()#;?]*",
    r"(?:(?:(?:[a-zA-Z0-9]*(?:;[a-zA-Z0-9]*)*)?\x07)",
    r"|(?:(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-ntqry=><~]))"
);

static SEQUENCES: LazyLock<Regex> = LazyLock::new(|| Regex::new(SEQUENCE).expect("the constant is an expression"));

/// Appends the line without its sequences; `false`, and nothing appended, if it has none.
pub(crate) fn process(line: &str, out: &mut String) -> bool {
    // Nearly every line: no byte of it can start a sequence (the second is the first byte of U+009B).
    if memchr::memchr2(0x1b, 0xc2, line.as_bytes()).is_none() {
        return false;
    }
    let mut end = 0;
    for sequence in SEQUENCES.find_iter(line) {
        out.push_str(line.get(end..sequence.start()).unwrap_or_default());
        end = sequence.end();
    }
    out.push_str(line.get(end..).unwrap_or_default());
    true
}
