//! Datasources.

use uuid::Uuid;

use crate::backend::{Row, Transaction, args};
use crate::config::DatasourceConfig;
use crate::store::{advance, exactly, fits, in_transaction};
use crate::{At, Committed, Datasource, Error, Kind, NewDatasource, Result, Store};

const LIST: &str =
    "SELECT id, name, driver, description, enabled, config FROM datasources ORDER BY name, id";
const FIND: &str = "SELECT id, name, driver, description, enabled, config FROM datasources \
     WHERE id = ? OR name = ?";

impl Store {
    /// All datasources, by name.
    pub async fn datasources(&self) -> Result<Vec<Datasource>> {
        self.backend.rows(LIST, args![]).await?.iter().map(read).collect()
    }

    /// A datasource, by id or name.
    pub async fn datasource(&self, id_or_name: &str) -> Result<Datasource> {
        let rows = self.backend.rows(FIND, args![id_or_name, id_or_name]).await?;
        pick(&rows, id_or_name)
    }

    /// Creates a datasource. [`Error::Conflict`] if its name is taken, or the id that the client
    /// chose.
    pub async fn create_datasource(
        &self,
        datasource: NewDatasource,
        at: At,
    ) -> Result<Committed<Datasource>> {
        let NewDatasource { id, name, driver, description, enabled, config } = datasource;
        let id = id.unwrap_or_else(|| Uuid::new_v4().to_string());
        fits("datasources.id", &id, 36)?;
        fits("datasources.name", &name, 255)?;
        fits("datasources.driver", &driver, 255)?;
        let stored = config.to_stored()?;

        let revision = in_transaction!(self, |tx| {
            let revision = advance(tx, at).await?;
            if tx.row("SELECT id FROM datasources WHERE id = ?", args![&id]).await?.is_some() {
                return Err(Error::Conflict { kind: Kind::Datasource, name: id.clone() });
            }
            tx.execute(
                "INSERT INTO datasources (id, name, driver, config, description, enabled) \
             VALUES (?, ?, ?, ?, ?, ?)",
                args![&id, &name, &driver, &stored, &description, enabled],
            )
            .await
            .map_err(|failure| failure.inserting(Kind::Datasource, &name))?;
            Ok(revision)
        })?;
        let value = Datasource { id, name, driver, description, enabled, config };
        Ok(Committed { value, revision })
    }

    /// Replaces what may change of a datasource (by id): description, whether it is to run, and
    /// configuration.
    pub async fn update_datasource(
        &self,
        datasource: Datasource,
        at: At,
    ) -> Result<Committed<Datasource>> {
        let stored = datasource.config.to_stored()?;
        let revision = in_transaction!(self, |tx| {
            let revision = advance(tx, at).await?;
            let Datasource { id, description, enabled, .. } = &datasource;
            find(tx, id).await?;
            tx.execute(
                "UPDATE datasources SET description = ?, enabled = ?, config = ? WHERE id = ?",
                args![description, *enabled, &stored, id],
            )
            .await?;
            Ok(revision)
        })?;
        Ok(Committed { value: datasource, revision })
    }

    /// Deletes a datasource (by id or name) with its pushed rows.
    pub async fn delete_datasource(
        &self,
        id_or_name: &str,
        at: At,
    ) -> Result<Committed<Datasource>> {
        in_transaction!(self, |tx| {
            let revision = advance(tx, at).await?;
            let datasource = find(tx, id_or_name).await?;
            tx.execute("DELETE FROM dstabledata WHERE ds_id = ?", args![&datasource.id]).await?;
            tx.execute("DELETE FROM datasources WHERE id = ?", args![&datasource.id]).await?;
            Ok(Committed { value: datasource, revision })
        })
    }

    /// Whether any stored configuration has sealed fields: then this host needs the key that
    /// sealed them, and must not make one of its own.
    pub async fn has_sealed_secrets(&self) -> Result<bool> {
        // The pattern only narrows the search down (`_` stands for any character in it).
        const CANDIDATES: &str =
            "SELECT config FROM datasources WHERE config LIKE '%__encrypted_fields%'";
        for row in self.backend.rows(CANDIDATES, args![]).await? {
            if DatasourceConfig::from_stored(&row.text(0)?).has_sealed_fields() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// All datasources, by name.
pub(crate) async fn list(tx: &mut Transaction) -> Result<Vec<Datasource>> {
    tx.rows(LIST, args![]).await?.iter().map(read).collect()
}

async fn find(tx: &mut Transaction, id_or_name: &str) -> Result<Datasource> {
    let rows = tx.rows(FIND, args![id_or_name, id_or_name]).await?;
    pick(&rows, id_or_name)
}

/// Of the rows found, the datasource that is meant.
fn pick(rows: &[Row], id_or_name: &str) -> Result<Datasource> {
    let found = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    exactly(found, id_or_name, |datasource| [&datasource.id, &datasource.name])
        .ok_or_else(|| not_found(id_or_name))
}

fn not_found(key: &str) -> Error {
    Error::NotFound { kind: Kind::Datasource, key: key.to_owned() }
}

/// Name, driver and `enabled` may be null in tables that the original made, though it writes them
/// always.
fn read(row: &Row) -> Result<Datasource> {
    Ok(Datasource {
        id: row.text(0)?,
        name: row.optional_text(1)?.unwrap_or_default(),
        driver: row.optional_text(2)?.unwrap_or_default(),
        description: row.optional_text(3)?,
        enabled: row.optional_bool(4)?.unwrap_or(true),
        config: DatasourceConfig::from_stored(&row.text(5)?),
    })
}
