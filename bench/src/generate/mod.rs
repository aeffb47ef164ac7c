//! Writes the workloads as plain files (see [`crate::files`]) from fixed seeds.

mod joins;
mod large;
mod small;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

/// A cell to be written.
enum Cell {
    Int(usize),
    Text(String),
}

impl From<usize> for Cell {
    fn from(int: usize) -> Self {
        Self::Int(int)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A row of cells: `cells![1, "a"]`.
macro_rules! cells {
    ($($cell:expr),* $(,)?) => { vec![$($crate::generate::Cell::from($cell)),*] };
}
use cells;

type Cells = Vec<Cell>;

/// A workload being written.
struct Folder(PathBuf);

impl Folder {
    /// `meta` becomes `meta.json`; the workload's name is added.
    fn new(
        root: &Path,
        name: &str,
        mut meta: serde_json::Value,
        rules: &[String],
        queries: &[String],
    ) -> Result<Self> {
        let path = root.join(name);
        fs::create_dir_all(path.join("facts"))
            .with_context(|| format!("cannot make {}", path.display()))?;
        if let Some(meta) = meta.as_object_mut() {
            meta.insert("name".to_owned(), json!(name));
        }
        fs::write(path.join("meta.json"), format!("{meta:#}\n"))?;
        let lines = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect();
        let (rules, queries): (String, String) = (lines(rules), lines(queries));
        fs::write(path.join("rules.txt"), rules)?;
        fs::write(path.join("query.txt"), queries)?;
        Ok(Self(path))
    }

    fn facts(&self, table: &str, rows: impl IntoIterator<Item = Cells>) -> Result<()> {
        let mut file =
            BufWriter::new(File::create(self.0.join("facts").join(format!("{table}.tsv")))?);
        for row in rows {
            writeln!(file, "{}", line(&row))?;
        }
        Ok(file.flush()?)
    }

    /// `changes`: whether the row comes, its table, its cells.
    fn update(&self, number: usize, changes: &[(bool, &str, Cells)]) -> Result<()> {
        let folder = self.0.join("updates");
        fs::create_dir_all(&folder)?;
        let mut file = BufWriter::new(File::create(folder.join(format!("{number:03}.tsv")))?);
        for (insert, table, row) in changes {
            writeln!(file, "{}\t{table}\t{}", if *insert { '+' } else { '-' }, line(row))?;
        }
        Ok(file.flush()?)
    }
}

fn line(row: &[Cell]) -> String {
    let mut line = String::new();
    for (at, cell) in row.iter().enumerate() {
        let tab = if at == 0 { "" } else { "\t" };
        // Writing to a string does not fail.
        let _ = match cell {
            Cell::Int(int) => write!(line, "{tab}i:{int}"),
            Cell::Text(text) => write!(line, "{tab}s:{text}"),
        };
    }
    line
}

/// Writes one workload below `root`.
pub(crate) fn workload(root: &Path, name: &str) -> Result<()> {
    match name {
        "insert_nonrecursive" | "update_nonrecursive" | "insert_database" | "update_database" => {
            small::facts_only(root, name)
        }
        "indexing" => small::indexing(root),
        "initialize_tables" => small::initialize_tables(root),
        "select_1match" | "select_100matches" => small::select(root, name),
        "simulate_latency" => small::simulate_latency(root),
        "join3_negation" => joins::join3_negation(root),
        "reachability_2000" => joins::reachability(root, name, 2000, false),
        "reachability_200" => joins::reachability(root, name, 200, false),
        "reachability_100" => joins::reachability(root, name, 100, false),
        "reachability_dag_100" => joins::reachability(root, name, 100, true),
        "incremental_200rules" => joins::incremental_200rules(root),
        "war_story" => large::war_story(root),
        "load_1m" => large::million_rows(root),
        other => bail!("there is no workload files '{other}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Workload;

    /// Names of files and their content, below a folder.
    fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => all.extend(content(&path)),
                false => all.push((path.clone(), fs::read(&path).unwrap())),
            }
        }
        all.sort();
        all
    }

    #[test]
    fn the_same_files_come_every_time_and_can_be_read() {
        let [first, second] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for name in ["select_1match", "reachability_dag_100", "war_story"] {
            let [first, second] = [&first, &second].map(|root| {
                workload(root.path(), name).unwrap();
                content(&root.path().join(name))
            });
            assert!(first.iter().map(|(_, text)| text).eq(second.iter().map(|(_, text)| text)));
            assert!(first.len() >= 4, "{name}");
        }
        let war_story = Workload::open(&first.path().join("war_story")).unwrap();
        let facts = war_story.facts().unwrap();
        let sizes: Vec<(&str, usize)> =
            facts.iter().map(|(table, rows)| (&**table, rows.len())).collect();
        assert_eq!(sizes, [("allowed", 2000), ("server", 3000), ("user", 70000), ("vm", 500)]);
        assert_eq!(war_story.updates().unwrap().len(), 5);
    }
}
