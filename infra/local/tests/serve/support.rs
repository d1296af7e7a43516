//! A real `logbarn serve` for a test: the built binary on a free port, asked over HTTP, killed when the test is over.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::moto::Moto;

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Its address, with `http://`.
    pub(crate) url: String,
    /// A client that gives up after some time.
    pub(crate) client: reqwest::Client,
}

/// The binary under test.
pub(crate) fn built_binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_logbarn"))
}

impl Server {
    /// Starts the binary in a folder (`data`, `logs` and `config.yaml` lie there) and waits until it is ready.
    pub(crate) async fn start(folder: &Path, config: &str) -> Server {
        Self::start_at(folder, config, "http", testkit::http::client()).await
    }

    /// The same for a server that is reached by another scheme, and a client that trusts it.
    pub(crate) async fn start_at(folder: &Path, config: &str, scheme: &str, client: reqwest::Client) -> Server {
        Self::start_as(&built_binary(), folder, config, scheme, client).await
    }

    /// The same with another build of the binary.
    pub(crate) async fn start_as(
        binary: &Path,
        folder: &Path,
        config: &str,
        scheme: &str,
        client: reqwest::Client,
    ) -> Server {
        let store = format!("file://{}", folder.join("data").display());
        Self::start_with(binary, folder, config, (&store, &[]), (scheme, client)).await
    }

    /// The same on a bucket.
    pub(crate) async fn start_on(moto: &Moto, store: &str, folder: &Path, config: &str) -> Server {
        let client = testkit::http::client();
        Self::start_with(&built_binary(), folder, config, (store, &moto.environment()), ("http", client)).await
    }

    async fn start_with(
        binary: &Path,
        folder: &Path,
        config: &str,
        (store, variables): (&str, &[(String, String)]),
        (scheme, client): (&str, reqwest::Client),
    ) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").port();
        let listen = format!("127.0.0.1:{port}");
        let config_path = folder.join("config.yaml");
        std::fs::write(&config_path, config).expect("the config can be written");
        let child = Command::new(binary)
            .args(["serve", "--listen", &listen, "--config"])
            .arg(&config_path)
            .args(["--store", store])
            .envs(variables.iter().cloned())
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let server = Server { child, url: format!("{scheme}://{listen}"), client };
        server.ready().await;
        server
    }

    async fn ready(&self) {
        let deadline = Instant::now() + START_MAX;
        loop {
            match self.client.get(format!("{}/ready", self.url)).send().await {
                Ok(answer) if answer.status().is_success() => return,
                _ if Instant::now() > deadline => panic!("the server at {} is not ready after {START_MAX:?}", self.url),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process ends");
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM; gives the exit status.
    pub(crate) fn terminate(mut self) -> std::process::ExitStatus {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        self.child.wait().expect("the process ends")
    }

    /// A JSON answer.
    pub(crate) async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let request = self.client.get(format!("{}{path}", self.url)).query(parameters);
        let answer = request.send().await.expect("the server answers");
        let status = answer.status();
        let text = answer.text().await.expect("a whole body");
        assert!(status.is_success(), "{path} {parameters:?}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}: {text}"))
    }

    /// Every line of a selector between two times, oldest first, page by page as a client would.
    pub(crate) async fn lines(&self, query: &str, start_ns: i64, end_ns: i64) -> Vec<String> {
        const PAGE: usize = 5_000;
        let (mut start_ns, mut all) = (start_ns, Vec::<(i64, String)>::new());
        loop {
            let (start, end, limit) = (start_ns.to_string(), end_ns.to_string(), PAGE.to_string());
            let parameters =
                [("query", query), ("start", &start), ("end", &end), ("limit", &limit), ("direction", "forward")];
            let answer = self.get("/loki/api/v1/query_range", &parameters).await;
            let mut page = Vec::new();
            for stream in answer["data"]["result"].as_array().expect("streams") {
                for value in stream["values"].as_array().expect("values") {
                    let time: i64 = value[0].as_str().expect("a time").parse().expect("nanoseconds");
                    page.push((time, value[1].as_str().expect("a line").to_owned()));
                }
            }
            page.sort();
            let full = page.len() == PAGE;
            match page.last() {
                // The last time may have more entries than the page held: drop it and ask from there again.
                Some((last, _)) if full => {
                    start_ns = *last;
                    page.retain(|(time, _)| *time < start_ns);
                    assert!(!page.is_empty(), "more than {PAGE} entries at one time");
                }
                _ => {}
            }
            all.extend(page);
            if !full {
                return all.into_iter().map(|(_, line)| line).collect();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
