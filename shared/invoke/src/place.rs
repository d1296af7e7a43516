//! Where the Lambda API is, from the variables that every AWS SDK reads.
//!
//! In: `AWS_REGION`, `AWS_ENDPOINT_URL_LAMBDA`, `AWS_ENDPOINT_URL`. Out: a region and an address, or what is missing.

use std::collections::HashMap;

use crate::InvokeError;

/// A region, and the address of its Lambda API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) region: String,
    /// Without a slash at its end.
    pub(crate) endpoint: String,
}

impl Place {
    /// The first variable that is set and not empty counts.
    pub(crate) fn of(environment: &HashMap<String, String>) -> Result<Self, InvokeError> {
        let first = |names: [&str; 2]| {
            names.into_iter().filter_map(|name| environment.get(name)).find(|value| !value.is_empty()).cloned()
        };
        let region = first(["AWS_REGION", "AWS_DEFAULT_REGION"])
            .ok_or_else(|| InvokeError::Settings("AWS_REGION is not set: whose Lambda functions?".to_owned()))?;
        let endpoint = match first(["AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL"]) {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => {
                let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                format!("https://lambda.{region}.{domain}")
            }
        };
        match endpoint.starts_with("http://") || endpoint.starts_with("https://") {
            true => Ok(Place { region, endpoint }),
            false => Err(InvokeError::Settings("AWS_ENDPOINT_URL must begin with http:// or https://".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_special_variable_counts() {
        let check = |variables: &[(&str, &str)], want: Option<(&str, &str)>| {
            let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let place = Place::of(&variables).ok();
            let got = place.as_ref().map(|place| (place.region.as_str(), place.endpoint.as_str()));
            assert_eq!(got, want, "{variables:?}");
        };
        check(&[("AWS_REGION", "eu-west-1")], Some(("eu-west-1", "https://lambda.eu-west-1.amazonaws.com")));
        check(
            &[("AWS_DEFAULT_REGION", "cn-north-1")],
            Some(("cn-north-1", "https://lambda.cn-north-1.amazonaws.com.cn")),
        );
        let general = [("AWS_REGION", "r"), ("AWS_ENDPOINT_URL", "http://h:1/")];
        check(&general, Some(("r", "http://h:1")));
        let special = [general[0], general[1], ("AWS_ENDPOINT_URL_LAMBDA", "https://l")];
        check(&special, Some(("r", "https://l")));
        check(&[general[0], general[1], ("AWS_ENDPOINT_URL_LAMBDA", "")], Some(("r", "http://h:1")));
        check(&[("AWS_REGION", "r"), ("AWS_ENDPOINT_URL", "h:1")], None);
        check(&[("AWS_REGION", "")], None);
    }
}
