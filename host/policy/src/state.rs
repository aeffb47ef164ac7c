//! What the engine holds: policies, their tables, rows, rules and schemas.
//!
//! A [`State`] is one immutable version to its readers. The writer changes its own version through
//! `Arc::make_mut`, which copies a table's or a policy's list of pointers, never rows.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::ast::{Atom, Constant, Rule, Statement, Term};
use crate::builtins::Context;
use crate::depgraph::Node;
use crate::diagnostics::{listed, suggest};
use crate::error::{Error, ErrorKind};
use crate::eval::PlanCache;
use crate::policy::{PolicyInfo, PolicyKind};
use crate::program::{Literal, Program, TableKey};
use crate::schema::Schema;
use crate::store::dictionary::Dictionary;
use crate::store::relation::Relation;
use crate::store::word::Word;

/// Gives builtins the local time.
pub type Clock = Arc<dyn Fn() -> time::PrimitiveDateTime + Send + Sync>;

/// One version of everything that readers see.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) dictionary: Dictionary,
    pub(crate) policies: BTreeMap<Arc<str>, Arc<Policy>>,
    /// Changes whenever a policy comes, goes or gets another name.
    pub(crate) policies_version: u64,
    /// The tables that depend on themselves, by the recursion that they are part of.
    pub(crate) components: Arc<HashMap<Node, u32>>,
    /// Whether rules of policies of every kind may depend on themselves.
    pub(crate) recursion_allowed: bool,
    pub(crate) clock: Clock,
}

/// A policy.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) info: PolicyInfo,
    pub(crate) schema: Schema,
    pub(crate) tables: HashMap<TableKey, Arc<Table>>,
}

/// A table: stored rows and the rules that define it.
#[derive(Clone, Default)]
pub(crate) struct Table {
    /// The rows, one relation for each width that occurs.
    pub(crate) facts: Vec<Arc<Relation>>,
    pub(crate) rules: Vec<Arc<StoredRule>>,
    /// The rows that the rules give, one relation for each width, if they are kept up to date.
    pub(crate) views: Option<Vec<Arc<Relation>>>,
    /// Initialised by a feed: stays listed without rows.
    pub(crate) initialized: bool,
}

/// A rule, as it is listed and as it is evaluated.
pub(crate) struct StoredRule {
    /// Its place in the order of insertion.
    pub(crate) number: u64,
    pub(crate) rule: Rule,
    /// The same for equal rules.
    pub(crate) fingerprint: u64,
    pub(crate) program: Program,
    /// As it was given; none for rules that only the engine makes.
    pub(crate) written: Option<Written>,
    /// Plans for keeping views up to date.
    pub(crate) plans: PlanCache,
}

/// A rule as it was given, to be checked again when a schema that it relies on changes.
#[derive(Clone)]
pub(crate) struct Written {
    /// With columns by name and literals narrower than their tables.
    pub(crate) rule: Rule,
    /// The text that its spans index.
    pub(crate) source: Arc<str>,
}

impl StoredRule {
    /// A rule with its program.
    pub(crate) fn new(number: u64, rule: Rule, program: Program, written: Option<Written>) -> Self {
        let fingerprint = fingerprint(&rule);
        Self { number, rule, fingerprint, program, written, plans: PlanCache::default() }
    }

    /// Whether no schema has added anything to the rule.
    pub(crate) fn is_as_written(&self) -> bool {
        self.written.as_ref().is_none_or(|written| same_rule(&written.rule, &self.rule))
    }
}

impl State {
    pub(crate) fn context(&self) -> Context {
        Context { now: (self.clock)() }
    }

    /// The recursion that a table is part of.
    pub(crate) fn component(&self, policy: &Arc<str>, key: &TableKey) -> Option<u32> {
        if self.components.is_empty() {
            return None;
        }
        let node = Node { policy: policy.clone(), modal: key.modal, table: key.name.clone() };
        self.components.get(&node).copied()
    }

