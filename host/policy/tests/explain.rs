//! Explanations: each step of a derivation follows from its premises, none from itself; each
//! literal at which a rule is said to fail does fail, and those before it do not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use congress_policy::ast::{Atom, Constant, Rule, Statement, Term};
use congress_policy::{
    Derivation, Detail, Engine, ErrorKind, Explanation, Failure, Limits, NewPolicy, Obstacle,
    Options, PolicyKind, Reason, Snapshot,
};
use proptest::prelude::*;
use time::macros::datetime;

fn engine(policies: &[(&str, PolicyKind, &str)]) -> Engine {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    for (name, kind, text) in policies {
        engine.create_policy(NewPolicy::new(*name, *kind)).unwrap();
        engine.insert(text, Some(name)).unwrap();
    }
    engine
}

fn explain(snapshot: &Snapshot, atom: &str, policy: &str) -> Explanation {
    let explained = snapshot.explain(atom, Some(policy), Detail::default(), Limits::default());
    explained.unwrap_or_else(|error| panic!("{atom}: {error}"))
}

fn holds(snapshot: &Snapshot, atom: &Atom, policy: &str) -> bool {
    let atom = Atom { negated: false, ..atom.clone() };
    !snapshot.select(&atom.to_string(), Some(policy)).unwrap().is_empty()
}

/// Extends the bindings so that the atom's terms are the values.
fn unify(terms: &[Term], ground: &[Term], bindings: &mut HashMap<Arc<str>, Constant>) -> bool {
    terms.len() == ground.len()
        && terms.iter().zip(ground).all(|pair| match pair {
            (Term::Constant(a), Term::Constant(b)) => a == b,
            (Term::Variable(name), Term::Constant(b)) => {
                bindings.entry(name.clone()).or_insert_with(|| b.clone()) == b
            }
            // What an aggregate gives is not told by one solution.
            (Term::Aggregate(_), Term::Constant(_)) => true,
            (_, Term::Variable(_) | Term::Aggregate(_)) => false,
        })
}

/// Checks every step, and that none depends on itself.
fn check(snapshot: &Snapshot, derivation: &Derivation, asked_in: &str) {
    let root = derivation.root().unwrap();
    assert!(holds(snapshot, &root.literal, asked_in), "{}", root.literal);
    // The premises of a row come to lie above it, so a row that is open again depends on itself.
    let mut state = vec![0; derivation.steps().len()];
    let mut todo = vec![(0, false)];
    while let Some((number, done)) = todo.pop() {
        if done {
            state[number] = 2;
            continue;
        }
        if state[number] == 2 {
            continue;
        }
        assert_eq!(state[number], 0, "a row follows from itself:\n{derivation}");
        state[number] = 1;
        todo.push((number, true));
        let step = derivation.step(number).unwrap();
        for &premise in &step.premises {
            assert_ne!(state[premise], 1, "a row follows from itself:\n{derivation}");
            if state[premise] == 0 {
                todo.push((premise, false));
            }
        }
        let plain = Atom { policy: None, ..step.literal.clone() };
        match &step.reason {
            Reason::Fact => {
                let content = snapshot.content(Some(&step.policy)).unwrap();
                assert!(content.contains(&Statement::Fact(plain)), "no fact:\n{derivation}");
            }
            Reason::Rule { rule, number } => {
                let rules = snapshot.rules(Some(&step.policy)).unwrap();
                assert_eq!(rules[number - 1], Statement::Rule(rule.clone()));
                let mut bindings = HashMap::new();
                assert_eq!(rule.heads[0].table, step.literal.table);
                let mut fits = unify(&rule.heads[0].args, &step.literal.args, &mut bindings);
                assert_eq!(rule.body.len(), step.premises.len());
                for (literal, &premise) in rule.body.iter().zip(&step.premises) {
                    let premise = &derivation.step(premise).unwrap().literal;
                    fits &= (&literal.policy, &literal.table, literal.negated)
                        == (&premise.policy, &premise.table, premise.negated);
                    fits &= unify(&literal.args, &premise.args, &mut bindings);
                }
                assert!(fits, "{rule} does not give {}:\n{derivation}", step.literal);
            }
            Reason::NoRow => {
                assert!(step.literal.negated && !holds(snapshot, &step.literal, &step.policy));
            }
            Reason::Computed => {
                assert_ne!(holds(snapshot, &step.literal, &step.policy), step.literal.negated);
            }
            Reason::Truth => assert_eq!(&*step.literal.table, "true"),
            Reason::Cut => panic!("cut:\n{derivation}"),
        }
    }
}

