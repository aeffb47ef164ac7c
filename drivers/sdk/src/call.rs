//! A call of an action: its name and its arguments.

use serde_json::Value as Json;

use crate::{Error, Result};

/// One call of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The action's name.
    pub action: String,
    /// Arguments given by position.
    pub positional: Vec<Json>,
    /// Arguments given by name.
    pub named: Vec<(String, Json)>,
}

impl Call {
    /// Reads the JSON texts that the host hands over.
    pub fn parse(
        action: String,
        positional: &[String],
        named: &[(String, String)],
    ) -> Result<Self> {
        let read = |argument: &str, text: &str| {
            serde_json::from_str(text).map_err(|error| {
                Error::Unsupported(format!(
                    "action '{action}': argument {argument} is not JSON: {error}"
                ))
            })
        };
        let positional = positional
            .iter()
            .enumerate()
            .map(|(i, text)| read(&(i + 1).to_string(), text))
            .collect::<Result<_>>()?;
        let named = named
            .iter()
            .map(|(name, text)| Ok((name.clone(), read(&format!("'{name}'"), text)?)))
            .collect::<Result<_>>()?;
        Ok(Self { positional, named, action })
    }
}
