//! The services of a cloud, and how each is run.

use std::path::Path;
use std::process::Command;

use super::config::Config;

/// Becomes the service, beside a watcher that ends it and removes the folder when the process that
/// owns it is gone. The service must be the first of its group: Glance makes itself that otherwise,
/// and what ends the group would miss it.
const GUARD: &str = r#"
owner=$1 folder=$2; shift 2
( tail --pid="$owner" -f /dev/null; rm -rf "$folder"; kill -s KILL -- -$$ ) &
exec "$@"
"#;

/// Serves an application of WSGI, named `module:function`, that has no server of its own.
const SERVE: &str = r"
import importlib, os
from waitress import serve
module, function = os.environ['CONGRESS_TEST_APPLICATION'].split(':')
application = getattr(importlib.import_module(module), function)()
serve(application, host='127.0.0.1', port=int(os.environ['CONGRESS_TEST_PORT']), threads=8)
";

/// A service beside Keystone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloudService {
    /// Images.
    Glance,
    /// What hosts have and what is taken of it.
    Placement,
    /// Networks.
    Neutron,
    /// Servers: the API.
    NovaApi,
    /// Servers: the one that writes the database.
    NovaConductor,
    /// Servers: the one that chooses hosts.
    NovaScheduler,
    /// Servers: the one host.
    NovaCompute,
}

impl CloudService {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Glance,
        Self::Placement,
        Self::Neutron,
        Self::NovaApi,
        Self::NovaConductor,
        Self::NovaScheduler,
        Self::NovaCompute,
    ];

    /// Its name, also in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Glance => "glance",
            Self::Placement => "placement",
            Self::Neutron => "neutron",
            Self::NovaApi => "nova",
            Self::NovaConductor => "nova-conductor",
            Self::NovaScheduler => "nova-scheduler",
            Self::NovaCompute => "nova-compute",
        }
    }

    /// Its type in the catalogue, if it has an API.
    pub fn kind(self) -> Option<&'static str> {
        match self {
            Self::Glance => Some("image"),
            Self::Placement => Some("placement"),
            Self::Neutron => Some("network"),
            Self::NovaApi => Some("compute"),
            Self::NovaConductor | Self::NovaScheduler | Self::NovaCompute => None,
        }
    }

    /// What comes after host and port in the catalogue.
    pub(super) fn path(self) -> &'static str {
        if self == Self::NovaApi { "/v2.1" } else { "" }
    }

    /// The command that runs it in the foreground.
    pub(super) fn command(self, config: &Config) -> Command {
        let program = match self {
            Self::Glance => "glance-api",
            Self::Placement => return self.placement(config),
            Self::Neutron => "neutron-server",
            Self::NovaApi => "nova-api",
            Self::NovaConductor => "nova-conductor",
            Self::NovaScheduler => "nova-scheduler",
            Self::NovaCompute => "nova-compute",
        };
        let mut command = guarded(&config.folder);
        command
            .arg(config.program(program))
            .arg("--config-file")
            .arg(config.file(program))
            .current_dir(&config.folder);
        command
    }

    fn placement(self, config: &Config) -> Command {
        let mut command = guarded(&config.folder);
        command
            .args(["/usr/bin/python3", "-W", "ignore", "-c", SERVE])
            .current_dir(&config.folder)
            .env("CONGRESS_TEST_APPLICATION", "placement.wsgi:init_application")
            .env("CONGRESS_TEST_PORT", config.port(self).to_string())
            .env("OS_PLACEMENT_CONFIG_DIR", &config.folder);
        command
    }
}

/// A command that runs the program given by further arguments under the guard.
fn guarded(folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "guard"]).arg(std::process::id().to_string()).arg(folder);
    command
}
