//! A client of functions that are deployed behind one front door, for the tests of this crate.
//!
//! `deploy.py` beside the sources starts LocalStack, deploys both functions and gives the addresses in the environment.

use serde_json::Value;

/// The deployed functions and the bucket that they share.
pub struct Deployed {
    front: String,
    bucket: String,
    client: reqwest::Client,
}

impl Deployed {
    /// Takes the addresses from the environment that `deploy.py` sets.
    #[expect(clippy::disallowed_methods, reason = "the edge: a test is told where the functions are")]
    pub fn from_env() -> Self {
        let variable =
            |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run .ci/localstack-tests"));
        let bucket = format!("{}/logbarn", variable("AWS_ENDPOINT_URL"));
        Deployed { front: variable("LOGBARN_FRONT_URL"), bucket, client: testkit::http::client() }
    }

    /// Pushes a JSON body; gives the status and the text.
    pub async fn push(&self, body: &Value) -> (u16, String) {
        let request = self.client.post(format!("{}/loki/api/v1/push", self.front));
        let answer = request.header("Content-Type", "application/json").body(body.to_string()).send().await;
        let answer = answer.expect("the ingest function answers");
        (answer.status().as_u16(), answer.text().await.expect("a whole body"))
    }

    /// Asks a log query over all time; gives `(time, line)` of every entry.
    pub async fn lines(&self, query: &str, start_ns: i64, end_ns: i64) -> Vec<(String, String)> {
        let (start, end) = (start_ns.to_string(), end_ns.to_string());
        let parameters = [("query", query), ("start", &start), ("end", &end), ("limit", "1000")];
        let request = self.client.get(format!("{}/loki/api/v1/query_range", self.front)).query(&parameters);
        let text = request.send().await.expect("the query function answers").text().await.expect("a whole body");
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let streams = answer["data"]["result"].as_array().expect("streams").clone();
        let values = streams.iter().flat_map(|stream| stream["values"].as_array().cloned().unwrap_or_default());
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        values.map(|value| (text(&value[0]), text(&value[1]))).collect()
    }

    /// The keys that lie in the bucket.
    pub async fn keys(&self) -> Vec<String> {
        let request = self.client.get(format!("{}?list-type=2", self.bucket));
        let xml = request.send().await.expect("the bucket answers").text().await.expect("a whole body");
        xml.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())).collect()
    }
}
