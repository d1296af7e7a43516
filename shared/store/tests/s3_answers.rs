//! What S3 can answer, word for word: a server that speaks from a script, and what the store makes of it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use model::{Day, TenantId, TimeRange};
use store::{Committed, Error, FreshKey, Store};

/// Answers, one a request, in order.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
    thread: JoinHandle<()>,
}

/// The connection is closed without an answer, as when the server is killed after its work.
const NO_ANSWER: &str = "";

impl Server {
    fn answering(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
        let log = Arc::clone(&requests);
        let thread = std::thread::spawn(move || {
            for answer in answers {
                let (connection, _) = listener.accept().unwrap();
                log.lock().unwrap().push(serve(connection, &answer));
            }
        });
        Server { address, requests, thread }
    }

    fn store(&self) -> Store {
        let environment = [
            ("AWS_ENDPOINT_URL_S3", format!("http://{}", self.address)),
            ("AWS_ACCESS_KEY_ID", "AKIDTEST".into()),
            ("AWS_SECRET_ACCESS_KEY", "hunter2".into()),
            ("AWS_SESSION_TOKEN", "token3".into()),
            ("AWS_DEFAULT_REGION", "eu-test-1".into()),
            ("AWS_LAMBDA_FUNCTION_NAME", "not for us".into()),
            ("AWS_PROFILE", String::new()),
        ];
        let environment = environment.map(|(name, value)| (name.to_string(), value));
        Store::open(&"s3://bucket/pre/fix".parse().unwrap(), environment).unwrap()
    }

