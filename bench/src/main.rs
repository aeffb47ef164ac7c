//! `congress-bench`: the policy engine on fixed workloads, beside DuckDB, SQLite and what the
//! original took.
//!
//! What is timed:
//! * Rows are in memory before a step begins, as rows: `Vec<Row>` here, lists of tuples in
//!   `peers.py`. Reading files is not timed. "load" ends when queries may be asked.
//! * A query is text. Its time is that of parsing, planning, finding the answers, and reading all
//!   of their values once (`Answers::for_each_row`); SQLite's answers are fetched as Python tuples and
//!   DuckDB's as Arrow columns, the cheapest form that each of them has.
//! * Indexes that the engine makes on demand count for the query that makes them. SQLite gets an
//!   index on every column while it loads.
//! * What a step returns is dropped after its time was taken, its input when the run ends.
//! * Each run has a fresh engine; a figure is the median over all runs. Everything is single
//!   threaded, but for `readers_beside_writer`.
//!
//! No time is asserted. All engines must find the same number of answers, or the command fails.

mod files;
mod generate;
mod machine;
mod peers;
mod random;
mod recorder;
mod reference;
mod report;
mod runs;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};

use files::Workload;
use peers::Peers;
use recorder::Recorder;
use report::Outcome;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
use runs::Spec;

/// Measures the policy engine on fixed workloads, beside DuckDB and SQLite.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs workloads and prints a table for each.
    Engine(EngineArguments),
    /// Writes the workloads' files.
    Generate {
        /// Where to.
        folder: PathBuf,
        /// Which folders; all by default.
        names: Vec<String>,
    },
    /// Runs a workload once and prints the figures as JSON.
    #[command(hide = true)]
    Once { name: String, folder: PathBuf },
}

#[derive(clap::Args)]
struct EngineArguments {
    /// A folder of workloads; those that it lacks are made.
    #[arg(long, value_name = "DIR")]
    workloads: Option<PathBuf>,
    /// Only these workloads.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// How often each workload is run, on a fresh engine each time. Fewer if it takes very long.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Without DuckDB and SQLite.
    #[arg(long)]
    no_peers: bool,
    /// The Python that has DuckDB.
    #[arg(long, env = "CONGRESS_BENCH_PYTHON", default_value = "python3", value_name = "PATH")]
    python: PathBuf,
}

/// No further run of a workload begins after this time.
const ENOUGH: Duration = Duration::from_secs(30);

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Action::Engine(arguments) => measure(&arguments),
        Action::Generate { folder, names } => {
            let known: BTreeSet<&str> = runs::ALL.iter().map(|spec| spec.files).collect();
            let known = known.into_iter().map(str::to_owned).collect();
            let names: Vec<String> = if names.is_empty() { known } else { names };
            names.iter().try_for_each(|name| generate::workload(&folder, name))?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Once { name, folder } => {
            let mut recorder = Recorder::default();
            (find(&name)?.run)(&Workload::open(&folder)?, &mut recorder)?;
            writeln!(std::io::stdout(), "{}", peers::json(&recorder))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn find(name: &str) -> Result<&'static Spec> {
    runs::ALL.iter().find(|spec| spec.name == name).with_context(|| {
        let names: Vec<&str> = runs::ALL.iter().map(|spec| spec.name).collect();
        format!("there is no workload '{name}'; there are: {}", names.join(", "))
    })
}

fn measure(arguments: &EngineArguments) -> Result<ExitCode> {
    let specs: Vec<&Spec> = match &arguments.only[..] {
        [] => runs::ALL.iter().collect(),
        names => names.iter().map(|name| find(name)).collect::<Result<_>>()?,
    };
    let own = tempfile::tempdir().context("cannot make a folder for the workloads")?;
    let peers = Peers { python: arguments.python.clone(), runs: arguments.runs.into() };
    let mut out = std::io::stdout();
    writeln!(out, "Machine: {}", machine::description())?;
    if !machine::RELEASE {
        writeln!(out, "WARNING: this is no release build; its figures say nothing")?;
    }
    let mut wrong = Vec::new();
    for spec in specs {
        let folder = folder(spec, arguments.workloads.as_deref(), own.path())?;
        let workload = Workload::open(&folder)?;
        let ours = ours(spec, &workload, arguments.runs);
        let compared = peers::ENGINES.map(|engine| {
            let wanted = spec.peers && !arguments.no_peers;
            wanted.then(|| peers.measure(engine, spec.name, &folder))
        });
        let expected = workload.number("expected_answers");
        let (text, errors) = report::table(spec.name, expected, &ours, &compared);
        let built = if machine::RELEASE { "release" } else { "NOT release" };
        writeln!(out, "\n{text}load {}, {built} build", machine::load())?;
        wrong.extend(errors);
    }
    for error in &wrong {
        writeln!(out, "\nWRONG ANSWERS: {error}")?;
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder with the workload's files, made if need be.
fn folder(spec: &Spec, given: Option<&Path>, own: &Path) -> Result<PathBuf> {
    if let Some(given) = given {
        ensure!(given.is_dir(), "there is no folder {}", given.display());
        let folder = given.join(spec.files);
        if folder.is_dir() {
            return Ok(folder);
        }
    }
    let folder = own.join(spec.files);
    if !folder.is_dir() {
        generate::workload(own, spec.files)?;
    }
    Ok(folder)
}

/// All runs of a workload on our engine.
fn ours(spec: &Spec, workload: &Workload, runs: u16) -> Outcome {
    let begun = Instant::now();
    let mut all = Recorder::default();
    for run in 0..runs {
        if run > 0 && begun.elapsed() > ENOUGH {
            break;
        }
        let result = once(spec, workload).and_then(|recorder| all.add(recorder));
        result.map_err(|error| format!("{error:#}"))?;
    }
    Ok(all)
}

fn once(spec: &Spec, workload: &Workload) -> Result<Recorder> {
    if !spec.own_process {
        let mut recorder = Recorder::default();
        (spec.run)(workload, &mut recorder)?;
        return Ok(recorder);
    }
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    let output = command.args(["once", spec.name]).arg(&workload.folder).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    peers::recorder(&output.stdout)
}
