//! Rules as the evaluator wants them: variables numbered, constants as words, tables named.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::ast::{Aggregate, AggregateFunction, Atom, Constant, Modal, Rule, Term};
use crate::builtins::Builtin;
use crate::depgraph::{self, Node};
use crate::store::word::Word;

/// A table within its policy. Under a modal the name carries the service's prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TableKey {
    pub(crate) modal: Option<Modal>,
    pub(crate) name: Arc<str>,
}

impl TableKey {
    /// A table without a modal.
    pub(crate) fn plain(name: &Arc<str>) -> Self {
        Self { modal: None, name: name.clone() }
    }

    /// A node of the dependency graph, within its policy.
    pub(crate) fn of_node(node: &Node) -> Self {
        Self { modal: node.modal, name: node.table.clone() }
    }

    /// The table that a head or fact fills in the policy that holds it.
    pub(crate) fn of_head(atom: &Atom) -> Self {
        match atom.modal {
            Some(_) => Self { modal: atom.modal, name: depgraph::modal_table(atom) },
            None => Self::plain(&atom.table),
        }
    }
}

/// An argument: a variable by its number, or a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Arg {
    Variable(u32),
    Constant(Word),
}

/// One literal of a body.
#[derive(Clone, Debug)]
pub(crate) enum Literal {
    /// A table, of the policy named or of the one that holds the rule.
    Table { policy: Option<Arc<str>>, key: TableKey, args: Box<[Arg]>, negated: bool },
    /// A computation.
    Builtin { builtin: &'static Builtin, args: Box<[Arg]>, negated: bool },
    /// `true` or `false`, the sign taken in.
    Truth(bool),
    /// A literal that nothing matches: column references that were never resolved.
    Nothing { negated: bool },
}

/// A body, and the heads' arguments.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The first head's arguments.
    pub(crate) head: Box<[Arg]>,
    pub(crate) body: Box<[Literal]>,
    /// The names of the variables, by number.
    pub(crate) variables: Box<[Arc<str>]>,
    /// What the rule takes together, if it is one with aggregates.
    pub(crate) grouping: Option<Grouping>,
}

/// How a rule with aggregates makes rows of the solutions of its body.
///
/// In [`Program::head`] an aggregate is a variable of its own, which the body does not bind.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    /// The aggregates: column of the head, function, and the variable whose values it takes.
    pub(crate) aggregates: Box<[(u32, AggregateFunction, u32)]>,
    /// The other columns of the head: those by which solutions are grouped.
    pub(crate) columns: Box<[u32]>,
    /// The rule for the groups that there are: its head has the grouping columns only.
    pub(crate) groups: Box<Program>,
    /// The rule for the solutions: its head has the grouping columns, and then the values of all
    /// variables of the body.
    pub(crate) solutions: Box<Program>,
}

impl Grouping {
    /// Whether a column of the head is an aggregate.
    pub(crate) fn is_aggregate(&self, column: u32) -> bool {
        self.aggregates.iter().any(|(at, ..)| *at == column)
    }
}

/// Turns terms into arguments.
pub(crate) struct Compiler<F> {
    word: F,
    variables: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl<F: FnMut(&Constant) -> Word> Compiler<F> {
    /// `word` gives the word of a constant.
    pub(crate) fn new(word: F) -> Self {
        Self { word, variables: Vec::new(), numbers: HashMap::new() }
    }

    fn args(&mut self, terms: &[Term]) -> Box<[Arg]> {
        terms
            .iter()
            .map(|term| match term {
                Term::Constant(constant) => Arg::Constant((self.word)(constant)),
                Term::Variable(name) => Arg::Variable(self.variable(name)),
                // A variable of its own, the name of which no other one can have.
                Term::Aggregate(aggregate) => {
                    self.variables.push(aggregate.to_string().into());
                    Arg::Variable(self.variables.len() as u32 - 1)
                }
            })
            .collect()
    }

    fn variable(&mut self, name: &Arc<str>) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.variables.len() as u32;
        self.variables.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }

    fn literal(&mut self, atom: &Atom) -> Literal {
        let negated = atom.negated;
        if !atom.named.is_empty() {
            return Literal::Nothing { negated };
        }
        if let Some(builtin) = depgraph::builtin(atom) {
            return Literal::Builtin { builtin, args: self.args(&atom.args), negated };
        }
        if depgraph::is_computed(atom) {
            return Literal::Truth((&*atom.table == "true") != negated);
        }
        let (policy, key) = match atom.modal {
            Some(_) => (None, TableKey::of_head(atom)),
            None => (atom.policy.clone(), TableKey::plain(&atom.table)),
        };
        Literal::Table { policy, key, args: self.args(&atom.args), negated }
    }

    /// Compiles a rule. The body is numbered first, so that variables of the heads alone come
    /// last.
    pub(crate) fn rule(self, rule: &Rule) -> Program {
        let head = rule.heads.first().map(|head| &head.args[..]).unwrap_or_default();
        self.parts(head, &rule.body)
    }

    /// Compiles a body and the arguments that it is wanted for.
    pub(crate) fn parts(mut self, head: &[Term], body: &[Atom]) -> Program {
        let body = body.iter().map(|literal| self.literal(literal)).collect();
        let solution = self.variables.len() as u32;
        let aggregates: Box<[_]> = (0..)
            .zip(head)
            .filter_map(|(column, term)| match term {
                Term::Aggregate(Aggregate { function, variable }) => {
                    Some((column, *function, self.variable(variable)))
                }
                Term::Variable(_) | Term::Constant(_) => None,
            })
            .collect();
        let head = self.args(head);
        let program = Program { head, body, variables: self.variables.into(), grouping: None };
        if aggregates.is_empty() {
            return program;
        }
        let is_plain = |column: &u32| aggregates.iter().all(|(at, ..)| at != column);
        let columns: Box<[u32]> = (0..program.head.len() as u32).filter(is_plain).collect();
        let plain: Box<[Arg]> =
            columns.iter().map(|&column| program.head[column as usize]).collect();
        let all = plain.iter().copied().chain((0..solution).map(Arg::Variable)).collect();
        let groups = Box::new(Program { head: plain, ..program.clone() });
        let solutions = Box::new(Program { head: all, ..program.clone() });
        let grouping = Some(Grouping { aggregates, columns, groups, solutions });
        Program { grouping, ..program }
    }
}

impl Program {
    /// The constants, each as often as it stands in the rule.
    pub(crate) fn constants(&self) -> impl Iterator<Item = Word> {
        let body = self.body.iter().flat_map(|literal| match literal {
            Literal::Table { args, .. } | Literal::Builtin { args, .. } => &args[..],
            Literal::Truth(_) | Literal::Nothing { .. } => &[],
        });
        self.head.iter().chain(body).filter_map(|arg| match arg {
            Arg::Constant(word) => Some(*word),
            Arg::Variable(_) => None,
        })
    }
}
