//! `| regexp "(?P<name>…)"`: the named groups of the first match become labels.

use regex::Regex;

use crate::Error;
use crate::labels::{LineLabels, Prefix};
use crate::regexp;

/// A compiled expression and the names of its groups.
#[derive(Debug)]
pub(crate) struct Regexp {
    regex: Regex,
    groups: Vec<(usize, String)>,
}

impl Regexp {
    pub(crate) fn new(pattern: &str) -> Result<Self, Error> {
        let regex = regexp::compile(pattern).map_err(Error::invalid)?;
        let named = regex.capture_names().enumerate().filter_map(|(i, name)| Some((i, name?.to_owned())));
        let groups: Vec<(usize, String)> = named.collect();
        if groups.is_empty() {
            return Err(Error::invalid("invalid regexp parser: at least one named capture must be supplied"));
        }
        Ok(Regexp { regex, groups })
    }

    pub(crate) fn process(&self, line: &str, labels: &mut LineLabels<'_>) {
        let Some(captures) = self.regex.captures(line) else { return };
        for (i, name) in &self.groups {
            let value = captures.get(*i).map_or("", |group| group.as_str());
            labels.extract(Prefix::NONE, name, value);
        }
    }
}
