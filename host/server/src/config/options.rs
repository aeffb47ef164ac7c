//! The table of options: every option that has an effect, in one place.
//!
//! `congress.conf` of the original knows many more; [`super::known`] lists those.

use std::path::PathBuf;
use std::time::Duration;

use congress_plugins::AllowedHost;

use super::types::{self, Type};

/// What is known of an option, whatever its type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// As it would stand in a file; `None` if there is no value unless one is given.
    pub(super) default: Option<&'static str>,
    /// Older sections and names, used when the proper one is absent.
    pub(super) deprecated: &'static [(&'static str, &'static str)],
    /// A URL that may hold a password.
    pub(super) is_url: bool,
    /// Never shown.
    pub(super) is_secret: bool,
    /// One or two sentences for operators.
    pub(super) help: &'static str,
}

/// An option and its type.
pub(super) struct Opt<T> {
    pub(super) spec: Spec,
    pub(super) r#type: Type<T>,
}

macro_rules! options {
    ($(
        [$section:literal] $name:literal $constant:ident: $type:ty = $reader:ident, $default:expr,
            $help:literal $(, was $($old_section:literal $old_name:literal)+)? $(, url = $url:literal)?
            $(, secret = $secret:literal)?;
    )*) => {
        $(
            pub(super) const $constant: Opt<$type> = Opt {
                spec: Spec {
                    section: $section,
                    name: $name,
                    default: $default,
                    deprecated: &[$($(($old_section, $old_name)),+)?],
                    is_url: false $(|| $url)?,
                    is_secret: false $(|| $secret)?,
                    help: $help,
                },
                r#type: types::$reader,
            };
        )*

        /// All options, section by section.
        pub(super) const ALL: &[Spec] = &[$($constant.spec),*];

        /// Options whose default is not of their type.
        #[cfg(test)]
        fn with_wrong_default() -> Vec<&'static str> {
            let mut wrong = Vec::new();
            $(
                if $constant.spec.default.is_some_and(|text| ($constant.r#type.read)(text).is_none()) {
                    wrong.push($name);
                }
            )*
            wrong
        }
    };
}

