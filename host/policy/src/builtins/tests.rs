//! What each builtin answers to ordinary, odd and wrong inputs.

use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::ast::{Atom, Statement, Term};

const CONTEXT: Context = Context { now: datetime!(2024-05-06 07:08:09.123456789) };

/// The outputs for a literal that has the inputs only, as an answer prints them: `[]` for a test
/// that holds. Negative numbers are written as texts that begin with `~`.
fn answer(literal: &str) -> Result<Option<String>> {
    let statements = crate::parser::parse(literal).unwrap();
    let [Statement::Fact(Atom { table, args, .. })] = statements.as_slice() else {
        panic!("{literal}");
    };
    let inputs: Vec<Constant> = args.iter().map(value).collect();
    let builtin = all()
        .find(|builtin| *builtin.name == **table && builtin.inputs == inputs.len())
        .unwrap_or_else(|| panic!("no builtin {literal}"));
    let outputs = builtin.eval(&CONTEXT, &inputs)?;
    if let Some(outputs) = &outputs {
        assert_eq!(outputs.len(), builtin.outputs, "{literal}");
    }
    Ok(outputs.map(|values| {
        let printed: Vec<String> = values.iter().map(ToString::to_string).collect();
        printed.join(", ")
    }))
}

fn value(term: &Term) -> Constant {
    match term {
        Term::Constant(Constant::Text(text)) if text.starts_with('~') => {
            let number = text.replace('~', "-");
            match number.parse() {
                Ok(int) => Constant::Int(int),
                Err(_) => Constant::Float(number.parse().unwrap()),
            }
        }
        Term::Constant(value) => value.clone(),
        Term::Variable(_) | Term::Aggregate(_) => panic!("{term} is not bound"),
    }
}

#[track_caller]
fn gives(cases: &[(&str, &str)]) {
    for (literal, wanted) in cases {
        assert_eq!(answer(literal), Ok(Some((*wanted).to_owned())), "{literal}");
    }
}

#[track_caller]
fn holds(literals: &[&str]) {
    for literal in literals {
        assert_eq!(answer(literal), Ok(Some(String::new())), "{literal}");
    }
}

#[track_caller]
fn does_not_hold(literals: &[&str]) {
    for literal in literals {
        assert_eq!(answer(literal), Ok(None), "{literal}");
    }
}

#[track_caller]
fn fails(literals: &[&str]) {
    for literal in literals {
        let error = answer(literal).expect_err(literal).to_string();
        assert!(!error.is_empty() && !error.contains('\n'), "{literal}: {error}");
    }
}

#[test]
fn names_and_arities() {
    assert_eq!(lookup("plus", 3).map(|b| (b.inputs, b.outputs)), Some((2, 1)));
    assert_eq!(lookup("now", 1).map(Builtin::arity), Some(1));
    assert!(lookup("plus", 2).is_none() && lookup("and", 3).is_none());
    assert!(is_builtin_name("validate_string") && !is_builtin_name("bnot"));
    assert!(lookup_prefixed("and", 3).is_some() && lookup_prefixed("mul", 3).is_some());
    assert!(lookup_prefixed("and", 2).is_none() && lookup_prefixed("nope", 2).is_none());
    for (at, builtin) in all().enumerate() {
        let twins = all().skip(at + 1).filter(|other| other.name == builtin.name);
        assert_eq!(twins.count(), 0, "{}", builtin.name);
        let (inputs, outputs) =
            builtin.parameters.split_once('→').unwrap_or((builtin.parameters, ""));
        let count = |list: &str| list.split(',').filter(|name| !name.trim().is_empty()).count();
        assert_eq!((count(inputs), count(outputs)), (builtin.inputs, builtin.outputs));
    }
}

#[test]
fn a_wrong_number_of_inputs_is_an_error() {
    for builtin in all() {
        let error = builtin.eval(&CONTEXT, &vec![Constant::Float(0.5); 9]).unwrap_err();
        assert!(error.to_string().starts_with("9 inputs given"), "{}", builtin.name);
    }
}

