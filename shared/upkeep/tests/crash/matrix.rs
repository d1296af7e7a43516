//! A story of a store, told once for each way in which it can break off.
//!
//! In: a story. It is run once to count its requests to the store; then once for each request and for both sides of its effect, dying
//! there; or with every request failing once in every way. After each death a new process reads, goes on to the end and reads again.
//! Out: the totals of all runs.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use store::Store;
use store::faulty::{Crash, Fault, Faulty, Operation, Rule};

/// Tries of a story in which one request fails: its own and the next.
const TRIES_MAX: usize = 3;

/// All that a store goes through, and what must be read of it.
pub(crate) trait Story {
    /// What clients know.
    type Progress: Default;
    /// What came out of runs.
    type Totals: Debug + Default;

    /// Goes on to the end from where clients are, unless something fails.
    async fn run(&self, faulty: &Faulty, store: &Store, progress: &mut Self::Progress) -> Result<(), String>;

    /// Reads all. With totals it is the end of a run.
    async fn check(&self, store: &Store, progress: &Self::Progress, when: &str, totals: Option<&mut Self::Totals>);
}

/// Every crash at one of `step` requests, each over a store that `fresh` makes.
pub(crate) async fn crashes<S: Story>(story: &S, fresh: impl Fn(usize) -> Store, step: usize) -> S::Totals {
    let faulty = Faulty::over(&fresh(0));
    faulty.heal();
    let (store, mut progress) = (Store::new(Arc::new(faulty.clone())), S::Progress::default());
    story.run(&faulty, &store, &mut progress).await.expect("nothing fails");
    let requests = faulty.requests();
    story.check(&store, &progress, "without a crash", None).await;

    let mut totals = S::Totals::default();
    for request in (0..requests).step_by(step) {
        for (side, crash) in [Crash::Before(request), Crash::After(request)].into_iter().enumerate() {
            let faulty = Faulty::over(&fresh(1 + 2 * request + side));
            die_and_come_back(story, &faulty, crash, &mut totals).await;
        }
    }
    totals
}

/// Dies at one point, comes back, reads, goes on to the end, reads.
async fn die_and_come_back<S: Story>(story: &S, faulty: &Faulty, crash: Crash, totals: &mut S::Totals) {
    faulty.set_clock(Duration::ZERO);
    let mut progress = S::Progress::default();
    faulty.crash(crash);
    let died = story.run(faulty, &Store::new(Arc::new(faulty.clone())), &mut progress).await;
    assert!(died.is_err(), "{crash:?} was not reached");
    faulty.heal();
    let store = Store::new(Arc::new(faulty.clone()));
    story.check(&store, &progress, &format!("{crash:?}, after the restart"), None).await;
    story.run(faulty, &store, &mut progress).await.expect("nothing fails any more");
    story.check(&store, &progress, &format!("{crash:?}, at the end"), Some(totals)).await;
}

/// Every request of these kinds, on keys with this part, fails once in each of these ways; what failed is tried again, as a client and
/// the next trigger would.
pub(crate) async fn faults<S: Story>(story: &S, kinds: &[(Operation, &str, &[Fault])]) -> S::Totals {
    let mut totals = S::Totals::default();
    for (operation, key_part, faults) in kinds {
        for fault in *faults {
            for skip in 0.. {
                let faulty = Faulty::new(Arc::new(InMemory::new()));
                let store = Store::new(Arc::new(faulty.clone()));
                faulty.add(Rule::once(*operation, *fault).on_keys(key_part).after(skip));
                let (mut progress, mut tries) = (S::Progress::default(), 0);
                while let Err(error) = story.run(&faulty, &store, &mut progress).await {
                    tries += 1;
                    assert!(tries < TRIES_MAX, "{fault:?} at {operation:?} {skip}: {error}");
                }
                if faulty.fired() == 0 {
                    break;
                }
                let when = format!("{fault:?} at {operation:?} {skip}");
                story.check(&store, &progress, &when, Some(&mut totals)).await;
            }
        }
    }
    totals
}
