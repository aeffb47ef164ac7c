//! Values on the command line.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

/// Reads `key=value` options.
pub(crate) fn config_of(options: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut config = Map::new();
    for option in options {
        let Some((key, value)) = option.split_once('=') else {
            bail!("'{option}' is not of the form KEY=VALUE");
        };
        let text = match value.strip_prefix('@') {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read '{file}', the value of {key}"))?,
            None => value.to_owned(),
        };
        let structured = serde_json::from_str(&text)
            .ok()
            .filter(|value: &Value| value.is_object() || value.is_array());
        config.insert(key.to_owned(), structured.unwrap_or(Value::String(text)));
    }
    Ok(config)
}

/// A cell: a number where it is one in JSON, otherwise a text, with or without quotes.
pub(super) fn cell(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::String(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// The text of a file; `-` is standard input.
pub(super) fn text_of(file: &str) -> anyhow::Result<String> {
    if file == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))
}

/// JSON on the command line, or with `@` in a file.
pub(super) fn json_of(argument: &str) -> anyhow::Result<Value> {
    let text = match argument.strip_prefix('@') {
        Some(file) => text_of(file)?,
        None => argument.to_owned(),
    };
    serde_json::from_str(&text).context("this is no JSON")
}

/// The arguments of an action, as the API takes them.
pub(super) fn action(name: &str, positional: &[String], named: &[String]) -> anyhow::Result<Value> {
    let named = named.iter().map(|option| match option.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), cell(value))),
        None => bail!("'{option}' is not of the form NAME=VALUE"),
    });
    let positional: Vec<_> = positional.iter().map(|text| cell(text)).collect();
    let named = named.collect::<Result<Map<_, _>, _>>()?;
    Ok(serde_json::json!({
        "name": name,
        "args": {"positional": positional, "named": named},
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_numbers_or_texts() {
        let cells = ["1", "-2.5", "one", "\"1\"", "true", "", "[1]"].map(cell);
        assert_eq!(json!(cells), json!([1, -2.5, "one", "1", "true", "", "[1]"]));
    }
}
