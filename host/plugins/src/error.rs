//! Everything that can go wrong, in sentences that say what to do.

use std::fmt;
use std::time::Duration;

use crate::DriverError;

/// Why a host could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The engine refused its configuration.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
    /// A thread could not be started.
    #[error("cannot start the threads that drivers run on: {0}")]
    Threads(#[source] std::io::Error),
    /// The cache folder is unusable.
    #[error("the cache folder {folder} cannot be used: {reason}")]
    Cache {
        /// The folder.
        folder: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The system's certificates could not be read.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// Why a file is not loaded as a driver.
#[derive(Debug, thiserror::Error)]
#[error("driver file {file}: {kind}")]
pub struct LoadError {
    /// The file, as it was named to the host.
    pub file: String,
    /// What is wrong.
    pub kind: LoadErrorKind,
}

/// What is wrong with a driver file.
#[derive(Debug, thiserror::Error)]
pub enum LoadErrorKind {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[source] std::io::Error),
    /// It is larger than the limit.
    #[error("is {size} bytes long; the limit `component_bytes` is {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// It is something else.
    #[error("is not a WebAssembly file; expected a component that exports {wanted}")]
    NotWasm {
        /// The interface that drivers export.
        wanted: &'static str,
    },
    /// It is a core module.
    #[error(
        "is a core WebAssembly module, not a component; build it for wasm32-wasip2, or wrap it \
         with `wasm-tools component new`"
    )]
    CoreModule,
    /// It is damaged, or uses features that the engine does not have.
    #[error("is not a valid component: {0}")]
    Invalid(String),
    /// It takes too much to compile.
    #[error("cannot be compiled: {0}; smaller functions compile better")]
    Compile(String),
    /// It is a component, but not a driver.
    #[error("is a component of another world: it exports {found}; a driver exports {wanted}")]
    OtherWorld {
        /// What it exports.
        found: String,
        /// The interface that drivers export.
        wanted: &'static str,
    },
    /// It is a driver for another version of the contract.
    #[error("is built for {found}; this host has {wanted}: {}", other_version(.found))]
    OtherVersion {
        /// The interface that it exports.
        found: String,
        /// The interface that this host calls.
        wanted: &'static str,
    },
    /// It wants more than the contract gives.
    #[error(
        "imports what this host does not offer: {0}; drivers may import the interfaces of \
         congress:datasource and those of WASI 0.2"
    )]
    Imports(String),
    /// `describe` failed.
    #[error("does not describe itself: {0}")]
    Describe(#[source] Box<CallError>),
    /// `describe` answered something inconsistent.
    #[error("describes itself wrongly: {0}")]
    Metadata(#[source] MetadataError),
    /// The host itself failed.
    #[error("could not be loaded because of a fault in the host: {0}")]
    Internal(String),
}

/// What to do with a component that is built for another version of the contract.
fn other_version(found: &str) -> &'static str {
    match found.split_once('@') {
        Some((_, version)) if version.starts_with("0.") => {
            "that was a draft of the contract; build it anew against that of this host"
        }
        _ => "build it against that version, or update the server if it has a newer one",
    }
}

/// What is wrong with a driver's description, or with the tables of one of its datasources.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct MetadataError {
    /// Where, as `table 'servers', column 3`.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Fields that the driver does not have.
    #[error("driver '{driver}' has no configuration field {}", quoted(.fields))]
    Unknown {
        /// The driver's id.
        driver: String,
        /// The fields, sorted.
        fields: Vec<String>,
    },
    /// Required fields that are not set.
    #[error("driver '{driver}' requires the configuration field {}", quoted(.fields))]
    Missing {
        /// The driver's id.
        driver: String,
        /// The fields, in the order in which the driver declares them.
        fields: Vec<String>,
    },
    /// A value of the wrong type, or one that cannot be used. Never contains the value.
    #[error("configuration field '{field}' of driver '{driver}' {problem}")]
    Invalid {
        /// The driver's id.
        driver: String,
        /// The field.
        field: String,
        /// What is wrong, as `must be an integer`.
        problem: String,
    },
    /// The driver refused it, or failed to answer its tables.
    #[error(transparent)]
    Refused(#[from] CallError),
    /// The driver answered tables that cannot be used.
    #[error("driver '{driver}' answers unusable tables for this configuration: {error}")]
    Tables {
        /// The driver's id.
        driver: String,
        /// What is wrong with them.
        error: MetadataError,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

/// Why a call failed: one sentence, with the driver's name, fit to be shown as a datasource's
/// last error. Everything that the call put in is dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("driver '{driver}': {kind}")]
pub struct CallError {
    /// The driver's id, or the file's name before the id is known.
    pub driver: String,
    /// What happened.
    pub kind: CallErrorKind,
}

impl CallError {
    /// Whether repeating the call is useless until somebody changes the configuration or the
    /// driver.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self.kind,
            CallErrorKind::Driver(DriverError::Config(_) | DriverError::Unsupported(_))
        )
    }
}

