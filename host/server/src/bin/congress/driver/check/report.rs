//! What was checked, and what came of it.

use std::fmt;

use serde::Serialize;

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
    Failed,
    Skipped,
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
        const SHOWN: usize = 5;
        match problems {
            [] => self.pass(check),
            [problem] => self.fail(check, problem),
            _ => {
                let mut text = problems.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
                if problems.len() > SHOWN {
                    text += &format!("\n… and {} more", problems.len() - SHOWN);
                }
                self.fail(check, text);
            }
        }
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
            let word = match result {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAIL",
                Outcome::Skipped => "skip",
            };
            writeln!(f, "{word:<5} {check}")?;
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
