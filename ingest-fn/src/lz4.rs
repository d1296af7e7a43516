//! Whether an lz4 body is whole.
//!
//! In: a body in lz4's frame format. Out: yes or no. The decoder takes a body that was cut off between two blocks for a whole
//! one; a push of which half is missing must be refused instead. Decompresses nothing.

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// The bit of a block's size that says its bytes are stored as they are.
const STORED: u32 = 1 << 31;

/// Whether the body is one or more frames, each with its end mark.
pub(crate) fn is_whole(mut body: &[u8]) -> bool {
    while !body.is_empty() {
        match behind_frame(body) {
            Some(rest) => body = rest,
            None => return false,
        }
    }
    true
}

/// What follows the first frame. <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>
fn behind_frame(body: &[u8]) -> Option<&[u8]> {
    let rest = body.strip_prefix(&MAGIC)?;
    let flags = *rest.first()?;
    let has = |bit: u8| usize::from(flags >> bit & 1);
    let (block_checksum, content_size, content_checksum, dictionary) = (has(4), has(3), has(2), has(0));
    // Flags, block size, content size, dictionary id, header checksum.
    let mut rest = rest.get(2 + 8 * content_size + 4 * dictionary + 1..)?;
    loop {
        let (size, behind) = rest.split_first_chunk::<4>()?;
        let size = u32::from_le_bytes(*size);
        if size == 0 {
            return behind.get(4 * content_checksum..);
        }
        rest = behind.get((size & !STORED) as usize + 4 * block_checksum..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};

    use super::is_whole;

    #[test]
    fn only_whole_frames_are() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        for checksums in [false, true] {
            let info = FrameInfo::new()
                .block_size(BlockSize::Max64KB)
                .block_checksums(checksums)
                .content_checksum(checksums)
                .content_size(checksums.then_some(text.len() as u64));
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(&text).expect("memory");
            let frame = encoder.finish().expect("memory");
            assert!(is_whole(&frame) && is_whole(&[&*frame, &*frame].concat()) && is_whole(b""));
            for cut in (1..frame.len()).step_by(97).chain(frame.len() - 12..frame.len()) {
                assert!(!is_whole(&frame[..cut]), "{cut}");
            }
        }
        assert!(!is_whole(b"\x02\x21\x4c\x18"), "the format before frames");
    }
}
