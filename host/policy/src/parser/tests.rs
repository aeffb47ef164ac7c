//! What the parser accepts, and where it says that it does not.

use proptest::prelude::*;

use super::*;

fn refused(source: &str) -> SyntaxError {
    parse(source).expect_err(source)
}

/// The stage and the place of the first problem.
fn place(source: &str) -> String {
    let error = refused(source);
    format!("{:?} {}", error.stage, error.problems[0].position)
}

fn fact(source: &str) -> Atom {
    match parse(source).unwrap().as_slice() {
        [Statement::Fact(atom)] => atom.clone(),
        other => panic!("{source}: {other:?}"),
    }
}

fn variable(name: &str) -> Term {
    Term::Variable(name.into())
}

#[test]
fn an_empty_text_has_no_statements() {
    for source in ["", " \r\n\t", "# nothing\n", "/* nothing */"] {
        assert_eq!(parse(source), Ok(vec![]), "{source:?}");
    }
}

#[test]
fn terminators_are_optional() {
    for source in ["p(1);q(2)", "p(1) q(2)", "p(1).\nq(2);", "p(1) . q(2) ."] {
        assert_eq!(parse(source).unwrap().len(), 2, "{source}");
    }
    assert_eq!(place("p(1);;"), "Parse line:1,col:5");
    assert_eq!(place(" ;p(1)"), "Parse line:1,col:1");
}

