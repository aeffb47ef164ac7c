//! Making a policy's rules what a plan wants.
//!
//! What the server can do in one step is asked of it so: it checks, and refuses without doing
//! anything. Only rules that cannot be there together with others take several.

use anyhow::anyhow;
use serde_json::json;

use super::clash::{self, Way};
use super::document::Rule;
use super::plan::RuleChange;
use super::server::CurrentRule;
use crate::http::{Refusal, Server};

/// What the compiler refuses.
pub(super) const UNFIT: u64 = 1002;

/// A rule that is there already.
pub(super) const KNOWN: u64 = 1008;

/// What is left to be done with a policy's rules.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// They keep their ids, if they can.
    updates: Vec<(CurrentRule, Rule)>,
    new: Vec<Rule>,
    gone: Vec<CurrentRule>,
}

impl Rules {
    pub(super) fn new(changes: Vec<RuleChange>) -> Self {
        let mut rules = Self::default();
        for change in changes {
            match change {
                RuleChange::Insert(rule) => rules.new.push(rule),
                RuleChange::Delete(rule) => rules.gone.push(rule),
                RuleChange::Update { from, to } => rules.updates.push((from, to)),
            }
        }
        rules
    }

    /// How much there is to do. Each thing that is done makes it less.
    pub(super) fn left(&self) -> usize {
        // One rule goes and one comes.
        2 * self.updates.len() + self.new.len() + self.gone.len()
    }

    /// Does it, as far as the server lets it be done.
    ///
    /// # Errors
    ///
    /// Why not all was done. What was done is not left any more.
    pub(super) async fn make(&mut self, server: &Server, policy: &str) -> anyhow::Result<()> {
        self.update(server, policy).await?;
        self.insert(server, policy).await?;
        self.delete(server, policy).await
    }

    /// Changes rules in place, one after the other. Those are left that do not fit the others as
    /// they are now.
    async fn update(&mut self, server: &Server, policy: &str) -> anyhow::Result<()> {
        loop {
            let before = self.updates.len();
            let mut unfit = Vec::new();
            let mut rest = std::mem::take(&mut self.updates).into_iter();
            while let Some((from, to)) = rest.next() {
                match patch(server, policy, &from, &to).await {
                    Ok(()) => {}
                    // Somebody else has deleted it meanwhile.
                    Err(error) if Refusal::is_missing(&error) => self.new.push(to),
                    Err(error) if is_unfit(&error) => unfit.push((from, to)),
                    Err(error) => {
                        unfit.push((from, to));
                        unfit.extend(rest);
                        self.updates = unfit;
                        return Err(error);
                    }
                }
            }
            self.updates = unfit;
            if self.updates.is_empty() || self.updates.len() == before {
                return Ok(());
            }
        }
    }

    /// Inserts what is new, and what could not be changed in place: all or none. What goes is there
    /// until then, unless it is in the way.
    async fn insert(&mut self, server: &Server, policy: &str) -> anyhow::Result<()> {
        let changed = self.updates.iter().map(|(_, to)| to);
        let mut new: Vec<Rule> = self.new.iter().chain(changed).cloned().collect();
        let changed = self.updates.iter().map(|(from, _)| from);
        let going: Vec<CurrentRule> = self.gone.iter().chain(changed).cloned().collect();
        match insert(server, policy, &new).await {
            Ok(_) => {}
            Err(error) if going.is_empty() || !is_unfit(&error) => return Err(error),
            Err(error) => {
                let Way { first, again } =
                    clash::in_the_way(server, policy, &new, &going, error).await?;
                new.extend(again);
                self.exchange(server, policy, first, &new).await?;
            }
        }
        self.new.clear();
        self.gone.extend(self.updates.drain(..).map(|(from, _)| from));
        Ok(())
    }

