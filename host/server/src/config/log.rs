//! Where log lines go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::load::Reader;
use super::options;

/// The name of the log file if only its folder is given.
const LOG_FILE: &str = "congress-server.log";

/// Facilities of syslog, by their number.
const FACILITIES: [&str; 24] = [
    "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV",
    "FTP", "NTP", "AUDIT", "ALERT", "CLOCK", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4",
    "LOCAL5", "LOCAL6", "LOCAL7",
];

/// Where log lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// Whether details for developers are logged too.
    pub debug: bool,
    /// Levels of single modules: their names and what is logged of them at least.
    pub levels: Vec<(String, String)>,
    /// The log file; standard error if there is none, and nothing else is chosen.
    pub file: Option<PathBuf>,
    /// When the log file is rotated.
    pub rotation: Rotation,
    /// Whether the file is opened anew when another has its place.
    pub watch: bool,
    /// Whether lines go to standard error too.
    pub stderr: bool,
    /// The facility under which lines go to syslog too, by its number.
    pub syslog: Option<u8>,
    /// Whether lines go to the journal of systemd too.
    pub journal: bool,
    /// Whether each line is a JSON object.
    pub json: bool,
}

/// When a log file is rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// Never: that is left to others.
    #[default]
    None,
    /// By time.
    Interval {
        /// After how long.
        interval: Interval,
        /// How many old files are kept.
        keep: u32,
    },
    /// Before it gets larger.
    Size {
        /// Than this.
        bytes: u64,
        /// How many old files are kept.
        keep: u32,
    },
}

impl Rotation {
    /// How many old files are kept.
    pub(crate) fn keep(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::Interval { keep, .. } | Self::Size { keep, .. } => *keep,
        }
    }
}

/// When the time for a rotation has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interval {
    /// So long after the last.
    Every(Duration),
    /// Every midnight, in local time.
    Midnight,
    /// At the begin of a day of the week, from 0 for Monday.
    Weekday(i8),
}

