//! Compression of one part: zstd, or the bytes as they are where zstd does not make them fewer.
//!
//! In: raw bytes, or stored bytes with their codec and the raw length that the footer promises. Out: the other.
//! Never allocates more than the promised length, and that is checked against a named limit first.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective as EndDirective;
use zstd::zstd_safe::{InBuffer, OutBuffer, ResetDirective, get_frame_content_size};

use crate::Error;

/// How a part is compressed. Numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    Raw,
    /// One zstd frame that tells its content's size.
    Zstd,
    /// One that this build does not know; the other columns can still be read.
    Unknown(u8),
}

impl Codec {
    pub(crate) fn number(self) -> u8 {
        match self {
            Codec::Raw => 0,
            Codec::Zstd => 1,
            Codec::Unknown(number) => number,
        }
    }

    /// The codec of a column, which only fails when it is decoded.
    pub(crate) fn of_column(number: u8) -> Self {
        match number {
            0 => Codec::Raw,
            1 => Codec::Zstd,
            other => Codec::Unknown(other),
        }
    }

    /// The codec of a part without which nothing can be read.
    pub(crate) fn from_number(number: u8, part: &'static str) -> Result<Self, Error> {
        match Codec::of_column(number) {
            Codec::Unknown(number) => Err(Error::Unknown { part, what: "codec", value: number.into() }),
            codec => Ok(codec),
        }
    }
}

/// Compresses parts one after the other with the same zstd context.
pub(crate) struct Packer {
    zstd: Compressor<'static>,
    scratch: Vec<u8>,
}

impl Packer {
    pub(crate) fn new(level: i32) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::Zstd { part: "writer", why: error.to_string() };
        Ok(Packer { zstd: Compressor::new(level).map_err(failed)?, scratch: Vec::new() })
    }

    /// Appends the shorter of the two forms to `out` and says which it is.
    pub(crate) fn pack(&mut self, part: &'static str, raw: &[u8], out: &mut Vec<u8>) -> Result<Codec, Error> {
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        let failed = |error: io::Error| Error::Zstd { part, why: error.to_string() };
        self.zstd.compress_to_buffer(raw, &mut self.scratch).map_err(failed)?;
        if self.scratch.len() < raw.len() {
            out.extend_from_slice(&self.scratch);
            Ok(Codec::Zstd)
        } else {
            out.extend_from_slice(raw);
            Ok(Codec::Raw)
        }
    }

    /// Appends parts as one frame in which each is compressed by its own statistics, and gives their bytes together.
    pub(crate) fn pack_parts(
        &mut self,
        part: &'static str,
        parts: &[Vec<u8>],
        out: &mut Vec<u8>,
    ) -> Result<(Codec, usize), Error> {
        let failed = |code| Error::Zstd { part, why: zstd::zstd_safe::get_error_name(code).to_owned() };
        let raw_len = parts.iter().map(Vec::len).sum();
        self.scratch.clear();
        // A block of zstd that ends early takes a few bytes more.
        self.scratch.reserve(zstd::zstd_safe::compress_bound(raw_len) + parts.len() * 64);
        let context = self.zstd.context_mut();
        context.reset(ResetDirective::SessionOnly).map_err(failed)?;
        context.set_pledged_src_size(Some(raw_len as u64)).map_err(failed)?;
        let mut output = OutBuffer::around(&mut self.scratch);
        let mut end = |bytes: &[u8], directive| {
            let mut input = InBuffer::around(bytes);
            match context.compress_stream2(&mut output, &mut input, directive).map_err(failed)? {
                0 => Ok(()),
                _ => Err(Error::Zstd { part, why: "its buffer is too small".to_owned() }),
            }
        };
        for bytes in parts.iter().filter(|bytes| !bytes.is_empty()) {
            end(bytes, EndDirective::ZSTD_e_flush)?;
        }
        end(&[], EndDirective::ZSTD_e_end)?;
        if self.scratch.len() < raw_len {
            out.extend_from_slice(&self.scratch);
            return Ok((Codec::Zstd, raw_len));
        }
        parts.iter().for_each(|bytes| out.extend_from_slice(bytes));
        Ok((Codec::Raw, raw_len))
    }

    /// Gives its buffer back.
    pub(crate) fn shrink(&mut self) {
        self.scratch = Vec::new();
    }

    /// The memory that its buffer keeps.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.scratch.capacity()
    }
}

/// The raw bytes of a stored part. `raw_len` is what the footer promises, `limit` what the format allows.
pub(crate) fn unpack(
    part: &'static str,
    codec: Codec,
    stored: &[u8],
    raw_len: u64,
    limit: u64,
) -> Result<Vec<u8>, Error> {
    let mut raw = Vec::new();
    unpack_into(part, codec, stored, raw_len, limit, &mut raw)?;
    Ok(raw)
}

/// [`unpack`] into memory that is used again.
pub(crate) fn unpack_into(
    part: &'static str,
    codec: Codec,
    stored: &[u8],
    raw_len: u64,
    limit: u64,
    raw: &mut Vec<u8>,
) -> Result<(), Error> {
    raw.clear();
    if raw_len > limit {
        return Err(Error::Limit { part, value: raw_len, limit });
    }
    let mismatch = Error::Malformed { part, why: "its length is not the promised one" };
    match codec {
        Codec::Raw if stored.len() as u64 == raw_len => raw.extend_from_slice(stored),
        Codec::Raw => return Err(mismatch),
        Codec::Zstd => {
            // The frame's own word is compared before a byte is allocated.
            if get_frame_content_size(stored).ok().flatten() != Some(raw_len) {
                return Err(mismatch);
            }
            raw.reserve_exact(usize::try_from(raw_len).map_err(|_| Error::Limit { part, value: raw_len, limit })?);
            decompress(stored, raw).map_err(|error| Error::Zstd { part, why: error.to_string() })?;
            if raw.len() as u64 != raw_len {
                return Err(mismatch);
            }
        }
        Codec::Unknown(number) => return Err(Error::Unknown { part, what: "codec", value: number.into() }),
    }
    Ok(())
}

thread_local! {
    /// zstd's tables, kept from one column to the next: making them anew was an eighth of a scan over small blocks.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Into what room `raw` has.
fn decompress(stored: &[u8], raw: &mut Vec<u8>) -> io::Result<usize> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new()?),
        };
        decompressor.decompress_to_buffer(stored, raw)
    })
}
