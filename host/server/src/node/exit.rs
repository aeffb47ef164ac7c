//! How a process ends, for whoever started it.

use std::fmt;
use std::process::ExitCode;

/// The exit codes of the server. 0 is a clean end and 2 a command line that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It could not start, or could not go on: 1.
    Failed,
    /// Another process holds a higher term of the lease of the datasource node, so this one has
    /// stopped: 75. Started again it waits as a standby.
    LeaseLost,
    /// The configuration, or the keys, must be put right first: 78. Starting again is of no use.
    Configuration,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::LeaseLost => 75,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a server ended, and with which code. Shows the whole chain of causes.
#[derive(Debug)]
pub struct Ended {
    /// The code.
    pub exit: Exit,
    /// For the operator.
    pub reason: anyhow::Error,
}

impl Ended {
    /// The configuration, or a key, must be put right.
    pub fn configuration(reason: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Configuration, reason: reason.into() }
    }
}

impl From<anyhow::Error> for Ended {
    fn from(reason: anyhow::Error) -> Self {
        Self { exit: Exit::Failed, reason }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.reason)
    }
}
