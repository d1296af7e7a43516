//! Go's `fmt`: `printf` with its verbs, flags and complaints, and how numbers look.

use super::value::Value;

/// Widths and precisions beyond this are refused, as in Go.
const WIDTH_MAX: usize = 1_000_000;

/// The flags of one verb.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats as `fmt.Sprintf` does: what does not fit is complained about in the text, never an error. `room` bounds the
/// output; what goes beyond it is an error.
pub(super) fn sprintf(format: &str, arguments: &[Value<'_>], room: usize) -> Result<String, String> {
    let mut printer = Printer { rest: format, arguments, next: 0, reordered: false, out: String::new() };
    while let Some((before, after)) = printer.rest.split_once('%') {
        printer.out.push_str(before);
        printer.rest = after;
        printer.directive(room)?;
        if printer.out.len() > room {
            return Err("output is too long".to_owned());
        }
    }
    printer.out.push_str(printer.rest);
    printer.extra();
    Ok(printer.out)
}

struct Printer<'f, 'r> {
    rest: &'f str,
    arguments: &'f [Value<'r>],
    next: usize,
    reordered: bool,
    out: String,
}

impl Printer<'_, '_> {
    fn directive(&mut self, room: usize) -> Result<(), String> {
        let mut flags = self.flags();
        self.reordered = false;
        let mut good = self.index();
        flags.width = self.number(&mut flags, &mut good, true)?;
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            good &= self.index();
            flags.precision = Some(self.number(&mut flags, &mut good, false)?.unwrap_or(0));
        }
        good &= self.index();
        if flags.width.unwrap_or(0).max(flags.precision.unwrap_or(0)) > room {
            return Err("output is too long".to_owned());
        }
        let Some(verb) = self.rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return Ok(());
        };
        self.rest = &self.rest[verb.len_utf8()..];
        match (verb, self.arguments.get(self.next)) {
            ('%', _) => self.out.push('%'),
            _ if !good => self.complain(verb, "(BADINDEX)"),
            (_, None) => self.complain(verb, "(MISSING)"),
            (_, Some(value)) => {
                self.next += 1;
                let text = one(verb, flags, value);
                self.out.push_str(&text);
            }
        }
        Ok(())
    }

    fn complain(&mut self, verb: char, what: &str) {
        self.out.push_str("%!");
        self.out.push(verb);
        self.out.push_str(what);
    }

    fn flags(&mut self) -> Flags {
        let mut flags = Flags::default();
        loop {
            match self.rest.as_bytes().first() {
                Some(b'-') => flags.minus = true,
                Some(b'+') => flags.plus = true,
                Some(b'#') => flags.sharp = true,
                Some(b' ') => flags.space = true,
                Some(b'0') => flags.zero = true,
                _ => return flags,
            }
            self.rest = &self.rest[1..];
        }
    }

    /// `[2]`: the next argument by number. False if there is none of that number.
    fn index(&mut self) -> bool {
        let Some(inside) = self.rest.strip_prefix('[') else { return true };
        let Some((number, after)) = inside.split_once(']') else {
            self.rest = inside;
            return false;
        };
        self.rest = after;
        self.reordered = true;
        match number.parse::<usize>() {
            Ok(number) if (1..=self.arguments.len()).contains(&number) => {
                self.next = number - 1;
                true
            }
            _ => false,
        }
    }

    /// A width or precision: digits, or `*` for an argument.
    fn number(&mut self, flags: &mut Flags, good: &mut bool, is_width: bool) -> Result<Option<usize>, String> {
        if let Some(rest) = self.rest.strip_prefix('*') {
            self.rest = rest;
            let value = self.arguments.get(self.next).and_then(Value::whole);
            self.next += 1;
            let size = value.and_then(|v| usize::try_from(v.unsigned_abs()).ok()).filter(|size| *size <= WIDTH_MAX);
            match (value, size) {
                (Some(value), Some(size)) if value >= 0 || is_width => {
                    flags.minus |= value < 0;
                    *good &= self.index();
                    return Ok(Some(size));
                }
                _ => self.out.push_str(if is_width { "%!(BADWIDTH)" } else { "%!(BADPREC)" }),
            }
            return Ok(None);
        }
        let digits = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        if digits == 0 {
            return Ok(None);
        }
        match number.parse::<usize>() {
            Ok(size) if size <= WIDTH_MAX => Ok(Some(size)),
            _ => Err("width or precision is too large".to_owned()),
        }
    }

    /// Arguments that no verb asked for.
    fn extra(&mut self) {
        if self.reordered || self.next >= self.arguments.len() {
            return;
        }
        self.out.push_str("%!(EXTRA ");
        for (i, value) in self.arguments[self.next..].iter().enumerate() {
            self.out.push_str(if i == 0 { "" } else { ", " });
            self.out.push_str(&described(value));
        }
        self.out.push(')');
    }
}

