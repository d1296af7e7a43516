//! Prints a segment's inside for people: `logbarn inspect`.
//!
//! In: all bytes of a segment. Out: text, one line a part, every column and filter decoded on the way, so that an error
//! here means that a query would meet it too. The text is not a format; nothing may parse it.

use std::fmt::{self, Write as _};
use std::ops::Range;

use crate::Error;
use crate::block::BlockMeta;
use crate::codec::Codec;
use crate::column::{ColumnKind, ColumnMeta, decode_lengths, decode_lines, decode_timestamps, open_lines};
use crate::dictionary::decode_metadata;
use crate::filter::{Filter, FilterMeta};
use crate::footer::Footer;
use crate::layout::{HEADER, SECTION_BYTES_MAX};
use crate::reader::{Opened, open_tail, part};

/// The parts of a segment with their places, sizes and sums.
pub fn describe(bytes: &[u8]) -> Result<String, Error> {
    if !bytes.starts_with(&HEADER) {
        return Err(Error::Magic { part: "header" });
    }
    let footer = match open_tail(bytes, bytes.len() as u64)? {
        Opened::Footer(footer) => footer,
        Opened::NeedMore { .. } => {
            return Err(Error::Malformed { part: "footer", why: "it lies outside of the object" });
        }
    };
    let mut out = String::new();
    write_all(&mut out, bytes, &footer).map_err(|failure| match failure {
        Failure::Segment(error) => error,
        Failure::Text => Error::Limit { part: "description", value: 0, limit: SECTION_BYTES_MAX },
    })?;
    Ok(out)
}

/// Either the segment is wrong, or text could not be written, which a `String` never refuses.
enum Failure {
    Segment(Error),
    Text,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Segment(error)
    }
}

impl From<fmt::Error> for Failure {
    fn from(_: fmt::Error) -> Self {
        Failure::Text
    }
}

fn write_all(out: &mut String, bytes: &[u8], footer: &Footer) -> Result<(), Failure> {
    let line_bytes: u64 = footer.streams().iter().map(|stream| stream.line_bytes).sum();
    let metadata_bytes: u64 = footer.streams().iter().map(|stream| stream.metadata_bytes).sum();
    writeln!(out, "segment v{}, {} bytes", footer.version, bytes.len())?;
    writeln!(out, "  rows {}, lines {line_bytes} bytes, metadata {metadata_bytes} bytes", footer.rows())?;
    writeln!(out, "  time {} .. {}", footer.min_ts(), footer.max_ts())?;
    for (number, block) in footer.blocks().iter().enumerate() {
        write_block(out, bytes, number, block)?;
    }
    for (number, slice) in footer.slices().iter().enumerate() {
        write!(out, "slice {number}: ")?;
        write_filter(out, bytes, slice)?;
    }
    let counts = footer.decode_counts(part(bytes, &footer.counts_range())?)?;
    let cells: usize = counts.groups.iter().map(|group| group.cells.len()).sum();
    let levels = counts.levels.join(" ");
    writeln!(
        out,
        "counts: {}, {} groups, {cells} cells, levels [{levels}]",
        place(&footer.counts_range()),
        counts.groups.len()
    )?;
    if let Some(section) = footer.grams() {
        let filter = footer.decode_grams(part(bytes, &section.range)?)?;
        let (bytes, fill) = (filter.byte_len(), filter.fill() * 100.0);
        writeln!(out, "grams: {}, {bytes} raw, {fill:.0} % of bits set", place(&section.range))?;
    }
    writeln!(out, "streams: {}", footer.streams().len())?;
    for (number, stream) in footer.streams().iter().enumerate() {
        writeln!(
            out,
            "  {number} {} rows {}, lines {} bytes, metadata {} bytes, time {} .. {}",
            stream.labels, stream.rows, stream.line_bytes, stream.metadata_bytes, stream.min_ts, stream.max_ts
        )?;
    }
    Ok(())
}

fn write_block(out: &mut String, bytes: &[u8], number: usize, block: &BlockMeta) -> Result<(), Failure> {
    writeln!(
        out,
        "block {number}: {}, rows {}, time {} .. {}",
        place(&block.range()),
        block.rows,
        block.min_ts,
        block.max_ts
    )?;
    for run in &block.runs {
        writeln!(
            out,
            "  run of stream {}: rows {} from {}, time {} .. {}",
            run.stream, run.rows, run.first_row, run.min_ts, run.max_ts
        )?;
    }
    let timestamps = match block.column(&ColumnKind::Timestamps) {
        Some(column) => decode_timestamps(column, part(bytes, &column.range)?)?,
        None => Vec::new(),
    };
    for column in &block.columns {
        write_column(out, bytes, column, &timestamps)?;
    }
    write!(out, "  filter ")?;
    write_filter(out, bytes, &block.filter)
}

fn write_column(out: &mut String, bytes: &[u8], column: &ColumnMeta, timestamps: &[i64]) -> Result<(), Failure> {
    let stored = part(bytes, &column.range)?;
    let (name, values) = match &column.kind {
        ColumnKind::Timestamps => ("timestamps".into(), timestamps.len()),
        ColumnKind::LineLengths => ("line lengths".into(), decode_lengths(column, stored)?.len()),
        ColumnKind::Lines => ("lines".into(), decode_lines(column, stored, timestamps)?.len()),
        ColumnKind::Metadata(name) => (format!("metadata {name:?}"), decode_metadata(column, stored)?.values.len()),
        ColumnKind::Unknown(number) => (format!("unknown kind {number}"), 0),
    };
    let codec = match column.codec {
        Codec::Raw => "raw".into(),
        Codec::Zstd => "zstd".into(),
        Codec::Unknown(number) => format!("codec {number}"),
    };
    let unit = if column.kind == ColumnKind::Lines { "bytes" } else { "values" };
    let templates = open_lines(column, stored, timestamps)?.map(|lines| lines.sizes());
    let templates = templates.map(|(templates, columns)| format!(", {templates} templates, {columns} columns"));
    writeln!(
        out,
        "  {name}: {}, {codec} of {}, encoding {}, {values} {unit}{}",
        place(&column.range),
        column.raw_len,
        column.encoding,
        templates.unwrap_or_default()
    )?;
    Ok(())
}

fn write_filter(out: &mut String, bytes: &[u8], meta: &FilterMeta) -> Result<(), Failure> {
    let filter = Filter::decode(meta, part(bytes, &meta.range)?)?;
    writeln!(out, "{}, {} hashes, {:.0} % of bits set", place(&meta.range), meta.hashes, filter.fill() * 100.0)?;
    Ok(())
}

fn place(range: &Range<u64>) -> String {
    format!("{} bytes at {}", range.end - range.start, range.start)
}
