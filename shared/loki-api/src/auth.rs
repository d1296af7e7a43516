//! Who asks: an `Authorization` header held against the users and tokens of the configuration.
//!
//! In: the settings `logbarn.sign_in`, then header after header. Out: an identity with the tenants it may name, or a refusal.
//! Passwords are kept as bcrypt, tokens as SHA-256, and compared without regard to where they differ; an unknown user takes
//! the time of a known one. A password that was right is remembered under a keyed digest, so that bcrypt does not run for
//! every request. Nothing here prints a secret, nor a hash of one.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bcrypt::HashParts;
use model::TenantId;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::tenancy::{self, TenancyError};

/// Passwords remembered as right; beyond them all are forgotten and checked again.
const REMEMBERED_MAX: usize = 1_024;
/// Bytes of the longest `Authorization` header that is looked at.
const HEADER_BYTES_MAX: usize = 4 << 10;
/// The dearest bcrypt that a request may cost: about two seconds.
const BCRYPT_COST_MAX: u32 = 15;
/// The cost where there is no user to take one from.
const BCRYPT_COST_DEFAULT: u32 = 10;
/// Salt and digest of nobody's password.
const NOBODY: &str = "abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";
/// In a list of tenants: every tenant.
const ANY_TENANT: &str = "*";
/// What a refused client is told to do.
pub const CHALLENGE: &str = r#"Basic realm="logbarn", charset="UTF-8""#;

/// A hash of a secret: read from the file, never printed.
#[derive(Clone, PartialEq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("<secret>")
    }
}

/// `logbarn.sign_in`: nobody listed, everybody let in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignInSettings {
    /// Users by name, with passwords hashed as in Prometheus' `basic_auth_users` (`htpasswd -nBC 10`).
    pub basic_auth_users: HashMap<String, UserSettings>,
    /// Bearer tokens.
    pub bearer_tokens: Vec<TokenSettings>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSettings {
    /// bcrypt.
    pub password_hash: Secret,
    /// Whose logs, unless the request names another that is allowed.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Other tenants that may be named; `*` is all.
    #[serde(default)]
    pub tenants: Vec<String>,
}

/// A bearer token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// What the log calls it.
    #[serde(default)]
    pub name: String,
    /// SHA-256 of the token, 64 hexadecimal digits (`printf %s "$TOKEN" | sha256sum`).
    pub sha256: Secret,
    /// Whose logs, unless the request names another that is allowed.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Other tenants that may be named; `*` is all.
    #[serde(default)]
    pub tenants: Vec<String>,
}

/// Somebody who signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// A user's name, or a token's.
    pub name: String,
    /// None with `auth_enabled: false`, where there are no tenants to choose from.
    tenant: Option<TenantId>,
    others: Vec<TenantId>,
    any: bool,
}

/// A tenant that is not this identity's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The header names no tenant at all.
    #[error(transparent)]
    Header(#[from] TenancyError),
    /// Somebody else's.
    #[error("tenant '{0}' is not yours")]
    NotYours(TenantId),
}

impl Denied {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Denied::Header(error) => error.status(),
            Denied::NotYours(_) => 403,
        }
    }
}

impl Identity {
    fn new(name: &str, tenant: Option<&str>, others: &[String], auth_enabled: bool) -> Result<Self, String> {
        let id = |text: &str| TenantId::new(text).map_err(|e| e.to_string());
        let tenant = match (tenant, auth_enabled) {
            (Some(tenant), true) => Some(id(tenant)?),
            (None, true) => return Err("`tenant` is missing: whose logs are to be shown?".to_owned()),
            (None, false) if others.is_empty() => None,
            (_, false) => return Err("with `auth_enabled: false` there are no tenants to name".to_owned()),
        };
        let any = others.iter().any(|other| other == ANY_TENANT);
        let others =
            others.iter().filter(|other| *other != ANY_TENANT).map(|other| id(other)).collect::<Result<_, _>>()?;
        Ok(Identity { name: name.to_owned(), tenant, others, any })
    }

