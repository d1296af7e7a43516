//! The protocol of writing, reading, merging and collecting as a model, with every order of its steps and a crash after each.
//!
//! Writers send the same batch again, whether or not it was acknowledged; two mergers race; a collector of garbage deletes one object
//! at a time and may sleep between any two; a reader takes a listing, then a manifest, then the objects. The store has strong listing
//! and create-if-absent. Invariant: every query finds each batch that was acknowledged before it began, exactly once. A batch that is
//! sent again after its object was collected lies in two objects; there the rule that equal entries count once takes over.
//!
//! Four protocols that lack one piece each must fail, or the model would prove nothing.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker, HasDiscoveries, Model, Property};

/// Batches are the bits of a set.
type Set = u8;
const BATCHES: Set = 2;

/// The protocol, and what of it may be missing.
#[derive(Clone, Copy)]
struct Protocol {
    /// How often each batch is sent.
    sends: [u8; BATCHES as usize],
    mergers: usize,
    versions_max: u8,
    /// What was current stays until every query that may need it has ended.
    grace: bool,
    /// The name of a merged segment carries the version that is to introduce it.
    names_carry_version: bool,
    /// The store refuses the second create of a key.
    create_if_absent: bool,
    /// A manifest names a consumed segment for a grace after its object is gone.
    names_stay: bool,
}

