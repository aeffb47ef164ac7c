//! Tells whether a deployment can be upgraded to this version as it is.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use congress_server::config::{Cli, Environment, load};
use congress_server::maintenance::{Check, CheckResult, check_upgrade};

/// The original's status for what should not happen.
const UNEXPECTED: u8 = 255;

/// The width of the table inside its frame.
const WIDTH: usize = 76;

#[derive(Debug, Parser)]
#[command(
    name = "congress-status",
    version,
    about = "Tells whether Congress can be upgraded as it is",
    after_help = "Exit codes: 0 all is well, 1 something should be looked at, 2 the upgraded server \
                  would not work, 255 the checks could not be made.\n\
                  Nothing is changed.",
    infer_long_args = true
)]
struct Command {
    /// Read this configuration file; may be given several times, later ones win
    #[arg(long, global = true, value_name = "PATH")]
    config_file: Vec<PathBuf>,
    /// Read all *.conf files of this folder; may be given several times
    #[arg(long, global = true, value_name = "DIR")]
    config_dir: Vec<PathBuf>,
    #[command(subcommand)]
    topic: Topic,
}

#[derive(Debug, Subcommand)]
enum Topic {
    /// About the upgrade to this version
    Upgrade {
        #[command(subcommand)]
        action: Action,
    },
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Look at configuration, database, drivers and keys
    Check,
}

fn main() -> ExitCode {
    let Command { config_file, config_dir, topic: Topic::Upgrade { action: Action::Check } } =
        Command::parse();
    match check(&config_file, &config_dir) {
        Ok(checks) => {
            let _ = std::io::stdout().write_all(table(&checks).as_bytes());
            let worst = checks.iter().map(|check| check.result).max();
            match worst {
                None | Some(CheckResult::Success) => ExitCode::SUCCESS,
                Some(CheckResult::Warning) => ExitCode::from(1),
                Some(CheckResult::Failure) => ExitCode::from(2),
            }
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "ERROR: {error:#}");
            ExitCode::from(UNEXPECTED)
        }
    }
}

fn check(files: &[PathBuf], folders: &[PathBuf]) -> anyhow::Result<Vec<Check>> {
    let files = files.iter().map(|path| ("--config-file", path));
    let folders = folders.iter().map(|path| ("--config-dir", path));
    let arguments = files.chain(folders).flat_map(|(name, path)| [name.into(), path.into()]);
    let cli = Cli::read(std::iter::once(OsString::from("congress-status")).chain(arguments))?;
    let loaded = load(&cli, &Environment::of_process());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(check_upgrade(loaded)))
}

/// The checks in frames, as such tools of OpenStack print them.
fn table(checks: &[Check]) -> String {
    let rule = format!("+{}+\n", "-".repeat(WIDTH + 2));
    let line = |text: &str| {
        let gap = " ".repeat(WIDTH.saturating_sub(text.chars().count()));
        format!("| {text}{gap} |\n")
    };
    let mut out = rule.clone() + &line("Upgrade Check Results") + &rule;
    for Check { name, result, details } in checks {
        out += &line(&format!("Check: {name}"));
        out += &line(&format!("Result: {result:?}"));
        let details = if details.is_empty() { "None" } else { details };
        for text in wrap(&format!("Details: {details}")) {
            out += &line(&text);
        }
        out += &rule;
    }
    out
}

/// The words of a text in lines that fit; one that is too long for any is cut.
fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(WIDTH - 2) {
            let piece: String = piece.iter().collect();
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + piece.chars().count() <= WIDTH => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                Some(_) => lines.push(format!("  {piece}")),
                None => lines.push(piece),
            }
        }
    }
    lines
}
