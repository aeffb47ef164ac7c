//! The recorded operations, carried out on our engine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use congress_policy::ast::{Atom, Constant, Modal, Rule, Span, Statement, Term};
use congress_policy::{
    Applied, Derivation, Detail, Engine, Error, ErrorKind, Errors, Event, Explanation, Limits,
    NewPolicy, Options, Outcome, PolicyKind, References, Simulation, SubpolicyQuery, TableFilter,
    analysis, parser,
};
use congress_table::{Change, Column, Row, TableDelta, TableSchema};
use serde_json::{Value, json};
use time::macros::datetime;

use crate::{recorded, syntax_ops};

/// What a step did.
pub(crate) struct Done {
    pub(crate) result: Result<Value, Failure>,
    pub(crate) executed: Vec<Value>,
    pub(crate) fired: Vec<Value>,
    /// The original's list of changes is its own affair.
    pub(crate) changes_are_internal: bool,
}

/// Why a step did not do what it should.
pub(crate) enum Failure {
    /// The operation was refused: the messages, and the names of the original's error classes.
    Refused(Vec<(&'static str, String)>),
    /// This build has not got it.
    NotBuilt(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Errors::from(error).into()
    }
}

impl From<Errors> for Failure {
    fn from(errors: Errors) -> Self {
        Self::Refused(errors.iter().map(described).collect())
    }
}

fn described(error: &Error) -> (&'static str, String) {
    let class = match error.kind() {
        ErrorKind::IncompleteSchema => "IncompleteSchemaException",
        ErrorKind::NotFound => "NotFound",
        ErrorKind::InUse => "DatasourceNameInUse",
        ErrorKind::DanglingReference => "DanglingReference",
        _ => "PolicyException",
    };
    (class, error.message().to_owned())
}

/// A trigger, and the rows of its table as its changes tell.
struct Trigger {
    id: String,
    modal: Option<Modal>,
    table: String,
    rows: BTreeSet<String>,
}

impl Trigger {
    fn printed(&self, row: &[Constant]) -> String {
        let terms = row.iter().cloned().map(Term::Constant).collect();
        atom(&self.table, self.modal, terms).to_string()
    }
}

/// One scenario's engine.
pub(crate) struct Session {
    engine: Engine,
    outcome: Outcome,
    triggers: Vec<Trigger>,
    /// How many fresh values simulations have made.
    fresh: AtomicU64,
}

impl Session {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
        Self {
            engine: Engine::new(Options { ascii_only_rows: true, clock }),
            outcome: Outcome::default(),
            triggers: Vec::new(),
            fresh: AtomicU64::new(0),
        }
    }

    pub(crate) fn run(&mut self, op: &str, args: &Value) -> Done {
        self.outcome = Outcome::default();
        let result = if syntax_ops::handles(op) {
            let refused = |message| Failure::Refused(vec![("PolicyException", message)]);
            syntax_ops::run(op, args).map_err(refused)
        } else {
            self.operation(op, args)
        };
        let outcome = std::mem::take(&mut self.outcome);
        let executed = outcome.executions.iter().flat_map(|execution| {
            execution.added.iter().map(|row| {
                let args: Vec<Value> = row.iter().map(recorded::json).collect();
                json!({ "service": &*execution.service, "action": &*execution.action, "args": args })
            })
        });
        let executed = executed.collect();
        let mut fired = Vec::new();
        for change in &outcome.fired {
            let trigger = self.triggers.iter_mut().find(|t| t.id == *change.watch).unwrap();
            let old = trigger.rows.clone();
            for row in &change.removed {
                assert!(
                    trigger.rows.remove(&trigger.printed(row)),
                    "a row goes that was not there"
                );
            }
            for row in &change.added {
                assert!(trigger.rows.insert(trigger.printed(row)), "a row comes that was there");
            }
            fired.push(json!({ "trigger": &*trigger.id, "old": old, "new": trigger.rows }));
        }
        let kind = |name: &str| self.engine.policy(name).map(|policy| policy.kind);
        let materialized = args["policy"].as_str().and_then(kind) == Some(PolicyKind::Materialized);
        let changes_are_internal = materialized || op == "theory_update";
        Done { result, fired, executed, changes_are_internal }
    }

    /// The rows that a trigger's table has when it is registered.
    fn register(&mut self, id: &str, policy: Option<&str>, table: &str, modal: Option<Modal>) {
        let (id, table) = (id.to_owned(), table.to_owned());
        let mut trigger = Trigger { id, modal, table, rows: BTreeSet::new() };
        let any = self.engine.policies().first().map(|policy| policy.name.to_string());
        for width in 0..8 {
            let terms = (0..width).map(|at| Term::Variable(format!("x{at}").into())).collect();
            let query = atom(&trigger.table, modal, terms).to_string();
            let policy = policy.or(any.as_deref());
            let answers = self.engine.snapshot().select(&query, policy).unwrap();
            trigger.rows.extend(answers.statements().map(|answer| answer.to_string()));
        }
        self.triggers.push(trigger);
    }

    fn operation(&mut self, op: &str, args: &Value) -> Result<Value, Failure> {
        let text = |name: &str| args[name].as_str();
        let named = |name: &str| text(name).unwrap_or_default();
        let policy = text("policy");
        let snapshot = self.engine.snapshot();
        Ok(match op {
            "reorder" => {
                let rule = rule_of(named("text"))?;
                analysis::reorder(&rule)?.to_string().into()
            }
            "recursive" => analysis::is_recursive(&rules_of(named("text"))?).into(),
            "stratify" => match analysis::strata(&rules_of(named("text"))?) {
                Some(strata) => json!(strata),
                None => Value::Null,
            },
            "expand_columns" => {
                let rule = Statement::Rule(rule_of(named("text"))?);
                snapshot.expand(&rule, policy)?.to_string().into()
            }
            "create_policy" => self.create_policy(args)?,
            "delete_policy" => {
                let references = match args["disallow_dangling_refs"].as_bool() {
                    Some(true) => References::Refuse,
                    _ => References::Dangle,
                };
                self.outcome = self.engine.delete_policy(named("name"), references)?;
                Value::Null
            }
            "rename_policy" => {
                self.engine.rename_policy(named("old"), named("new"))?;
                Value::Null
            }
            "policy_names" => {
                let names: Vec<String> =
                    self.engine.policies().iter().map(|policy| policy.name.to_string()).collect();
                json!(names)
            }
            "policy_type" => match self.engine.policy(named("name")) {
                Some(policy) => policy.kind.as_str().into(),
                None => {
                    let text =
                        format!("Policy with name {} and id None does not exist", named("name"));
                    return Err(Failure::Refused(vec![("KeyError", text)]));
                }
            },
            "set_schema" => {
                let complete = args["complete"].as_bool().unwrap_or(false);
                let schema = schema(&args["schema"]);
                self.outcome = self.engine.declare_tables(named("name"), &schema, complete)?;
                Value::Null
            }
            "initialize_datasource" => {
                let schema = schema(&args["schema"]);
                self.outcome = self.engine.initialize_datasource(named("name"), &schema)?;
                Value::Null
            }
            "insert" | "delete" => {
                let events = Event::parse(named("text"), op == "insert", policy)?;
                self.update(&events)?
            }
            "insert_row" | "delete_row" => {
                let values = args["values"].as_array().unwrap();
                let terms = values.iter().map(|v| Term::Constant(recorded::constant(v))).collect();
                let event = Event {
                    statement: Statement::Fact(atom(named("table"), None, terms)),
                    insert: op == "insert_row",
                    policy: policy.map(Into::into),
                    source: "".into(),
                };
                self.update(&[event])?
            }
            "theory_update" => {
                let mut events = Vec::new();
                for event in args["events"].as_array().unwrap() {
                    let insert = event["insert"].as_bool().unwrap();
                    events.extend(Event::parse(event["text"].as_str().unwrap(), insert, policy)?);
                }
                self.outcome = self.engine.update_recursive(events)?;
                let changes = self.outcome.changes.iter().map(ToString::to_string);
                json!(changes.collect::<Vec<_>>())
            }
            "update" => {
                let mut events = Vec::new();
                for event in args["events"].as_array().unwrap() {
                    let target = event["policy"].as_str().or(policy);
                    let insert = event["insert"].as_bool().unwrap();
                    events.extend(Event::parse(event["text"].as_str().unwrap(), insert, target)?);
                }
                self.update(&events)?
            }
            "initialize_tables" => {
                let tables = args["tables"].as_array().unwrap().iter().map(|table| {
                    let table = table.as_str().unwrap();
                    (table.into(), rows(&args["rows"][table]))
                });
                let tables: Vec<(Arc<str>, Vec<Row>)> = tables.collect();
                self.outcome = self.engine.initialize_tables(named("policy"), &tables)?;
                Value::Null
            }
            "receive_data" => {
                self.receive(args)?;
                Value::Null
            }
            "select" => {
                let query = named("query");
                let (answers, trace) = match args["trace"].as_bool() {
                    Some(true) => {
                        let (answers, trace) = snapshot.trace(query, policy, Limits::default())?;
                        (answers, Some(trace))
                    }
                    _ => (snapshot.select(query, policy)?, None),
                };
                let mut printed: Vec<String> =
                    answers.statements().map(|statement| statement.to_string()).collect();
                printed.sort();
                let rows: Vec<Value> = answers.rows().map(|row| json_row(&row)).collect();
                json!({ "answers": printed, "rows": rows, "trace": trace })
            }
            "content" => json!(printed(snapshot.content(policy)?)),
            "rules" => json!(printed(snapshot.rules(policy)?)),
            "row_data" => {
                let (policy, table) = (named("policy"), named("table"));
                let (rows, trace) = match args["trace"].as_bool() {
                    Some(true) => {
                        let limits = Limits::default();
                        let (rows, trace) = snapshot.trace_rows(policy, table, limits)?;
                        (rows, Some(trace))
                    }
                    _ => (snapshot.rows(policy, table)?, None),
                };
                let rows: Vec<Value> = rows.iter().map(|row| json_row(row)).collect();
                json!({ "rows": rows, "trace": trace })
            }
            "simulate" => {
                let flag = |name: &str| args[name].as_bool() == Some(true);
                let simulation = Simulation {
                    query: named("query"),
                    policy,
                    sequence: named("sequence"),
                    action_policy: text("action_policy"),
                    delta: flag("delta"),
                    trace: flag("trace"),
                    fresh: &|| format!("fresh-{}", self.fresh.fetch_add(1, Ordering::Relaxed)),
                };
                let found = snapshot.simulate(&simulation, Limits::default())?;
                json!({ "result": printed(found.answers.statements()), "trace": found.trace })
            }
            "find_subpolicy" => {
                let tables = |name: &str| -> Vec<&str> {
                    args[name].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect()
                };
                let (required, prohibited, output) =
                    (tables("required"), tables("prohibited"), tables("output"));
                let query = SubpolicyQuery {
                    required: &required,
                    prohibited: &prohibited,
                    output: &output,
                };
                json!(printed(snapshot.find_subpolicy(query, policy)?))
            }
            "explain" => {
                let (detail, limits) = (Detail::default(), Limits::default());
                match snapshot.explain(named("query"), policy, detail, limits)? {
                    Explanation::Holds(derivation) => json!([proof(&derivation, 0, 0)]),
                    Explanation::Absent(_) => Value::Null,
                }
            }
            "abduce" => {
                let tables = args["tables"].as_array().unwrap();
                let tables: Vec<&str> =
                    tables.iter().map(|table| table.as_str().unwrap()).collect();
                json!(printed(snapshot.abduce(named("query"), &tables, policy)?))
            }
            "tablenames" => {
                let flag = |name: &str| args[name].as_bool();
                let filter = TableFilter {
                    body_only: flag("body_only").unwrap_or(false),
                    builtins: flag("include_builtin").unwrap_or(false),
                    modals: flag("include_modal").unwrap_or(true),
                };
                json!(snapshot.tablenames(policy, filter).unwrap_or_default())
            }
            "get_tablenames" => json!(snapshot.tablenames(policy, TableFilter::default())),
            "get_tablename" => {
                let names = snapshot.tablenames(policy, TableFilter::default());
                json!(names.into_iter().flatten().find(|name| name == named("table")))
            }
            "consequences" => json!(self.consequences(named("policy"), args)?),
            "arity" => json!(snapshot.arity(named("policy"), named("table"), modal(args))),
            "register_trigger" => {
                let (id, table) = (named("id"), named("table"));
                self.engine.watch(id, policy, table, modal(args))?;
                self.register(id, policy, table, modal(args));
                Value::Null
            }
            "unregister_trigger" => {
                self.engine.unwatch(named("id"));
                Value::Null
            }
            "error_events" => {
                let list = |wrong: bool| {
                    let kept = self.engine.waiting().iter();
                    let kept = kept.filter(|waiting| waiting.errors.is_empty() != wrong);
                    kept.map(|waiting| waiting.event.statement.to_string()).collect::<Vec<_>>()
                };
                json!({ "disabled": list(false), "error": list(true) })
            }
            _ => return Err(Failure::NotBuilt(format!("operation {op}"))),
        })
    }

    /// All rows of all tables of a policy, or of those that end in `+` or `-`.
    fn consequences(&self, policy: &str, args: &Value) -> Result<Vec<String>, Failure> {
        let snapshot = self.engine.snapshot();
        let only_updates = args["only_updates"].as_bool() == Some(true);
        let mut printed = Vec::new();
        let names = snapshot.tablenames(Some(policy), TableFilter::default()).unwrap();
        for table in names.iter().filter(|name| !only_updates || name.ends_with(['+', '-'])) {
            for row in snapshot.rows(policy, table)? {
                let terms = row.into_iter().map(Term::Constant).collect();
                printed.push(atom(table, None, terms).to_string());
            }
        }
        Ok(printed)
    }

    fn create_policy(&mut self, args: &Value) -> Result<Value, Failure> {
        let text = |name: &str| args[name].as_str().map(str::to_owned);
        let name = text("name").unwrap();
        let kind: PolicyKind = match &args["kind"] {
            Value::String(kind) => kind.parse()?,
            _ => PolicyKind::default(),
        };
        let new = NewPolicy {
            name,
            id: text("id").unwrap_or_default(),
            kind,
            abbreviation: text("abbr"),
            description: text("desc").unwrap_or_default(),
        };
        let info = self.engine.create_policy(new)?;
        Ok(json!({
            "name": &*info.name, "kind": info.kind.as_str(), "abbr": &*info.abbreviation,
        }))
    }

    fn update(&mut self, events: &[Event]) -> Result<Value, Failure> {
        let checked = self.engine.check(events);
        match self.engine.update(events.to_vec()) {
            Ok(outcome) => {
                // What waits here is refused by `check`; all else must agree.
                assert!(checked.is_ok() || outcome.waiting > 0, "{checked:?}");
                let changes: Vec<String> = outcome.changes.iter().map(Applied::to_string).collect();
                self.outcome = outcome;
                Ok(json!({ "permitted": true, "changes": changes }))
            }
            Err(errors) => {
                assert!(checked.is_err(), "{errors:?}");
                let errors: Vec<Value> = errors
                    .iter()
                    .map(described)
                    .map(|(class, message)| json!({ "class": class, "message": message }))
                    .collect();
                Ok(json!({ "permitted": false, "errors": errors }))
            }
        }
    }

    fn receive(&mut self, args: &Value) -> Result<(), Failure> {
        let (publisher, table) =
            (args["publisher"].as_str().unwrap(), args["table"].as_str().unwrap());
        self.outcome = if args["rows"].is_array() {
            let tables = [(table.into(), rows(&args["rows"]))];
            self.engine.initialize_tables(publisher, &tables)?
        } else {
            let delta = TableDelta { added: rows(&args["add"]), removed: rows(&args["remove"]) };
            let change = Change { tables: vec![(table.into(), delta)] };
            self.engine.apply_change(publisher, &change)?
        };
        Ok(())
    }
}

/// A derivation as the original writes it: a line for each literal, indented by its depth.
fn proof(derivation: &Derivation, step: usize, depth: usize) -> String {
    let step = derivation.step(step).unwrap();
    let mut text = format!("{:depth$}{}\n", "", step.literal);
    for premise in &step.premises {
        text.push_str(&proof(derivation, *premise, depth + 1));
    }
    text
}

fn rules_of(text: &str) -> Result<Vec<Rule>, Failure> {
    let statements = parser::parse(text)
        .map_err(|error| Failure::Refused(vec![("PolicyException", error.to_string())]))?;
    let rules = statements.into_iter().filter_map(|statement| match statement {
        Statement::Rule(rule) => Some(rule),
        _ => None,
    });
    Ok(rules.collect())
}

fn rule_of(text: &str) -> Result<Rule, Failure> {
    Ok(rules_of(text)?.into_iter().next().unwrap_or_else(|| panic!("no rule: {text}")))
}

fn modal(args: &Value) -> Option<Modal> {
    match args["modal"].as_str()? {
        "execute" => Some(Modal::Execute),
        "insert" => Some(Modal::Insert),
        "delete" => Some(Modal::Delete),
        other => panic!("no modal: {other}"),
    }
}

fn atom(table: &str, modal: Option<Modal>, args: Vec<Term>) -> Atom {
    let (policy, table) = match table.split_once(':') {
        Some((policy, table)) => (Some(policy.into()), table),
        None => (None, table),
    };
    Atom {
        modal,
        negated: false,
        policy,
        table: table.into(),
        args,
        named: Vec::new(),
        span: Span::default(),
    }
}

fn schema(tables: &Value) -> Vec<TableSchema> {
    let column = |column: &Value| Column {
        name: column.as_str().or(column["name"].as_str()).unwrap().to_owned(),
        description: None,
        column_type: Default::default(),
        nullable: false,
    };
    let tables = tables.as_object().unwrap().iter().map(|(name, columns)| TableSchema {
        name: name.clone(),
        columns: columns.as_array().unwrap().iter().map(column).collect(),
        root: None,
    });
    tables.collect()
}

fn rows(rows: &Value) -> Vec<Row> {
    use congress_table::Value as Cell;
    let cell = |value: &Value| match value {
        Value::Null => Cell::Null,
        Value::Bool(bool) => Cell::Bool(*bool),
        Value::Object(object) if object.contains_key("bool") => {
            Cell::Bool(object["bool"].as_bool().unwrap())
        }
        value => match recorded::constant(value) {
            Constant::Int(int) => Cell::Int(i64::try_from(int).unwrap()),
            Constant::Float(float) => Cell::Float(float),
            Constant::Text(text) => Cell::Text(text.into()),
        },
    };
    let rows = rows.as_array().into_iter().flatten();
    rows.map(|row| row.as_array().unwrap().iter().map(cell).collect()).collect()
}

fn json_row(row: &[Constant]) -> Value {
    row.iter().map(recorded::json).collect()
}

fn printed(statements: Vec<Statement>) -> Vec<String> {
    let mut printed: Vec<String> = statements.iter().map(ToString::to_string).collect();
    printed.sort();
    printed
}
