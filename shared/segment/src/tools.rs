//! What a writer needs besides its rows: zstd's tables, a block in the making, the grams. A thread keeps them from one fresh
//! segment to the next, since such a segment is small beside them: to make them anew, and to let them grow, was a tenth of it.
//!
//! Whether they are new or kept does not show in the bytes.

use std::cell::RefCell;

use crate::Error;
use crate::block::BlockBuilder;
use crate::codec::Packer;
use crate::grams::GramSet;

/// Most memory that a thread keeps, besides zstd's tables. A writer that took more leaves those alone.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// The level of fresh segments. What it writes does not depend on what its zstd context wrote before; of levels with a salted
/// hash that is not so.
const LEVEL_KEPT: i32 = 1;

thread_local! {
    static KEPT: RefCell<Option<Tools>> = const { RefCell::new(None) };
}

/// Empty when a writer takes them and when it leaves them.
pub(crate) struct Tools {
    level: i32,
    pub(crate) packer: Packer,
    pub(crate) block: BlockBuilder,
    pub(crate) grams: GramSet,
}

impl Tools {
    /// What the writer before left, or new ones.
    pub(crate) fn take(level: i32) -> Result<Self, Error> {
        let kept = if level == LEVEL_KEPT { KEPT.take() } else { None };
        let new =
            || Ok(Tools { level, packer: Packer::new(level)?, block: BlockBuilder::new(), grams: GramSet::new() });
        kept.map_or_else(new, Ok)
    }

    /// Leaves them to the next writer.
    pub(crate) fn keep(mut self) {
        if self.level != LEVEL_KEPT {
            return;
        }
        self.grams.clear();
        self.block.forget_segment();
        if self.packer.memory_bytes() + self.block.memory_bytes() > KEPT_BYTES_MAX {
            self.packer.shrink();
            self.block = BlockBuilder::new();
        }
        // A thread that ends keeps nothing.
        let _ = KEPT.try_with(|kept| kept.replace(Some(self)));
    }
}

#[cfg(test)]
mod tests {
    use model::{Entry, Labels};

    use super::*;
    use crate::{Options, Writer};

    #[test]
    fn what_took_much_is_not_kept() {
        let write = |bytes: usize| {
            let entries =
                [Entry { timestamp_ns: 1, line: "a long line ".repeat(bytes / 12), metadata: Labels::default() }];
            let labels = Labels::from_pairs([("app", "a")]);
            let mut writer = Writer::new(Options::default());
            writer.add(&labels, &entries);
            writer.finish().expect("a row");
            KEPT.with_borrow(|kept| kept.as_ref().map(|kept| kept.packer.memory_bytes() + kept.block.memory_bytes()))
        };
        let kept = |bytes| write(bytes).expect("a thread keeps its tools");
        assert!(kept(1 << 20) > 1 << 20, "buffers keep their size");
        assert!(kept(KEPT_BYTES_MAX) < 1 << 20, "buffers of a line of 8 MiB are let go");
    }
}
