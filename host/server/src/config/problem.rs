//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// The command line.
    CommandLine,
    /// The embedded default, for want of a configuration file.
    Embedded,
    /// The option's own default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Embedded => f.write_str("embedded default"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong, or worth a warning. Shows as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// What, and what to do. Never holds a secret.
    pub text: String,
}

impl Problem {
    pub(super) fn new(origin: Origin, text: impl Into<String>) -> Self {
        Self { origin, text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.text)
    }
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Files or folders that the command line names are not there, or cannot be read.
    #[error("Failed to find some config files: {}", .0.join(", "))]
    Files(Vec<String>),
    /// There is no configuration file, and no place for the embedded default's state either.
    #[error(
        "there is no configuration file and no home folder to keep state in: give --config-file or --state-dir"
    )]
    NoStateFolder,
    /// All that is wrong with the values.
    #[error("the configuration has {}:\n{}", count(.0.len()), lines(.0))]
    Invalid(Vec<Problem>),
}

fn count(problems: usize) -> String {
    match problems {
        1 => "an error".into(),
        more => format!("{more} errors"),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
}