/// `type=value`, as complaints show an argument.
fn described(value: &Value<'_>) -> String {
    let mut text = String::new();
    if !matches!(value, Value::Nil) {
        text.push_str(value.type_name());
        text.push('=');
    }
    value.print_inside(&mut text);
    text
}

/// One argument under one verb.
fn one(verb: char, flags: Flags, value: &Value<'_>) -> String {
    let formatted = match (verb, value) {
        ('T', _) => Some(pad(value.type_name(), flags)),
        ('v', Value::Text(text)) if flags.sharp => Some(pad(&model::quote(text), flags)),
        ('v', Value::Int(number)) => Some(integer('d', flags, *number)),
        ('v', Value::Float(number)) => Some(float('g', flags, *number)),
        ('v', Value::Text(text)) => Some(string('s', flags, text)),
        ('v', _) | ('s', Value::Time(_) | Value::Duration(_) | Value::Month(_) | Value::Weekday(_)) => {
            let mut text = String::new();
            value.print_inside(&mut text);
            Some(pad(&text, flags))
        }
        ('t', Value::Bool(flag)) => Some(pad(if *flag { "true" } else { "false" }, flags)),
        ('s' | 'q' | 'x' | 'X', Value::Text(text)) => Some(string(verb, flags, text)),
        ('b' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'x' | 'X', Value::Float(number)) => {
            Some(float(verb, flags, *number))
        }
        ('b' | 'c' | 'd' | 'o' | 'O' | 'q' | 'x' | 'X' | 'U', _) => {
            value.whole().map(|number| integer(verb, flags, number))
        }
        _ => None,
    };
    formatted.or_else(|| elements(verb, flags, value)).unwrap_or_else(|| format!("%!{verb}({})", described(value)))
}

/// Lists and maps: the verb applies to each element.
fn elements(verb: char, flags: Flags, value: &Value<'_>) -> Option<String> {
    let fields = |fields: &mut dyn Iterator<Item = (String, String)>| {
        let all: Vec<String> = fields.map(|(name, value)| format!("{name}:{value}")).collect();
        format!("map[{}]", all.join(" "))
    };
    let key = |name: &str| one(verb, flags, &Value::text(name));
    match value {
        Value::List(items) => {
            let all: Vec<String> = items.iter().map(|item| one(verb, flags, item)).collect();
            Some(format!("[{}]", all.join(" ")))
        }
        Value::Map(map) => Some(fields(&mut map.iter().map(|(name, value)| (key(name), one(verb, flags, value))))),
        Value::Labels(entry) => {
            Some(fields(&mut entry.labels().iter().map(|(name, value)| (key(name), one(verb, flags, value)))))
        }
        _ => None,
    }
}

/// Pads to the width in characters. Zeros pad only numbers.
fn pad(text: &str, flags: Flags) -> String {
    let width = flags.width.unwrap_or(0);
    let missing = width.saturating_sub(text.chars().count());
    if flags.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    let fill = if flags.zero { "0" } else { " " };
    format!("{}{text}", fill.repeat(missing))
}

fn string(verb: char, flags: Flags, text: &str) -> String {
    let cut: String = match flags.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    match verb {
        'q' if flags.sharp && !cut.contains('`') && !cut.chars().any(char::is_control) => {
            pad(&format!("`{cut}`"), flags)
        }
        'q' => pad(&model::quote(&cut), flags),
        'x' | 'X' => {
            let separator = if flags.space { " " } else { "" };
            let prefix = if flags.sharp { if verb == 'x' { "0x" } else { "0X" } } else { "" };
            let bytes = text.bytes().take(flags.precision.unwrap_or(usize::MAX));
            let hex: Vec<String> =
                bytes.map(|b| if verb == 'x' { format!("{b:02x}") } else { format!("{b:02X}") }).collect();
            pad(&format!("{prefix}{}", hex.join(separator)), flags)
        }
        _ => pad(&cut, flags),
    }
}

