//! What was checked, and what came of it.

use std::fmt;

use serde::Serialize;

/// How many problems of one check are shown.
const SHOWN: usize = 5;

/// What the columns of [`Report::lines`] are.
pub(super) const HEADING: [&str; 3] = ["check", "result", "reason"];

/// All findings, in order.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    checks: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    result: Outcome,
    /// Why it failed or was skipped; what there is to know otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Passed,
    /// Passed, with something that its author may want to know.
    Noted,
    Failed,
    Skipped,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Noted => "note",
            Self::Failed => "FAIL",
            Self::Skipped => "skip",
        }
    }
}

impl Report {
    pub(super) fn pass(&mut self, check: &'static str) {
        self.add(check, Outcome::Passed, String::new());
    }

    pub(super) fn fail(&mut self, check: &'static str, reason: impl Into<String>) {
        self.add(check, Outcome::Failed, reason.into());
    }

    pub(super) fn skip(&mut self, check: &'static str, reason: impl Into<String>) {
        self.add(check, Outcome::Skipped, reason.into());
    }

    /// Passed if there is no problem; otherwise failed, with the first few.
    pub(super) fn judge(&mut self, check: &'static str, problems: &[String]) {
        self.judge_with_notes(check, problems, &[]);
    }

    /// The same, where notes alone do not make it fail.
    pub(super) fn judge_with_notes(
        &mut self,
        check: &'static str,
        problems: &[String],
        notes: &[String],
    ) {
        let outcome = match (problems, notes) {
            ([], []) => Outcome::Passed,
            ([], _) => Outcome::Noted,
            _ => Outcome::Failed,
        };
        let lines: Vec<&str> = problems.iter().chain(notes).map(String::as_str).collect();
        let mut text = lines.iter().take(SHOWN).copied().collect::<Vec<_>>().join("\n");
        if lines.len() > SHOWN {
            text += &format!("\n… and {} more", lines.len() - SHOWN);
        }
        self.add(check, outcome, text);
    }

    /// A line for each finding.
    pub(super) fn lines(&self) -> Vec<Vec<String>> {
        let line = |finding: &Finding| {
            vec![finding.check.to_owned(), finding.result.word().to_owned(), finding.reason.clone()]
        };
        self.checks.iter().map(line).collect()
    }

    pub(super) fn failures(&self) -> usize {
        self.checks.iter().filter(|finding| finding.result == Outcome::Failed).count()
    }

    fn add(&mut self, check: &'static str, result: Outcome, reason: String) {
        self.checks.push(Finding { check, result, reason });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { check, result, reason } in &self.checks {
            writeln!(f, "{:<5} {check}", result.word())?;
            for line in reason.lines() {
                writeln!(f, "      {line}")?;
            }
        }
        match self.failures() {
            0 => writeln!(f, "{} checks, none failed", self.checks.len()),
            n => writeln!(f, "{} checks, {n} failed", self.checks.len()),
        }
    }
}
