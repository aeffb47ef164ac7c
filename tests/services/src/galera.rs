//! A private Galera cluster: two MariaDB servers that are one database.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::mariadb::Mariadb;
use crate::{eventually, free_port};

/// What Debian's package `galera-4` brings.
const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";

/// How long the nodes may take to find each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two nodes of one cluster; either takes writes.
#[derive(Debug)]
pub struct Galera {
    /// The nodes.
    pub nodes: [Mariadb; 2],
}

impl Galera {
    /// Makes an empty cluster and waits until both nodes are ready.
    pub async fn start() -> anyhow::Result<Self> {
        ensure!(
            Path::new(PROVIDER).exists(),
            "{PROVIDER} is missing; on Debian: apt-get install galera-4 rsync mariadb-server"
        );
        let (first, second) = (free_port()?, free_port()?);
        let mut founder = Mariadb::start_with(&borrowed(&options(first, "gcomm://")?)).await?;
        // The second node begins with a copy of the first one's data: to be sent them all is slow,
        // and what sends them does not run as root.
        founder.stop().await?;
        let mut joiner = Mariadb::unmade(&options(second, &format!("gcomm://127.0.0.1:{first}"))?)?;
        copy(&founder.data(), &joiner.data())?;
        founder.restart().await?;
        joiner.restart().await?;
        for node in [&founder, &joiner] {
            eventually("the nodes find each other", PATIENCE, async || {
                let status =
                    "SHOW STATUS LIKE 'wsrep_cluster_size'; SHOW STATUS LIKE 'wsrep_ready'";
                let status = node.sql(status).await.ok()?;
                (status == "wsrep_cluster_size\t2\nwsrep_ready\tON\n").then_some(())
            })
            .await?;
        }
        Ok(Self { nodes: [founder, joiner] })
    }
}

/// The options of a node that talks to the others on `port`, and is to join those at `cluster`.
fn options(port: u16, cluster: &str) -> anyhow::Result<Vec<String>> {
    let incremental = free_port()?;
    Ok(vec![
        "--wsrep-on=ON".into(),
        format!("--wsrep-provider={PROVIDER}"),
        "--wsrep-cluster-name=congress-test".into(),
        format!("--wsrep-cluster-address={cluster}"),
        "--wsrep-node-address=127.0.0.1".into(),
        "--wsrep-sst-method=rsync".into(),
        format!("--wsrep-sst-receive-address=127.0.0.1:{}", free_port()?),
        "--binlog-format=ROW".into(),
        "--innodb-autoinc-lock-mode=2".into(),
        format!(
            "--wsrep-provider-options=base_port={port};gmcast.listen_addr=tcp://127.0.0.1:{port};\
             ist.recv_addr=127.0.0.1:{incremental};gcache.size=16M"
        ),
    ])
}

fn borrowed(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

/// Copies the data of a node that was stopped for one that is to join it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = Command::new("cp").arg("-a").args([from, to]).status()?;
    ensure!(copied.success(), "cannot copy {}", from.display());
    let state = to.join("grastate.dat");
    let text = fs::read_to_string(&state).context("no state of the cluster")?;
    fs::write(&state, text.replace("safe_to_bootstrap: 1", "safe_to_bootstrap: 0"))?;
    // What tells the end of a transfer is written by nobody's user.
    fs::set_permissions(to, fs::Permissions::from_mode(0o777))?;
    if let Some(folder) = to.parent() {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
    }
    Ok(())
}