fn integer(verb: char, flags: Flags, number: i64) -> String {
    let magnitude = number.unsigned_abs();
    let c = || u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    let (prefix, mut digits) = match verb {
        'b' => (if flags.sharp { "0b" } else { "" }, format!("{magnitude:b}")),
        'o' => (if flags.sharp { "0" } else { "" }, format!("{magnitude:o}")),
        'O' => ("0o", format!("{magnitude:o}")),
        'x' => (if flags.sharp { "0x" } else { "" }, format!("{magnitude:x}")),
        'X' => (if flags.sharp { "0X" } else { "" }, format!("{magnitude:X}")),
        'c' => return pad(&c().to_string(), flags),
        'q' => return pad(&quoted_char(c()), flags),
        'U' if flags.sharp => return pad(&format!("U+{magnitude:04X} '{}'", c()), flags),
        'U' => return pad(&format!("U+{magnitude:04X}"), flags),
        _ => ("", magnitude.to_string()),
    };
    let sign = sign(number < 0, flags);
    match flags.precision {
        Some(0) if number == 0 => digits.clear(),
        Some(precision) => digits = format!("{digits:0>precision$}"),
        None if flags.zero && !flags.minus => {
            let width = flags.width.unwrap_or(0).saturating_sub(sign.len());
            digits = format!("{digits:0>width$}");
        }
        None => {}
    }
    pad(&format!("{sign}{prefix}{digits}"), Flags { zero: false, ..flags })
}

fn quoted_char(c: char) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        _ => {
            let quoted = model::quote(&c.to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

fn sign(negative: bool, flags: Flags) -> &'static str {
    match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn float(verb: char, flags: Flags, number: f64) -> String {
    if number.is_nan() || number.is_infinite() {
        let text = if number.is_nan() { "NaN" } else { "Inf" };
        let sign = if number.is_infinite() && number > 0.0 && flags.plus { "+" } else { sign(number < 0.0, flags) };
        let sign = if number.is_infinite() && sign.is_empty() { "+" } else { sign };
        return pad(&format!("{sign}{text}"), Flags { zero: false, ..flags });
    }
    let magnitude = number.abs();
    let digits = match (verb, flags.precision) {
        ('e' | 'E', precision) => exponent(magnitude, precision.unwrap_or(6)),
        ('f' | 'F', precision) => format!("{magnitude:.*}", precision.unwrap_or(6)),
        (_, None) => shortest(magnitude, 'g'),
        (_, Some(precision)) => general(magnitude, precision),
    };
    let digits = if verb.is_uppercase() { digits.to_uppercase() } else { digits };
    let sign = sign(number.is_sign_negative(), flags);
    if flags.zero && !flags.minus {
        let width = flags.width.unwrap_or(0).saturating_sub(sign.len());
        return format!("{sign}{digits:0>width$}");
    }
    pad(&format!("{sign}{digits}"), flags)
}

/// `%e` with an exponent of at least two digits.
fn exponent(number: f64, precision: usize) -> String {
    go_exponent(&format!("{number:.precision$e}"))
}

/// Rust's `1.5e7` as Go's `1.5e+07`.
fn go_exponent(text: &str) -> String {
    let Some((mantissa, exponent)) = text.split_once('e') else { return text.to_owned() };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `%g` with a precision: that many digits, zeros at the end cut off.
fn general(number: f64, precision: usize) -> String {
    let precision = precision.max(1);
    let scientific = format!("{number:.*e}", precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    let cut = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    if power < -4 || power >= i32::try_from(precision).unwrap_or(i32::MAX) {
        let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return go_exponent(&format!("{}e{power}", cut(mantissa)));
    }
    let decimals = usize::try_from(i32::try_from(precision).unwrap_or(i32::MAX) - 1 - power).unwrap_or(0);
    cut(&format!("{number:.decimals$}"))
}

/// The fewest digits that give the number back; with `g` an exponent below 1e-4 and from 1e6 on.
pub(super) fn shortest(number: f64, verb: char) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let power: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    if verb == 'g' && !(-4..6).contains(&power) { go_exponent(&scientific) } else { number.to_string() }
}
