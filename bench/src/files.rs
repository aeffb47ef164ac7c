//! Workloads as plain files: a folder with `meta.json`, `rules.txt`, `query.txt`,
//! `facts/<table>.tsv` and `updates/NNN.tsv`.
//!
//! Cells are `i:<int>`, `f:<float>` or `s:<text>`, separated by tabs. A line of an update starts
//! with `+` or `-` and the table.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use congress_table::{Change, Row, TableDelta, Value};

/// A workload on disk. Rows are read when they are asked for.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) folder: PathBuf,
    pub(crate) meta: serde_json::Value,
    /// One rule each.
    pub(crate) rules: Vec<String>,
    /// One query each.
    pub(crate) queries: Vec<String>,
}

impl Workload {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let text = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let lines = |name: &str| -> Result<Vec<String>> {
            Ok(text(name)?.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect())
        };
        let meta = serde_json::from_str(&text("meta.json")?)
            .with_context(|| format!("{}/meta.json is not JSON", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            meta,
            rules: lines("rules.txt")?,
            queries: lines("query.txt")?,
        })
    }

    /// A number of `meta.json`.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.meta.get(key)?.as_u64()
    }

    /// The first query.
    pub(crate) fn query(&self) -> Result<&str> {
        let query = self.queries.first();
        query.map(String::as_str).with_context(|| format!("{}: no query", self.folder.display()))
    }

    /// All rows of all tables, by table name.
    pub(crate) fn facts(&self) -> Result<Vec<(Arc<str>, Vec<Row>)>> {
        let mut tables = Vec::new();
        for path in sorted(&self.folder.join("facts"))? {
            let mut rows = Vec::new();
            batches(&path, usize::MAX, |batch| {
                rows = batch;
                Ok(())
            })?;
            tables.push((table_name(&path).into(), rows));
        }
        Ok(tables)
    }

    /// All rows as changes of at most `size` rows each, without holding more than one of them.
    pub(crate) fn stream_facts(
        &self,
        size: usize,
        mut with: impl FnMut(Change) -> Result<()>,
    ) -> Result<()> {
        for path in sorted(&self.folder.join("facts"))? {
            let table: Arc<str> = table_name(&path).into();
            batches(&path, size, |added| {
                let delta = TableDelta { added, removed: Vec::new() };
                with(Change { tables: vec![(table.clone(), delta)] })
            })?;
        }
        Ok(())
    }

    /// The updates, in order.
    pub(crate) fn updates(&self) -> Result<Vec<Change>> {
        sorted(&self.folder.join("updates"))?.iter().map(|path| update(path)).collect()
    }
}

/// The files of a folder by name; none if there is no folder.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn table_name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn lines(path: &Path, mut with: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    for (number, line) in BufReader::with_capacity(1 << 16, file).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        with(&line).with_context(|| format!("{}, line {}", path.display(), number + 1))?;
    }
    Ok(())
}

fn batches(path: &Path, size: usize, mut with: impl FnMut(Vec<Row>) -> Result<()>) -> Result<()> {
    let mut rows = Vec::new();
    lines(path, |line| {
        rows.push(row(line)?);
        if rows.len() >= size {
            with(std::mem::take(&mut rows))?;
        }
        Ok(())
    })?;
    with(rows)
}

fn update(path: &Path) -> Result<Change> {
    let mut change = Change::default();
    lines(path, |line| {
        let mut parts = line.splitn(3, '\t');
        let (Some(sign), Some(table), Some(cells)) = (parts.next(), parts.next(), parts.next())
        else {
            bail!("expected a sign, a table and cells");
        };
        let at = match change.tables.iter().position(|(name, _)| &**name == table) {
            Some(at) => at,
            None => {
                change.tables.push((table.into(), TableDelta::default()));
                change.tables.len() - 1
            }
        };
        let Some((_, delta)) = change.tables.get_mut(at) else {
            return Ok(());
        };
        match sign {
            "+" => delta.added.push(row(cells)?),
            "-" => delta.removed.push(row(cells)?),
            other => bail!("expected + or -, found {other:?}"),
        }
        Ok(())
    })?;
    Ok(change)
}

fn row(line: &str) -> Result<Row> {
    line.split('\t').map(cell).collect()
}

fn cell(text: &str) -> Result<Value> {
    match text.split_once(':') {
        Some(("i", int)) => Ok(Value::Int(int.parse()?)),
        Some(("f", float)) => Ok(Value::Float(float.parse()?)),
        Some(("s", text)) => Ok(Value::text(text)),
        _ => bail!("a cell must start with i:, f: or s:, found {text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn cells_of_every_type_are_read() {
        let read = row("i:-7\tf:2.5\ts:a:b c\ts:").unwrap();
        let cells: Vec<Value> =
            vec![Value::Int(-7), Value::Float(2.5), Value::text("a:b c"), Value::text("")];
        assert_eq!(*read, *cells);
        assert!(row("7").is_err() && row("i:x").is_err());
    }

    #[test]
    fn a_workload_is_read_whole_or_in_batches() {
        let folder = folder(&[
            ("meta.json", "{\"repeat\": 3}"),
            ("rules.txt", "p(x) :- q(x)\n"),
            ("query.txt", "p(x)\n\n"),
            ("facts/q.tsv", "i:1\ni:2\ni:3\n"),
            ("updates/000.tsv", "-\tq\ti:1\n+\tq\ti:4\n+\tr\ts:x\ti:1\n"),
        ]);
        let workload = Workload::open(folder.path()).unwrap();
        assert_eq!((workload.number("repeat"), workload.query().unwrap()), (Some(3), "p(x)"));
        assert_eq!(workload.rules.len(), 1);
        let facts = workload.facts().unwrap();
        assert_eq!((&*facts[0].0, facts[0].1.len()), ("q", 3));
        let mut sizes = Vec::new();
        let count = |change: Change| {
            sizes.push(change.tables[0].1.added.len());
            Ok(())
        };
        workload.stream_facts(2, count).unwrap();
        assert_eq!(sizes, [2, 1]);
        let updates = workload.updates().unwrap();
        let [(q, of_q), (_, of_r)] = &updates[0].tables[..] else { panic!("two tables") };
        assert_eq!((&**q, of_q.added.len(), of_q.removed.len(), of_r.added.len()), ("q", 1, 1, 1));
    }

    #[test]
    fn an_error_names_the_line() {
        let folder = folder(&[("facts/q.tsv", "i:1\n1\n")]);
        let error = batches(&folder.path().join("facts/q.tsv"), 9, |_| Ok(())).unwrap_err();
        assert!(error.to_string().ends_with("q.tsv, line 2"), "{error}");
    }
}
