//! Where log lines go, and what of it can be changed while the server runs.

mod datagram;
mod file;

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use self::datagram::Datagrams;
use self::file::LogFile;
use crate::config::LogConfig;

/// What layers lie on.
type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// The log of this process.
#[derive(Clone)]
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    file: Option<Arc<Mutex<LogFile>>>,
}

/// Starts logging for the rest of the process's life. `RUST_LOG` selects levels by module, as
/// usual; otherwise `debug` and `default_log_levels` decide.
pub fn start(config: &LogConfig) -> anyhow::Result<Log> {
    let (filter, handle) = reload::Layer::new(filter(config));
    let mut layers: Vec<Box<dyn Layer<Filtered> + Send + Sync>> = Vec::new();
    let file = match &config.file {
        None => None,
        Some(path) => {
            let file = LogFile::open(path, config.rotation.clone(), config.watch)
                .with_context(|| format!("cannot write the log file {}", path.display()))?;
            let file = Arc::new(Mutex::new(file));
            let shared = Shared(file.clone());
            layers.push(lines(config, false, BoxMakeWriter::new(move || shared.clone())));
            Some(file)
        }
    };
    if let Some(facility) = config.syslog {
        let syslog = Datagrams::syslog(facility);
        layers.push(short_lines(config, BoxMakeWriter::new(syslog.context("use_syslog")?)));
    }
    if config.journal {
        let journal = Datagrams::journal();
        layers.push(short_lines(config, BoxMakeWriter::new(journal.context("use_journal")?)));
    }
    if config.stderr || layers.is_empty() {
        let colours = io::stderr().is_terminal();
        layers.push(lines(config, colours, BoxMakeWriter::new(io::stderr)));
    }
    tracing_subscriber::registry()
        .with(filter)
        .with(layers)
        .try_init()
        .context("cannot start logging")?;
    Ok(Log { filter: handle, file })
}

impl Log {
    /// Takes over the options that may change while the server runs, and opens the log file anew.
    pub fn reload(&self, config: &LogConfig) -> anyhow::Result<()> {
        self.filter.reload(filter(config)).context("cannot change the levels")?;
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.reopen().context("cannot open the log file anew")?;
        }
        Ok(())
    }
}

/// Which lines are written.
fn filter(config: &LogConfig) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(config)))
}

fn directives(config: &LogConfig) -> String {
    let ours = if config.debug { "debug" } else { "info" };
    // What libraries say below a warning is of no use to an operator.
    let mut directives = format!(
        "warn,congress_server={ours},congress_plugins={ours},congress_store={ours},\
         congress_bus={ours},congress_policy={ours}"
    );
    for (module, level) in &config.levels {
        directives.push_str(&format!(",{module}={level}"));
    }
    directives
}

/// Whole lines, with their time.
fn lines(
    config: &LogConfig,
    colours: bool,
    writer: BoxMakeWriter,
) -> Box<dyn Layer<Filtered> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer().with_ansi(colours);
    match config.json {
        true => lines.json().with_writer(writer).boxed(),
        false => lines.with_writer(writer).boxed(),
    }
}

/// Lines for who adds time and level.
fn short_lines(
    config: &LogConfig,
    writer: BoxMakeWriter,
) -> Box<dyn Layer<Filtered> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer().with_ansi(false);
    match config.json {
        true => lines.json().without_time().with_writer(writer).boxed(),
        false => lines.without_time().with_level(false).with_writer(writer).boxed(),
    }
}

/// The log file, for whoever writes a line.
#[derive(Clone)]
struct Shared(Arc<Mutex<LogFile>>);

impl io::Write for Shared {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Datagrams {
    type Writer = datagram::Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        self.line(tracing::Level::INFO)
    }

    fn make_writer_for(&'a self, metadata: &tracing::Metadata<'_>) -> Self::Writer {
        self.line(*metadata.level())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_module_come_last_and_win() {
        let config = LogConfig {
            levels: vec![("congress_store".into(), "error".into())],
            ..LogConfig::default()
        };
        let directives = directives(&config);
        assert!(directives.starts_with("warn,congress_server=info,"), "{directives}");
        assert!(directives.ends_with(",congress_store=error"), "{directives}");
        assert!(EnvFilter::try_new(&directives).is_ok());
    }
}
