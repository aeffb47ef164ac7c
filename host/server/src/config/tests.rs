//! Whole configurations: files, environment and command line together.

use std::fs;
use std::path::Path;
use std::time::Duration;

use congress_store::Location;
use tempfile::TempDir;

use super::*;

/// A folder in which configuration files are looked for, and surroundings that know only it.
struct Setting {
    folder: TempDir,
    environment: Environment,
}

impl Setting {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment {
            home: Some(folder.path().join("home")),
            host_name: "host".into(),
            config_folders: vec![folder.path().join("first"), folder.path().join("second")],
            ..Environment::default()
        };
        Self { folder, environment }
    }

    fn with(content: &str) -> Self {
        let setting = Self::new();
        setting.write("first/congress.conf", content);
        setting
    }

    /// Enough to be accepted by this version.
    const MINIMAL: &str = "[DEFAULT]\nauth_strategy = noauth\ntransport_url = memory://\n";

    fn minimal(more: &str) -> Self {
        Self::with(&format!("{}{more}", Self::MINIMAL))
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn set(&mut self, variable: &str, value: &str) {
        self.environment.variables.insert(variable.into(), value.into());
    }

    fn load(&self, args: &[&str]) -> Result<Loaded, ConfigError> {
        let cli = Cli::read(["congress-server"].iter().chain(args)).unwrap();
        load(&cli, &self.environment)
    }

    fn config(&self, args: &[&str]) -> Config {
        self.load(args).unwrap().config
    }

    fn problems(&self, args: &[&str]) -> Vec<String> {
        match self.load(args).unwrap_err() {
            ConfigError::Invalid(problems) => problems.iter().map(ToString::to_string).collect(),
            other => panic!("{other}"),
        }
    }

    fn warnings(&self, args: &[&str]) -> Vec<String> {
        self.load(args).unwrap().warnings.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn without_files_everything_is_in_the_state_folder() {
    let setting = Setting::new();
    let loaded = setting.load(&[]).unwrap();
    let config = &loaded.config;
    let state = setting.folder.path().join("home/.local/state/congress");
    assert!(config.embedded && config.files.is_empty());
    assert_eq!(config.state_folder.as_ref(), Some(&state));
    assert_eq!((config.bind_host.as_str(), config.bind_port), ("127.0.0.1", 1789));
    assert_eq!(config.database, Location::SqliteFile(state.join("congress.sqlite")));
    assert_eq!(config.encryption_key_path, state.join("keys"));
    assert_eq!(config.datasources.driver_path[0], state.join("drivers"));
    assert_eq!(config.plugins.cache_folder, Some(state.join("cache")));
    assert!(config.bus.url.is_in_process() && config.roles.all());
    assert_eq!(config.node_id, "host");
    assert_eq!(loaded.warnings, []);

    assert!(!state.exists(), "loading makes nothing");
    config.create_state_folder().unwrap();
    config.create_state_folder().unwrap();
    assert!(state.join("drivers").is_dir());
}

#[test]
fn the_state_folder_can_be_chosen() {
    let mut setting = Setting::new();
    let chosen = |setting: &Setting, args: &[&str]| setting.config(args).state_folder.unwrap();
    setting.set("XDG_STATE_HOME", "/xdg");
    assert_eq!(chosen(&setting, &[]), Path::new("/xdg/congress"));
    setting.environment.is_root = true;
    assert_eq!(chosen(&setting, &[]), Path::new("/var/lib/congress"));
    setting.set("CONGRESS_STATE_DIR", "/variable");
    assert_eq!(chosen(&setting, &[]), Path::new("/variable"));
    assert_eq!(chosen(&setting, &["--state-dir", "/option"]), Path::new("/option"));
    assert!(chosen(&setting, &["--state-dir", "relative"]).is_absolute());

    let homeless = Setting { environment: Environment::default(), ..Setting::new() };
    assert!(matches!(homeless.load(&[]), Err(ConfigError::NoStateFolder)));
}

#[test]
fn options_of_the_embedded_default_can_be_changed() {
    let mut setting = Setting::new();
    setting.set("OS_DEFAULT__BIND_PORT", "0");
    setting.set("OS_DEFAULT__DRIVER_PATH", "/drivers");
    let config = setting.config(&["--node-id", "n"]);
    assert!(config.embedded);
    assert_eq!((config.bind_port, config.node_id.as_str()), (0, "n"));
    assert_eq!(config.datasources.driver_path, [Path::new("/drivers")]);
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let setting = Setting::new();
    let file = setting.write("file", "");
    let config = setting.config(&["--state-dir", &format!("{file}/state")]);
    let error = config.create_state_folder().unwrap_err().to_string();
    assert!(error.contains(&format!("{file}/state")) && error.contains("--state-dir"), "{error}");
}

#[test]
fn the_environment_wins_over_the_command_line_and_that_over_files() {
    let mut setting = Setting::minimal("node_id = file\nbind_port = 1\ndebug = true\n");
    assert_eq!(setting.config(&[]).node_id, "file");
    assert!(setting.config(&[]).log.debug);
    assert_eq!(setting.config(&["--node-id", "option"]).node_id, "option");
    assert!(!setting.config(&["--nodebug"]).log.debug);
    setting.set("OS_DEFAULT__NODE_ID", "variable");
    setting.set("OS_DSE__LONG_TIMEOUT", "0.5");
    let config = setting.config(&["--node-id", "option"]);
    assert_eq!(config.node_id, "variable");
    assert_eq!(config.timeouts.long_call, Duration::from_millis(500));
}

#[test]
fn files_are_found_in_order_and_later_ones_win() {
    let setting = Setting::minimal("node_id = 1\nbind_port = 1\ndatasource_sync_period = 1\n");
    setting.write("second/congress.conf", "[DEFAULT]\nbind_host = never\n");
    let second = setting.write("second/congress-server.conf", "[DEFAULT]\nnode_id = 2\n");
    let folder = setting.write("first/congress.conf.d/b.conf", "[DEFAULT]\nbind_port = 3\n");
    setting.write("first/congress.conf.d/a.conf", "[DEFAULT]\nbind_port = 2\n");
    setting.write("first/congress.conf.d/c.txt", "no configuration");
    let config = setting.config(&[]);
    assert_eq!((config.node_id.as_str(), config.bind_port), ("2", 3));
    assert_eq!(config.datasources.sync_period, Duration::from_secs(1));
    assert_eq!(config.files.len(), 4);
    assert_eq!(config.files[1], Path::new(&second));
    assert_eq!(config.files[3], Path::new(&folder));
    assert!(!config.embedded && config.state_folder.is_none());
}

#[test]
fn named_files_replace_those_of_the_usual_places() {
    let setting = Setting::minimal("node_id = usual\n");
    let a = setting.write("a", &format!("{}node_id = a\nbind_port = 1\n", Setting::MINIMAL));
    let b = setting.write("b", "[DEFAULT]\nnode_id = b\n");
    setting.write("d/x.conf", "[DEFAULT]\nbind_port = 2\nnode_id = d\n");
    let folder = setting.path("d");
    let config =
        setting.config(&["--config-file", &a, "--config-dir", &folder, "--config-file", &b]);
    assert_eq!((config.node_id.as_str(), config.bind_port), ("b", 2));
    let config =
        setting.config(&["--config-file", &a, "--config-file", &b, "--config-dir", &folder]);
    assert_eq!(config.node_id, "d");
}

#[test]
fn files_that_are_not_there_are_named() {
    let setting = Setting::new();
    let error = setting.load(&["--config-file", "/x", "--config-dir", "/y"]).unwrap_err();
    assert_eq!(error.to_string(), "Failed to find some config files: /x, /y");
    let error = setting.load(&["--config-file", &setting.path("")]).unwrap_err();
    assert!(error.to_string().contains("directory"), "{error}");
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let setting = Setting::minimal(
        "bind_port = abc\ndebug = t\nlog_file = $nowhere\nno assignment\n[dse]\nlong_timeout = -1\n\
         [plugins]\nallowed_hosts = http://x/\n[database]\nconnection = mysql://u:secret@h\n",
    );
    let file = setting.path("first/congress.conf");
    let problems = setting.problems(&[]);
    let expected = [
        "7: neither a section, a comment nor 'key = value'",
        "9: [dse] long_timeout = \"-1\" is not a number of seconds above 0",
        "4: [DEFAULT] bind_port = \"abc\" is not a port: a number from 0 to 65535",
        "6: [DEFAULT] log_file: no such option nowhere to refer to; write $$ for a dollar sign",
        "5: [DEFAULT] debug = \"t\" is not a boolean: true, false, yes, no, on, off, 1 or 0",
        "13: [database] connection names no database; an example is",
        "11: [plugins] allowed_hosts = \"http://x/\" is not hosts, separated by commas",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(&format!("{file}:{expected}")), "{problem}\n{expected}");
    }
    assert!(!problems.join("").contains("secret"));
    let error = setting.load(&[]).unwrap_err().to_string();
    assert!(error.starts_with("the configuration has 7 errors:\n  "), "{error}");
}

#[test]
fn the_in_process_bus_is_for_all_roles() {
    let problems = Setting::minimal("").problems(&["--api"]);
    assert!(problems[0].contains("has not all roles"), "{problems:?}");
    let config = Setting::minimal("api = true\n").config(&["--policy-engine", "--datasources"]);
    assert!(config.roles.all());
}

#[test]
fn references_between_options() {
    let setting = Setting::minimal(
        "node_id = ${host_part}x\nlog_dir = /var/log/$node_id\n[database]\n\
         connection = sqlite:///$DEFAULT.log_dir/pa$$word.db\n",
    );
    let problems = setting.problems(&[]);
    assert!(problems[0].contains("no such option host_part"), "{problems:?}");

    let setting = Setting::minimal(
        "node_id = n\nlog_dir = /var/log/$node_id\n[database]\n\
         connection = sqlite:///$DEFAULT.log_dir/pa$$word.db\n[plugins]\ncache_path = $log_dir\n",
    );
    let config = setting.config(&[]);
    assert_eq!(config.database, Location::SqliteFile("/var/log/n/pa$word.db".into()));
    assert_eq!(config.plugins.cache_folder, Some("/var/log/n".into()));
    assert_eq!(config.log.file, Some("/var/log/n/congress-server.log".into()));

    let setting = Setting::minimal("log_file = $log_dir\nlog_dir = $log_file\n");
    assert!(setting.problems(&[])[0].contains("leads back to itself"));
}

#[test]
fn old_names_work_and_are_mentioned() {
    let setting = Setting::minimal("sql_connection = sqlite:////old.db\nlogdir = /logs\n");
    let config = setting.config(&["--log-file", "x.log"]);
    assert_eq!(config.database, Location::SqliteFile("/old.db".into()));
    assert_eq!(config.log.file, Some("/logs/x.log".into()));
    let warnings = setting.warnings(&[]).join("\n");
    assert!(
        warnings.contains("[DEFAULT] sql_connection is an old name; use [database] connection")
    );
    let both = Setting::minimal(
        "sql_connection = sqlite:////old\n[database]\nconnection = sqlite:////new\n",
    );
    assert_eq!(both.config(&[]).database, Location::SqliteFile("/new".into()));
}

#[test]
fn warnings_never_keep_the_server_from_starting() {
    let setting = Setting::minimal(
        "bind_prot = 1\napi_workers = 4\ncustom_driver_endpoints = a=/d/a.wasm, b=mod:Class\n",
    );
    let loaded = setting.load(&["--log-date-format=%Y", "--state-dir", "/s"]).unwrap();
    let drivers = &loaded.config.datasources.custom_drivers;
    assert_eq!(drivers, &[CustomDriver { name: "a".into(), path: "/d/a.wasm".into() }]);
    let warnings = loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for expected in [
        "congress.conf:4: [DEFAULT] bind_prot is not a known option",
        "congress.conf:5: [DEFAULT] api_workers has no effect",
        "congress.conf:6: [DEFAULT] custom_driver_endpoints has \"b=mod:Class\", which is left out",
        "command line: --log-date-format has no effect",
        "command line: --state-dir has no effect",
        "default: [database] connection is a database in memory: nothing survives a restart",
    ] {
        assert!(warnings.contains(expected), "{expected}\n{warnings}");
    }
    assert_eq!(loaded.warnings.len(), 6, "{warnings}");
}

#[test]
fn empty_values() {
    let setting =
        Setting::minimal("bind_port =\nnode_id =\ndisabled_drivers =\n[plugins]\ncache_path =\n");
    let config = setting.config(&[]);
    assert_eq!((config.bind_port, config.node_id.as_str()), (1789, "host"));
    assert!(config.datasources.disabled_drivers.is_empty());
    assert_eq!(config.plugins.cache_folder, None);
}

#[test]
fn limits_and_grants_of_drivers() {
    let config = Setting::minimal(
        "[plugins]\nthreads = 3\nmemory_bytes = 16M\ncall_timeout = 2\nrows_per_call = 10\n\
         allowed_hosts = 127.0.0.1:5000\nallowed_files = /etc/passwd, /srv\n",
    )
    .config(&[]);
    assert_eq!(config.plugins.guest_threads, 3);
    assert_eq!(config.plugins.limits.memory_bytes, 16 << 20);
    assert_eq!(config.plugins.limits.call_timeout, Duration::from_secs(2));
    assert_eq!(config.plugins.limits.rows_per_call, 10);
    assert_eq!(config.plugins.allowed_hosts.len(), 1);
    assert_eq!(config.plugins.allowed_files, [Path::new("/etc/passwd"), Path::new("/srv")]);
}

/// Each limit has an option of its own name: that is what a driver's error tells operators to set.
#[test]
fn every_limit_is_an_option() {
    let plain = format!("{:?}", Setting::minimal("").config(&[]).plugins.limits);
    let fields = plain.trim_start_matches("Limits { ").trim_end_matches(" }").split(", ");
    let names: Vec<&str> = fields.filter_map(|field| Some(field.split_once(':')?.0)).collect();
    assert!(names.contains(&"memory_bytes") && names.contains(&"redirects"), "{names:?}");
    for name in names {
        let text = format!("[plugins]\n{name} = 7\n");
        let limits = format!("{:?}", Setting::minimal(&text).config(&[]).plugins.limits);
        assert!(limits.contains(&format!("{name}: 7")), "{name}: {limits}");
    }
}

/// The table of options and the plugin host state the same defaults.
#[test]
fn default_limits_are_the_hosts_own() {
    let ours = Setting::minimal("").config(&[]).plugins;
    let theirs = congress_plugins::HostConfig::default();
    assert_eq!(format!("{:?}", ours.limits), format!("{:?}", theirs.limits));
    assert_eq!(ours.simultaneous_calls, theirs.simultaneous_calls);
}

#[test]
fn the_printed_configuration_reads_back_as_it_was() {
    let setting = Setting::minimal("node_id = a$$b\ndisabled_drivers = x,\n y\n");
    let loaded = setting.load(&["--debug"]).unwrap();
    let printed = loaded.print();
    assert!(printed.contains("# from: command line\ndebug = true\n"), "{printed}");
    assert!(printed.contains("congress.conf:4\nnode_id = a$$b\n"), "{printed}");
    assert!(printed.contains("# not set\n# log_file =\n"), "{printed}");

    let copy = Setting::with(&printed);
    let again = copy.load(&[]).unwrap();
    assert_eq!(again.config.node_id, "a$b");
    assert_eq!(again.config.datasources, loaded.config.datasources);
    assert_eq!(again.config.database, loaded.config.database);
    assert!(again.config.log.debug);
}

#[test]
fn the_bus_of_several_nodes() {
    let text = "[DEFAULT]\nauth_strategy = noauth\n\
                transport_url = rabbit://u:p@h1:5672,u:p@h2:5673/v?ssl=1&heartbeat_rate=5\n\
                [dse]\nbus_id = other\n\
                [oslo_messaging_rabbit]\nkombu_ssl_ca_certs = /ca.pem\n\
                heartbeat_timeout_threshold = 0\nkombu_failover_strategy = shuffle\n";
    let loaded = Setting::with(text).load(&["--api", "--policy-engine"]).unwrap();
    let bus = &loaded.config.bus;
    assert_eq!((bus.url.hosts.len(), bus.url.virtual_host.as_str()), (2, "v"));
    assert_eq!((bus.bus_id.as_str(), bus.shuffle), ("other", true));
    assert_eq!(bus.tls.as_ref().unwrap().ca.as_deref(), Some(std::path::Path::new("/ca.pem")));
    assert_eq!(bus.dead_after.as_secs(), 3600);
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    let warned = |text: &str| warnings.iter().any(|warning| warning.contains(text));
    assert!(warned("heartbeat_rate after '?'") && warned("kombu_ssl_ca_certs"), "{warnings:?}");

    let wrong = Setting::with(
        "[DEFAULT]\nauth_strategy = noauth\n[oslo_messaging_rabbit]\nkombu_failover_strategy = x\n",
    );
    assert!(wrong.problems(&[])[0].contains("round-robin or shuffle"));
    let replicated = Setting::minimal("replicated_policy_engine = true\n").load(&[]).unwrap();
    let warned = |text: &str| replicated.warnings.iter().any(|w| w.to_string().contains(text));
    assert!(warned("names SQLite"), "{:?}", replicated.warnings);
}

/// What `[keystone_authtoken]` of the original's guide has.
const KEYSTONE: &str = "[DEFAULT]\ntransport_url = memory://\n[keystone_authtoken]\n\
    auth_url = http://keystone:5000\nwww_authenticate_uri = http://public:5000/v3\n\
    memcached_servers = controller:11211\nauth_type = password\nusername = congress\n\
    password = s3cret\nproject_name = service\nproject_domain_name = Default\n\
    user_domain_name = Default\n";

#[test]
fn keystone_needs_to_know_how_to_log_in() {
    let problems = Setting::with("").problems(&[]);
    assert!(
        problems[0].starts_with("default: [keystone_authtoken] auth_url is not set"),
        "{problems:?}"
    );
    assert!(problems[0].contains("auth_strategy = noauth"));
    let all = problems.join("\n");
    for name in ["username", "password", "project_name"] {
        assert!(all.contains(&format!("[keystone_authtoken] {name} is not set")), "{all}");
    }
    let bad = KEYSTONE.replace("auth_type = password", "auth_type = v2token");
    let bad = bad.replace("http://keystone:5000", "keystone:5000");
    let problems = Setting::with(&bad).problems(&[]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    // Nobody asks a node without the API.
    let rabbit = "[DEFAULT]\ntransport_url = rabbit://\n";
    assert_eq!(
        Setting::with(rabbit).config(&["--datasources"]).auth_strategy,
        AuthStrategy::NoAuth
    );
}

#[test]
fn keystone_and_policy_files() {
    let setting = Setting::with(KEYSTONE);
    let loaded = setting.load(&[]).unwrap();
    let AuthStrategy::Keystone(auth) = &loaded.config.auth_strategy else { panic!("no Keystone") };
    assert_eq!(auth.keystone.auth_url.as_str(), "http://keystone:5000/");
    assert_eq!(auth.keystone.endpoint, None);
    assert_eq!(auth.tokens.www_authenticate_uri, "http://public:5000/v3");
    assert_eq!(auth.tokens.cache_time, Duration::from_secs(300));
    assert_eq!(auth.policy.default_rule, "default");
    assert!(auth.policy.files[0].ends_with("policy.json") && auth.policy.folders.len() == 1);
    assert!(!format!("{auth:?}").contains("s3cret") && !loaded.print().contains("s3cret"));
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.join("\n").contains("memcached_servers has no effect"), "{warnings:?}");

    let more = "token_cache_time = -1\nregion_name = two\n[oslo_policy]\npolicy_file = x.yaml\n\
                policy_dirs = a\npolicy_dirs = b,/c\n";
    let config = Setting::with(&format!("{KEYSTONE}{more}")).config(&[]);
    let AuthStrategy::Keystone(auth) = config.auth_strategy else { panic!("no Keystone") };
    assert_eq!(auth.tokens.cache_time, Duration::ZERO);
    let endpoint = auth.keystone.endpoint.unwrap();
    assert_eq!(
        (endpoint.interface.as_str(), endpoint.region.as_deref()),
        ("internal", Some("two"))
    );
    assert!(auth.policy.files.iter().all(|path| path.ends_with("x.yaml")));
    assert_eq!(auth.policy.folders.len(), 3);
    assert_eq!(auth.policy.folders[2][0], Path::new("/c"));
}

#[test]
fn an_application_credential() {
    let text = KEYSTONE.replace("auth_type = password", "auth_type = v3applicationcredential");
    let problems = Setting::with(&text).problems(&[]).join("\n");
    assert!(problems.contains("application_credential_id is not set"), "{problems}");
    assert!(problems.contains("application_credential_secret is not set"), "{problems}");
    let more = "application_credential_id = i\napplication_credential_secret = s\n";
    let config = Setting::with(&format!("{text}{more}")).config(&[]);
    assert!(matches!(config.auth_strategy, AuthStrategy::Keystone(_)));
}

#[test]
fn cors_and_proxies() {
    let config = Setting::minimal("").config(&[]);
    assert!(config.cors.is_none() && !config.proxy_headers);
    let text = "[cors]\nallowed_origin = https://a.example, https://b.example\nmax_age = 0\n\
                [oslo_middleware]\nenable_proxy_headers_parsing = true\n";
    let config = Setting::minimal(text).config(&[]);
    let cors = config.cors.unwrap();
    assert_eq!(cors.origins, ["https://a.example", "https://b.example"]);
    assert!(cors.credentials && cors.max_age.is_none() && config.proxy_headers);
    assert_eq!(cors.headers.last().map(String::as_str), Some("X-Tenant-Id"));
}
