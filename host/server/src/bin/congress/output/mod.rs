//! Printing answers.

mod clean;
mod layout;
mod pager;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

pub(crate) use clean::{clean, clean_lines};
pub(crate) use layout::styled;

/// What lists are called.
const RESULTS: &str = "results";

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// An aligned table.
    Table,
    /// JSON, as the server sent it.
    Json,
    /// The same as YAML.
    Yaml,
    /// Comma-separated values.
    Csv,
    /// The values alone, a row a line, spaces between them.
    Value,
}

/// How to print, and what of it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) format: Format,
    /// Only these columns, in this order; all if there are none.
    pub(crate) columns: Vec<String>,
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
    Table {
        /// As it was sent.
        whole: Value,
        /// What of it the lines are of.
        members: &'static str,
        heading: Vec<String>,
        lines: Vec<Vec<String>>,
        /// What follows the table for people: a trace.
        after: Option<String>,
    },
    /// A text for people, and what it stands for.
    Text { whole: Value, text: String },
}

impl Answer {
    /// A list of objects.
    pub(crate) fn list(whole: Value, columns: &[&str]) -> Self {
        Self::members(whole, RESULTS, columns)
    }

    /// A list of objects that has another name than `results`.
    pub(crate) fn members(whole: Value, members: &'static str, columns: &[&str]) -> Self {
        let line = |item: &Value| columns.iter().map(|column| cell(&item[*column])).collect();
        let lines = items(&whole, members).iter().map(line).collect();
        let heading = columns.iter().map(|c| (*c).to_owned()).collect();
        Self::Table { whole, members, heading, lines, after: None }
    }

    /// Rows of a table, with the columns' names where they are known, and numbers where they are not:
    /// tables that rows are pushed to declare none. Unless the server has sorted them they have no
    /// order: they get one.
    pub(crate) fn rows(whole: Value, spec: Option<&Value>, sorted: bool) -> Self {
        let mut lines: Vec<Vec<String>> = items(&whole, RESULTS)
            .iter()
            .map(|row| row["data"].as_array().into_iter().flatten().map(cell).collect())
            .collect();
        if !sorted {
            lines.sort();
        }
        let names = spec.and_then(|spec| spec["columns"].as_array()).into_iter().flatten();
        let mut heading: Vec<String> = names.map(|column| cell(&column["name"])).collect();
        let width = lines.iter().map(Vec::len).max().unwrap_or_default();
        heading.extend((heading.len()..width).map(|i| i.to_string()));
        let after = whole["trace"].as_str().map(str::to_owned);
        Self::Table { whole, members: RESULTS, heading, lines, after }
    }

