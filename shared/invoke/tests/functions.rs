//! The client against a Lambda API of this process: what it sends, and what each answer becomes.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use invoke::{ASK_BYTES_MAX, Functions, InvokeError};

/// What was asked: path, headers, body.
type Seen = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

async fn lambda(State(seen): State<Seen>, uri: OriginalUri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let mut seen = seen.lock().expect("nobody panicked");
    seen.push((path.clone(), headers.clone(), body));
    let function = path.split('/').nth(3).unwrap_or_default();
    let told = format!(r#"{{"Message":"told by {function}"}}"#);
    match function {
        "busy" => (StatusCode::TOO_MANY_REQUESTS, told).into_response(),
        "forbidden" => (StatusCode::FORBIDDEN, told).into_response(),
        "broken" => (StatusCode::OK, [("x-amz-function-error", "Unhandled")], told).into_response(),
        "shaky" if seen.len() == 1 => (StatusCode::BAD_GATEWAY, told).into_response(),
        "gone" => (StatusCode::BAD_GATEWAY, told).into_response(),
        _ if headers["x-amz-invocation-type"] == "Event" => StatusCode::ACCEPTED.into_response(),
        _ => "done".into_response(),
    }
}

async fn functions() -> (Functions, Seen) {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let server = axum::serve(listener, Router::new().fallback(lambda).with_state(seen.clone()));
    tokio::spawn(server.into_future());
    let variables = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "session"),
        ("AWS_ENDPOINT_URL_LAMBDA", &endpoint),
        ("AWS_ENDPOINT_URL", "http://nowhere.invalid"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    (Functions::open(variables).expect("settings"), seen)
}

#[tokio::test]
async fn asking_waits_and_telling_hands_over() {
    let (functions, seen) = functions().await;
    assert_eq!(functions.ask("f-1", "{}".into()).await, Ok(Bytes::from("done")));
    assert_eq!(functions.tell("arn:aws:lambda:r:1:function:f", "[]".into()).await, Ok(()));
    let seen = seen.lock().expect("nobody panicked");
    let (path, headers, body) = &seen[0];
    assert_eq!((path.as_str(), body.as_ref()), ("/2015-03-31/functions/f%2D1/invocations", b"{}".as_ref()));
    assert_eq!(headers["x-amz-invocation-type"], "RequestResponse");
    assert_eq!(headers["x-amz-security-token"], "session");
    let signature = headers["authorization"].to_str().expect("text");
    assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=key/"), "{signature}");
    assert!(signature.contains("/eu-west-1/lambda/aws4_request"), "{signature}");
    assert!(!signature.contains("secret"));
    assert_eq!(seen[1].1["x-amz-invocation-type"], "Event");
}

#[tokio::test]
async fn an_error_says_what_to_do() {
    let (functions, _) = functions().await;
    let told = |error: &InvokeError| error.to_string();
    let busy = functions.ask("busy", Bytes::new()).await.expect_err("throttled");
    assert!(matches!(busy, InvokeError::Throttled { .. }), "{busy}");
    let forbidden = functions.tell("forbidden", Bytes::new()).await.expect_err("refused");
    assert_eq!(
        told(&forbidden),
        r#"invoking the function forbidden is refused (403): {"Message":"told by forbidden"}"#
    );
    let broken = functions.ask("broken", Bytes::new()).await.expect_err("failed");
    assert_eq!(told(&broken), r#"the function broken failed: {"Message":"told by broken"}"#);
    let large = functions.ask("f", vec![0; ASK_BYTES_MAX + 1].into()).await.expect_err("too large");
    assert!(matches!(large, InvokeError::TooLarge { .. }), "{large}");
}

#[tokio::test]
async fn what_may_pass_is_tried_twice() {
    let (functions, seen) = functions().await;
    assert_eq!(functions.ask("shaky", Bytes::new()).await, Ok(Bytes::from("done")));
    assert_eq!(seen.lock().expect("nobody panicked").len(), 2);
    let gone = functions.ask("gone", Bytes::new()).await.expect_err("gone");
    assert!(matches!(gone, InvokeError::Unavailable { .. }), "{gone}");
    assert_eq!(seen.lock().expect("nobody panicked").len(), 4);
}
