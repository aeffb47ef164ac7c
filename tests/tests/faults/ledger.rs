//! What has been written, and how it was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use congress_tests::{Server, rows_of};
use serde_json::Value;

/// The policy that is written to.
pub(crate) const POLICY: &str = "written";

/// What became of one fact.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    /// Its insertion was acknowledged, with the rule's id.
    Kept(String),
    /// Its deletion was acknowledged.
    Gone,
    /// The last request about it was not answered, or not with success: it may be there or not.
    Unsure,
}

/// Facts `w(N)` by number.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Facts>);

#[derive(Debug, Default)]
struct Facts {
    next: u64,
    fates: BTreeMap<u64, Fate>,
}

impl Ledger {
    /// A number that no fact has.
    pub(crate) fn next(&self) -> u64 {
        let mut facts = self.lock();
        facts.next += 1;
        facts.next
    }

    /// An insertion begins, or was not acknowledged.
    pub(crate) fn unsure(&self, number: u64) {
        self.lock().fates.insert(number, Fate::Unsure);
    }

    /// An insertion was acknowledged.
    pub(crate) fn kept(&self, number: u64, id: String) {
        self.lock().fates.insert(number, Fate::Kept(id));
    }

    /// A deletion was acknowledged.
    pub(crate) fn gone(&self, number: u64) {
        self.lock().fates.insert(number, Fate::Gone);
    }

    /// The oldest fact that is there for sure, with its rule's id, if there are more than `most`.
    /// It is unsure from now on.
    pub(crate) fn too_many(&self, most: usize) -> Option<(u64, String)> {
        let mut facts = self.lock();
        let kept = facts.fates.iter().filter_map(|(number, fate)| match fate {
            Fate::Kept(id) => Some((*number, id.clone())),
            Fate::Gone | Fate::Unsure => None,
        });
        let kept: Vec<_> = kept.collect();
        let oldest = kept.first().filter(|_| kept.len() > most)?.clone();
        facts.fates.insert(oldest.0, Fate::Unsure);
        Some(oldest)
    }

    /// Whether an engine has all facts whose insertion was acknowledged, none whose deletion was,
    /// and rows of just the rules that the database has.
    pub(crate) async fn is_kept_by(&self, server: &Server) -> Result<(), String> {
        let before = self.lock().fates.clone();
        let rules = get(server, &format!("/v1/policies/{POLICY}/rules")).await?;
        let rules: BTreeSet<u64> = rules["results"]
            .as_array()
            .ok_or_else(|| format!("no rules: {rules}"))?
            .iter()
            .filter_map(|rule| number_in(rule["rule"].as_str()?))
            .collect();
        let rows = get(server, &format!("/v1/policies/{POLICY}/tables/w/rows")).await?;
        let rows = rows_of(&rows).map_err(|error| error.to_string())?;
        let rows: BTreeSet<u64> = rows.iter().filter_map(|row| number_in(row)).collect();
        let after = self.lock().fates.clone();
        for (number, fate) in &before {
            // Those that have changed meanwhile are looked at the next time.
            if after.get(number) != Some(fate) {
                continue;
            }
            for (what, found) in [("the rules", &rules), ("the rows", &rows)] {
                match fate {
                    Fate::Kept(_) if !found.contains(number) => {
                        return Err(format!("w({number}) was acknowledged and is not in {what}"));
                    }
                    Fate::Gone if found.contains(number) => {
                        return Err(format!("w({number}) was deleted and is in {what}"));
                    }
                    Fate::Unsure if rules.contains(number) != rows.contains(number) => {
                        return Err(format!("w({number}) is in the rules or the rows, not both"));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The digits in a text.
fn number_in(text: &str) -> Option<u64> {
    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()
}

async fn get(server: &Server, path: &str) -> Result<Value, String> {
    let reply = server.get(path).await.map_err(|error| format!("{path}: {error:#}"))?;
    let body = reply.json().map_err(|error| format!("{path}: {error:#}"))?;
    match reply.status {
        200 => Ok(body),
        status => Err(format!("{path}: {status} {body}")),
    }
}
