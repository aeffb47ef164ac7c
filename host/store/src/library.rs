//! The policy library: policies ready to be activated.

use uuid::Uuid;

use crate::backend::{Row, Transaction, args};
use crate::store::{exactly, fits, in_transaction};
use crate::{Error, Kind, LibraryPolicy, NewLibraryPolicy, Result, Store};

const LIST: &str = "SELECT id, name, abbreviation, description, kind, rules FROM library_policies \
     ORDER BY name, id";
const FIND: &str = "SELECT id, name, abbreviation, description, kind, rules FROM library_policies \
     WHERE id = ? OR name = ?";
const FIND_ID: &str = "SELECT id, name, abbreviation, description, kind, rules \
     FROM library_policies WHERE id = ?";

impl Store {
    /// All policies of the library, by name.
    pub async fn library(&self) -> Result<Vec<LibraryPolicy>> {
        self.backend.rows(LIST, args![]).await?.iter().map(read).collect()
    }

    /// A policy of the library, by id or name.
    pub async fn library_policy(&self, id_or_name: &str) -> Result<LibraryPolicy> {
        let rows = self.backend.rows(FIND, args![id_or_name, id_or_name]).await?;
        let found = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        exactly(found, id_or_name, |policy| [&policy.id, &policy.name])
            .ok_or_else(|| not_found(id_or_name))
    }

    /// Adds a policy to the library.
    pub async fn create_library_policy(&self, policy: NewLibraryPolicy) -> Result<LibraryPolicy> {
        let policy = with_id(Uuid::new_v4().to_string(), policy);
        let rules = check(&policy)?;
        in_transaction!(self, |tx| {
            insert(tx, &policy, &rules).await?;
            Ok(())
        })?;
        Ok(policy)
    }

    /// Fills a library that is empty: with all of these, or with none. How many were added; 0 if
    /// the library has policies already.
    pub async fn fill_library(&self, policies: Vec<NewLibraryPolicy>) -> Result<usize> {
        let policies = policies.into_iter().map(|policy| {
            let policy = with_id(Uuid::new_v4().to_string(), policy);
            check(&policy).map(|rules| (policy, rules))
        });
        let policies = policies.collect::<Result<Vec<_>>>()?;
        in_transaction!(self, |tx| {
            if tx.row("SELECT id FROM library_policies LIMIT 1", args![]).await?.is_some() {
                return Ok(0);
            }
            for (policy, rules) in &policies {
                insert(tx, policy, rules).await?;
            }
            Ok(policies.len())
        })
    }

    /// Replaces a policy of the library (by id).
    pub async fn replace_library_policy(
        &self,
        id: &str,
        policy: NewLibraryPolicy,
    ) -> Result<LibraryPolicy> {
        let policy = with_id(id.to_owned(), policy);
        let rules = check(&policy)?;
        in_transaction!(self, |tx| {
            find(tx, id).await?;
            tx.execute(
            "UPDATE library_policies SET name = ?, abbreviation = ?, description = ?, kind = ?, \
             rules = ? WHERE id = ?",
            args![
                &policy.name,
                &policy.abbreviation,
                &policy.description,
                &policy.kind,
                &rules,
                &policy.id,
            ],
        )
        .await
        .map_err(|failure| failure.inserting(Kind::LibraryPolicy, &policy.name))?;
            Ok(())
        })?;
        Ok(policy)
    }

    /// Deletes a policy from the library (by id).
    pub async fn delete_library_policy(&self, id: &str) -> Result<LibraryPolicy> {
        in_transaction!(self, |tx| {
            let policy = find(tx, id).await?;
            tx.execute("DELETE FROM library_policies WHERE id = ?", args![id]).await?;
            Ok(policy)
        })
    }
}

async fn insert(tx: &mut Transaction, policy: &LibraryPolicy, rules: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO library_policies (name, abbreviation, description, kind, rules, id) \
         VALUES (?, ?, ?, ?, ?, ?)",
        args![
            &policy.name,
            &policy.abbreviation,
            &policy.description,
            &policy.kind,
            rules,
            &policy.id,
        ],
    )
    .await
    .map_err(|failure| failure.inserting(Kind::LibraryPolicy, &policy.name))?;
    Ok(())
}

async fn find(tx: &mut Transaction, id: &str) -> Result<LibraryPolicy> {
    let row = tx.row(FIND_ID, args![id]).await?;
    let policy = row.as_ref().map(read).transpose()?.filter(|policy| policy.id == id);
    policy.ok_or_else(|| not_found(id))
}

fn not_found(key: &str) -> Error {
    Error::NotFound { kind: Kind::LibraryPolicy, key: key.to_owned() }
}

fn with_id(id: String, policy: NewLibraryPolicy) -> LibraryPolicy {
    let NewLibraryPolicy { name, abbreviation, description, kind, rules } = policy;
    LibraryPolicy { id, name, abbreviation, description, kind, rules }
}

/// Checks that a policy fits its columns; its rules as they are stored.
fn check(policy: &LibraryPolicy) -> Result<String> {
    fits("library_policies.name", &policy.name, 255)?;
    fits("library_policies.abbreviation", &policy.abbreviation, 5)?;
    serde_json::to_string(&policy.rules)
        .map_err(|error| Error::Unexpected { reason: format!("rules to be stored: {error}") })
}

fn read(row: &Row) -> Result<LibraryPolicy> {
    let id = row.text(0)?;
    let rules = serde_json::from_str(&row.text(5)?).map_err(|error| Error::Corrupt {
        what: format!("rules of library policy {id}: {error}"),
    })?;
    Ok(LibraryPolicy {
        id,
        name: row.text(1)?,
        abbreviation: row.text(2)?,
        description: row.text(3)?,
        kind: row.text(4)?,
        rules,
    })
}
