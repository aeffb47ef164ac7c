//! What a driver keeps between calls, and the changes that a call makes to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{State, Undo};

/// A state with the changes of the call under way, which count only if the call succeeds.
pub(crate) struct StagedState {
    base: Arc<State>,
    changes: Changes,
    /// Bytes of keys and values, changes included.
    bytes: usize,
    limit: usize,
}

/// Keys with their new values; none removes a key.
pub(crate) type Changes = BTreeMap<String, Option<String>>;

impl StagedState {
    pub(crate) fn new(base: Arc<State>, limit: usize) -> Self {
        let bytes = base.0.iter().map(|(k, v)| k.len() + v.len()).sum();
        Self { base, changes: Changes::new(), bytes, limit }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        match self.changes.get(key) {
            Some(change) => change.as_deref(),
            None => self.base.0.get(key).map(String::as_str),
        }
    }

    pub(crate) fn set(&mut self, key: String, value: Option<String>) -> Result<(), String> {
        let size = |value: &str| key.len() + value.len();
        let before = self.get(&key).map_or(0, size);
        let after = value.as_deref().map_or(0, size);
        let bytes = self.bytes.saturating_sub(before).saturating_add(after);
        if bytes > self.limit && after > before {
            return Err(format!(
                "the state would take {bytes} bytes; the limit `state_bytes` is {}",
                self.limit
            ));
        }
        if value.is_none() && !self.base.0.contains_key(&key) {
            self.changes.remove(&key);
        } else {
            self.changes.insert(key, value);
        }
        self.bytes = bytes;
        Ok(())
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }
}

impl State {
    /// Applies a call's changes; answers what takes them back.
    pub(crate) fn apply(&mut self, changes: Changes) -> Undo {
        let apply = |(key, after): (String, Option<String>)| {
            let before = self.put(key.clone(), after.clone());
            (key, (before, after))
        };
        Undo(changes.into_iter().map(apply).collect())
    }

    /// Takes back a call's changes, but for those that others have changed since.
    pub(crate) fn undo(&mut self, undo: Undo) {
        for (key, (before, after)) in undo.0 {
            if self.0.get(&key) == after.as_ref() {
                self.put(key, before);
            }
        }
    }

    fn put(&mut self, key: String, value: Option<String>) -> Option<String> {
        match value {
            Some(value) => self.0.insert(key, value),
            None => self.0.remove(&key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_seen_counted_and_applied() {
        let mut base = State::default();
        base.0.insert("etag".into(), "12345".into());
        let mut staged = StagedState::new(Arc::new(base.clone()), 20);
        assert_eq!(staged.get("etag"), Some("12345"));
        staged.set("etag".into(), None).unwrap();
        assert_eq!(staged.get("etag"), None);
        staged.set("cursor".into(), Some("x".repeat(14))).unwrap();
        let error = staged.set("k".into(), Some("v".into())).unwrap_err();
        assert!(error.contains("`state_bytes` is 20"), "{error}");
        staged.set("cursor".into(), Some("7".into())).unwrap();
        staged.set("gone".into(), None).unwrap();

        base.apply(staged.into_changes());
        assert_eq!(base.0.into_iter().collect::<Vec<_>>(), [("cursor".into(), "7".into())]);
    }

    #[test]
    fn only_a_calls_own_changes_are_taken_back() {
        let change = |list: &[(&str, Option<&str>)]| -> Changes {
            list.iter().map(|(k, v)| ((*k).to_owned(), v.map(str::to_owned))).collect()
        };
        let mut state = State::default();
        state.apply(change(&[("a", Some("1")), ("b", Some("1"))]));
        let undo = state.apply(change(&[("a", Some("2")), ("b", None), ("c", Some("2"))]));
        state.apply(change(&[("c", Some("3")), ("d", Some("3"))]));
        state.undo(undo);
        let expected = [("a", "1"), ("b", "1"), ("c", "3"), ("d", "3")];
        assert_eq!(state.0, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }
}
