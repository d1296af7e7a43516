//! What can go wrong with the store, split by what the caller does about it.
//!
//! In: errors of the object store underneath. Out: one of five kinds, with the key named. Texts never hold a secret: bodies
//! that a server sent and the query part of URLs are cut off (an S3 answer to an expired token repeats the token).

use std::error::Error as StdError;
use std::io::ErrorKind;

/// An error of the store, by reaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store did not answer, or not in time: try again later. Whether a write took place is not known.
    #[error("store unavailable at {key}: {why}")]
    Unavailable {
        /// The key or prefix that was asked for.
        key: String,
        /// What happened.
        why: String,
    },
    /// The disk or the quota is full: nothing was written, somebody has to make room.
    #[error("store full at {key}: {why}")]
    Full {
        /// The key that was to be written.
        key: String,
        /// What happened.
        why: String,
    },
    /// An object does not hold what it must: somebody has to look.
    #[error("object {key} is corrupt: {why}")]
    Corrupt {
        /// The key of the object.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// No such object. A listed one is gone only when the grace period for garbage was shorter than the reader.
    #[error("object {key} not found")]
    NotFound {
        /// The key that was asked for.
        key: String,
    },
    /// The configuration or the request can never work: wrong URL, credentials, rights, or a key that must not exist.
    #[error("{why}")]
    Invalid {
        /// What has to be put right.
        why: String,
    },
}

impl Error {
    /// A configuration or request that cannot work.
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Error::Invalid { why: why.into() }
    }

    /// A damaged object.
    pub(crate) fn corrupt(key: impl ToString, why: impl ToString) -> Self {
        Error::Corrupt { key: key.to_string(), why: why.to_string() }
    }

    /// Sorts an error of the object store by reaction; `key` is what was asked for.
    pub(crate) fn from_store(key: impl ToString, error: object_store::Error) -> Self {
        use object_store::Error as Source;
        let key = key.to_string();
        let why = safe_text(&error);
        match &error {
            Source::NotFound { .. } if why.contains("NoSuchBucket") => Error::invalid(format!("at {key}: {why}")),
            Source::NotFound { .. } => Error::NotFound { key },
            Source::PermissionDenied { .. }
            | Source::Unauthenticated { .. }
            | Source::InvalidPath { .. }
            | Source::NotSupported { .. }
            | Source::NotImplemented { .. }
            | Source::UnknownConfigurationKey { .. } => Error::invalid(format!("at {key}: {why}")),
            _ => match io_kind(&error) {
                Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge) => {
                    Error::Full { key, why }
                }
                Some(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
                    Error::invalid(format!("at {key}: {why}"))
                }
                // A server that knows no `If-None-Match` on PUT: no repeat will help.
                _ if why.contains("501 Not Implemented") => Error::invalid(format!("at {key}: {why}")),
                _ if FULL_CODES.iter().any(|code| why.contains(code)) => Error::Full { key, why },
                _ => Error::Unavailable { key, why },
            },
        }
    }
}

/// What S3 servers call a full disk or an exhausted quota.
const FULL_CODES: [&str; 4] = ["507 Insufficient Storage", "QuotaExceeded", "StorageFull", "InsufficientStorage"];

/// The kind of the innermost input/output error in the chain, if there is one.
fn io_kind(error: &object_store::Error) -> Option<ErrorKind> {
    let first: &(dyn StdError + 'static) = error;
    let chain = std::iter::successors(Some(first), |&error| error.source());
    chain.filter_map(|e| e.downcast_ref::<std::io::Error>()).last().map(std::io::Error::kind)
}

/// The text of an error without what a server wrote into its body, but with S3's code for it, and with URLs cut at `?`.
fn safe_text(error: &object_store::Error) -> String {
    const STATUS: &str = "status code: ";
    let full = error.to_string();
    let mut text = match full.find(STATUS) {
        // `status code: 403 Forbidden: <body>`
        Some(at) => {
            let body = full[at + STATUS.len()..].find(": ").map_or(full.len(), |n| at + STATUS.len() + n);
            full[..body].to_string()
        }
        None => full.split('<').next().unwrap_or_default().to_string(),
    };
    let code = full.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    if let Some(code) = code.filter(|c| c.len() <= 64 && c.chars().all(|c| c.is_ascii_alphanumeric())) {
        text.push_str(&format!(" ({code})"));
    }
    if let Some(right) = needed_right(&full).filter(|_| text.contains("403 Forbidden")) {
        text.push_str(&format!(", the role needs {right}"));
    }
    let words = text.split_whitespace().map(|word| match word.split_once('?') {
        Some((url, _)) if url.contains("://") => url,
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The right without which a request to S3 is refused; S3 itself does not name it.
fn needed_right(full: &str) -> Option<&'static str> {
    // A listing says before: `Error performing list request: `.
    let (_, rest) = full.rsplit_once("Error performing ")?;
    let (method, rest) = rest.split_once(' ')?;
    let url = rest.split(' ').next()?;
    match method {
        "PUT" => Some("s3:PutObject"),
        "GET" | "HEAD" if url.contains("list-type=") => Some("s3:ListBucket"),
        "GET" | "HEAD" => Some("s3:GetObject"),
        "DELETE" | "POST" => Some("s3:DeleteObject"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    /// An expired session token comes back in S3's answer; it must not reach a log or a client.
    #[test]
    fn bodies_and_query_strings_are_cut() {
        let body = "Error performing PUT http://h/b/k?X-Token=SECRET in 1ms - Server returned non-2xx status code: 400 Bad Request: \
                    <?xml?><Error><Code>ExpiredToken</Code><Token-0>SECRET</Token-0></Error>";
        let error = Error::from_store("k", generic(body));
        assert!(!format!("{error:?}").contains("SECRET"), "{error:?}");
        assert!(error.to_string().ends_with("400 Bad Request (ExpiredToken)"), "{error}");
    }

    #[test]
    fn a_missing_right_is_named() {
        let check = |request: &str, want: &str| {
            let told = format!(
                "Error performing {request} in 1ms - Server returned non-2xx status code: 403 Forbidden: \
                 <Error><Code>AccessDenied</Code></Error>"
            );
            let error = Error::from_store("k", generic(&told)).to_string();
            assert!(error.ends_with(&format!("403 Forbidden (AccessDenied), the role needs {want}")), "{error}");
        };
        check("PUT http://h/b/k", "s3:PutObject");
        check("GET http://h/b?list-type=2&prefix=p", "s3:ListBucket");
        check("list request: Error performing GET http://h/b?list-type=2", "s3:ListBucket");
        check("GET http://h/b/k", "s3:GetObject");
        check("POST http://h/b?delete", "s3:DeleteObject");
    }

    #[test]
    fn a_full_store_is_told_from_an_absent_one() {
        let full = std::io::Error::from(ErrorKind::StorageFull);
        let full = object_store::Error::Generic { store: "folder", source: Box::new(full) };
        assert!(matches!(Error::from_store("k", full), Error::Full { .. }));
        let code = "status code: 507 Insufficient Storage: <Error><Code>XMinioStorageFull</Code></Error>";
        assert!(matches!(Error::from_store("k", generic(code)), Error::Full { .. }));
        assert!(matches!(Error::from_store("k", generic("connection refused")), Error::Unavailable { .. }));
    }
}