impl Reader<'_> {
    pub(super) fn log(&mut self) -> LogConfig {
        let file = self.optional(&options::LOG_FILE);
        let folder = self.optional(&options::LOG_DIR);
        let syslog = self.value(&options::USE_SYSLOG).then(|| self.facility());
        LogConfig {
            debug: self.value(&options::DEBUG),
            levels: self.levels(),
            // An absolute file stays where it is.
            file: match (folder, file) {
                (Some(folder), file) => {
                    Some(folder.join(file.as_deref().unwrap_or(Path::new(LOG_FILE))))
                }
                (None, file) => file,
            },
            rotation: self.rotation(),
            watch: self.value(&options::WATCH_LOG_FILE),
            stderr: self.value(&options::USE_STDERR),
            syslog: syslog.flatten(),
            journal: self.value(&options::USE_JOURNAL),
            json: self.value(&options::USE_JSON),
        }
    }

    fn facility(&mut self) -> Option<u8> {
        let text = self.value(&options::SYSLOG_FACILITY).to_ascii_uppercase();
        let name = text.strip_prefix("LOG_").unwrap_or(&text);
        let found = FACILITIES.iter().position(|facility| *facility == name);
        if found.is_none() {
            let problem = format!("is {text:?}, but must be LOG_USER, LOG_DAEMON, LOG_LOCAL0 …");
            self.problems.push(self.about(&options::SYSLOG_FACILITY.spec, &problem));
        }
        found.and_then(|number| u8::try_from(number).ok())
    }

    fn rotation(&mut self) -> Rotation {
        let keep = u32::try_from(self.value(&options::MAX_LOGFILE_COUNT)).unwrap_or(u32::MAX);
        let megabytes = self.value(&options::MAX_LOGFILE_SIZE) as u64;
        let interval = self.interval();
        match self.value(&options::LOG_ROTATION_TYPE).to_ascii_lowercase().as_str() {
            "none" => Rotation::None,
            "size" => Rotation::Size { bytes: megabytes.saturating_mul(1 << 20), keep },
            "interval" => Rotation::Interval { interval, keep },
            other => {
                let text = format!("is {other:?}, but must be none, interval or size");
                self.problems.push(self.about(&options::LOG_ROTATION_TYPE.spec, &text));
                Rotation::None
            }
        }
    }

    fn interval(&mut self) -> Interval {
        let count = self.value(&options::LOG_ROTATE_INTERVAL);
        let seconds = |unit: u64| {
            Interval::Every(Duration::from_secs((count.max(1) as u64).saturating_mul(unit)))
        };
        match self.value(&options::LOG_ROTATE_INTERVAL_TYPE).to_ascii_lowercase().as_str() {
            "seconds" => seconds(1),
            "minutes" => seconds(60),
            "hours" => seconds(3600),
            "days" => seconds(86_400),
            "midnight" => Interval::Midnight,
            "weekday" => Interval::Weekday(i8::try_from(count % 7).unwrap_or(0)),
            other => {
                let text = format!(
                    "is {other:?}, but must be seconds, minutes, hours, days, weekday or midnight"
                );
                self.problems.push(self.about(&options::LOG_ROTATE_INTERVAL_TYPE.spec, &text));
                Interval::Midnight
            }
        }
    }

    /// Names of Python's loggers are names of modules here: of those that are not there nothing
    /// is logged anyway.
    fn levels(&mut self) -> Vec<(String, String)> {
        let mut levels = Vec::new();
        for entry in self.value(&options::DEFAULT_LOG_LEVELS) {
            let parts = entry.split_once('=').map(|(name, level)| (name.trim(), level.trim()));
            let level = |text: &str| match text.to_ascii_uppercase().as_str() {
                "CRITICAL" | "FATAL" | "ERROR" => Some("error"),
                "WARNING" | "WARN" => Some("warn"),
                "INFO" => Some("info"),
                "DEBUG" => Some("debug"),
                "TRACE" | "NOTSET" => Some("trace"),
                _ => None,
            };
            let is_name = |name: &str| {
                !name.is_empty()
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c))
            };
            match parts.filter(|(name, _)| is_name(name)).and_then(|(n, l)| Some((n, level(l)?))) {
                Some((name, level)) => {
                    levels.push((name.replace('.', "::").replace('-', "_"), level.to_owned()));
                }
                None => {
                    let text = format!("has {entry:?}, which is left out: it must be module=LEVEL");
                    self.warnings.push(self.about(&options::DEFAULT_LOG_LEVELS.spec, &text));
                }
            }
        }
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, ConfigError, Environment, Loaded, load};
    use super::*;

    fn read(options: &str) -> Result<Loaded, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("congress.conf");
        let text =
            format!("[DEFAULT]\nauth_strategy = noauth\ntransport_url = memory://\n{options}");
        std::fs::write(&path, text).unwrap();
        let cli = Cli::read(["congress-server", "--config-file", path.to_str().unwrap()]).unwrap();
        load(&cli, &Environment::default())
    }

    #[test]
    fn where_lines_go_and_when_the_file_is_rotated() {
        let loaded = read(
            "log_file = x.log\nlog_dir = /l\nuse_syslog = true\nsyslog_log_facility = LOG_LOCAL0\n\
             use_journal = true\nwatch_log_file = true\nmax_logfile_count = 3\n\
             log_rotation_type = Interval\nlog_rotate_interval = 2\n\
             log_rotate_interval_type = Hours\n\
             default_log_levels = oslo.db=WARNING, congress_store=DEBUG, nonsense, x=LOUD\n",
        )
        .unwrap();
        let log = loaded.config.log;
        assert_eq!(log.file, Some("/l/x.log".into()));
        assert_eq!((log.syslog, log.journal, log.watch, log.stderr), (Some(16), true, true, false));
        let interval = Interval::Every(Duration::from_secs(7200));
        assert_eq!(log.rotation, Rotation::Interval { interval, keep: 3 });
        let levels = [("oslo::db", "warn"), ("congress_store", "debug")];
        assert_eq!(log.levels, levels.map(|(name, level)| (name.to_owned(), level.to_owned())));
        let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        let warnings = warnings.join("\n");
        assert!(warnings.contains("\"nonsense\"") && warnings.contains("\"x=LOUD\""), "{warnings}");

        let size = read("log_rotation_type = size\nmax_logfile_size_mb = 1\n").unwrap();
        let expected = Rotation::Size { bytes: 1 << 20, keep: 30 };
        assert_eq!(size.config.log.rotation, expected);
        assert_eq!(read("").unwrap().config.log, LogConfig::default());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let wrong = "use_syslog = true\nsyslog_log_facility = LOG_X\nlog_rotation_type = often\n\
                     log_rotate_interval_type = moons\n";
        let error = read(wrong).unwrap_err().to_string();
        for option in ["syslog_log_facility", "log_rotation_type", "log_rotate_interval_type"] {
            assert!(error.contains(option), "{option}: {error}");
        }
    }
}