    /// Whether the rows that a program of a policy gives depend on the spelling of numbers: it
    /// matches some by value, where `1` and `1.0` are equal, and something else tells them apart.
    /// Then a literal's variables have the spelling of the leftmost literal that binds them, and
    /// the literals must be taken in their order.
    pub(crate) fn depends_on_spelling(&self, policy: &Arc<str>, program: &Program) -> bool {
        let by_value = |policy: &Arc<str>| {
            self.policies.get(policy).is_some_and(|policy| policy.matches_by_value())
        };
        let (mut any, mut all) = (false, by_value(policy) && program.grouping.is_none());
        for literal in &program.body {
            match literal {
                Literal::Table { policy: prefix, .. } => {
                    let matches = by_value(prefix.as_ref().unwrap_or(policy));
                    any |= matches;
                    all &= matches;
                }
                Literal::Builtin { .. } => all = false,
                Literal::Truth(_) | Literal::Nothing { .. } => {}
            }
        }
        any && !all
    }

    /// The policy to operate on: the one named, or the only one.
    pub(crate) fn target(&self, name: Option<&str>) -> Result<&Arc<Policy>, Error> {
        let error = |text: String| Error::new(ErrorKind::Target, text);
        match name {
            Some(name) => self.policies.get(name).ok_or_else(|| {
                error(format!("Unknown policy {name}")).suggest(self.suggest_policy(name))
            }),
            None => {
                let mut policies = self.policies.values();
                match (policies.next(), policies.next()) {
                    (Some(policy), None) => Ok(policy),
                    (None, _) => Err(error("No policies exist.".to_owned())),
                    _ => {
                        let names: Vec<_> = self.policies.keys().collect();
                        let suggestion = format!("the policies are {}", listed(&names));
                        Err(error("Must choose a policy to operate on".to_owned())
                            .suggest(Some(suggestion)))
                    }
                }
            }
        }
    }

    /// Which policy was perhaps meant by a name that none has.
    pub(crate) fn suggest_policy(&self, name: &str) -> Option<String> {
        let names = self.policies.keys().map(|name| &**name);
        suggest(name, names, |near| format!("did you mean '{near}'?"), "the policies are")
    }

    /// As [`State::suggest_policy`], of those whose tables have named columns.
    pub(crate) fn suggest_datasource(&self, name: &str) -> Option<String> {
        let datasources =
            self.policies.values().filter(|policy| policy.info.kind == PolicyKind::Datasource);
        let names = datasources.map(|policy| &*policy.info.name).filter(|other| *other != name);
        suggest(name, names, |near| format!("did you mean '{near}'?"), "the datasources are")
    }

    /// A policy by name or id.
    pub(crate) fn find(&self, name_or_id: &str) -> Option<&Arc<Policy>> {
        self.policies.get(name_or_id).or_else(|| {
            let mut policies = self.policies.values();
            policies.find(|policy| !name_or_id.is_empty() && &*policy.info.id == name_or_id)
        })
    }

    /// A table of a policy.
    pub(crate) fn table(&self, policy: &str, key: &TableKey) -> Option<&Arc<Table>> {
        self.policies.get(policy)?.tables.get(key)
    }

    /// The words of a ground atom's arguments, by which storage finds it, if all of them are in
    /// the dictionary.
    pub(crate) fn words(&self, atom: &Atom) -> Option<Vec<Word>> {
        atom.args
            .iter()
            .map(|term| match term {
                Term::Constant(constant) => self.dictionary.find_by_value(constant),
                Term::Variable(_) | Term::Aggregate(_) => None,
            })
            .collect()
    }

    /// Whether a statement is stored in a policy: a fact by value, a rule by its heads and its
    /// body whatever their order.
    pub(crate) fn holds(&self, policy: &Policy, statement: &Statement) -> bool {
        match statement {
            Statement::Fact(atom) => {
                let table = policy.tables.get(&TableKey::of_head(atom));
                let relation = table.and_then(|table| table.relation(atom.args.len()));
                match (relation, self.words(atom)) {
                    (Some(relation), Some(row)) => relation.get(&self.dictionary, &row).is_some(),
                    _ => false,
                }
            }
            Statement::Rule(rule) => policy.rule(rule).is_some(),
            Statement::Event(_) => false,
        }
    }
}

