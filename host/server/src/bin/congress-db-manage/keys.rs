//! Rotating the keys of the secrets in the database.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use congress_server::maintenance;
use congress_store::{KeyRing, Location, Options, Store, add_key, promote_key, retire_keys};

use super::say;

/// A step of a rotation, in their order.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Action {
    /// Add a new key that opens and does not seal yet; then copy the key file to all hosts, and have
    /// the servers there read it again (SIGHUP, systemctl reload)
    Add,
    /// Have the newest key seal; then copy and reload again
    Promote,
    /// Seal all secrets with the key that seals now, also those that were stored as clear text
    Reseal,
    /// Take all keys away that do not seal, if no secret needs them; then copy and reload again
    Retire,
}

pub(super) async fn run(
    action: Action,
    location: &Location,
    folder: &Path,
) -> anyhow::Result<ExitCode> {
    let shown = folder.display();
    let reload = "copy the folder to all other hosts, and have all servers read it again (SIGHUP)";
    match action {
        Action::Add => {
            add_key(folder)?;
            say(&format!("added a key to {shown}: {reload}; next: keys promote"))?;
        }
        Action::Promote => {
            if !promote_key(folder)? {
                bail!("{shown} holds one key only: keys add makes another");
            }
            say(&format!("the newest key of {shown} seals: {reload}; next: keys reseal"))?;
        }
        Action::Reseal => {
            let ring = KeyRing::open(folder, false)?;
            let store = Store::open(location, &Options::default()).await?;
            let resealed = maintenance::reseal(&store, &ring).await;
            store.close().await;
            let resealed = resealed.context("nothing was changed")?;
            for name in &resealed.unknown {
                say(&format!(
                    "note: the driver of datasource '{name}' is not in the catalogue: what of its \
                     configuration is secret and stored as clear text is not known"
                ))?;
            }
            say(&format!(
                "sealed the secrets of {} datasources; next: keys retire",
                resealed.changed.len()
            ))?;
        }
        Action::Retire => {
            let ring = KeyRing::open(folder, false)?;
            let store = Store::open(location, &Options::default()).await?;
            let datasources = store.datasources().await;
            store.close().await;
            for datasource in datasources? {
                let resealed = ring.reseal(&datasource.config, &[]);
                let resealed =
                    resealed.with_context(|| format!("datasource '{}'", datasource.name))?;
                if resealed.is_some() {
                    bail!(
                        "a secret of datasource '{}' is sealed with another key: keys reseal first",
                        datasource.name
                    );
                }
            }
            let retired = retire_keys(folder)?;
            say(&format!("took {retired} keys out of {shown}: {reload}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
