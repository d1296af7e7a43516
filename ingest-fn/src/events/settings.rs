//! How events become streams, in the names of lambda-promtail's own variables.
//!
//! In: variables of the environment, by a function that looks them up. Out: settings, or a text that names the bad variable.

use loki_api::otlp::label_name;
use model::TenantId;

/// What the names of the user's own labels begin with, unless he says otherwise.
const EXTRA_PREFIX: &str = "__extra_";

/// The settings of events.
#[derive(Debug, Clone)]
pub struct EventSettings {
    /// Whose logs events are: they have no header that could say it.
    pub tenant: TenantId,
    /// Whether the name of a CloudWatch log stream is a label.
    pub keep_stream: bool,
    /// Labels that every stream gets.
    pub extra_labels: Vec<(String, String)>,
    /// Labels that no stream gets.
    pub drop_labels: Vec<String>,
    /// A bucket whose objects are never read: the store's own, or every segment would be an event.
    pub own_bucket: Option<String>,
    /// The `AWS_*` variables, by which objects are fetched.
    pub aws: Vec<(String, String)>,
}

impl Default for EventSettings {
    fn default() -> Self {
        EventSettings {
            tenant: TenantId::single(),
            keep_stream: false,
            extra_labels: Vec::new(),
            drop_labels: Vec::new(),
            own_bucket: None,
            aws: Vec::new(),
        }
    }
}

impl EventSettings {
    /// Reads `TENANT_ID`, `KEEP_STREAM`, `EXTRA_LABELS`, `OMIT_EXTRA_LABELS_PREFIX` and `DROP_LABELS`.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let text = |name: &str| variable(name).unwrap_or_default();
        let flag = |name: &str| match text(name).to_ascii_lowercase().as_str() {
            "" | "false" | "0" => Ok(false),
            "true" | "1" => Ok(true),
            other => Err(format!("{name}: {other:?} is neither true nor false")),
        };
        let mut settings = EventSettings { keep_stream: flag("KEEP_STREAM")?, ..EventSettings::default() };
        if !text("TENANT_ID").is_empty() {
            settings.tenant = TenantId::new(&text("TENANT_ID")).map_err(|why| format!("TENANT_ID: {why}"))?;
        }
        let prefix = if flag("OMIT_EXTRA_LABELS_PREFIX")? { "" } else { EXTRA_PREFIX };
        settings.extra_labels = pairs(&text("EXTRA_LABELS"), prefix)?;
        settings.drop_labels = list(&text("DROP_LABELS")).map(str::to_owned).collect();
        Ok(settings)
    }
}

/// `name,value,name,value`.
fn pairs(text: &str, prefix: &str) -> Result<Vec<(String, String)>, String> {
    let parts: Vec<&str> = list(text).collect();
    if !parts.len().is_multiple_of(2) {
        return Err("EXTRA_LABELS: a name without a value; give name,value,name,value".to_owned());
    }
    let pair = |pair: &[&str]| match pair {
        [name, value] => Some((format!("{prefix}{}", label_name(name)), (*value).to_owned())),
        _ => None,
    };
    Ok(parts.chunks(2).filter_map(pair).collect())
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<EventSettings, String> {
        EventSettings::from_variables(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_variables_are_those_of_lambda_promtail() {
        let settings = read(&[("EXTRA_LABELS", "a,1, b,2"), ("KEEP_STREAM", "true"), ("DROP_LABELS", "x,y")]);
        let settings = settings.expect("settings");
        let want = [("__extra_a".to_owned(), "1".to_owned()), ("__extra_b".to_owned(), "2".to_owned())];
        assert_eq!(settings.extra_labels, want);
        assert_eq!((settings.keep_stream, settings.drop_labels.len()), (true, 2));
        let bare = read(&[("EXTRA_LABELS", "a,1"), ("OMIT_EXTRA_LABELS_PREFIX", "true")]).expect("settings");
        assert_eq!(bare.extra_labels, [("a".to_owned(), "1".to_owned())]);
        assert_eq!(read(&[]).expect("settings").tenant, TenantId::single());
    }

    #[test]
    fn a_bad_variable_is_named() {
        for (name, value) in [("EXTRA_LABELS", "a"), ("KEEP_STREAM", "perhaps"), ("TENANT_ID", "a/b")] {
            let error = read(&[(name, value)]).expect_err("refused");
            assert!(error.starts_with(name), "{error}");
        }
    }
}