#[test]
fn comparisons() {
    holds(&[
        "lt(1, 1.5)",
        "lt('A', 'a')",
        "lt('10', '9')",
        "lteq(2, 2.0)",
        "equal(1, 1.0)",
        "gt('é', 'z')",
        "gteq(1e300, 3)",
        "equal('a', 'a')",
        "gt(1e400, 1)",
        "lt('~1e400', 1)",
        // Neither side is rounded.
        "gt(9007199254740993, 9007199254740992.0)",
        "gt(100000000000000000000000, 1e23)",
    ]);
    does_not_hold(&[
        "gt(1, 2)",
        "equal('1', 1)",
        "equal(1, 2)",
        "lt('a', 'A')",
        "gt('~5', '~4.5')",
    ]);
    fails(&["lt('1', 2)", "gteq(2.0, '2')", "max('a', 1)"]);
    gives(&[
        ("max(2.0, 2)", "2.0"),
        ("max(2, 2.0)", "2"),
        ("max(1.5, 2)", "2"),
        ("max('b', 'a')", "\"b\""),
    ]);
}

#[test]
fn nan_compares_with_nothing() {
    let nan = Constant::Float(f64::NAN);
    for other in [Constant::Int(0.into()), Constant::Float(0.0), nan.clone()] {
        assert_eq!(compare(&nan, &other), Ok(None));
        assert_eq!(compare(&other, &nan), Ok(None));
        let test = lookup("equal", 2).unwrap();
        assert_eq!(test.eval(&CONTEXT, &[nan.clone(), other]), Ok(None));
    }
}

#[test]
fn arithmetic() {
    gives(&[
        ("plus(1, 2)", "3"),
        ("plus(1, 2.0)", "3.0"),
        ("plus('a', 'b')", "\"ab\""),
        ("concat(1, 2)", "3"),
        ("plus(10000000000000000000, 1)", "10000000000000000001"),
        ("minus(1, 2)", "-1"),
        ("minus(0.1, 0.2)", "-0.1"),
        ("mul(1.5, 2)", "3.0"),
        ("mul('ab', 2)", "\"abab\""),
        ("mul(0, 'ab')", "\"\""),
        ("mul('ab', '~1')", "\"\""),
        ("div(7, 2)", "3"),
        ("div('~7', 2)", "-4"),
        ("div(3, '~2')", "-2"),
        ("div('~6', '~2')", "3"),
        ("div(7.0, 2)", "3.5"),
        ("and(12, 10)", "8"),
        ("or(12, 10)", "14"),
        ("bnot(0)", "-1"),
    ]);
    fails(&[
        "plus('a', 1)",
        "minus('a', 'b')",
        "mul('a', 'b')",
        "mul('a', 2.0)",
        "div(1, 0)",
        "div(1, 0.0)",
        "div('a', 1)",
        "and(1.0, 1)",
    ]);
}

#[test]
fn results_are_bounded() {
    let large = Constant::Int(num_bigint::BigInt::from(1) << (MAX_INTEGER_BITS - 1));
    let run = |name, inputs: &[Constant]| lookup(name, 3).unwrap().eval(&CONTEXT, inputs);
    assert!(run("mul", &[large.clone(), large.clone()]).is_err());
    assert!(run("plus", &[large.clone(), large.clone()]).is_err());
    assert!(run("mul", &["ab".into_constant(), large.clone()]).is_err());
    // Larger than any float.
    assert!(run("plus", &[large.clone(), Constant::Float(1.0)]).is_err());
    assert!(run("div", &[large, Constant::Float(1.0)]).is_err());
    let half = "x".repeat(MAX_TEXT_BYTES / 2 + 1).into_constant();
    assert!(run("concat", &[half.clone(), half]).is_err());
    let digits = "1".repeat(30_000).into_constant();
    assert!(lookup("int", 2).unwrap().eval(&CONTEXT, &[digits]).is_err());
}

