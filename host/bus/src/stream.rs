//! The rules of a table stream, apart from any transport.

use std::fmt;
use std::sync::Arc;

use congress_table::{Change, Row};
use serde::{Deserialize, Serialize};

use crate::{Schema, TableName};

/// Counts the publishers that a source has had. A higher epoch fences off all lower ones.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl Epoch {
    /// How many bits count the publishers within one term.
    const COUNT_BITS: u32 = 24;

    /// The epoch of a process's `count`-th publisher while it holds a lease in its `term`. Those of
    /// a higher term are higher, whatever the count.
    pub fn in_term(term: u64, count: u32) -> Self {
        let term = term.min(u64::MAX >> Self::COUNT_BITS);
        Self(term << Self::COUNT_BITS | u64::from(count) & ((1 << Self::COUNT_BITS) - 1))
    }

    /// The term of the lease that its publisher held; 0 if it needs none.
    pub fn term(self) -> u64 {
        self.0 >> Self::COUNT_BITS
    }

    /// Whether its publisher has lost the lease, once somebody has it in `term`.
    pub(crate) fn has_lost(self, term: u64) -> bool {
        self.term() != 0 && self.term() < term
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in a source's stream: how many changes its publisher has made in its epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// The publisher's epoch.
    pub epoch: Epoch,
    /// 0 for a publisher that has published nothing yet.
    pub sequence: u64,
}

impl Position {
    /// Whether it is the very next one after another of the same epoch.
    pub(crate) fn follows(self, at: Self) -> bool {
        self.epoch == at.epoch && Some(self.sequence) == at.sequence.checked_add(1)
    }
}

/// The content of a source's tables at one position.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where in the stream it was taken.
    pub position: Position,
    /// All tables that the source can have at that position.
    pub schema: Schema,
    /// The tables asked for, as far as they exist.
    pub tables: Vec<(TableName, Vec<Row>)>,
}

/// What a subscriber does with a change that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Apply it.
    Apply,
    /// It is old news, or comes from a publisher that has been replaced.
    Ignore,
    /// Something is missing before it: ask for a snapshot.
    Resync,
}

/// Where a subscriber stands in a stream. It never goes back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    at: Option<Position>,
}

impl Cursor {
    /// The position of what was applied last.
    pub fn position(&self) -> Option<Position> {
        self.at
    }

    /// Judges a change by the position that it leads to, and moves when it is to be applied.
    pub fn on_change(&mut self, to: Position) -> Step {
        match self.at {
            None => Step::Resync,
            Some(at) if to <= at => Step::Ignore,
            Some(at) if to.follows(at) => {
                self.at = Some(to);
                Step::Apply
            }
            Some(_) => Step::Resync,
        }
    }

    /// Judges a snapshot, and moves when it is to be applied: never to a lower epoch or back.
    /// The same position is applied again, for the set of tables may have grown.
    pub fn on_snapshot(&mut self, to: Position) -> bool {
        let forward = self.at.is_none_or(|at| to >= at);
        if forward {
            self.at = Some(to);
        }
        forward
    }

    /// Whether a publisher standing at `head` has something that this cursor has not.
    pub fn is_behind(&self, head: Position) -> bool {
        self.at.is_none_or(|at| head > at)
    }
}

/// What a subscriber is told.
#[derive(Clone, Debug)]
pub enum Update {
    /// The whole content of the tables it subscribed to; replaces what it had.
    Snapshot(Snapshot),
    /// A change, to be applied as a whole. Only tables it subscribed to are in it.
    Change(Position, Arc<Change>),
    /// The publisher is gone. Its rows are the last ones known, until another one comes.
    Gone,
}

/// The receiving end of a stream.
///
/// Dropping it ends the subscription.
pub struct Subscription {
    pub(crate) feed: Box<dyn Feed>,
}

impl Subscription {
    /// The next update, as soon as there is one; none when the bus is shut down. Safe to cancel:
    /// nothing is lost.
    pub async fn next(&mut self) -> Option<Update> {
        self.feed.next().await
    }

    /// Changes the set of tables. A snapshot of the new set follows.
    pub fn set_tables(&mut self, tables: std::collections::BTreeSet<TableName>) {
        self.feed.set_tables(tables);
    }
}

/// What a transport implements behind [`Subscription`].
#[async_trait::async_trait]
pub(crate) trait Feed: Send {
    async fn next(&mut self) -> Option<Update>;
    fn set_tables(&mut self, tables: std::collections::BTreeSet<TableName>);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, sequence: u64) -> Position {
        Position { epoch: Epoch(epoch), sequence }
    }

    #[test]
    fn changes_apply_in_order_and_once() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.on_change(at(1, 1)), Step::Resync);
        assert!(cursor.on_snapshot(at(1, 3)));
        assert_eq!(cursor.on_change(at(1, 3)), Step::Ignore);
        assert_eq!(cursor.on_change(at(1, 4)), Step::Apply);
        assert_eq!(cursor.on_change(at(1, 4)), Step::Ignore);
        assert_eq!(cursor.on_change(at(1, 6)), Step::Resync, "5 is missing");
        assert_eq!(cursor.position(), Some(at(1, 4)), "a gap moves nothing");
    }

    #[test]
    fn epochs_order_by_term_then_by_count() {
        assert!(Epoch::in_term(1, 70_000) < Epoch::in_term(1, 70_001));
        assert!(Epoch::in_term(1, 70_001) < Epoch::in_term(2, 1));
        assert_eq!(Epoch::in_term(9, 3).term(), 9);
    }

    #[test]
    fn a_higher_epoch_takes_over_and_a_lower_one_never_returns() {
        let mut cursor = Cursor::default();
        assert!(cursor.on_snapshot(at(1, 9)));
        assert_eq!(cursor.on_change(at(2, 1)), Step::Resync, "it may have begun with other rows");
        assert!(cursor.on_snapshot(at(2, 0)));
        assert!(!cursor.on_snapshot(at(1, 12)));
        assert_eq!(cursor.on_change(at(1, 10)), Step::Ignore);
        assert!(cursor.is_behind(at(2, 1)));
        assert!(!cursor.is_behind(at(1, 50)));
    }
}
