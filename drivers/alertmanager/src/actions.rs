//! Making and ending silences.

use congress_driver::actions::{self, Arguments, Template, bare};
use congress_driver::session::Request;
use congress_driver::{Action, Call, Result, clock, describe, url};
use serde_json::{Map, Value as Json, json};

const CREATE: &str = "silences.create";
const CREATE_ARGUMENTS: &str = "label value minutes=60 comment? created_by=congress regex=false";

const TEMPLATES: &[Template] = &[bare(
    "silences.expire",
    "silence",
    "DELETE api/v2/silence/{silence}",
    "Ends a silence, given its id.",
)];

/// All actions, as the metadata shows them.
pub(crate) fn all() -> impl Iterator<Item = Action> {
    let create = describe::action(CREATE, "Silences the alerts with a label of that value.")
        .argument(
            "label",
            "The label's name; or an object of labels and values, all of which must fit.",
        )
        .argument("value", "The label's value; anything for an object of labels.")
        .optional("minutes", "How long, from now; 60 by default.")
        .optional("comment", "Why.")
        .optional("created_by", "Who; congress by default.")
        .optional("regex", "Whether the value is a regular expression.");
    actions::describe(TEMPLATES).chain([create])
}

/// The request that a call makes.
pub(crate) fn request(call: &Call, base: &str) -> Result<Request> {
    if call.action != CREATE {
        return actions::request(TEMPLATES, call, base);
    }
    let request = Request::new("POST", &url::join(base, "api/v2/silences"));
    Ok(request.header("accept", "application/json").json(&silence(call, clock::now())?))
}

/// The silence that a call makes at that time.
fn silence(call: &Call, now: i64) -> Result<Json> {
    let arguments = Arguments::of(call, CREATE_ARGUMENTS)?;
    let get = |name: &str| arguments.get(name).unwrap_or(&Json::Null);
    let text = |json: &Json| match json {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let regex = matches!(text(get("regex")).to_ascii_lowercase().as_str(), "true" | "1");
    let labels = match get("label") {
        Json::Object(labels) => labels.clone(),
        name => Map::from_iter([(text(name), get("value").clone())]),
    };
    if labels.is_empty() {
        return Err(actions::wrong(call, "without a label, all alerts would be silenced"));
    }
    let matchers: Vec<Json> = labels
        .iter()
        .map(|(name, value)| {
            json!({ "name": name, "value": text(value), "isRegex": regex, "isEqual": true })
        })
        .collect();
    let minutes = text(get("minutes")).parse::<u32>().ok().filter(|minutes| *minutes > 0);
    let minutes = minutes
        .ok_or_else(|| actions::wrong(call, "argument 'minutes' must be a number above 0"))?;
    let ends = now.saturating_add(i64::from(minutes) * 60);
    let comment = match get("comment") {
        Json::Null => "A policy asked for it.".to_owned(), // it must not be empty
        comment => text(comment),
    };
    Ok(json!({
        "matchers": matchers, "startsAt": clock::utc(now), "endsAt": clock::utc(ends),
        "createdBy": text(get("created_by")), "comment": comment,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_000_000;

    fn made(positional: &[Json], named: &[(&str, Json)]) -> Result<Json> {
        let named = named.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        silence(&Call { action: CREATE.into(), positional: positional.to_vec(), named }, NOW)
    }

    #[test]
    fn a_silence_matches_labels_for_a_time() {
        let silence =
            made(&[json!("instance"), json!("node-1")], &[("minutes", json!("90"))]).unwrap();
        assert_eq!(
            silence,
            json!({
                "matchers": [
                    {"name": "instance", "value": "node-1", "isRegex": false, "isEqual": true}
                ],
                "startsAt": "2026-11-18T11:06:40Z", "endsAt": "2026-11-18T12:36:40Z",
                "createdBy": "congress", "comment": "A policy asked for it.",
            })
        );
        let labels = json!({"job": "node", "zone": 1});
        let silence = made(&[labels, Json::Null, json!(5), json!("why")], &[]);
        // A null value counts as missing.
        assert!(silence.is_err());
        let labels = json!({"job": "node", "zone": 1});
        let silence = made(&[labels, json!(""), json!(5), json!("why")], &[]).unwrap();
        assert_eq!(silence["matchers"][1]["value"], "1");
        assert_eq!(silence["comment"], "why");
    }

    #[test]
    fn nothing_and_forever_are_refused() {
        assert!(made(&[json!({}), json!("")], &[]).is_err());
        assert!(made(&[json!("a"), json!("b"), json!(0)], &[]).is_err());
        assert!(made(&[json!("a"), json!("b"), json!("soon")], &[]).is_err());
        assert!(made(&[json!("a")], &[]).is_err());
    }
}
