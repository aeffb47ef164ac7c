//! Rows that were pushed to a datasource and are to survive a restart.
//!
//! A table is one database row with a JSON array of arrays, replaced as a whole, as the original
//! has it. JSON has no infinite numbers and no NaN: they come back as null.

use congress_table::Row;

use crate::backend::{Failure, Transaction, args};
use crate::lease::in_fenced_transaction;
use crate::store::fits;
use crate::{Error, Fence, Kind, Result, Store};

/// All rows of a table, as they are stored.
#[derive(Clone, Debug)]
pub struct PushedTable {
    name: String,
    data: String,
}

impl PushedTable {
    /// Writes the rows of a table.
    pub fn new<'a>(
        name: impl Into<String>,
        rows: impl IntoIterator<Item = &'a Row>,
    ) -> Result<Self> {
        Ok(Self { name: name.into(), data: serialize(rows)? })
    }
}

impl Store {
    /// The persisted rows of all tables of a datasource (by id): table name and rows, by name.
    pub async fn pushed_tables(&self, datasource_id: &str) -> Result<Vec<(String, Vec<Row>)>> {
        const LIST: &str =
            "SELECT tablename, tabledata FROM dstabledata WHERE ds_id = ? ORDER BY tablename";
        let rows = self.backend.rows(LIST, args![datasource_id]).await?;
        rows.iter()
            .map(|row| {
                let table = row.text(0)?;
                let rows = parse(datasource_id, &table, &row.text(1)?)?;
                Ok((table, rows))
            })
            .collect()
    }

    /// Replaces the persisted rows of these tables of an existing datasource (by id), all or none.
    /// With a fence only if it holds: [`Error::Fenced`].
    pub async fn put_pushed_tables(
        &self,
        datasource_id: &str,
        tables: &[PushedTable],
        fence: Option<&Fence>,
    ) -> Result<()> {
        for PushedTable { name, .. } in tables {
            fits("dstabledata.tablename", name, 255)?;
        }
        in_fenced_transaction!(self, fence, |tx| {
            const OWNER: &str = "SELECT id FROM datasources WHERE id = ?";
            if tx.row(OWNER, args![datasource_id]).await?.is_none() {
                let key = datasource_id.to_owned();
                return Err(Error::NotFound { kind: Kind::Datasource, key });
            }
            for PushedTable { name, data } in tables {
                if stored(tx, datasource_id, name).await? {
                    const REPLACE: &str =
                        "UPDATE dstabledata SET tabledata = ? WHERE ds_id = ? AND tablename = ?";
                    tx.execute(REPLACE, args![data, datasource_id, name]).await?;
                } else {
                    const INSERT: &str =
                        "INSERT INTO dstabledata (ds_id, tablename, tabledata) VALUES (?, ?, ?)";
                    match tx.execute(INSERT, args![datasource_id, name, data]).await {
                        Err(Failure::Taken) => return Err(tx.collided()),
                        outcome => outcome?,
                    };
                }
            }
            Ok(())
        })
    }
}

/// Whether a table is stored. [`Error::Conflict`] if only another is whose name the database does
/// not tell apart from it: tables that the original made on MySQL compare without regard to case.
async fn stored(tx: &mut Transaction, datasource_id: &str, table: &str) -> Result<bool> {
    const FIND: &str = "SELECT tablename FROM dstabledata WHERE ds_id = ? AND tablename = ?";
    match tx.row(FIND, args![datasource_id, table]).await? {
        Some(row) if row.text(0)? == table => Ok(true),
        Some(row) => Err(Error::Conflict { kind: Kind::PushedTable, name: row.text(0)? }),
        None => Ok(false),
    }
}

fn serialize<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Result<String> {
    let mut data = String::from("[");
    for (position, row) in rows.into_iter().enumerate() {
        if position > 0 {
            data.push(',');
        }
        let row = serde_json::to_string(row).map_err(|error| Error::Unexpected {
            reason: format!("a row to be stored: {error}"),
        })?;
        data.push_str(&row);
    }
    data.push(']');
    Ok(data)
}

fn parse(datasource_id: &str, table: &str, data: &str) -> Result<Vec<Row>> {
    serde_json::from_str(data).map_err(|error| Error::Corrupt {
        what: format!(
            "the persisted rows of table '{table}' of datasource {datasource_id}: {error}"
        ),
    })
}
