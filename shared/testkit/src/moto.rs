//! A real S3 server for tests: moto, over HTTP, on a port of its own.
//!
//! In: the program that `.ci/moto` installs under `target/moto` (or the one that `LOGBARN_TEST_MOTO` names). Out: an endpoint with
//! buckets, gone when dropped. Where the program is missing, tests that want it skip and say so; with `LOGBARN_REQUIRE_SERVERS=1`
//! or `CI=true` they fail instead. moto keeps objects in memory, lists in byte order and honours `If-None-Match`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What moto says, on its error output, once it serves; the address follows.
const READY: &str = "Running on http://";
/// How long it may take over one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A running moto server; ended when dropped.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    /// Host and port.
    address: String,
}

impl Moto {
    /// Starts a server, or says on the error output why the test is skipped and gives `None`.
    ///
    /// # Panics
    /// If the server is missing although the environment requires it, or if it does not start.
    pub fn start() -> Option<Self> {
        let program = program();
        if !program.exists() {
            let missing = format!("no S3 server at {}: run .ci/moto", program.display());
            assert!(!servers_required(), "{missing}");
            eprintln!("SKIPPED, NOT TESTED: {missing}");
            return None;
        }
        // Port 0: the system chooses a free one, and moto tells which.
        let mut process = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|why| panic!("{} does not start: {why}", program.display()));
        let mut lines = BufReader::new(process.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
        let mut said = String::new();
        let address = lines.by_ref().find_map(|line| {
            said.push_str(&line);
            line.split_once(READY).map(|(_, address)| address.trim().to_string())
        });
        // It logs every request; a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        match address {
            Some(address) => Some(Moto { process, address }),
            None => panic!("{} ended before it served: {said}", program.display()),
        }
    }

    /// `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The variables with which a program finds this server.
    pub fn environment(&self) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", "test".into()),
            ("AWS_SECRET_ACCESS_KEY", "test".into()),
            ("AWS_REGION", "us-east-1".into()),
        ];
        pairs.map(|(name, value)| (name.to_string(), value)).to_vec()
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn create_bucket(&self, name: &str) {
        // moto wants a signature to be there and does not check it.
        let signature =
            "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        let request = format!(
            "PUT /{name} HTTP/1.1\r\nHost: {}\r\nAuthorization: {signature}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        );
        let mut connection = TcpStream::connect(&self.address).expect("the server is ready");
        connection.set_read_timeout(Some(ANSWER_TIMEOUT)).expect("not zero");
        connection.write_all(request.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("the server answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "bucket {name}: {answer}");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "tests find their servers by the environment")]
fn program() -> PathBuf {
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/moto/bin/moto_server");
    std::env::var_os("LOGBARN_TEST_MOTO").map_or_else(installed, PathBuf::from)
}

#[expect(clippy::disallowed_methods, reason = "tests find their servers by the environment")]
fn servers_required() -> bool {
    std::env::var_os("LOGBARN_REQUIRE_SERVERS").is_some_and(|v| v == "1")
        || std::env::var_os("CI").is_some_and(|v| v == "true")
}
