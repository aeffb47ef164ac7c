//! `POST /v1/policies/{p}?action=simulate`

use serde::Serialize;
use serde_json::Value;

use super::App;
use super::action::parameter;
use super::answer::Element;
use crate::engine::SimulationRequest;
use crate::failure::{Answer, Failure, Named};

/// The answer.
#[derive(Serialize)]
pub(super) struct SimulationObject {
    result: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

pub(super) async fn simulate(
    app: &App,
    policy: &str,
    query: Option<&str>,
    body: Value,
) -> Answer<Element<SimulationObject>> {
    let simulated = app.engine.simulate(policy, request(query, body)?).await?;
    Ok(Element(SimulationObject { result: simulated.result, trace: simulated.trace }))
}

fn request(query: Option<&str>, body: Value) -> Answer<SimulationRequest> {
    let flag = |name| {
        parameter(query, name)
            .last()
            .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
    };
    let text = |key: &str| match body.get(key) {
        None | Some(Value::Null) => Err(Failure::title(Named::IncompleteSimulateArgs)),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => {
            Err(Failure::named(Named::IncompleteSimulateArgs, format_args!("{key} is no text")))
        }
    };
    Ok(SimulationRequest {
        query: text("query")?,
        sequence: text("sequence")?,
        action_policy: text("action_policy")?,
        delta: flag("delta"),
        trace: flag("trace"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests() {
        let body = json!({"query": "p(x)", "sequence": "", "action_policy": "action"});
        let of = |query| request(Some(query), body.clone()).unwrap();
        assert!(!of("delta=False&trace=0").delta && !of("delta=yes").delta);
        assert!(of("delta=1").delta && of("action=simulate&trace=TRUE").trace);
        for key in ["query", "sequence", "action_policy"] {
            for value in [json!(null), json!(7)] {
                let mut body = body.clone();
                body[key] = value;
                assert_eq!(request(None, body).unwrap_err().code, 1004);
            }
        }
        assert_eq!(request(None, json!([])).unwrap_err().code, 1004);
    }
}
