//! Any pipeline over any lines: names stay unique, categories true, and no entry depends on the one before it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logql::ast::Expr;
use logql::labels::{Category, ERROR, ERROR_DETAILS};
use logql::pipeline::{Pipeline, Processed};
use model::{Entry, EntryRef, Labels, LogEntry, Stream};

fuzz_target!(|input: &[u8]| {
    let (stages, streams) = match fuzz::choices(input) {
        Some(mut u) => {
            let stages = fuzz::query::pipeline(&mut u).unwrap_or_default();
            (stages, fuzz::data::streams(&mut u).unwrap_or_default())
        }
        None => from_text(input),
    };
    let Ok(Expr::Log(query)) = logql::parse(&format!("{{x=\"y\"}} {stages}")) else { return };
    // What parses can be compiled, or is refused with a reason.
    let Ok(pipeline) = Pipeline::new(&query.pipeline) else { return };
    for stream in &streams {
        let mut running = pipeline.for_stream(&stream.labels);
        for entry in &stream.entries {
            let metadata: Vec<(&str, &str)> = entry.metadata.iter().collect();
            let entry = EntryRef { timestamp_ns: entry.timestamp_ns, line: &entry.line, metadata: &metadata };
            let got = running.process(entry).map(|processed| checked(&processed, &stream.labels, &metadata));
            let alone = pipeline.for_stream(&stream.labels).process(entry).map(|processed| processed.to_log_entry());
            assert_eq!(got, alone, "{stages}: an entry depends on the one before it");
            let passes = pipeline.leading_line_filters().iter().all(|filter| filter.matches(entry.line));
            let filtered = passes.then(|| running.process_filtered(entry).map(|processed| processed.to_log_entry()));
            assert_eq!(filtered.flatten(), alone, "{stages}: the leading filters alone say something else");
        }
    }
});

/// The first field is the pipeline, the others are lines; each line is also a value of the metadata.
fn from_text(input: &[u8]) -> (String, Vec<Stream>) {
    let fields = fuzz::fields(input);
    let lines = fields.iter().skip(1).take(8);
    let entries = lines.map(|line| Entry {
        timestamp_ns: 0,
        line: line.to_string(),
        metadata: Labels::from_pairs([("a", "m"), ("trace", line.as_ref())].into_iter().filter(|(_, v)| !v.is_empty())),
    });
    let labels = Labels::from_pairs([("app", "api"), ("job", "gateway")]);
    (fields[0].to_string(), vec![Stream { labels, entries: entries.collect() }])
}

fn checked(processed: &Processed<'_>, stream: &Labels, metadata: &[(&str, &str)]) -> LogEntry {
    let labels = processed.labels();
    let entry = processed.to_log_entry();
    let parts = entry.stream.len() + entry.metadata.len() + entry.parsed.len();
    assert_eq!(parts, labels.to_labels().len(), "a name is there twice: {entry:?}");
    assert_eq!(labels.iter().count(), parts, "a name is there twice: {entry:?}");
    for (category, name, value) in labels.iter() {
        // Asked for an error, only the pipeline's own counts, as in Loki.
        let sent_error = matches!(name, ERROR | ERROR_DETAILS) && category != Category::Parsed;
        assert_eq!(labels.get(name), (!sent_error).then_some(value), "{name} of {entry:?}");
        match category {
            Category::Stream => assert_eq!(stream.get(name), Some(value), "{name} is not the stream's"),
            Category::Metadata => {
                let plain = name.strip_suffix("_extracted").unwrap_or(name);
                let sent = metadata.iter().any(|(n, v)| (*n == name || *n == plain) && *v == value);
                assert!(sent, "{name} is not the metadata's");
            }
            Category::Parsed => {}
        }
    }
    entry
}
