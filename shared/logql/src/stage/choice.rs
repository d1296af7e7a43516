//! `| drop a, b="x"` and `| keep a, b="x"`: which labels stay.

use crate::Error;
use crate::ast::{self, LabelChoice};
use crate::labels::{ERROR, ERROR_DETAILS, LineLabels};
use crate::matcher::CompiledMatcher;

/// The items of a `drop` or a `keep`.
#[derive(Debug)]
pub(crate) struct Choices(Vec<Choice>);

#[derive(Debug)]
enum Choice {
    Name(String),
    Matcher(CompiledMatcher),
}

impl Choices {
    pub(crate) fn new(items: &[ast::LabelChoice]) -> Result<Self, Error> {
        let compile = |item: &LabelChoice| match item {
            LabelChoice::Name(name) => Ok(Choice::Name(name.clone())),
            LabelChoice::Matcher(matcher) => CompiledMatcher::new(matcher).map(Choice::Matcher),
        };
        items.iter().map(compile).collect::<Result<_, _>>().map(Choices)
    }

    /// Takes the chosen labels away.
    pub(crate) fn drop_from(&self, labels: &mut LineLabels<'_>) {
        for choice in &self.0 {
            let name = match choice {
                Choice::Name(name) => name.as_str(),
                Choice::Matcher(matcher) => {
                    let value = labels.get(matcher.name()).unwrap_or_default();
                    if !matcher.matches(value) {
                        continue;
                    }
                    matcher.name()
                }
            };
            match name {
                ERROR => labels.clear_error(),
                ERROR_DETAILS => labels.clear_error_details(),
                _ => labels.remove(name),
            }
        }
    }

    /// Takes all other labels away.
    pub(crate) fn keep_in(&self, labels: &mut LineLabels<'_>) {
        labels.retain(|name, value| {
            self.0.iter().any(|choice| match choice {
                Choice::Name(wanted) => wanted == name,
                Choice::Matcher(matcher) => matcher.name() == name && matcher.matches(value),
            })
        });
    }
}