    /// All answers were asked for; gives the requests.
    fn requests(self) -> Vec<String> {
        self.thread.join().unwrap();
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

/// Reads a request, answers, closes; gives the request's head.
fn serve(connection: TcpStream, answer: &str) -> String {
    let mut reader = BufReader::new(&connection);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line == "\r\n" || line.is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    (&connection).write_all(answer.as_bytes()).unwrap();
    head
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nETag: \"e\"\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn s3_error(status: &str, code: &str) -> String {
    answer(status, &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>"))
}

async fn put(store: &Store) -> Result<Committed, Error> {
    let fresh = FreshKey { day: Day::of(0), min_ts: 1, max_ts: 2, batch_id: 3, rows: 4 };
    store.put_fresh(&TenantId::new("t*1").unwrap(), fresh, Bytes::from_static(b"segment")).await
}

/// Each line: what the server answers in turn, and how the put ends. All answers must have been asked for.
#[tokio::test]
async fn a_put_ends_only_when_it_is_known_how() {
    let check = async |answers: &[&str], want: Result<Committed, &str>| {
        let server = Server::answering(answers);
        let store = server.store();
        let ended = put(&store).await;
        let counts = store.counters().snapshot();
        assert_eq!((counts.puts, counts.wire_requests), (1, answers.len() as u64), "{answers:?}");
        let ended = ended.map_err(|error| format!("{error:?}"));
        match want {
            Ok(want) => assert_eq!(ended, Ok(want), "{answers:?}"),
            Err(part) => assert!(ended.as_ref().is_err_and(|e| e.contains(part)), "{answers:?}: {ended:?}"),
        }
        for request in server.requests() {
            assert!(request.starts_with("PUT /bucket/pre/fix/t/t%2A1/1970-01-01/l0/"), "{request}");
            assert!(request.contains("if-none-match: *\r\n"), "{request}");
            assert!(request.contains("/eu-test-1/s3/aws4_request"), "{request}");
        }
    };
    let ok = answer("200 OK", "");
    let exists = s3_error("412 Precondition Failed", "PreconditionFailed");
    let busy = s3_error("409 Conflict", "ConditionalRequestConflict");
    let slow = s3_error("503 Slow Down", "SlowDown");
    let broken = s3_error("500 Internal Server Error", "InternalError");

    check(&[&ok], Ok(Committed::Created)).await;
    check(&[&exists], Ok(Committed::Existed)).await;
    check(&[&slow, &broken, &ok], Ok(Committed::Created)).await;
    // Another writer of the same key was at work: it has succeeded, or it has not.
    check(&[&busy, &exists], Ok(Committed::Existed)).await;
    check(&[&busy, &busy, &ok], Ok(Committed::Created)).await;
    // The answer was lost after the work, or before it.
    check(&[NO_ANSWER, &exists], Ok(Committed::Existed)).await;
    check(&["HTTP/1.1 200 OK\r\nContent-", &exists], Ok(Committed::Existed)).await;
    check(&[NO_ANSWER, &ok], Ok(Committed::Created)).await;
    check(&[&slow, &s3_error("403 Forbidden", "AccessDenied")], Err("Invalid")).await;
    check(&[&s3_error("404 Not Found", "NoSuchBucket")], Err("NoSuchBucket")).await;
    check(&[&s3_error("400 Bad Request", "EntityTooLarge")], Err("EntityTooLarge")).await;
}

#[tokio::test]
async fn secrets_stay_out_of_errors() {
    let echo = "<Error><Code>ExpiredToken</Code><Token-0>token3</Token-0><Key>hunter2</Key></Error>";
    for status in ["400 Bad Request", "403 Forbidden"] {
        let server = Server::answering(&[&answer(status, echo)]);
        let store = server.store();
        let error = put(&store).await.expect_err(status);
        let said = format!("{error} {error:?} {store:?}");
        assert!(said.contains("ExpiredToken"), "{said}");
        assert!(!["token3", "hunter2", "AKIDTEST"].iter().any(|secret| said.contains(secret)), "{said}");
    }
}

/// A body that breaks off is asked for again from where it ended.
#[tokio::test]
async fn a_broken_body_is_made_whole() {
    let listing = "<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated><Contents>\
                   <Key>pre/fix/t/a/1970-01-01/l0/0000000000000000001-0000000000000000002-00000000000000000000000000000003-4.seg</Key>\
                   <LastModified>2026-11-20T00:00:00Z</LastModified><ETag>\"e\"</ETag><Size>10</Size></Contents></ListBucketResult>";
    let part = |range: &str, length: usize, body: &str| {
        format!(
            "HTTP/1.1 206 Partial Content\r\nETag: \"e\"\r\nLast-Modified: Fri, 20 Nov 2026 00:00:00 GMT\r\nContent-Range: bytes {range}/10\r\n\
             Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let server = Server::answering(&[&answer("200 OK", listing), &part("2-8", 7, "cde"), &part("5-8", 4, "fghi")]);
    let store = server.store();
    let segments = store.segments(&TenantId::new("a").unwrap(), TimeRange::new(0, 10).unwrap()).await.unwrap();
    assert_eq!(store.read_range(&segments[0], 2..9).await.unwrap(), "cdefghi");
    assert_eq!(store.counters().snapshot().gets, 1);
    assert!(server.requests()[2].contains("range: bytes=5-8\r\n"));
}

#[tokio::test]
async fn settings_that_cannot_work_are_told_at_once() {
    let check = |environment: &[(&str, &str)], want: Result<(), &str>| {
        let pairs = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let opened = Store::open(&"s3://bucket".parse().unwrap(), pairs);
        match (opened, want) {
            (Ok(store), Ok(())) => assert_eq!(store.counters().snapshot(), Default::default(), "opening asks nothing"),
            (Err(error @ Error::Invalid { .. }), Err(part)) => {
                assert!(error.to_string().contains(part), "{environment:?}: {error}");
                assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            }
            (opened, _) => panic!("{environment:?}: {opened:?}"),
        }
    };
    check(&[("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "hunter2")], Ok(()));
    check(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn")], Ok(()));
    check(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x")], Ok(()));
    check(&[], Ok(()));
    check(&[("AWS_ACCESS_KEY_ID", ""), ("AWS_ENDPOINT_URL", "")], Ok(()));
    check(&[("AWS_SECRET_ACCESS_KEY", "hunter2")], Err("AccessKeyId"));
    check(&[("AWS_ENDPOINT_URL", "http://user:hunter2@host")], Err("credentials"));
    check(&[("AWS_ENDPOINT_URL", "host:9000/x y")], Err("AWS_ENDPOINT_URL"));
    check(&[("AWS_ENDPOINT_URL", "no url")], Err("AWS_ENDPOINT_URL"));
    check(&[("AWS_TIMEOUT", "soon")], Err("S3 settings"));
}
