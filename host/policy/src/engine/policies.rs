//! Creating, deleting and renaming policies.

use std::sync::Arc;

use super::apply::{count_widths, release_rule};
use super::batch::refused_recursion;
use super::{Engine, Outcome, References};
use crate::ast::{Rule, Statement};
use crate::check::recursion;
use crate::depgraph::{Node, builtin};
use crate::error::{Error, ErrorKind};
use crate::policy::{NewPolicy, PolicyInfo};
use crate::state::{Policy, StoredRule};
use crate::store::interner::Interner;

/// Characters of a name that make its default abbreviation.
const ABBREVIATION: usize = 5;

impl Engine {
    pub(super) fn create(&mut self, new: NewPolicy) -> Result<PolicyInfo, Error> {
        let NewPolicy { name, id, kind, abbreviation, description } = new;
        if self.state.policies.contains_key(&*name) {
            let text = format!("Policy with name {name} already exists");
            return Err(Error::new(ErrorKind::InUse, text));
        }
        let abbreviation =
            abbreviation.unwrap_or_else(|| name.chars().take(ABBREVIATION).collect());
        let info = PolicyInfo {
            name: name.into(),
            id: id.into(),
            kind,
            abbreviation: abbreviation.into(),
            description: description.into(),
        };
        let policy =
            Policy { info: info.clone(), schema: Default::default(), tables: Default::default() };
        let state = Arc::make_mut(&mut self.state);
        state.policies.insert(info.name.clone(), Arc::new(policy));
        state.policies_version += 1;
        self.subscriptions_version += 1;
        Ok(info)
    }

    pub(super) fn describe(
        &mut self,
        name: &str,
        abbreviation: &str,
        description: &str,
    ) -> Result<PolicyInfo, Error> {
        let unknown = self.no_such_policy(name);
        let state = Arc::make_mut(&mut self.state);
        let Some(policy) = state.policies.get_mut(name).map(Arc::make_mut) else {
            return Err(unknown);
        };
        policy.info.abbreviation = abbreviation.into();
        policy.info.description = description.into();
        Ok(policy.info.clone())
    }

    fn no_such_policy(&self, name: &str) -> Error {
        Error::not_found(format!("Policy {name} could not be found"))
            .suggest(self.state.suggest_policy(name))
    }

    pub(super) fn drop_policy(
        &mut self,
        name_or_id: &str,
        references: References,
    ) -> Result<Outcome, Error> {
        let found = self.state.find(name_or_id).cloned();
        let policy = found.ok_or_else(|| self.no_such_policy(name_or_id))?;
        let name = policy.info.name.clone();
        if references == References::Refuse {
            self.refuse_dangling(&name)?;
        }
        self.forget_waiting(&name);

        let before = self.begin();
        let rules: Vec<Arc<StoredRule>> = policy.rules().into_iter().cloned().collect();
        for stored in &rules {
            self.graph.remove(&name, &stored.rule);
            self.count_execution(&name, &stored.rule, false);
        }
        let state = Arc::make_mut(&mut self.state);
        state.policies.remove(&name);
        state.policies_version += 1;
        for stored in &rules {
            count_widths(state, &name, &Statement::Rule(stored.rule.clone()), false);
            release_rule(state, &mut self.counts, stored);
        }
        for (key, table) in &policy.tables {
            let node = Node { policy: name.clone(), modal: key.modal, table: key.name.clone() };
            self.release_rows(&node, &table.facts);
            let state = Arc::make_mut(&mut self.state);
            let mut interner =
                Interner { dictionary: &mut state.dictionary, counts: &mut self.counts };
            for relation in table.views.iter().flatten() {
                relation.iter().flatten().for_each(|word| interner.release(*word));
            }
        }
        self.subscriptions_version += 1;
        let heads = rules.iter().flat_map(|stored| &stored.rule.heads);
        self.find_recursions(heads.map(|head| Node::of(&name, head)).collect());
        self.views.outdate();
        Ok(self.finish(before))
    }

    /// Fails if any rule names the policy.
    fn refuse_dangling(&self, name: &Arc<str>) -> Result<(), Error> {
        let names = |rule: &Rule| {
            let mut atoms = rule.heads.iter().chain(&rule.body);
            atoms.any(|atom| atom.policy.as_ref() == Some(name) && builtin(atom).is_none())
        };
        let rules = self.state.policies.values().flat_map(|policy| policy.rules());
        let list: Vec<String> = rules
            .filter(|stored| names(&stored.rule))
            .map(|stored| format!("{name}:: {}", stored.rule))
            .collect();
        if list.is_empty() {
            return Ok(());
        }
        let text = format!(
            "Cannot delete {name} because it would leave dangling references: {}",
            list.join(";")
        );
        Err(Error::new(ErrorKind::DanglingReference, text))
    }

    pub(super) fn rename(&mut self, old: &str, new: &str) -> Result<Outcome, Error> {
        let Some(policy) = self.state.policies.get(old).cloned() else {
            let text = format!("Cannot rename {old} to {new}: {old} does not exist");
            return Err(Error::not_found(text).suggest(self.state.suggest_policy(old)));
        };
        if self.state.policies.contains_key(new) {
            let text = format!("Cannot rename {old} to {new}: {new} already exists");
            return Err(Error::new(ErrorKind::InUse, text));
        }
        let (old, new): (Arc<str>, Arc<str>) = (policy.info.name.clone(), new.into());
        let rules: Vec<Rule> =
            policy.rules().into_iter().map(|stored| stored.rule.clone()).collect();
        let mut graph = self.graph.clone();
        for rule in &rules {
            graph.remove(&old, rule);
            graph.insert(&new, rule);
        }
        let heads =
            rules.iter().flat_map(|rule| rule.heads.iter().map(|head| Node::of(&new, head)));
        let heads: Vec<Node> = heads.collect();
        if let Some(found) = refused_recursion(&self.state, &graph, heads.iter().cloned(), false) {
            return Err(recursion::error(&graph, &found, &[]));
        }
        let before = self.begin();
        self.drop_views();
        let Some(policy) = self.state.policies.get(&old).cloned() else {
            return Ok(Outcome::default());
        };
        for (key, table) in &policy.tables {
            let node = |policy: &Arc<str>| Node {
                policy: policy.clone(),
                modal: key.modal,
                table: key.name.clone(),
            };
            for row in table.facts.iter().flat_map(|relation| relation.iter()) {
                self.record(&node(&old), row, false);
                self.record(&node(&new), row, true);
            }
        }
        self.graph = graph;
        for rule in &rules {
            self.count_execution(&old, rule, false);
            self.count_execution(&new, rule, true);
        }
        let state = Arc::make_mut(&mut self.state);
        state.policies.remove(&old);
        let mut policy = Arc::unwrap_or_clone(policy);
        policy.info.name = new.clone();
        state.policies.insert(new.clone(), Arc::new(policy));
        state.policies_version += 1;
        self.subscriptions_version += 1;
        let old = rules.iter().flat_map(|rule| &rule.heads).map(|head| Node::of(&old, head));
        self.find_recursions(old.chain(heads).collect());
        Ok(self.finish(before))
    }
}
