//! Configurations that are taken, and what is said of those that are not.

use super::units::{parse_bytes, parse_duration};
use super::*;

#[test]
fn promtails_own_example_is_understood() {
    let config = Config::parse(
        "
server: {http_listen_port: 9080}
positions: {filename: /tmp/p.yaml, sync_period: 1m30s}
clients:
  - url: http://loki:3100/loki/api/v1/push
    batchwait: 500ms
    backoff_config: {max_retries: 3}
limits_config: {max_line_size: 256kb, max_line_size_truncate: true}
scrape_configs:
  - job_name: system
    static_configs:
      - targets: [localhost]
        labels: {job: varlogs, __path__: /var/log/*log, __path_exclude__: /var/log/x.log}
",
    )
    .unwrap();
    assert_eq!(
        (config.positions_path.as_path(), config.positions_period),
        (Path::new("/tmp/p.yaml"), Duration::from_secs(90))
    );
    let client = &config.clients[0];
    assert_eq!(
        (client.batchwait, client.batchsize, client.timeout),
        (Duration::from_millis(500), 1 << 20, Duration::from_secs(10))
    );
    assert_eq!((client.backoff_config.max_retries, client.backoff_config.max_period), (3, Duration::from_secs(300)));
    assert_eq!((config.line_bytes_max, config.cut_long_lines), (Some(256 << 10), true));
    assert_eq!(config.jobs[0].targets[0].labels, [("job".to_owned(), "varlogs".to_owned())]);
    assert_eq!(config.notices, ["server has no effect"]);
    assert_eq!(ClientConfig::new("u").backoff_config.max_retries, 0, "for ever");
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    let check = |yaml: &str, want: &str| {
        let error = Config::parse(yaml).expect_err(yaml).to_string();
        assert!(error.contains(want), "{yaml}: {error}");
    };
    check("scrape_config: []", "unknown field `scrape_config`");
    check("clients: [{url: 'http://x', batchwaits: 1s}]", "unknown field `batchwaits`");
    check("clients: [{url: 'ftp://x/'}]", "clients[0].url: \"ftp://x/\" is neither http nor https");
    check("clients: [{url: nowhere}]", "clients[0].url");
    check("clients: [{url: 'http://x', batchwait: soon}]", "not a duration: \"soon\"");
    check("clients: [{url: 'http://x', oauth2: {}}]", "clients[0].oauth2: Promtail's setting");
    check("clients: [{url: 'http://x', basic_auth: {username: a}, bearer_token: b}]", "at most one of");
    check("clients: [{url: 'http://x', batchsize: 1000000000}]", "clients[0].batchsize");
    check(
        "scrape_configs: [{job_name: j, relabel_configs: []}]",
        "scrape_configs \"j\": relabel_configs: Promtail's setting",
    );
    check("scrape_configs: [{job_name: j, static_confgs: []}]", "scrape_configs \"j\": static_confgs: unknown key");
    check("scrape_configs: [{job_name: j, static_configs: [{labels: {a: b}}]}]", "labels have no __path__");
    check("scrape_configs: [{job_name: j, static_configs: [{labels: {__path__: '[', a: b}}]}]", "bad file pattern");
    check("scrape_configs: [{job_name: j, pipeline_stages: [{tenant: {}}]}]", "pipeline_stages[0]: tenant");
    check("scrape_configs: [{job_name: j}, {job_name: j}]", "used twice");
    check("limits_config: {readline_rate_enabled: true}", "limits_config.readline_rate_enabled");
}

#[test]
fn secrets_are_not_printed() {
    let config = Config::parse("clients: [{url: 'http://x', basic_auth: {username: a, password: s3cret}}]").unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn durations_and_bytes() {
    let ms = |text: &str| parse_duration(text).map(|duration| duration.as_millis());
    assert_eq!(
        ["1s", "1h30m", "500ms", "1.5s", "0", "2d"].map(ms),
        [1_000, 5_400_000, 500, 1_500, 0, 172_800_000].map(Some)
    );
    assert_eq!(["", "1", "s", "1x", "-1s", "1e400s"].map(ms), [None; 6]);
    assert_eq!(
        ["12", "2kb", "1MiB", "1x", "99999999999999999999"].map(parse_bytes),
        [Some(12), Some(2_048), Some(1 << 20), None, None]
    );
}
