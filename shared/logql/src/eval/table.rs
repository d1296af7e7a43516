//! What an expression gives at every step: vectors over a shared list of label sets.
//!
//! Work on labels (grouping, matching, replacing) is done once a label set, work on values once a sample.

use std::collections::HashMap;

use model::{Labels, Series};

use super::Steps;

/// A vector per step.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// The label sets that the samples point at.
    pub(super) labels: Vec<Labels>,
    /// Per step, samples as index into `labels` and value. Their order matters for ties and for `sort`.
    pub(super) steps: Vec<Vec<(u32, f64)>>,
}

impl Table {
    /// A leaf's series; points that lie on no step are left out.
    pub(super) fn from_series(series: Vec<Series>, steps: Steps) -> Self {
        let mut table = Table { labels: Vec::with_capacity(series.len()), steps: vec![Vec::new(); steps.count()] };
        for one in series {
            let index = index(table.labels.len());
            let mut step = 0;
            for point in one.points {
                while step < table.steps.len() && steps.at_ms(step) < point.timestamp_ms {
                    step += 1;
                }
                if step < table.steps.len() && steps.at_ms(step) == point.timestamp_ms {
                    table.steps[step].push((index, point.value));
                }
            }
            table.labels.push(one.labels);
        }
        table
    }

    /// The same sample without labels at every step.
    pub(super) fn constant(value: f64, steps: Steps) -> Self {
        Table { labels: vec![Labels::default()], steps: vec![vec![(0, value)]; steps.count()] }
    }

    /// Changes each value, or drops the sample.
    pub(super) fn filter_map(mut self, change: impl Fn(f64) -> Option<f64>) -> Self {
        for step in &mut self.steps {
            step.retain_mut(|(_, value)| change(*value).map(|changed| *value = changed).is_some());
        }
        self
    }

    /// Gives each sample other labels; sets that become equal share an index.
    pub(super) fn relabel(mut self, change: impl Fn(&Labels) -> Labels) -> Self {
        let mut interner = Interner::default();
        let indexes: Vec<u32> = self.labels.iter().map(|labels| interner.index(change(labels))).collect();
        for (label, _) in self.steps.iter_mut().flatten() {
            *label = indexes[*label as usize];
        }
        self.labels = interner.labels;
        self
    }
}

/// A list index as it is stored in samples.
pub(super) fn index(at: usize) -> u32 {
    u32::try_from(at).expect("memory ends long before four billion label sets")
}

/// Numbers label sets in the order in which they are met.
#[derive(Debug, Default)]
pub(super) struct Interner {
    known: HashMap<Labels, u32>,
    pub(super) labels: Vec<Labels>,
}

impl Interner {
    pub(super) fn index(&mut self, labels: Labels) -> u32 {
        let next = index(self.labels.len());
        let found = *self.known.entry(labels.clone()).or_insert(next);
        if found == next {
            self.labels.push(labels);
        }
        found
    }
}