fn conjunction(body: &[Atom], bindings: &[(Arc<str>, Constant)]) -> String {
    let value = |term: &Term| match term {
        Term::Variable(name) => bindings
            .iter()
            .find(|(other, _)| other == name)
            .map_or(term.clone(), |(_, value)| Term::Constant(value.clone())),
        Term::Constant(_) | Term::Aggregate(_) => term.clone(),
    };
    let body: Vec<String> = body
        .iter()
        .map(|atom| Atom { args: atom.args.iter().map(value).collect(), ..atom.clone() })
        .map(|atom| atom.to_string())
        .collect();
    format!("ans() :- true, {}", body.join(", "))
}

/// Checks that each rule fails where it is said to fail.
fn check_absence(snapshot: &Snapshot, explanation: &Explanation, row: &[Constant], policy: &str) {
    let Explanation::Absent(absence) = explanation else {
        panic!("not absent: {explanation}");
    };
    let any = |body: &[Atom], bindings: &[(Arc<str>, Constant)]| {
        let query = conjunction(body, bindings);
        !snapshot.select(&query, Some(policy)).unwrap().is_empty()
    };
    for attempt in &absence.rules {
        let Rule { heads, body, .. } = &attempt.rule;
        match &attempt.failure {
            Failure::Width => assert_ne!(heads[0].args.len(), row.len()),
            Failure::Head { column, given, asked } => {
                assert_eq!(&row[*column], asked);
                assert_ne!(given, asked);
                let mut bindings = HashMap::new();
                let ground: Vec<Term> = row.iter().cloned().map(Term::Constant).collect();
                assert!(!unify(&heads[0].args, &ground, &mut bindings));
            }
            Failure::Body { literal, near_misses } => {
                assert!(!near_misses.is_empty());
                for miss in near_misses {
                    // What fails, fails; what comes before holds.
                    assert!(!any(std::slice::from_ref(&miss.literal), &[]), "{explanation}");
                    assert!(
                        *literal == 0 || any(&body[..*literal], &miss.bindings),
                        "{explanation}"
                    );
                    assert!(!any(&body[..=*literal], &miss.bindings), "{explanation}");
                    assert_eq!(miss.literal.negated, miss.obstacle == Obstacle::Holds);
                }
            }
            Failure::Unequal | Failure::NoResult { .. } => panic!("{explanation}"),
        }
    }
}

const TABLES: [(&str, usize); 6] = [("e", 2), ("f", 1), ("p", 2), ("q", 1), ("r", 2), ("s", 1)];
/// From here on tables have rules; those of a layer read all tables in a recursive program.
const DERIVED: usize = 2;
const VALUES: [&str; 5] = ["0", "1", "1.0", "\"1\"", "2"];
const VARIABLES: [&str; 3] = ["x", "y", "z"];

fn term() -> impl Strategy<Value = String> {
    prop_oneof![
        5 => prop::sample::select(&VARIABLES[..]).prop_map(str::to_owned),
        1 => prop::sample::select(&VALUES[..]).prop_map(str::to_owned),
    ]
}

/// A literal over the first tables. In a recursive program positive ones are over all.
fn literal(layer: usize, recursive: bool) -> impl Strategy<Value = String> {
    let positive = if recursive { TABLES.len() } else { layer };
    let terms = || prop::collection::vec(term(), 2);
    let atom = |table: usize, terms: &[String]| {
        let (name, width) = TABLES[table];
        format!("{name}({})", terms[..width].join(", "))
    };
    prop_oneof![
        6 => (0..positive, terms()).prop_map(move |(table, terms)| atom(table, &terms)),
        1 => (0..DERIVED, terms()).prop_map(move |(table, terms)| format!("not {}", atom(table, &terms))),
        1 => (term(), term(), 0..3usize).prop_map(|(a, b, which)| match which {
            0 => format!("lt({a}, {b})"),
            // Bounded, for a recursion must end.
            1 => format!("lt({a}, 3), plus({a}, 1, {b})"),
            _ => format!("not equal({a}, {b})"),
        }),
    ]
}

fn statement(recursive: bool) -> impl Strategy<Value = String> {
    let fact = (0..DERIVED, prop::collection::vec(prop::sample::select(&VALUES[..]), 2)).prop_map(
        |(table, values)| {
            let (name, width) = TABLES[table];
            format!("{name}({})", values[..width].join(", "))
        },
    );
    let rule = (DERIVED..TABLES.len()).prop_flat_map(move |layer| {
        let (name, width) = TABLES[layer];
        let head = prop::collection::vec(term(), width);
        let body = prop::collection::vec(literal(layer, recursive), 1..4);
        (head, body).prop_map(move |(head, body)| {
            format!("{name}({}) :- {}", head.join(", "), body.join(", "))
        })
    });
    prop_oneof![1 => fact, 2 => rule]
}

