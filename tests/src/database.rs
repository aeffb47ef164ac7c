//! Databases as operators make them for the server.

use anyhow::{Context as _, bail};
use congress_test_services::Mariadb;
use tokio::process::Command;

/// Makes a database and its tables, as the deployment guide has it; its URL.
pub async fn database(server: &Mariadb, name: &str) -> anyhow::Result<String> {
    with_tables(server.database(name).await?).await
}

/// Makes the tables of an empty database; its URL.
pub(crate) async fn with_tables(url: String) -> anyhow::Result<String> {
    let tool = crate::binaries::manager()?;
    let made = Command::new(&tool)
        .args(["--database-connection", &url, "upgrade", "head"])
        .output()
        .await
        .with_context(|| tool.display().to_string())?;
    if !made.status.success() {
        bail!(
            "{} cannot make the tables: {}",
            tool.display(),
            String::from_utf8_lossy(&made.stderr)
        );
    }
    Ok(url)
}
