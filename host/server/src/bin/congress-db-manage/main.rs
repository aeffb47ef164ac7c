//! The operator's tool for the schema of the database, with the original's commands, and for the
//! keys of the secrets in it.

mod keys;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use congress_server::config::{Cli, Environment, load_database};
use congress_store::{
    Location, Options, SCHEMA_HISTORY, current_schema, downgrade_schema, downgrade_sql,
    schema_revision, schema_sql, stamp_schema, stamp_sql, upgrade_schema,
};

/// The original's status for a revision that there is not.
const NO_SUCH_REVISION: u8 = 255;

/// What a database without tables is at.
const BASE: &str = "base";

#[derive(Debug, Parser)]
#[command(
    name = "congress-db-manage",
    version,
    about = "Looks at the schema of Congress's database, changes it, and rotates its keys",
    after_help = "The database is that of [database] connection in the configuration, which is \
                  found as congress-server finds it, unless --database-connection names another.",
    infer_long_args = true
)]
struct Command {
    /// Read this configuration file; may be given several times, later ones win
    #[arg(long, global = true, value_name = "PATH")]
    config_file: Vec<PathBuf>,
    /// Read all *.conf files of this folder; may be given several times
    #[arg(long, global = true, value_name = "DIR")]
    config_dir: Vec<PathBuf>,
    /// The database, instead of the configuration's
    #[arg(long, global = true, alias = "sql_connection", value_name = "URL")]
    database_connection: Option<String>,
    /// Has no effect; the original has it
    #[arg(long, global = true, hide = true)]
    database_engine: Option<String>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take the steps up to a revision, or 'head' for the newest
    Upgrade(Upgrade),
    /// Undo the steps above a revision: what is in their tables is lost. At c0125080d572 the
    /// database is as the original has it; 'base' drops all tables
    Downgrade(Downgrade),
    /// Record a revision without doing anything else
    Stamp {
        /// A revision, or 'head'
        revision: String,
        /// Print the SQL instead of running it
        #[arg(long)]
        sql: bool,
    },
    /// Print the database's revision; nothing if it has no tables
    Current,
    /// Print the database's revision alone
    Version,
    /// List the revisions, newest first
    History,
    /// List the ends of the history: there is one
    #[command(alias = "heads")]
    Branches,
    /// Tell whether the database is up to date: status 0 if it is, 1 if not
    Check,
    /// Tell whether the history has one end: it has
    #[command(name = "check_migration", alias = "check-migration")]
    CheckMigration,
    /// Rotate the keys that seal the secrets of datasources: add, promote, reseal, retire
    Keys {
        #[command(subcommand)]
        action: keys::Action,
    },
}

#[derive(Debug, Args)]
struct Downgrade {
    /// A revision, 'base', or -N for the N last steps; FROM:TO with --sql
    #[arg(allow_hyphen_values = true)]
    revision: Option<String>,
    /// Undo the N last steps
    #[arg(long, value_name = "N")]
    delta: Option<usize>,
    /// Print the SQL instead of running it
    #[arg(long)]
    sql: bool,
}

#[derive(Debug, Args)]
struct Upgrade {
    /// A revision, 'head', or +N for the N next; FROM:TO with --sql, where FROM may be 'base'
    revision: Option<String>,
    /// Take the N next steps
    #[arg(long, value_name = "N")]
    delta: Option<usize>,
    /// Print the SQL instead of running it
    #[arg(long)]
    sql: bool,
    /// Has no effect: tables are InnoDB's; the original has it
    #[arg(long, hide = true)]
    mysql_engine: Option<String>,
}

