//! The services' tables.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::config::Config;

/// The databases that must be there, empty.
pub(super) const DATABASES: [&str; 7] =
    ["keystone", "glance", "placement", "neutron", "nova_api", "nova_cell0", "nova"];

/// Makes the tables of all services but Keystone.
pub(super) async fn make(config: &Config) -> anyhow::Result<()> {
    let of = |make: fn(&Config) -> anyhow::Result<()>| {
        let config = config.clone();
        async move { tokio::task::spawn_blocking(move || make(&config)).await? }
    };
    tokio::try_join!(of(glance), of(placement), of(neutron), of(nova)).map(drop)
}

fn glance(config: &Config) -> anyhow::Result<()> {
    manage(config, "glance-manage", &["db_sync"])
}

fn placement(config: &Config) -> anyhow::Result<()> {
    manage(config, "placement-manage", &["db", "sync"])
}

fn neutron(config: &Config) -> anyhow::Result<()> {
    manage(config, "neutron-db-manage", &["upgrade", "heads"])
}

/// Nova divides a cloud in cells: one for servers that no host took, and one with our host.
fn nova(config: &Config) -> anyhow::Result<()> {
    let cell0 = config.database_url("nova_cell0");
    manage(config, "nova-manage", &["api_db", "sync"])?;
    manage(config, "nova-manage", &["cell_v2", "map_cell0", "--database_connection", &cell0])?;
    manage(config, "nova-manage", &["db", "sync"])?;
    manage(config, "nova-manage", &["cell_v2", "create_cell", "--name", "cell1"])
}

/// Runs a tool of a service, with that service's configuration. Blocks.
pub(super) fn manage(config: &Config, tool: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(config.program(tool))
        .arg("--config-file")
        .arg(config.file(tool))
        .args(arguments)
        .current_dir(&config.folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {tool}"))?;
    ensure!(
        output.status.success(),
        "{tool} {}: {}\n{}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
