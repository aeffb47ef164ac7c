//! Any text goes through the parser; see the README.
#![no_main]

use congress_policy::ast::Statement;
use congress_policy::{parser, print, warnings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| match parser::parse(text) {
    Ok(statements) => {
        statements.iter().for_each(|statement| {
            warnings::warnings(statement).iter().for_each(|warning| {
                warning.render(text);
            });
        });
        let laid_out = print::pretty(text).expect("what parses can be laid out");
        let again = parser::parse(&laid_out).expect("what is laid out parses");
        let printed = |list: &[Statement]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(printed(&statements), printed(&again));
    }
    Err(error) => {
        assert!(error.problems.iter().all(|p| p.span.end as usize <= text.len()));
        error.render(text);
    }
});
