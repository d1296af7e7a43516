//! What a pipeline remembers from line to line never changes an answer.

#![expect(clippy::unwrap_used, reason = "the queries are written here")]

use logql::ast::Expr;
use logql::labels::Needed;
use logql::pipeline::{Hints, Pipeline};
use model::{EntryRef, Labels, LogEntry};
use proptest::prelude::*;

fn pipeline(stages: &str, needed: Needed) -> Pipeline {
    let Expr::Log(expr) = logql::parse(&format!("{{x=\"y\"}} {stages}")).unwrap() else { panic!("a log query") };
    Pipeline::with_hints(&expr.pipeline, Hints { needed }).unwrap()
}

type Metadata = Vec<(&'static str, &'static str)>;

fn run(pipeline: &Pipeline, lines: &[(String, Metadata)], is_shared: bool) -> Vec<Option<LogEntry>> {
    let stream = Labels::from_pairs([("app", "api"), ("a_b", "s")]);
    let mut shared = pipeline.for_stream(&stream);
    let each = lines.iter().map(|(line, metadata)| {
        let entry = EntryRef { timestamp_ns: 0, line, metadata };
        if is_shared {
            shared.process(entry).map(|processed| processed.to_log_entry())
        } else {
            pipeline.for_stream(&stream).process(entry).map(|processed| processed.to_log_entry())
        }
    });
    each.collect()
}

/// Some of it has the names of keys.
fn metadata() -> impl Strategy<Value = Metadata> {
    prop::sample::select(vec![vec![], vec![("trace", "1")], vec![("app", "m"), ("b", "2")], vec![("a", "")]])
}

/// Members in any order, with keys that clash once cleaned, with the stream, the metadata, and under prefixes.
fn line() -> impl Strategy<Value = (String, Metadata)> {
    let key = prop::sample::select(vec![
        "a",
        "b",
        "a.b",
        "a_b",
        "app",
        "app_extracted",
        "trace",
        "é",
        "1x",
        "",
        "__error__",
        "a rather long key, longer than words",
        "a rather long kex, longer than words",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "\"x\"",
        "\"\\u00e9\"",
        "null",
        "[1]",
        "{\"a\":2}",
        "{\"b\":{\"a\":3,\"trace\":4}}",
        "\"é\u{fffd}\"",
    ]);
    let members = prop::collection::vec((key, value), 0..8);
    (members, metadata()).prop_map(|(members, metadata)| {
        let members: Vec<String> = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        (format!("{{{}}}", members.join(",")), metadata)
    })
}

/// What a hostile client makes of a line: cut off, with a byte in it that does not belong there, or with blanks.
fn spoiled(line: impl Strategy<Value = (String, Metadata)>) -> impl Strategy<Value = (String, Metadata)> {
    let piece = prop::sample::select(vec![
        "", "\"", "\\", ":", "=", " ", "{", "}", ",", "\\u00e9", "\u{1}", "\u{fffd}", "é", "a",
    ]);
    (line, any::<prop::sample::Index>(), piece, 0u8..4).prop_map(|((mut line, metadata), at, piece, how)| {
        let places: Vec<usize> = line.char_indices().map(|(at, _)| at).chain([line.len()]).collect();
        let at = places[at.index(places.len())];
        match how {
            0 => line.truncate(at),
            1 => line.insert_str(at, piece),
            2 => line = line.replace(':', " : ").replace(',', " ,\n"),
            _ => {}
        }
        (line, metadata)
    })
}

/// Pairs in any order, some of which are none.
fn pairs() -> impl Strategy<Value = (String, Metadata)> {
    let key = prop::sample::select(vec![
        "a",
        "b",
        "a.b",
        "a_b",
        "app",
        "trace",
        "é",
        "1x",
        "",
        "=",
        "\"",
        "a\u{fffd}",
        "a rather long key",
        "a_rather_long_key_longer_than_words",
        "a_rather_long_kex_longer_than_words",
    ]);
    let value = prop::sample::select(vec![
        "=1",
        "=",
        "",
        "=\"\"",
        "=\"x y\"",
        "=\"\\u00e9\"",
        "=\"\\q\"",
        "=x=y",
        "=x\"y",
        "=\"open",
        "=\u{fffd}",
        "=\"a\u{1}\\n\"",
    ]);
    (prop::collection::vec((key, value), 0..8), metadata()).prop_map(|(pairs, metadata)| {
        let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}{value}")).collect();
        (pairs.join(" "), metadata)
    })
}

