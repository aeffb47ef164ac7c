//! The server's process: command line, log, signals.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::ToSocketAddrs as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use congress_plugins::{CompilerProgram, HostConfig};
use congress_server::api::ApiOptions;
use congress_server::ask;
use congress_server::auth::{check_policy, sample_policy};
use congress_server::config::{
    AuthStrategy, Cli, Config, ConfigError, Environment, Loaded, load, option_reference, sample,
};
use congress_server::datasources::{ClientOptions, DriverFolders};
use congress_server::engine::EngineOptions;
use congress_server::huge_pages;
use congress_server::log::{self, Log};
use congress_server::node::{self, Ended, Listen, Patience};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Versions of tables share chunks, so the engine makes and drops many small ones: a quarter of
/// the time of a change with the C library's allocator (docs/adr/0011).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As the only argument but for numbers: this process is to compile a driver, and nothing else.
const COMPILE: &str = "compile-component";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(COMPILE) {
        huge_pages::allow();
        return congress_plugins::compile_component(arguments);
    }
    huge_pages::put_off();
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        // Prints usage, help or version, and ends with its own code.
        Err(message) => message.exit(),
    };
    match start(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => {
            // Whatever the log does, who starts the server must see why it did not start.
            let _ = writeln!(std::io::stderr(), "ERROR: {ended}");
            ended.exit.into()
        }
    }
}

fn start(cli: &Cli) -> Result<(), Ended> {
    if let Some(url) = &cli.health {
        let answer = ask(url, Duration::from_secs(cli.health_timeout))?;
        let _ = writeln!(std::io::stdout(), "{}", answer.trim_end());
        return Ok(());
    }
    let printed = [
        (cli.print_sample, sample as fn() -> String),
        (cli.print_reference, option_reference),
        (cli.print_policy, sample_policy),
    ];
    if let Some((_, text)) = printed.into_iter().find(|(wanted, _)| *wanted) {
        let text = text();
        let _ = std::io::stdout().write_all(text.as_bytes());
        return Ok(());
    }
    let loaded = load(cli, &Environment::of_process()).map_err(Ended::configuration)?;
    if cli.print_config {
        let _ = std::io::stdout().write_all(loaded.print().as_bytes());
        return Ok(());
    }
    if cli.check_config {
        return check(&loaded);
    }
    let config = loaded.config.clone();
    if config.embedded {
        config.create_state_folder().map_err(anyhow::Error::from)?;
    }
    let log = log::start(&config.log)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    announce(&config);
    raise_file_limit();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("congress")
        .build()
        .context("cannot start the runtime")?
        .block_on(run(cli.clone(), loaded, log))
}

/// Says what of the configuration deserves a word. What is wrong with the keys is an error too.
fn check(loaded: &Loaded) -> Result<(), Ended> {
    let config = &loaded.config;
    let mut out = std::io::stdout();
    let paths = loaded.check_paths();
    for warning in loaded.warnings.iter().chain(&paths.warnings) {
        let _ = writeln!(out, "warning: {warning}");
    }
    if !paths.errors.is_empty() {
        return Err(Ended::configuration(ConfigError::Invalid(paths.errors)));
    }
    if config.roles.datasources {
        // So it is before the first start of the first node.
        let missing =
            node::check_keys(&config.encryption_key_path).map_err(Ended::configuration)?;
        if let Some(missing) = missing {
            let _ = writeln!(out, "note: {missing}");
        }
    }
    if let AuthStrategy::Keystone(auth) = &config.auth_strategy {
        check_policy(&auth.policy).map_err(Ended::configuration)?;
    }
    let _ = writeln!(out, "the configuration is good");
    Ok(())
}

/// Says what an operator must know before anything else.
fn announce(config: &Config) {
    if let Some(folder) = &config.state_folder {
        tracing::warn!(
            "no configuration file was found: running on the embedded default, with an SQLite \
             database and the in-process bus in {}; the API listens on {}:{}",
            folder.display(),
            config.bind_host,
            config.bind_port
        );
    } else {
        for file in &config.files {
            tracing::info!("configuration read from {}", file.display());
        }
    }
    if config.roles.api && config.auth_strategy == AuthStrategy::NoAuth {
        tracing::warn!(
            "auth_strategy is noauth: whoever can reach {}:{} may change everything",
            config.bind_host,
            config.bind_port
        );
    }
}

/// Every connection is an open file, and the usual soft limit is below what is to be served.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the limit on open files; many clients may have to wait");
    }
}

