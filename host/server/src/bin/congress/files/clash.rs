//! Which rules have to go before others can come.
//!
//! The server refuses rules with all that is wrong with them, and does not say whether it is for the
//! sake of rules that are to go. What is wrong in any case must be known before one of those goes:
//! `widths` compares those of tables, and the rest the server tells by a simulation, which changes
//! nothing.

use std::collections::BTreeSet;

use congress_policy::MAX_SEQUENCE;
use congress_policy::ast::{Atom, Statement};
use serde_json::json;

use super::document::Rule;
use super::rules::{KNOWN, UNFIT, with};
use super::server::{self, Current, CurrentRule};
use super::widths;
use crate::http::{Refusal, Server};

/// A simulation that cannot be carried out.
const SIMULATION: u64 = 1007;

/// The policy that every server has for what actions do.
const ACTIONS: &str = "action";

/// A table that nobody has.
const NOBODYS: &str = "checked_by_policy_apply";

/// What has to go before others can come.
#[derive(Default)]
pub(super) struct Way {
    /// Rules that go. Those that run actions are first: what goes after them runs none.
    pub(super) first: Vec<CurrentRule>,
    /// What of them comes again: rules that stay, and that suit a table as it is to be, but keep its
    /// width as long as they are there.
    pub(super) again: Vec<Rule>,
}

/// What has to go before new rules can come, which were refused.
///
/// # Errors
///
/// The new ones would be refused all the same: why.
pub(super) async fn in_the_way(
    server: &Server,
    policy: &str,
    new: &[Rule],
    going: &[CurrentRule],
    refused: anyhow::Error,
) -> anyhow::Result<Way> {
    let is_known = refused.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.code == KNOWN);
    let mut way = if is_known {
        // The same in other words.
        Way { first: with_heads_of(new, going), again: Vec::new() }
    } else {
        // Everybody's rules of now: others may have changed meanwhile.
        let Ok(present) = server::policies(server).await else { return Err(refused) };
        let tables = widths::at_odds(policy, new, &present);
        let mut clashing: Vec<CurrentRule> =
            going.iter().filter(|rule| tables.any_in(policy, &rule.rule.rule)).cloned().collect();
        let mut again = Vec::new();
        for (owner, rule) in staying(&present, policy, going) {
            let text = &rule.rule.rule;
            if !tables.any_in(owner, text) {
                continue;
            }
            if owner != policy || !tables.suit(owner, text) {
                let more = format!("\n  The policy {owner} has, and keeps: {}", text.trim());
                return Err(with(refused, &more));
            }
            clashing.push(rule.clone());
            again.push(rule.rule.clone());
        }
        match trial(server, policy, &[], new).await? {
            Trial::Passed => Way { first: clashing, again },
            Trial::Refused(_) => match trial(server, policy, going, new).await? {
                Trial::Passed => {
                    let others = clashing.into_iter().filter(|rule| !going.contains(rule));
                    Way { first: going.iter().cloned().chain(others).collect(), again }
                }
                Trial::Refused(_) if clashing.is_empty() => return Err(refused),
                Trial::Refused(reason) => return Err(reason.into()),
            },
        }
    };
    if way.first.is_empty() {
        return Err(refused);
    }
    way.first.sort_by_key(|rule| !runs_actions(&rule.rule.rule));
    Ok(way)
}

/// The rules that say something of a table of which a new one does.
fn with_heads_of(new: &[Rule], going: &[CurrentRule]) -> Vec<CurrentRule> {
    let head = |rule: &str| statement(rule).as_ref().and_then(head).map(|head| head.table.clone());
    let heads: BTreeSet<_> = new.iter().filter_map(|rule| head(&rule.rule)).collect();
    let same = |rule: &&CurrentRule| head(&rule.rule.rule).is_some_and(|h| heads.contains(&h));
    going.iter().filter(same).cloned().collect()
}

/// All rules but those that go, with their policies.
fn staying<'a>(
    present: &'a [Current],
    policy: &'a str,
    going: &'a [CurrentRule],
) -> impl Iterator<Item = (&'a str, &'a CurrentRule)> {
    let going: BTreeSet<&str> = going.iter().map(|rule| rule.id.as_str()).collect();
    let rules = present
        .iter()
        .flat_map(|owner| owner.rules.iter().map(move |rule| (owner.name.as_str(), rule)));
    rules.filter(move |(owner, rule)| *owner != policy || !going.contains(rule.id.as_str()))
}

fn runs_actions(rule: &str) -> bool {
    statement(rule).as_ref().and_then(head).is_some_and(|head| head.modal.is_some())
}