proptest! {
    /// Keys that are known by their bytes mean what they mean when they are read, also where lines are broken, and where what one
    /// parser remembers is met by another.
    #[test]
    fn hostile_lines_before_change_nothing(
        lines in prop::collection::vec(prop_oneof![spoiled(line()), spoiled(pairs())], 1..12),
    ) {
        let only = |names: &[&str]| Needed::Only(names.iter().map(|name| (*name).to_owned()).collect());
        for stages in ["| json", "| logfmt", "| logfmt --strict", "| logfmt --keep-empty", "| json | logfmt", "| logfmt | json"] {
            for needed in [Needed::All, only(&["a", "__error__"]), only(&["trace", "app"]), only(&["app_extracted", "b"])] {
                let pipeline = pipeline(stages, needed);
                prop_assert_eq!(run(&pipeline, &lines, true), run(&pipeline, &lines, false), "{}", stages);
            }
        }
    }

    /// A line of pairs is read no further than where what is needed can stand.
    #[test]
    fn what_is_needed_is_found_in_pairs(lines in prop::collection::vec(spoiled(pairs()), 1..6)) {
        let names = ["a", "app", "__error__", "trace", "é"];
        let values = |needed: Needed| {
            let entries = run(&pipeline("| logfmt", needed), &lines, true).into_iter().flatten();
            let of = |entry: &LogEntry, name: &str| {
                let all = [&entry.parsed, &entry.metadata, &entry.stream];
                all.iter().find_map(|labels| labels.get(name)).map(str::to_owned)
            };
            entries.map(|entry| names.map(|name| of(&entry, name))).collect::<Vec<_>>()
        };
        let needed = Needed::Only(names.iter().map(|name| (*name).to_owned()).collect());
        prop_assert_eq!(values(needed), values(Needed::All));
    }

    #[test]
    fn lines_before_change_nothing(lines in prop::collection::vec(line(), 1..12)) {
        let only = |names: &[&str]| Needed::Only(names.iter().map(|name| (*name).to_owned()).collect());
        for (stages, needed) in [
            ("| json", Needed::All),
            ("| json | drop a | json | label_format b=a_b, c=\"{{.app}}\"", Needed::All),
            ("| json a, trace, x=\"b.a\" | json", Needed::All),
            ("| json", only(&["a", "trace", "app_extracted"])),
            ("| regexp \"(?P<a>[a-z]+).(?P<app>.)\" | regexp \"(?P<q>\\\\d)\"", Needed::All),
        ] {
            let pipeline = pipeline(stages, needed);
            prop_assert_eq!(run(&pipeline, &lines, true), run(&pipeline, &lines, false), "{}", stages);
        }
    }
}

/// More keys and names than are remembered, in one line and over many.
#[test]
fn more_keys_than_are_remembered() {
    let line = |from: usize, count: usize| {
        let members: Vec<String> =
            (from..from + count).map(|i| format!("\"k{i}\":{{\"v\":{i}}},\"p{i}\":\"{i}\"")).collect();
        (format!("{{{}}}", members.join(",")), vec![("trace", "1")])
    };
    let mut lines = vec![line(0, 3), line(0, 3000), line(0, 3), line(2990, 20)];
    lines.extend((0..60).map(|i| line(i * 100, 100)));
    lines.push((format!("{{\"{}\":{{\"a\":1}},\"b\":2}}", "long".repeat(200)), Vec::new()));
    for needed in [Needed::All, Needed::Only(vec!["p5".to_owned(), "k2999_v".to_owned(), "nosuch".to_owned()])] {
        let pipeline = pipeline("| json", needed);
        assert_eq!(run(&pipeline, &lines, true), run(&pipeline, &lines, false));
    }
}
