//! The function behind the gateway: one request, signed if need be.
//!
//! In: a method, a path with its query, headers, a body. Out: the answer's head, its body still on the way. Headers that belong to one
//! connection stay on it; where a signature is the authorization, the client's own is not sent along.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, Method, header};
use query_fn::Signer;
use reqwest::{Response, Url};

use super::Sign;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The host of a function's URL ends so, behind its region.
const FUNCTION_URL_HOST: &str = ".on.aws";
/// Headers about one connection, and those that the next request gets of its own.
const NOT_PASSED_ON: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    header::CONTENT_LENGTH,
];

/// A function's URL and how it is asked.
pub(super) struct Upstream {
    client: reqwest::Client,
    address: Url,
    signer: Option<Signer>,
}

impl Upstream {
    pub(super) fn new(address: &str, sign: Sign, environment: &HashMap<String, String>) -> Result<Self> {
        let address: Url = address.parse().with_context(|| format!("{address:?} is not a URL"))?;
        let host = address.host_str().unwrap_or_default().to_owned();
        if !matches!(address.scheme(), "http" | "https") || host.is_empty() {
            bail!("a function's URL begins with https://, not {address}");
        }
        // Somebody else in the process may have installed one; any will do.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .redirect(reqwest::redirect::Policy::none())
            // Answers are handed on as they are, compressed or not.
            .no_gzip()
            .build()?;
        let signs = sign == Sign::Always || (sign == Sign::Auto && host.ends_with(FUNCTION_URL_HOST));
        let signer =
            if signs { Some(Signer::open("lambda", &region(&host, environment)?, environment)?) } else { None };
        Ok(Upstream { client, address, signer })
    }

    /// Sends a request; waits for the head of its answer.
    pub(super) async fn send(&self, method: Method, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Response> {
        let url = format!("{}{path}", self.address.as_str().trim_end_matches('/'));
        let mut passed = passed_on(headers);
        if let Some(signer) = &self.signer {
            passed.remove(header::AUTHORIZATION);
            let mut signed = signer.sign(method.clone(), &url, body.clone()).await?;
            // The client writes the same host by itself.
            signed.remove(header::HOST);
            passed.extend(signed);
        }
        Ok(self.client.request(method, url).headers(passed).body(body).send().await?)
    }
}

/// The headers of a request or an answer that are for the other side of a proxy too.
pub(super) fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> = named.flat_map(|names| names.split(',')).map(|name| name.trim().to_lowercase()).collect();
    let passed = headers
        .iter()
        .filter(|(name, _)| !NOT_PASSED_ON.contains(name) && !named.iter().any(|other| other == name.as_str()));
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// That of the URL's own host, or that of the environment.
fn region(host: &str, environment: &HashMap<String, String>) -> Result<String> {
    let of_host = host.strip_suffix(FUNCTION_URL_HOST).and_then(|rest| rest.split_once(".lambda-url.")).map(|(_, r)| r);
    let of_environment = || ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| environment.get(*name));
    match of_host.map(str::to_owned).or_else(|| of_environment().cloned()) {
        Some(region) => Ok(region),
        None => bail!("AWS_REGION is not set: in which region is {host}?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_connection_stays_on_it() {
        let pairs = [
            ("connection", "close, X-Own"),
            ("x-own", "1"),
            ("te", "trailers"),
            ("host", "gateway"),
            ("x-scope-orgid", "a"),
            ("accept-encoding", "gzip"),
        ];
        let headers = pairs.map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")));
        let passed = passed_on(&headers.into_iter().collect());
        let mut names: Vec<&str> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept-encoding", "x-scope-orgid"]);
    }

    #[test]
    fn a_region_stands_in_the_host() {
        let region_of = |host: &str, variables: &[(&str, &str)]| {
            region(host, &variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
                .ok()
        };
        assert_eq!(region_of("abc.lambda-url.eu-west-1.on.aws", &[("AWS_REGION", "x")]).as_deref(), Some("eu-west-1"));
        assert_eq!(region_of("127.0.0.1", &[("AWS_DEFAULT_REGION", "x")]).as_deref(), Some("x"));
        assert_eq!(region_of("127.0.0.1", &[]), None);
    }
}