trait IntoConstant {
    fn into_constant(self) -> Constant;
}

impl<T: AsRef<str>> IntoConstant for T {
    fn into_constant(self) -> Constant {
        Constant::Text(self.as_ref().into())
    }
}

#[test]
fn conversions() {
    gives(&[
        ("float(2)", "2.0"),
        ("float(' 3.7 ')", "3.7"),
        ("float('1e3')", "1000.0"),
        ("float('1_0.5')", "10.5"),
        ("float('-Infinity')", "-inf"),
        ("float('nan')", "nan"),
        ("int(2.9)", "2"),
        ("int('~2.9')", "-2"),
        ("int(1e20)", "100000000000000000000"),
        ("int(' -1_000 ')", "-1000"),
        ("int('007')", "7"),
        ("len('café')", "4"),
    ]);
    fails(&[
        "float('')",
        "float('_1')",
        "float('1__0')",
        "float('1 0')",
        "float('0x10')",
        "int('3.7')",
        "int('0x10')",
        "int('1e3')",
        "int('')",
        "int('+')",
        "int('1_')",
        "int('--1')",
        "int(1e400)",
        "len(5)",
    ]);
}

#[test]
fn dates_are_read_in_many_forms() {
    for (text, wanted) in [
        ("2014-01-02 03:04:05", "2014-01-02 03:04:05"),
        ("2014-01-02T03:04:05Z", "2014-01-02 03:04:05"),
        ("2014-01-02T03:04:05.678", "2014-01-02 03:04:05.678000"),
        ("2014-01-02 03:04:05.1234567 +02:00", "2014-01-02 03:04:05.123456"),
        ("2014-01-02 03:04:05-0200", "2014-01-02 03:04:05"),
        ("2014-01-02 03:04 UTC", "2014-01-02 03:04:00"),
        ("2014-01-02", "2014-01-02 00:00:00"),
        ("2000-1-1 10:5:6", "2000-01-01 10:05:06"),
        ("2014/1/2", "2014-01-02 00:00:00"),
        ("20140102", "2014-01-02 00:00:00"),
        ("20140102T030405.5Z", "2014-01-02 03:04:05.500000"),
        ("20140102T0304", "2014-01-02 03:04:00"),
        ("20140102 03:04", "2014-01-02 03:04:00"),
        ("1/2/2014", "2014-01-02 00:00:00"),
        ("13/2/2014 3pm", "2014-02-13 15:00:00"),
        ("Jan 2, 2014", "2014-01-02 00:00:00"),
        ("jan 2, 2014 3pm", "2014-01-02 15:00:00"),
        ("January 2 2014 12:30 AM", "2014-01-02 00:30:00"),
        ("Sept. 5, 2014 10:00:00", "2014-09-05 10:00:00"),
        ("May 6,2014", "2014-05-06 00:00:00"),
        ("2016-02-29", "2016-02-29 00:00:00"),
        ("0001-01-01", "0001-01-01 00:00:00"),
        // A time alone is of the day on which the evaluation runs.
        ("03:04:05", "2024-05-06 03:04:05"),
        (" 3pm ", "2024-05-06 15:00:00"),
        ("12:00 pm", "2024-05-06 12:00:00"),
    ] {
        let literal = format!("datetime_plus({text:?}, 0)");
        assert_eq!(answer(&literal), Ok(Some(format!("\"{wanted}\""))), "{text}");
    }
    for text in [
        "",
        " ",
        "garbage",
        "2014-13-01",
        "2014-02-30",
        "2015-02-29",
        "24:00",
        "12:60",
        "12:00:60",
        "13pm",
        "0am",
        "5",
        "2014",
        "2014-01",
        "2014-01/02",
        "1/2/14",
        "13/13/2014",
        "Foo 1, 2014",
        "Jan 2014",
        "Ja 2, 2014",
        "Jan 22014",
        "2014-01-02x",
        "2014-01-02 03:04:05 CET",
        "2014-01-02 03:04:05+25:00",
        "2014-01-02T",
        "2014-01-0203:04",
        "0000-01-01",
        "２０１４-01-02",
        "2014-01-02 03:04:05.",
        "201401021",
        "2014-01-02 030405",
    ] {
        fails(&[&format!("extract_date('{text}')")]);
    }
    fails(&["extract_date(20140102)", "datetime_lt('2014-01-02', 5)"]);
}

