//! Configuration: `congress.conf`, the command line, the environment.
//!
//! Files follow the rules of the original's library, so that an operator's file works as it is
//! ([`ini`], [`substitution`], [`layers`]). All options stand in one table ([`options`]); [`load`]
//! turns their values into a [`Config`] and collects everything that is wrong with them, instead
//! of stopping at the first. What is unknown, or known and without effect, is a warning and never
//! fatal.
//!
//! Without any file the server runs on its embedded default: see [`Config::embedded`].

mod auth;
mod bus;
mod cli;
mod embedded;
mod environment;
mod files;
mod ini;
mod known;
mod layers;
mod load;
mod log;
mod options;
mod paths;
mod print;
mod problem;
mod reference;
mod substitution;
#[cfg(test)]
mod tests;
mod transport_url;
mod types;

use std::path::PathBuf;
use std::time::Duration;

use congress_plugins::HostConfig;
use congress_store::Location;

use crate::api::Cors;
use crate::auth::AuthOptions;

pub use bus::{BusConfig, TlsFiles};
pub use cli::Cli;
pub use embedded::StateFolderError;
pub use environment::Environment;
pub use load::{Loaded, load, load_database};
pub use log::{Interval, LogConfig, Rotation};
pub use paths::PathProblems;
pub use problem::{ConfigError, Origin, Problem};
pub use reference::{option_reference, sample};
pub use transport_url::{BrokerHost, Transport, TransportUrl};

/// What the server is to do, checked and complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether there was no configuration file, so that the server runs on its embedded default:
    /// an SQLite file and the in-process bus in a state folder, on loopback, without
    /// authentication. The server must say so when it starts.
    pub embedded: bool,
    /// The state folder of the embedded default ([`Config::create_state_folder`]); none otherwise.
    pub state_folder: Option<PathBuf>,
    /// The configuration files that were read, in order.
    pub files: Vec<PathBuf>,
    /// What this process does.
    pub roles: Roles,
    /// This node's id, unique on the bus (except among datasource nodes).
    pub node_id: String,
    /// Address or name on which the API listens.
    pub bind_host: String,
    /// Port on which the API listens; 0 for any.
    pub bind_port: u16,
    /// After how long a silence clients are asked whether they are still there, if ever.
    pub tcp_keepalive: Option<Duration>,
    /// Address or name on which a node without the API answers supervisors.
    pub admin_bind_host: String,
    /// Port of the same; 0 for any.
    pub admin_bind_port: u16,
    /// Kept locked while the server lives.
    pub lock_file: Option<PathBuf>,
    /// How long a node that stops says so before its connections close.
    pub drain_delay: Duration,
    /// Who may use the API.
    pub auth_strategy: AuthStrategy,
    /// Pages of other origins that may use it; none if there is no such page.
    pub cors: Option<Cors>,
    /// Whether a proxy's headers say where clients sent their requests.
    pub proxy_headers: bool,
    /// Largest body of a request, in bytes.
    pub max_request_body_size: usize,
    /// Requests worked on at once.
    pub max_simultaneous_requests: usize,
    /// Whether characters outside ASCII are dropped from rows, as the original does.
    pub ascii_only_rows: bool,
    /// The most rows that a query may produce on the way to its answer.
    pub query_rows: usize,
    /// Folders with policies for a policy library that is empty. They need not exist.
    pub library_path: Vec<PathBuf>,
    /// Where log lines go.
    pub log: LogConfig,
    /// Where the database is.
    pub database: Location,
    /// How the database is used.
    pub store: congress_store::Options,
    /// How often it is tried again at start if it does not answer (none: for ever), and after which
    /// pause.
    pub database_retries: (Option<u32>, Duration),
    /// The folder of the key that seals secrets.
    pub encryption_key_path: PathBuf,
    /// How nodes reach each other.
    pub bus: BusConfig,
    /// Time limits of calls between nodes.
    pub timeouts: Timeouts,
    /// The datasources role.
    pub datasources: DatasourcesConfig,
    /// The host of drivers: limits and grants.
    pub plugins: HostConfig,
}

/// What a process does. At least one is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Serves the REST API.
    pub api: bool,
    /// Runs the policy engine.
    pub policy_engine: bool,
    /// Runs the datasources.
    pub datasources: bool,
}

impl Roles {
    /// Whether this process does all there is to do.
    pub fn all(self) -> bool {
        self.api && self.policy_engine && self.datasources
    }
}

impl std::fmt::Display for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let roles = [
            (self.api, "api"),
            (self.policy_engine, "policy-engine"),
            (self.datasources, "datasources"),
        ];
        let names: Vec<_> = roles.iter().filter_map(|(runs, name)| runs.then_some(*name)).collect();
        f.write_str(&names.join(","))
    }
}

/// Who may use the API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthStrategy {
    /// Whoever can reach it.
    NoAuth,
    /// Whoever has a token of Keystone's, as policy files say.
    Keystone(Box<AuthOptions>),
}

/// Time limits of calls between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Of a call to another service, if nothing else is said.
    pub call: Duration,
    /// Of long calls: queries, rule insertion, datasource creation, actions.
    pub long_call: Duration,
    /// How long a call waits for a datasource node to take over when there is none.
    pub takeover: Duration,
    /// How long a request waits for the revision of the database that it asks for.
    pub revision: Duration,
}

/// The datasources role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasourcesConfig {
    /// How often the running datasources are compared with the database.
    pub sync_period: Duration,
    /// How long a datasource that fails again and again waits at most between two attempts.
    pub longest_pause: Duration,
    /// Whether nothing of a poll is published if a table could not be read.
    pub all_or_nothing: bool,
    /// How actions are run.
    pub actions: crate::actions::Options,
    /// Folders with drivers (`*.wasm`), in order of preference. They need not exist.
    pub driver_path: Vec<PathBuf>,
    /// Ids of drivers that must not be loaded.
    pub disabled_drivers: Vec<String>,
    /// Drivers outside these folders.
    pub custom_drivers: Vec<CustomDriver>,
}

/// A driver that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomDriver {
    /// The id under which it is to be known.
    pub name: String,
    /// The component's file.
    pub path: PathBuf,
}
