//! Prints push bodies for people: what `-dry-run` shows.
//!
//! In: a compressed push request. Out: one line an entry: time, labels, line, structured metadata, divided by tabs.

use std::io::Write;

use jiff::Timestamp;
use loki_api::push::{decode_protobuf, unsnap};

/// Largest request that is shown; batches are far smaller.
const REQUEST_BYTES_MAX: u64 = 1 << 30;

pub(crate) fn print(body: &[u8], out: &mut impl Write) -> anyhow::Result<()> {
    let request = unsnap(body, REQUEST_BYTES_MAX)?;
    for stream in decode_protobuf(&request)?.streams {
        for entry in &stream.entries {
            let nanos = i128::from(entry.timestamp_ns.unwrap_or_default());
            write!(out, "{}\t{}\t{}", Timestamp::from_nanosecond(nanos)?, stream.labels, entry.line)?;
            for (name, value) in stream.metadata_of(entry) {
                write!(out, "\t{name}={value}")?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}
