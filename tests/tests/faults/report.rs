//! The table of faults: what clients saw, and how long it took until all was well again.

use std::io::Write as _;
use std::time::{Duration, Instant};

use congress_tests::{Attempt, Outage};

use crate::load::Load;

/// What one fault did.
pub(crate) struct Line {
    fault: &'static str,
    /// How long the fault lasted.
    lasted: Duration,
    /// How long after its end everything was as it should be.
    recovered: Duration,
    reads: Outage,
    writes: Outage,
    notes: Vec<String>,
    /// What must never be.
    wrong: Vec<String>,
}

impl Line {
    pub(crate) fn new(
        fault: &'static str,
        load: &Load,
        [begin, over, end]: [Instant; 3],
        settled: Result<Vec<String>, String>,
    ) -> Self {
        let mut wrong = load.wrong();
        let notes = settled.unwrap_or_else(|error| {
            wrong.push(error);
            Vec::new()
        });
        Self {
            fault,
            lasted: over - begin,
            recovered: end.saturating_duration_since(over),
            reads: worst(&load.reads(), begin, end),
            writes: worst(&load.writes(), begin, end),
            notes,
            wrong,
        }
    }
}

/// What all clients together did, and the worst that one of them saw.
fn worst(clients: &[Vec<Attempt>], begin: Instant, end: Instant) -> Outage {
    let mut all = Outage::default();
    for attempts in clients {
        let one = Outage::of(attempts, begin, end);
        all.attempts += one.attempts;
        all.failed += one.failed;
        all.gap = all.gap.max(one.gap);
        all.last_failure = all.last_failure.max(one.last_failure);
        all.example = all.example.or(one.example);
    }
    all
}

/// All lines. Printed as they come, past the capture of output: they are what a run is for.
pub(crate) struct Report {
    wrong: Vec<String>,
    faults: usize,
}

impl Report {
    pub(crate) fn new(rows: usize) -> Self {
        say(&format!(
            "\n20 datasources of {rows} rows, 3 engines behind HAProxy, 2 datasource nodes; times in s\n\
             {:<44} {:>6} {:>9}   {:>15} {:>5} {:>6}   {:>15} {:>5}",
            "fault",
            "lasted",
            "recovered",
            "reads failed of",
            "gap",
            "last",
            "writes failed of",
            "gap"
        ));
        Self { wrong: Vec::new(), faults: 0 }
    }

    pub(crate) fn add(&mut self, round: usize, line: Line) {
        let Line { fault, lasted, recovered, reads, writes, notes, wrong } = line;
        let seconds = |time: Duration| format!("{:.1}", time.as_secs_f64());
        let of = |outage: &Outage| format!("{} of {}", outage.failed, outage.attempts);
        say(&format!(
            "{:<44} {:>6} {:>9}   {:>15} {:>5} {:>6}   {:>15} {:>5}",
            fault,
            seconds(lasted),
            seconds(recovered),
            of(&reads),
            seconds(reads.gap),
            reads.last_failure.map_or_else(|| "-".to_owned(), seconds),
            of(&writes),
            seconds(writes.gap),
        ));
        for note in notes {
            say(&format!("    {note}"));
        }
        for (what, outage) in [("read", &reads), ("write", &writes)] {
            if let Some(example) = &outage.example {
                let example: String = example.chars().take(150).collect();
                say(&format!("    a {what} that failed: {example}"));
            }
        }
        for problem in &wrong {
            say(&format!("    WRONG: {problem}"));
        }
        self.faults += 1;
        self.wrong.extend(
            wrong.into_iter().map(|problem| format!("round {}, {fault}: {problem}", round + 1)),
        );
    }

    /// Fails if anything was wrong.
    pub(crate) fn finish(self, actions: &str) {
        say(actions);
        say(&format!("{} faults, {} of them with something wrong", self.faults, self.wrong.len()));
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

fn say(line: &str) {
    // Nobody reads the table if this fails.
    let _ = writeln!(std::io::stdout(), "{line}");
}
