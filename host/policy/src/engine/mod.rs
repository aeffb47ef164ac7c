//! The engine: policies, and the batches that change them.

pub(crate) mod apply;
pub(crate) mod batch;
mod datasources;
mod executes;
mod facts;
mod feeds;
mod policies;
mod types;
mod views;
mod waiting;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use congress_table::{Change, Row, TableSchema};

use crate::depgraph::{DependencyGraph, Node};
use crate::error::{Error, Errors};
use crate::policy::{NewPolicy, PolicyInfo, PolicyKind};
use crate::snapshot::{Latest, Snapshot};
use crate::state::State;
use crate::store::dictionary::Dictionary;
use crate::store::interner::Counts;

pub use executes::{ExecuteTable, Told};
pub use types::{
    Applied, Event, Execution, Fired, Options, Outcome, References, Subscription, Waiting,
};

/// A policy engine.
///
/// One writer changes it through `&mut self`; any number of readers work on a [`Snapshot`],
/// which is cheap to take and never waits for the writer. No operation blocks or does I/O.
pub struct Engine {
    options: Options,
    state: Arc<State>,
    counts: Counts,
    graph: DependencyGraph,
    waiting: Vec<Waiting>,
    watches: BTreeMap<Arc<str>, Node>,
    /// The same by table.
    watched: HashMap<Node, Vec<Arc<str>>>,
    /// `execute[…]` heads, and how many rules have them.
    executed: BTreeMap<Node, usize>,
    next_rule: u64,
    views: views::Views,
    /// What a change has done to stored rows so far, if anybody wants to know.
    journal: Option<views::deltas::Journal>,
    subscriptions_version: u64,
    /// What changes did to watched and `execute[…]` tables, if somebody wants it kept.
    told: Option<Told>,
    /// Where readers find the latest state; none until somebody asks for it.
    latest: Option<Latest>,
}

impl Engine {
    /// An engine without policies.
    pub fn new(options: Options) -> Self {
        let state = State {
            dictionary: Dictionary::new(),
            policies: BTreeMap::new(),
            policies_version: 0,
            components: Arc::default(),
            recursion_allowed: false,
            clock: options.clock.clone(),
        };
        Self {
            options,
            state: Arc::new(state),
            counts: Counts::default(),
            graph: DependencyGraph::default(),
            waiting: Vec::new(),
            watches: BTreeMap::new(),
            watched: HashMap::new(),
            executed: BTreeMap::new(),
            next_rule: 0,
            views: views::Views::default(),
            journal: None,
            subscriptions_version: 0,
            told: None,
            latest: None,
        }
    }

