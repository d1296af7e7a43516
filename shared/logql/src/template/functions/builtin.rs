//! Go's own functions: logic, comparison, indexing, printing and escaping; and sprig's `default`.

use std::cmp::Ordering;
use std::rc::Rc;

use super::text::query_escape;
use super::{Scope, text_at};
use crate::template::printf;
use crate::template::value::{Value, lossy};

type Result<'r> = std::result::Result<Value<'r>, String>;

/// `default fallback value`: the fallback if the value is empty.
pub(super) fn default<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    // A time is never empty in sprig's eyes, and neither is what is true.
    let given = a.get(1).filter(|value| value.is_true());
    Ok(given.or(a.first()).cloned().unwrap_or(Value::Nil))
}

/// What `and` and `or` give when no argument decided earlier.
pub(super) fn last<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(a.last().cloned().unwrap_or(Value::Nil))
}

pub(super) fn not<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    Ok(Value::Bool(!a.first().is_some_and(Value::is_true)))
}

const INCOMPATIBLE: &str = "incompatible types for comparison";
const NOT_COMPARABLE: &str = "invalid type for comparison";

fn equal(a: &Value<'_>, b: &Value<'_>) -> std::result::Result<bool, String> {
    Ok(match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Nil, _) | (_, Value::Nil) => false,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Time(a), Value::Time(b)) => a == b,
        (Value::List(_) | Value::Map(_) | Value::Labels(_), _) => {
            return Err(format!("non-comparable type {}: {}", shown(a), a.type_name()));
        }
        _ => match (a.whole(), b.whole()) {
            (Some(a), Some(b)) => a == b,
            _ => return Err(INCOMPATIBLE.to_owned()),
        },
    })
}

fn shown(value: &Value<'_>) -> String {
    let mut text = String::new();
    value.print_inside(&mut text);
    text
}

/// Whether the first equals any of the others.
pub(super) fn eq<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let [first, others @ ..] = a else { return Err("missing argument for comparison".to_owned()) };
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(super) fn ne<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    match a {
        [a, b] => equal(a, b).map(|equal| Value::Bool(!equal)),
        _ => Err("missing argument for comparison".to_owned()),
    }
}

fn compare<'r>(a: &[Value<'r>], holds: fn(Ordering) -> bool) -> Result<'r> {
    let order = match a {
        [Value::Text(a), Value::Text(b)] => Some(a.cmp(b)),
        [Value::Float(a), Value::Float(b)] => a.partial_cmp(b),
        [a, b] => match (a.whole(), b.whole()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => {
                let basic = |v: &Value<'_>| matches!(v, Value::Text(_) | Value::Float(_)) || v.whole().is_some();
                return Err(if basic(a) && basic(b) { INCOMPATIBLE } else { NOT_COMPARABLE }.to_owned());
            }
        },
        _ => None,
    };
    Ok(Value::Bool(order.is_some_and(holds)))
}

pub(super) fn lt<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    compare(a, Ordering::is_lt)
}

pub(super) fn le<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    compare(a, Ordering::is_le)
}

pub(super) fn gt<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    compare(a, Ordering::is_gt)
}

pub(super) fn ge<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    compare(a, Ordering::is_ge)
}

pub(super) fn len<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let length = match a.first() {
        Some(Value::Text(text)) => text.len(),
        Some(Value::List(items)) => items.len(),
        Some(Value::Map(fields)) => fields.len(),
        Some(Value::Labels(entry)) => entry.labels().len(),
        Some(Value::Nil) | None => return Err("len of nil pointer".to_owned()),
        Some(other) => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// A place in something of that length.
fn place(index: &Value<'_>, length: usize) -> std::result::Result<usize, String> {
    let Some(at) = index.whole() else {
        return Err(match index {
            Value::Nil => "cannot index slice/array with nil".to_owned(),
            other => format!("cannot index slice/array with type {}", other.type_name()),
        });
    };
    usize::try_from(at).ok().filter(|at| *at <= length).ok_or_else(|| format!("index out of range: {at}"))
}

/// `index value key…`: walks into lists, maps and texts.
pub(super) fn index<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let [start, keys @ ..] = a else { return Err("index of untyped nil".to_owned()) };
    keys.iter().try_fold(start.clone(), |value, key| {
        Ok(match (&value, key) {
            (Value::Map(fields), Value::Text(name)) => fields.get(name.as_ref()).cloned().unwrap_or(Value::Nil),
            (Value::Labels(entry), Value::Text(name)) => Value::text(entry.0.label(name).unwrap_or_default()),
            (Value::Map(_) | Value::Labels(_), other) => {
                return Err(format!("value has type {}; should be string", other.type_name()));
            }
            (Value::List(items), key) => {
                let at = place(key, items.len())?;
                items.get(at).cloned().ok_or_else(|| format!("index out of range: {at}"))?
            }
            (Value::Text(text), key) => {
                let at = place(key, text.len())?;
                let byte = text.as_bytes().get(at).ok_or_else(|| format!("index out of range: {at}"))?;
                Value::Int(i64::from(*byte))
            }
            (Value::Nil, _) => return Err("index of untyped nil".to_owned()),
            (other, _) => return Err(format!("can't index item of type {}", other.type_name())),
        })
    })
}