    /// Deletes rules, and inserts others. If that cannot be done, those that went come back.
    async fn exchange(
        &mut self,
        server: &Server,
        policy: &str,
        first: Vec<CurrentRule>,
        new: &[Rule],
    ) -> anyhow::Result<()> {
        let mut taken = Vec::new();
        let mut outcome = Ok(());
        for rule in first {
            match delete(server, policy, &rule.id).await {
                Ok(()) => taken.push(rule),
                Err(error) if Refusal::is_missing(&error) => {}
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        if outcome.is_ok() {
            outcome = insert(server, policy, new).await.map(drop);
        }
        match outcome {
            Ok(()) => {
                self.went(&taken);
                Ok(())
            }
            Err(error) => Err(self.restore(server, policy, taken, error).await),
        }
    }

    /// Puts rules back that went for others, because of an error: that one, and what became of it.
    async fn restore(
        &mut self,
        server: &Server,
        policy: &str,
        taken: Vec<CurrentRule>,
        error: anyhow::Error,
    ) -> anyhow::Error {
        let old: Vec<Rule> = taken.iter().map(|rule| rule.rule.clone()).collect();
        match insert(server, policy, &old).await {
            Ok(ids) => {
                self.renamed(&taken, &ids);
                error
            }
            Err(worse) => {
                self.went(&taken);
                let count = old.len();
                let texts: String = old.iter().map(|rule| listed(&rule.rule)).collect();
                with(
                    error,
                    &format!(
                        "\n{count} rules went to make place for others, and could not be put back: \
                         {worse:#}{texts}"
                    ),
                )
            }
        }
    }

    /// These rules are gone. What they were to be changed into is new.
    fn went(&mut self, taken: &[CurrentRule]) {
        self.gone.retain(|rule| !taken.contains(rule));
        let updates = std::mem::take(&mut self.updates).into_iter();
        let (went, updates): (Vec<_>, Vec<_>) = updates.partition(|(from, _)| taken.contains(from));
        self.updates = updates;
        self.new.extend(went.into_iter().map(|(_, to)| to));
    }

    /// Rules that were put back have other ids.
    fn renamed(&mut self, taken: &[CurrentRule], ids: &[String]) {
        let updated = self.updates.iter_mut().map(|(from, _)| from);
        for rule in self.gone.iter_mut().chain(updated) {
            let place = taken.iter().position(|taken| taken.id == rule.id);
            if let Some(id) = place.and_then(|place| ids.get(place)) {
                rule.id.clone_from(id);
            }
        }
    }

    /// Deletes what goes. A rule that cannot be deleted does not keep the others.
    async fn delete(&mut self, server: &Server, policy: &str) -> anyhow::Result<()> {
        let mut kept = Vec::new();
        let mut first = None;
        let mut rest = std::mem::take(&mut self.gone).into_iter();
        for rule in rest.by_ref() {
            match delete(server, policy, &rule.id).await {
                Err(error) if !Refusal::is_missing(&error) => {
                    let answered = error.is::<Refusal>();
                    first.get_or_insert(error);
                    kept.push(rule);
                    if !answered {
                        break;
                    }
                }
                _ => {}
            }
        }
        kept.extend(rest);
        self.gone = kept;
        first.map_or(Ok(()), Err)
    }
}

/// Whether the rules that there are, or what a rule says, are the reason of a refusal.
fn is_unfit(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref::<Refusal>();
    refusal.is_some_and(|refusal| matches!(refusal.code, UNFIT | KNOWN))
}

/// Changes a rule in place.
async fn patch(server: &Server, policy: &str, from: &CurrentRule, to: &Rule) -> anyhow::Result<()> {
    let comment = to.comment.clone().unwrap_or_default();
    let mut body = json!({ "name": to.name, "comment": comment });
    if from.rule.rule != to.rule {
        body["rule"] = to.rule.as_str().into();
    }
    let changed = server.patch(&["policies", policy, "rules", &from.id], body).await;
    changed.map(drop).map_err(|error| placed(error, &to.rule))
}

/// Inserts rules, all or none; gives their ids, in the same order.
async fn insert(server: &Server, policy: &str, rules: &[Rule]) -> anyhow::Result<Vec<String>> {
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let body = json!({ "rules": rules });
    let answer = server.post(&["policies", policy, "rules"], body).await.map_err(|error| {
        let index =
            error.downcast_ref::<Refusal>().and_then(|refusal| refusal.data["index"].as_u64());
        let named = index.and_then(|index| rules.get(usize::try_from(index).ok()?));
        match (named, rules) {
            (Some(rule), _) | (None, [rule]) => placed(error, &rule.rule),
            _ => error,
        }
    })?;
    let inserted = answer["results"].as_array().into_iter().flatten();
    Ok(inserted.map(|rule| rule["id"].as_str().unwrap_or_default().to_owned()).collect())
}

async fn delete(server: &Server, policy: &str, rule: &str) -> anyhow::Result<()> {
    server.delete(&["policies", policy, "rules", rule]).await.map(drop)
}

/// A refusal with the rule that it is about.
fn placed(error: anyhow::Error, rule: &str) -> anyhow::Error {
    match error.is::<Refusal>() {
        true => with(error, &listed(rule)),
        false => error,
    }
}

fn listed(rule: &str) -> String {
    format!("\n  {}", rule.trim())
}

/// An error that says more. A refusal stays one.
pub(super) fn with(error: anyhow::Error, more: &str) -> anyhow::Error {
    match error.downcast::<Refusal>() {
        Ok(mut refusal) => {
            refusal.message += more;
            refusal.into()
        }
        Err(error) => anyhow!("{error:#}{more}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn rule(text: &str) -> Rule {
        Rule { rule: text.to_owned(), ..Rule::default() }
    }

    pub(crate) fn current(id: &str, text: &str) -> CurrentRule {
        CurrentRule { id: id.to_owned(), rule: rule(text) }
    }

    fn rules() -> Rules {
        Rules::new(vec![
            RuleChange::Insert(rule("new(1)")),
            RuleChange::Update { from: current("a", "t(1)"), to: rule("t(1, 2)") },
            RuleChange::Delete(current("b", "old(1)")),
            RuleChange::Update { from: current("c", "u(1)"), to: rule("u(2)") },
        ])
    }

    #[test]
    fn what_went_is_not_left() {
        let mut rules = rules();
        assert_eq!(rules.left(), 6);
        rules.went(&[current("a", "t(1)"), current("b", "old(1)")]);
        assert_eq!(rules.left(), 4);
        assert_eq!(rules.new, [rule("new(1)"), rule("t(1, 2)")]);
        assert_eq!(rules.updates, [(current("c", "u(1)"), rule("u(2)"))]);
        assert!(rules.gone.is_empty());
    }

    #[test]
    fn what_came_back_has_another_id() {
        let mut rules = rules();
        let ids = ["x", "y"].map(str::to_owned);
        rules.renamed(&[current("a", "t(1)"), current("b", "old(1)")], &ids);
        assert_eq!(rules.left(), 6);
        assert_eq!((&*rules.updates[0].0.id, &*rules.gone[0].id), ("x", "y"));
        assert_eq!(rules.updates[1].0.id, "c");
    }

    #[test]
    fn an_error_that_says_more_is_of_the_same_kind() {
        let refusal = Refusal { code: UNFIT, message: "no".to_owned(), data: json!(null) };
        let error = placed(refusal.into(), " p(1)\n");
        assert!(is_unfit(&error));
        assert_eq!(error.to_string(), "no\n  p(1)");
        assert_eq!(placed(anyhow!("gone"), "p(1)").to_string(), "gone");
    }
}
