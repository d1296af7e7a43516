//! Stages over lines in memory, in bytes of lines a second, beside `serde_json` on the same lines.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
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

fn stages(criterion: &mut Criterion) {
    let only = |names: &[&str]| Needed::Only(names.iter().map(|name| (*name).to_owned()).collect());
    let (json, logfmt, access) = (json_lines(), logfmt_lines(), access_lines());
    let cases = [
        ("json", "| json", &json, Needed::All),
        ("json by one label", "| json", &json, only(&["status_code"])),
        ("json by a late label", "| json", &json, only(&["user_name"])),
        ("json filter", "| json | status_code >= 500", &json, Needed::All),
        ("json expressions", r#"| json s="status_code", c="user.address.city""#, &json, Needed::All),
        ("logfmt", "| logfmt", &logfmt, Needed::All),
        ("logfmt by one label", "| logfmt", &logfmt, only(&["level"])),
        ("logfmt expressions", "| logfmt status, level", &logfmt, Needed::All),
        ("pattern", r#"| pattern `<ip> - <_> [<_>] "<method> <path> <_>" <status> <size>`"#, &access, Needed::All),
        ("regexp", r#"| regexp "^(?P<ip>\\S+) .*\"(?P<method>[A-Z]+) (?P<path>\\S+)""#, &access, Needed::All),
        ("contains", r#"|= "id=1999 ""#, &access, Needed::All),
        ("contains one of three", r#"|= "id=1999 " or "id=1998 " or "nothing""#, &access, Needed::All),
        ("regex with a literal", r#"|~ "id=199[0-9] ""#, &access, Needed::All),
        ("regex without a literal", r#"|~ "[0-9]{3} [0-9]{6}""#, &access, Needed::All),
        ("regex ignoring case", r#"|~ "(?i)MOZILLA/6""#, &access, Needed::All),
        ("pattern filter", r#"|> `<_> "GET <_> HTTP/2.0" 404 <_>`"#, &access, Needed::All),
        ("ip filter", r#"|= ip("10.9.0.0/16")"#, &access, Needed::All),
    ];
    let stream = Labels::from_pairs([("app", "api"), ("env", "prod"), ("job", "bench"), ("service_name", "api")]);
    let mut group = criterion.benchmark_group("stages");
    for (name, stages, lines, needed) in cases {
        let pipeline = pipeline(stages, needed);
        group.throughput(Throughput::Bytes(lines.iter().map(|line| line.len() as u64).sum()));
        group.bench_function(name, |bencher| {
            let mut running = pipeline.for_stream(&stream);
            bencher.iter(|| {
                let entry = |line| EntryRef { timestamp_ns: 0, line, metadata: &[("detected_level", "info")] };
                lines.iter().filter(|line| running.process(entry(line)).is_some()).count()
            });
        });
    }
    group.throughput(Throughput::Bytes(json.iter().map(|line| line.len() as u64).sum()));
    group.bench_function("serde_json tree, for comparison", |bencher| {
        bencher.iter(|| {
            for line in &json {
                black_box(serde_json::from_str::<serde_json::Value>(line).is_ok());
            }
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = stages }
criterion_main!(benches);
