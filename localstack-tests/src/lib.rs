//! A client of functions that are deployed behind one front door, for the tests of this crate.
//!
//! `deploy.py` beside the sources starts LocalStack, deploys both functions and gives the addresses in the environment. The functions are
//! asked over HTTP, the bucket by AWS's own SDK.

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::Object;
use serde_json::Value;

const BUCKET: &str = "logbarn";

/// The deployed functions and the bucket that they share.
pub struct Deployed {
    front: String,
    bucket: aws_sdk_s3::Client,
    client: reqwest::Client,
}

impl Deployed {
    /// Takes the addresses from the environment that `deploy.py` sets.
    #[expect(clippy::disallowed_methods, reason = "the edge: a test is told where the functions are")]
    pub fn from_env() -> Self {
        let variable =
            |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run .ci/localstack-tests"));
        let bucket = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .endpoint_url(variable("AWS_ENDPOINT_URL"))
            .force_path_style(true)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let bucket = aws_sdk_s3::Client::from_conf(bucket);
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

    /// What lies in the bucket.
    pub async fn objects(&self) -> Vec<Object> {
        let mut pages = self.bucket.list_objects_v2().bucket(BUCKET).into_paginator().send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            objects.extend(page.expect("the bucket can be listed").contents.unwrap_or_default());
        }
        objects
    }

    /// The keys that lie in the bucket.
    pub async fn keys(&self) -> Vec<String> {
        self.objects().await.into_iter().filter_map(|object| object.key).collect()
    }

    /// An object: its bytes, and what S3 says of it.
    pub async fn object(&self, key: &str) -> (Vec<u8>, GetObjectOutput) {
        let mut object = self.bucket.get_object().bucket(BUCKET).key(key).send().await.expect("the object can be read");
        let body = std::mem::take(&mut object.body).collect().await.expect("a whole body");
        (body.to_vec(), object)
    }

    /// Uploads in parts that were begun and neither finished nor given up.
    pub async fn unfinished_uploads(&self) -> usize {
        let uploads = self.bucket.list_multipart_uploads().bucket(BUCKET).send().await;
        uploads.expect("the bucket tells its uploads").uploads().len()
    }
}
