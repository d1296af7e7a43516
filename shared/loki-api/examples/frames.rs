//! Bench frames in, other frames or plain text out: `cargo run --release --example frames -- …`.
//!
//! `repeat COPIES IN OUT` makes a set of as many times the size: each frame again and again, later by some milliseconds and with other
//! ids, as if more of the same machines had been at work that day. `text IN OUT` writes lines and metadata as text, for zstd alone.
//! A frame is a 4-byte little-endian length, then that many bytes of a snappy-compressed protobuf push request.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};

use loki_api::push::encode::{encode_entry, encode_stream};
use loki_api::push::{PushRequest, decode_protobuf, unsnap};

/// The largest body of a frame.
const FRAME_BYTES_MAX: u64 = 64 << 20;
/// How much later each copy is than the one before.
const SHIFT_NS: i64 = 7_000_003;
/// Hex digits in a row, at least one of them a letter, that make an id; dashes between them do not count.
const ID_DIGITS_MIN: usize = 16;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["repeat", copies, from, to] => {
            let (copies, mut out) = (copies.parse().expect("a number of copies"), create(to));
            frames(from, |request| {
                for copy in 0..copies {
                    let body = snap::raw::Encoder::new().compress_vec(&copied(request, copy)).unwrap();
                    out.write_all(&u32::try_from(body.len()).unwrap().to_le_bytes()).unwrap();
                    out.write_all(&body).unwrap();
                }
            });
        }
        ["text", from, to] => {
            let mut out = create(to);
            frames(from, |request| text(request, &mut out));
        }
        _ => panic!("usage: frames repeat COPIES IN OUT | frames text IN OUT"),
    }
}

fn create(path: &str) -> BufWriter<File> {
    BufWriter::new(File::create(path).unwrap())
}

/// Calls with each frame's request.
fn frames(path: &str, mut each: impl FnMut(&PushRequest<'_>)) {
    let mut file = BufReader::new(File::open(path).unwrap());
    let mut length = [0; 4];
    loop {
        match file.read_exact(&mut length) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return,
            other => other.unwrap(),
        }
        let mut frame = vec![0; u32::from_le_bytes(length) as usize];
        file.read_exact(&mut frame).unwrap();
        each(&decode_protobuf(&unsnap(&frame, FRAME_BYTES_MAX).unwrap()).unwrap());
    }
}

/// The body of a copy. Copy 0 is the request itself.
fn copied(request: &PushRequest<'_>, copy: u8) -> Vec<u8> {
    let mut body = Vec::new();
    for stream in &request.streams {
        let mut entries = Vec::new();
        for entry in &stream.entries {
            let timestamp_ns = entry.timestamp_ns.unwrap() + i64::from(copy) * SHIFT_NS;
            let metadata: Vec<(&str, String)> =
                stream.metadata_of(entry).iter().map(|(name, value)| (&**name, with_other_ids(value, copy))).collect();
            let metadata = metadata.iter().map(|(name, value)| (*name, value.as_str()));
            encode_entry(&mut entries, timestamp_ns, &with_other_ids(&entry.line, copy), metadata);
        }
        encode_stream(&mut body, &stream.labels.to_string(), &entries);
    }
    body
}

/// The text with each digit of its ids turned on, so that one id stays one id wherever it stands.
fn with_other_ids(text: &str, copy: u8) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let is_digit = |byte: &u8| DIGITS.contains(byte);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.bytes().take_while(|byte| is_digit(byte) || *byte == b'-').count();
        let (id, behind) = rest.split_at(run);
        let digits = id.bytes().filter(is_digit).count();
        if digits >= ID_DIGITS_MIN && id.bytes().any(|byte| byte.is_ascii_lowercase()) {
            out.extend(id.chars().enumerate().map(|(at, char)| match char.to_digit(16) {
                Some(digit) => char::from(DIGITS[(digit as usize + usize::from(copy) * (1 + at % 7)) % 16]),
                None => char,
            }));
        } else {
            out.push_str(id);
        }
        // Up to where the next run may begin.
        let other = behind.find(|char: char| char.is_ascii() && is_digit(&(char as u8))).unwrap_or(behind.len());
        out.push_str(&behind[..other]);
        rest = &behind[other..];
    }
    out
}

fn text(request: &PushRequest<'_>, out: &mut impl Write) {
    for stream in &request.streams {
        for entry in &stream.entries {
            write!(out, "{}", entry.line).unwrap();
            stream.metadata_of(entry).iter().for_each(|(name, value)| write!(out, " {name}={value}").unwrap());
            writeln!(out).unwrap();
        }
    }
}