fn check_program(statements: &[String], recursive: bool) {
    let mut engine = engine(&[("t", PolicyKind::Nonrecursive, "")]);
    engine.allow_recursion(recursive);
    for statement in statements {
        // Unsafe rules, and those that recur through a negation, are refused.
        drop(engine.insert(statement, Some("t")));
    }
    let snapshot = engine.snapshot();
    let values: Vec<Constant> = VALUES
        .iter()
        .map(|value| match &congress_policy::parser::parse(&format!("p({value})")).unwrap()[0] {
            Statement::Fact(atom) => match &atom.args[0] {
                Term::Constant(constant) => constant.clone(),
                other => panic!("{other}"),
            },
            other => panic!("{other}"),
        })
        .collect();
    for (table, width) in TABLES {
        let variables = VARIABLES[..width].join(", ");
        let rows: Vec<Vec<Constant>> =
            snapshot.select(&format!("{table}({variables})"), Some("t")).unwrap().rows().collect();
        let printed = |row: &[Constant]| {
            let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
            format!("{table}({})", cells.join(", "))
        };
        for row in &rows {
            match explain(&snapshot, &printed(row), "t") {
                Explanation::Holds(derivation) => check(&snapshot, &derivation, "t"),
                Explanation::Absent(absence) => panic!("{absence} in {statements:?}"),
            }
        }
        let absent: Vec<Vec<Constant>> = match width {
            1 => values.iter().map(|a| vec![a.clone()]).collect(),
            _ => values
                .iter()
                .flat_map(|a| values.iter().map(|b| vec![a.clone(), b.clone()]))
                .collect(),
        };
        for row in absent.iter().filter(|row| !rows.contains(row)) {
            check_absence(&snapshot, &explain(&snapshot, &printed(row), "t"), row, "t");
        }
        // With variables: some row, if there is one.
        let some = explain(&snapshot, &format!("{table}({variables})"), "t");
        assert_eq!(matches!(some, Explanation::Holds(_)), !rows.is_empty(), "{some}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_are_explained(program in prop::collection::vec(statement(false), 1..30)) {
        check_program(&program, false);
    }

    #[test]
    fn random_recursive_programs_are_explained(
        program in prop::collection::vec(statement(true), 1..30)
    ) {
        check_program(&program, true);
    }
}

#[test]
fn a_row_is_explained_by_what_came_before_it() {
    let mut text = String::from("path(x, y) :- path(x, z), path(z, y) path(x, y) :- edge(x, y) ");
    for i in 0..60 {
        text += &format!("edge({i}, {}) edge({}, {i}) ", (i + 1) % 60, (i + 1) % 60);
    }
    let mut engine = engine(&[("z", PolicyKind::Z3, &text)]);
    // Rows that are kept up to date are explained as others are.
    engine.watch("w", Some("z"), "path", None).unwrap();
    engine.insert("edge(60, 61) edge(61, 60)", None).unwrap();
    let snapshot = engine.snapshot();
    for goal in ["path(0, 30)", "path(7, 7)", "path(59, 0)", "path(3, x)"] {
        let Explanation::Holds(derivation) = explain(&snapshot, goal, "z") else {
            panic!("{goal}");
        };
        check(&snapshot, &derivation, "z");
        assert!(derivation.steps().len() < 300, "{}", derivation.steps().len());
    }
    let text = explain(&snapshot, "path(0, 61)", "z").to_string();
    assert!(text.contains("    fails at edge(x, y)\n      for x = 0, y = 61: "), "{text}");
}

#[test]
fn numbers_match_by_value_where_the_kind_says_so() {
    let engine = engine(&[(
        "m",
        PolicyKind::Materialized,
        "q(1) q(2.0) q(3) r(1.0) p(x) :- q(x), r(x) s(x) :- p(x), q(x)",
    )]);
    let snapshot = engine.snapshot();
    for (atom, leaf) in [("p(1)", "r("), ("p(1.0)", "q("), ("s(1.0)", "p("), ("s(x)", "r(")] {
        let Explanation::Holds(derivation) = explain(&snapshot, atom, "m") else {
            panic!("{atom}")
        };
        assert!(derivation.to_string().contains(leaf), "{derivation}");
        assert!(derivation.steps().iter().all(|step| step.reason != Reason::Cut), "{derivation}");
    }
    let text = explain(&snapshot, "p(2)", "m").to_string();
    assert!(text.contains("fails at r(x)"), "{text}");
}

#[test]
fn a_value_that_an_action_leaves_open_stays_open() {
    let rules = "action(\"mk\") vm(id, v) :- mk(v) vm+(id, v) :- vm(id, v), lt(v, 5) mk(1)";
    let engine = engine(&[("act", PolicyKind::Action, rules)]);
    let snapshot = engine.snapshot();
    assert_eq!(
        explain(&snapshot, "vm(7, 1)", "act").to_string(),
        "vm(7, 1)  by rule 1 of act: vm(id, v) :- mk(v)\n\x20 mk(1)  is a fact of act\n"
    );
    assert_eq!(
        explain(&snapshot, "vm+(x, y)", "act").to_string(),
        "vm+(x, 1)  by rule 2 of act: vm+(id, v) :- vm(id, v), lt(v, 5)\n\
         \x20 vm(id, 1)  by rule 1 of act: vm(id, v) :- mk(v)\n\
         \x20   mk(1)  is a fact of act\n\
         \x20 lt(1, 5)  is computed\n"
    );
}

#[test]
fn rows_that_are_used_often_are_explained_once() {
    // As a tree it would have 2^40 leaves.
    let mut text = String::from("t0(1) ");
    for i in 0..40 {
        text += &format!("t{}(x) :- t{i}(x), l{i}(x) l{i}(x) :- t{i}(x) ", i + 1);
    }
    let engine = engine(&[("t", PolicyKind::Nonrecursive, &text)]);
    let snapshot = engine.snapshot();
    let explanation = explain(&snapshot, "t40(1)", "t");
    let Explanation::Holds(derivation) = &explanation else { panic!("{explanation}") };
    check(&snapshot, derivation, "t");
    assert_eq!(derivation.steps().len(), 81);
    let text = explanation.to_string();
    assert!(text.lines().count() < 200 && text.contains("t1(1)  as above\n"), "{text}");
}

#[test]
fn explanations_are_bounded() {
    let mut text = String::from("t0(1) ");
    (0..3000).for_each(|i| text += &format!("t{}(x) :- t{i}(x) ", i + 1));
    let engine = engine(&[("t", PolicyKind::Nonrecursive, &text)]);
    let snapshot = engine.snapshot();
    let within = |detail: Detail| match snapshot
        .explain("t3000(1)", Some("t"), detail, Limits::default())
        .unwrap()
    {
        Explanation::Holds(derivation) => derivation.steps().to_vec(),
        Explanation::Absent(absence) => panic!("{absence}"),
    };
    let all = Detail { depth: 5000, ..Detail::default() };
    assert_eq!(within(all).last().unwrap().reason, Reason::Fact);
    let steps = within(Detail { depth: 20, ..all });
    assert_eq!((steps.len(), &steps[20].reason), (21, &Reason::Cut));
    let steps = within(Detail { steps: 50, ..all });
    assert_eq!((steps.len(), &steps[49].reason), (50, &Reason::Cut));

    let stop = AtomicBool::new(true);
    for limits in [
        Limits { rows: Some(100), ..Limits::default() },
        Limits { stop: Some(&stop), ..Limits::default() },
    ] {
        let refused = snapshot.explain("t3000(1)", Some("t"), all, limits).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Limit);
    }
}

