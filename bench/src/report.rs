//! The printed tables.

use std::fmt::Write as _;

use crate::recorder::{Recorder, Step, Unit};
use crate::reference;

/// What one engine did with a workload, or why it did not.
pub(crate) type Outcome = Result<Recorder, String>;

const HEADINGS: [&str; 9] = [
    "step",
    "answers",
    "ours, median",
    "ours, best",
    "DuckDB",
    "SQLite",
    "original",
    "vs. original",
    "vs. faster peer",
];

/// A table of all steps as text; and what is wrong with the answers, if anything. `expected`: how
/// many answers the first query has.
pub(crate) fn table(
    workload: &str,
    mut expected: Option<u64>,
    ours: &Outcome,
    peers: &[Option<Outcome>; 2],
) -> (String, Vec<String>) {
    let all = [Some(ours), peers[0].as_ref(), peers[1].as_ref()];
    let names = ["ours", "DuckDB", "SQLite"];
    let recorders = all.map(|outcome| outcome.and_then(|outcome| outcome.as_ref().ok()));

    let mut steps: Vec<&Step> = Vec::new();
    for step in recorders.iter().flatten().flat_map(|recorder| &recorder.steps) {
        if steps.iter().all(|known| known.name != step.name) {
            steps.push(step);
        }
    }
    let mut rows = vec![HEADINGS.iter().map(|text| (*text).to_owned()).collect()];
    let mut wrong = Vec::new();
    for step in steps {
        let found = recorders.map(|recorder| recorder.and_then(|all| all.find(&step.name)));
        let counts = found.map(|step| step.map(|step| &step.answers).filter(|all| !all.is_empty()));
        let answers = counts.iter().flatten().next().map_or_else(Vec::new, |all| (*all).clone());
        for (name, counts) in names.iter().zip(counts) {
            if counts.is_some_and(|counts| *counts != answers) {
                wrong.push(format!(
                    "{workload}, {}: {name} found {counts:?} answers, not {answers:?}",
                    step.name
                ));
            }
        }
        if let Some(expected) = expected.take_if(|_| !answers.is_empty())
            && answers[0] != expected
        {
            let found = answers[0];
            wrong.push(format!("{workload}, {}: {found} answers, not {expected}", step.name));
        }
        rows.push(row(workload, step, found, &answers));
    }
    let mut text = format!("## {workload}\n\n{}", aligned(&rows));
    for (name, outcome) in names.iter().zip(all) {
        if let Some(Err(reason)) = outcome {
            let _ = writeln!(text, "{name}: {reason}");
        }
    }
    (text, wrong)
}

fn row(workload: &str, step: &Step, found: [Option<&Step>; 3], answers: &[u64]) -> Vec<String> {
    let [ours, duckdb, sqlite] = found.map(|step| step.and_then(Step::median));
    let original = reference::find(workload, &step.name);
    let peer = [duckdb, sqlite].into_iter().flatten().min_by(f64::total_cmp);
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| amount(v, step.unit));
    let factor = |other: Option<f64>, capped: bool| match (ours, other) {
        (Some(ours), Some(other)) if ours > 0.0 => {
            format!("{}{}", if capped { "> " } else { "" }, times(other / ours))
        }
        _ => "-".to_owned(),
    };
    let capped = original.is_some_and(|original| original.capped);
    vec![
        step.name.clone(),
        several(answers),
        shown(ours),
        shown(found[0].and_then(Step::best)),
        shown(duckdb),
        shown(sqlite),
        match original {
            Some(original) if original.capped => "> 120 s".to_owned(),
            other => shown(other.map(|original| original.seconds)),
        },
        factor(original.map(|original| original.seconds), capped),
        factor(peer, false),
    ]
}

/// Counts of answers: all the same, or the first and the last.
fn several(answers: &[u64]) -> String {
    match answers {
        [] => String::new(),
        [one] => one.to_string(),
        [first, .., last] => format!("{first} … {last}"),
    }
}

/// A factor: above 1 we are better.
fn times(factor: f64) -> String {
    match factor {
        f if f >= 10.0 => format!("{f:.0} ×"),
        f => format!("{f:.2} ×"),
    }
}

fn amount(value: f64, unit: Unit) -> String {
    let (number, unit) = match unit {
        Unit::Seconds if value >= 1.0 => (value, "s"),
        Unit::Seconds if value >= 1e-3 => (value * 1e3, "ms"),
        Unit::Seconds => (value * 1e6, "µs"),
        Unit::PerSecond => (value, "/s"),
        Unit::Bytes if value >= 1e6 => (value / 1e6, "MB"),
        Unit::Bytes => (value, "bytes"),
        Unit::Ratio => return times(value),
    };
    match number {
        n if n >= 100.0 => format!("{n:.0} {unit}"),
        n if n >= 10.0 => format!("{n:.1} {unit}"),
        n => format!("{n:.2} {unit}"),
    }
}

/// Rows as a Markdown table whose columns line up; the first row is the heading.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let widths = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        widths.max().unwrap_or_default()
    };
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, "| {cell:<width$} "),
                _ => write!(text, "| {cell:>width$} "),
            };
        }
        text.push_str("|\n");
        if at == 0 {
            for (column, width) in widths.iter().enumerate() {
                let rule = "-".repeat(width + 1);
                text.push_str(&if column == 0 { format!("|{rule}-") } else { format!("|{rule}:") });
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(seconds: f64, answers: usize) -> Outcome {
        let mut recorder = Recorder::default();
        recorder.sample("read it", Unit::Seconds, seconds);
        recorder.answers("read it", answers);
        Ok(recorder)
    }

    #[test]
    fn other_answers_are_an_error() {
        let peers = [Some(outcome(0.002, 3)), Some(Err("not installed".to_owned()))];
        let (text, wrong) = table("w", Some(3), &outcome(0.001, 3), &peers);
        assert!(text.contains("2.00 ×") && text.contains("SQLite: not installed"), "{text}");
        assert!(wrong.is_empty());
        let (_, wrong) = table("w", None, &outcome(0.001, 4), &peers);
        assert_eq!(wrong.len(), 1);
        let (_, wrong) = table("w", Some(5), &outcome(0.001, 4), &[None, None]);
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn amounts_have_three_digits() {
        let printed = [0.0000123, 0.00456, 12.3456].map(|seconds| amount(seconds, Unit::Seconds));
        assert_eq!(printed, ["12.3 µs", "4.56 ms", "12.3 s"]);
        assert_eq!(amount(186.4, Unit::Bytes), "186 bytes");
    }
}
