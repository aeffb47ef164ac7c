//! Finding rows that the host holds: tests of a cell, and cells on their way to the guest.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::mem::size_of;

use congress_table::Value;

use crate::bindings::sink::Test;
use crate::bindings::types;

use super::cell;

/// Whether a cell passes.
pub(super) fn test(test: &Test) -> impl Fn(&Value) -> bool {
    let (any_of, at_most): (HashSet<Value>, _) = match test {
        Test::AnyOf(values) => (values.iter().map(|v| Value::from(cell(v))).collect(), None),
        Test::AtMost(value) => (HashSet::new(), Some(Value::from(cell(value)))),
    };
    move |cell| any_of.contains(cell) || at_most.as_ref().is_some_and(|most| is_at_most(cell, most))
}

fn is_at_most(cell: &Value, most: &Value) -> bool {
    let order = match (cell, most) {
        (Value::Text(cell), Value::Text(most)) => Some(cell.cmp(most)),
        (Value::Int(cell), Value::Int(most)) => Some(cell.cmp(most)),
        (cell, most) => match (number(cell), number(most)) {
            (Some(cell), Some(most)) => cell.partial_cmp(&most),
            _ => None,
        },
    };
    matches!(order, Some(Ordering::Less | Ordering::Equal))
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(i) => Some(*i as f64),
        Value::Float(x) => Some(*x),
        _ => None,
    }
}

pub(super) fn text_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() + 2 * size_of::<usize>(),
        _ => 0,
    }
}

/// A cell as the guest takes it.
pub(super) fn lower(value: &Value) -> types::Value {
    match value {
        Value::Null => types::Value::Null,
        Value::Bool(b) => types::Value::Boolean(*b),
        Value::Int(i) => types::Value::Integer(*i),
        Value::Float(x) => types::Value::Float(*x),
        Value::Text(text) => types::Value::Text(text.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_pass_by_value_or_by_order() {
        let passes = |of: &Test, cell: Value| test(of)(&cell);
        let text = |text: &str| types::Value::Text(text.into());
        let any = Test::AnyOf(vec![text("a"), types::Value::Integer(1)]);
        assert!(passes(&any, Value::text("a")) && passes(&any, Value::Float(1.0)));
        assert!(!passes(&any, Value::text("1")) && !passes(&any, Value::Null));
        let number = Test::AtMost(types::Value::Integer(10));
        assert!(passes(&number, Value::Int(10)) && passes(&number, Value::Float(9.5)));
        assert!(!passes(&number, Value::Float(10.5)) && !passes(&number, Value::text("9")));
        assert!(!passes(&number, Value::Null) && !passes(&number, Value::Bool(true)));
        let time = Test::AtMost(text("2026-01-02T03:04:05Z"));
        assert!(passes(&time, Value::text("2025-12-31T23:59:59Z")));
        assert!(!passes(&time, Value::text("2026-01-02T03:04:06Z")));
    }
}