#[test]
fn actions_and_other_policies_are_explained() {
    let engine = engine(&[
        ("u", PolicyKind::Database, "down(1) down(2.0)"),
        (
            "t",
            PolicyKind::Nonrecursive,
            "execute[nova:pause(x, n)] :- bad(x), len(\"abc\", n), not u:down(3)
             bad(x) :- u:down(x), true
             both(x) :- bad(x), u:down(2)",
        ),
    ]);
    let snapshot = engine.snapshot();
    assert_eq!(
        explain(&snapshot, "execute[nova:pause(1, n)]", "t").to_string(),
        "execute[nova:pause(1, 3)]  by rule 1 of t: execute[nova:pause(x, n)] :- bad(x), \
         len(\"abc\", n), not u:down(3)\n\
         \x20 bad(1)  by rule 2 of t: bad(x) :- u:down(x), true()\n\
         \x20   u:down(1)  is a fact of u\n\
         \x20   true()  always holds\n\
         \x20 len(\"abc\", 3)  is computed\n\
         \x20 not u:down(3)  has no row in u\n"
    );
    // In a database policy numbers match by value.
    assert_eq!(explain(&snapshot, "u:down(2)", "t").to_string(), "u:down(2)  is a fact of u\n");
    assert_eq!(
        explain(&snapshot, "both(2.0)", "t").to_string(),
        "both(2.0)  by rule 3 of t: both(x) :- bad(x), u:down(2)\n\
         \x20 bad(2.0)  by rule 2 of t: bad(x) :- u:down(x), true()\n\
         \x20   u:down(2.0)  is a fact of u\n\
         \x20   true()  always holds\n\
         \x20 u:down(2)  is a fact of u\n"
    );
    assert_eq!(explain(&snapshot, "lt(1, 2)", "t").to_string(), "lt(1, 2)  is computed\n");
}

