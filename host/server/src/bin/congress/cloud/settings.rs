//! Settings by the names that OpenStack's clients give them.

use serde_json::Value;

use super::clouds;

/// `OS_*` variables, and the cloud of `clouds.yaml` behind them.
pub(super) struct Settings<F> {
    variable: F,
    cloud: Option<Value>,
}

impl<F: Fn(&str) -> Option<String>> Settings<F> {
    /// # Errors
    ///
    /// A cloud is named, and no file has it.
    pub(super) fn new(cloud: Option<&str>, variable: F) -> anyhow::Result<Self> {
        let cloud = match cloud.filter(|name| !name.is_empty()) {
            Some(name) => Some(clouds::find(name, &variable)?),
            None => None,
        };
        Ok(Self { variable, cloud })
    }

    /// A setting: `username` is `OS_USERNAME`, or `username` of the cloud or of its `auth`.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.variable)(&format!("OS_{}", name.to_uppercase())).or_else(|| {
            let cloud = self.cloud.as_ref()?;
            text(&cloud["auth"][name]).or_else(|| text(&cloud[name]))
        })
    }

    /// The first of these that is set.
    pub(super) fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Whether any certificate will do.
    pub(super) fn is_insecure(&self) -> anyhow::Result<bool> {
        if let Some(insecure) = self.get("insecure") {
            return truth("insecure", &insecure);
        }
        match self.cloud.as_ref().and_then(|cloud| text(&cloud["verify"])) {
            Some(verify) => truth("verify", &verify).map(|verified| !verified),
            None => Ok(false),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn truth(name: &str, text: &str) -> anyhow::Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => anyhow::bail!("{name} is '{text}', which is neither true nor false"),
    }
}
