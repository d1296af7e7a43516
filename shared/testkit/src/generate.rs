//! Made-up logs that look like real ones: a few kinds of application, the same bytes for the same seed.
//!
//! In: a seed and how many entries. Out: streams of entries in time order, with structured metadata. Never random in the
//! sense of different twice: tests and benchmarks compare runs.

use model::{Entry, Labels, Stream};

/// What to generate.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Same seed, same logs.
    pub seed: u64,
    /// Entries in total.
    pub entries: usize,
    /// Streams over which they are spread.
    pub streams: usize,
    /// Time of the first entry.
    pub start_ns: i64,
    /// Time between two entries.
    pub step_ns: i64,
}

/// A small generator of numbers (SplitMix64), so that the crate needs none from outside.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// Starts the sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// One of the choices.
    pub fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }
}

const SERVICES: &[&str] = &["web-server", "nginx", "loki", "tempo", "checkout", "billing", "auth", "mailer"];
const CLUSTERS: &[&str] = &["us-east-1", "eu-west-1", "ap-south-1"];
const LEVELS: &[&str] = &["info", "info", "info", "info", "info", "debug", "debug", "warn", "error"];
const PATHS: &[&str] = &["/api/v1/users", "/api/v1/orders", "/health", "/login", "/static/app.js", "/api/v1/query"];
const STATUSES: &[&str] = &["200", "200", "200", "200", "201", "204", "301", "404", "500", "503"];

/// The whole plan as streams, each in time order.
pub fn streams(plan: Plan) -> Vec<Stream> {
    let mut numbers = Numbers::new(plan.seed);
    let mut streams: Vec<Stream> = (0..plan.streams.max(1)).map(stream).collect();
    for i in 0..plan.entries {
        let which = numbers.below(streams.len() as u64) as usize;
        let jitter = numbers.below(plan.step_ns.max(1) as u64) as i64;
        let entry = entry(&mut numbers, which, plan.start_ns + i as i64 * plan.step_ns + jitter);
        streams[which].entries.push(entry);
    }
    for stream in &mut streams {
        stream.entries.sort_by_key(|entry| entry.timestamp_ns);
    }
    streams
}

fn stream(index: usize) -> Stream {
    let service = SERVICES[index % SERVICES.len()];
    let cluster = CLUSTERS[index / SERVICES.len() % CLUSTERS.len()];
    let pod = format!("{service}-{index:03}");
    let labels = Labels::from_pairs([("service_name", service), ("cluster", cluster), ("pod", &pod)]);
    Stream { labels, entries: Vec::new() }
}

fn entry(numbers: &mut Numbers, which: usize, timestamp_ns: i64) -> Entry {
    let (level, path, status) = (numbers.pick(LEVELS), numbers.pick(PATHS), numbers.pick(STATUSES));
    let (took_ms, bytes, id) = (numbers.below(2_000), numbers.below(50_000), numbers.draw());
    let line = match which % 4 {
        0 => format!(
            r#"{{"level":"{level}","msg":"request served","path":"{path}","status":{status},"took_ms":{took_ms},"bytes":{bytes}}}"#
        ),
        1 => {
            format!(r#"10.0.{}.{} - - "GET {path} HTTP/1.1" {status} {bytes} "-" "curl/8.5""#, id % 256, id / 256 % 256)
        }
        2 => format!(
            r#"level={level} caller=engine.go:{} msg="query done" duration={took_ms}ms status={status} path={path}"#,
            id % 900
        ),
        _ => format!("worker[{}]: {level}: job {:016x} took {took_ms} ms", id % 5_000, id),
    };
    let trace_id = format!("{id:016x}{:016x}", numbers.draw());
    Entry {
        timestamp_ns,
        line,
        metadata: Labels::from_pairs([("trace_id", trace_id.as_str()), ("detected_level", level)]),
    }
}

/// The streams as one Loki JSON push body.
pub fn push_json(streams: &[Stream]) -> String {
    let streams: Vec<serde_json::Value> = streams
        .iter()
        .map(|stream| {
            let labels: serde_json::Map<_, _> = stream.labels.iter().map(|(n, v)| (n.into(), v.into())).collect();
            let values: Vec<serde_json::Value> = stream.entries.iter().map(value).collect();
            serde_json::json!({ "stream": labels, "values": values })
        })
        .collect();
    serde_json::json!({ "streams": streams }).to_string()
}

fn value(entry: &Entry) -> serde_json::Value {
    let metadata: serde_json::Map<_, _> = entry.metadata.iter().map(|(n, v)| (n.into(), v.into())).collect();
    serde_json::json!([entry.timestamp_ns.to_string(), entry.line, metadata])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_logs() {
        let plan = Plan { seed: 7, entries: 500, streams: 9, start_ns: 1_000, step_ns: 1_000_000 };
        assert_eq!(streams(plan), streams(plan));
        assert_ne!(streams(plan), streams(Plan { seed: 8, ..plan }));
        assert_eq!(streams(plan).iter().map(|s| s.entries.len()).sum::<usize>(), 500);
    }
}
