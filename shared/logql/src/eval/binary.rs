//! `left op right`: arithmetic, comparisons and set operations between numbers and vectors.

use std::collections::{HashMap, HashSet};

use model::Labels;

use super::grouping::{GroupingKey, reduce};
use super::table::{Interner, Table};
use crate::Error;
use crate::ast::{BinaryOp, BinaryOperation, Cardinality, Grouping, VectorMatching};

/// Two numbers. Comparisons give 1 or 0, with or without `bool`.
pub(super) fn numbers(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        // Unlike in Prometheus a division by zero is never infinite.
        BinaryOp::Divide if right == 0.0 => f64::NAN,
        BinaryOp::Modulo if right == 0.0 => f64::NAN,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => left.powf(right),
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::GreaterOrEqual => truth(left >= right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::LessOrEqual => truth(left <= right),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => f64::NAN,
    }
}

fn is_comparison(op: BinaryOp) -> bool {
    use BinaryOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    matches!(op, Equal | NotEqual | Greater | GreaterOrEqual | Less | LessOrEqual)
}

/// A pair of values; none if a comparison without `bool` filters it out, and then what stays is `kept`.
fn pair(operation: &BinaryOperation, left: f64, right: f64, kept: f64) -> Option<f64> {
    let result = numbers(operation.op, left, right);
    if is_comparison(operation.op) && !operation.return_bool {
        return (result == 1.0).then_some(kept);
    }
    Some(result)
}

/// A vector on the left, a number on the right. The labels stay.
pub(super) fn vector_number(operation: &BinaryOperation, left: Table, right: f64) -> Table {
    left.filter_map(|value| pair(operation, value, right, value))
}

/// A number on the left, a vector on the right. A comparison that filters keeps the vector's values.
pub(super) fn number_vector(operation: &BinaryOperation, left: f64, right: Table) -> Table {
    right.filter_map(|value| pair(operation, left, value, value))
}

/// Two vectors.
pub(super) fn vectors(operation: &BinaryOperation, left: Table, right: Table) -> Result<Table, Error> {
    let matching = operation.matching.as_ref();
    let mut signatures = Interner::default();
    let left_signatures = sign(&left, matching, &mut signatures);
    let right_signatures = sign(&right, matching, &mut signatures);
    match operation.op {
        BinaryOp::And | BinaryOp::Unless => {
            let wanted = operation.op == BinaryOp::And;
            Ok(intersect(left, &left_signatures, &right, &right_signatures, wanted))
        }
        BinaryOp::Or => Ok(unite(left, &left_signatures, right, &right_signatures)),
        _ => {
            let sides = Sides::new(operation, &left, &right, left_signatures, right_signatures);
            sides.join(signatures.labels.len())
        }
    }
}

/// The number of each label set's signature: the labels on which the sides must agree.
fn sign(table: &Table, matching: Option<&VectorMatching>, signatures: &mut Interner) -> Vec<u32> {
    let key = matching.map(|m| GroupingKey::new(Some(&Grouping { without: !m.on, labels: m.labels.clone() })));
    let of = |labels: &Labels| key.as_ref().map_or_else(|| labels.clone(), |key| reduce(labels, key));
    table.labels.iter().map(|labels| signatures.index(of(labels))).collect()
}

/// Keeps the samples on the left for which there is one on the right, or for which there is none.
fn intersect(mut left: Table, left_signs: &[u32], right: &Table, right_signs: &[u32], wanted: bool) -> Table {
    for (step, others) in left.steps.iter_mut().zip(&right.steps) {
        let present: HashSet<u32> = others.iter().map(|(label, _)| right_signs[*label as usize]).collect();
        step.retain(|(label, _)| present.contains(&left_signs[*label as usize]) == wanted);
    }
    left
}

/// All samples on the left, and those on the right that have none on the left.
fn unite(mut left: Table, left_signs: &[u32], right: Table, right_signs: &[u32]) -> Table {
    let mut interner = Interner::default();
    let mut renumber = |table: &Table| table.labels.iter().map(|l| interner.index(l.clone())).collect::<Vec<u32>>();
    let (left_labels, right_labels) = (renumber(&left), renumber(&right));
    for (step, others) in left.steps.iter_mut().zip(&right.steps) {
        let present: HashSet<u32> = step.iter().map(|(label, _)| left_signs[*label as usize]).collect();
        step.iter_mut().for_each(|(label, _)| *label = left_labels[*label as usize]);
        let missing = others.iter().filter(|(label, _)| !present.contains(&right_signs[*label as usize]));
        step.extend(missing.map(|(label, value)| (right_labels[*label as usize], *value)));
    }
    left.labels = interner.labels;
    left
}

