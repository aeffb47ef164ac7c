//! Printing answers.

use std::io::{self, Write};

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
}

/// What the server answered.
pub(crate) enum Answer {
    /// Nothing to show.
    Nothing,
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
pub(crate) fn print(answer: &Answer, format: Format) -> anyhow::Result<()> {
    let text = match (answer, format) {
        (Answer::Nothing, _) => return Ok(()),
        (Answer::Element(whole) | Answer::Table { whole, .. }, Format::Json) => {
            serde_json::to_string_pretty(whole)? + "\n"
        }
        (Answer::Element(whole), Format::Table) => {
            let lines: Vec<_> = whole
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| vec![key.clone(), cell(value)])
                .collect();
            aligned(&["field".to_owned(), "value".to_owned()], &lines)
        }
        (Answer::Table { heading, lines, .. }, Format::Table) => aligned(heading, lines),
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write the answer"),
    }
}

/// Columns side by side. Control characters are shown, not sent to the terminal.
fn aligned(heading: &[String], lines: &[Vec<String>]) -> String {
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
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_are_aligned_and_harmless() {
        let rows = json!({"results": [{"data": ["b\u{1b}[31m", 1]}, {"data": ["aé", 22]}]});
        let Answer::Table { heading, lines, .. } = Answer::rows(rows, None) else { panic!() };
        assert_eq!(
            aligned(&heading, &lines),
            "0            1\n-----------  --\naé           22\nb\\u{1b}[31m  1\n(2 rows)\n"
        );
    }
}