    /// Prints it to standard output.
    pub(crate) fn print(self, view: &View) -> anyhow::Result<ExitCode> {
        let text = match self {
            Self::Nothing => return Ok(ExitCode::SUCCESS),
            Self::Printed(code) => return Ok(code),
            Self::Text { text, .. } if view.format == Format::Table => clean_lines(&text),
            Self::Text { whole, .. } | Self::Element(whole) => element(whole, view)?,
            Self::Table { whole, members, heading, lines, after } => {
                let (chosen, heading) = choose(&heading, &view.columns)?;
                match view.format {
                    Format::Json | Format::Yaml => {
                        let whole = match view.columns.is_empty() {
                            true => whole,
                            false => narrowed(whole, members, &heading, &chosen),
                        };
                        structured(&whole, view.format)?
                    }
                    format => {
                        let lines: Vec<Vec<String>> = lines
                            .into_iter()
                            .map(|line| {
                                chosen
                                    .iter()
                                    .map(|i| line.get(*i).cloned().unwrap_or_default())
                                    .collect()
                            })
                            .collect();
                        let mut text = lay_out(&heading, &lines, format);
                        if format == Format::Table {
                            text += &counted(lines.len());
                            if let Some(after) = after {
                                let _ = write!(text, "\n{}\n", clean_lines(after.trim_end()));
                            }
                        }
                        text
                    }
                }
            }
        };
        pager::show(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// One object in each format.
fn element(whole: Value, view: &View) -> anyhow::Result<String> {
    let fields: Vec<String> = match &whole {
        Value::Object(fields) => fields.keys().cloned().collect(),
        _ => Vec::new(),
    };
    let (_, fields) = choose(&fields, &view.columns)?;
    if matches!(view.format, Format::Json | Format::Yaml) {
        let part = || fields.iter().map(|field| (field.clone(), whole[field].clone()));
        return match view.columns.is_empty() {
            true => structured(&whole, view.format),
            false => structured(&part().collect::<Map<_, _>>().into(), view.format),
        };
    }
    let lines: Vec<Vec<String>> = match view.format {
        Format::Value => fields.iter().map(|field| vec![cell(&whole[field])]).collect(),
        _ => fields.iter().map(|field| vec![field.clone(), cell(&whole[field])]).collect(),
    };
    Ok(lay_out(&["field".to_owned(), "value".to_owned()], &lines, view.format))
}

/// Where the wanted columns are, and their names.
fn choose(heading: &[String], wanted: &[String]) -> anyhow::Result<(Vec<usize>, Vec<String>)> {
    if wanted.is_empty() {
        return Ok(((0..heading.len()).collect(), heading.to_vec()));
    }
    let mut chosen = Vec::with_capacity(wanted.len());
    for name in wanted {
        let place = heading.iter().position(|column| column.eq_ignore_ascii_case(name));
        match place {
            Some(place) => chosen.push(place),
            None => bail!("there is no column '{name}'; there are: {}", heading.join(", ")),
        }
    }
    let names = chosen.iter().map(|place| heading[*place].clone()).collect();
    Ok((chosen, names))
}

/// A list with these columns only.
fn narrowed(mut whole: Value, members: &str, heading: &[String], places: &[usize]) -> Value {
    let part = |item: &Value| match item {
        Value::Object(row) if row.contains_key("data") => {
            let data = &row["data"];
            let cells: Vec<_> = places.iter().map(|place| data[*place].clone()).collect();
            json!({ "data": cells })
        }
        Value::Object(fields) => {
            let value = |name: &String| fields.get(name).cloned().unwrap_or_default();
            heading.iter().map(|name| (name.clone(), value(name))).collect::<Map<_, _>>().into()
        }
        // A list of texts has one column.
        other => other.clone(),
    };
    let parts: Vec<_> = items(&whole, members).iter().map(part).collect();
    whole[members] = parts.into();
    whole
}

/// JSON or YAML.
pub(crate) fn structured(value: &Value, format: Format) -> anyhow::Result<String> {
    if format == Format::Yaml {
        return crate::files::to_yaml(value).map(for_programs);
    }
    // The same text to every parser; to a terminal it does nothing.
    Ok(clean::in_json(&serde_json::to_string_pretty(value)?) + "\n")
}

/// One value on one line, in JSON.
pub(crate) fn on_one_line(value: &Value) -> String {
    clean::in_json(&value.to_string())
}

/// One line without a heading, in CSV or as bare values.
pub(crate) fn line(cells: &[String], format: Format) -> String {
    for_programs(match format {
        Format::Csv => layout::csv_line(cells),
        _ => layout::values(&[cells.to_vec()]),
    })
}

fn items<'a>(whole: &'a Value, members: &str) -> &'a [Value] {
    whole[members].as_array().map_or(&[], Vec::as_slice)
}

/// A value as people read it.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Lines of cells in a format for such.
pub(crate) fn lay_out(heading: &[String], lines: &[Vec<String>], format: Format) -> String {
    match format {
        Format::Csv => for_programs(layout::csv(heading, lines)),
        Format::Value => for_programs(layout::values(lines)),
        Format::Table | Format::Json | Format::Yaml => layout::aligned(heading, lines),
    }
}

/// A text whose characters are data, and stay as they are; but not on a terminal.
fn for_programs(text: String) -> String {
    if io::stdout().is_terminal() { clean_lines(&text) } else { text }
}

/// What ends a table.
pub(crate) fn counted(lines: usize) -> String {
    match lines {
        1 => "(1 row)\n".to_owned(),
        n => format!("({n} rows)\n"),
    }
}

/// Writes a text that is fit for a terminal to standard output.
pub(crate) fn write(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write the answer"),
    }
}

/// Writes a line for people to standard error, so that standard output holds answers only.
#[expect(clippy::print_stderr, reason = "that is where a command reports how it goes")]
pub(crate) fn note(text: &str) {
    eprintln!("{}", clean_lines(text));
}

/// Standard error for those who write bytes: each write is a note.
#[derive(Debug, Default)]
pub(crate) struct Notes;

impl io::Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(clean_lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn columns_are_chosen_by_name() {
        let heading = columns(&["id", "name", "kind"]);
        let wanted = columns(&["kind", "ID"]);
        assert_eq!(choose(&heading, &wanted).unwrap(), (vec![2, 0], columns(&["kind", "id"])));
        let error = choose(&heading, &columns(&["age"])).unwrap_err().to_string();
        assert_eq!(error, "there is no column 'age'; there are: id, name, kind");
    }

    #[test]
    fn columns_without_a_name_have_a_number() {
        let heading = |spec: Option<&Value>| {
            let rows = json!({"results": [{"data": [1, "a"]}, {"data": [2]}]});
            match Answer::rows(rows, spec, false) {
                Answer::Table { heading, .. } => heading,
                _ => Vec::new(),
            }
        };
        let named = |names: &[&str]| {
            let columns: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
            json!({ "columns": columns })
        };
        assert_eq!(heading(None), ["0", "1"]);
        assert_eq!(heading(Some(&named(&[]))), ["0", "1"]);
        assert_eq!(heading(Some(&named(&["n"]))), ["n", "1"]);
        assert_eq!(heading(Some(&named(&["n", "text", "more"]))), ["n", "text", "more"]);
    }

    #[test]
    fn lists_and_rows_keep_their_shape() {
        let list = json!({"results": [{"id": "a", "name": "x"}]});
        assert_eq!(
            narrowed(list, RESULTS, &columns(&["name"]), &[1]),
            json!({"results": [{"name": "x"}]})
        );
        let rows = json!({"results": [{"data": [1, 2, 3]}], "trace": "t"});
        let part = json!({"results": [{"data": [3, 1]}], "trace": "t"});
        assert_eq!(narrowed(rows, RESULTS, &columns(&["2", "0"]), &[2, 0]), part);
    }
}