/// What a simulation says of rules.
enum Trial {
    /// Nothing against them; or the server tells nothing.
    Passed,
    Refused(Refusal),
}

/// Whether rules could come after others have gone, widths aside.
async fn trial(
    server: &Server,
    policy: &str,
    gone: &[CurrentRule],
    new: &[Rule],
) -> anyhow::Result<Trial> {
    let gone = gone.iter().filter_map(|rule| signed(&rule.rule.rule, '-'));
    let new = new.iter().filter_map(|rule| signed(&rule.rule, '+'));
    let sequence: Vec<String> = gone.chain(new).collect();
    if sequence.len() > MAX_SEQUENCE {
        return Ok(Trial::Passed);
    }
    let body = json!({
        "query": format!("{NOBODYS}()"), "sequence": sequence.join("\n"), "action_policy": ACTIONS,
    });
    let answer = server.post_with(&["policies", policy], &[("action", "simulate")], body).await;
    match answer.map_err(|error| error.downcast::<Refusal>()) {
        Ok(_) => Ok(Trial::Passed),
        Err(Ok(Refusal { code: SIMULATION, message, data })) => {
            // It is about rules, not about a simulation that nobody has asked for.
            let message = message.split_once("::").map_or(message.as_str(), |(_, reason)| reason);
            Ok(Trial::Refused(Refusal { code: UNFIT, message: message.to_owned(), data }))
        }
        Err(Ok(_)) => Ok(Trial::Passed),
        Err(Err(error)) => Err(error),
    }
}

/// A rule as an update of a simulation; none if it cannot be one.
fn signed(rule: &str, sign: char) -> Option<String> {
    let mut statement = statement(rule)?;
    let is_rule = matches!(statement, Statement::Rule(_));
    let head = head_mut(&mut statement)?;
    let is_plain = head.modal.is_none() && !head.table.ends_with(['+', '-']);
    if is_plain {
        head.table = format!("{}{sign}", head.table).into();
    } else if sign == '+' && is_rule {
        // What the rule does is not simulated; its body is looked at all the same.
        head.modal = None;
        head.policy = None;
        head.table = format!("{NOBODYS}{sign}").into();
    } else {
        return None;
    }
    Some(statement.to_string())
}

/// The statement of a rule.
pub(super) fn statement(rule: &str) -> Option<Statement> {
    let mut statements = congress_policy::parser::parse(rule).ok()?;
    if statements.len() == 1 { statements.pop() } else { None }
}

/// The only head.
fn head(statement: &Statement) -> Option<&Atom> {
    match statement {
        Statement::Fact(atom) => Some(atom),
        Statement::Rule(rule) if rule.heads.len() == 1 => rule.heads.first(),
        Statement::Rule(_) | Statement::Event(_) => None,
    }
}

fn head_mut(statement: &mut Statement) -> Option<&mut Atom> {
    match statement {
        Statement::Fact(atom) => Some(atom),
        Statement::Rule(rule) if rule.heads.len() == 1 => rule.heads.first_mut(),
        Statement::Rule(_) | Statement::Event(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::tests::{current, rule};
    use super::*;

    #[test]
    fn rules_as_updates() {
        let both = |rule| (signed(rule, '+'), signed(rule, '-'));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(both("t( 1 )"), (some("t+(1)"), some("t-(1)")));
        assert_eq!(signed("t(x) :- u(x)", '-'), some("t-(x) :- u(x)"));
        let run = "execute[nova:pause(x)] :- t(x)";
        assert_eq!(both(run), (some(&format!("{NOBODYS}+(x) :- t(x)")), None));
        assert_eq!(both("execute[nova:pause(1)]"), (None, None));
        assert_eq!(both("p(1) p(2)"), (None, None));
    }

    #[test]
    fn what_stays_is_all_but_what_goes() {
        let policy = |name: &str, rules: &[CurrentRule]| Current {
            name: name.to_owned(),
            rules: rules.to_vec(),
            ..Current::default()
        };
        let going = [current("1", "t(1)")];
        let present = [policy("p", &[going[0].clone(), current("2", "u(1)")]), policy("q", &going)];
        let ids: Vec<_> =
            staying(&present, "p", &going).map(|(owner, rule)| (owner, &*rule.id)).collect();
        assert_eq!(ids, [("p", "2"), ("q", "1")]);
        let alike = with_heads_of(&[rule("t(x) :- u(x)")], &present[0].rules);
        assert_eq!(alike, going);
    }
}