#[test]
fn parts_of_dates() {
    gives(&[
        ("now()", "\"2024-05-06 07:08:09\""),
        ("unpack_date('1899-12-31')", "1899, 12, 31"),
        ("unpack_time('2014-01-02 03:04:05.678')", "3, 4, 5"),
        ("unpack_datetime('Jan 2, 2014 3pm')", "2014, 1, 2, 15, 0, 0"),
        ("pack_time(5, '6', 7.5)", "\"5:6:7.5\""),
        ("pack_date(2000, 1, 99)", "\"2000-1-99\""),
        ("pack_datetime(2014, 1, 2, 3, 4, 5)", "\"2014-1-2 3:4:5\""),
        ("extract_date('1/2/2014 3pm')", "\"2014-01-02\""),
        ("extract_time('2014-01-02 03:04:05.678')", "\"03:04:05.678000\""),
        ("datetime_to_seconds('Jan 1, 1900 1:00:00')", "3600"),
        ("datetime_to_seconds('1899-12-31 23:59:59.5')", "0"),
        ("datetime_to_seconds('1899-12-31')", "-86400"),
    ]);
}

#[test]
fn arithmetic_with_dates() {
    gives(&[
        ("datetime_plus('2014-12-31 23:59:59', 1)", "\"2015-01-01 00:00:00\""),
        ("datetime_plus('2014-01-02', 1.5)", "\"2014-01-02 00:00:01.500000\""),
        ("datetime_plus('2014-01-02', '1:1:1:1:1')", "\"2014-01-10 01:01:01\""),
        ("datetime_minus('2014-01-02', '2:00:00:00')", "\"2013-12-31 00:00:00\""),
        ("datetime_minus('2014-01-02', '~1')", "\"2014-01-02 00:00:01\""),
        ("datetime_plus('2014-01-02', '1:-1')", "\"2014-01-02 00:00:59\""),
    ]);
    fails(&[
        "datetime_plus('2014-01-02', '')",
        "datetime_plus('2014-01-02', '1:1:1:1:1:1')",
        "datetime_plus('2014-01-02', 'x')",
        "datetime_plus('2014-01-02', '1.5')",
        "datetime_plus('2014-01-02', 1e400)",
        "datetime_plus('2014-01-02', 1e300)",
        "datetime_plus('9999-12-31', 86400)",
        "datetime_minus('0001-01-01', 1)",
        "datetime_plus('2014-01-02', 100000000000000000000000000)",
        "datetime_plus('2014-01-02', '99999999999999999999:0')",
    ]);
    holds(&[
        "datetime_equal('20140102', '2014-01-02 00:00:00')",
        "datetime_equal('2014-01-02 03:04:05+02:00', '2014-01-02T03:04:05Z')",
        "datetime_gt('2014-01-02 03:04:05.5', '2014-01-02 03:04:05')",
        "datetime_lt('Jan 2, 2014', '1/3/2014')",
        "datetime_lteq('03:04', '03:04:00')",
        "datetime_gteq('2014-01-03', '2014-01-02')",
    ]);
    does_not_hold(&["datetime_lt('2014-01-02', '2014-01-02')"]);
}

