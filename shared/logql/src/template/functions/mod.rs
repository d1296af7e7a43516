//! The functions that templates may call: Loki's own, those that it takes from sprig, and Go's.
//!
//! Each states what it takes, as Go's signatures do; a value of another type is an error. No function does more work than
//! the scope has room for.

mod builtin;
mod clock;
mod number;
mod text;

use std::borrow::Cow;
use std::collections::HashMap;

use regex::Regex;

use super::Context;
use super::value::Value;

/// What functions may ask, and how much they may still make.
pub(super) struct Scope<'r> {
    pub(super) context: &'r dyn Context,
    /// Bytes that may still be made in this rendering.
    pub(super) room: usize,
    /// Expressions that stand in the template as text, compiled once.
    pub(super) regexes: &'r HashMap<String, Regex>,
}

impl Scope<'_> {
    /// Takes room for a text before it is made.
    fn claim(&mut self, bytes: usize) -> Result<(), String> {
        self.room = self.room.checked_sub(bytes).ok_or("output is too long")?;
        Ok(())
    }

    /// An expression of the template, or one that an entry brought.
    fn regex(&self, pattern: &str) -> Result<Cow<'_, Regex>, String> {
        match self.regexes.get(pattern) {
            Some(regex) => Ok(Cow::Borrowed(regex)),
            None => crate::regexp::compile(pattern).map(Cow::Owned),
        }
    }
}

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Any,
    Text,
    Int,
    Float,
    Time,
}

type Call = for<'r> fn(&mut Scope<'r>, &[Value<'r>]) -> Result<Value<'r>, String>;

/// A function of the template language.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// What must be there.
    pub(super) parameters: &'static [Type],
    /// What may follow any number of times.
    pub(super) rest: Option<Type>,
    pub(super) call: Call,
}

impl Function {
    /// The type of the argument at a place; none if there may be no such argument.
    pub(super) fn parameter(&self, at: usize) -> Option<Type> {
        self.parameters.get(at).copied().or(self.rest)
    }
}

const fn plain(name: &'static str, parameters: &'static [Type], call: Call) -> Function {
    Function { name, parameters, rest: None, call }
}

const fn variadic(name: &'static str, parameters: &'static [Type], rest: Type, call: Call) -> Function {
    Function { name, parameters, rest: Some(rest), call }
}

/// The function of that name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Whether the first argument is a regular expression.
pub(super) fn takes_regex(name: &str) -> bool {
    matches!(name, "regexReplaceAll" | "regexReplaceAllLiteral" | "count")
}

use Type::{Any, Float, Int, Text, Time};

