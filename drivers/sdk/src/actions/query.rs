//! Arguments in the query of a URL.

use serde_json::Value as Json;

use crate::{pytext, url};

/// The URL with arguments as parameters of its query: a list with commas, an object as the
/// parameters that its members are.
pub(super) fn with<'a>(
    url: String,
    arguments: impl IntoIterator<Item = (&'a str, &'a Json)>,
) -> String {
    arguments.into_iter().fold(url, |url, (name, value)| with_one(url, name, value))
}

fn with_one(url: String, name: &str, value: &Json) -> String {
    match value {
        Json::Null => url,
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(pytext::text).collect();
            url::with_query(&url, name, &items.join(","))
        }
        Json::Object(members) => {
            members.iter().fold(url, |url, (name, value)| with_one(url, name, value))
        }
        value => url::with_query(&url, name, &pytext::text(value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_become_parameters() {
        let arguments = json!({"a": 1, "b": ["x", "y"], "c": null, "d": {"e": true, "a": 2}});
        let arguments = arguments.as_object().unwrap().iter().map(|(n, v)| (&**n, v));
        let url = with("http://h/?z".into(), arguments);
        assert_eq!(url, "http://h/?z&a=2&b=x%2Cy&e=True");
    }
}
