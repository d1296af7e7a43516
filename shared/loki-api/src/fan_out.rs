//! `logbarn.fan_out`: which processes help with large questions, and what they may cost.
//!
//! In: YAML. Out: plain settings; an address that is none is an error. Never shows the token.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::limits::{duration, size};

/// What leaves may do, and where they are; nowhere by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FanOut {
    /// Who is asked: one address or a list that is asked in turn.
    #[serde(with = "one_or_many")]
    pub leaves: Vec<LeafAddress>,
    /// What a process that sends shards over HTTP knows. One that is asked with it answers; without it none is answered.
    pub token: Token,
    /// Most shards of one part of a question (a log query, or one range aggregation).
    pub shards_max: usize,
    /// Stored bytes that are worth a shard.
    #[serde(with = "size")]
    pub bytes_per_shard: u64,
    /// Most shards of this process that are under way.
    pub concurrency_max: usize,
    /// Most stored bytes that leaves are given for one part of a question; what is beyond, this process reads itself.
    #[serde(with = "size")]
    pub bytes_max: u64,
    /// How long a leaf may take before this process does its work.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl Default for FanOut {
    fn default() -> Self {
        FanOut {
            leaves: Vec::new(),
            token: Token::default(),
            shards_max: 64,
            bytes_per_shard: 32 << 20,
            concurrency_max: 16,
            bytes_max: 64 << 30,
            timeout: Duration::from_secs(30),
        }
    }
}

/// Where a leaf is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeafAddress {
    /// A function of AWS Lambda, asked by `Invoke`.
    Lambda(String),
    /// A server, or a balancer in front of several: its address without a path.
    Http(String),
}

impl FromStr for LeafAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("lambda:") {
            Some(name) if !name.is_empty() => return Ok(LeafAddress::Lambda(name.to_owned())),
            Some(_) => return Err("`lambda:` needs the name of a function".to_owned()),
            None => {}
        }
        match ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme)) {
            Some(host) if !host.is_empty() => Ok(LeafAddress::Http(text.trim_end_matches('/').to_owned())),
            _ => Err(format!("{text:?} is no leaf: expected lambda:NAME or http://HOST:PORT")),
        }
    }
}

impl fmt::Display for LeafAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeafAddress::Lambda(name) => write!(f, "lambda:{name}"),
            LeafAddress::Http(address) => f.write_str(address),
        }
    }
}

/// A secret that processes of one deployment share; empty is none.
#[derive(Clone, PartialEq, Default, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// The header by which whoever has it is known.
    pub fn authorization(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| format!("Bearer {}", self.0))
    }

    /// Whether a request has it. Without a token nobody does. Takes the same time wherever they differ.
    pub fn is_in(&self, authorization: &[u8]) -> bool {
        let digest = |bytes: &[u8]| Sha256::digest(bytes);
        let own = self.authorization().unwrap_or_default();
        bool::from(digest(own.as_bytes()).ct_eq(&digest(authorization))) && !own.is_empty()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "<secret>" })
    }
}

/// A text, or a list of texts.
mod one_or_many {
    use super::*;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        One(String),
        Many(Vec<String>),
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LeafAddress>, D::Error> {
        let given =
            Given::deserialize(deserializer).map_err(|_| D::Error::custom("expected an address or a list of them"))?;
        let texts = match given {
            Given::One(text) => vec![text],
            Given::Many(texts) => texts,
        };
        let texts = texts.iter().filter(|text| !text.is_empty());
        texts.map(|text| text.parse().map_err(D::Error::custom)).collect()
    }

    pub(super) fn serialize<S: Serializer>(addresses: &[LeafAddress], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(addresses.iter().map(ToString::to_string))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn leaves_are_read() {
        let check = |yaml: &str, want: Result<&[&str], &str>| {
            let got = Config::from_yaml(&format!("logbarn: {{fan_out: {{leaves: {yaml}}}}}"));
            let got =
                got.map(|config| config.logbarn.fan_out.leaves.iter().map(ToString::to_string).collect::<Vec<_>>());
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{yaml}"),
                (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{yaml}: {why}"),
                (got, _) => panic!("{yaml}: {got:?}"),
            }
        };
        check("lambda:logs-query", Ok(&["lambda:logs-query"]));
        check("[http://a:3100/, https://b]", Ok(&["http://a:3100", "https://b"]));
        check("\"\"", Ok(&[]));
        check("\"lambda:\"", Err("needs the name"));
        check("a:3100", Err("is no leaf"));
        check("http://", Err("is no leaf"));
        check("5", Err("expected an address"));
    }

    #[test]
    fn only_the_token_is_the_token() {
        let token = Token("s3cret".to_owned());
        assert!(token.is_in(b"Bearer s3cret"));
        assert!(!token.is_in(b"Bearer s3cre") && !token.is_in(b"") && !token.is_in(b"Bearer "));
        let none = Token::default();
        assert!(!none.is_in(b"") && !none.is_in(b"Bearer ") && none.authorization().is_none());
        assert_eq!(format!("{token:?}"), "<secret>");
    }
}