/// A merged segment's name: what it holds, and for which version it was written.
type Name = (Set, u8);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Manifest {
    segments: BTreeSet<Name>,
    /// By batch: the version that consumed it; 0 if none.
    consumed: [u8; BATCHES as usize],
    /// By consumed batch: the version whose author found its object gone; 0 if none. The name is forgotten only a grace later, since a
    /// listing is no single moment: it may show an object that is gone when it comes to the manifest.
    gone: [u8; BATCHES as usize],
    dropped: BTreeMap<Name, u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Merger {
    Idle,
    Listed { version: u8, fresh: Set },
    Written { version: u8, next: Manifest },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reader {
    Idle,
    Listed { must: Set, began: u8, fresh: Set },
    Named { must: Set, began: u8, fresh: Set, version: u8 },
    Planned { must: Set, began: u8, fresh: Set, segments: BTreeSet<Name> },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Object {
    Fresh(u8),
    Merged(Name),
    Manifest(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wrong {
    Lost,
    Doubled,
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    fresh: Set,
    merged: BTreeSet<Name>,
    manifests: BTreeMap<u8, Manifest>,
    sends_left: [u8; BATCHES as usize],
    stored: Set,
    acknowledged: Set,
    collected: Set,
    sent_after_collection: Set,
    mergers: Vec<Merger>,
    /// What the collector has still to delete.
    deletes: Option<BTreeSet<Object>>,
    reader: Reader,
    wrong: Option<Wrong>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Put(u8),
    Acknowledge(u8),
    List(usize),
    /// All fresh segments, and if so wanted all merged ones too.
    Write(usize, bool),
    Commit(usize),
    Crash(usize),
    Look,
    Delete(Object),
    StopDeleting,
    Ask,
    NameManifest,
    ReadManifest,
    Answer,
}

fn batches(set: Set) -> impl Iterator<Item = u8> {
    (0..BATCHES).filter(move |batch| set & 1 << batch != 0)
}

impl World {
    fn newest(&self) -> (u8, Manifest) {
        self.manifests.last_key_value().map(|(version, manifest)| (*version, manifest.clone())).unwrap_or_default()
    }

    /// The version that was the newest when the running query began.
    fn query_began(&self) -> Option<u8> {
        match &self.reader {
            Reader::Idle => None,
            Reader::Listed { began, .. } | Reader::Named { began, .. } | Reader::Planned { began, .. } => Some(*began),
        }
    }
}

impl Protocol {
    /// What a merge of what was listed would commit, and its output; none if there is nothing to merge or an input is gone.
    fn plan(&self, world: &World, version: u8, fresh: Set, also_merged: bool) -> Option<(Name, Manifest)> {
        let manifest = if version == 0 { Manifest::default() } else { world.manifests.get(&version)?.clone() };
        let inputs: Vec<u8> = batches(fresh).filter(|batch| manifest.consumed[*batch as usize] == 0).collect();
        let merged = if also_merged { manifest.segments.clone() } else { BTreeSet::new() };
        let enough = if also_merged { merged.len() + inputs.len() > 1 } else { !inputs.is_empty() };
        let there = inputs.iter().all(|batch| world.fresh & 1 << batch != 0) && merged.is_subset(&world.merged);
        if !enough || !there || version >= self.versions_max {
            return None;
        }
        let born = if self.names_carry_version { version + 1 } else { 0 };
        let content = inputs.iter().fold(0, |set, batch| set | 1 << batch);
        let output = (merged.iter().fold(content, |set, (content, _)| set | content), born);
        let mut next = manifest;
        for batch in 0..BATCHES as usize {
            let (is_listed, gone) = (fresh & 1 << batch != 0, next.gone[batch]);
            if is_listed || next.consumed[batch] == 0 {
                next.gone[batch] = 0;
            } else if gone == 0 && self.names_stay {
                next.gone[batch] = version + 1;
            } else if !self.names_stay || self.may_forget(world, batch as u8, gone) {
                (next.consumed[batch], next.gone[batch]) = (0, 0);
            }
        }
        inputs.iter().for_each(|batch| next.consumed[*batch as usize] = version + 1);
        next.dropped.retain(|name, _| world.merged.contains(name));
        for name in merged {
            next.segments.remove(&name);
            next.dropped.insert(name, version + 1);
        }
        next.segments.insert(output);
        Some((output, next))
    }

    /// Whether the grace since a version has passed: no query runs that began before it.
    fn passed(&self, world: &World, since: u8) -> bool {
        !self.grace || world.query_began().is_none_or(|began| began >= since)
    }

    /// Whether a name that was found gone may be forgotten. A manifest names it for an hour; nobody who looked before that hour deletes
    /// for longer than some minutes, who looks within it does not delete it, and no listing takes so long as the rest.
    fn may_forget(&self, world: &World, batch: u8, gone: u8) -> bool {
        let listing = matches!(world.reader, Reader::Listed { .. });
        let deleting = world.deletes.as_ref().is_some_and(|deletes| deletes.contains(&Object::Fresh(batch)));
        self.passed(world, gone) && !listing && !deleting
    }

    /// What a collection would delete.
    fn garbage(&self, world: &World) -> BTreeSet<Object> {
        let (newest, manifest) = world.newest();
        let passed = |since: u8| self.passed(world, since);
        let mut garbage = BTreeSet::new();
        let consumed = |batch: &u8| manifest.consumed[*batch as usize];
        // One that was found gone and came again stays until a manifest has seen it again.
        let came_again = |batch: &u8| manifest.gone[*batch as usize] > 0;
        let fresh = batches(world.fresh)
            .filter(|batch| consumed(batch) > 0 && passed(consumed(batch)) && !(self.names_stay && came_again(batch)));
        garbage.extend(fresh.map(Object::Fresh));
        for name in world.merged.difference(&manifest.segments) {
            let due = match manifest.dropped.get(name) {
                Some(since) => passed(*since),
                None => name.1 <= newest,
            };
            if due {
                garbage.insert(Object::Merged(*name));
            }
        }
        let older = world.manifests.keys().filter(|version| **version < newest && passed(**version + 1));
        garbage.extend(older.map(|version| Object::Manifest(*version)));
        garbage
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            fresh: 0,
            merged: BTreeSet::new(),
            manifests: BTreeMap::new(),
            sends_left: self.sends,
            stored: 0,
            acknowledged: 0,
            collected: 0,
            sent_after_collection: 0,
            mergers: vec![Merger::Idle; self.mergers],
            deletes: None,
            reader: Reader::Idle,
            wrong: None,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.wrong.is_some() {
            return;
        }
        steps.extend((0..BATCHES).filter(|batch| world.sends_left[*batch as usize] > 0).map(Step::Put));
        steps.extend(batches(world.stored & !world.acknowledged).map(Step::Acknowledge));
        for (index, merger) in world.mergers.iter().enumerate() {
            match merger {
                Merger::Idle => steps.push(Step::List(index)),
                Merger::Listed { .. } => {
                    steps.extend([Step::Write(index, false), Step::Write(index, true), Step::Crash(index)]);
                }
                Merger::Written { .. } => steps.extend([Step::Commit(index), Step::Crash(index)]),
            }
        }
        match &world.deletes {
            None => steps.push(Step::Look),
            Some(deletes) => {
                steps.extend(deletes.iter().cloned().map(Step::Delete));
                steps.push(Step::StopDeleting);
            }
        }
        steps.push(match world.reader {
            Reader::Idle => Step::Ask,
            Reader::Listed { .. } => Step::NameManifest,
            Reader::Named { .. } => Step::ReadManifest,
            Reader::Planned { .. } => Step::Answer,
        });
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        match step {
            Step::Put(batch) => {
                let bit = 1 << batch;
                if world.fresh & bit == 0 && world.collected & bit != 0 {
                    world.sent_after_collection |= bit;
                }
                world.fresh |= bit;
                world.stored |= bit;
                world.sends_left[batch as usize] -= 1;
            }
            Step::Acknowledge(batch) => world.acknowledged |= 1 << batch,
            Step::List(_) | Step::Write(..) | Step::Commit(_) | Step::Crash(_) => self.merge(&mut world, step)?,
            Step::Look => {
                let garbage = self.garbage(&world);
                if garbage.is_empty() {
                    return None;
                }
                world.deletes = Some(garbage);
            }
            Step::Delete(object) => {
                match object {
                    Object::Fresh(batch) => {
                        world.fresh &= !(1 << batch);
                        world.collected |= 1 << batch;
                    }
                    Object::Merged(name) => world.merged.retain(|merged| *merged != name),
                    Object::Manifest(version) => world.manifests.retain(|manifest, _| *manifest != version),
                }
                let deletes = world.deletes.as_mut()?;
                deletes.remove(&object);
                if deletes.is_empty() {
                    world.deletes = None;
                }
            }
            Step::StopDeleting => world.deletes = None,
            Step::Ask | Step::NameManifest | Step::ReadManifest | Step::Answer => query(&mut world),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(INVARIANT, |_, world: &World| world.wrong.is_none()),
            Property::sometimes("segments are merged as often as may be", |model: &Protocol, world: &World| {
                world.manifests.contains_key(&model.versions_max)
            }),
            Property::sometimes("a batch comes again after its collection", |_, world: &World| {
                world.sent_after_collection != 0
            }),
            Property::sometimes("an older version is created anew", |_, world: &World| {
                let versions: Vec<u8> = world.manifests.keys().copied().collect();
                versions.windows(2).any(|pair| pair[0] + 1 < pair[1])
            }),
        ]
    }
}

impl Protocol {
    fn merge(&self, world: &mut World, step: Step) -> Option<()> {
        match step {
            Step::List(index) => {
                let version = world.newest().0;
                if version >= self.versions_max {
                    return None;
                }
                world.mergers[index] = Merger::Listed { version, fresh: world.fresh };
            }
            Step::Write(index, also_merged) => {
                let Merger::Listed { version, fresh } = world.mergers[index] else { return None };
                let (output, next) = self.plan(world, version, fresh, also_merged)?;
                world.merged.insert(output);
                world.mergers[index] = Merger::Written { version: version + 1, next };
            }
            Step::Commit(index) => {
                let merger = std::mem::replace(&mut world.mergers[index], Merger::Idle);
                let Merger::Written { version, next } = merger else { return None };
                if !self.create_if_absent || !world.manifests.contains_key(&version) {
                    world.manifests.insert(version, next);
                }
            }
            Step::Crash(index) => world.mergers[index] = Merger::Idle,
            _ => return None,
        }
        // Which merger is which makes no difference.
        world.mergers.sort();
        Some(())
    }
}

/// The next step of the query.
fn query(world: &mut World) {
    world.reader = match std::mem::replace(&mut world.reader, Reader::Idle) {
        Reader::Idle => Reader::Listed { must: world.acknowledged, began: world.newest().0, fresh: world.fresh },
        Reader::Listed { must, began, fresh } => Reader::Named { must, began, fresh, version: world.newest().0 },
        Reader::Named { must, began, fresh, version } => {
            let manifest =
                if version == 0 { Some(Manifest::default()) } else { world.manifests.get(&version).cloned() };
            let Some(Manifest { segments, consumed, .. }) = manifest else {
                world.wrong = Some(Wrong::Gone);
                return;
            };
            let left = batches(fresh).filter(|batch| consumed[*batch as usize] == 0);
            Reader::Planned { must, began, fresh: left.fold(0, |set, batch| set | 1 << batch), segments }
        }
        Reader::Planned { must, fresh, segments, .. } => {
            world.wrong = judge(world, must, fresh, &segments);
            Reader::Idle
        }
    };
}

/// What is wrong with an answer.
fn judge(world: &World, must: Set, fresh: Set, segments: &BTreeSet<Name>) -> Option<Wrong> {
    if fresh & !world.fresh != 0 || !segments.is_subset(&world.merged) {
        return Some(Wrong::Gone);
    }
    (0..BATCHES).find_map(|batch| {
        let bit = 1 << batch;
        let copies = usize::from(fresh & bit != 0) + segments.iter().filter(|(content, _)| content & bit != 0).count();
        match copies {
            0 if must & bit != 0 => Some(Wrong::Lost),
            0 | 1 => None,
            _ if world.sent_after_collection & bit != 0 => None,
            _ => Some(Wrong::Doubled),
        }
    })
}

const INVARIANT: &str = "each acknowledged entry is seen exactly once";
const WHOLE: Protocol = Protocol {
    sends: [1, 1],
    mergers: 2,
    versions_max: 2,
    grace: true,
    names_carry_version: true,
    create_if_absent: true,
    names_stay: true,
};

/// Goes through all states; these situations must be among them.
fn check(protocol: Protocol, situations: &[&'static str]) -> String {
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    checker.assert_no_discovery(INVARIANT);
    situations.iter().for_each(|situation| drop(checker.assert_any_discovery(situation)));
    let (all, unique) = (checker.state_count(), checker.unique_state_count());
    format!("{all} states, {unique} of them different, depth {}: the invariant held", checker.max_depth())
}

#[test]
fn two_mergers_race() {
    println!("two mergers: {}", check(WHOLE, &["segments are merged as often as may be"]));
}

#[test]
fn batches_are_sent_again() {
    let protocol = Protocol { sends: [2, 1], mergers: 1, versions_max: 3, ..WHOLE };
    println!("sent again: {}", check(protocol, &["a batch comes again after its collection"]));
}

/// A third version, so that a merger that slept can create the first anew after it was collected.
#[test]
#[ignore = "takes minutes: cargo test -p upkeep --test protocol -- --ignored --nocapture"]
fn two_mergers_race_for_long() {
    let protocol = Protocol { versions_max: 3, ..WHOLE };
    println!("for long: {}", check(protocol, &["an older version is created anew"]));
}

#[test]
fn a_protocol_that_lacks_a_piece_fails() {
    for (without, protocol) in [
        ("grace", Protocol { grace: false, ..WHOLE }),
        ("versions in names", Protocol { names_carry_version: false, ..WHOLE }),
        ("create-if-absent", Protocol { create_if_absent: false, ..WHOLE }),
        ("names that stay", Protocol { names_stay: false, versions_max: 3, ..WHOLE }),
    ] {
        let checker = protocol.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let path = checker.assert_any_discovery(INVARIANT);
        let wrong = path.last_state().wrong;
        println!("without {without}: {wrong:?} after {} steps", path.into_actions().len());
    }
}
