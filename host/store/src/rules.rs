//! The rules of policies.
//!
//! The tables are the original's: a rule names its policy by name, and a deleted rule stays where
//! it is with its own id in `deleted`.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::backend::{Row, Transaction, args};
use crate::store::{advance, fits, in_transaction};
use crate::{At, Committed, Error, Kind, NewRule, Result, Rule, Store, policies};

const LIST: &str = "SELECT id, policy_name, rule, name, comment FROM policy_rules \
     WHERE policy_name = ? AND deleted = '' ORDER BY created_at, id";
const LIST_ALL: &str = "SELECT id, policy_name, rule, name, comment FROM policy_rules \
     WHERE deleted = '' ORDER BY created_at, id";
const FIND: &str = "SELECT id, policy_name, rule, name, comment FROM policy_rules \
     WHERE id = ? AND policy_name = ? AND deleted = ''";

impl Store {
    /// The live rules of a policy (by its name), oldest first; none if there is no such policy.
    pub async fn rules(&self, policy_name: &str) -> Result<Vec<Rule>> {
        let rows = self.backend.rows(LIST, args![policy_name]).await?;
        let mut rules = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        // Tables that the original made on MySQL compare without regard to case.
        rules.retain(|rule| rule.policy_name == policy_name);
        Ok(rules)
    }

    /// A live rule of a policy (by its name).
    pub async fn rule(&self, policy_name: &str, rule_id: &str) -> Result<Rule> {
        let rows = self.backend.rows(FIND, args![rule_id, policy_name]).await?;
        pick(rows.first(), policy_name, rule_id)
    }

    /// Adds rules to a policy (by id or name): all or nothing. They come back in the order given.
    pub async fn insert_rules(
        &self,
        policy: &str,
        rules: Vec<NewRule>,
        at: At,
    ) -> Result<Committed<Vec<Rule>>> {
        check(&rules)?;
        in_transaction!(self, |tx| {
            let revision = advance(tx, at).await?;
            let policy = policies::find(tx, policy).await?;
            let rules = insert(tx, &policy.name, &rules).await?;
            Ok(Committed { value: rules, revision })
        })
    }

    /// Replaces what a rule of a policy (by its name) says; its id stays.
    pub async fn update_rule(
        &self,
        policy_name: &str,
        rule_id: &str,
        rule: NewRule,
        at: At,
    ) -> Result<Committed<Rule>> {
        check(std::slice::from_ref(&rule))?;
        in_transaction!(self, |tx| {
            let revision = advance(tx, at).await?;
            let row = tx.row(FIND, args![rule_id, policy_name]).await?;
            let Rule { id, policy_name, .. } = pick(row.as_ref(), policy_name, rule_id)?;
            let NewRule { rule, name, comment } = rule.clone();
            tx.execute(
                "UPDATE policy_rules SET rule = ?, name = ?, comment = ?, updated_at = ? \
                 WHERE id = ?",
                args![&rule, &name, &comment, OffsetDateTime::now_utc(), &id],
            )
            .await?;
            Ok(Committed { value: Rule { id, policy_name, rule, name, comment }, revision })
        })
    }

    /// Deletes a rule of a policy (by its name). Its row is kept, marked as deleted.
    pub async fn delete_rule(
        &self,
        policy_name: &str,
        rule_id: &str,
        at: At,
    ) -> Result<Committed<Rule>> {
        in_transaction!(self, |tx| {
            let revision = advance(tx, at).await?;
            let row = tx.row(FIND, args![rule_id, policy_name]).await?;
            let rule = pick(row.as_ref(), policy_name, rule_id)?;
            tx.execute(
                "UPDATE policy_rules SET deleted = id, deleted_at = ? WHERE id = ?",
                args![OffsetDateTime::now_utc(), &rule.id],
            )
            .await?;
            Ok(Committed { value: rule, revision })
        })
    }
}

/// The live rules of all policies, oldest first.
pub(crate) async fn list_all(tx: &mut Transaction) -> Result<Vec<Rule>> {
    tx.rows(LIST_ALL, args![]).await?.iter().map(read).collect()
}

/// Checks that rules fit their columns.
pub(crate) fn check(rules: &[NewRule]) -> Result<()> {
    rules.iter().try_for_each(|rule| {
        fits("policy_rules.name", rule.name.as_deref().unwrap_or_default(), 255)?;
        fits("policy_rules.comment", &rule.comment, 255)
    })
}

/// Adds rules to a policy.
pub(crate) async fn insert(
    tx: &mut Transaction,
    policy_name: &str,
    rules: &[NewRule],
) -> Result<Vec<Rule>> {
    let mut inserted = Vec::with_capacity(rules.len());
    let mut created_at = OffsetDateTime::now_utc();
    for NewRule { rule, name, comment } in rules.iter().cloned() {
        let id = Uuid::new_v4().to_string();
        tx.execute(
            "INSERT INTO policy_rules (id, created_at, deleted, rule, policy_name, comment, name) \
             VALUES (?, ?, '', ?, ?, ?, ?)",
            args![&id, created_at, &rule, policy_name, &comment, &name],
        )
        .await?;
        inserted.push(Rule { id, policy_name: policy_name.to_owned(), rule, name, comment });
        // Listings go by time: rules of one batch keep their order.
        created_at += Duration::MICROSECOND;
    }
    Ok(inserted)
}

/// Marks all live rules of a policy as deleted.
pub(crate) async fn delete_all(
    tx: &mut Transaction,
    policy_name: &str,
    now: OffsetDateTime,
) -> Result<()> {
    tx.execute(
        "UPDATE policy_rules SET deleted = id, deleted_at = ? WHERE policy_name = ? AND deleted = ''",
        args![now, policy_name],
    )
    .await?;
    Ok(())
}

/// The rule that is meant, if the row found is exactly that.
fn pick(row: Option<&Row>, policy_name: &str, rule_id: &str) -> Result<Rule> {
    let rule = row.map(read).transpose()?;
    rule.filter(|rule| rule.id == rule_id && rule.policy_name == policy_name)
        .ok_or_else(|| not_found(rule_id))
}

fn not_found(key: &str) -> Error {
    Error::NotFound { kind: Kind::Rule, key: key.to_owned() }
}

fn read(row: &Row) -> Result<Rule> {
    Ok(Rule {
        id: row.text(0)?,
        policy_name: row.text(1)?,
        rule: row.text(2)?,
        name: row.optional_text(3)?,
        comment: row.text(4)?,
    })
}
