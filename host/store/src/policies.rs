//! Policies.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::backend::{Row, Transaction, args};
use crate::store::{advance, exactly, fits, in_transaction};
use crate::{At, Committed, Error, Kind, NewPolicy, NewRule, Policy, Result, Rule, Store, rules};

const LIST: &str = "SELECT id, name, abbreviation, description, owner, kind FROM policies \
     ORDER BY created_at, id";
const FIND: &str = "SELECT id, name, abbreviation, description, owner, kind FROM policies \
     WHERE id = ? OR name = ?";

impl Store {
    /// All live policies, oldest first.
    pub async fn policies(&self) -> Result<Vec<Policy>> {
        self.backend.rows(LIST, args![]).await?.iter().map(read).collect()
    }

    /// A live policy, by id or name.
    pub async fn policy(&self, id_or_name: &str) -> Result<Policy> {
        let rows = self.backend.rows(FIND, args![id_or_name, id_or_name]).await?;
        pick(&rows, id_or_name)
    }

    /// Creates a policy together with its rules: all or nothing. The rules come back in the order
    /// given.
    pub async fn create_policy(
        &self,
        policy: NewPolicy,
        rules: Vec<NewRule>,
        at: At,
    ) -> Result<Committed<(Policy, Vec<Rule>)>> {
        fits("policies.name", &policy.name, 255)?;
        fits("policies.abbreviation", &policy.abbreviation, 5)?;
        rules::check(&rules)?;
        let NewPolicy { name, abbreviation, description, owner, kind } = policy;
        let id = Uuid::new_v4().to_string();
        let policy = Policy { id, name, abbreviation, description, owner, kind };

        let (rules, revision) = in_transaction!(self, |tx| {
            let revision = advance(tx, at).await?;
            tx.execute(
                "INSERT INTO policies (id, created_at, deleted, name, abbreviation, description, \
             owner, kind) VALUES (?, ?, '', ?, ?, ?, ?, ?)",
                args![
                    &policy.id,
                    OffsetDateTime::now_utc(),
                    &policy.name,
                    &policy.abbreviation,
                    &policy.description,
                    &policy.owner,
                    &policy.kind,
                ],
            )
            .await
            .map_err(|failure| failure.inserting(Kind::Policy, &policy.name))?;
            let rules = rules::insert(tx, &policy.name, &rules).await?;
            Ok((rules, revision))
        })?;
        Ok(Committed { value: (policy, rules), revision })
    }

    /// Changes what a policy, by id or name, says of itself.
    pub async fn update_policy(
        &self,
        id_or_name: &str,
        abbreviation: &str,
        description: &str,
        at: At,
    ) -> Result<Committed<Policy>> {
        fits("policies.abbreviation", abbreviation, 5)?;
        in_transaction!(self, |tx| {
            let revision = advance(tx, at).await?;
            let policy = find(tx, id_or_name).await?;
            tx.execute(
                "UPDATE policies SET abbreviation = ?, description = ?, updated_at = ? \
                 WHERE id = ?",
                args![abbreviation, description, OffsetDateTime::now_utc(), &policy.id],
            )
            .await?;
            let (abbreviation, description) = (abbreviation.to_owned(), description.to_owned());
            Ok(Committed { value: Policy { abbreviation, description, ..policy }, revision })
        })
    }

    /// Deletes a policy, by id or name, and its rules. The rows are kept, marked as deleted; the
    /// name becomes free.
    pub async fn delete_policy(&self, id_or_name: &str, at: At) -> Result<Committed<Policy>> {
        in_transaction!(self, |tx| {
            let revision = advance(tx, at).await?;
            let policy = find(tx, id_or_name).await?;
            let now = OffsetDateTime::now_utc();
            tx.execute(
            "INSERT INTO policiesdeleted (id, created_at, updated_at, deleted_at, deleted, name, \
             abbreviation, description, owner, kind) SELECT id, created_at, updated_at, ?, id, \
             name, abbreviation, description, owner, kind FROM policies WHERE id = ?",
            args![now, &policy.id],
        )
        .await?;
            tx.execute("DELETE FROM policies WHERE id = ?", args![&policy.id]).await?;
            rules::delete_all(tx, &policy.name, now).await?;
            Ok(Committed { value: policy, revision })
        })
    }
}

/// All live policies, oldest first.
pub(crate) async fn list(tx: &mut Transaction) -> Result<Vec<Policy>> {
    tx.rows(LIST, args![]).await?.iter().map(read).collect()
}

/// A live policy, by id or name.
pub(crate) async fn find(tx: &mut Transaction, id_or_name: &str) -> Result<Policy> {
    let rows = tx.rows(FIND, args![id_or_name, id_or_name]).await?;
    pick(&rows, id_or_name)
}

/// Of the rows found, the policy that is meant.
fn pick(rows: &[Row], id_or_name: &str) -> Result<Policy> {
    let found = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    exactly(found, id_or_name, |policy| [&policy.id, &policy.name])
        .ok_or_else(|| not_found(id_or_name))
}

fn not_found(key: &str) -> Error {
    Error::NotFound { kind: Kind::Policy, key: key.to_owned() }
}

fn read(row: &Row) -> Result<Policy> {
    Ok(Policy {
        id: row.text(0)?,
        name: row.text(1)?,
        abbreviation: row.text(2)?,
        description: row.text(3)?,
        owner: row.text(4)?,
        kind: row.text(5)?,
    })
}
