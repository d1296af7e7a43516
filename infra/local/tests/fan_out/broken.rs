//! Leaves that do not do what they are asked, each in its own way.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;

/// What a leaf does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    /// It has no time.
    Throttled,
    /// It never answers.
    Stuck,
    /// It breaks.
    Failing,
    /// It answers, but not what was asked.
    Nonsense,
    /// It gives half of a good answer.
    CutOff,
}

pub(crate) const ALL: [How; 5] = [How::Throttled, How::Stuck, How::Failing, How::Nonsense, How::CutOff];

/// Starts one; `good` is a leaf that knows the answers.
pub(crate) async fn start(how: How, good: &str) -> String {
    let url = format!("{good}/logbarn/v1/shard");
    let app = Router::new().route("/logbarn/v1/shard", post(move |headers, body| answer(how, url, headers, body)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

async fn answer(how: How, good: String, headers: HeaderMap, shard: Bytes) -> Response {
    match how {
        How::Throttled => (StatusCode::TOO_MANY_REQUESTS, "not now").into_response(),
        How::Stuck => std::future::pending().await,
        How::Failing => (StatusCode::INTERNAL_SERVER_ERROR, "oh").into_response(),
        How::Nonsense => "<html>hello</html>".into_response(),
        How::CutOff => {
            let token = headers.get("authorization").expect("the token").clone();
            let request = testkit::http::client().post(good).header("authorization", token).body(shard);
            let whole = request.send().await.expect("an answer").bytes().await.expect("a body");
            whole.slice(..whole.len() / 2).into_response()
        }
    }
}