    /// What stands in the tenant header from here on: what the request says, if all of it is allowed, or else the
    /// identity's own tenant. None: there are no tenants.
    pub fn org_id<'a>(&self, header: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<String>, Denied> {
        let Some(own) = &self.tenant else { return Ok(None) };
        let values: Vec<&[u8]> = header.into_iter().collect();
        let named = match values.as_slice() {
            [] | [b""] => vec![own.clone()],
            values => tenancy::named(values.iter().copied())?,
        };
        match named.iter().find(|id| !self.any && *id != own && !self.others.contains(id)) {
            Some(foreign) => Err(Denied::NotYours(foreign.clone())),
            None => Ok(Some(named.iter().map(TenantId::as_str).collect::<Vec<_>>().join("|"))),
        }
    }
}

/// The table of users and tokens. Clones share what they remember.
#[derive(Clone, Default)]
pub struct SignIn(Option<Arc<Table>>);

struct Table {
    users: HashMap<String, (String, Arc<Identity>)>,
    tokens: Vec<([u8; 32], Arc<Identity>)>,
    /// Nobody's hash, as dear as the dearest of somebody's.
    nobody: String,
    /// New in each process, so that what is remembered means nothing elsewhere.
    key: [u8; 32],
    remembered: Mutex<HashMap<[u8; 32], Arc<Identity>>>,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.0.as_deref();
        let names: Vec<&String> = table.into_iter().flat_map(|table| table.users.keys()).collect();
        f.debug_struct("SignIn").field("users", &names).finish_non_exhaustive()
    }
}

impl PartialEq for SignIn {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => a.users == b.users && a.tokens == b.tokens,
            _ => false,
        }
    }
}

/// What is known of a header at once.
pub enum Verdict {
    /// Somebody.
    Granted(Arc<Identity>),
    /// Nobody.
    Refused,
    /// A password that must be checked first, where it may take its time.
    Password(PasswordCheck),
}

/// A password to be checked.
pub struct PasswordCheck {
    table: Arc<Table>,
    user: String,
    password: Vec<u8>,
}

impl SignIn {
    /// Reads the settings; the error names the entry.
    pub fn new(settings: &SignInSettings, auth_enabled: bool) -> Result<Self, String> {
        if settings.basic_auth_users.is_empty() && settings.bearer_tokens.is_empty() {
            return Ok(SignIn(None));
        }
        let (mut users, mut cost) = (HashMap::new(), 0);
        for (name, user) in &settings.basic_auth_users {
            let wrong = |why: String| format!("basic_auth_users.{name}: {why}");
            let hash: HashParts = (user.password_hash.0.parse())
                .map_err(|_| wrong("`password_hash` is not bcrypt's, which begins with $2y$".to_owned()))?;
            if hash.get_cost() > BCRYPT_COST_MAX || name.is_empty() || name.contains(':') {
                return Err(wrong(format!("a name has no colon, and a bcrypt cost of at most {BCRYPT_COST_MAX}")));
            }
            cost = cost.max(hash.get_cost());
            let identity = Identity::new(name, user.tenant.as_deref(), &user.tenants, auth_enabled).map_err(wrong)?;
            users.insert(name.clone(), (user.password_hash.0.clone(), Arc::new(identity)));
        }
        let mut tokens = Vec::new();
        for (i, token) in settings.bearer_tokens.iter().enumerate() {
            let wrong = |why: String| format!("bearer_tokens[{i}]: {why}");
            let digest =
                digest_of_hex(&token.sha256.0).ok_or_else(|| wrong("`sha256` has 64 hexadecimal digits".to_owned()))?;
            let name = if token.name.is_empty() { format!("token {i}") } else { token.name.clone() };
            let identity =
                Identity::new(&name, token.tenant.as_deref(), &token.tenants, auth_enabled).map_err(wrong)?;
            tokens.push((digest, Arc::new(identity)));
        }
        let cost = if cost == 0 { BCRYPT_COST_DEFAULT } else { cost };
        let nobody = format!("$2b${cost:02}${NOBODY}");
        Ok(SignIn(Some(Arc::new(Table { users, tokens, nobody, key: random_key(), remembered: Mutex::default() }))))
    }

