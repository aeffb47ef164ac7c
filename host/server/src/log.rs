//! Where log lines go.

use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::sync::Mutex;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::LogConfig;

/// Starts logging for the rest of the process's life. `RUST_LOG` selects levels by module, as
/// usual; otherwise `debug` decides.
pub fn start(config: &LogConfig) -> anyhow::Result<()> {
    let ours = if config.debug { "debug" } else { "info" };
    // What libraries say below a warning is of no use to an operator.
    let default = format!(
        "warn,congress_server={ours},congress_plugins={ours},congress_store={ours},\
         congress_bus={ours},congress_policy={ours}"
    );
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let (writer, colours): (BoxMakeWriter, bool) = match &config.file {
        None => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
        Some(path) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("cannot write the log file {}", path.display()))?;
            (BoxMakeWriter::new(Mutex::new(file)), false)
        }
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    let started = if config.json {
        lines.json().with_writer(writer).try_init()
    } else {
        lines.with_writer(writer).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