impl Policy {
    /// Whether tables get their width from the literals that use them.
    pub(crate) fn learns_widths(&self) -> bool {
        use PolicyKind::{Action, Datasource, Nonrecursive, Z3};
        matches!(self.info.kind, Nonrecursive | Action | Datasource | Z3)
    }

    /// Whether numbers in its tables match by value, not by type and value.
    pub(crate) fn matches_by_value(&self) -> bool {
        matches!(self.info.kind, PolicyKind::Database | PolicyKind::Materialized)
    }

    /// The stored rule that equals a rule.
    pub(crate) fn rule(&self, rule: &Rule) -> Option<&Arc<StoredRule>> {
        let table = self.tables.get(&TableKey::of_head(rule.heads.first()?))?;
        let fingerprint = fingerprint(rule);
        let mut alike = table.rules.iter().filter(|stored| stored.fingerprint == fingerprint);
        alike.find(|stored| same_rule(&stored.rule, rule))
    }

    /// All rules, in the order of insertion.
    pub(crate) fn rules(&self) -> Vec<&Arc<StoredRule>> {
        let mut rules: Vec<_> = self.tables.values().flat_map(|table| &table.rules).collect();
        rules.sort_by_key(|stored| stored.number);
        rules
    }
}

impl Table {
    /// The rows of a width.
    pub(crate) fn relation(&self, width: usize) -> Option<&Arc<Relation>> {
        self.facts.iter().find(|relation| relation.width() == width)
    }

    /// What is stored of a width: facts, and the rows of a view.
    pub(crate) fn stored(&self, width: usize) -> impl Iterator<Item = &Relation> {
        let views = self.views.iter().flatten();
        self.facts
            .iter()
            .chain(views)
            .map(|relation| &**relation)
            .filter(move |relation| relation.width() == width)
    }

    /// Whether rows of a width must be derived when they are wanted.
    pub(crate) fn is_derived(&self, width: usize) -> bool {
        self.views.is_none() && self.rules.iter().any(|rule| rule.program.head.len() == width)
    }

    /// The rows of a width, to be changed.
    pub(crate) fn relation_mut(&mut self, width: usize) -> &mut Relation {
        let at = match self.facts.iter().position(|relation| relation.width() == width) {
            Some(at) => at,
            None => {
                self.facts.push(Arc::new(Relation::new(width)));
                self.facts.len() - 1
            }
        };
        Arc::make_mut(&mut self.facts[at])
    }

    /// How many rows are stored.
    pub(crate) fn rows(&self) -> usize {
        self.facts.iter().map(|relation| relation.len()).sum()
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.views.is_none() && !self.initialized && self.rows() == 0
    }
}

/// A number that is the same for equal rules, whatever the order of their literals.
pub(crate) fn fingerprint(rule: &Rule) -> u64 {
    let sum = |atoms: &[Atom]| {
        atoms.iter().fold(0u64, |sum, atom| {
            let mut hasher = DefaultHasher::new();
            (atom.modal, atom.negated, &atom.policy, &atom.table, atom.args.len())
                .hash(&mut hasher);
            for term in &atom.args {
                match term {
                    Term::Variable(name) => name.hash(&mut hasher),
                    Term::Constant(Constant::Text(text)) => text.hash(&mut hasher),
                    Term::Constant(Constant::Int(int)) => int.hash(&mut hasher),
                    // What tells the rest apart is left to the comparison.
                    Term::Constant(Constant::Float(_)) | Term::Aggregate(_) => {}
                }
            }
            sum.wrapping_add(hasher.finish())
        })
    };
    sum(&rule.heads).rotate_left(1) ^ sum(&rule.body)
}

/// Whether two rules are equal: heads and bodies as multisets, variable names significant.
pub(crate) fn same_rule(a: &Rule, b: &Rule) -> bool {
    same_atoms(&a.heads, &b.heads) && same_atoms(&a.body, &b.body)
}

fn same_atoms(a: &[Atom], b: &[Atom]) -> bool {
    let count = |atoms: &[Atom], wanted: &Atom| atoms.iter().filter(|atom| *atom == wanted).count();
    a.len() == b.len() && a.iter().all(|atom| count(a, atom) == count(b, atom))
}