#[test]
fn addresses() {
    holds(&[
        "ips_equal('10.1', '10.0.0.1')",
        "ips_equal('010.0.0.1', '8.0.0.1')",
        "ips_equal('0x0a000001', '10.0.0.1')",
        "ips_equal('1', '0.0.0.1')",
        "ips_equal('4294967295', '255.255.255.255')",
        "ips_equal('1.2.65535', '1.2.255.255')",
        "ips_equal('1.16777215', '1.255.255.255')",
        "ips_equal(167772161, '10.0.0.1')",
        "ips_equal(4294967296, '::1:0:0')",
        "ips_equal('2001:db8::1', '2001:DB8:0:0::1')",
        "ips_lt('255.255.255.255', '::')",
        "ips_lt('10.0.0.9', '10.0.0.10')",
        "ips_gteq('::ffff:192.0.2.2', '::ffff:192.0.2.1')",
        "ips_gt('::2', '::1')",
        "ips_lteq('::1', '::1')",
    ]);
    does_not_hold(&["ips_equal('10.0.0.1', '::ffff:10.0.0.1')"]);
    for address in [
        "''",
        "'abc'",
        "' 10.0.0.1'",
        "'10.0.0.1 '",
        "'10.0.0.1/32'",
        "'10.0.0.256'",
        "'1.2.3.4.5'",
        "'1.2.3.'",
        "'1..2'",
        "'256.1'",
        "'08.0.0.1'",
        "'0x'",
        "'+1.0.0.0'",
        "'4294967296'",
        "'1.2.65536'",
        "'::1%eth0'",
        "':::'",
        "'~1'",
        "1.0",
        "340282366920938463463374607431768211456",
    ] {
        fails(&[&format!("ips_equal({address}, '10.0.0.1')")]);
    }
}

#[test]
fn networks() {
    holds(&[
        "networks_equal('10.0.1.5/24', '10.0.1.0/24')",
        "networks_equal('10.0.0.1', '10.0.0.1/32')",
        "networks_equal('::1', '::1/128')",
        "networks_overlap('10.0.0.0/8', '10.0.1.0/24')",
        "networks_overlap('192.0.2.0/23', '192.0.2.0/24')",
        "networks_overlap('0.0.0.0/0', '::/0')",
        "networks_overlap('::/0', 'ff::/8')",
        "ip_in_network('10.0.0.1', '0.0.0.0/0')",
        "ip_in_network('192.168.0.255', '192.168.0.7/24')",
        "ip_in_network('fe80::1', '::/0')",
        "ip_in_network(167772161, '10.0.0.1/32')",
    ]);
    does_not_hold(&[
        "networks_equal('0.0.0.1/32', '::1/128')",
        "networks_equal('10.0.0.0/8', '10.0.0.0/16')",
        "networks_overlap('10.0.1.0/24', '10.0.0.0/8')",
        "ip_in_network('0.0.0.1', '::/0')",
        "ip_in_network('192.168.1.0', '192.168.0.0/24')",
    ]);
    fails(&[
        "networks_equal('10.0.0.0/33', '10.0.0.0/8')",
        "networks_equal('::/129', '::/0')",
        "networks_equal('10.0.0.0/', '10.0.0.0/8')",
        "networks_equal('10.0.0.0/+8', '10.0.0.0/8')",
        "networks_equal('10.0.0.0/8/8', '10.0.0.0/8')",
        "networks_equal('10.0.0.0/99999999999', '10.0.0.0/8')",
        "ip_in_network('10.0.0.1', 10)",
        "ip_in_network('10.0.0.1/32', '10.0.0.0/8')",
    ]);
}