fn main() -> ExitCode {
    let command = Command::parse();
    match start(command) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "ERROR: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> anyhow::Result<ExitCode> {
    match &command.action {
        Action::History => {
            history()?;
            return Ok(ExitCode::SUCCESS);
        }
        Action::Branches | Action::CheckMigration => {
            say(&format!("{} (head)", name(SCHEMA_HISTORY.len() - 1)))?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let engine = command.database_engine.is_some();
    if engine || matches!(&command.action, Action::Upgrade(to) if to.mysql_engine.is_some()) {
        let _ = writeln!(std::io::stderr(), "warning: the engine has no effect; it is InnoDB");
    }
    let (location, folder) = places(&command)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    match command.action {
        Action::Keys { action } => runtime.block_on(keys::run(action, &location, &folder)),
        action => runtime.block_on(run(action, &location)),
    }
}

/// The database that is meant, and the folder of its keys.
fn places(command: &Command) -> anyhow::Result<(Location, PathBuf)> {
    let files = command.config_file.iter().map(|path| ("--config-file", path));
    let folders = command.config_dir.iter().map(|path| ("--config-dir", path));
    let arguments = files.chain(folders).flat_map(|(name, path)| [name.into(), path.into()]);
    let program = std::ffi::OsString::from("congress-db-manage");
    let cli = Cli::read(std::iter::once(program).chain(arguments))?;
    let configured = || load_database(&cli, &Environment::of_process());
    let (location, folder) = match &command.database_connection {
        Some(url) => {
            let (location, ignored) = Location::parse(url)
                .map_err(|text| anyhow::anyhow!("--database-connection {text}"))?;
            for text in ignored {
                let _ = writeln!(std::io::stderr(), "warning: --database-connection {text}");
            }
            // Only the keys' commands need a configuration then.
            let needs_keys = matches!(command.action, Action::Keys { .. });
            let folder = if needs_keys { configured()?.1 } else { PathBuf::new() };
            (location, folder)
        }
        None => configured()?,
    };
    if location == Location::SqliteMemory {
        bail!(
            "[database] connection names no database that lasts: set it, or --database-connection"
        );
    }
    Ok((location, folder))
}

async fn run(action: Action, location: &Location) -> anyhow::Result<ExitCode> {
    let options = Options::default();
    let head = SCHEMA_HISTORY.len() - 1;
    match action {
        Action::Upgrade(upgrade) => return upgrade_to(upgrade, location, &options).await,
        Action::Downgrade(downgrade) => return downgrade_to(downgrade, location, &options).await,
        Action::Stamp { revision, sql } => {
            let Some(at) = schema_revision(&revision) else { return no_such(&revision) };
            if sql {
                for sql in stamp_sql(location, at) {
                    say(&format!("{sql};"))?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            stamp_schema(location, &options, at).await?;
        }
        Action::Current => match current_schema(location, &options).await? {
            Some(at) if at == head => say(&format!("{} (head)", name(at)))?,
            Some(at) => say(name(at))?,
            None => {}
        },
        Action::Version => {
            if let Some(at) = current_schema(location, &options).await? {
                say(name(at))?;
            }
        }
        Action::Check => {
            let at = current_schema(location, &options).await?;
            if at != Some(head) {
                say(&format!(
                    "the database is at {}, not at {}: congress-db-manage upgrade head",
                    at.map_or("no revision", name),
                    name(head)
                ))?;
                return Ok(ExitCode::FAILURE);
            }
            say("the database is up to date")?;
        }
        Action::History | Action::Branches | Action::CheckMigration | Action::Keys { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn upgrade_to(
    upgrade: Upgrade,
    location: &Location,
    options: &Options,
) -> anyhow::Result<ExitCode> {
    let head = SCHEMA_HISTORY.len() - 1;
    let text = upgrade.revision.as_deref().unwrap_or_default();
    let (from, text) = match text.split_once(':') {
        // Before all steps.
        Some((BASE, to)) if upgrade.sql => (None, to),
        Some((from, to)) if upgrade.sql => match schema_revision(from) {
            Some(from) => (Some(from), to),
            None => return no_such(from),
        },
        _ => (None, text),
    };
    let steps = match (text.strip_prefix('+'), upgrade.delta) {
        (Some(steps), _) => Some(steps.parse().context("+N must have a number")?),
        (None, delta) => delta,
    };
    let to = match steps {
        Some(steps) => {
            let first = current_schema(location, options).await?.map_or(0, |at| at + 1);
            if first + steps > head + 1 {
                bail!("there are not so many steps to take");
            }
            (first + steps).saturating_sub(1)
        }
        None if text.is_empty() => bail!("You must provide a revision or relative delta"),
        None => match schema_revision(text) {
            Some(to) => to,
            None => return no_such(text),
        },
    };
    if upgrade.sql {
        for sql in schema_sql(location, from, to) {
            say(sql)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if SCHEMA_HISTORY.get(to + 1).is_some_and(|next| !next.ours) {
        bail!(
            "revision {} is one of the original's before its last, which is the first that is \
             made here",
            name(to)
        );
    }
    for taken in upgrade_schema(location, options, to).await? {
        let before = taken.checked_sub(1).map_or("<base>", name);
        say(&format!("upgraded {before} -> {}, {}", name(taken), SCHEMA_HISTORY[taken].text))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn downgrade_to(
    downgrade: Downgrade,
    location: &Location,
    options: &Options,
) -> anyhow::Result<ExitCode> {
    let text = downgrade.revision.as_deref().unwrap_or_default();
    let (from, text) = match text.split_once(':') {
        Some((from, to)) if downgrade.sql => match schema_revision(from) {
            Some(from) => (Some(from), to),
            None => return no_such(from),
        },
        _ => (None, text),
    };
    let steps = match (text.strip_prefix('-'), downgrade.delta) {
        (Some(steps), _) => Some(steps.parse::<usize>().context("-N must have a number")?),
        (None, delta) => delta,
    };
    let from = match from {
        Some(from) => from,
        None => current_schema(location, options).await?.context("the database has no tables")?,
    };
    let to = match steps {
        Some(steps) => Some(from.checked_sub(steps).context("there are not so many steps")?),
        None if text.is_empty() => bail!("You must provide a revision or relative delta"),
        None if text == BASE => None,
        None => match schema_revision(text) {
            Some(to) => Some(to),
            None => return no_such(text),
        },
    };
    if let Some(to) = to {
        if to > from {
            bail!("the database is at {}, which is older than {}", name(from), name(to));
        }
        if SCHEMA_HISTORY.get(to + 1).is_some_and(|next| !next.ours) {
            bail!(
                "revision {} is one of the original's before its last: go to c0125080d572, and \
                 on with the original's congress-db-manage",
                name(to)
            );
        }
    }
    if downgrade.sql {
        for sql in downgrade_sql(from, to) {
            say(&format!("{sql};"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    for undone in downgrade_schema(location, options, to).await? {
        let before = undone.checked_sub(1).map_or("<base>", name);
        say(&format!("downgraded {} -> {before}, {}", name(undone), SCHEMA_HISTORY[undone].text))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn history() -> std::io::Result<()> {
    for (place, revision) in SCHEMA_HISTORY.iter().enumerate().rev() {
        let before = place.checked_sub(1).map_or("<base>", name);
        let head = if place + 1 == SCHEMA_HISTORY.len() { " (head)" } else { "" };
        say(&format!("{before} -> {}{head}, {}", revision.name, revision.text))?;
    }
    Ok(())
}

fn no_such(revision: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stderr();
    writeln!(out, "FAILED: Can't locate revision identified by '{revision}'")?;
    Ok(ExitCode::from(NO_SUCH_REVISION))
}

fn name(place: usize) -> &'static str {
    SCHEMA_HISTORY.get(place).map_or("", |revision| revision.name)
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