    /// Whether anybody must sign in.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Looks at every value of the header `Authorization`.
    pub fn judge<'a>(&self, header: impl IntoIterator<Item = &'a [u8]>) -> Verdict {
        let mut values = header.into_iter();
        let (Some(table), Some(value), None) = (&self.0, values.next(), values.next()) else { return Verdict::Refused };
        let Some((scheme, credentials)) = std::str::from_utf8(value).ok().and_then(|text| text.split_once(' ')) else {
            return Verdict::Refused;
        };
        if value.len() > HEADER_BYTES_MAX {
            return Verdict::Refused;
        }
        if scheme.eq_ignore_ascii_case("bearer") {
            return table.token(credentials.trim()).map_or(Verdict::Refused, Verdict::Granted);
        }
        let decoded = BASE64_STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"));
        let Some(pair) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) else { return Verdict::Refused };
        let Some((user, password)) = pair.split_once(':') else { return Verdict::Refused };
        match table.remembered(user, password.as_bytes()) {
            Some(identity) => Verdict::Granted(identity),
            None => Verdict::Password(PasswordCheck {
                table: table.clone(),
                user: user.to_owned(),
                password: password.as_bytes().to_vec(),
            }),
        }
    }
}

impl PasswordCheck {
    /// Runs bcrypt, for a user that does not exist too; takes about a tenth of a second.
    pub fn run(self) -> Option<Arc<Identity>> {
        let user = self.table.users.get(&self.user);
        let hash = user.map_or(&self.table.nobody, |(hash, _)| hash);
        let right = bcrypt::non_truncating_verify(&self.password, hash).unwrap_or(false);
        let (_, identity) = user.filter(|_| right)?;
        self.table.remember(&self.user, &self.password, identity);
        Some(identity.clone())
    }
}

impl Table {
    /// Every token is compared, and each as a whole.
    fn token(&self, token: &str) -> Option<Arc<Identity>> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for (known, identity) in &self.tokens {
            if bool::from(known.ct_eq(&digest)) {
                found = Some(identity.clone());
            }
        }
        found
    }

    fn remembered(&self, user: &str, password: &[u8]) -> Option<Arc<Identity>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(&self.keyed(user, password)).cloned()
    }

    fn remember(&self, user: &str, password: &[u8], identity: &Arc<Identity>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(self.keyed(user, password), identity.clone());
    }

    /// The key stands first and last, each part has its length: no two pairs have one text.
    fn keyed(&self, user: &str, password: &[u8]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update((user.len() as u64).to_le_bytes());
        hash.update(user);
        hash.update(password);
        hash.update(self.key);
        hash.finalize().into()
    }
}

fn digest_of_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(digest)
}

