//! The words of the stream in which an engine publishes what its rules ask for: names of its
//! tables, and how the arguments of an action are written.
//!
//! Who publishes it is in `engine/executes.rs`, who follows it in [`super::agenda`].

use std::fmt;
use std::sync::Arc;

use congress_bus::TableName;
use congress_policy::ast::Constant;
use congress_policy::{ExecuteTable, Execution};
use congress_table::Row;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::engine::Cell;

/// What the name of such a stream, and of the service that shows that it is there, begins with; the
/// engine's instance follows.
pub const SOURCE_PREFIX: &str = "__execute:";

/// What the name of the service begins with that shows that all `execute[…]` tables of an engine
/// are complete.
pub const COMPLETE_PREFIX: &str = "__execute_complete:";

/// All `execute[…]` tables that have rules: policy, service, action, whether it is complete, and a
/// JSON array of the datasources below.
pub const TABLES: &str = "tables";

/// How far datasources have been read: name, epoch, sequence.
pub const POSITIONS: &str = "positions";

/// How far the database has been read.
pub const REVISION: &str = "revision";

/// An `execute[…]` table: whose rules ask for what of whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionTable {
    /// The policy.
    pub policy: Arc<str>,
    /// The datasource that is to act.
    pub service: Arc<str>,
    /// What it is to do.
    pub action: Arc<str>,
}

impl ActionTable {
    /// The table of an execution.
    pub fn of(execution: &Execution) -> Self {
        let Execution { policy, service, action, .. } = execution;
        Self { policy: policy.clone(), service: service.clone(), action: action.clone() }
    }

    /// The table of these rules.
    pub fn of_rules(rules: &ExecuteTable) -> Self {
        let ExecuteTable { policy, service, action, .. } = rules;
        Self { policy: policy.clone(), service: service.clone(), action: action.clone() }
    }

    /// The table of a head, whose name has the service before the colon, or means the policy
    /// itself.
    pub fn of_node(policy: &Arc<str>, table: &Arc<str>) -> Self {
        let (service, action) = match table.split_once(':') {
            Some((service, action)) => (service.into(), action.into()),
            None => (policy.clone(), table.clone()),
        };
        Self { policy: policy.clone(), service, action }
    }

    /// Its name in the stream: a JSON array, so that no two tables share one.
    pub fn name(&self) -> TableName {
        let parts = [&*self.policy, &*self.service, &*self.action];
        // Texts can always be written.
        serde_json::to_string(&parts).unwrap_or_default().into()
    }
}

impl fmt::Display for ActionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:execute[{}:{}]", self.policy, self.service, self.action)
    }
}

/// A row of an `execute[…]` table, which is the arguments of one action, as a JSON array. Different
/// rows are different texts: `1` and `1.0` are, and a number that JSON has no word for is an object
/// with its name, as no text is.
pub fn arguments(row: &[Constant]) -> String {
    let mut text = String::from("[");
    for (at, constant) in row.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        let odd = matches!(constant, Constant::Float(float) if !float.is_finite());
        let cell = serde_json::to_string(&Cell(constant.clone())).unwrap_or_default();
        match odd {
            true => text.push_str(&format!("{{\"float\":{cell}}}")),
            false => text.push_str(&cell),
        }
    }
    text.push(']');
    text
}

/// The arguments as a driver gets them.
///
/// # Errors
///
/// A number that no driver could be given; the text says which.
pub fn positional(arguments: &str) -> Result<Vec<Json>, String> {
    let broken = |error: serde_json::Error| format!("its arguments cannot be read: {error}");
    let raw: Vec<&RawValue> = serde_json::from_str(arguments).map_err(broken)?;
    let value = |raw: &&RawValue| -> Result<Json, String> {
        let text = raw.get();
        let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if is_whole && text.parse::<i64>().is_err() && text.parse::<u64>().is_err() {
            return Err(format!("its argument {text} does not fit into 64 bits"));
        }
        match serde_json::from_str(text).map_err(broken)? {
            Json::Object(odd) => Ok(odd.into_iter().next().map_or(Json::Null, |(_, name)| name)),
            plain => Ok(plain),
        }
    };
    raw.iter().map(value).collect()
}

/// The text of the one cell of a row of an action's table.
pub(super) fn text_of(row: &Row) -> Option<&str> {
    match row.first() {
        Some(congress_table::Value::Text(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_keep_apart_what_differs() {
        let row = |constants: &[Constant]| arguments(constants);
        let big = Constant::Int("123456789012345678901234567890".parse().unwrap());
        let text = row(&[
            Constant::Int(1.into()),
            Constant::Float(1.0),
            Constant::Text("a \"ü\"".into()),
            Constant::Float(f64::NAN),
            Constant::Text("nan".into()),
        ]);
        assert_eq!(text, r#"[1,1.0,"a \"ü\"",{"float":"nan"},"nan"]"#);
        assert_eq!(
            positional(&text).unwrap(),
            [json!(1), json!(1.0), json!("a \"ü\""), json!("nan"), json!("nan")]
        );
        assert_eq!(row(&[]), "[]");
        let text = row(&[big]);
        assert!(positional(&text).unwrap_err().contains("123456789012345678901234567890"));
        assert_eq!(positional("[18446744073709551615]").unwrap(), [json!(u64::MAX)]);
    }

    #[test]
    fn no_two_tables_share_a_name() {
        let of = |policy: &str, table: &str| ActionTable::of_node(&policy.into(), &table.into());
        assert_ne!(of("a:b", "c:d").name(), of("a", "b:c:d").name());
        assert_eq!(of("nova", "stop"), of("nova", "nova:stop"));
        assert_eq!(of("p", "nova:servers.stop").to_string(), "p:execute[nova:servers.stop]");
    }
}