#[test]
fn validation_of_numbers() {
    gives(&[
        ("validate_int(0, 10, 5)", "\"\""),
        ("validate_int('', '', '')", "\"\""),
        ("validate_int(0, 10, ' 7 ')", "\"\""),
        ("validate_int(0, 10, 10.9)", "\"\""),
        ("validate_int(0, 10, 11)", "\"Should be less than or equal to 10\""),
        ("validate_int(0, '', '~1')", "\"Should be greater than or equal to 0\""),
        ("validate_int(10, 0, 5)", "\"Max value is less than min value\""),
        ("validate_int('', '', '5.5')", "\"invalid literal for int() with base 10: '5.5'\""),
        ("validate_int('', '', 1e400)", "\"cannot convert float infinity to integer\""),
        ("validate_int('', 'a', 5)", "\"'>' not supported between instances of 'int' and 'str'\""),
        ("validate_float(0.5, 1.5, 1)", "\"\""),
        ("validate_float(0, 1.5, '2.5')", "\"Should be less than or equal to 1.5\""),
        ("validate_float('', '', 'x')", "\"could not convert string to float: 'x'\""),
    ]);
}

#[test]
fn validation_of_texts() {
    gives(&[
        ("validate_string('', 0, 0, 0, 'abc')", "\"\""),
        ("validate_string('b', 0, 0, 0, 'abc')", "\"\""),
        ("validate_string('^ABC$', 0, 0, 1, 'abc')", "\"\""),
        ("validate_string('^ABC$', 0, 0, 0, 'abc')", "\"Value 'abc' doesn't match regex '^ABC$'\""),
        (r"validate_string('^\d$', 0, 0, 0, 5)", "\"\""),
        (r"validate_string('^\d$', 0, 0, 0, 'x')", r#""Value 'x' doesn't match regex '^\\d$'""#),
        ("validate_string('', 3, 0, 0, 'abcd')", "\"Value 'abcd' exceeds maximum length 3\""),
        ("validate_string('', 3, 0, 0, 'äöü')", "\"\""),
        ("validate_string('', 3, 1, 0, \"'abc'\")", "\"\""),
        ("validate_string('', 0, 1, 0, \"'abc\")", "\"Non-closed quote: 'abc\""),
        ("validate_string('', 0, 1, 0, \"'\")", "\"\""),
        ("validate_string('', 0, 1, 0, '')", "\"\""),
    ]);
    fails(&[
        "validate_string('[', 0, 0, 0, 'abc')",
        "validate_string('(?=a)', 0, 0, 0, 'abc')",
        "validate_string('((a{1,500}){1,500}){1,500}', 0, 0, 0, 'abc')",
        "validate_string(5, 0, 0, 0, 'abc')",
        "validate_string('', 'x', 0, 0, 'abc')",
    ]);
    let long = "a".repeat(5000);
    fails(&[&format!("validate_string('{long}', 0, 0, 0, 'abc')")]);
    // More expressions than are kept compiled, twice.
    for _ in 0..2 {
        for width in 1..20 {
            gives(&[(&format!("validate_string('^a{{{width}}}', 0, 0, 0, '{long}')"), "\"\"")]);
        }
    }
}

#[test]
fn parts_of_texts() {
    holds(&[
        "prefix('web-1', 'web')",
        "prefix('web', '')",
        "suffix('web-1', '-1')",
        "suffix('é', 'é')",
        "contains('web-1', 'b-')",
        "contains('', '')",
        "matches('web-1', 'b-[0-9]')",
        "matches('web-1', '')",
        "matches('é', '^.$')",
        "matches('Web', '(?i)^web$')",
    ]);
    does_not_hold(&[
        "prefix('web', 'Web')",
        "prefix('web', 'web-1')",
        "suffix('web', 'we')",
        "contains('web', 'bw')",
        "matches('web-1', '^b')",
        "matches('Web', '^web$')",
    ]);
    gives(&[
        ("lower('WEB-É')", "\"web-é\""),
        ("upper('web-ß')", "\"WEB-SS\""),
        ("split('a/b//c', '/', 0)", "\"a\""),
        ("split('a/b//c', '/', 2)", "\"\""),
        ("split('a/b//c', '/', 3)", "\"c\""),
        ("split('a::b', '::', 1)", "\"b\""),
        ("split('', '/', 0)", "\"\""),
        ("split('abc', '/', 0)", "\"abc\""),
    ]);
    fails(&[
        "prefix(1, 'a')",
        "suffix('a', 1)",
        "contains(1, 1)",
        "matches('a', '(')",
        "matches('a', '(?=a)')",
        "matches(1, '1')",
        "lower(1)",
        "upper(1.5)",
        "split('a/b', '/', 2)",
        "split('a/b', '/', '~1')",
        "split('a/b', '/', 100000000000000000000)",
        "split('a/b', '/', 1.0)",
        "split('a/b', '/', '1')",
        "split('a/b', '', 0)",
        "split(1, '/', 0)",
    ]);
    let long = "ß".repeat(MAX_TEXT_BYTES / 2);
    gives(&[(&format!("upper('{long}')"), &format!("\"{}\"", "S".repeat(MAX_TEXT_BYTES)))]);
    // The small dotted capital I takes one byte more than the capital.
    fails(&[&format!("lower('{}')", "İ".repeat(MAX_TEXT_BYTES / 2))]);
}

fn constant() -> impl Strategy<Value = Constant> {
    prop_oneof![
        any::<i128>().prop_map(|value| Constant::Int(value.into())),
        (-3i64..40).prop_map(|value| Constant::Int(value.into())),
        any::<f64>().prop_map(Constant::Float),
        prop_oneof![
            ".{0,12}",
            "[0-9]{1,4}[-/:. ][0-9]{1,2}[-/:.T ][0-9]{1,4}[ap]?m?",
            "[0-9a-fx:.]{0,12}(/[0-9]{0,3})?",
            "[-+_0-9.e ]{0,8}",
        ]
        .prop_map(|text| Constant::Text(text.into())),
    ]
}

proptest! {
    #[test]
    fn no_input_breaks_a_builtin(values in proptest::collection::vec(constant(), 6)) {
        for builtin in all() {
            if let Ok(Some(outputs)) = builtin.eval(&CONTEXT, &values[..builtin.inputs]) {
                prop_assert_eq!(outputs.len(), builtin.outputs);
            }
        }
    }

    #[test]
    fn small_numbers_have_the_results_of_large_ones(x in any::<i64>(), y in -3i64..3) {
        for (x, y) in [(x, y), (y, x), (x, x)] {
            for builtin in all() {
                let inputs = [Constant::Int(x.into()), Constant::Int(y.into())];
                let wanted = match builtin.eval_small(x, y) {
                    None => continue,
                    Some(Small::Holds(holds)) => holds.then(Vec::new),
                    Some(Small::Gives(result)) => Some(vec![Constant::Int(result.into())]),
                };
                prop_assert_eq!(builtin.eval(&CONTEXT, &inputs), Ok(wanted), "{}", builtin.name);
            }
        }
    }

    #[test]
    fn order_is_total_between_numbers(a in any::<i128>(), b in any::<f64>()) {
        let (int, float) = (Constant::Int(a.into()), Constant::Float(b));
        let there = compare(&int, &float).unwrap();
        prop_assert_eq!(there, compare(&float, &int).unwrap().map(std::cmp::Ordering::reverse));
        // Where the difference is beyond rounding, floats agree.
        if (a as f64 - b).abs() > (a as f64).abs() * 1e-15 {
            prop_assert_eq!(there, (a as f64).partial_cmp(&b));
        }
    }

    #[test]
    fn floor_division_leaves_a_rest_of_the_divisors_sign(a in any::<i64>(), b in any::<i64>()) {
        prop_assume!(b != 0);
        let int = |value: i64| Constant::Int(value.into());
        let quotient = numbers::div(&[int(a), int(b)]).unwrap();
        let Constant::Int(back) = numbers::mul(&[quotient, int(b)]).unwrap() else { panic!() };
        let rest = num_bigint::BigInt::from(a) - back;
        let zero = num_bigint::BigInt::ZERO;
        let in_range = if b > 0 { rest >= zero && rest < b.into() } else { rest <= zero && rest > b.into() };
        prop_assert!(in_range);
    }
}
