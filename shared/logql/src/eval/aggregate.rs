//! Aggregations over series: `sum by (x) (…)` and its kin, step by step.

use std::cmp::Ordering;

use super::grouping::{GroupingKey, reduce};
use super::table::{Interner, Table};
use crate::ast::{VectorAggregation, VectorOp};

/// Aggregates each step's vector on its own.
pub(super) fn aggregate(aggregation: &VectorAggregation, inner: Table) -> Table {
    let key = GroupingKey::new(aggregation.grouping.as_ref());
    let mut groups = Interner::default();
    let group_of: Vec<u32> = inner.labels.iter().map(|labels| groups.index(reduce(labels, &key))).collect();
    match aggregation.op {
        VectorOp::Sort | VectorOp::SortDesc => sort(inner, aggregation.op == VectorOp::SortDesc),
        VectorOp::Topk | VectorOp::ApproxTopk | VectorOp::Bottomk => {
            let keep = usize::try_from(aggregation.parameter.unwrap_or(1)).unwrap_or(usize::MAX);
            choose(inner, &group_of, groups.labels.len(), keep, aggregation.op != VectorOp::Bottomk)
        }
        op => {
            let mut found = vec![None; groups.labels.len()];
            let steps = inner.steps.iter().map(|step| combine(op, step, &group_of, &mut found)).collect();
            Table { labels: groups.labels, steps }
        }
    }
}

/// One group's running aggregate.
#[derive(Debug, Clone, Copy)]
struct Group {
    count: f64,
    /// Sum, minimum, maximum or squared deviations, as the operation says.
    value: f64,
    mean: f64,
}

/// Aggregates one vector; `found` is scratch, empty before and after. Groups come in the order of their first sample.
fn combine(op: VectorOp, step: &[(u32, f64)], group_of: &[u32], found: &mut [Option<Group>]) -> Vec<(u32, f64)> {
    let mut order = Vec::new();
    for (label, value) in step {
        let group = group_of[*label as usize];
        match &mut found[group as usize] {
            Some(running) => running.add(op, *value),
            empty => {
                let spread = matches!(op, VectorOp::Stddev | VectorOp::Stdvar);
                *empty = Some(Group { count: 1.0, value: if spread { 0.0 } else { *value }, mean: *value });
                order.push(group);
            }
        }
    }
    let mut take = |group: u32| found[group as usize].take().map(|running| (group, running.result(op)));
    order.into_iter().filter_map(&mut take).collect()
}

impl Group {
    fn add(&mut self, op: VectorOp, value: f64) {
        self.count += 1.0;
        match op {
            VectorOp::Min if self.value > value || self.value.is_nan() => self.value = value,
            VectorOp::Max if self.value < value || self.value.is_nan() => self.value = value,
            VectorOp::Stddev | VectorOp::Stdvar => {
                let delta = value - self.mean;
                self.mean += delta / self.count;
                self.value += delta * (value - self.mean);
            }
            VectorOp::Sum | VectorOp::Avg => self.value += value,
            _ => {}
        }
    }

    fn result(&self, op: VectorOp) -> f64 {
        match op {
            VectorOp::Count => self.count,
            VectorOp::Avg => self.value / self.count,
            VectorOp::Stddev => (self.value / self.count).sqrt(),
            VectorOp::Stdvar => self.value / self.count,
            _ => self.value,
        }
    }
}

/// From the best value to the worst; NaN is worst either way.
fn by_rank(a: f64, b: f64, largest_first: bool) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then_with(|| {
        let ascending = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
        if largest_first { ascending.reverse() } else { ascending }
    })
}

/// Orders each vector by value.
fn sort(mut inner: Table, largest_first: bool) -> Table {
    for step in &mut inner.steps {
        step.sort_by(|a, b| by_rank(a.1, b.1, largest_first));
    }
    inner
}

/// Keeps the `keep` best samples of each group with all their labels. Which of equals stay is decided by a heap that works
/// as Go's does, so that ties fall as they do in Loki.
fn choose(mut inner: Table, group_of: &[u32], groups: usize, keep: usize, largest_first: bool) -> Table {
    let mut heaps = vec![Vec::new(); groups];
    for step in &mut inner.steps {
        for sample in step.drain(..) {
            let heap = &mut heaps[group_of[sample.0 as usize] as usize];
            let worst: Option<(u32, f64)> = heap.first().copied();
            if heap.len() < keep {
                heap_push(heap, sample, largest_first);
            } else if worst.is_some_and(|worst| worst.1.is_nan() || by_rank(sample.1, worst.1, largest_first).is_lt()) {
                heap_pop(heap, largest_first);
                heap_push(heap, sample, largest_first);
            }
        }
        for heap in &mut heaps {
            heap.sort_by(|a, b| by_rank(a.1, b.1, largest_first));
            step.append(heap);
        }
    }
    inner
}

/// Whether the first is to leave the heap before the second.
fn leaves_first(a: (u32, f64), b: (u32, f64), largest_first: bool) -> bool {
    a.1.is_nan() || by_rank(a.1, b.1, largest_first).is_gt()
}

fn heap_push(heap: &mut Vec<(u32, f64)>, sample: (u32, f64), largest_first: bool) {
    heap.push(sample);
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !leaves_first(heap[at], heap[parent], largest_first) {
            break;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

fn heap_pop(heap: &mut Vec<(u32, f64)>, largest_first: bool) {
    let last = heap.len() - 1;
    heap.swap(0, last);
    heap.truncate(last);
    let mut at = 0;
    loop {
        let (left, right) = (2 * at + 1, 2 * at + 2);
        if left >= last {
            break;
        }
        let right_first = right < last && leaves_first(heap[right], heap[left], largest_first);
        let child = if right_first { right } else { left };
        if !leaves_first(heap[child], heap[at], largest_first) {
            break;
        }
        heap.swap(at, child);
        at = child;
    }
}
