//! The command line of `congress-server`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser};

/// The command line of `congress-server`. Options may be shortened as long as they stay clear.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "congress-server",
    version,
    about = "Policy as a service: the API, the policy engine and the datasources of Congress",
    after_help = "Without --api, --policy-engine and --datasources, all three run.\n\
                  Without a configuration file (searched for in ~/.congress, ~, /etc/congress and \
                  /etc), everything is kept in a state folder and the API listens on loopback, \
                  without authentication.\n\
                  Exit codes: 0 stopped as asked, 1 failed, 2 wrong command line, 75 another \
                  datasource node has taken over, 78 wrong configuration or key.",
    infer_long_args = true
)]
pub struct Cli {
    /// Read this configuration file; may be given several times, later ones win
    #[arg(long, value_name = "PATH")]
    config_file: Vec<PathBuf>,
    /// Read all *.conf files of this folder, sorted by name; may be given several times
    #[arg(long, value_name = "DIR")]
    config_dir: Vec<PathBuf>,
    /// Run the API
    #[arg(long, overrides_with = "noapi")]
    api: bool,
    #[arg(long, hide = true, overrides_with = "api")]
    noapi: bool,
    /// Run the policy engine
    #[arg(long, overrides_with = "nopolicy_engine")]
    policy_engine: bool,
    #[arg(long = "nopolicy-engine", hide = true, overrides_with = "policy_engine")]
    nopolicy_engine: bool,
    /// Run the datasources
    #[arg(long, overrides_with = "nodatasources")]
    datasources: bool,
    #[arg(long, hide = true, overrides_with = "datasources")]
    nodatasources: bool,
    /// This node's id, unique on the bus [default: the host's name]
    #[arg(long, value_name = "ID")]
    node_id: Option<String>,
    /// Log details for developers too
    #[arg(long, short, overrides_with = "nodebug")]
    debug: bool,
    #[arg(long, hide = true, overrides_with = "debug")]
    nodebug: bool,
    /// Log to this file instead of standard error
    #[arg(long, alias = "logfile", value_name = "PATH")]
    log_file: Option<String>,
    /// Folder of the log file, if that is relative
    #[arg(long, alias = "logdir", value_name = "DIR")]
    log_dir: Option<String>,
    /// Write each log line as a JSON object
    #[arg(long, overrides_with = "nouse_json")]
    use_json: bool,
    #[arg(long = "nouse-json", hide = true, overrides_with = "use_json")]
    nouse_json: bool,
    /// Log to the host's syslog too
    #[arg(long, overrides_with = "nouse_syslog")]
    use_syslog: bool,
    #[arg(long = "nouse-syslog", hide = true, overrides_with = "use_syslog")]
    nouse_syslog: bool,
    /// Under which facility of syslog
    #[arg(long, value_name = "FACILITY")]
    syslog_log_facility: Option<String>,
    /// Log to the journal of systemd too
    #[arg(long, overrides_with = "nouse_journal")]
    use_journal: bool,
    #[arg(long = "nouse-journal", hide = true, overrides_with = "use_journal")]
    nouse_journal: bool,
    /// Open the log file anew when another has its place
    #[arg(long, overrides_with = "nowatch_log_file")]
    watch_log_file: bool,
    #[arg(long = "nowatch-log-file", hide = true, overrides_with = "watch_log_file")]
    nowatch_log_file: bool,
    /// Keep this file locked while the server lives, with its process id in it
    #[arg(long, value_name = "PATH")]
    lock_file: Option<String>,
    /// Keep state here when there is no configuration file
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Check the configuration, print what is wrong with it, and stop
    #[arg(long)]
    pub check_config: bool,
    /// Print the configuration in force, with the origin of each value and secrets masked, and stop
    #[arg(long)]
    pub print_config: bool,
    /// Print a configuration file with all options, their meaning and defaults, and stop
    #[arg(long)]
    pub print_sample: bool,
    /// Print the reference of all options (Markdown), and stop
    #[arg(long)]
    pub print_reference: bool,
    /// Print a policy file (oslo.policy) with all rules, what they are for and what holds without
    /// them, and stop
    #[arg(long)]
    pub print_policy: bool,
    /// Ask a running server at this URL (http://…/healthcheck) whether it is well, and stop: 0 if so
    #[arg(long, value_name = "URL")]
    pub health: Option<String>,
    /// How many seconds that may take
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub health_timeout: u64,
    #[command(flatten)]
    original: Original,
    /// Files and folders in the order of the command line.
    #[arg(skip)]
    pub(super) sources: Vec<Source>,
}