#[test]
fn an_absent_row_names_what_each_rule_lacks() {
    let engine = engine(&[(
        "t",
        PolicyKind::Nonrecursive,
        "q(1) q(2) q(\"a\") r(2, 5) p(7)
         p(x) :- q(x), r(x, y), plus(x, y, 8)
         p(3) :- q(x)
         p(x) :- q(x), lt(x, 5), not r(x, 5), gt(x, 1)
         p(x) :- v:none(x)",
    )]);
    let snapshot = engine.snapshot();
    assert_eq!(
        explain(&snapshot, "p(2)", "t").to_string(),
        "p(2) does not hold in t\n\
         \x20 the one fact of the table is another\n\
         \x20 rule 1: p(x) :- q(x), r(x, y), plus(x, y, 8)\n\
         \x20   fails at plus(x, y, 8)\n\
         \x20     for x = 2, y = 5: plus(2, 5, 8) fails, for it gives 7\n\
         \x20 rule 2: p(3) :- q(x)\n\
         \x20   does not match: argument 1 is 3, not 2\n\
         \x20 rule 3: p(x) :- q(x), lt(x, 5), not r(x, 5), gt(x, 1)\n\
         \x20   fails at not r(x, 5)\n\
         \x20     for x = 2: not r(2, 5) fails, for it holds\n\
         \x20 rule 4: p(x) :- v:none(x)\n\
         \x20   fails at v:none(x)\n\
         \x20     for x = 2: v:none(2) fails, for there is no such row\n"
    );
    let text = explain(&snapshot, "p(\"a\")", "t").to_string();
    assert!(text.contains("for x = \"a\": lt(\"a\", 5) fails, for it has no answer: "), "{text}");
    // Of an atom with variables: some of the values that came furthest.
    let text = explain(&snapshot, "nothing(x)", "t").to_string();
    assert_eq!(text, "nothing(x) does not hold in t\n  the table has no rule and no fact\n");
    let text = explain(&snapshot, "w:p(1)", "t").to_string();
    assert!(text.starts_with("w:p(1) does not hold in w\n"), "{text}");
    assert!(explain(&snapshot, "p(1, 2)", "t").to_string().contains("gives rows of another width"));
    assert_eq!(
        explain(&snapshot, "gt(1, 2)", "t").to_string(),
        "gt(1, 2) fails, for it is false\n"
    );

    let refused = |atom: &str| {
        let explained = snapshot.explain(atom, Some("t"), Detail::default(), Limits::default());
        explained.unwrap_err().message().to_owned()
    };
    assert_eq!(refused("p(x) :- q(x)"), "Only an atom can be explained: p(x) :- q(x)");
    assert_eq!(refused("p(id=1)"), "Write p(id=1) with its arguments by position");
}

#[test]
fn one_variable_twice_is_one_value() {
    let engine = engine(&[(
        "t",
        PolicyKind::Nonrecursive,
        "e(1, 2) e(3, 3) p(x, y) :- e(x, y) s(x, 1) :- e(x, y) d(x, x, y) :- e(x, y)",
    )]);
    let snapshot = engine.snapshot();
    let Explanation::Holds(derivation) = explain(&snapshot, "p(x, x)", "t") else { panic!() };
    assert_eq!(derivation.root().unwrap().literal.to_string(), "p(3, 3)");
    check(&snapshot, &derivation, "t");
    assert!(matches!(explain(&snapshot, "s(x, x)", "t"), Explanation::Holds(_)));
    let text = explain(&snapshot, "s(3, 3)", "t").to_string();
    assert!(text.contains("argument 2 is 1, not 3"), "{text}");
    let text = explain(&snapshot, "d(1, 3, y)", "t").to_string();
    assert!(text.contains("argument 2 is 1, not 3"), "{text}");
    let text = explain(&snapshot, "d(x, 1, x)", "t").to_string();
    assert!(text.contains("e(1, 1) fails, for there is no such row"), "{text}");
}
