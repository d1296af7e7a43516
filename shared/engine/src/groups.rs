//! Blocks of one segment that lie close together, read by one request instead of one each.
//!
//! In: the blocks of a segment that will all be read, and which of their columns. Out: groups of neighbours, and their bytes. What lies
//! between two blocks is read along if it is less than another request would cost.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::Error;
use crate::footers::OpenSegment;
use crate::plan::{PlannedBlock, PlannedSegment};
use crate::reader::Reader;
use crate::rows::Columns;

/// Bytes from the first to the last column of a group, unless a single block has more. As many groups are under way as blocks may be, so
/// that a query holds a few of these beyond what its budget counts.
const GROUP_BYTES_MAX: u64 = 1 << 20;

/// Some neighbouring blocks, and the ranges that are read for them.
pub(crate) struct Group<'p> {
    pub(crate) blocks: Vec<(&'p PlannedBlock, Columns)>,
    pub(crate) ranges: Vec<Range<u64>>,
}

/// What was read for a group.
pub(crate) struct Parts(HashMap<Range<u64>, Bytes, RandomState>);

/// The blocks of a segment that are read, in groups; `columns` says what is wanted of each.
pub(crate) fn groups<'p>(
    segment: &'p PlannedSegment,
    columns: impl Fn(&PlannedBlock) -> Columns,
    reader: &Reader,
) -> Vec<Group<'p>> {
    let gap = reader.settings().coalesce_gap_bytes_max;
    let mut groups: Vec<Group<'p>> = Vec::new();
    for block in segment.blocks.iter().filter(|block| block.skipped.is_none()) {
        let columns = columns(block);
        let ranges = unread(&segment.opened, block, &columns, reader);
        match groups.last_mut().filter(|group| is_near(&group.ranges, &ranges, gap)) {
            Some(group) => {
                group.blocks.push((block, columns));
                group.ranges.extend(ranges);
            }
            None => groups.push(Group { blocks: vec![(block, columns)], ranges }),
        }
    }
    groups
}

/// What has to be read of a block: columns whose lines are kept decoded need not be.
pub(crate) fn unread(
    opened: &OpenSegment,
    block: &PlannedBlock,
    columns: &Columns,
    reader: &Reader,
) -> Vec<Range<u64>> {
    let Some(block) = opened.footer.blocks().get(block.index) else { return Vec::new() };
    let mut wanted = columns.of(block);
    reader.decoded_lines(opened, &mut wanted);
    wanted.iter().map(|column| column.range.clone()).collect()
}

/// Whether ranges that follow others in the segment belong to their group.
fn is_near(before: &[Range<u64>], ranges: &[Range<u64>], gap: u64) -> bool {
    let (Some(first), Some(last)) = (before.first(), before.last()) else { return true };
    let (Some(from), Some(to)) = (ranges.first(), ranges.last()) else { return true };
    from.start <= last.end.saturating_add(gap) && to.end.saturating_sub(first.start) <= GROUP_BYTES_MAX
}

impl Group<'_> {
    /// Asks the store for all of it.
    pub(crate) async fn read(&self, opened: &OpenSegment, reader: &Reader) -> Result<Parts, Error> {
        let bytes = reader.read(opened, &self.ranges).await?;
        Ok(Parts(self.ranges.iter().cloned().zip(bytes).collect()))
    }
}

impl Parts {
    /// The bytes of these ranges, which are some of the group's; nothing if one is not: lines that were kept decoded when the
    /// group was made are not any more.
    pub(crate) fn of(&self, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
        ranges.iter().map(|range| self.0.get(range).cloned()).collect()
    }
}
