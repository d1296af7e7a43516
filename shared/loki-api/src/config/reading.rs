//! Reading one block: each key alone first, so that an error names the place it stands in.
//!
//! In: YAML values. Out: typed blocks, and notices about keys of Loki's that do nothing here.

use serde::de::DeserializeOwned;
use serde_yaml_ng::{Mapping, Value};

use super::ConfigError;

/// Reads one block, setting aside those of Loki's keys that do nothing here.
pub(crate) fn block<T: DeserializeOwned>(
    block: &str,
    value: Value,
    without_effect: &[&str],
    notices: &mut Vec<String>,
) -> Result<T, ConfigError> {
    let mut kept = Mapping::new();
    for (key, value) in mapping(block, value)? {
        let place = format!("{block}.{}", name(&key));
        let matches = |known: &&str| match known.strip_suffix('*') {
            Some(start) => name(&key).starts_with(start),
            None => name(&key) == **known,
        };
        if without_effect.iter().any(matches) {
            notices.push(notice(&place));
            continue;
        }
        // Alone first: every other key has its default, so that an error can name its place.
        let alone = Mapping::from_iter([(key.clone(), value.clone())]);
        typed::<T>(&place, Value::Mapping(alone))?;
        kept.insert(key, value);
    }
    typed(block, Value::Mapping(kept))
}

/// A value of the type asked, or an error with its place.
pub(super) fn typed<T: DeserializeOwned>(place: &str, value: Value) -> Result<T, ConfigError> {
    serde_yaml_ng::from_value(value).map_err(|e| {
        let why = e.to_string();
        // serde lists every key that it would have taken; only the one it did not take is of help.
        match why.split_once("unknown field `").and_then(|(_, rest)| rest.split_once('`')) {
            Some((key, _)) if place.ends_with(&format!(".{key}")) => ConfigError::UnknownKey(place.to_owned()),
            Some((key, _)) => ConfigError::UnknownKey(format!("{place}.{key}")),
            None => ConfigError::Value { place: place.to_owned(), why },
        }
    })
}

/// The keys and values of a block; an empty block has none.
pub(crate) fn mapping(block: &str, value: Value) -> Result<Mapping, ConfigError> {
    match value {
        Value::Mapping(mapping) => Ok(mapping),
        Value::Null => Ok(Mapping::new()),
        _ if block.is_empty() => Err(ConfigError::Yaml("expected keys and values".to_owned())),
        _ => Err(ConfigError::Value { place: block.to_owned(), why: "expected keys and values".to_owned() }),
    }
}

/// A key as text; keys that are no strings cannot be known ones.
pub(crate) fn name(key: &Value) -> String {
    key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned)
}

pub(crate) fn notice(key: &str) -> String {
    format!("`{key}` is a setting of Loki that has no meaning without Loki's servers; it is ignored")
}
