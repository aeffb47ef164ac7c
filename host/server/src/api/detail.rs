//! What is told only to those who ask: clients of the original count on its keys and no others.

use serde_json::Value;

use super::action::parameter;

/// An object with all of its keys if the query has `detail=true`, otherwise with these.
pub(super) fn shown(mut object: Value, query: Option<&str>, plain: &[&str]) -> Value {
    let wanted = parameter(query, "detail")
        .any(|value| value.is_empty() || value == "1" || value.eq_ignore_ascii_case("true"));
    if !wanted && let Value::Object(members) = &mut object {
        members.retain(|key, _| plain.contains(&key.as_str()));
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_asks_is_told_more() {
        let shown = |query| shown(json!({"a": 1, "b": 2}), query, &["a", "c"]);
        assert_eq!((shown(None), shown(Some("detail=no"))), (json!({"a": 1}), json!({"a": 1})));
        for query in ["detail", "detail=True", "x=1&detail=1"] {
            assert_eq!(shown(Some(query)), json!({"a": 1, "b": 2}));
        }
    }
}