options! {
    ["DEFAULT"] "bind_host" BIND_HOST: String = TEXT, Some("0.0.0.0"),
        "Address or name on which the API listens.";
    ["DEFAULT"] "bind_port" BIND_PORT: u16 = PORT, Some("1789"),
        "Port on which the API listens.";
    ["DEFAULT"] "tcp_keepalive" TCP_KEEPALIVE: bool = BOOLEAN, Some("false"),
        "Have the system ask silent clients whether they are still there.";
    ["DEFAULT"] "tcp_keepidle" TCP_KEEPIDLE: Duration = SECONDS, Some("600"),
        "Seconds of silence before it does.";
    ["DEFAULT"] "admin_bind_host" ADMIN_BIND_HOST: String = TEXT, Some("127.0.0.1"),
        "Address or name on which a node without the API answers /healthcheck and /readyz.";
    ["DEFAULT"] "admin_bind_port" ADMIN_BIND_PORT: u16 = PORT, Some("1790"),
        "Port of the same; 0 for any, which is logged and written to lock_file.";
    ["DEFAULT"] "lock_file" LOCK_FILE: PathBuf = PATH, None,
        "File that is kept locked while the server lives, with its process id and the address of \
         its /healthcheck in it. A second server with the same file refuses to start.";
    ["DEFAULT"] "graceful_drain_delay" DRAIN_DELAY: Duration = SECONDS_OR_NONE, Some("2"),
        "Seconds between a node's telling on /readyz that it stops and its closing of connections: \
         as long as balancers take to notice.";
    ["DEFAULT"] "auth_strategy" AUTH_STRATEGY: String = TEXT, Some("keystone"),
        "Who may use the API: keystone, or noauth for whoever can reach it.";
    ["DEFAULT"] "api" API: bool = BOOLEAN, Some("false"),
        "Run the API. A process without any of the three roles runs all of them.";
    ["DEFAULT"] "policy_engine" POLICY_ENGINE: bool = BOOLEAN, Some("false"),
        "Run the policy engine.";
    ["DEFAULT"] "datasources" DATASOURCES: bool = BOOLEAN, Some("false"),
        "Run the datasources.";
    ["DEFAULT"] "node_id" NODE_ID: String = TEXT, None,
        "This node's id, unique on the bus. The host's name, unless given.";
    ["DEFAULT"] "debug" DEBUG: bool = BOOLEAN, Some("false"),
        "Log details for developers too. Read again on SIGHUP.";
    ["DEFAULT"] "default_log_levels" DEFAULT_LOG_LEVELS: Vec<String> = LIST, Some(""),
        "Levels of single modules, as congress_store=DEBUG. Read again on SIGHUP.";
    ["DEFAULT"] "log_file" LOG_FILE: PathBuf = PATH, None,
        "Log to this file instead of standard error.", was "DEFAULT" "logfile";
    ["DEFAULT"] "log_dir" LOG_DIR: PathBuf = PATH, None,
        "Folder of the log file, if that is relative; alone: log to congress-server.log in it.",
        was "DEFAULT" "logdir";
    ["DEFAULT"] "watch_log_file" WATCH_LOG_FILE: bool = BOOLEAN, Some("false"),
        "Open the log file anew when another has its place. SIGHUP does so at any time.";
    ["DEFAULT"] "log_rotation_type" LOG_ROTATION_TYPE: String = TEXT, Some("none"),
        "When the log file becomes NAME.1, that one NAME.2, and so on: none, interval or size.";
    ["DEFAULT"] "log_rotate_interval" LOG_ROTATE_INTERVAL: usize = NUMBER, Some("1"),
        "After how many log_rotate_interval_type; for weekday the day, from 0 for Monday.";
    ["DEFAULT"] "log_rotate_interval_type" LOG_ROTATE_INTERVAL_TYPE: String = TEXT, Some("days"),
        "seconds, minutes, hours, days, weekday or midnight.";
    ["DEFAULT"] "max_logfile_size_mb" MAX_LOGFILE_SIZE: usize = COUNT, Some("200"),
        "Size before which the log file is rotated, in MiB, if log_rotation_type is size.";
    ["DEFAULT"] "max_logfile_count" MAX_LOGFILE_COUNT: usize = NUMBER, Some("30"),
        "How many rotated log files are kept.";
    ["DEFAULT"] "use_stderr" USE_STDERR: bool = BOOLEAN, Some("false"),
        "Log to standard error too. If nothing else is chosen, lines go there anyway.";
    ["DEFAULT"] "use_syslog" USE_SYSLOG: bool = BOOLEAN, Some("false"),
        "Log to the host's syslog too.";
    ["DEFAULT"] "syslog_log_facility" SYSLOG_FACILITY: String = TEXT, Some("LOG_USER"),
        "Under which facility.";
    ["DEFAULT"] "use_journal" USE_JOURNAL: bool = BOOLEAN, Some("false"),
        "Log to the journal of systemd too.";
    ["DEFAULT"] "use_json" USE_JSON: bool = BOOLEAN, Some("false"),
        "Write each log line as a JSON object.";
    ["DEFAULT"] "driver_path" DRIVER_PATH: Vec<PathBuf> = PATHS,
        Some("/usr/lib/congress/drivers:/etc/congress/drivers"),
        "Folders with drivers (*.wasm), separated by colons.";
    ["DEFAULT"] "disabled_drivers" DISABLED_DRIVERS: Vec<String> = LIST, Some(""),
        "Ids of drivers that must not be loaded.";
    ["DEFAULT"] "custom_driver_endpoints" CUSTOM_DRIVERS: Vec<String> = LIST, Some(""),
        "Drivers outside these folders: name=/path/driver.wasm.";
    ["DEFAULT"] "policy_library_path" LIBRARY_PATH: Vec<PathBuf> = PATHS,
        Some("/etc/congress/library:/usr/share/congress/library"),
        "Folders with policies (*.yaml), separated by colons, with which a policy library that is \
         empty is filled at start. Of several policies of one name the first counts.";
    ["DEFAULT"] "datasource_sync_period" SYNC_PERIOD: Duration = SECONDS, Some("60"),
        "Seconds between comparisons of the running datasources with the database.";
    ["DEFAULT"] "datasource_longest_pause" LONGEST_PAUSE: Duration = SECONDS, Some("300"),
        "Most seconds that a datasource which fails again and again waits between two attempts, \
         unless its poll_time is longer. The pause doubles with each failure, with some jitter.";
    ["DEFAULT"] "datasource_all_or_nothing" ALL_OR_NOTHING: bool = BOOLEAN, Some("false"),
        "Publish nothing of a poll in which a table could not be read, as the original does. \
         Otherwise the tables that could be read are published.";
    ["DEFAULT"] "enable_execute_action" EXECUTE_ACTIONS: bool = BOOLEAN, Some("true"),
        "Execute actions. Otherwise they are logged only.";
    ["DEFAULT"] "max_simultaneous_requests" MAX_REQUESTS: usize = COUNT, Some("1024"),
        "Requests worked on at once. More wait.";
    ["DEFAULT"] "query_rows_limit" QUERY_ROWS: usize = COUNT, Some("10000000"),
        "Most rows that one query may produce, those on the way to its answer included.";
    ["DEFAULT"] "ascii_only_rows" ASCII_ONLY_ROWS: bool = BOOLEAN, Some("false"),
        "Drop characters outside ASCII from rows, as the original does.";
    ["DEFAULT"] "encryption_key_path" ENCRYPTION_KEY_PATH: PathBuf = PATH,
        Some("/etc/congress/keys"),
        "Folder of the key that seals secrets in the database. All datasource nodes need the same.";
    ["DEFAULT"] "transport_url" TRANSPORT_URL: String = TEXT, Some("rabbit://"),
        "How nodes reach each other: rabbit://user:password@host:port/vhost, several hosts of one \
         cluster separated by commas, or memory:// for one process with all roles.", url = true;
    ["DEFAULT"] "replicated_policy_engine" REPLICATED: bool = BOOLEAN, Some("false"),
        "Several policy engines run on one database. They may always; with this a database that \
         cannot be shared is told of.";
    ["DEFAULT"] "rpc_response_timeout" RPC_RESPONSE_TIMEOUT: Duration = SECONDS, Some("60"),
        "Seconds after which a call to another node fails.";

    ["database"] "connection" CONNECTION: String = TEXT, Some("sqlite://"),
        "The database: mysql+pymysql://user:password@host/name for MySQL and MariaDB, \
         postgresql+psycopg2://user:password@host/name for PostgreSQL, sqlite:////path/file, or sqlite:// for one in memory.",
        was "DEFAULT" "sql_connection" "DATABASE" "sql_connection" "sql" "connection", url = true;
    ["database"] "connection_parameters" CONNECTION_PARAMETERS: String = TEXT, None,
        "More options of the connection's URL, as name=value&name=value.";
    ["database"] "max_pool_size" POOL_SIZE: usize = COUNT, Some("10"),
        "Connections to the database, together with max_overflow.",
        was "DEFAULT" "sql_max_pool_size" "DATABASE" "sql_max_pool_size";
    ["database"] "max_overflow" OVERFLOW: usize = NUMBER, Some("20"),
        "Connections to the database beyond max_pool_size.",
        was "DEFAULT" "sql_max_overflow" "DATABASE" "sqlalchemy_max_overflow";
    ["database"] "pool_timeout" POOL_TIMEOUT: Duration = SECONDS, Some("10"),
        "Seconds after which an operation on the database fails, whatever it waits for.",
        was "DATABASE" "sqlalchemy_pool_timeout";
    ["database"] "connect_timeout" DATABASE_CONNECT_TIMEOUT: Duration = SECONDS, Some("2.5"),
        "Seconds after which a database server that does not answer is taken for dead.";
    ["database"] "max_retries" MAX_RETRIES: i64 = WHOLE, Some("10"),
        "How often a database that does not answer at start is tried again; -1: for ever.",
        was "DEFAULT" "sql_max_retries" "DATABASE" "sql_max_retries";
    ["database"] "retry_interval" RETRY_INTERVAL: Duration = SECONDS, Some("10"),
        "Seconds before each of these.",
        was "DEFAULT" "sql_retry_interval" "DATABASE" "reconnect_interval";

    ["dse"] "bus_id" BUS_ID: String = TEXT, Some("bus"),
        "Names the bus: nodes on one broker see each other only if theirs are equal.";
    ["dse"] "long_timeout" LONG_TIMEOUT: Duration = SECONDS, Some("120"),
        "Seconds after which long calls fail: queries, rule insertion, datasource creation, actions.";
    ["dse"] "execute_action_retry" EXECUTE_ACTION_RETRY: bool = BOOLEAN, Some("false"),
        "Execute actions of rules again that failed, or that their service did not answer: these \
         may be executed twice.";
    ["dse"] "execute_action_retry_timeout" EXECUTE_ACTION_RETRY_TIMEOUT: i64 = WHOLE, Some("600"),
        "Seconds for which such actions are executed again and again; 0 or less: for ever.";

    ["ha"] "peer_timeout" PEER_TIMEOUT: Duration = SECONDS, Some("5"),
        "Seconds after which a silent node counts as gone.";
    ["ha"] "takeover_timeout" TAKEOVER_TIMEOUT: Duration = SECONDS, Some("5"),
        "Seconds that calls to datasources wait when no datasource node is active, until another \
         one has taken over; then they are answered 503. A status takes no longer at all.";
    ["ha"] "revision_timeout" REVISION_TIMEOUT: Duration = SECONDS, Some("5"),
        "Seconds that a request with the header X-Congress-Revision waits until its node has loaded \
         that revision of the database; then it is answered 503.";

    ["oslo_messaging_rabbit"] "ssl" RABBIT_SSL: bool = BOOLEAN, Some("false"),
        "Use TLS to the broker. An amqps:// URL does so too.",
        was "oslo_messaging_rabbit" "rabbit_use_ssl" "DEFAULT" "rabbit_use_ssl";
    ["oslo_messaging_rabbit"] "ssl_ca_file" RABBIT_CA: PathBuf = PATH, None,
        "PEM file of the authorities that the broker's certificate may come from; the system's, \
         unless given.", was "oslo_messaging_rabbit" "kombu_ssl_ca_certs" "DEFAULT" "kombu_ssl_ca_certs";
    ["oslo_messaging_rabbit"] "ssl_cert_file" RABBIT_CERT: PathBuf = PATH, None,
        "PEM file of this node's certificate, if the broker asks for one.",
        was "oslo_messaging_rabbit" "kombu_ssl_certfile" "DEFAULT" "kombu_ssl_certfile";
    ["oslo_messaging_rabbit"] "ssl_key_file" RABBIT_KEY: PathBuf = PATH, None,
        "PEM file of its key; it may be in ssl_cert_file too.",
        was "oslo_messaging_rabbit" "kombu_ssl_keyfile" "DEFAULT" "kombu_ssl_keyfile";
    ["oslo_messaging_rabbit"] "heartbeat_timeout_threshold" RABBIT_HEARTBEAT: Duration =
        SECONDS_OR_NONE, Some("4"),
        "Seconds after which a connection to the broker that is silent counts as dead; 0: an hour.";
    ["oslo_messaging_rabbit"] "rabbit_interval_max" RABBIT_RETRY: Duration = SECONDS, Some("1"),
        "Most seconds between two attempts to reach the broker.";
    ["oslo_messaging_rabbit"] "kombu_failover_strategy" RABBIT_STRATEGY: String = TEXT,
        Some("round-robin"),
        "In which order several brokers are tried: round-robin, as they stand, or shuffle.";
    ["oslo_messaging_rabbit"] "rabbit_transient_queues_ttl" RABBIT_QUEUE_TTL: Duration = SECONDS,
        Some("1800"), "Seconds that the broker keeps a node's queues after it has gone.";
    ["oslo_messaging_rabbit"] "rabbit_qos_prefetch_count" RABBIT_PREFETCH: usize = NUMBER, Some("0"),
        "Messages that the broker sends ahead of their acknowledgement; 0 for what suits.";
    ["oslo_messaging_rabbit"] "amqp_durable_queues" RABBIT_DURABLE: bool = BOOLEAN, Some("false"),
        "Declare exchanges that survive the broker's restart. Nothing here depends on it.",
        was "DEFAULT" "amqp_durable_queues" "DEFAULT" "rabbit_durable_queues";

    ["keystone_authtoken"] "auth_url" KEYSTONE_AUTH_URL: String = TEXT, None,
        "Keystone's address, as http://keystone.example:5000/v3.";
    ["keystone_authtoken"] "www_authenticate_uri" KEYSTONE_WWW_AUTHENTICATE_URI: String = TEXT, None,
        "Where clients without a token are told to get one; auth_url, unless given.",
        was "keystone_authtoken" "auth_uri";
    ["keystone_authtoken"] "auth_type" KEYSTONE_AUTH_TYPE: String = TEXT, Some("password"),
        "How this service logs in: password or v3applicationcredential.",
        was "keystone_authtoken" "auth_plugin";
    ["keystone_authtoken"] "username" KEYSTONE_USERNAME: String = TEXT, None,
        "The user of this service, who needs the role service or admin.",
        was "keystone_authtoken" "user_name" "keystone_authtoken" "user-name";
    ["keystone_authtoken"] "user_id" KEYSTONE_USER_ID: String = TEXT, None,
        "Their id, instead of username.", was "keystone_authtoken" "user-id";
    ["keystone_authtoken"] "password" KEYSTONE_PASSWORD: String = TEXT, None,
        "Their password.", secret = true;
    ["keystone_authtoken"] "user_domain_name" KEYSTONE_USER_DOMAIN_NAME: String = TEXT, None,
        "The domain that username is of; Keystone's default one, unless given.",
        was "keystone_authtoken" "user-domain-name";
    ["keystone_authtoken"] "user_domain_id" KEYSTONE_USER_DOMAIN_ID: String = TEXT, None,
        "Its id, instead of user_domain_name.", was "keystone_authtoken" "user-domain-id";
    ["keystone_authtoken"] "project_name" KEYSTONE_PROJECT_NAME: String = TEXT, None,
        "The project in which the user has that role.", was "keystone_authtoken" "project-name"
        "keystone_authtoken" "tenant_name" "keystone_authtoken" "tenant-name";
    ["keystone_authtoken"] "project_id" KEYSTONE_PROJECT_ID: String = TEXT, None,
        "Its id, instead of project_name.", was "keystone_authtoken" "project-id"
        "keystone_authtoken" "tenant_id" "keystone_authtoken" "tenant-id";
    ["keystone_authtoken"] "project_domain_name" KEYSTONE_PROJECT_DOMAIN_NAME: String = TEXT, None,
        "The domain that project_name is of; Keystone's default one, unless given.",
        was "keystone_authtoken" "project-domain-name";
    ["keystone_authtoken"] "project_domain_id" KEYSTONE_PROJECT_DOMAIN_ID: String = TEXT, None,
        "Its id, instead of project_domain_name.", was "keystone_authtoken" "project-domain-id";
    ["keystone_authtoken"] "domain_name" KEYSTONE_DOMAIN_NAME: String = TEXT, None,
        "The domain in which the user has that role, instead of a project.",
        was "keystone_authtoken" "domain-name";
    ["keystone_authtoken"] "domain_id" KEYSTONE_DOMAIN_ID: String = TEXT, None,
        "Its id, instead of domain_name.", was "keystone_authtoken" "domain-id";
    ["keystone_authtoken"] "system_scope" KEYSTONE_SYSTEM_SCOPE: String = TEXT, None,
        "all: the user has that role in the system, instead of in a project.",
        was "keystone_authtoken" "system-scope";
    ["keystone_authtoken"] "application_credential_id" KEYSTONE_CREDENTIAL_ID: String = TEXT, None,
        "The application credential of this service, for auth_type v3applicationcredential.";
    ["keystone_authtoken"] "application_credential_name" KEYSTONE_CREDENTIAL_NAME: String = TEXT,
        None, "Its name, instead of its id; then username or user_id says whose it is.";
    ["keystone_authtoken"] "application_credential_secret" KEYSTONE_CREDENTIAL_SECRET: String =
        TEXT, None, "Its secret.", secret = true;
    ["keystone_authtoken"] "interface" KEYSTONE_INTERFACE: String = TEXT, None,
        "Which of Keystone's endpoints in the catalogue is asked about tokens: public, internal or \
         admin. auth_url is, unless this or region_name is given.";
    ["keystone_authtoken"] "region_name" KEYSTONE_REGION: String = TEXT, None,
        "The region of that endpoint.";
    ["keystone_authtoken"] "cafile" KEYSTONE_CA: PathBuf = PATH, None,
        "PEM file of authorities that Keystone's certificate may come from, beside the system's.";
    ["keystone_authtoken"] "certfile" KEYSTONE_CERT: PathBuf = PATH, None,
        "PEM file of the certificate to show to Keystone, if it asks for one.";
    ["keystone_authtoken"] "keyfile" KEYSTONE_KEY: PathBuf = PATH, None,
        "PEM file of its key; it may be in certfile too.";
    ["keystone_authtoken"] "insecure" KEYSTONE_INSECURE: bool = BOOLEAN, Some("false"),
        "Take any certificate for Keystone's: whoever is between may read the password.";
    ["keystone_authtoken"] "http_connect_timeout" KEYSTONE_TIMEOUT: Duration = SECONDS, Some("10"),
        "Seconds after which a request to Keystone fails.";
    ["keystone_authtoken"] "http_request_max_retries" KEYSTONE_RETRIES: usize = NUMBER, Some("3"),
        "How often it is tried again when Keystone cannot be reached.";
    ["keystone_authtoken"] "token_cache_time" TOKEN_CACHE_TIME: i64 = WHOLE, Some("300"),
        "Seconds for which what Keystone said of a token is remembered: as long a revoked token is \
         still good, and a known one is good while Keystone is away. 0 or -1: not at all.";
    ["keystone_authtoken"] "token_cache_size" TOKEN_CACHE_SIZE: usize = COUNT, Some("10000"),
        "Of how many tokens that is remembered.";
    ["keystone_authtoken"] "service_token_roles" SERVICE_TOKEN_ROLES: Vec<String> = LIST,
        Some("service"), "Roles of services that may pass on requests whose token has expired \
         meanwhile, with their own in X-Service-Token.";
    ["keystone_authtoken"] "service_token_roles_required" SERVICE_TOKEN_ROLES_REQUIRED: bool =
        BOOLEAN, Some("false"), "Refuse requests with an X-Service-Token without any of them.";

    ["oslo_policy"] "policy_file" POLICY_FILE: String = TEXT, None,
        "File of who may do what, JSON or YAML, beside the configuration file or in /etc/congress; \
         policy.json or else policy.yaml, unless given. It is read again when it changes.";
    ["oslo_policy"] "policy_dirs" POLICY_DIRS: Vec<String> = LIST, Some("policy.d"),
        "Folders of more such files, which win. May be given several times.";
    ["oslo_policy"] "policy_default_rule" POLICY_DEFAULT_RULE: String = TEXT, Some("default"),
        "The rule for whatever has none.";

    ["cors"] "allowed_origin" CORS_ORIGIN: Vec<String> = LIST, Some(""),
        "Origins, as https://horizon.example, whose pages may use the API from browsers; * for all.";
    ["cors"] "allow_credentials" CORS_CREDENTIALS: bool = BOOLEAN, Some("true"),
        "Whether these may send cookies and the like.";
    ["cors"] "expose_headers" CORS_EXPOSE: Vec<String> = LIST,
        Some("X-Auth-Token,X-OpenStack-Request-ID,X-Subject-Token,X-Service-Token"),
        "Headers of answers that these may read.";
    ["cors"] "max_age" CORS_MAX_AGE: usize = NUMBER, Some("3600"),
        "Seconds for which browsers may remember what they were told; 0: not said.";
    ["cors"] "allow_methods" CORS_METHODS: Vec<String> = LIST, Some("GET,PUT,POST,DELETE,PATCH"),
        "Methods that these may use.";
    ["cors"] "allow_headers" CORS_HEADERS: Vec<String> = LIST,
        Some("X-Auth-Token,X-OpenStack-Request-ID,X-Identity-Status,X-Roles,X-Service-Catalog,\
              X-User-Id,X-Tenant-Id"),
        "Headers of requests that these may send.";

    ["oslo_middleware"] "enable_proxy_headers_parsing" PROXY_HEADERS: bool = BOOLEAN, Some("false"),
        "Believe the headers Forwarded, or X-Forwarded-Proto, -Host and -Prefix, about where \
         clients sent their requests. Only behind a proxy that sets them.";
    ["oslo_middleware"] "max_request_body_size" MAX_REQUEST_BODY_SIZE: usize = COUNT,
        Some("16777216"),
        "Largest body of a request, in bytes.";

    ["plugins"] "cache_path" PLUGIN_CACHE: PathBuf = PATH, Some("/var/cache/congress"),
        "Folder in which compiled drivers are kept between starts.";
    ["plugins"] "cache_bytes" PLUGIN_CACHE_BYTES: usize = SIZE, Some("2G"),
        "What that folder may take; what was not used for longest is taken away, never what runs.";
    ["plugins"] "threads" PLUGIN_THREADS: usize = COUNT, None,
        "Threads on which drivers run; half as many more take those that compute much. As many as \
         there are processors (2 to 8), unless given.";
    ["plugins"] "simultaneous_calls" PLUGIN_CALLS: usize = COUNT, Some("256"),
        "Driver calls under way at a time, waiting for their services included. More wait.";
    ["plugins"] "memory_bytes" PLUGIN_MEMORY: usize = SIZE, Some("64M"),
        "Memory of one driver call.";
    ["plugins"] "stack_bytes" PLUGIN_STACK: usize = SIZE, Some("512K"),
        "Stack of one driver call.";
    ["plugins"] "call_timeout" PLUGIN_CALL_TIMEOUT: Duration = SECONDS, Some("60"),
        "Seconds after which a driver call fails.";
    ["plugins"] "describe_timeout" PLUGIN_DESCRIBE_TIMEOUT: Duration = SECONDS, Some("5"),
        "Seconds after which a driver must have described itself, or a datasource's tables.";
    ["plugins"] "component_bytes" PLUGIN_COMPONENT: usize = SIZE, Some("64M"),
        "Largest driver file that is loaded.";
    ["plugins"] "compile_timeout" PLUGIN_COMPILE_TIMEOUT: Duration = SECONDS, Some("300"),
        "Seconds after which compiling one driver is given up.";
    ["plugins"] "compile_memory_bytes" PLUGIN_COMPILE_MEMORY: usize = SIZE, Some("4G"),
        "Memory (address space) of the process that compiles one driver.";
    ["plugins"] "hostcall_bytes" PLUGIN_HOSTCALL: usize = SIZE, Some("32M"),
        "What a driver may hand over at once, for instance as one batch of rows.";
    ["plugins"] "rows_per_call" PLUGIN_ROWS: usize = COUNT, Some("1000000"),
        "Most rows that one driver call may give.";
    ["plugins"] "row_bytes_per_call" PLUGIN_ROW_MEMORY: usize = SIZE, Some("512M"),
        "Memory that the rows of one driver call may take.";
    ["plugins"] "refused_batches" PLUGIN_REFUSED: usize = COUNT, Some("100"),
        "Malformed batches of rows after which a driver call fails, also if it goes on.";
    ["plugins"] "metadata_bytes" PLUGIN_METADATA: usize = SIZE, Some("4M"),
        "Names, descriptions and defaults in a driver's description of itself, together.";
    ["plugins"] "tables_per_datasource" PLUGIN_TABLES: usize = COUNT, Some("1000"),
        "Most tables of one datasource.";
    ["plugins"] "columns_per_table" PLUGIN_COLUMNS: usize = COUNT, Some("256"),
        "Most columns of one table.";
    ["plugins"] "state_bytes" PLUGIN_STATE: usize = SIZE, Some("64K"),
        "What a driver may keep for a datasource between calls.";
    ["plugins"] "requests_per_call" PLUGIN_REQUESTS: usize = COUNT, Some("10000"),
        "Most requests that one driver call may send.";
    ["plugins"] "concurrent_requests" PLUGIN_CONCURRENT: usize = COUNT, Some("16"),
        "Requests of one datasource under way at a time. More wait, up to request_timeout.";
    ["plugins"] "requests_per_second" PLUGIN_REQUEST_RATE: u32 = RATE, Some("200"),
        "Requests of one datasource that begin per second. More wait, up to request_timeout.";
    ["plugins"] "redirects" PLUGIN_REDIRECTS: usize = NUMBER, Some("0"),
        "Redirects that a request follows, within what the datasource is granted. 0: the driver \
         gets the redirect as the answer.";
    ["plugins"] "connect_timeout" PLUGIN_CONNECT_TIMEOUT: Duration = SECONDS, Some("10"),
        "Seconds after which a driver's connection must stand.";
    ["plugins"] "request_timeout" PLUGIN_REQUEST_TIMEOUT: Duration = SECONDS, Some("30"),
        "Seconds after which a request of a driver fails, from connecting to the last byte; never \
         more than half of what is left of its call.";
    ["plugins"] "request_bytes" PLUGIN_REQUEST: usize = SIZE, Some("8M"),
        "Largest body of a driver's request.";
    ["plugins"] "response_bytes" PLUGIN_RESPONSE: usize = SIZE, Some("64M"),
        "Largest body of a response to a driver, after decompression.";
    ["plugins"] "log_lines_per_second" PLUGIN_LOG_RATE: u32 = RATE, Some("20"),
        "Log lines of one datasource's driver per second. More are dropped, and counted; a burst \
         of five times as many passes.";
    ["plugins"] "log_lines_per_call" PLUGIN_LOG_LINES: usize = COUNT, Some("10000"),
        "Log lines, dropped ones included, after which a driver call fails.";
    ["plugins"] "log_line_bytes" PLUGIN_LOG_LINE: usize = SIZE, Some("1K"),
        "Length at which a driver's log lines are cut.";
    ["plugins"] "error_bytes" PLUGIN_ERROR: usize = SIZE, Some("2K"),
        "Length at which a driver's error texts are cut.";
    ["plugins"] "allowed_hosts" ALLOWED_HOSTS: Vec<AllowedHost> = HOSTS, Some(""),
        "Hosts that no datasource's configuration suffices to reach: loopback, link-local and \
         metadata addresses.";
    ["plugins"] "only_hosts" ONLY_HOSTS: Vec<AllowedHost> = HOSTS, Some(""),
        "If given, drivers reach these hosts and those in allowed_hosts, and no others.";
    ["plugins"] "allowed_files" ALLOWED_FILES: Vec<PathBuf> = ABSOLUTE_PATHS, Some(""),
        "Files and folders that drivers may read.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_of_their_options_types() {
        assert_eq!(with_wrong_default(), [] as [&str; 0]);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = ALL.iter().map(|spec| (spec.section, spec.name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
