//! What a whole simulation may cost.

use std::sync::atomic::Ordering;

use crate::error::{Error, ErrorKind};
use crate::snapshot::Limits;

/// The limits, and what has been used of them so far.
pub(super) struct Budget<'a> {
    limits: Limits<'a>,
    rows: usize,
}

impl<'a> Budget<'a> {
    pub(super) fn new(limits: Limits<'a>) -> Self {
        Self { limits, rows: 0 }
    }

    /// The limits of the next evaluation.
    pub(super) fn left(&self) -> Limits<'a> {
        let rows = self.limits.rows.map(|rows| rows.saturating_sub(self.rows));
        Limits { rows, ..self.limits }
    }

    /// Counts rows that were produced, or statements that were carried out.
    pub(super) fn spend(&mut self, rows: usize) -> Result<(), Error> {
        self.rows = self.rows.saturating_add(rows);
        let refused = |text| Err(Error::new(ErrorKind::Limit, text));
        if self.limits.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return refused("The simulation was stopped".to_owned());
        }
        match self.limits.rows {
            Some(most) if self.rows > most => refused(format!(
                "The simulation produces more than {most} rows; simulate less at a time"
            )),
            _ => Ok(()),
        }
    }
}
