//! Reads answers as strictly as Grafana does: it streams through them, so that the order of keys counts.
//!
//! In: the text of an answer of `query` or `query_range`. Out: its entries or its series. Panics, with the place, on whatever Grafana
//! would refuse, ignore or count twice: a flag behind the result, pairs and triples mixed, a number where a string belongs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

/// Label names and values.
pub(crate) type Labels = BTreeMap<String, String>;

/// An answer of `query` or `query_range`.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `streams`, `vector`, `matrix` or `scalar`.
    pub(crate) kind: String,
    /// Whether its entries tell labels by category.
    pub(crate) categorized: bool,
    /// What Grafana shows in yellow.
    pub(crate) warnings: Vec<String>,
    /// Of a log query, in the order of the answer.
    pub(crate) streams: Vec<Stream>,
    /// Of a metric query; a scalar is one without labels.
    pub(crate) series: Vec<Series>,
}

/// One stream of an answer.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) labels: Labels,
    pub(crate) entries: Vec<Entry>,
}

/// One entry; the categories are empty unless the answer tells them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) time_ns: i64,
    pub(crate) line: String,
    pub(crate) metadata: Labels,
    pub(crate) parsed: Labels,
}

/// One series: labels and samples, times in milliseconds as Grafana keeps them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    pub(crate) samples: Vec<(i64, f64)>,
}

impl Answer {
    /// Reads an answer.
    pub(crate) fn read(text: &str) -> Answer {
        let top = members(text);
        let names: Vec<&str> = top.iter().map(|(name, _)| name.as_str()).collect();
        let warnings: Vec<String> = match names.as_slice() {
            ["status", "data"] => Vec::new(),
            // Loki writes them before the data.
            ["status", "warnings", "data"] => serde_json::from_str(top[1].1.get()).expect("warnings are strings"),
            _ => panic!("members {names:?} of {text}"),
        };
        assert_eq!(top[0].1.get(), "\"success\"", "{text}");
        let data = members(top.last().expect("it has data").1.get());
        let names: Vec<&str> = data.iter().map(|(name, _)| name.as_str()).collect();
        let categorized = match names.as_slice() {
            ["resultType", "result", "stats"] => false,
            ["resultType", "encodingFlags", "result", "stats"] => {
                assert_eq!(data[1].1.get(), r#"["categorize-labels"]"#);
                true
            }
            _ => panic!("members {names:?} of the data: {text}"),
        };
        let kind: String = serde_json::from_str(data[0].1.get()).expect("a kind");
        let result: Value = serde_json::from_str(data[data.len() - 2].1.get()).expect("a result");
        check_stats(data[data.len() - 1].1.get());
        assert!(kind == "streams" || !categorized, "only streams have categories: {text}");
        let mut answer = Answer { kind, categorized, warnings, streams: Vec::new(), series: Vec::new() };
        match answer.kind.as_str() {
            "streams" => answer.streams = list(&result).iter().map(|s| stream(s, categorized)).collect(),
            "vector" => answer.series = list(&result).iter().map(|s| series(s, &[s["value"].clone()])).collect(),
            "matrix" => answer.series = list(&result).iter().map(|s| series(s, list(&s["values"]))).collect(),
            "scalar" => answer.series = vec![Series { labels: Labels::new(), samples: vec![sample(&result)] }],
            other => panic!("kind {other}"),
        }
        let told: Vec<&Labels> =
            answer.streams.iter().map(|s| &s.labels).chain(answer.series.iter().map(|s| &s.labels)).collect();
        // What has the same labels twice is added up in a panel.
        assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), told.len(), "labels twice: {text}");
        answer
    }

    /// Every entry with the labels of its stream.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Labels, &Entry)> {
        self.streams.iter().flat_map(|stream| stream.entries.iter().map(|entry| (&stream.labels, entry)))
    }

    /// Every line, by time; equal times by text.
    pub(crate) fn lines(&self) -> Vec<&str> {
        let mut all: Vec<&Entry> = self.entries().map(|(_, entry)| entry).collect();
        all.sort();
        all.into_iter().map(|entry| entry.line.as_str()).collect()
    }

    /// The only series' samples.
    pub(crate) fn samples(&self) -> &[(i64, f64)] {
        assert_eq!(self.series.len(), 1, "{:?}", self.series);
        &self.series[0].samples
    }
}

