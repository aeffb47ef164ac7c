//! Making a server's policies what a plan wants.

use anyhow::anyhow;
use serde_json::{Map, Value, json};

use super::document::Rule;
use super::plan::{Change, RuleChange};
use crate::http::{Refusal, Server};

/// Makes all changes; gives those that could not be made, with why.
///
/// A rule that names columns of another policy's table can be inserted only after that one's rules:
/// what is refused is tried again as long as something else succeeds.
pub(super) async fn make(server: &Server, changes: Vec<Change>) -> Vec<(Change, anyhow::Error)> {
    let mut waiting = changes;
    loop {
        let all = waiting.len();
        let mut failed = Vec::new();
        let mut rest = waiting.into_iter();
        while let Some(change) = rest.next() {
            match one(server, &change).await {
                Ok(()) => {}
                Err(error) if error.is::<Refusal>() => failed.push((change, error)),
                Err(error) => {
                    // No answer, no login: the rest would fare the same.
                    failed.push((change, error));
                    failed.extend(rest.map(|change| (change, anyhow!("it was not tried"))));
                    return failed;
                }
            }
        }
        if failed.is_empty() || failed.len() == all {
            return failed;
        }
        waiting = failed.into_iter().map(|(change, _)| change).collect();
    }
}

async fn one(server: &Server, change: &Change) -> anyhow::Result<()> {
    match change {
        Change::Create(policy) => {
            server.post(&["policies"], policy.to_value()).await?;
        }
        Change::Delete { name, .. } => {
            server.delete(&["policies", name]).await?;
        }
        Change::Update { name, fields, rules } => {
            self::rules(server, name, rules).await?;
            if !fields.is_empty() {
                let fields =
                    fields.iter().map(|(field, _, to)| ((*field).to_owned(), to.as_str().into()));
                let body: Map<String, Value> = fields.collect();
                server.patch(&["policies", name], body.into()).await?;
            }
        }
    }
    Ok(())
}

async fn rules(server: &Server, policy: &str, changes: &[RuleChange]) -> anyhow::Result<()> {
    let mut new = Vec::new();
    let mut gone = Vec::new();
    for change in changes {
        match change {
            RuleChange::Insert(rule) => new.push(rule),
            RuleChange::Delete(rule) => gone.push(rule),
            RuleChange::Update { from, to } => {
                let path = ["policies", policy, "rules", &from.id];
                let comment = to.comment.clone().unwrap_or_default();
                let mut body = json!({ "name": to.name, "comment": comment });
                if from.rule.rule != to.rule {
                    body["rule"] = to.rule.as_str().into();
                }
                let changed = server.patch(&path, body).await;
                changed.map_err(|error| placed(error, &to.rule))?;
            }
        }
    }
    // First what is new, so that nothing is missing meanwhile. It may not fit what is to go, such as
    // a table of another width.
    let inserted = insert(server, policy, &new).await;
    let again = match inserted {
        Ok(()) => false,
        Err(error) if gone.is_empty() || !error.is::<Refusal>() => return Err(error),
        Err(_) => true,
    };
    for rule in &gone {
        server.delete(&["policies", policy, "rules", &rule.id]).await?;
    }
    if again && let Err(error) = insert(server, policy, &new).await {
        let old: Vec<&Rule> = gone.iter().map(|rule| &rule.rule).collect();
        return Err(match insert(server, policy, &old).await {
            Ok(()) => error,
            Err(worse) => error.context(format!(
                "{} rules were taken away for others, and could not be put back: {worse:#}",
                old.len()
            )),
        });
    }
    Ok(())
}

/// Inserts rules: all or none.
async fn insert(server: &Server, policy: &str, rules: &[&Rule]) -> anyhow::Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let body = json!({ "rules": rules });
    let answer = server.post(&["policies", policy, "rules"], body).await;
    answer.map(drop).map_err(|error| {
        let index =
            error.downcast_ref::<Refusal>().and_then(|refusal| refusal.data["index"].as_u64());
        let rule = index.and_then(|index| rules.get(usize::try_from(index).ok()?));
        match rule {
            Some(rule) => placed(error, &rule.rule),
            None => error,
        }
    })
}

/// A refusal with the rule that it is about.
fn placed(error: anyhow::Error, rule: &str) -> anyhow::Error {
    match error.downcast::<Refusal>() {
        Ok(mut refusal) => {
            refusal.message += &format!("\n  {rule}");
            refusal.into()
        }
        Err(error) => error,
    }
}