#[test]
fn a_rule_ends_where_no_comma_follows() {
    let statements = parse("p(x) :- q(x), not r(x) s(1)").unwrap();
    match statements.as_slice() {
        [Statement::Rule(rule), Statement::Fact(fact)] => {
            assert_eq!((rule.heads.len(), rule.body.len()), (1, 2));
            assert!(rule.body[1].negated);
            assert_eq!(rule.span, Span { start: 0, end: 22 });
            assert_eq!(rule.body[1].span, Span { start: 14, end: 22 });
            assert_eq!(&*fact.table, "s");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn relations_split_at_their_first_colon() {
    let atom = fact("a:b:c-(x)");
    assert_eq!((atom.policy.as_deref(), &*atom.table), (Some("a"), "b:c-"));
    assert_eq!(atom.args, [variable("x")]);

    let whole = parse_with("a:b:c-(x)", Options { use_modules: false }).unwrap();
    match whole.as_slice() {
        [Statement::Fact(atom)] => {
            assert_eq!((atom.policy.as_deref(), &*atom.table), (None, "a:b:c-"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn arguments_by_column() {
    let atom = fact("p(x, 1=y, id='z')");
    assert_eq!(atom.args, [variable("x")]);
    let id = Term::Constant(Constant::Text("z".into()));
    let named = [(ColumnRef::Number(1), variable("y")), (ColumnRef::Name("id".into()), id)];
    assert_eq!(atom.named, named);
}

#[test]
fn values() {
    let atom = fact("p(0, 123456789012345678901234567890, 1., .5e1, 1e400, 'é')");
    let wanted = [
        Constant::Int(0.into()),
        Constant::Int("123456789012345678901234567890".parse().unwrap()),
        Constant::Float(1.0),
        Constant::Float(5.0),
        Constant::Float(f64::INFINITY),
        Constant::Text("é".into()),
    ];
    assert_eq!(atom.args, wanted.map(Term::Constant));
}

#[test]
fn modals_and_events() {
    assert_eq!(fact("insert[p(x)]").modal, Some(Modal::Insert));
    assert_eq!(fact("execute[s:p(x)]").modal, Some(Modal::Execute));
    let statements = parse("insert[p(x), q :- r(x). 't'] delete[not p :- q]").unwrap();
    match statements.as_slice() {
        [Statement::Event(first), Statement::Event(second)] => {
            assert!(first.insert && !second.insert);
            assert_eq!((first.rule.heads.len(), first.policy.as_deref()), (2, Some("t")));
            assert!(second.rule.heads[0].negated && second.policy.is_none());
            assert_eq!(first.span, Span { start: 0, end: 28 });
            assert_eq!(first.rule.span, Span { start: 7, end: 22 });
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn aggregates_stand_in_heads() {
    let statements = parse("n(t, count( id ), max=max(r)) :- s(t, id, r)").unwrap();
    let [Statement::Rule(rule)] = &statements[..] else { panic!("{statements:?}") };
    let of = |function, variable: &str| {
        Term::Aggregate(Aggregate { function, variable: variable.into() })
    };
    let head = &rule.heads[0];
    assert_eq!(head.args, [variable("t"), of(AggregateFunction::Count, "id")]);
    assert_eq!(head.named[0], (ColumnRef::Name("max".into()), of(AggregateFunction::Max, "r")));
    // Everywhere else the names are ordinary ones.
    let sum = fact("sum(count, max=min, avg=1)");
    assert_eq!((&*sum.table, &sum.args[..]), ("sum", &[variable("count")][..]));
    for (source, wanted) in [
        ("p(count(x))", "Parse line:1,col:7"),
        ("p(x) :- q(x), r(sum(x)) s(1)", "Parse line:1,col:19"),
        ("p(Count(x)) :- q(x)", "Parse line:1,col:7"),
        ("p(count()) :- q(x)", "Parse line:1,col:8"),
        ("p(count(x)=x) :- q(x)", "Parse line:1,col:10"),
        ("insert[p(count(x))]", "Parse line:1,col:14"),
    ] {
        assert_eq!(place(source), wanted, "{source}");
    }
}

#[test]
fn errors_are_at_the_first_token_that_cannot_go_on() {
    for (source, wanted) in [
        ("p(", "Parse line:1,col:2"),
        ("p(x,)", "Parse line:1,col:4"),
        ("p((x))", "Parse line:1,col:2"),
        ("p(x y)", "Parse line:1,col:4"),
        ("p(x) :- \n", "Parse line:2,col:0"),
        ("p(x) :- q(x),\n  , r", "Parse line:2,col:2"),
        (":- q(x)", "Parse line:1,col:0"),
        ("not p(x)", "Parse line:1,col:8"),
        ("not not p :- q", "Parse line:1,col:4"),
        ("p(1), q(2)", "Parse line:1,col:10"),
        ("p(not)", "Parse line:1,col:2"),
        ("p(1.5=x)", "Parse line:1,col:5"),
        ("execute(x)", "Parse line:1,col:7"),
        ("execute[p(x) :- q(x)]", "Parse line:1,col:13"),
        ("insert[p(x) q(x)]", "Parse line:1,col:12"),
        ("insert[p :- q 't']", "Parse line:1,col:14"),
        ("insert[insert[p :- q]]", "Parse line:1,col:16"),
        ("p++(x)", "Parse line:1,col:2"),
        ("p:(x)", "Parse line:1,col:2"),
        // An error of the lexer comes first, wherever it stands.
        ("p(\n$", "Lex line:2,col:0"),
    ] {
        assert_eq!(place(source), wanted, "{source:?}");
    }
}

#[test]
fn errors_say_what_was_expected() {
    for (source, wanted) in [
        ("p(1", "Parse failure.\nline:1,col:3  unexpected end of the text, expected ',' or ')'"),
        (
            "p(-1)",
            "Parse failure.\nline:1,col:2  unexpected '-', expected an argument; numbers have no \
             sign, use builtin:minus(0, 1, x) for a negative one",
        ),
        (
            "excute[p(1)]",
            "Parse failure.\nline:1,col:6  unexpected '[', expected '(', ':-' or a new \
             statement; did you mean 'execute['?",
        ),
        (
            "p(x) :- q(x), x < 1",
            "Lex failure.\nline:1,col:16  unexpected character '<'; comparisons are written \
             builtin:lt(x, y), lteq, gt, gteq or equal",
        ),
    ] {
        assert_eq!(refused(source).to_string(), wanted, "{source}");
    }
}

#[test]
fn errors_show_the_line() {
    let source = "error(vm) :-\n  nova:servers(id=vm, status=\"ERROR\",),\n  not exempt(vm)";
    assert_eq!(
        refused(source).render(source),
        r#"unexpected ')', expected an argument
 --> line 2, column 37
  |
2 |   nova:servers(id=vm, status="ERROR",),
  |                                      ^"#
    );
    let source = "p(x) :- $ € q(x)";
    assert_eq!(
        refused(source).render(source),
        "unexpected character '$'
 --> line 1, column 8
  |
1 | p(x) :- $ € q(x)
  |         ^
unexpected character '€'; outside of strings only ASCII is allowed
 --> line 1, column 10
  |
1 | p(x) :- $ € q(x)
  |           ^"
    );
    let source = "p(x) :- s:q(y, 0=x)";
    assert_eq!(
        refused(source).render(source),
        "In atom s:q(0=x) column number 0 is already provided by position arguments.
 --> line 1, column 15
  |
1 | p(x) :- s:q(y, 0=x)
  |                ^^^"
    );
}

#[test]
fn contradictions_between_arguments() {
    for (source, wanted) in [
        ("p(id=x, y)", "Atom p(id=x) has a positional parameter after a reference parameter"),
        (
            "p(x) :- s:q(b=x, a=x, b=y)",
            "In atom s:q(b=x,a=x,b=y) multiple values for column name b were provided",
        ),
        ("p(x, 1=z, y)", "Atom p(1=z) has a positional parameter after a reference parameter"),
        ("p(4=y, 4=z)", "In atom p(4=y,4=z) multiple values for column number 4 were provided."),
        (
            "p(x, 0=y) q(x, 1=y) r(1=x, 1=x)",
            "In atom p(0=y) column number 0 is already provided by position arguments.\n\
             In atom r(1=x,1=x) multiple values for column number 1 were provided.",
        ),
    ] {
        let error = refused(source);
        assert_eq!(error.to_string(), format!("Compiler found errors:{wanted}"));
    }
    // What does not parse at all is said first.
    assert_eq!(refused("p(a=x, a=y) q(").stage, Stage::Parse);
}

#[test]
fn widths_are_limited() {
    let wide = |name: &str, count: usize| vec![name; count].join(",");
    assert!(parse(&format!("p({})", wide("x", MAX_ARGUMENTS))).is_ok());
    assert!(refused(&format!("p({})", wide("x", MAX_ARGUMENTS + 1))).to_string().contains("1000"));
    assert!(parse(&format!("p :- {}", wide("q", MAX_LITERALS))).is_ok());
    assert!(refused(&format!("p :- {}", wide("q", MAX_LITERALS + 1))).to_string().contains("1000"));
    assert!(refused(&format!("p({})", "1".repeat(MAX_DIGITS + 1))).to_string().contains("digits"));
    assert!(refused("p(99999999999=x)").to_string().contains("column number"));
    assert!(refused(&"p ".repeat(MAX_STATEMENTS + 1)).to_string().contains("500000 statements"));
}

#[test]
fn what_is_deep_or_long_ends_soon() {
    const LENGTH: usize = 400_000;
    for part in [
        "(",
        ")",
        "[",
        "p(",
        "p[",
        "execute[",
        "insert[",
        "not ",
        "!",
        ",",
        "p,",
        "p:",
        ":",
        ":-",
        "p:-",
        "p:-q,",
        "p;",
        ".",
        ". ",
        "=",
        "p(x=",
        "p(1=1,1=1)",
        "'",
        "\"",
        "'a'",
        "\\",
        "'\\",
        "/",
        "/*",
        "*/",
        "/* */",
        "#",
        "//",
        "#\n",
        "0",
        "1",
        "0x",
        "0x1 ",
        "00 ",
        "1e",
        ".5e",
        "+",
        "-",
        "$",
        "é",
        "😀",
        "\u{301}",
        "\t",
        "\n",
        "p(x)\n",
        "p(_)",
        "u'a'",
        "p(\"a\")",
    ] {
        let text = part.repeat(LENGTH / part.len());
        if let Err(error) = parse(&text) {
            // However large the text, what is said of it is not.
            assert!(error.problems.len() <= 10, "{part:?}");
            assert!(error.to_string().len() < 10_000, "{part:?}");
            assert!(error.render(&text).len() < 10_000, "{part:?}");
        }
    }
}

fn identifier() -> impl Strategy<Value = Arc<str>> {
    let keywords = ["not", "NOT", "execute", "insert", "delete"];
    // Leading dots could make numbers or the end of a statement.
    "[A-Za-z_][A-Za-z0-9_.]{0,6}"
        .prop_filter("a keyword", move |word| !keywords.contains(&word.as_str()))
        .prop_map(Arc::from)
}

fn term() -> impl Strategy<Value = Term> {
    let float =
        any::<f64>().prop_filter("cannot be written", |x| x.is_finite() && !x.is_sign_negative());
    prop_oneof![
        identifier().prop_map(Term::Variable),
        any::<u64>().prop_map(|value| Term::Constant(Constant::Int(value.into()))),
        "[1-9][0-9]{20,40}"
            .prop_map(|digits| Term::Constant(Constant::Int(digits.parse().unwrap()))),
        float.prop_map(|value| Term::Constant(Constant::Float(value))),
        // The printed form has no escapes, so neither quote nor backslash comes back.
        "[^\"\\\\\r\n]{0,8}".prop_map(|text| Term::Constant(Constant::Text(text.into()))),
    ]
}

fn atom() -> impl Strategy<Value = Atom> {
    let columns = proptest::collection::btree_map(
        prop_oneof![
            (10u32..99).prop_map(ColumnRef::Number),
            identifier().prop_map(ColumnRef::Name),
        ],
        term(),
        0..3,
    );
    let modal = proptest::option::of(proptest::sample::select(vec![
        Modal::Execute,
        Modal::Insert,
        Modal::Delete,
    ]));
    let table = (identifier(), proptest::sample::select(vec!["", "+", "-"]))
        .prop_map(|(name, sign)| Arc::from(format!("{name}{sign}")));
    let args = proptest::collection::vec(term(), 0..4);
    (modal, proptest::option::of(identifier()), table, args, columns).prop_map(
        |(modal, policy, table, args, named)| Atom {
            modal,
            negated: false,
            policy,
            table,
            args,
            named: named.into_iter().collect(),
            span: Span::default(),
        },
    )
}

fn rule() -> impl Strategy<Value = Rule> {
    let literal = || (any::<bool>(), atom()).prop_map(|(negated, atom)| Atom { negated, ..atom });
    let literals = || proptest::collection::vec(literal(), 1..4);
    let function = proptest::sample::select(AggregateFunction::ALL.to_vec());
    let aggregate = (function, identifier())
        .prop_map(|(function, variable)| Term::Aggregate(Aggregate { function, variable }));
    let aggregates = proptest::collection::vec(aggregate, 0..2);
    (literals(), aggregates, literals()).prop_map(|(mut heads, aggregates, body)| {
        heads[0].args.extend(aggregates);
        Rule { heads, body, span: Span::default() }
    })
}

/// What the text says, without where it stands.
fn meaning(statement: &Statement) -> (Vec<Atom>, Vec<Atom>) {
    match statement {
        Statement::Fact(atom) => (vec![atom.clone()], vec![]),
        Statement::Rule(rule) | Statement::Event(Event { rule, .. }) => {
            (rule.heads.clone(), rule.body.clone())
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses_back(
        statements in proptest::collection::vec(
            prop_oneof![atom().prop_map(Statement::Fact), rule().prop_map(Statement::Rule)],
            0..4,
        )
    ) {
        let text: String = statements.iter().map(|s| format!("{s};\n")).collect();
        let read = parse(&text).map_err(|error| TestCaseError::fail(error.render(&text)))?;
        let read: Vec<_> = read.iter().map(meaning).collect();
        let wanted: Vec<_> = statements.iter().map(meaning).collect();
        prop_assert_eq!(read, wanted);
    }

    #[test]
    fn no_text_breaks_the_parser(source in ".*") {
        check(&source);
    }

    #[test]
    fn no_heap_of_tokens_breaks_the_parser(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "p", "q.", ".5", "1", "0x", "007", "1e", "'a'", "\"", "'", "\\", "(", ")", "[", "]", ",",
            ":", ":-", ";", ".", "=", "+", "-", "!", "not ", "execute", "insert", "#", "//", "/*",
            "*/", "\n", " ", "é", "u'", "😀",
        ]), 0..30)
    ) {
        check(&words.concat());
    }

    #[test]
    fn no_slip_of_the_pen_breaks_the_parser(
        statements in proptest::collection::vec(
            prop_oneof![atom().prop_map(Statement::Fact), rule().prop_map(Statement::Rule)],
            1..4,
        ),
        slips in proptest::collection::vec((any::<proptest::sample::Index>(), 0..4, ".{0,2}"), 1..5)
    ) {
        let text: String = statements.iter().map(|s| format!("{s}\n")).collect();
        let mut letters: Vec<char> = text.chars().collect();
        for (place, kind, new) in slips {
            if letters.is_empty() {
                break;
            }
            let at = place.index(letters.len());
            match kind {
                0 => drop(letters.remove(at)),
                1 => letters[at..].reverse(),
                2 => letters.truncate(at),
                _ => drop(letters.splice(at..at, new.chars())),
            }
        }
        check(&letters.into_iter().collect::<String>());
    }
}

/// An error lies within its text and can be shown; what parses can be laid out and still parses.
fn check(source: &str) {
    match parse(source) {
        Ok(statements) => {
            let laid_out = crate::print::pretty(source).unwrap();
            let again = parse(&laid_out).unwrap();
            assert_eq!(
                again.iter().map(meaning).collect::<Vec<_>>(),
                statements.iter().map(meaning).collect::<Vec<_>>(),
                "{laid_out}"
            );
            for warning in statements.iter().flat_map(crate::warnings::warnings) {
                assert!(warning.render(source).contains('^'));
            }
        }
        Err(error) => {
            assert!(!error.problems.is_empty());
            for problem in &error.problems {
                assert!(problem.span.start <= problem.span.end);
                assert!(problem.span.end as usize <= source.len());
            }
            assert!(error.render(source).contains('^'));
        }
    }
}