/// What made a call fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// The driver gave up and said why.
    Driver(DriverError),
    /// The driver crashed.
    Trap(Trap),
    /// The driver ended itself and said why: the message of a panic or of an uncaught exception.
    GaveUp(String),
    /// The call took longer than this.
    Timeout(Duration),
    /// The call took longer than `limit`, and waited for a service then: scheme, host and port.
    Unanswered {
        /// The limit.
        limit: Duration,
        /// Who did not answer.
        service: String,
    },
    /// The call reached a limit; the text says which and how to raise it.
    Limit(String),
    /// There was no place for the call, which has not begun; the text says what holds it up.
    NotStarted(String),
    /// The host itself failed.
    Internal(String),
}

impl fmt::Display for CallErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => error.fmt(f),
            Self::Trap(trap) => trap.fmt(f),
            Self::GaveUp(words) => {
                write!(f, "the driver crashed: {words}; report it to the driver's author")
            }
            Self::Timeout(limit) => write!(
                f,
                "the call did not end within {} s and was stopped; raise the limit `call_timeout` \
                 (`describe_timeout`, if it was asked for its tables) if that is too short, else \
                 report it to the driver's author",
                limit.as_secs_f64()
            ),
            Self::Unanswered { limit, service } => write!(
                f,
                "the call did not end within {} s and was stopped while it waited for {service}: \
                 see why that is slow, or raise the limit `call_timeout`",
                limit.as_secs_f64()
            ),
            Self::Limit(text) | Self::NotStarted(text) => f.write_str(text),
            Self::Internal(text) => write!(f, "the host failed: {text}"),
        }
    }
}

/// How a guest crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// It gave up by itself: a panic, an abort, an assertion.
    Unreachable,
    /// It recursed too deeply.
    StackOverflow,
    /// It asked for more memory than it may have.
    Memory,
    /// It touched memory that it does not have.
    OutOfBounds,
    /// It broke the rules of the component model, for instance by text that is no Unicode.
    Abi,
    /// Anything else.
    Other,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => {
                "the driver crashed (it panicked or aborted); report it to the driver's author"
            }
            Self::StackOverflow => {
                "the driver crashed because its call stack is exhausted (the limit is \
                 `stack_bytes`); report it to the driver's author"
            }
            Self::Memory => {
                "the driver asked for more memory than the limit `memory_bytes` allows; raise \
                 the limit if its tables are large, else report it to the driver's author"
            }
            Self::OutOfBounds => {
                "the driver crashed by touching memory that it does not have (or its own stack is \
                 exhausted); report it to the driver's author"
            }
            Self::Abi => {
                "the driver crashed by handing over malformed data; report it to the driver's \
                 author"
            }
            Self::Other => "the driver crashed; report it to the driver's author",
        })
    }
}

/// An engine's error on one line: the outermost message and the innermost cause.
pub(crate) fn first_line(error: &wasmtime::Error) -> String {
    let (outer, inner) = (error.to_string(), error.root_cause().to_string());
    let text = if inner == outer { outer } else { format!("{outer}: {inner}") };
    crate::text::clean(&text, 500)
}