static FUNCTIONS: &[Function] = &[
    // The entry.
    plain("__line__", &[], clock::line),
    plain("__timestamp__", &[], clock::timestamp),
    // Loki's first functions, named as in Go.
    plain("ToLower", &[Text], text::lower),
    plain("ToUpper", &[Text], text::upper),
    plain("Replace", &[Text, Text, Text, Int], text::replace_some),
    plain("Trim", &[Text, Text], text::trim_of),
    plain("TrimLeft", &[Text, Text], text::trim_left_of),
    plain("TrimRight", &[Text, Text], text::trim_right_of),
    plain("TrimPrefix", &[Text, Text], text::trim_prefix_of),
    plain("TrimSuffix", &[Text, Text], text::trim_suffix_of),
    plain("TrimSpace", &[Text], text::trim),
    plain("regexReplaceAll", &[Text, Text, Text], text::regex_replace),
    plain("regexReplaceAllLiteral", &[Text, Text, Text], text::regex_replace_literal),
    plain("count", &[Text, Text], text::count),
    plain("urldecode", &[Text], text::urldecode),
    plain("urlencode", &[Text], text::urlencode),
    plain("bytes", &[Text], number::bytes),
    plain("duration", &[Text], number::duration),
    plain("duration_seconds", &[Text], number::duration),
    plain("unixEpochMillis", &[Time], clock::epoch_millis),
    plain("unixEpochNanos", &[Time], clock::epoch_nanos),
    plain("toDateInZone", &[Text, Text, Text], clock::to_date_in_zone),
    plain("unixToTime", &[Text], clock::unix_to_time),
    plain("alignLeft", &[Int, Text], text::align_left),
    plain("alignRight", &[Int, Text], text::align_right),
    // What Loki takes from sprig.
    plain("b64enc", &[Text], text::b64enc),
    plain("b64dec", &[Text], text::b64dec),
    plain("lower", &[Text], text::lower),
    plain("upper", &[Text], text::upper),
    plain("title", &[Text], text::title),
    plain("trunc", &[Int, Text], text::trunc),
    plain("substr", &[Int, Int, Text], text::substr),
    plain("contains", &[Text, Text], text::contains),
    plain("hasPrefix", &[Text, Text], text::has_prefix),
    plain("hasSuffix", &[Text, Text], text::has_suffix),
    plain("indent", &[Int, Text], text::indent),
    plain("nindent", &[Int, Text], text::nindent),
    plain("replace", &[Text, Text, Text], text::replace),
    plain("repeat", &[Int, Text], text::repeat),
    plain("trim", &[Text], text::trim),
    plain("trimAll", &[Text, Text], text::trim_all),
    plain("trimPrefix", &[Text, Text], text::trim_prefix),
    plain("trimSuffix", &[Text, Text], text::trim_suffix),
    plain("int", &[Any], number::int),
    plain("float64", &[Any], number::float64),
    variadic("add", &[], Any, number::add),
    plain("sub", &[Any, Any], number::sub),
    variadic("mul", &[Any], Any, number::mul),
    plain("div", &[Any, Any], number::div),
    plain("mod", &[Any, Any], number::modulo),
    variadic("addf", &[], Any, number::addf),
    variadic("subf", &[Any], Any, number::subf),
    variadic("mulf", &[Any], Any, number::mulf),
    variadic("divf", &[Any], Any, number::divf),
    variadic("max", &[Any], Any, number::max),
    variadic("min", &[Any], Any, number::min),
    variadic("maxf", &[Any], Any, number::maxf),
    variadic("minf", &[Any], Any, number::minf),
    plain("ceil", &[Any], number::ceil),
    plain("floor", &[Any], number::floor),
    variadic("round", &[Any, Int], Float, number::round),
    plain("fromJson", &[Text], text::from_json),
    plain("date", &[Text, Any], clock::date),
    plain("toDate", &[Text, Text], clock::to_date),
    plain("now", &[], clock::now),
    plain("unixEpoch", &[Time], clock::epoch),
    variadic("default", &[Any], Any, builtin::default),
    // Go's own. `and` and `or` stop early, so the renderer calls them itself.
    variadic("and", &[Any], Any, builtin::last),
    variadic("or", &[Any], Any, builtin::last),
    plain("not", &[Any], builtin::not),
    variadic("eq", &[Any], Any, builtin::eq),
    plain("ne", &[Any, Any], builtin::ne),
    plain("lt", &[Any, Any], builtin::lt),
    plain("le", &[Any, Any], builtin::le),
    plain("gt", &[Any, Any], builtin::gt),
    plain("ge", &[Any, Any], builtin::ge),
    plain("len", &[Any], builtin::len),
    variadic("index", &[Any], Any, builtin::index),
    variadic("slice", &[Any], Any, builtin::slice),
    variadic("print", &[], Any, builtin::print),
    variadic("printf", &[Text], Any, builtin::printf),
    variadic("println", &[], Any, builtin::println),
    variadic("html", &[], Any, builtin::html),
    variadic("js", &[], Any, builtin::js),
    variadic("urlquery", &[], Any, builtin::urlquery),
    variadic("call", &[Any], Any, builtin::call),
];

/// The text at a place; the signature has made sure that it is one.
fn text_at<'v>(arguments: &'v [Value<'_>], at: usize) -> &'v str {
    match arguments.get(at) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// The whole number at a place; the signature has made sure that it is one.
fn int_at(arguments: &[Value<'_>], at: usize) -> i64 {
    arguments.get(at).and_then(Value::whole).unwrap_or(0)
}