/// `slice value [from [to]]`
pub(super) fn slice<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let length = match a.first() {
        Some(Value::Text(text)) => text.len(),
        Some(Value::List(items)) => items.len(),
        Some(other) if a.len() > 1 => return Err(format!("can't slice item of type {}", other.type_name())),
        _ => return Err("slice of untyped nil".to_owned()),
    };
    if a.len() > 4 {
        return Err(format!("too many slice indexes: {}", a.len() - 1));
    }
    if a.len() == 4 && matches!(a.first(), Some(Value::Text(_))) {
        return Err("cannot 3-index slice a string".to_owned());
    }
    let from = a.get(1).map_or(Ok(0), |index| place(index, length))?;
    let to = a.get(2).map_or(Ok(length), |index| place(index, length))?;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match a.first() {
        Some(Value::List(items)) => Ok(Value::List(Rc::new(items[from..to].to_vec()))),
        _ => {
            let bytes = text_at(a, 0).as_bytes()[from..to].to_vec();
            scope.claim(bytes.len())?;
            Ok(Value::text(lossy(bytes)))
        }
    }
}

/// `fmt.Sprint`: blanks only between two arguments that are both no text.
fn sprint(a: &[Value<'_>]) -> String {
    let mut out = String::new();
    for (i, value) in a.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| a.get(i));
        let text = |value: &Value<'_>| matches!(value, Value::Text(_));
        if before.is_some_and(|before| !text(before) && !text(value)) {
            out.push(' ');
        }
        value.print_inside(&mut out);
    }
    out
}

pub(super) fn print<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let text = sprint(a);
    scope.claim(text.len())?;
    Ok(Value::text(text))
}

pub(super) fn println<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let texts: Vec<String> = a.iter().map(shown).collect();
    let text = texts.join(" ") + "\n";
    scope.claim(text.len())?;
    Ok(Value::text(text))
}

pub(super) fn printf<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let text = printf::sprintf(text_at(a, 0), a.get(1..).unwrap_or_default(), scope.room)?;
    scope.claim(text.len())?;
    Ok(Value::text(text))
}

/// The text that an escaping function works on.
fn joined(a: &[Value<'_>]) -> String {
    match a {
        [Value::Text(text)] => text.to_string(),
        _ => sprint(a),
    }
}

fn escaped<'r>(scope: &mut Scope<'r>, a: &[Value<'r>], escape: impl Fn(char, &mut String)) -> Result<'r> {
    let mut out = String::new();
    joined(a).chars().for_each(|c| escape(c, &mut out));
    scope.claim(out.len())?;
    Ok(Value::text(out))
}

pub(super) fn html<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    escaped(scope, a, |c, out| match c {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '&' => out.push_str("&amp;"),
        '"' => out.push_str("&#34;"),
        '\'' => out.push_str("&#39;"),
        '\0' => out.push('\u{fffd}'),
        _ => out.push(c),
    })
}

pub(super) fn js<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    escaped(scope, a, |c, out| match c {
        '\\' => out.push_str("\\\\"),
        '\'' => out.push_str("\\'"),
        '"' => out.push_str("\\\""),
        '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
        c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
        _ => out.push(c),
    })
}

pub(super) fn urlquery<'r>(scope: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    let text = query_escape(&joined(a));
    scope.claim(text.len())?;
    Ok(Value::text(text))
}

/// There are no values that could be called.
pub(super) fn call<'r>(_: &mut Scope<'r>, a: &[Value<'r>]) -> Result<'r> {
    match a.first() {
        Some(Value::Nil) | None => Err("call of nil".to_owned()),
        Some(other) => Err(format!("non-function of type {}", other.type_name())),
    }
}
