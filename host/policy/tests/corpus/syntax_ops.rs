//! The recorded operations that need a text and no engine: `parse`, `pretty`, `service_name_ok`.
//!
//! The crate root must hold the module `recorded` (tests/common). Each takes the `args` of a step and gives what the step's `ok` holds, or the error's message.

use congress_policy::ast::{Atom, ColumnRef, Constant, Rule, Statement, Term};
use congress_policy::parser::{self, Options};
use congress_policy::{names, print};
use serde_json::{Map, Value, json};

use super::recorded;

/// Whether this module runs `op`.
pub(crate) fn handles(op: &str) -> bool {
    matches!(op, "parse" | "pretty" | "service_name_ok")
}

/// Runs an operation that [`handles`] knows.
pub(crate) fn run(op: &str, args: &Value) -> Result<Value, String> {
    match op {
        "parse" => parse(args),
        "pretty" => print::pretty(text(args, "text")).map(Value::from).map_err(|e| e.to_string()),
        "service_name_ok" => Ok(names::is_valid_policy_name(text(args, "name")).into()),
        _ => panic!("no syntax operation: {op}"),
    }
}

/// What of a syntax error's message is compared: its first line and the place of its first
/// problem.
pub(crate) fn comparable_error(message: &str) -> (String, Option<String>) {
    let mut lines = message.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let place = lines.next().filter(|line| line.starts_with("line:"));
    (first, place.and_then(|line| line.split_whitespace().next()).map(str::to_owned))
}

/// A statement as the corpus writes it, without its printed form.
fn tree(statement: &Statement) -> Value {
    match statement {
        Statement::Fact(fact) => json!({ "atom": atom(fact) }),
        Statement::Rule(r) => rule(r),
        Statement::Event(event) => json!({
            "event": if event.insert { "insert" } else { "delete" },
            "formula": rule(&event.rule),
            "policy": event.policy.as_deref(),
        }),
    }
}

fn text<'a>(args: &'a Value, name: &str) -> &'a str {
    args[name].as_str().unwrap_or_else(|| panic!("no {name} in {args}"))
}

fn parse(args: &Value) -> Result<Value, String> {
    let use_modules = args["use_modules"].as_bool().unwrap_or(true);
    let statements = parser::parse_with(text(args, "text"), Options { use_modules })
        .map_err(|error| error.to_string())?;
    let formulas: Vec<Value> = statements
        .iter()
        .map(|statement| {
            let mut tree = tree(statement);
            tree["text"] = statement.to_string().into();
            tree
        })
        .collect();
    Ok(json!({ "formulas": formulas }))
}

fn rule(rule: &Rule) -> Value {
    let atoms = |atoms: &[Atom]| atoms.iter().map(atom).collect::<Vec<_>>();
    json!({ "heads": atoms(&rule.heads), "body": atoms(&rule.body) })
}

fn atom(atom: &Atom) -> Value {
    let mut tree = Map::new();
    tree.insert("service".to_owned(), atom.policy.as_deref().into());
    tree.insert("table".to_owned(), (&*atom.table).into());
    tree.insert("args".to_owned(), atom.args.iter().map(term).collect());
    if let Some(modal) = atom.modal {
        tree.insert("modal".to_owned(), modal.as_str().into());
    }
    if atom.negated {
        tree.insert("negated".to_owned(), true.into());
    }
    if !atom.named.is_empty() {
        let mut named = atom.named.clone();
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        let column = |column: &ColumnRef| match column {
            ColumnRef::Number(number) => Value::from(*number),
            ColumnRef::Name(name) => (&**name).into(),
        };
        let named = named.iter().map(|(c, t)| json!([column(c), term(t)])).collect();
        tree.insert("named".to_owned(), named);
    }
    tree.into()
}

fn term(term: &Term) -> Value {
    match term {
        Term::Variable(name) => json!({ "var": &**name }),
        Term::Aggregate(aggregate) => json!({ "aggregate": aggregate.to_string() }),
        Term::Constant(value) => {
            let kind = match value {
                Constant::Int(_) => "int",
                Constant::Float(_) => "float",
                Constant::Text(_) => "str",
            };
            json!({ kind: recorded::json(value) })
        }
    }
}
