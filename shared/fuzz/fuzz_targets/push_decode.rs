//! Push bodies of every format are decoded or refused; what was decoded is written as protobuf and decoded to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use loki_api::otlp::{Logs, Mapping, OtlpConfig, OtlpDefaults};
use loki_api::push::{
    PushRequest, decode_json, decode_legacy_json, decode_protobuf, encode_protobuf, parse_labels, unsnap,
};
use model::{Entry, Stream};

const BODY_BYTES_MAX: u64 = 1 << 24;

fuzz_target!(|input: &[u8]| {
    let Some((format, body)) = input.split_first() else { return };
    match format % 7 {
        0 => drop(decode_json(body).map(|request| decoded(&request))),
        1 => drop(decode_legacy_json(body).map(|request| decoded(&request))),
        2 => drop(decode_protobuf(body).map(|request| decoded(&request))),
        3 => drop(unsnap(body, BODY_BYTES_MAX).map(|body| decode_protobuf(&body).map(|request| decoded(&request)))),
        4 => drop(Logs::decode_json(body).map(mapped)),
        5 => drop(Logs::decode_protobuf(body).map(mapped)),
        _ => {
            if let Ok(parsed) = parse_labels(&String::from_utf8_lossy(body)) {
                let again = parse_labels(&parsed.labels.to_string()).expect("printed labels parse");
                assert_eq!(again.labels, parsed.labels);
            }
        }
    }
});

fn mapped(logs: Logs) {
    let (config, defaults) = (OtlpConfig::default(), OtlpDefaults::default());
    let mapping = Mapping { config: &config, defaults: &defaults, discover_service_name: &[] };
    drop(logs.map(&mapping).streams().map(|request| decoded(&request)));
}

fn decoded(request: &PushRequest<'_>) {
    let streams = owned(request);
    let body = unsnap(&encode_protobuf(&streams), u64::MAX).expect("our own snappy");
    let again = decode_protobuf(&body).expect("our own protobuf");
    assert_eq!(owned(&again), streams);
}

/// Each entry's metadata lies within its stream's; of a name given twice the last value counts.
fn owned(request: &PushRequest<'_>) -> Vec<Stream> {
    let streams = request.streams.iter().map(|stream| {
        let entries = stream.entries.iter().map(|entry| {
            assert!(stream.metadata.get(entry.metadata.clone()).is_some(), "metadata out of range");
            Entry {
                timestamp_ns: entry.timestamp_ns.unwrap_or_default(),
                line: entry.line.clone().into_owned(),
                metadata: stream.metadata_of(entry).iter().map(|(name, value)| (&**name, &**value)).collect(),
            }
        });
        Stream { labels: stream.labels.clone(), entries: entries.collect() }
    });
    streams.collect()
}
