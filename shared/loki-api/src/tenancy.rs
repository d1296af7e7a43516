//! Whose request it is: `X-Scope-OrgID`, read once and strictly.
//!
//! In: every value of the header. Out: the tenants it names, sorted, each once; never none. A header that is there twice is
//! refused: whoever stands between us and the client may have looked at the other one.

use model::{TenantId, TenantIdError};

use crate::config::Config;

/// The header that names the tenant.
pub const TENANT_HEADER: &str = "x-scope-orgid";
/// Most tenants of one question.
const TENANTS_MAX: usize = 100;

/// Why nobody's logs are touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenancyError {
    /// No tenant's id.
    #[error(transparent)]
    Id(#[from] TenantIdError),
    /// Several tenants, where one is asked.
    #[error("multiple org IDs present")]
    Many,
    /// More than a question can be about.
    #[error("too many org IDs present: at most {TENANTS_MAX}")]
    TooMany,
}

impl TenancyError {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        if *self == TenancyError::Id(TenantIdError::Missing) { 401 } else { 400 }
    }
}

impl Config {
    /// The one tenant that a push, or a tail, is for.
    pub fn tenant<'a>(&self, header: impl IntoIterator<Item = &'a [u8]>) -> Result<TenantId, TenancyError> {
        match <[TenantId; 1]>::try_from(self.tenants_named(header)?) {
            Ok([tenant]) => Ok(tenant),
            Err(_) => Err(TenancyError::Many),
        }
    }

    /// The tenants that a question is about: `a|b` is two, where that is allowed.
    pub fn tenants<'a>(&self, header: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<TenantId>, TenancyError> {
        let tenants = self.tenants_named(header)?;
        if tenants.len() > 1 && !self.querier.multi_tenant_queries_enabled {
            return Err(TenancyError::Many);
        }
        Ok(tenants)
    }

    fn tenants_named<'a>(&self, header: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<TenantId>, TenancyError> {
        if !self.auth_enabled {
            return Ok(vec![TenantId::single()]);
        }
        named(header)
    }
}

/// The tenants that the header names, whether or not several are allowed.
pub fn named<'a>(header: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<TenantId>, TenancyError> {
    let mut values = header.into_iter();
    let value = String::from_utf8_lossy(values.next().unwrap_or_default());
    if values.next().is_some() {
        return Err(TenancyError::Many);
    }
    let mut tenants = Vec::new();
    for id in value.trim().split('|') {
        if tenants.len() == TENANTS_MAX {
            return Err(TenancyError::TooMany);
        }
        tenants.push(TenantId::new(id)?);
    }
    tenants.sort();
    tenants.dedup();
    Ok(tenants)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &Config, values: &[&str]) -> Result<String, String> {
        let tenants = config.tenants(values.iter().map(|value| value.as_bytes())).map_err(|e| e.to_string())?;
        Ok(tenants.iter().map(TenantId::as_str).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn the_header_names_tenants() {
        let mut config = Config::default();
        let check = |config: &Config, values: &[&str], want: Result<&str, &str>| {
            assert_eq!(read(config, values), want.map(str::to_owned).map_err(str::to_owned), "{values:?}");
        };
        check(&config, &["a"], Ok("a"));
        check(&config, &["a|a"], Ok("a"));
        check(&config, &[], Err("no org id"));
        check(&config, &["a|b"], Err("multiple org IDs present"));
        config.querier.multi_tenant_queries_enabled = true;
        check(&config, &["b|a|b"], Ok("a,b"));
        check(&config, &["a|b:x=1"], Ok("a,b"));
        check(&config, &["a|"], Err("no org id"));
        check(&config, &["a|../b"], Err("tenant ID '../b' contains unsupported character '/'"));
        check(&config, &["a|.."], Err("tenant ID is '.' or '..'"));
        check(&config, &["a", "b"], Err("multiple org IDs present"));
        check(&config, &["a", "a"], Err("multiple org IDs present"));
        check(&config, &[&"x".repeat(151)], Err("tenant ID is too long: max 150 characters"));
        let many: Vec<String> = (0..101).map(|i| i.to_string()).collect();
        check(&config, &[&many.join("|")], Err("too many org IDs present: at most 100"));
        config.auth_enabled = false;
        check(&config, &["a", "b"], Ok("fake"));
    }

    #[test]
    fn a_push_has_one_tenant_whatever_is_allowed_for_questions() {
        let mut config = Config::default();
        config.querier.multi_tenant_queries_enabled = true;
        assert_eq!(config.tenant([b"a|b".as_slice()]), Err(TenancyError::Many));
        assert_eq!(config.tenant([b"\xff".as_slice()]).map_err(|e| e.status()), Err(400));
        assert_eq!(config.tenant([]).map_err(|e| e.status()), Err(401));
    }
}
