//! Options that have no effect, and what to tell about them.

use super::Problem;
use super::ini::{Ini, same_section};
use super::layers::title;
use super::options::{self, Spec};
use super::problem::Origin;

/// Options of the original that have no effect: section, what to know, names.
const WITHOUT_EFFECT: &[(&str, &str, &[&str])] = &[
    ("DEFAULT", "this version does not have it yet", &["delete_missing_driver_datasources"]),
    ("DEFAULT", "one process uses all processors", &["api_workers", "executor_thread_pool_size"]),
    ("DEFAULT", "the API's pipeline is fixed", &["api_paste_config"]),
    (
        "DEFAULT",
        "drivers are components found in driver_path; see disabled_drivers",
        &["drivers", "tempdir"],
    ),
    (
        "DEFAULT",
        "see log_file, use_syslog, use_journal and default_log_levels",
        &["log_config_append", "log_date_format", "use_eventlog"],
    ),
    (
        "DEFAULT",
        "the format of log lines is fixed; see use_json and debug",
        &[
            "fatal_exception_format_errors",
            "instance_format",
            "instance_uuid_format",
            "logging_context_format_string",
            "logging_debug_format_suffix",
            "logging_default_format_string",
            "logging_exception_prefix",
            "logging_user_identity_format",
            "publish_errors",
            "rate_limit_burst",
            "rate_limit_except_level",
            "rate_limit_interval",
            "verbose",
        ],
    ),
    (
        "DEFAULT",
        "the bus has its own exchange and connections",
        &["control_exchange", "rpc_conn_pool_size", "conn_pool_min_size", "conn_pool_ttl"],
    ),
    (
        "database",
        "it is so here: connections are renewed every hour, values that do not fit are refused \
         (TRADITIONAL), and what can be repeated is, within pool_timeout",
        &[
            "connection_recycle_time",
            "db_inc_retry_interval",
            "db_max_retries",
            "db_max_retry_interval",
            "db_retry_interval",
            "mysql_sql_mode",
            "use_db_reconnect",
        ],
    ),
    (
        "database",
        "nothing here needs it",
        &[
            "backend",
            "connection_debug",
            "connection_trace",
            "mysql_enable_ndb",
            "slave_connection",
            "sqlite_synchronous",
        ],
    ),
    ("dse", "calls to absent services fail at once; see [ha] takeover_timeout", &["ping_timeout"]),
    ("dse", "what is missing is noticed and fetched at once", &["time_to_resub"]),
    (
        "oslo_messaging_rabbit",
        "the bus does as it must; see rabbit_interval_max and heartbeat_timeout_threshold",
        &[
            "amqp_auto_delete",
            "direct_mandatory_flag",
            "heartbeat_in_pthread",
            "heartbeat_rate",
            "kombu_compression",
            "kombu_missing_consumer_retry_timeout",
            "kombu_reconnect_delay",
            "rabbit_ha_queues",
            "rabbit_login_method",
            "rabbit_quorum_queue",
            "rabbit_retry_backoff",
            "rabbit_retry_interval",
            "ssl_version",
        ],
    ),
    (
        "keystone_authtoken",
        "each node remembers tokens itself; see token_cache_time and token_cache_size",
        &[
            "cache",
            "memcache_password",
            "memcache_pool_conn_get_timeout",
            "memcache_pool_dead_retry",
            "memcache_pool_maxsize",
            "memcache_pool_socket_timeout",
            "memcache_pool_unused_timeout",
            "memcache_sasl_enabled",
            "memcache_secret_key",
            "memcache_security_strategy",
            "memcache_tls_enabled",
            "memcache_use_advanced_pool",
            "memcache_username",
            "memcached_servers",
        ],
    ),
    (
        "keystone_authtoken",
        "requests without a good token are answered 401 either way",
        &["delay_auth_decision"],
    ),
    (
        "keystone_authtoken",
        "nothing here needs it",
        &["include_service_catalog", "service_type", "signing_dir", "hash_algorithms"],
    ),
    (
        "keystone_authtoken",
        "there is only version 3 of Keystone's API here; see auth_url, username and password",
        &[
            "admin_password",
            "admin_tenant_name",
            "admin_token",
            "admin_user",
            "auth_admin_prefix",
            "auth_host",
            "auth_port",
            "auth_protocol",
            "auth_section",
            "auth_version",
            "enforce_token_bind",
            "identity_uri",
        ],
    ),
    (
        "oslo_policy",
        "rules here ask for no scope, and there are no older defaults",
        &["enforce_new_defaults", "enforce_scope"],
    ),
    (
        "oslo_policy",
        "checks that ask another server (http:) are not supported",
        &[
            "remote_content_type",
            "remote_ssl_ca_crt_file",
            "remote_ssl_client_crt_file",
            "remote_ssl_client_key_file",
            "remote_ssl_verify_server_crt",
            "remote_timeout",
        ],
    ),
    ("oslo_middleware", "nothing here needs it", &["secure_proxy_ssl_header"]),
];

/// Sections of the original that have no effect as a whole, and what to know.
const SECTIONS_WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("json_ingester", "this version does not have it yet"),
    ("oslo_concurrency", "nothing here needs it"),
    ("oslo_messaging_amqp", "the bus is RabbitMQ"),
    ("oslo_messaging_kafka", "the bus is RabbitMQ"),
    ("oslo_messaging_notifications", "no notifications are sent"),
];