/// The standard library takes the keys of its hash maps from the system's randomness; so does this.
fn random_key() -> [u8; 32] {
    let mut hash = Sha256::new();
    for i in 0..4u64 {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(i);
        hash.update(hasher.finish().to_le_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// bcrypt of "right", at the least cost.
    fn hash() -> String {
        bcrypt::hash("right", 4).expect("a hash")
    }

    fn sign_in() -> SignIn {
        let yaml = format!(
            "basic_auth_users: {{alice: {{password_hash: '{}', tenant: a, tenants: [b]}}, root: {{password_hash: '{}', tenant: a, tenants: ['*']}}}}
bearer_tokens: [{{name: agent, sha256: {}, tenant: c}}]",
            hash(),
            hash(),
            hex("s3cret"),
        );
        SignIn::new(&serde_yaml_ng::from_str(&yaml).expect("YAML"), true).expect("settings")
    }

    fn hex(token: &str) -> String {
        Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(pair))
    }

    /// Who it is, and whether bcrypt ran.
    fn who(sign_in: &SignIn, header: &[&str]) -> (Option<String>, bool) {
        match sign_in.judge(header.iter().map(|value| value.as_bytes())) {
            Verdict::Granted(identity) => (Some(identity.name.clone()), false),
            Verdict::Refused => (None, false),
            Verdict::Password(check) => (check.run().map(|identity| identity.name.clone()), true),
        }
    }

    #[test]
    fn a_header_is_somebody_or_nobody() {
        let sign_in = sign_in();
        let check =
            |header: &[&str], want: Option<&str>| assert_eq!(who(&sign_in, header).0.as_deref(), want, "{header:?}");
        check(&["Bearer s3cret"], Some("agent"));
        check(&["bearer s3cret"], Some("agent"));
        check(&[&basic("alice:right")], Some("alice"));
        for wrong in
            ["", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic", "Basic !!!", "Digest s3cret", "s3cret"]
        {
            check(&[wrong], None);
        }
        for wrong in ["alice:", "alice:wrong", "bob:right", "alice", ":right", "Alice:right", "alice:right\0"] {
            check(&[&basic(wrong)], None);
        }
        check(&[&basic(&format!("alice:{}", "x".repeat(5000)))], None);
        check(&[], None);
        check(&["Bearer s3cret", "Bearer s3cret"], None);
        check(&[&format!("Bearer {}", hex("s3cret"))], None);
    }

    #[test]
    fn a_right_password_is_remembered_and_a_wrong_one_is_not() {
        let sign_in = sign_in();
        assert_eq!(who(&sign_in, &[&basic("alice:right")]), (Some("alice".to_owned()), true));
        assert_eq!(who(&sign_in.clone(), &[&basic("alice:right")]), (Some("alice".to_owned()), false));
        assert_eq!(who(&sign_in, &[&basic("alice:wrong")]), (None, true));
        assert_eq!(who(&sign_in, &[&basic("alice:wrong")]), (None, true));
        assert_eq!(who(&sign_in, &[&basic("nobody:right")]), (None, true), "an unknown user costs a bcrypt too");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let sign_in = sign_in();
        let table = sign_in.0.as_ref().expect("on");
        let (_, identity) = table.users.get("alice").expect("a user");
        (0..3 * REMEMBERED_MAX).for_each(|i| table.remember("alice", &i.to_le_bytes(), identity));
        assert!(table.remembered.lock().expect("not poisoned").len() <= REMEMBERED_MAX);
    }

    #[test]
    fn an_identity_has_its_tenants() {
        let sign_in = sign_in();
        let check = |credentials: &str, asked: &[&str], want: Result<&str, u16>| {
            let identity = match sign_in.judge([credentials.as_bytes()]) {
                Verdict::Granted(identity) => Some(identity),
                Verdict::Password(check) => check.run(),
                Verdict::Refused => None,
            };
            let got = identity.expect("somebody").org_id(asked.iter().map(|value| value.as_bytes()));
            assert_eq!(
                got.map(Option::unwrap_or_default).map_err(|e| e.status()),
                want.map(str::to_owned),
                "{asked:?}"
            );
        };
        check("Bearer s3cret", &[], Ok("c"));
        check("Bearer s3cret", &[""], Ok("c"));
        check("Bearer s3cret", &["c"], Ok("c"));
        check("Bearer s3cret", &["a"], Err(403));
        check("Bearer s3cret", &["c|a"], Err(403));
        check("Bearer s3cret", &["c", "a"], Err(400));
        check("Bearer s3cret", &["", "a"], Err(400));
        check("Bearer s3cret", &["../c"], Err(400));
        check(&basic("alice:right"), &["b"], Ok("b"));
        check(&basic("alice:right"), &["a|b"], Ok("a|b"));
        check(&basic("alice:right"), &["a|c"], Err(403));
        check(&basic("root:right"), &["anything"], Ok("anything"));
    }

    #[test]
    fn nothing_prints_a_secret() {
        let settings: SignInSettings =
            serde_yaml_ng::from_str(&format!("bearer_tokens: [{{sha256: {}, tenant: c}}]", hex("s3cret")))
                .expect("YAML");
        let printed = format!("{settings:?} {:?} {}", sign_in(), serde_yaml_ng::to_string(&settings).expect("YAML"));
        assert!(
            !printed.contains(&hex("s3cret")) && !printed.contains("$2") && printed.contains("<secret>"),
            "{printed}"
        );
        let wrong = |yaml: &str, auth_enabled| {
            SignIn::new(&serde_yaml_ng::from_str(yaml).expect("YAML"), auth_enabled).expect_err("refused")
        };
        let why = wrong("basic_auth_users: {alice: {password_hash: hunter2, tenant: a}}", true);
        assert!(why.starts_with("basic_auth_users.alice: `password_hash`") && !why.contains("hunter2"), "{why}");
        assert!(!wrong("bearer_tokens: [{sha256: hunter2, tenant: a}]", true).contains("hunter2"));
        let token = hex("s3cret");
        assert!(wrong(&format!("bearer_tokens: [{{sha256: {token}}}]"), true).contains("`tenant` is missing"));
        assert!(
            wrong(&format!("bearer_tokens: [{{sha256: {token}, tenant: a}}]"), false).contains("no tenants to name")
        );
    }
}
