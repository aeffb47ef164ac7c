//! Regular expressions, compiled once for the many rows that they are asked about.
//!
//! They are those of the `regex` crate, which match in linear time. It has no look-around and no
//! back-references; a literal that uses one fails, as with any invalid one.

use std::cell::RefCell;
use std::rc::Rc;

use regex::{Regex, RegexBuilder};

use super::Result;

/// The longest regular expression.
const MAX_PATTERN_BYTES: usize = 4096;
/// The memory that one may take when compiled.
const MAX_COMPILED_BYTES: usize = 1024 * 1024;
/// How many compiled ones a thread keeps: a rule has few, and asks for each of them once per row.
const KEPT: usize = 8;

/// A compiled pattern, from those kept if it is there. (Shared, not cloned: a clone would begin
/// with empty caches.)
pub(super) fn compiled(pattern: &str, ignore_case: bool) -> Result<Rc<Regex>> {
    thread_local! {
        /// The one that was used last comes first.
        static REGEXES: RefCell<Vec<(String, bool, Rc<Regex>)>> = const { RefCell::new(Vec::new()) };
    }
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err("the regular expression is too long".into());
    }
    REGEXES.with_borrow_mut(|kept| {
        let found = kept.iter().position(|(p, i, _)| p == pattern && *i == ignore_case);
        if let Some(at) = found {
            kept.get_mut(..=at).unwrap_or_default().rotate_right(1);
        } else {
            let regex = RegexBuilder::new(pattern)
                .case_insensitive(ignore_case)
                .size_limit(MAX_COMPILED_BYTES)
                .build()
                .map_err(|_| "the regular expression is not valid or too large")?;
            kept.truncate(KEPT - 1);
            kept.insert(0, (pattern.to_owned(), ignore_case, Rc::new(regex)));
        }
        kept.first().map(|(_, _, regex)| Rc::clone(regex)).ok_or_else(|| "no expression".into())
    })
}
