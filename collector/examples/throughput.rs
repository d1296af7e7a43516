//! How fast lines go from a file to a compressed push body: `cargo run --release -p collector --example throughput [MB]`.
//!
//! In: a generated file of JSON lines. Out, on the terminal: MB/s of one core, through read, json, timestamp, labels, encode and snappy.
//! The network and the journal are left out: they wait, and do not compute.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use collector::{Config, Metrics};

const STAGES: &str = "
  - json: {expressions: {level: level, service_name: service_name, timestamp: timestamp}}
  - timestamp: {source: timestamp, format: RFC3339Nano}
  - labels: {level: , service_name: }
";

#[expect(clippy::print_stdout, reason = "the figure is what this program is for")]
fn main() -> anyhow::Result<()> {
    let megabytes: usize = std::env::args().nth(1).map_or(Ok(256), |argument| argument.parse())?;
    let folder = tempfile::tempdir()?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(folder.path().join("app.log"))?);
    let mut written = 0;
    let mut i: u64 = 0;
    while written < megabytes << 20 {
        let line = line(i);
        file.write_all(line.as_bytes())?;
        written += line.len();
        i += 1;
    }
    file.flush()?;
    let yaml = format!(
        "scrape_configs: [{{job_name: bench, static_configs: [{{labels: {{job: bench, __path__: '{}/*.log'}}}}], pipeline_stages: {}}}]",
        folder.path().display(),
        serde_json::to_string(&serde_yaml_ng::from_str::<serde_json::Value>(STAGES)?)?
    );
    let config = Config::parse(&yaml)?;
    for _ in 0..3 {
        let metrics = Arc::new(Metrics::default());
        let mut body_bytes = 0;
        let (start, cpu_start) = (Instant::now(), cpu_seconds()?);
        collector::read_to_end(&config, Arc::clone(&metrics), |body| body_bytes += body.len());
        let seconds = start.elapsed().as_secs_f64();
        let cpu = cpu_seconds()? - cpu_start;
        let rate = |seconds: f64| written as f64 / seconds / 1e6;
        let lines = metrics.lines_read.get();
        println!(
            "{:.0} MB/s per core, {:.0} MB/s by the clock ({lines} lines, {body_bytes} bytes of bodies)",
            rate(cpu),
            rate(seconds)
        );
    }
    Ok(())
}

/// Time that this thread was on a core: others may use the machine too.
fn cpu_seconds() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse::<f64>()? / 1e9)
}

fn line(i: u64) -> String {
    let level = ["info", "info", "info", "warn", "error"][(i % 5) as usize];
    let hash = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "{{\"timestamp\":\"2024-11-14T14:{:02}:{:02}.{:06}Z\",\"level\":\"{level}\",\"logger_name\":\"uvicorn.access\",\"message\":\"GET /api/items/{i} 200\",\
         \"service_name\":\"service-{}\",\"trace_id\":\"{hash:016x}\",\"method\":\"GET\",\"endpoint\":\"/api/items\",\"status_code\":200,\"duration_ms\":{}.5}}\n",
        i / 60_000 % 60,
        i / 1_000 % 60,
        i % 1_000_000,
        i % 10,
        hash % 900
    )
}
