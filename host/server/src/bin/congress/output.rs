//! Printing answers.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::Value;

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// An aligned table.
    Table,
    /// JSON, as the server sent it.
    Json,
    /// Comma-separated values.
    Csv,
}

/// What the server answered.
pub(crate) enum Answer {
    /// Nothing to show.
    Nothing,
    /// It has been shown already; how it ended.
    Printed(ExitCode),
    /// One object.
    Element(Value),
    /// Many of them, of which some members are shown as columns.
    Table { whole: Value, heading: Vec<String>, lines: Vec<Vec<String>> },
}

impl Answer {
    /// A list of objects.
    pub(crate) fn list(whole: Value, columns: &[&str]) -> Self {
        let line = |item: &Value| columns.iter().map(|column| cell(&item[*column])).collect();
        let lines = items(&whole).iter().map(line).collect();
        Self::Table { lines, heading: columns.iter().map(|c| (*c).to_owned()).collect(), whole }
    }

    /// Rows of a table, with the columns' names where they are known.
    pub(crate) fn rows(whole: Value, spec: Option<&Value>) -> Self {
        let mut lines: Vec<Vec<String>> = items(&whole)
            .iter()
            .map(|row| {
                row["data"].as_array().map_or(&[][..], Vec::as_slice).iter().map(cell).collect()
            })
            .collect();
        lines.sort();
        let names = spec
            .and_then(|spec| spec["columns"].as_array())
            .map(|columns| columns.iter().map(|column| cell(&column["name"])).collect::<Vec<_>>());
        let width = lines.iter().map(Vec::len).max().unwrap_or_default();
        let heading = names.unwrap_or_else(|| (0..width).map(|i| i.to_string()).collect());
        Self::Table { whole, heading, lines }
    }
}

fn items(whole: &Value) -> &[Value] {
    whole["results"].as_array().map_or(&[], Vec::as_slice)
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Prints an answer to standard output.
pub(crate) fn print(answer: &Answer, format: Format) -> anyhow::Result<ExitCode> {
    let text = match (answer, format) {
        (Answer::Nothing, _) => return Ok(ExitCode::SUCCESS),
        (Answer::Printed(code), _) => return Ok(*code),
        (Answer::Element(whole) | Answer::Table { whole, .. }, Format::Json) => {
            serde_json::to_string_pretty(whole)? + "\n"
        }
        (Answer::Element(whole), format) => {
            let lines: Vec<_> = whole
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| vec![key.clone(), cell(value)])
                .collect();
            lay_out(&["field".to_owned(), "value".to_owned()], &lines, format)
        }
        (Answer::Table { heading, lines, .. }, format) => lay_out(heading, lines, format),
    };
    write(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output.
pub(crate) fn write(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write the answer"),
    }
}

/// Writes a line for people to standard error, so that standard output holds answers only.
#[expect(clippy::print_stderr, reason = "that is where a command reports how it goes")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

fn lay_out(heading: &[String], lines: &[Vec<String>], format: Format) -> String {
    match format {
        Format::Csv => csv(heading, lines),
        Format::Table | Format::Json => aligned(heading, lines),
    }
}

/// Comma-separated values, quoted where needed.
pub(crate) fn csv(heading: &[String], lines: &[Vec<String>]) -> String {
    let field = |text: &String| match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.clone(),
    };
    std::iter::once(heading)
        .chain(lines.iter().map(Vec::as_slice))
        .map(|row| row.iter().map(field).collect::<Vec<_>>().join(",") + "\n")
        .collect()
}

/// Columns side by side. Control characters are shown, not sent to the terminal.
pub(crate) fn aligned(heading: &[String], lines: &[Vec<String>]) -> String {
    let clean = |text: &String| -> String {
        text.chars()
            .flat_map(|c| {
                let shown: Box<dyn Iterator<Item = char>> = if c.is_control() {
                    Box::new(c.escape_default())
                } else {
                    Box::new(std::iter::once(c))
                };
                shown
            })
            .collect()
    };
    let rows: Vec<Vec<String>> = std::iter::once(heading.to_vec())
        .chain(lines.iter().cloned())
        .map(|line| line.iter().map(clean).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|i| {
            rows.iter().filter_map(|row| row.get(i)).map(|c| c.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width)).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
        if number == 0 {
            let rule: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text.push_str(&rule.join("  "));
            text.push('\n');
        }
    }
    text.push_str(&match lines.len() {
        1 => "(1 row)\n".to_owned(),
        n => format!("({n} rows)\n"),
    });
    text
}

/// A cell with spaces behind it. `format!` cannot pad to more than 65,535.
fn padded(cell: &str, width: usize) -> String {
    let missing = width.saturating_sub(cell.chars().count());
    format!("{cell}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn csv_is_quoted() {
        let lines = [vec!["a,b".to_owned(), "say \"x\"".to_owned()], vec![String::new(); 2]];
        let text = csv(&["p".to_owned(), "q".to_owned()], &lines);
        assert_eq!(text, "p,q\n\"a,b\",\"say \"\"x\"\"\"\n,\n");
    }

    #[test]
    fn tables_are_aligned_and_harmless() {
        let rows = json!({"results": [{"data": ["b\u{1b}[31m", 1]}, {"data": ["aé", 22]}]});
        let Answer::Table { heading, lines, .. } = Answer::rows(rows, None) else { panic!() };
        assert_eq!(
            aligned(&heading, &lines),
            "0            1\n-----------  --\naé           22\nb\\u{1b}[31m  1\n(2 rows)\n"
        );
    }

    #[test]
    fn a_cell_may_be_as_long_as_it_likes() {
        let lines = [vec!["x".repeat(100_000)], vec!["y".to_owned()]];
        let text = aligned(&["long".to_owned()], &lines);
        assert!(text.lines().any(|line| line == lines[0][0]));
    }
}
