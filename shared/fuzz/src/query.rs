//! Queries by choices: what LogQL's grammar allows, and a little of what it does not.

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use model::quote;

use crate::data::{NAMES, text};

/// How deep metric expressions and label filters nest.
const DEPTH_MAX: u32 = 3;

/// A log query.
pub fn log(u: &mut Unstructured<'_>) -> Result<String> {
    let selector =
        *u.choose(&["{app=~\".+\"}", "{app=\"api\"}", "{a!=\"\"}", "{app=~\".*\",b!~\"x.+\",level=~\".+|\"}", "{}"])?;
    Ok(format!("{selector} {}", pipeline(u)?))
}

/// The stages of a log query.
pub fn pipeline(u: &mut Unstructured<'_>) -> Result<String> {
    let count = u.int_in_range(0..=4)?;
    let stages = (0..count).map(|_| stage(u)).collect::<Result<Vec<_>>>()?;
    Ok(stages.join(" "))
}

/// A metric query.
pub fn metric(u: &mut Unstructured<'_>) -> Result<String> {
    metric_at(u, 0)
}

fn name(u: &mut Unstructured<'_>) -> Result<&'static str> {
    u.choose(NAMES).copied()
}

fn names(u: &mut Unstructured<'_>) -> Result<String> {
    let count = u.int_in_range(0..=3)?;
    Ok((0..count).map(|_| name(u)).collect::<Result<Vec<_>>>()?.join(","))
}

fn literal(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(quote(&text(u)?))
}

fn regex(u: &mut Unstructured<'_>) -> Result<String> {
    let count = u.int_in_range(0..=8)?;
    let parts = (0..count).map(|_| u.choose(REGEX_PARTS).copied()).collect::<Result<Vec<_>>>()?;
    Ok(quote(&parts.concat()))
}

fn pattern(u: &mut Unstructured<'_>) -> Result<String> {
    let count = u.int_in_range(0..=6)?;
    let parts = (0..count).map(|_| u.choose(PATTERN_PARTS).copied()).collect::<Result<Vec<_>>>()?;
    Ok(quote(&parts.concat()))
}

/// A Go template.
pub fn template(u: &mut Unstructured<'_>) -> Result<String> {
    let mut out = String::new();
    for _ in 0..u.int_in_range(0..=14)? {
        match u.ratio(1, 12)? {
            true => out.push_str(&text(u)?),
            false => out.push_str(u.choose(TEMPLATE_PARTS)?),
        }
    }
    Ok(out)
}

fn matcher(u: &mut Unstructured<'_>) -> Result<String> {
    let op = *u.choose(&["=", "!=", "=~", "!~"])?;
    let value = if op.contains('~') { regex(u)? } else { literal(u)? };
    Ok(format!("{}{op}{value}", name(u)?))
}

fn stage(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(match u.int_in_range(0..=11)? {
        0 => line_filter(u)?,
        1 => format!("| json {}", extractions(u)?),
        2 => format!(
            "| logfmt {} {}",
            u.choose(&["", "--strict", "--keep-empty", "--strict --keep-empty"])?,
            extractions(u)?
        ),
        3 => format!("| regexp {}", regex(u)?),
        4 => format!("| pattern {}", pattern(u)?),
        5 => "| unpack".to_owned(),
        6 => "| decolorize".to_owned(),
        7 => format!("| {}", label_filter(u, 0)?),
        8 => format!("| line_format {}", quote(&template(u)?)),
        9 => format!("| label_format {}={}, {}={}", name(u)?, name(u)?, name(u)?, quote(&template(u)?)),
        10 => "| json".to_owned(),
        _ => {
            let choice = if u.arbitrary()? { name(u)?.to_owned() } else { matcher(u)? };
            format!("| {} {}, {choice}", u.choose(&["drop", "keep"])?, name(u)?)
        }
    })
}

fn line_filter(u: &mut Unstructured<'_>) -> Result<String> {
    let op = *u.choose(&["|=", "!=", "|~", "!~", "|>", "!>"])?;
    let mut one = || match op {
        "|~" | "!~" => regex(u),
        "|>" | "!>" => pattern(u),
        _ if u.ratio(1, 4)? => {
            Ok(format!("ip({})", quote(u.choose(&["10.0.0.0/8", "::1", "10.0.0.1-10.0.0.9", "x"])?)))
        }
        _ => literal(u),
    };
    let (first, second) = (one()?, one()?);
    Ok(if u.arbitrary()? { format!("{op} {first} or {second}") } else { format!("{op} {first}") })
}

fn extractions(u: &mut Unstructured<'_>) -> Result<String> {
    let count = u.int_in_range(0..=2)?;
    let all =
        (0..count).map(|_| Ok(format!("{}={}", name(u)?, quote(u.choose(JSON_PATHS)?)))).collect::<Result<Vec<_>>>()?;
    Ok(all.join(", "))
}

fn label_filter(u: &mut Unstructured<'_>, depth: u32) -> Result<String> {
    if depth < DEPTH_MAX && u.ratio(1, 3)? {
        let (left, right) = (label_filter(u, depth + 1)?, label_filter(u, depth + 1)?);
        return Ok(format!("({left} {} {right})", u.choose(&["and", "or", ","])?));
    }
    Ok(match u.int_in_range(0..=2)? {
        0 => matcher(u)?,
        1 => format!("{}{}{}", name(u)?, u.choose(&["=", "==", "!=", ">", ">=", "<", "<="])?, u.choose(FILTER_VALUES)?),
        _ => format!("{}=ip({})", name(u)?, quote(u.choose(&["10.0.0.0/8", "::1-::9", "x"])?)),
    })
}

fn grouping(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(if u.arbitrary()? { format!("{} ({})", u.choose(&["by", "without"])?, names(u)?) } else { String::new() })
}

fn number(u: &mut Unstructured<'_>) -> Result<String> {
    Ok(match u.int_in_range(0..=3)? {
        0 => u.int_in_range(0..=20)?.to_string(),
        1 => u.choose(&["0.5", "-1", "1e308", "9223372036854775808", "1e-320", "0", "-0"])?.to_string(),
        2 => format!("{:?}", u.arbitrary::<f64>()?),
        _ => f32::from(u.arbitrary::<i16>()?).to_string(),
    })
}

fn range(u: &mut Unstructured<'_>) -> Result<String> {
    let unwraps = u.arbitrary()?;
    let op = *u.choose(if unwraps { VALUE_OPS } else { COUNT_OPS })?;
    let parameter = if op == "quantile_over_time" { format!("{},", number(u)?) } else { String::new() };
    let unwrap = match unwraps {
        true => {
            let label = name(u)?;
            let converted = match u.choose(&["", "bytes", "duration", "duration_seconds"])? {
                &"" => label.to_owned(),
                conversion => format!("{conversion}({label})"),
            };
            let filter = if u.arbitrary()? { format!("| {}", label_filter(u, 1)?) } else { String::new() };
            format!("| unwrap {converted} {filter}")
        }
        false => String::new(),
    };
    let range = *u.choose(&["1ms", "7s", "30s", "1m", "5m", "2h", "1ns", "100y"])?;
    let offset = *u.choose(&["", "", " offset 30s", " offset -1m", " offset 290y"])?;
    Ok(format!("{op}({parameter}{} {unwrap} [{range}]{offset}) {}", log(u)?, grouping(u)?))
}

fn metric_at(u: &mut Unstructured<'_>, depth: u32) -> Result<String> {
    if depth >= DEPTH_MAX {
        return range(u);
    }
    Ok(match u.int_in_range(0..=7)? {
        0 | 1 => range(u)?,
        2 | 3 => {
            let op = *u.choose(VECTOR_OPS)?;
            let parameter = if op.ends_with('k') { format!("{},", number(u)?) } else { String::new() };
            let grouping = if op.starts_with("sort") { String::new() } else { grouping(u)? };
            format!("{op} {grouping} ({parameter}{})", metric_at(u, depth + 1)?)
        }
        4 => {
            let (inner, replacement, regex) = (metric_at(u, depth + 1)?, text(u)? + "$1", regex(u)?);
            format!("label_replace({inner},\"{}\",{},\"{}\",{regex})", name(u)?, quote(&replacement), name(u)?)
        }
        5 if u.arbitrary()? => format!("vector({})", number(u)?),
        5 => number(u)?,
        _ => binary(u, depth)?,
    })
}

fn binary(u: &mut Unstructured<'_>, depth: u32) -> Result<String> {
    let op = *u.choose(BINARY_OPS)?;
    let matching = match u.int_in_range(0..=3)? {
        0 => format!("{} ({})", u.choose(&["on", "ignoring"])?, names(u)?),
        1 => format!("on ({}) {} ({})", names(u)?, u.choose(&["group_left", "group_right"])?, names(u)?),
        _ => String::new(),
    };
    Ok(format!("({} {op} {matching} {})", metric_at(u, depth + 1)?, metric_at(u, depth + 1)?))
}

// The words of which the functions above choose.
const REGEX_PARTS: &[&str] = &[
    "a",
    "b",
    ".*",
    ".+",
    "|",
    "(",
    ")",
    "(?i)",
    "(?P<a>",
    "(?P<b>",
    "(?P<x_y>\\S+)",
    "\\d+",
    "[^a-z]",
    "[a",
    "]",
    "^",
    "$",
    "{2}",
    "{0,3}",
    "?",
    "*",
    "+",
    "\\",
    "\\Q",
    "\\E",
    "\\b",
    "(?:",
    "\\pL",
    "GET",
    " ",
    "=",
    "é",
    "\\x{10FFFF}",
    "(?s)",
    "(?U)",
];
const PATTERN_PARTS: &[&str] = &["<a>", "<b>", "<_>", "<x_y>", " ", "=", "\"", "GET", "<", ">", "a", "{", "é", ": "];
const TEMPLATE_PARTS: &[&str] = &[
    "{{.a}}",
    "{{.app}}",
    "{{ ",
    " }}",
    "{{- ",
    " -}}",
    "if ",
    "else",
    "end",
    "range ",
    "with ",
    ".a",
    ".b",
    "$x := ",
    "$x",
    " | ",
    "upper ",
    "trunc 3 ",
    "printf \"%5.2f|%q\" ",
    "__line__ ",
    "__timestamp__ ",
    "regexReplaceAll \"a(.)\" ",
    "(",
    ")",
    "add ",
    "div ",
    "1 ",
    "0 ",
    "-1 ",
    "3.5 ",
    "\"x\" ",
    "`y` ",
    "fromJson ",
    "b64dec ",
    "int ",
    "alignLeft 7 ",
    "repeat 3 ",
    "date \"2006-01-02\" ",
    "unixToTime ",
    "duration ",
    "bytes ",
    "count \"a\" ",
    "text ",
    "index ",
    "slice ",
    "len ",
    "define \"t\"",
    "template \"t\" ",
    "eq ",
    "lt ",
    "and ",
    "or ",
    "not ",
    "default ",
    "substr 1 ",
    "replace \"a\" \"b\" ",
    "break",
    "continue",
    "range $i, $e := ",
    "range 9 ",
    "nil ",
    "/* c */",
    "urldecode ",
    "toDateInZone \"2006\" \"UTC\" ",
];
const JSON_PATHS: &[&str] =
    &["a", "x.y", "x[0]", "[\"a\"]", "[1][0]", "a[\"b\"].c", "", "a.", "[", "x.y.z[3]", "é", "a b"];
const FILTER_VALUES: &[&str] = &["1", "-2.5", "5s", "1h30m", "-3ms", "10KB", "2MiB", "1e9", "0", "+Inf", "NaN", "0x1f"];
const COUNT_OPS: &[&str] = &["count_over_time", "rate", "bytes_over_time", "bytes_rate", "absent_over_time"];
const VALUE_OPS: &[&str] = &[
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "rate",
    "first_over_time",
    "last_over_time",
    "rate_counter",
    "absent_over_time",
    "quantile_over_time",
];
const VECTOR_OPS: &[&str] =
    &["sum", "avg", "min", "max", "count", "stddev", "stdvar", "sort", "sort_desc", "topk", "bottomk", "approx_topk"];
const BINARY_OPS: &[&str] =
    &["+", "-", "*", "/", "%", "^", "==", "!=", ">", ">=", "<", "<=", "and", "or", "unless", "> bool", "== bool"];
