//! From the texts of options to a checked [`Config`].

use std::path::PathBuf;
use std::time::Duration;

use congress_plugins::{HostConfig, Limits};
use congress_store::Location;

use super::layers::{Layers, title};
use super::options::{self, Opt, Spec};
use super::problem::{ConfigError, Origin, Problem};
use super::{
    Cli, Config, CustomDriver, DatasourcesConfig, Environment, Roles, Timeouts, embedded, files,
    known,
};
use crate::actions;

/// A configuration, and what is worth saying about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Everything that has no effect, or not the one that may be expected. To be logged once.
    pub warnings: Vec<Problem>,
    /// Each option with its text, references replaced, and where that comes from.
    pub(super) texts: Vec<(&'static Spec, Option<(String, Origin)>)>,
}

/// Reads the configuration: environment, command line, files, defaults.
///
/// Reads files and changes nothing: the folders that it names need not exist.
pub fn load(cli: &Cli, environment: &Environment) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let files = files::read(cli, environment, &mut problems)?;
    let mut warnings = known::warnings(&files);
    warnings.extend(cli.without_effect().into_iter().map(known::command_line));

    let state_folder = match files.is_empty() {
        true => Some(embedded::state_folder(cli, environment).ok_or(ConfigError::NoStateFolder)?),
        false => None,
    };
    if state_folder.is_none() && cli.state_dir.is_some() {
        let text = "--state-dir has no effect, for there is a configuration file";
        warnings.push(Problem::new(Origin::CommandLine, text));
    }

    let layers = Layers {
        environment: &environment.variables,
        command_line: cli.values(),
        files,
        embedded: state_folder.as_deref().map(embedded::values).unwrap_or_default(),
    };
    let mut reader = Reader { layers, problems, warnings };
    let config = reader.config(state_folder, environment);
    let Reader { layers, problems, warnings } = reader;
    if !problems.is_empty() {
        return Err(ConfigError::Invalid(problems));
    }
    let texts = options::ALL.iter().map(|spec| (spec, layers.text(spec))).collect();
    Ok(Loaded { config, warnings, texts })
}

/// Reads where the database and the folder of its keys are, and nothing else, for tools that need
/// no more: whatever is wrong with other options does not keep them from it.
pub fn load_database(
    cli: &Cli,
    environment: &Environment,
) -> Result<(Location, PathBuf), ConfigError> {
    let files = files::read(cli, environment, &mut Vec::new())?;
    let state_folder = match files.is_empty() {
        true => Some(embedded::state_folder(cli, environment).ok_or(ConfigError::NoStateFolder)?),
        false => None,
    };
    let layers = Layers {
        environment: &environment.variables,
        command_line: cli.values(),
        files,
        embedded: state_folder.as_deref().map(embedded::values).unwrap_or_default(),
    };
    let mut reader = Reader { layers, problems: Vec::new(), warnings: Vec::new() };
    let found = (reader.database(), reader.value(&options::ENCRYPTION_KEY_PATH));
    match reader.problems.is_empty() {
        true => Ok(found),
        false => Err(ConfigError::Invalid(reader.problems)),
    }
}

