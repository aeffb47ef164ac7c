//! What several commands take: the component, the datasource's configuration, and the operator's grants.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use congress_plugins::{AllowedHost, ConfigValues};
use serde_json::Value;

/// A component, and a datasource of it.
#[derive(Args, Clone, Debug)]
pub(super) struct Component {
    /// The component.
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) config: Config,
    #[command(flatten)]
    pub(super) grants: Grants,
}

/// A datasource's configuration.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Config {
    /// Fields of the datasource's configuration; `key=@file` takes the value from a file. A value
    /// that is a JSON object or array is taken as such.
    #[arg(long = "config", value_name = "KEY=VALUE", num_args = 1..)]
    pub(super) fields: Vec<String>,
    /// A JSON object with more fields, as the API takes them.
    #[arg(long, value_name = "FILE")]
    pub(super) config_file: Option<PathBuf>,
}

impl Config {
    /// The values; fields of the command line come before those of the file.
    pub(super) fn values(&self) -> anyhow::Result<ConfigValues> {
        let mut values = match &self.config_file {
            None => ConfigValues::new(),
            Some(path) => {
                let file = path.display();
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
                match serde_json::from_str(&text) {
                    Ok(Value::Object(values)) => values,
                    Ok(_) => bail!("{file} holds no JSON object, as {{\"url\": \"https://…\"}}"),
                    Err(error) => bail!("{file} is no JSON: {error}"),
                }
            }
        };
        values.extend(crate::commands::config_of(&self.fields)?);
        Ok(values)
    }
}

/// What an operator grants in `congress.conf`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Grants {
    /// Addresses that a configuration does not suffice to reach: loopback, link-local, metadata.
    /// As an operator's entries in `allowed_hosts`.
    #[arg(long, value_name = "HOST", num_args = 1..)]
    pub(super) allow: Vec<AllowedHost>,
    /// Files and folders that the driver may read. As an operator's entries in `allowed_files`.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(super) allow_file: Vec<PathBuf>,
    /// How long a call of the driver may take, such as a poll. As an operator's `call_timeout`.
    #[arg(long, alias = "timeout", value_name = "SECONDS", default_value = "60",
          value_parser = seconds)]
    pub(super) call_timeout: Duration,
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    let seconds: f64 = text.parse().map_err(|_| anyhow!("'{text}' is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration <= Duration::from_secs(24 * 3600))
        .ok_or_else(|| anyhow!("between 0 and 86400 seconds"))
}
