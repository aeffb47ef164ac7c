//! The catalogue of drivers, and their components by hash.
//!
//! The datasource node writes it; other nodes learn from it what drivers there are, and a standby
//! fetches components that it does not have on its own disk.

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::backend::{Row, Transaction, args};
use crate::store::{advance, fits, in_transaction};
use crate::{At, Committed, Driver, Error, Kind, Result, Revision, Store};

/// Size of a piece of a component. Well below the packet limits of database servers.
const CHUNK: usize = 256 * 1024;

const LIST: &str = "SELECT id, hash, size, metadata FROM congress_drivers ORDER BY id";
const FIND: &str = "SELECT id, hash, size, metadata FROM congress_drivers WHERE id = ?";

impl Store {
    /// The catalogue: all drivers, by id.
    pub async fn drivers(&self) -> Result<Vec<Driver>> {
        self.backend.rows(LIST, args![]).await?.iter().map(read).collect()
    }

    /// A driver of the catalogue.
    pub async fn driver(&self, id: &str) -> Result<Driver> {
        let rows = self.backend.rows(FIND, args![id]).await?;
        rows.first().ok_or_else(|| not_found(Kind::Driver, id)).and_then(read)
    }

    /// Enters a driver, or a new build of one, into the catalogue, with its component's bytes.
    /// Changes nothing, the revision included, if it is there just so already.
    pub async fn put_driver(
        &self,
        id: &str,
        metadata: &serde_json::Value,
        component: &[u8],
    ) -> Result<Committed<Driver>> {
        fits("congress_drivers.id", id, 255)?;
        let driver = Driver {
            id: id.to_owned(),
            hash: component_hash(component),
            size: component.len() as u64,
            metadata: metadata.clone(),
        };
        in_transaction!(self, |tx| {
            // First, so that what is read then is what the change is made to.
            let revision = advance(tx, At::Any).await?;
            let old = tx.row(FIND, args![id]).await?.as_ref().map(read).transpose()?;
            if old.as_ref() == Some(&driver) {
                tx.abandon();
                return Ok(Committed { value: driver.clone(), revision: Revision(revision.0 - 1) });
            }
            tx.execute("DELETE FROM congress_drivers WHERE id = ?", args![id]).await?;
            tx.execute(
                "INSERT INTO congress_drivers (id, hash, size, metadata, updated_at) \
                 VALUES (?, ?, ?, ?, ?)",
                args![
                    id,
                    &driver.hash,
                    driver.size,
                    driver.metadata.to_string(),
                    OffsetDateTime::now_utc(),
                ],
            )
            .await?;
            put_bytes(tx, &driver.hash, component).await?;
            if let Some(old) = old {
                drop_unused_bytes(tx, &old.hash).await?;
            }
            Ok(Committed { value: driver.clone(), revision })
        })
    }

    /// The bytes of a component, by hash.
    pub async fn driver_bytes(&self, hash: &str) -> Result<Bytes> {
        const CHUNKS: &str =
            "SELECT data FROM congress_driver_chunks WHERE hash = ? ORDER BY position";
        let rows = self.backend.rows(CHUNKS, args![hash]).await?;
        if rows.is_empty() {
            return Err(not_found(Kind::DriverBytes, hash));
        }
        let mut component = BytesMut::with_capacity(rows.len() * CHUNK);
        for row in rows {
            component.extend_from_slice(&row.bytes(0)?);
        }
        if component_hash(&component) != hash {
            return Err(Error::Corrupt {
                what: format!("the component stored under hash {hash} has another hash"),
            });
        }
        Ok(component.freeze())
    }

    /// Removes a driver from the catalogue, and its bytes unless another entry has the same.
    pub async fn remove_driver(&self, id: &str) -> Result<Committed<Driver>> {
        in_transaction!(self, |tx| {
            let revision = advance(tx, At::Any).await?;
            let row = tx.row(FIND, args![id]).await?;
            let driver = row.as_ref().ok_or_else(|| not_found(Kind::Driver, id)).and_then(read)?;
            tx.execute("DELETE FROM congress_drivers WHERE id = ?", args![id]).await?;
            drop_unused_bytes(tx, &driver.hash).await?;
            Ok(Committed { value: driver, revision })
        })
    }
}

async fn put_bytes(tx: &mut Transaction, hash: &str, component: &[u8]) -> Result<()> {
    const PRESENT: &str = "SELECT position FROM congress_driver_chunks WHERE hash = ? LIMIT 1";
    if tx.row(PRESENT, args![hash]).await?.is_some() {
        return Ok(());
    }
    // An empty component still has one chunk: its row says that it is here.
    let pieces = component.chunks(CHUNK).chain(component.is_empty().then_some(component));
    for (position, data) in (0_i64..).zip(pieces) {
        tx.execute(
            "INSERT INTO congress_driver_chunks (hash, position, data) VALUES (?, ?, ?)",
            args![hash, position, data],
        )
        .await?;
    }
    Ok(())
}

async fn drop_unused_bytes(tx: &mut Transaction, hash: &str) -> Result<()> {
    tx.execute(
        "DELETE FROM congress_driver_chunks WHERE hash = ? \
         AND NOT EXISTS (SELECT 1 FROM congress_drivers WHERE hash = ?)",
        args![hash, hash],
    )
    .await?;
    Ok(())
}

/// The hash under which a component is stored: SHA-256 in lower-case hexadecimal digits.
pub fn component_hash(component: &[u8]) -> String {
    Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn not_found(kind: Kind, key: &str) -> Error {
    Error::NotFound { kind, key: key.to_owned() }
}

fn read(row: &Row) -> Result<Driver> {
    let id = row.text(0)?;
    let metadata = serde_json::from_str(&row.text(3)?)
        .map_err(|error| Error::Corrupt { what: format!("metadata of driver '{id}': {error}") })?;
    let size = u64::try_from(row.int(2)?)
        .map_err(|_| Error::Corrupt { what: format!("size of driver '{id}' is negative") })?;
    Ok(Driver { hash: row.text(1)?, size, metadata, id })
}
