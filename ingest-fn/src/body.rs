//! Reads request bodies and undoes their compression, both within limits.
//!
//! In: a request. Out: its bytes. A body is counted while it arrives, so that many large ones at once are refused instead
//! of filling the memory; a small body that would unfold to a huge one ends at the limit.

use std::io::Read;
use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use futures::StreamExt as _;
use loki_api::push::DecodeError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::commit::CommitError;
use crate::error::PushError;
use crate::lz4;

/// Bytes that one permit of the budget stands for.
const PERMIT_BYTES: usize = 1 << 10;

/// Room that raw deflate gets at a time.
const INFLATE_STEP_BYTES: usize = 64 << 10;

/// The largest window that zstd may ask for, as a power of two: 8 MiB, what RFC 9659 allows to a `Content-Encoding`.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
    /// Deflate without a frame, as Go reads it.
    Deflate,
    Zstd,
    Lz4,
}

/// What all bodies that arrive at a time may hold.
#[derive(Debug, Clone)]
pub(crate) struct BodyBudget {
    permits: Arc<Semaphore>,
    bytes: usize,
}

/// A body, and its share of the budget.
#[derive(Debug)]
pub(crate) struct ReadBody {
    pub(crate) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl BodyBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        let permits = (bytes / PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        BodyBudget { permits: Arc::new(Semaphore::new(permits)), bytes }
    }

    /// Reads a body of up to `bytes_max`.
    pub(crate) async fn read(&self, body: Body, bytes_max: u64) -> Result<ReadBody, PushError> {
        let announced = body.size_hint().lower();
        let too_large = |size| PushError::Decode(DecodeError::TooLarge { size, max: bytes_max });
        if announced > bytes_max {
            return Err(too_large(announced));
        }
        let mut share: Option<OwnedSemaphorePermit> = None;
        let mut held = 0;
        let mut bytes = BytesMut::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| PushError::Body(e.to_string()))?;
            let size = (bytes.len() + chunk.len()) as u64;
            if size > bytes_max {
                return Err(too_large(size));
            }
            let needed = (bytes.len() + chunk.len()).div_ceil(PERMIT_BYTES);
            if needed > held {
                let more = u32::try_from(needed - held).unwrap_or(u32::MAX);
                let busy = |_| PushError::Commit(CommitError::Busy(self.bytes));
                let permit = Arc::clone(&self.permits).try_acquire_many_owned(more).map_err(busy)?;
                match &mut share {
                    Some(share) => share.merge(permit),
                    None => share = Some(permit),
                }
                held = needed;
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(ReadBody { bytes: bytes.freeze(), _share: share })
    }
}

impl Encoding {
    /// Reads `Content-Encoding`; snappy is the protobuf's own and undone with it, and `identity` is HTTP's word for none.
    pub(crate) fn of(header: &str) -> Option<Self> {
        match header {
            "" | "identity" | "snappy" => Some(Encoding::Plain),
            "gzip" => Some(Encoding::Gzip),
            "deflate" => Some(Encoding::Deflate),
            _ => None,
        }
    }

    /// Reads `Content-Encoding` of an OTLP request.
    pub(crate) fn of_otlp(header: &str) -> Option<Self> {
        match header {
            "" | "identity" => Some(Encoding::Plain),
            "gzip" => Some(Encoding::Gzip),
            "zstd" => Some(Encoding::Zstd),
            "lz4" => Some(Encoding::Lz4),
            _ => None,
        }
    }

    /// Reads `Content-Encoding` of a request with documents.
    pub(crate) fn of_documents(header: &str) -> Option<Self> {
        match header {
            "zstd" => Some(Encoding::Zstd),
            "snappy" => None,
            other => Encoding::of(other),
        }
    }

    /// Undoes the compression, up to `bytes_max`.
    pub(crate) fn decode(self, body: Bytes, bytes_max: u64) -> Result<Bytes, PushError> {
        match self {
            Encoding::Plain if body.len() as u64 > bytes_max => {
                Err(DecodeError::TooLarge { size: body.len() as u64, max: bytes_max }.into())
            }
            Encoding::Plain => Ok(body),
            Encoding::Gzip => inflate(MultiGzDecoder::new(&*body), bytes_max),
            Encoding::Deflate => inflate_raw(&body, bytes_max),
            // Loki's decoder says the same of a body that ends early.
            Encoding::Lz4 if !lz4::is_whole(&body) => Err(PushError::Body("unexpected EOF".to_owned())),
            Encoding::Lz4 => inflate(lz4_flex::frame::FrameDecoder::new(&*body), bytes_max),
            Encoding::Zstd => {
                let broken = |e: std::io::Error| PushError::Body(e.to_string());
                let mut decoder = zstd::Decoder::with_buffer(&*body).map_err(broken)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
                inflate(decoder, bytes_max)
            }
        }
    }
}

/// Undoes deflate without a frame. By hand, because the reader of flate2 takes a body that was cut off for a whole one.
fn inflate_raw(body: &[u8], bytes_max: u64) -> Result<Bytes, PushError> {
    let mut state = Decompress::new(false);
    let mut bytes = Vec::new();
    loop {
        bytes.reserve(INFLATE_STEP_BYTES);
        let (read, held) = (state.total_in(), bytes.len());
        let rest = usize::try_from(read).ok().and_then(|read| body.get(read..)).unwrap_or_default();
        let status = state.decompress_vec(rest, &mut bytes, FlushDecompress::None);
        let status = status.map_err(|e| PushError::Body(e.to_string()))?;
        if bytes.len() as u64 > bytes_max {
            return Err(DecodeError::TooLarge { size: bytes.len() as u64, max: bytes_max }.into());
        }
        if status == Status::StreamEnd {
            return Ok(bytes.into());
        }
        if state.total_in() == read && bytes.len() == held {
            return Err(PushError::Body("unexpected EOF".to_owned()));
        }
    }
}

fn inflate(reader: impl Read, bytes_max: u64) -> Result<Bytes, PushError> {
    let mut bytes = Vec::new();
    // One byte more than allowed shows that there is more.
    let read = reader.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|e| PushError::Body(e.to_string()))?;
    if bytes.len() as u64 > bytes_max {
        return Err(DecodeError::TooLarge { size: bytes.len() as u64, max: bytes_max }.into());
    }
    Ok(bytes.into())
}
