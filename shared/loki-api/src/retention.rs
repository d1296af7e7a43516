//! What of the limits is about forgetting: how long entries stay, and what delete requests do.
//!
//! In: limits as they were read. Out: nothing, or Loki's refusal. Whether a text is a stream selector is LogQL's to say, which is
//! not known here: whoever knows it gives a function.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::config::{Config, ConfigError};
use crate::limits::Limits;
use crate::units::print_duration;

/// The shortest retention, as in Loki.
const RETENTION_MIN: Duration = Duration::from_secs(24 * 3600);

/// What a delete request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletionMode {
    /// It is refused, and those that were taken before have no effect.
    Disabled,
    /// It hides entries.
    FilterOnly,
    /// It hides entries, and merges delete them.
    #[default]
    FilterAndDelete,
}

impl<'de> Deserialize<'de> for DeletionMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "disabled" => Ok(DeletionMode::Disabled),
            "filter-only" => Ok(DeletionMode::FilterOnly),
            "filter-and-delete" => Ok(DeletionMode::FilterAndDelete),
            _ => {
                Err(D::Error::custom("unknown deletion mode: must be one of [disabled filter-only filter-and-delete]"))
            }
        }
    }
}

/// Says why a text is no stream selector. Until one is given, every text passes.
#[derive(Debug, Clone, Copy)]
pub struct SelectorCheck(fn(&str) -> Result<(), String>);

impl Default for SelectorCheck {
    fn default() -> Self {
        SelectorCheck(|_| Ok(()))
    }
}

/// How something is checked makes no difference to what was read.
impl PartialEq for SelectorCheck {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Config {
    /// Checks the selectors among the limits, now and whenever the limits of tenants change.
    pub fn check_selectors(&mut self, check: fn(&str) -> Result<(), String>) -> Result<(), ConfigError> {
        self.selector_check = SelectorCheck(check);
        self.check_retention("limits_config", &self.limits_config)?;
        for (tenant, limits) in self.overrides.all().iter() {
            self.check_retention(&format!("overrides.{tenant}"), limits)?;
        }
        Ok(())
    }

    /// Refuses periods that are too short, and selectors that are none.
    pub(crate) fn check_retention(&self, place: &str, limits: &Limits) -> Result<(), ConfigError> {
        let wrong = |key: &str, why: String| Err(ConfigError::Value { place: format!("{place}.{key}"), why });
        let too_short = |period: Duration| format!("retention period must be >= 24h was {}", print_duration(period));
        let period = limits.retention_period;
        if !period.is_zero() && period < RETENTION_MIN {
            return wrong("retention_period", too_short(period));
        }
        for rule in &limits.retention_stream {
            if let Err(why) = (self.selector_check.0)(&rule.selector) {
                return wrong("retention_stream", format!("invalid labels matchers: {why}"));
            }
            if rule.period < RETENTION_MIN {
                return wrong("retention_stream", too_short(rule.period));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_checked_as_in_loki() {
        let check = |limits: &str, want: Result<(), &str>| {
            let read = Config::from_yaml(&format!("limits_config: {{{limits}}}"));
            let read = read.and_then(|mut config| {
                config
                    .check_selectors(|text| if text.starts_with('{') { Ok(()) } else { Err("syntax error".to_owned()) })
            });
            assert_eq!(
                read.map_err(|e| e.to_string()),
                want.map_err(|why| format!("configuration: {why}")),
                "{limits}"
            );
        };
        check("retention_period: 0s", Ok(()));
        check("retention_period: 24h, deletion_mode: disabled", Ok(()));
        check(
            "retention_period: 23h",
            Err("`limits_config.retention_period`: retention period must be >= 24h was 23h"),
        );
        check(
            "retention_stream: [{selector: '{a=\"b\"}', period: 1h}]",
            Err("`limits_config.retention_stream`: retention period must be >= 24h was 1h"),
        );
        check(
            "retention_stream: [{selector: 'a', period: 24h}]",
            Err("`limits_config.retention_stream`: invalid labels matchers: syntax error"),
        );
        check(
            "deletion_mode: both",
            Err(
                "`limits_config.deletion_mode`: unknown deletion mode: must be one of [disabled filter-only filter-and-delete]",
            ),
        );
    }

    #[test]
    fn overrides_are_checked_when_they_change() {
        let mut config = Config::default();
        config.check_selectors(|_| Err("syntax error".to_owned())).expect("no selector yet");
        let text = "overrides: {a: {retention_stream: [{selector: x, period: 24h}]}}";
        let why = config.set_overrides(text).expect_err("refused").to_string();
        assert_eq!(why, "configuration: `overrides.a.retention_stream`: invalid labels matchers: syntax error");
    }
}