const DUPLICATE_RIGHT: &str = "found duplicate series on the right hand-side;many-to-many matching not allowed: \
    matching labels must be unique on one side";
const DUPLICATE_LEFT: &str = "found duplicate series on the left hand-side;many-to-many matching not allowed: \
    matching labels must be unique on one side";
const MANY_TO_ONE: &str = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
const NOT_UNIQUE: &str = "multiple matches for labels: grouping labels must ensure unique matches";

/// The two vectors of an arithmetic operation or comparison; `many` is the left one but for `group_right`.
struct Sides<'a> {
    operation: &'a BinaryOperation,
    swapped: bool,
    many: &'a Table,
    one: &'a Table,
    many_signs: Vec<u32>,
    one_signs: Vec<u32>,
}

impl<'a> Sides<'a> {
    fn new(
        operation: &'a BinaryOperation,
        left: &'a Table,
        right: &'a Table,
        left_signs: Vec<u32>,
        right_signs: Vec<u32>,
    ) -> Self {
        let swapped = operation.matching.as_ref().is_some_and(|m| m.cardinality == Cardinality::OneToMany);
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        let (many_signs, one_signs) = if swapped { (right_signs, left_signs) } else { (left_signs, right_signs) };
        Sides { operation, swapped, many, one, many_signs, one_signs }
    }

    fn join(&self, signatures: usize) -> Result<Table, Error> {
        let mut results = Interner::default();
        let mut known: HashMap<(u32, u32), u32> = HashMap::new();
        let mut steps = Vec::with_capacity(self.many.steps.len());
        let mut partner = vec![None; signatures];
        for (many, one) in self.many.steps.iter().zip(&self.one.steps) {
            partner.fill(None);
            for sample in one {
                let duplicate = partner[self.one_signs[sample.0 as usize] as usize].replace(*sample);
                if duplicate.is_some() {
                    return Err(Error::pipeline(if self.swapped { DUPLICATE_LEFT } else { DUPLICATE_RIGHT }));
                }
            }
            let mut met = HashSet::new();
            let mut step = Vec::with_capacity(many.len());
            for (label, value) in many {
                let sign = self.many_signs[*label as usize];
                let Some((other, other_value)) = partner[sign as usize] else { continue };
                let result = *known.entry((*label, other)).or_insert_with(|| results.index(self.labels(*label, other)));
                if !met.insert(if self.one_to_one() { sign } else { result }) {
                    return Err(Error::pipeline(if self.one_to_one() { MANY_TO_ONE } else { NOT_UNIQUE }));
                }
                let (left, right) = if self.swapped { (other_value, *value) } else { (*value, other_value) };
                step.extend(pair(self.operation, left, right, left).map(|value| (result, value)));
            }
            steps.push(step);
        }
        Ok(Table { labels: results.labels, steps })
    }

    fn one_to_one(&self) -> bool {
        self.operation.matching.as_ref().is_none_or(|m| m.cardinality == Cardinality::OneToOne)
    }

    /// The labels of a result.
    fn labels(&self, many: u32, one: u32) -> Labels {
        let many = &self.many.labels[many as usize];
        let empty = || many.iter().filter(|(_, value)| value.is_empty());
        if self.operation.matching.is_none() && empty().next().is_none() {
            return many.clone();
        }
        let mut builder = many.to_builder();
        // A result is built anew, and what is built has no empty labels.
        for (name, _) in empty() {
            builder.remove(name);
        }
        let Some(matching) = &self.operation.matching else { return builder.build() };
        if self.one_to_one() {
            for (name, _) in many.iter().filter(|(name, _)| matching.labels.iter().any(|l| l == name) != matching.on) {
                builder.remove(name);
            }
        }
        let one = &self.one.labels[one as usize];
        for name in &matching.include {
            match one.get(name).filter(|value| !value.is_empty()) {
                Some(value) => builder.set(name, value),
                None => builder.remove(name),
            };
        }
        builder.build()
    }
}