/// Reads options and collects what is wrong with them. A wrong one reads as its default.
pub(super) struct Reader<'a> {
    layers: Layers<'a>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Reader<'_> {
    /// The value of an option that has a default.
    pub(super) fn value<T: Default>(&mut self, option: &Opt<T>) -> T {
        let default = || option.spec.default.and_then(option.r#type.read).unwrap_or_default();
        self.optional(option).unwrap_or_else(default)
    }

    /// The value of an option that may be left unset.
    pub(super) fn optional<T>(&mut self, option: &Opt<T>) -> Option<T> {
        match self.layers.read(option) {
            Ok(Some((value, found))) => {
                if let Some((section, name)) = found.deprecated {
                    let title = title(&option.spec);
                    let text = format!("[{section}] {name} is an old name; use {title}");
                    self.warnings.push(Problem::new(found.origin, text));
                }
                Some(value)
            }
            Ok(None) => None,
            Err((origin, text)) => {
                self.problems.push(Problem::new(origin, text));
                None
            }
        }
    }

    /// The values of an option that may be given several times: all of them.
    pub(super) fn several(&mut self, option: &Opt<Vec<String>>) -> Vec<String> {
        match self.layers.all(&option.spec) {
            Ok(texts) => texts.iter().filter_map(|t| (option.r#type.read)(t)).flatten().collect(),
            Err((origin, text)) => {
                self.problems.push(Problem::new(origin, text));
                Vec::new()
            }
        }
    }

    /// The configuration files, in order.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.layers.files.iter().map(|file| file.path.clone()).collect()
    }

    /// A line about an option, whose text ends a sentence that names it.
    pub(super) fn about(&self, spec: &Spec, text: &str) -> Problem {
        let origin = self.layers.find(spec).map_or(Origin::Default, |found| found.origin);
        Problem::new(origin, format!("{} {text}", title(spec)))
    }

    fn config(&mut self, state_folder: Option<PathBuf>, environment: &Environment) -> Config {
        let roles = self.roles();
        let auth_strategy = self.auth_strategy(roles, environment);
        let long_call = self.value(&options::LONG_TIMEOUT);
        Config {
            embedded: state_folder.is_some(),
            state_folder,
            files: self.files(),
            roles,
            node_id: self.optional(&options::NODE_ID).unwrap_or(environment.host_name.clone()),
            bind_host: self.value(&options::BIND_HOST),
            bind_port: self.value(&options::BIND_PORT),
            tcp_keepalive: self.keepalive(),
            admin_bind_host: self.value(&options::ADMIN_BIND_HOST),
            admin_bind_port: self.value(&options::ADMIN_BIND_PORT),
            lock_file: self.optional(&options::LOCK_FILE),
            drain_delay: self.value(&options::DRAIN_DELAY),
            auth_strategy,
            cors: self.cors(),
            proxy_headers: self.value(&options::PROXY_HEADERS),
            max_request_body_size: self.value(&options::MAX_REQUEST_BODY_SIZE),
            max_simultaneous_requests: self.value(&options::MAX_REQUESTS),
            ascii_only_rows: self.value(&options::ASCII_ONLY_ROWS),
            query_rows: self.value(&options::QUERY_ROWS),
            library_path: self.value(&options::LIBRARY_PATH),
            log: self.log(),
            database: self.database(),
            store: self.store(),
            database_retries: (
                u32::try_from(self.value(&options::MAX_RETRIES)).ok(),
                self.value(&options::RETRY_INTERVAL),
            ),
            encryption_key_path: self.value(&options::ENCRYPTION_KEY_PATH),
            bus: self.bus(roles),
            timeouts: Timeouts {
                call: self.value(&options::RPC_RESPONSE_TIMEOUT),
                long_call,
                takeover: self.value(&options::TAKEOVER_TIMEOUT),
                revision: self.value(&options::REVISION_TIMEOUT),
            },
            datasources: DatasourcesConfig {
                sync_period: self.value(&options::SYNC_PERIOD),
                longest_pause: self.value(&options::LONGEST_PAUSE),
                all_or_nothing: self.value(&options::ALL_OR_NOTHING),
                actions: self.actions(long_call),
                driver_path: self.value(&options::DRIVER_PATH),
                disabled_drivers: self.value(&options::DISABLED_DRIVERS),
                custom_drivers: self.custom_drivers(),
            },
            plugins: self.plugins(),
        }
    }

    fn keepalive(&mut self) -> Option<Duration> {
        let idle = self.value(&options::TCP_KEEPIDLE);
        self.value(&options::TCP_KEEPALIVE).then_some(idle)
    }

    /// How actions are run. Those of a datasource that does not run wait as long as a call that
    /// waits for a driver.
    fn actions(&mut self, start_wait: Duration) -> actions::Options {
        let retry: bool = self.value(&options::EXECUTE_ACTION_RETRY);
        let seconds: i64 = self.value(&options::EXECUTE_ACTION_RETRY_TIMEOUT);
        let limit = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        actions::Options {
            enabled: self.value(&options::EXECUTE_ACTIONS),
            retry: retry.then(|| limit.map(Duration::from_secs)),
            start_wait,
            ..actions::Options::default()
        }
    }

    /// A process that names no role has all of them.
    fn roles(&mut self) -> Roles {
        let roles = Roles {
            api: self.value(&options::API),
            policy_engine: self.value(&options::POLICY_ENGINE),
            datasources: self.value(&options::DATASOURCES),
        };
        match roles {
            Roles { api: false, policy_engine: false, datasources: false } => {
                Roles { api: true, policy_engine: true, datasources: true }
            }
            some => some,
        }
    }

    fn database(&mut self) -> Location {
        match Location::parse(&self.database_url()) {
            Ok((location, ignored)) => {
                for text in ignored {
                    self.warnings.push(self.about(&options::CONNECTION.spec, &text));
                }
                if location == Location::SqliteMemory {
                    let text = "is a database in memory: nothing survives a restart";
                    self.warnings.push(self.about(&options::CONNECTION.spec, text));
                }
                let shared = !matches!(location, Location::SqliteMemory | Location::SqliteFile(_));
                if self.value(&options::REPLICATED) && !shared {
                    let text = "is asked for, but [database] connection names SQLite, which only \
                                processes of one host can share";
                    self.warnings.push(self.about(&options::REPLICATED.spec, text));
                }
                location
            }
            Err(text) => {
                self.problems.push(self.about(&options::CONNECTION.spec, &text));
                Location::SqliteMemory
            }
        }
    }

    fn database_url(&mut self) -> String {
        let url = self.value(&options::CONNECTION);
        match self.optional(&options::CONNECTION_PARAMETERS) {
            Some(more) if url.contains('?') => format!("{url}&{more}"),
            Some(more) => format!("{url}?{more}"),
            None => url,
        }
    }

    fn store(&mut self) -> congress_store::Options {
        let pool = self.value(&options::POOL_SIZE).saturating_add(self.value(&options::OVERFLOW));
        congress_store::Options {
            max_connections: u32::try_from(pool).unwrap_or(u32::MAX),
            wait: self.value(&options::POOL_TIMEOUT),
            connect_timeout: self.value(&options::DATABASE_CONNECT_TIMEOUT),
        }
    }

    /// The original names Python classes here, which we cannot load: they are left out.
    fn custom_drivers(&mut self) -> Vec<CustomDriver> {
        let mut drivers = Vec::new();
        for entry in self.value(&options::CUSTOM_DRIVERS) {
            match entry.split_once('=').map(|(name, path)| (name.trim(), path.trim())) {
                Some((name, path)) if !name.is_empty() && path.ends_with(".wasm") => {
                    drivers.push(CustomDriver { name: name.into(), path: path.into() });
                }
                _ => {
                    let text = format!(
                        "has {entry:?}, which is left out: a driver is a component, as \
                         name=/path/driver.wasm"
                    );
                    self.warnings.push(self.about(&options::CUSTOM_DRIVERS.spec, &text));
                }
            }
        }
        drivers
    }

    fn plugins(&mut self) -> HostConfig {
        HostConfig {
            cache_folder: self.optional(&options::PLUGIN_CACHE),
            cache_bytes: self.value(&options::PLUGIN_CACHE_BYTES) as u64,
            // The program knows itself.
            compiler: None,
            guest_threads: self
                .optional(&options::PLUGIN_THREADS)
                .unwrap_or(HostConfig::default().guest_threads),
            simultaneous_calls: self.value(&options::PLUGIN_CALLS),
            limits: self.limits(),
            allowed_hosts: self.value(&options::ALLOWED_HOSTS),
            only_hosts: self.value(&options::ONLY_HOSTS),
            allowed_files: self.value(&options::ALLOWED_FILES),
            wire: None,
        }
    }

    fn limits(&mut self) -> Limits {
        Limits {
            memory_bytes: self.value(&options::PLUGIN_MEMORY),
            stack_bytes: self.value(&options::PLUGIN_STACK),
            call_timeout: self.value(&options::PLUGIN_CALL_TIMEOUT),
            describe_timeout: self.value(&options::PLUGIN_DESCRIBE_TIMEOUT),
            component_bytes: self.value(&options::PLUGIN_COMPONENT) as u64,
            compile_timeout: self.value(&options::PLUGIN_COMPILE_TIMEOUT),
            compile_memory_bytes: self.value(&options::PLUGIN_COMPILE_MEMORY),
            hostcall_bytes: self.value(&options::PLUGIN_HOSTCALL),
            rows_per_call: self.value(&options::PLUGIN_ROWS),
            row_bytes_per_call: self.value(&options::PLUGIN_ROW_MEMORY),
            refused_batches: self.value(&options::PLUGIN_REFUSED),
            metadata_bytes: self.value(&options::PLUGIN_METADATA),
            tables_per_datasource: self.value(&options::PLUGIN_TABLES),
            columns_per_table: self.value(&options::PLUGIN_COLUMNS),
            state_bytes: self.value(&options::PLUGIN_STATE),
            requests_per_call: self.value(&options::PLUGIN_REQUESTS),
            concurrent_requests: self.value(&options::PLUGIN_CONCURRENT),
            requests_per_second: self.value(&options::PLUGIN_REQUEST_RATE),
            redirects: self.value(&options::PLUGIN_REDIRECTS),
            connect_timeout: self.value(&options::PLUGIN_CONNECT_TIMEOUT),
            request_timeout: self.value(&options::PLUGIN_REQUEST_TIMEOUT),
            request_bytes: self.value(&options::PLUGIN_REQUEST),
            response_bytes: self.value(&options::PLUGIN_RESPONSE),
            log_lines_per_second: self.value(&options::PLUGIN_LOG_RATE),
            log_lines_per_call: self.value(&options::PLUGIN_LOG_LINES),
            log_line_bytes: self.value(&options::PLUGIN_LOG_LINE),
            error_bytes: self.value(&options::PLUGIN_ERROR),
        }
    }
}