async fn run(cli: Cli, loaded: Loaded, log: Log) -> Result<(), Ended> {
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone())?);
    tokio::spawn(huge_pages::allow_when_large());
    let config = loaded.config.clone();
    let (reread, rereading) = watch::channel(());
    tokio::spawn(reload_on_signal(cli, loaded, log, reread)?);
    node::run(options(config)?, stop, rereading).await
}

/// SIGHUP has the configuration and the key file read again. What cannot change while the server runs
/// is named.
fn reload_on_signal(
    cli: Cli,
    mut loaded: Loaded,
    log: Log,
    reread: watch::Sender<()>,
) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            reread.send_replace(());
            let new = match load(&cli, &Environment::of_process()) {
                Ok(new) => new,
                Err(error) => {
                    tracing::error!("the configuration stays as it was: {error}");
                    continue;
                }
            };
            if let Err(error) = log.reload(&new.config.log) {
                tracing::error!("{error:#}");
            }
            let waiting = new.changes_that_wait(&loaded);
            tracing::info!("read the configuration again");
            if !waiting.is_empty() {
                tracing::warn!(
                    "these options take effect at the next start: {}",
                    waiting.join(", ")
                );
            }
            // Against what is in force: the same is said again at the next time.
            loaded.config.log = new.config.log;
        }
    })
}

/// SIGTERM and SIGINT stop the server gracefully; a second one ends it at once.
fn stop_on_signal(
    stop: CancellationToken,
) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    Ok(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("stopping");
                stop.cancel();
            } else {
                std::process::exit(130);
            }
        }
    })
}

/// This program, whatever has become of its file since it was started.
fn compiler() -> CompilerProgram {
    CompilerProgram { program: "/proc/self/exe".into(), arguments: vec![COMPILE.to_owned()] }
}

/// What the node needs of the configuration.
fn options(config: Config) -> anyhow::Result<node::NodeOptions> {
    let listen = match config.roles.api {
        true => address(&config.bind_host, config.bind_port, ["bind_host", "bind_port"]),
        false => address(
            &config.admin_bind_host,
            config.admin_bind_port,
            ["admin_bind_host", "admin_bind_port"],
        ),
    };
    let (retries, interval) = config.database_retries;
    let datasources = config.datasources;
    let disabled: BTreeSet<_> = datasources.disabled_drivers.into_iter().collect();
    Ok(node::NodeOptions {
        listen: Listen { keepalive: config.tcp_keepalive, ..listen? },
        node_id: config.node_id,
        roles: config.roles,
        lock_file: config.lock_file,
        drain_delay: config.drain_delay,
        patience: Patience { retries, interval },
        bus: config.bus,
        database: config.database,
        store: config.store,
        keys: config.encryption_key_path,
        drivers: DriverFolders {
            folders: datasources.driver_path,
            files: datasources
                .custom_drivers
                .into_iter()
                .map(|driver| (driver.name, driver.path))
                .collect(),
            disabled: disabled.clone(),
        },
        plugins: HostConfig { compiler: Some(compiler()), ..config.plugins },
        engine: EngineOptions {
            ascii_only_rows: config.ascii_only_rows,
            sync_period: datasources.sync_period,
            query_rows: config.query_rows,
            query_timeout: config.timeouts.long_call,
        },
        api: ApiOptions {
            max_body_bytes: config.max_request_body_size,
            max_simultaneous_requests: config.max_simultaneous_requests,
            proxy_headers: config.proxy_headers,
            ..ApiOptions::default()
        },
        cors: config.cors,
        auth: match config.auth_strategy {
            AuthStrategy::Keystone(auth) => Some(*auth),
            _ => None,
        },
        actions: datasources.actions,
        longest_pause: datasources.longest_pause,
        all_or_nothing: datasources.all_or_nothing,
        revision_timeout: config.timeouts.revision,
        library: config.library_path,
        client: ClientOptions {
            timeout: config.timeouts.call,
            long_timeout: config.timeouts.long_call,
            takeover: config.timeouts.takeover,
            disabled,
        },
    })
}

fn address(host: &str, port: u16, options: [&'static str; 2]) -> anyhow::Result<Listen> {
    let mut addresses = (host.trim_matches(['[', ']']), port).to_socket_addrs().ok();
    let address = addresses.as_mut().and_then(Iterator::next).with_context(|| {
        let name = options[0];
        format!("[DEFAULT] {name} is '{host}', which is neither an address nor a known name")
    })?;
    Ok(Listen { address, keepalive: None, options })
}
