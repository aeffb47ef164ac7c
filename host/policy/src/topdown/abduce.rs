//! Abduction: what would have to hold for a query to hold.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::{TopDown, compile};
use crate::ast::{Atom, Rule, Span, Statement};
use crate::error::Error;
use crate::program::{Literal, TableKey};
use crate::snapshot::{Limits, Snapshot};

/// How many literals and candidates are tried at most.
const MAX_STEPS: usize = 1_000_000;

impl Snapshot {
    /// Explains a query by what could be assumed: for each proof in which the literals of `tables`
    /// are taken for true, the rule `query-instance :- assumed literals`; where a proof assumes
    /// none, the bare instance. A table of another policy is named `policy:table`. Proofs that
    /// assume the same give the same rule again.
    ///
    /// Negated literals, and what they depend on, are never assumed. An assumed literal binds
    /// nothing: a negation or builtin that comes after it sees what is bound so far.
    ///
    /// # Errors
    ///
    /// The query does not parse, is not one atom or one rule, the policy is not known, or
    /// ([`ErrorKind::Limit`](crate::ErrorKind::Limit)) the proofs are too deep or too many.
    pub fn abduce(
        &self,
        query: &str,
        tables: &[&str],
        policy: Option<&str>,
    ) -> Result<Vec<Statement>, Error> {
        let query = self.query(query, policy)?;
        if !query.answerable {
            return Ok(Vec::new());
        }
        let (program, bindings) = compile(&self.state, query.body());
        let limits = Limits { rows: Some(MAX_STEPS), ..Limits::default() };
        let mut interpreter = TopDown::new(&self.state, &query.policy, bindings, limits);
        let own = &query.policy.info.name;
        let named = tables.iter().map(|name| {
            let (policy, table) = match name.split_once(':') {
                Some((policy, table)) => (policy.into(), table),
                None => (own.clone(), *name),
            };
            (policy, TableKey::plain(&table.into()))
        });
        interpreter.assumable = named.collect();
        let heads = match &query.statement {
            Statement::Rule(rule) => &rule.heads[..],
            _ => query.body(),
        };
        let mut rules = Vec::new();
        interpreter.prove(&query.policy, query.body(), &program, |found| {
            let mut names = Names::default();
            let mut name = |cell| names.of(cell, found.bindings.name(cell));
            let instance =
                |head| found.bindings.query_instance(head, &program.variables, &mut name);
            let heads: Vec<Atom> = heads.iter().map(instance).collect();
            let body: Vec<Atom> = found
                .assumed
                .iter()
                .filter_map(|call| {
                    let body = &*call.body;
                    let atom = body.atoms.get(call.at)?;
                    let Literal::Table { args, .. } = body.program.body.get(call.at)? else {
                        return None;
                    };
                    let mut atom = found.bindings.instance(atom, args, body.base, &mut name);
                    if atom.modal.is_none()
                        && atom.policy.is_none()
                        && body.policy.info.name != *own
                    {
                        atom.policy = Some(body.policy.info.name.clone());
                    }
                    Some(atom)
                })
                .collect();
            if body.is_empty() {
                rules.extend(heads.into_iter().map(Statement::Fact));
            } else {
                rules.push(Statement::Rule(Rule { heads, body, span: Span::default() }));
            }
            Ok(())
        })?;
        Ok(rules)
    }
}

/// Names for the variables of one answer, each its own.
#[derive(Default)]
struct Names {
    given: HashMap<u32, Arc<str>>,
    used: HashSet<Arc<str>>,
}

impl Names {
    /// The name of a cell: that which its rule gives it, or one like it that is free.
    fn of(&mut self, cell: u32, wanted: &Arc<str>) -> Arc<str> {
        if let Some(name) = self.given.get(&cell) {
            return name.clone();
        }
        let numbered = (2_u32..).map(|number| Arc::from(format!("{wanted}_{number}")));
        let mut free = std::iter::once(wanted.clone()).chain(numbered);
        let name = free.find(|name| self.used.insert(name.clone())).unwrap_or(wanted.clone());
        self.given.insert(cell, name.clone());
        name
    }
}
