//! Tenant ids: checked once, then safe to stand in a key.
//!
//! The rules and texts are Loki's: <https://grafana.com/docs/loki/latest/operations/multi-tenancy/>

use std::fmt;

/// Longest tenant id, in bytes.
const TENANT_ID_BYTES_MAX: usize = 150;

/// Who owns the logs. Never empty, never a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Box<str>);

/// Why a tenant id was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantIdError {
    /// Nothing was given.
    #[error("no org id")]
    Missing,
    /// More bytes than allowed.
    #[error("tenant ID is too long: max {TENANT_ID_BYTES_MAX} characters")]
    TooLong,
    /// A character outside the allowed set.
    #[error("tenant ID '{id}' contains unsupported character '{character}'")]
    Unsupported {
        /// The id as given.
        id: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// `.` or `..`.
    #[error("tenant ID is '.' or '..'")]
    Dots,
}

impl TenantId {
    /// Checks an id; a suffix behind `:` (request metadata) is cut off.
    pub fn new(id: &str) -> Result<Self, TenantIdError> {
        let id = id.split(':').next().unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if id.is_empty() {
            Err(TenantIdError::Missing)
        } else if let Some(character) = id.chars().find(|c| !allowed(*c)) {
            Err(TenantIdError::Unsupported { id: id.into(), character })
        } else if id.len() > TENANT_ID_BYTES_MAX {
            Err(TenantIdError::TooLong)
        } else if id == "." || id == ".." {
            Err(TenantIdError::Dots)
        } else {
            Ok(TenantId(id.into()))
        }
    }

    /// The tenant of a server with `auth_enabled: false`, named as Loki names it.
    pub fn single() -> Self {
        TenantId("fake".into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_be_paths_are_refused() {
        for bad in ["", ".", "..", "a/b", "a\\b", "a b", "ä", "a|b", &"x".repeat(151)] {
            assert!(TenantId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(TenantId::new("team-1:trace=x").expect("suffix is cut").as_str(), "team-1");
        assert_eq!(
            TenantId::new("a/b").expect_err("slash").to_string(),
            "tenant ID 'a/b' contains unsupported character '/'"
        );
    }
}