    /// The state as it is now, for any number of readers.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.state.clone())
    }

    /// A handle on the latest state for threads that must not wait for the engine, however long a
    /// change takes. From then on each change keeps the state before it until it is complete.
    pub fn latest(&mut self) -> Latest {
        let snapshot = self.snapshot();
        self.latest.get_or_insert_with(|| Latest::new(snapshot)).clone()
    }

    /// Shows readers the state after a change.
    fn publish<T>(&self, result: T) -> T {
        if let Some(latest) = &self.latest {
            latest.set(self.snapshot());
        }
        result
    }

    /// All policies, by name.
    pub fn policies(&self) -> Vec<PolicyInfo> {
        self.state.policies.values().map(|policy| policy.info.clone()).collect()
    }

    /// A policy by name or id.
    pub fn policy(&self, name_or_id: &str) -> Option<PolicyInfo> {
        self.state.find(name_or_id).map(|policy| policy.info.clone())
    }

    /// Creates a policy.
    ///
    /// # Errors
    ///
    /// The name is taken.
    pub fn create_policy(&mut self, policy: NewPolicy) -> Result<PolicyInfo, Error> {
        let result = self.create(policy);
        self.publish(result)
    }

    /// Deletes a policy, by name or id, with all that it holds.
    ///
    /// # Errors
    ///
    /// There is no such policy, or other rules refer to it and `references` refuses that.
    pub fn delete_policy(
        &mut self,
        name_or_id: &str,
        references: References,
    ) -> Result<Outcome, Error> {
        let result = self.drop_policy(name_or_id, references);
        self.publish(result)
    }

    /// Changes what a policy says of itself. Its rules and rows stay as they are.
    ///
    /// # Errors
    ///
    /// There is no such policy.
    pub fn describe_policy(
        &mut self,
        name: &str,
        abbreviation: &str,
        description: &str,
    ) -> Result<PolicyInfo, Error> {
        let result = self.describe(name, abbreviation, description);
        self.publish(result)
    }

    /// Gives a policy another name. Rules that name the old one find nothing from then on.
    ///
    /// # Errors
    ///
    /// There is no such policy, the new name is taken, or rules would become recursive.
    pub fn rename_policy(&mut self, old: &str, new: &str) -> Result<Outcome, Error> {
        let result = self.rename(old, new);
        self.publish(result)
    }

    /// Creates a datasource policy with its declared tables. Statements that waited for it take
    /// effect.
    ///
    /// A rule may read a table by position that is not among them, as the original has it: it
    /// finds nothing, and [`Snapshot::warnings`](crate::Snapshot::warnings) says so.
    ///
    /// # Errors
    ///
    /// The name is taken.
    pub fn initialize_datasource(
        &mut self,
        name: &str,
        tables: &[TableSchema],
    ) -> Result<Outcome, Error> {
        let result = self.add_datasource(name, tables);
        self.publish(result)
    }

    /// Removes a datasource policy and its rows. Rules that read it stay and find nothing.
    ///
    /// # Errors
    ///
    /// There is no such datasource.
    pub fn remove_datasource(&mut self, name: &str) -> Result<Outcome, Error> {
        match self.state.policies.get(name) {
            Some(policy) if policy.info.kind == PolicyKind::Datasource => {
                let result = self.drop_policy(name, References::Dangle);
                self.publish(result)
            }
            _ => Err(Error::not_found(format!("Datasource {name} could not be found"))),
        }
    }

    /// Declares the tables of a datasource policy that has none yet; see
    /// [`Engine::initialize_datasource`]. A `complete` schema admits no other tables.
    ///
    /// # Errors
    ///
    /// There is no such policy, or its tables have been declared already.
    pub fn declare_tables(
        &mut self,
        name: &str,
        tables: &[TableSchema],
        complete: bool,
    ) -> Result<Outcome, Error> {
        let result = self.declare(name, tables, complete);
        self.publish(result)
    }

    /// Declares the tables of a datasource policy anew, and gives some of them their rows, as one
    /// change: for a datasource whose driver is another one now. Other tables of it are gone.
    ///
    /// Tables whose number of columns has changed lose the rows that they had. Rules that read a
    /// table whose columns have changed are checked again as they were given: those with columns
    /// by name go on with the columns of these names. One that does not fit any more goes, and is
    /// kept with its errors ([`Engine::waiting`]) until a schema comes that it fits. Rules by
    /// position over a table that is gone stay, and find nothing.
    ///
    /// # Errors
    ///
    /// There is no such policy, or a row is not as wide as its table. Nothing has changed then.
    pub fn redeclare_tables(
        &mut self,
        name: &str,
        tables: &[TableSchema],
        rows: &[(Arc<str>, Vec<Row>)],
    ) -> Result<Outcome, Errors> {
        let result = self.redeclare(name, tables, rows);
        self.publish(result)
    }

    /// Checks a batch as [`Engine::update`] would, and leaves everything as it was.
    ///
    /// A statement whose schema is not known is refused here (the API's rules may not wait),
    /// while `update` sets it aside. On success: the changes that the batch would make; empty if
    /// all of it is there (or gone) already.
    ///
    /// # Errors
    ///
    /// Every refusal of every statement.
    pub fn check(&mut self, events: &[Event]) -> Result<Vec<Applied>, Errors> {
        self.check_batch(events)
    }

    /// Applies a batch: all of it or, if any statement is refused, nothing.
    ///
    /// # Errors
    ///
    /// Every refusal of every statement.
    pub fn update(&mut self, events: Vec<Event>) -> Result<Outcome, Errors> {
        let result = match self.insert_facts(events) {
            Ok(outcome) => Ok(outcome),
            Err(events) => self.update_batch(&events, false),
        };
        self.publish(result)
    }

    /// [`Engine::update`] that lets rules of any policy depend on themselves, though not through
    /// a negation.
    ///
    /// # Errors
    ///
    /// As for `update`.
    pub fn update_recursive(&mut self, events: Vec<Event>) -> Result<Outcome, Errors> {
        let result = self.update_batch(&events, true);
        self.publish(result)
    }

    /// Sets the most rows that are evaluated or kept for a view (see [`Engine::watch`]), at first
    /// five million, and with it how many combinations of rows are looked at for them, sixty times
    /// as many. A table with more has none: it is told of in [`Outcome::overflowed`], and queries
    /// evaluate it within limits of their own.
    pub fn limit_views(&mut self, rows: usize) {
        self.views.limit(rows);
    }

    /// The tables, as policy and table, that are watched or below such and have no view because
    /// they have too many rows, or cost too much; see [`Engine::limit_views`]. In no order.
    pub fn overflowed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.views.overflowed().map(|node| (&*node.policy, &*node.table))
    }

    /// Whether rules of policies of every kind may depend on themselves from now on. At first
    /// only those of kind z3 may. Never through a negation.
    pub fn allow_recursion(&mut self, allowed: bool) {
        Arc::make_mut(&mut self.state).recursion_allowed = allowed;
        self.publish(());
    }

    /// Inserts all statements of a text as one batch.
    ///
    /// # Errors
    ///
    /// The text does not parse, or any statement is refused.
    pub fn insert(&mut self, text: &str, policy: Option<&str>) -> Result<Outcome, Errors> {
        self.update(Event::parse(text, true, policy)?)
    }

    /// Deletes all statements of a text as one batch.
    ///
    /// # Errors
    ///
    /// As for [`Engine::insert`].
    pub fn delete(&mut self, text: &str, policy: Option<&str>) -> Result<Outcome, Errors> {
        self.update(Event::parse(text, false, policy)?)
    }

    /// Empties each of the tables, rules that define it included, and stores these rows. Rows of
    /// several widths may stand in one table.
    ///
    /// # Errors
    ///
    /// There is no such policy, or its kind takes no tables.
    pub fn initialize_tables(
        &mut self,
        policy: &str,
        tables: &[(Arc<str>, Vec<Row>)],
    ) -> Result<Outcome, Errors> {
        let result = self.replace_tables(policy, tables);
        self.publish(result)
    }

    /// Applies rows that came and went, as one batch: removals first. Costs the size of the
    /// change. A table that the change mentions is known from then on.
    ///
    /// # Errors
    ///
    /// There is no such policy, its kind takes no tables, or a row has not its table's width;
    /// nothing is changed then.
    pub fn apply_change(&mut self, policy: &str, change: &Change) -> Result<Outcome, Errors> {
        self.apply_change_replacing(policy, change, &BTreeSet::new())
    }

    /// As [`Engine::apply_change`], but of some tables the change has all rows: what it adds takes
    /// the place of whatever they had. For tables whose publisher has begun anew.
    ///
    /// # Errors
    ///
    /// As for [`Engine::apply_change`].
    pub fn apply_change_replacing(
        &mut self,
        policy: &str,
        change: &Change,
        whole: &BTreeSet<Arc<str>>,
    ) -> Result<Outcome, Errors> {
        let result = self.apply_rows(policy, change, whole);
        self.publish(result)
    }

    /// The tables that occur in rule bodies and belong to a datasource policy or to no policy,
    /// sorted.
    pub fn subscriptions(&self) -> Vec<Subscription> {
        let fed = |node: &&Node| {
            let owner = self.state.policies.get(&node.policy);
            owner.is_none_or(|policy| policy.info.kind == PolicyKind::Datasource)
        };
        let tables = self.graph.bodies().filter(fed);
        let mut list: Vec<Subscription> = tables
            .map(|node| Subscription { service: node.policy.clone(), table: node.table.clone() })
            .collect();
        list.sort();
        list
    }

    /// Changes whenever [`Engine::subscriptions`] may have changed.
    pub fn subscriptions_version(&self) -> u64 {
        self.subscriptions_version
    }

    /// Statements that wait for a schema (no errors), and those found wrong when it came.
    pub fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    /// Watches a table: whenever a change of the engine changes its rows, the outcome says so
    /// under this name. `table` may name another policy; `execute[…]` tables are watched with
    /// `modal`, their service before the action.
    ///
    /// While it is watched, the table's rows and those of the tables that it depends on are kept and
    /// follow each change at a cost that depends on the change; reading them costs no evaluation.
    /// Only tables whose rules ask for the time are evaluated before and after instead.
    ///
    /// # Errors
    ///
    /// There is no such policy.
    pub fn watch(
        &mut self,
        name: &str,
        policy: Option<&str>,
        table: &str,
        modal: Option<crate::ast::Modal>,
    ) -> Result<(), Error> {
        let result = self.add_watch(name, policy, table, modal);
        self.publish(result)
    }

    /// Ends a watch. False if there is none of that name.
    pub fn unwatch(&mut self, name: &str) -> bool {
        let node = self.watches.remove(name);
        if let Some(names) = node.as_ref().and_then(|node| self.watched.get_mut(node)) {
            names.retain(|other| **other != *name);
        }
        self.watched.retain(|_, names| !names.is_empty());
        // With the next change its view goes.
        self.views.outdate();
        node.is_some()
    }
}