impl Entry {
    /// Labels as the answer without categories has them.
    pub(crate) fn merged(&self, stream: &Labels) -> Labels {
        let mut all = stream.clone();
        all.extend(self.metadata.clone());
        all.extend(self.parsed.clone());
        all
    }
}

/// The members of an object in their order.
fn members(text: &str) -> Vec<(String, Box<RawValue>)> {
    struct Members(Vec<(String, Box<RawValue>)>);
    struct Reader;
    impl<'de> Visitor<'de> for Reader {
        type Value = Members;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
            let mut found = Vec::new();
            while let Some(member) = map.next_entry()? {
                found.push(member);
            }
            Ok(Members(found))
        }
    }
    impl<'de> Deserialize<'de> for Members {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Reader)
        }
    }
    serde_json::from_str::<Members>(text).unwrap_or_else(|e| panic!("{e}: {text}")).0
}

fn list(value: &Value) -> &[Value] {
    // Never null, also when nothing was found.
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

fn labels(value: &Value) -> Labels {
    let object = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    object.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

fn stream(value: &Value, categorized: bool) -> Stream {
    let names: Vec<&String> = value.as_object().expect("a stream is an object").keys().collect();
    assert_eq!(names, ["stream", "values"]);
    let entries: Vec<Entry> = list(&value["values"]).iter().map(|entry| self::entry(entry, categorized)).collect();
    assert!(!entries.is_empty(), "a stream without entries: {value}");
    Stream { labels: labels(&value["stream"]), entries }
}

fn entry(value: &Value, categorized: bool) -> Entry {
    let parts = list(value);
    assert_eq!(parts.len(), if categorized { 3 } else { 2 }, "{value}");
    let (mut metadata, mut parsed) = (Labels::new(), Labels::new());
    if categorized {
        for (category, told) in parts[2].as_object().unwrap_or_else(|| panic!("no categories: {value}")) {
            match category.as_str() {
                "structuredMetadata" => metadata = labels(told),
                "parsed" => parsed = labels(told),
                other => panic!("category {other}"),
            }
            assert!(!told.as_object().expect("just read").is_empty(), "an empty category: {value}");
        }
    }
    let time_ns = text(&parts[0]).parse().unwrap_or_else(|e| panic!("time of {value}: {e}"));
    Entry { time_ns, line: text(&parts[1]), metadata, parsed }
}

fn series(value: &Value, samples: &[Value]) -> Series {
    let samples: Vec<(i64, f64)> = samples.iter().map(sample).collect();
    assert!(!samples.is_empty(), "a series without samples: {value}");
    assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "times do not grow: {value}");
    Series { labels: labels(&value["metric"]), samples }
}

fn sample(value: &Value) -> (i64, f64) {
    let [time, number] = list(value) else { panic!("not a pair: {value}") };
    let time_s = time.as_f64().unwrap_or_else(|| panic!("a time that is no number: {value}"));
    let number = text(number);
    // Go reads exponents too, but Loki never writes one.
    let plain = ["NaN", "+Inf", "-Inf"].contains(&number.as_str())
        || number.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-');
    assert!(plain, "{value}");
    ((time_s * 1_000.0).round() as i64, number.parse().unwrap_or_else(|e| panic!("{value}: {e}")))
}

/// All that Grafana reads of the statistics are the numbers of the summary.
fn check_stats(stats: &str) {
    let stats: Value = serde_json::from_str(stats).expect("stats are JSON");
    let summary = stats["summary"].as_object().unwrap_or_else(|| panic!("no summary: {stats}"));
    for (name, value) in summary {
        assert!(value.is_number(), "{name} is {value}");
    }
    for name in ["bytesProcessedPerSecond", "linesProcessedPerSecond", "totalBytesProcessed", "totalLinesProcessed"] {
        assert!(summary.get(name).and_then(Value::as_number).is_some_and(Number::is_u64), "{name} in {stats}");
    }
    assert!(summary.contains_key("execTime"), "{stats}");
}