/// All options of the original that have no effect, and why.
pub(super) fn without_effect() -> Vec<(String, &'static str)> {
    let options = WITHOUT_EFFECT.iter().flat_map(|(section, note, names)| {
        names.iter().map(move |name| (format!("[{section}] {name}"), *note))
    });
    let sections =
        SECTIONS_WITHOUT_EFFECT.iter().map(|(section, note)| (format!("[{section}] …"), *note));
    options.chain(sections).collect()
}

/// A warning for everything in the files that has no effect.
pub(super) fn warnings(files: &[Ini]) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for file in files {
        let mut sections: Vec<&str> = Vec::new();
        for entry in &file.entries {
            let new_section = !sections.contains(&entry.section.as_str());
            if new_section {
                sections.push(&entry.section);
            }
            let text = match judge(&entry.section, &entry.key) {
                Verdict::Effective => continue,
                // One warning says it all.
                Verdict::UnknownSection(_) if !new_section => continue,
                Verdict::UnknownSection(text) | Verdict::Other(text) => text,
            };
            let origin = Origin::File { path: file.path.clone(), line: entry.line };
            warnings.push(Problem::new(origin, text));
        }
    }
    warnings
}

/// A warning for an option of the original on the command line.
pub(super) fn command_line(name: &str) -> Problem {
    let note = note("DEFAULT", name).unwrap_or_default();
    let flag = name.replace('_', "-");
    Problem::new(Origin::CommandLine, format!("--{flag} has no effect: {note}"))
}

enum Verdict {
    Effective,
    UnknownSection(String),
    Other(String),
}

fn judge(section: &str, key: &str) -> Verdict {
    let names = |spec: &Spec| {
        let names =
            std::iter::once((spec.section, spec.name)).chain(spec.deprecated.iter().copied());
        names.into_iter().any(|(s, n)| same_section(s, section) && n == key)
    };
    if options::ALL.iter().any(names) {
        return Verdict::Effective;
    }
    if let Some(note) = note(section, key) {
        return Verdict::Other(format!("[{section}] {key} has no effect: {note}"));
    }
    let sections = || options::ALL.iter().map(|spec| spec.section);
    if !sections().any(|known| same_section(known, section)) {
        let hint = nearest(section, sections()).map(|near| format!("; did you mean [{near}]?"));
        let hint = hint.unwrap_or_default();
        return Verdict::UnknownSection(format!(
            "[{section}] is not a known section, it has no effect{hint}"
        ));
    }
    let hint = suggestion(section, key).map(|near| format!("; did you mean {near}?"));
    let hint = hint.unwrap_or_default();
    Verdict::Other(format!("[{section}] {key} is not a known option, it has no effect{hint}"))
}

/// Why an option of the original has no effect.
fn note(section: &str, key: &str) -> Option<&'static str> {
    let of_section = SECTIONS_WITHOUT_EFFECT.iter();
    let of_section =
        of_section.filter(|(name, _)| same_section(name, section)).map(|(_, note)| *note);
    let of_option = WITHOUT_EFFECT.iter();
    let of_option = of_option
        .filter(|(name, _, keys)| same_section(name, section) && keys.contains(&key))
        .map(|(_, note, _)| *note);
    of_option.chain(of_section).next()
}

/// The option that was probably meant: one of this name elsewhere, or one of a similar name here.
fn suggestion(section: &str, key: &str) -> Option<String> {
    let name = key.replace('-', "_");
    let elsewhere = || options::ALL.iter().find(|spec| spec.name == name).map(title);
    let here = options::ALL.iter().filter(|spec| same_section(spec.section, section));
    let similar = || nearest(&name, here.map(|spec| spec.name)).map(str::to_owned);
    elsewhere().or_else(similar)
}

/// The most similar of some names, if any is similar enough.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILAR: f64 = 0.85;
    let name = name.to_ascii_lowercase();
    names
        .map(|known| (strsim::jaro_winkler(&name, &known.to_ascii_lowercase()), known))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn warn(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let ini = Ini::parse(Path::new("f"), text, &mut problems);
        assert!(problems.is_empty());
        warnings(&[ini]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_has_an_effect_is_not_mentioned() {
        let text = "[DEFAULT]\nbind_port = 1\n[DATABASE]\nsql_connection = x\nconnection = y\n";
        assert_eq!(warn(text), [] as [&str; 0]);
    }

    #[test]
    fn every_other_option_gets_one_warning() {
        assert_eq!(
            warn(
                "[DEFAULT]\nbind_prot = 1\nnode-id = x\nconnection = y\nzzz = 1\napi_workers = 2\n\
                 [json_ingester]\nenable = z\n"
            ),
            [
                "f:2: [DEFAULT] bind_prot is not a known option, it has no effect; did you mean \
                 bind_port?",
                "f:3: [DEFAULT] node-id is not a known option, it has no effect; did you mean \
                 [DEFAULT] node_id?",
                "f:4: [DEFAULT] connection is not a known option, it has no effect; did you mean \
                 [database] connection?",
                "f:5: [DEFAULT] zzz is not a known option, it has no effect",
                "f:6: [DEFAULT] api_workers has no effect: one process uses all processors",
                "f:8: [json_ingester] enable has no effect: this version does not have it yet",
            ]
        );
    }

    #[test]
    fn an_unknown_section_gets_one_warning() {
        assert_eq!(
            warn("[default]\nbind_port = 1\ndebug = true\n[nova]\nx = 1\n"),
            [
                "f:2: [default] is not a known section, it has no effect; did you mean [DEFAULT]?",
                "f:5: [nova] is not a known section, it has no effect",
            ]
        );
    }

    #[test]
    fn no_option_is_both() {
        for spec in options::ALL {
            assert_eq!(note(spec.section, spec.name), None, "{}", title(spec));
        }
    }
}
