//! Stages over lines in memory, in bytes of lines a second, beside `serde_json` trees of the JSON lines.
//!
//! Prints one table. Cases and trees take turns and of each the quickest round counts, so that the ratio holds on a
//! machine that is busy with other things.

#![expect(clippy::print_stdout, reason = "the table is what this is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use logql::ast::Expr;
use logql::labels::Needed;
use logql::pipeline::{Hints, Pipeline};
use model::{EntryRef, Labels};

fn json_lines() -> Vec<String> {
    let line = |i: usize| {
        format!(
            r#"{{"timestamp":"2026-11-20T10:00:{:02}.350Z","level":"info","logger_name":"app.core","message":"cache miss for key","service":"demo","trace_id":"3a8a6a22c545204662{i:014x}","span_id":"7e58058f7331882a","method":"PUT","endpoint":"/api/v1/items/{i}","status_code":{},"duration_ms":{}.103,"latency":"7.60s","body_size":"39KB","user":{{"id":{i},"name":"ana","address":{{"city":"Pune","geo":[1.5,2.5]}}}}}}"#,
            i % 60,
            200 + i % 400,
            i % 90
        )
    };
    (0..2000).map(line).collect()
}

fn logfmt_lines() -> Vec<String> {
    let line = |i: usize| {
        format!(
            "ts=2026-11-20T11:29:{:02}.327Z level=warn caller=index.go:{i} msg=\"index re-queued \\\"id=46\\\"\" duration={i}ms size=7.6MB status={} ratio=-1.2198 addr=10.4.0.102:18206",
            i % 60,
            200 + i % 400
        )
    };
    (0..2000).map(line).collect()
}

fn access_lines() -> Vec<String> {
    let line = |i: usize| {
        format!(
            "10.4.{}.{} - alice [20/Nov/2026:11:29:{:02} +0000] \"GET /api/v1/items?id={i} HTTP/2.0\" {} 68200 \"https://example.org/a b\" \"Mozilla/5.0 (X11; Linux x86_64)\" 0.460",
            i % 4,
            i % 250,
            i % 60,
            200 + i % 400
        )
    };
    (0..2000).map(line).collect()
}

fn pipeline(stages: &str, needed: Needed) -> Pipeline {
    match logql::parse(&format!("{{a=\"b\"}} {stages}")).expect("the query is written here") {
        Expr::Log(expr) => Pipeline::with_hints(&expr.pipeline, Hints { needed }).expect("its stages too"),
        Expr::Metric(_) => panic!("no log query: {stages}"),
    }
}

/// Rounds over the lines; the quickest one counts.
const ROUNDS: usize = 150;

fn only(names: &[&str]) -> Needed {
    Needed::Only(names.iter().map(|name| (*name).to_owned()).collect())
}

fn main() {
    let (json, logfmt, access) = (json_lines(), logfmt_lines(), access_lines());
    let pattern = r#"| pattern `<ip> - <_> [<_>] "<method> <path> <_>" <status> <size>`"#;
    let regexp = r#"| regexp "^(?P<ip>\\S+) .*\"(?P<method>[A-Z]+) (?P<path>\\S+)""#;
    let template = r#"| json | line_format "{{.level}} {{.message}}""#;
    let functions =
        r#"| json | line_format "{{.level | upper}} {{.message | trunc 5}} {{if .method}}{{.method}}{{end}}""#;
    let cases = [
        ("json", "| json", &json, Needed::All),
        ("json, one label", "| json", &json, only(&["status_code"])),
        ("json, a late label", "| json", &json, only(&["user_name"])),
        ("json and a filter", "| json | status_code >= 500", &json, Needed::All),
        ("json, two paths", r#"| json s="status_code", c="user.address.city""#, &json, Needed::All),
        ("logfmt", "| logfmt", &logfmt, Needed::All),
        ("logfmt, one label", "| logfmt", &logfmt, only(&["level"])),
        ("logfmt, two keys", "| logfmt status, level", &logfmt, Needed::All),
        ("pattern", pattern, &access, Needed::All),
        ("regexp", regexp, &access, Needed::All),
        ("line_format", r#"| line_format "{{.app}} {{__line__}}""#, &json, Needed::All),
        ("json and line_format", template, &json, Needed::All),
        ("the same with functions", functions, &json, Needed::All),
        ("label_format", r#"| label_format a="{{.app}}-{{.env}}", b=job"#, &json, Needed::All),
        ("contains", r#"|= "id=1999 ""#, &access, Needed::All),
        ("contains one of three", r#"|= "id=1999 " or "id=1998 " or "nothing""#, &access, Needed::All),
        ("regex with a literal", r#"|~ "id=199[0-9] ""#, &access, Needed::All),
        ("regex without a literal", r#"|~ "[0-9]{3} [0-9]{6}""#, &access, Needed::All),
        ("regex ignoring case", r#"|~ "(?i)MOZILLA/6""#, &access, Needed::All),
        ("pattern filter", r#"|> `<_> "GET <_> HTTP/2.0" 404 <_>`"#, &access, Needed::All),
        ("ip filter", r#"|= ip("10.9.0.0/16")"#, &access, Needed::All),
    ];
    let stream = Labels::from_pairs([("app", "api"), ("env", "prod"), ("job", "bench"), ("service_name", "api")]);
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).unwrap_or_default();
    println!("{:<28}{:>10}{:>12}{:>14}", "stages", "MB/s", "tree MB/s", "times tree");
    let mut tree = Duration::MAX;
    for (name, stages, lines, needed) in cases.into_iter().filter(|(name, ..)| name.contains(&wanted)) {
        let pipeline = pipeline(stages, needed);
        let mut running = pipeline.for_stream(&stream);
        let mut quickest = Duration::MAX;
        for _ in 0..ROUNDS {
            tree = tree.min(time(|| json.iter().filter(|line| parses(line)).count()));
            let entry = |line| EntryRef { timestamp_ns: 0, line, metadata: &[("detected_level", "info")] };
            quickest =
                quickest.min(time(|| lines.iter().filter(|line| running.process(entry(line)).is_some()).count()));
        }
        let (speed, tree) = (megabytes_a_second(lines, quickest), megabytes_a_second(&json, tree));
        println!("{name:<28}{speed:>10.0}{tree:>12.0}{:>14.1}", speed / tree);
    }
    if "parse".contains(&wanted) {
        parsing();
    }
}

/// Queries a second, and their bytes.
fn parsing() {
    let query = r#"sum by (app, status) (rate({app=~"api|web", env="prod"} |= "GET" != "health" | json | status >= 500 and duration > 1.5s | line_format "{{.method}} {{.path}}" [5m])) / on (app) group_left sum by (app) (rate({app=~"api|web"}[5m])) > 0.05"#;
    let queries = vec![query.to_owned(); 200];
    let quickest = (0..ROUNDS).map(|_| time(|| queries.iter().filter(|query| logql::parse(query).is_ok()).count()));
    let quickest = quickest.min().unwrap_or(Duration::MAX);
    println!(
        "{:<28}{:>10.1}   ({:.0} queries a second)",
        "parse",
        megabytes_a_second(&queries, quickest),
        200.0 / quickest.as_secs_f64()
    );
}

fn parses(line: &str) -> bool {
    black_box(serde_json::from_str::<serde_json::Value>(line)).is_ok()
}

fn time(work: impl FnOnce() -> usize) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn megabytes_a_second(lines: &[String], time: Duration) -> f64 {
    lines.iter().map(String::len).sum::<usize>() as f64 / 1e6 / time.as_secs_f64()
}
