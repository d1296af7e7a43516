//! `| regexp "(?P<name>…)"`: the named groups of the first match become labels.

use regex::{CaptureLocations, Regex};

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

    pub(crate) fn process(&self, line: &str, labels: &mut LineLabels<'_>, groups: &mut Groups) {
        let groups = groups.of(self);
        if self.regex.captures_read(groups, line).is_none() {
            return;
        }
        for (i, name) in &self.groups {
            let value = groups.get(*i).and_then(|(from, to)| line.get(from..to)).unwrap_or_default();
            labels.extract(Prefix::NONE, name, value);
        }
    }
}

/// Where the groups of the expression that ran last were found: used again for each line.
#[derive(Debug, Default)]
pub(crate) struct Groups(Option<(usize, CaptureLocations)>);

impl Groups {
    /// Those of a stage, which is known by its address: stages do not move while lines run through them.
    fn of(&mut self, stage: &Regexp) -> &mut CaptureLocations {
        let address = std::ptr::from_ref(stage) as usize;
        let known = self.0.take().filter(|(owner, _)| *owner == address);
        &mut self.0.insert(known.unwrap_or_else(|| (address, stage.regex.capture_locations()))).1
    }
}
