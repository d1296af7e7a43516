//! Where a store is: `file:///dir`, `s3://bucket/prefix` or `memory:`.
//!
//! In: what the user typed. Out: a checked location. A URL never carries credentials: one that does is refused, and the refusal
//! does not repeat it. Whatever else S3 needs (endpoint, region, keys) comes from the `AWS_*` variables, see `open`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

use crate::Error;

/// A checked store location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl(pub(crate) Location);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// In this process, gone with it.
    Memory,
    /// An absolute folder.
    Folder(PathBuf),
    /// A bucket and a prefix without slashes at its ends; empty for the whole bucket.
    S3 { bucket: String, prefix: String },
}

impl StoreUrl {
    /// A store in the memory of this process.
    pub fn memory() -> Self {
        StoreUrl(Location::Memory)
    }

    /// A store in a folder; it must be an absolute path.
    pub fn folder(path: &Path) -> Result<Self, Error> {
        match path.is_absolute() {
            true => Ok(StoreUrl(Location::Folder(path.to_path_buf()))),
            false => Err(Error::invalid(format!("store folder must be an absolute path: {}", path.display()))),
        }
    }

    /// Whether each request is paid for.
    pub fn is_bucket(&self) -> bool {
        matches!(self.0, Location::S3 { .. })
    }

    /// The bucket's name, if it is one.
    pub fn bucket(&self) -> Option<&str> {
        match &self.0 {
            Location::S3 { bucket, .. } => Some(bucket),
            _ => None,
        }
    }

    /// The folder, if it is one.
    pub fn folder_path(&self) -> Option<&Path> {
        match &self.0 {
            Location::Folder(path) => Some(path),
            _ => None,
        }
    }
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "memory" || text == "memory:" || text == "memory://" {
            return Ok(StoreUrl::memory());
        }
        let url = Url::parse(text).map_err(|why| Error::invalid(format!("store URL: {why}; {FORMS}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::invalid(
                "store URL must not carry credentials; give them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() || url.port().is_some() {
            return Err(Error::invalid(format!("store URL must not carry a port, `?` or `#`; {FORMS}")));
        }
        match url.scheme() {
            "file" => match url.to_file_path() {
                Ok(path) => StoreUrl::folder(&path),
                Err(()) => Err(Error::invalid(format!("store URL names no local folder: {text}; {FORMS}"))),
            },
            "s3" => s3(url.host_str().unwrap_or_default(), url.path()),
            other => Err(Error::invalid(format!("unknown store scheme \"{other}\"; {FORMS}"))),
        }
    }
}

const FORMS: &str = "expected file:///folder, s3://bucket/prefix or memory:";

fn s3(bucket: &str, path: &str) -> Result<StoreUrl, Error> {
    let bucket_ok = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
    if !bucket_ok {
        return Err(Error::invalid(format!("not a bucket name: \"{bucket}\"")));
    }
    if bucket.ends_with("--x-s3") {
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-express-differences.html
        return Err(Error::invalid(format!(
            "directory buckets list their keys in no order and cannot be a store: {bucket}"
        )));
    }
    let prefix = path.trim_matches('/');
    let segment_ok = |s: &str| {
        !matches!(s, "" | "." | "..") && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.=!'()".contains(&b))
    };
    if !prefix.is_empty() && !prefix.split('/').all(segment_ok) {
        return Err(Error::invalid(format!(
            "prefix in the bucket may hold letters, digits, `-_.=!'()` and single slashes: \"{prefix}\""
        )));
    }
    Ok(StoreUrl(Location::S3 { bucket: bucket.into(), prefix: prefix.into() }))
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Location::Memory => f.write_str("memory:"),
            Location::Folder(path) => match Url::from_file_path(path) {
                Ok(url) => write!(f, "{url}"),
                Err(()) => write!(f, "file://{}", path.display()),
            },
            Location::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Location::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_print_as_they_are_meant() {
        let check = |input: &str, want: &str| {
            let url: StoreUrl = input.parse().unwrap();
            assert_eq!(url.to_string(), want, "{input}");
            assert_eq!(want.parse::<StoreUrl>().unwrap(), url, "{input}");
        };
        check("memory:", "memory:");
        check("memory://", "memory:");
        check("file:///var/lib/logs", "file:///var/lib/logs");
        check("file:///tmp/a b", "file:///tmp/a%20b");
        check("s3://logs", "s3://logs");
        check("s3://logs/", "s3://logs");
        check("s3://logs/team/a=1/", "s3://logs/team/a=1");
    }

    #[test]
    fn what_cannot_be_a_store_is_refused() {
        for bad in [
            "",
            "logs",
            "/var/logs",
            "http://h/b",
            "file://host/dir",
            "file:///d?x=1",
            "s3://",
            "s3://ab",
            "s3://Logs",
            "s3://logs:9000/x",
            "s3://logs/a//b",
            "s3://logs/a%2F..",
            "s3://logs#x",
            "s3://zone--use1-az4--x-s3",
        ] {
            let error = bad.parse::<StoreUrl>().expect_err(bad);
            assert!(matches!(error, Error::Invalid { .. }), "{bad}: {error:?}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_not_repeated() {
        let error = "s3://AKIAKEY:hunter2@logs/x".parse::<StoreUrl>().expect_err("credentials");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