/// Options of the original that start scripts may hold. They are taken, and reported.
#[derive(Clone, Debug, Default, clap::Args)]
struct Original {
    #[arg(long, hide = true, aliases = ["nodelete-missing-driver-datasources"])]
    delete_missing_driver_datasources: bool,
    #[arg(long, hide = true)]
    log_date_format: Option<String>,
    #[arg(long, hide = true, aliases = ["log-config", "log_config"])]
    log_config_append: Option<String>,
}

/// A file or folder that the command line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Folder(PathBuf),
}

impl Cli {
    /// Reads a command line, the program's name first. The error prints itself as usage, help or
    /// version and knows its exit code.
    pub fn read<I, A>(args: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = A>,
        A: Into<OsString> + Clone,
    {
        let matches = Self::command().try_get_matches_from(args)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        let positions = |name: &str| matches.indices_of(name).into_iter().flatten();
        let files = cli.config_file.iter().cloned().map(Source::File);
        let folders = cli.config_dir.iter().cloned().map(Source::Folder);
        let mut sources: Vec<(usize, Source)> = positions("config_file")
            .zip(files)
            .chain(positions("config_dir").zip(folders))
            .collect();
        sources.sort_by_key(|(position, _)| *position);
        cli.sources = sources.into_iter().map(|(_, source)| source).collect();
        Ok(cli)
    }

    /// What it sets: section, name and value.
    pub(super) fn values(&self) -> Vec<(&'static str, &'static str, String)> {
        let switch = |on: bool, off: bool| (on || off).then(|| on.to_string());
        [
            ("api", switch(self.api, self.noapi)),
            ("policy_engine", switch(self.policy_engine, self.nopolicy_engine)),
            ("datasources", switch(self.datasources, self.nodatasources)),
            ("node_id", self.node_id.clone()),
            ("debug", switch(self.debug, self.nodebug)),
            ("log_file", self.log_file.clone()),
            ("log_dir", self.log_dir.clone()),
            ("use_json", switch(self.use_json, self.nouse_json)),
            ("use_syslog", switch(self.use_syslog, self.nouse_syslog)),
            ("syslog_log_facility", self.syslog_log_facility.clone()),
            ("use_journal", switch(self.use_journal, self.nouse_journal)),
            ("watch_log_file", switch(self.watch_log_file, self.nowatch_log_file)),
            ("lock_file", self.lock_file.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(("DEFAULT", name, value?)))
        .collect()
    }

    /// The options of the original that it gives and that have no effect.
    pub(super) fn without_effect(&self) -> Vec<&'static str> {
        let Original { delete_missing_driver_datasources, log_date_format, log_config_append } =
            &self.original;
        [
            ("delete_missing_driver_datasources", *delete_missing_driver_datasources),
            ("log_date_format", log_date_format.is_some()),
            ("log_config_append", log_config_append.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Cli {
        Cli::read(["congress-server"].iter().chain(args)).unwrap()
    }

    fn fails(args: &[&str]) -> clap::Error {
        Cli::read(["congress-server"].iter().chain(args)).unwrap_err()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn both_ways_of_giving_a_value_prefixes_and_negations() {
        let cli = read(&["--node-id=a", "--log-file", "f", "--policy", "-d", "--nodebug"]);
        let expected = [
            ("DEFAULT", "policy_engine", "true".to_owned()),
            ("DEFAULT", "node_id", "a".to_owned()),
            ("DEFAULT", "debug", "false".to_owned()),
            ("DEFAULT", "log_file", "f".to_owned()),
        ];
        assert_eq!(cli.values(), expected);
        assert_eq!(read(&["--noapi", "--api"]).values(), [("DEFAULT", "api", "true".to_owned())]);
        assert!(read(&[]).values().is_empty());
    }

    #[test]
    fn files_and_folders_keep_their_order() {
        let cli = read(&["--config-file", "a", "--config-dir=d", "--config-file", "b"]);
        let expected =
            [Source::File("a".into()), Source::Folder("d".into()), Source::File("b".into())];
        assert_eq!(cli.sources, expected);
    }

    #[test]
    fn usage_errors_exit_with_2_and_the_version_names_the_program() {
        for args in [&["--unknown"][..], &["--config"], &["--node-id"], &["stray"], &["--api=yes"]]
        {
            assert_eq!(fails(args).exit_code(), 2, "{args:?}");
        }
        let version = fails(&["--version"]);
        assert_eq!(version.exit_code(), 0);
        assert!(version.to_string().starts_with("congress-server "), "{version}");
    }

    #[test]
    fn options_of_the_original_are_taken() {
        let cli = read(&["--nouse-syslog", "--log-config-append=f", "--log-date-format", "%Y"]);
        assert_eq!(cli.without_effect(), ["log_date_format", "log_config_append"]);
        assert_eq!(cli.values(), [("DEFAULT", "use_syslog", "false".to_owned())]);
    }
}
