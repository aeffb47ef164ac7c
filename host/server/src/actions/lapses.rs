//! Actions that are not run, until the ledger says so.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use congress_store::ActionKey;

use super::mirror::Id;

/// An action that is not run.
#[derive(Clone, Debug, PartialEq)]
pub struct Lapse {
    /// Which.
    pub id: Id,
    /// What.
    pub key: Arc<ActionKey>,
    /// Why.
    pub reason: String,
    /// Its row has gone.
    pub gone: bool,
}

/// Those that are to be entered, in order.
#[derive(Debug, Default)]
pub(super) struct Lapses {
    queue: VecDeque<Lapse>,
    /// Of each action how often it is in the queue, and whether its row has gone since.
    waiting: HashMap<Id, (usize, bool)>,
}

impl Lapses {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds one behind all others.
    pub(super) fn push(&mut self, lapse: Lapse) {
        self.waiting.entry(lapse.id.clone()).or_default().0 += 1;
        self.queue.push_back(lapse);
    }

    /// The row of an action went. False if that action is not among these.
    pub(super) fn went(&mut self, id: &Id) -> bool {
        let waiting = self.waiting.get_mut(id);
        waiting.map(|(_, gone)| *gone = true).is_some()
    }

    /// Takes the first ones, so many at most.
    pub(super) fn take(&mut self, most: usize) -> Vec<Lapse> {
        let mut taken: Vec<Lapse> = self.queue.drain(..most.min(self.queue.len())).collect();
        for lapse in &mut taken {
            let Some((count, gone)) = self.waiting.get_mut(&lapse.id) else { continue };
            *count -= 1;
            if *count == 0 {
                // With the last one: a lapse that came after it would undo it.
                lapse.gone |= *gone;
                self.waiting.remove(&lapse.id);
            }
        }
        taken
    }

    /// Puts back what was taken and not entered. Of the rows that have gone meanwhile, those of
    /// these actions are told with them: entered before the lapse, they would be undone by it.
    pub(super) fn put_back(&mut self, lapses: Vec<Lapse>, gone: &mut BTreeSet<Id>) {
        for mut lapse in lapses.into_iter().rev() {
            lapse.gone |= gone.remove(&lapse.id);
            self.waiting.entry(lapse.id.clone()).or_default().0 += 1;
            self.queue.push_front(lapse);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lapse(id: &str) -> Lapse {
        let key = ActionKey {
            policy: "p".into(),
            service: "s".into(),
            action: "a".into(),
            args: format!("[{id}]"),
        };
        Lapse { id: id.into(), key: Arc::new(key), reason: String::new(), gone: false }
    }

    fn taken(lapses: &mut Lapses, most: usize) -> Vec<(String, bool)> {
        lapses.take(most).iter().map(|lapse| (lapse.id.to_string(), lapse.gone)).collect()
    }

    #[test]
    fn a_row_that_goes_is_told_with_the_last_lapse_of_its_action() {
        let mut lapses = Lapses::default();
        ["a", "b", "a"].map(lapse).into_iter().for_each(|lapse| lapses.push(lapse));
        assert!(lapses.went(&"a".into()) && !lapses.went(&"c".into()));
        assert_eq!(taken(&mut lapses, 2), [("a".to_owned(), false), ("b".to_owned(), false)]);
        assert!(!lapses.went(&"b".into()));
        assert_eq!(taken(&mut lapses, 2), [("a".to_owned(), true)]);
        assert!(!lapses.went(&"a".into()) && lapses.is_empty());
    }

    #[test]
    fn what_was_not_entered_comes_first_again() {
        let mut lapses = Lapses::default();
        ["a", "b", "c"].map(lapse).into_iter().for_each(|lapse| lapses.push(lapse));
        let first = lapses.take(2);
        let mut gone = BTreeSet::from(["b".into(), "x".into()]);
        lapses.put_back(first, &mut gone);
        assert_eq!(gone, BTreeSet::from(["x".into()]));
        assert!(lapses.went(&"a".into()));
        let expected = [("a", true), ("b", true), ("c", false)];
        assert_eq!(taken(&mut lapses, 9), expected.map(|(id, gone)| (id.to_owned(), gone)));
    }
}
