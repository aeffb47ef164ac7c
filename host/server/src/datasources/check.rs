//! Checks of a datasource that somebody wants to create, from the catalogue alone.

use congress_plugins::{ConfigError, ConfigValues, Metadata};
use serde_json::Value;

use crate::failure::{Answer, Failure, Status};

/// Checks a configuration: unknown fields first, then missing ones, then values.
pub(super) fn config(driver: &Metadata, config: &ConfigValues) -> Answer<()> {
    let refused = |text: String| Err(Failure::verbatim(Status::BadRequest, text));
    match driver.check(config) {
        Ok(_) => Ok(()),
        Err(ConfigError::Unknown { fields, .. }) => {
            let fields: Vec<_> = fields.iter().map(|field| format!("'{field}'")).collect();
            refused(format!("Invalid driver options: {{{}}}", fields.join(", ")))
        }
        Err(ConfigError::Missing { fields, .. }) => {
            refused(format!("Missing required config options: {}", fields.join(", ")))
        }
        Err(other) => refused(other.to_string()),
    }
}

/// Checks a datasource's name: a valid policy name without leading underscore.
///
/// The text with its unfilled placeholder is what clients have always been sent.
pub(super) fn name(name: &str) -> Answer<()> {
    let valid = !name.starts_with('_')
        && !name.contains(':')
        && congress_policy::names::is_referable_policy_name(name);
    if valid {
        return Ok(());
    }
    Err(Failure::verbatim(
        Status::BadRequest,
        "Datasource name %(value) is invalid. Cannot be empty or start with underscore.  Must be \
         valid in policy language",
    ))
}

/// The root tables that a configuration declares lazy: a JSON list, or a text with commas.
pub fn lazy_tables(config: &ConfigValues) -> Vec<String> {
    let split = |text: &str| -> Vec<String> {
        text.trim_matches(['[', ']'])
            .split(',')
            .map(|name| name.trim().trim_matches(['\'', '"']).to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    };
    match config.get("lazy_tables") {
        Some(Value::Array(names)) => {
            names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
        }
        Some(Value::String(text)) => split(text),
        _ => Vec::new(),
    }
}

/// The seconds between two polls: 10 unless the configuration says otherwise; none for 0, which
/// means on request only. The error is the sentence for the client.
pub(super) fn poll_time(
    config: &ConfigValues,
    default: Option<&str>,
) -> Result<Option<std::time::Duration>, String> {
    let text = match config.get("poll_time") {
        None | Some(Value::Null) => default.unwrap_or("10").to_owned(),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(other) => other.to_string(),
    };
    // A year is as good as never, and keeps arithmetic with times in bounds.
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=31_536_000.0).contains(&seconds) => {
            Ok((seconds > 0.0).then(|| std::time::Duration::from_secs_f64(seconds)))
        }
        _ => Err(format!(
            "poll_time must be a number of seconds from 0 (only on request) to 31536000, but is \
             '{text}'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn values(value: Value) -> ConfigValues {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn poll_times() {
        let of = |value| poll_time(&values(json!({ "poll_time": value })), None);
        assert_eq!(poll_time(&ConfigValues::new(), None), Ok(Some(Duration::from_secs(10))));
        assert_eq!(poll_time(&ConfigValues::new(), Some("5")), Ok(Some(Duration::from_secs(5))));
        assert_eq!(of(json!(0)), Ok(None));
        assert_eq!(of(json!("30")), Ok(Some(Duration::from_secs(30))));
        assert_eq!(of(json!(0.5)), Ok(Some(Duration::from_millis(500))));
        for bad in [json!("abc"), json!(-1), json!("inf"), json!("NaN"), json!([])] {
            assert!(of(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn lazy_tables_as_list_or_text() {
        let of = |value| lazy_tables(&values(json!({ "lazy_tables": value })));
        assert_eq!(of(json!(["a", "b"])), ["a", "b"]);
        assert_eq!(of(json!("a, b")), ["a", "b"]);
        assert_eq!(of(json!("['a', 'b']")), ["a", "b"]);
        assert!(of(json!("")).is_empty());
    }
}
