//! Reading YAML that operators or others have written: bounded, whatever it is.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{Error, Options};

/// The most parts (texts, lists, keys …) of a text, those that aliases repeat included.
const PARTS: usize = 200_000;

/// How deep lists and objects may lie in each other.
const DEPTH: usize = 64;

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: PARTS,
            max_nodes: PARTS,
            max_depth: DEPTH,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: PARTS,
            max_replay_stack_depth: 16,
        },
        // Only these are truth values, as in JSON: `on` is a text, and so is a rule's name `y`.
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The one document of a text. The error is a sentence that says where.
pub(crate) fn only<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| sentence(&error))
}

/// All documents of a text, in order. What follows one that is no YAML cannot be read: its error is
/// the last.
pub(crate) fn each(text: &str) -> Vec<Result<Value, String>> {
    let mut bytes = text.as_bytes();
    let mut documents = Vec::new();
    for document in serde_saphyr::read_with_options::<_, Value>(&mut bytes, options()) {
        let failed = document.is_err();
        documents.push(document.map_err(|error| sentence(&error)));
        if failed {
            break;
        }
    }
    documents
}

/// On one line, for the log.
fn sentence(error: &Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_one_after_another() {
        let documents = each("---\na: 1\n---\n- yes\n- true\n---\n...\n");
        let values: Vec<_> = documents.into_iter().filter_map(Result::ok).collect();
        assert_eq!(values[..2], [json!({"a": 1}), json!(["yes", true])]);
        let broken = each("a: 1\n---\nb: [\n---\nc: 3\n");
        assert_eq!((broken.len(), broken[0].is_ok(), broken[1].is_err()), (2, true, true));
        assert!(each("").is_empty());
        let error = only::<Value>("a: 'x\n").unwrap_err();
        assert!(error.contains("line") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn what_would_fill_the_memory_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let last = format!("*a{}, ", n - 1).repeat(10);
            bomb.push_str(&format!("a{n}: &a{n} [{last}]\n"));
        }
        assert!(only::<Value>(&bomb).is_err());
        assert!(each(&bomb).iter().all(Result::is_err));
        assert!(only::<Value>(&"[".repeat(100_000)).is_err());
        assert!(only::<Value>(&"- ".repeat(100_000)).is_err());
        assert!(only::<Value>(&"- x\n".repeat(300_000)).is_err());
    }
}
