//! The trace of a simulation.

use std::fmt::{Arguments, Write as _};

use crate::error::{Error, ErrorKind};
use crate::topdown::MAX_TRACE_BYTES;

/// What has been told so far.
#[derive(Default)]
pub(super) struct Log(String);

impl Log {
    /// Adds a line of the simulation itself.
    pub(super) fn line(&mut self, line: Arguments<'_>) -> Result<(), Error> {
        // Writing to a text does not fail.
        let _ = writeln!(self.0, "RT    : {line}");
        self.check()
    }

    /// Adds whole lines of a query's trace.
    pub(super) fn text(&mut self, lines: &str) -> Result<(), Error> {
        self.0.push_str(lines);
        self.check()
    }

    fn check(&self) -> Result<(), Error> {
        if self.0.len() <= MAX_TRACE_BYTES {
            return Ok(());
        }
        let text =
            format!("The trace is longer than {MAX_TRACE_BYTES} bytes; simulate less at a time");
        Err(Error::new(ErrorKind::Limit, text))
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}
