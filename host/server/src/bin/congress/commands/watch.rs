//! `congress policy row watch` and `congress datasource row watch`: rows as they come and go.
//!
//! What goes by is printed; nothing is kept but the rows of now, which tell what a new snapshot
//! changes. A connection that breaks off is made anew.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::events::{Event, Parser};
use super::table::{Owner, Place};
use crate::http::{Refusal, Server};
use crate::output::{self, Answer, Format, View, cell};

/// How long it waits before it connects anew, from first to last.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

/// The server says something every 15 s: after this it is gone.
const SILENCE: Duration = Duration::from_secs(60);

/// The code of a server that may have time for it later.
const BUSY: u64 = 503;

/// What `watch` takes.
#[derive(Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    place: Place,
    /// Ends after so many changes of rows.
    #[arg(long, value_name = "N")]
    changes: Option<u64>,
    /// Shows changes only, not the rows of the beginning.
    #[arg(long)]
    new: bool,
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// It was there from the beginning.
    There,
    Added,
    Removed,
}

impl Watch {
    pub(super) async fn run(
        self,
        owner: Owner,
        server: &Server,
        view: &View,
    ) -> anyhow::Result<Answer> {
        let mut shown = Shown::new(self.changes, self.new, view.format);
        let path = self.place.path(owner, &["events"]);
        let mut attempt = 0;
        loop {
            match follow(server, &path, &mut shown).await {
                Ok(()) if shown.is_done() => return Ok(Answer::Printed(ExitCode::SUCCESS)),
                Ok(()) => {
                    attempt = 0;
                    output::note("the server has ended the stream; connecting anew");
                }
                // Before anything was seen it is most likely a mistake.
                Err(error) if !shown.begun || is_final(&error) => return Err(error),
                Err(error) => output::note(&format!("{error:#}; connecting anew")),
            }
            tokio::time::sleep(PAUSES[attempt.min(PAUSES.len() - 1)]).await;
            attempt += 1;
        }
    }
}

/// Whether asking again will not help.
fn is_final(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.code != BUSY);
    refused || error.is::<Unreadable>()
}

/// The server says what cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the server sent an event that cannot be read: {0}")]
struct Unreadable(serde_json::Error);

/// Shows what one connection brings, until it ends or enough has been seen.
async fn follow(server: &Server, path: &[&str], shown: &mut Shown) -> anyhow::Result<()> {
    let mut response = server.stream(path).await?;
    let mut parser = Parser::default();
    loop {
        let piece = tokio::time::timeout(SILENCE, response.chunk()).await;
        let Some(piece) =
            piece.context("the server has fallen silent")?.context("the stream broke off")?
        else {
            return Ok(());
        };
        for event in parser.read(&piece)? {
            shown.take(&event)?;
            if shown.is_done() {
                return Ok(());
            }
        }
    }
}

/// The rows of now, and how what happens to them is printed.
struct Shown {
    rows: HashSet<String>,
    /// The rows of a snapshot that has not ended yet.
    next: HashSet<String>,
    begun: bool,
    left: Option<u64>,
    only_new: bool,
    format: Format,
}

impl Shown {
    fn new(left: Option<u64>, only_new: bool, format: Format) -> Self {
        let (rows, next) = Default::default();
        Self { rows, next, begun: false, left, only_new, format }
    }

    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    fn take(&mut self, event: &Event) -> anyhow::Result<()> {
        let data: Value = serde_json::from_str(&event.data).map_err(Unreadable)?;
        match event.name.as_str() {
            "snapshot" => {
                if data["first"] == true {
                    self.next.clear();
                }
                self.next.extend(rows(&data["results"]));
                if data["last"] == true {
                    self.replace()?;
                }
            }
            "change" => {
                for row in rows(&data["removed"]) {
                    if self.rows.remove(&row) {
                        self.print(Sign::Removed, &row)?;
                    }
                }
                for row in rows(&data["added"]) {
                    if self.rows.insert(row.clone()) {
                        self.print(Sign::Added, &row)?;
                    }
                }
            }
            "gone" => output::note("nobody publishes the table at present"),
            // What later servers may say.
            _ => {}
        }
        Ok(())
    }

    /// A snapshot is there: what differs has changed meanwhile.
    fn replace(&mut self) -> anyhow::Result<()> {
        let next = std::mem::take(&mut self.next);
        let old = std::mem::replace(&mut self.rows, next.clone());
        let mut gone: Vec<_> = old.difference(&next).collect();
        let mut new: Vec<_> = next.difference(&old).collect();
        gone.sort();
        new.sort();
        let sign = if self.begun { Sign::Added } else { Sign::There };
        for row in gone {
            self.print(Sign::Removed, row)?;
        }
        for row in new {
            self.print(sign, row)?;
        }
        self.begun = true;
        Ok(())
    }

    fn print(&mut self, sign: Sign, row: &str) -> anyhow::Result<()> {
        if self.is_done() || (sign == Sign::There && self.only_new) {
            return Ok(());
        }
        if sign != Sign::There
            && let Some(left) = &mut self.left
        {
            *left -= 1;
        }
        output::write(&line(sign, row, self.format)?)
    }
}

/// Rows as their JSON texts.
fn rows(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|row| row["data"].to_string()).collect()
}

/// One line for each row, so that others can read along.
fn line(sign: Sign, row: &str, format: Format) -> anyhow::Result<String> {
    let mark = match sign {
        Sign::There => " ",
        Sign::Added => "+",
        Sign::Removed => "-",
    };
    let data: Value = serde_json::from_str(row)?;
    let cells: Vec<String> = data.as_array().into_iter().flatten().map(cell).collect();
    Ok(match format {
        Format::Json | Format::Yaml => {
            let change = match sign {
                Sign::There => "present",
                Sign::Added => "added",
                Sign::Removed => "removed",
            };
            output::on_one_line(&json!({"change": change, "data": data})) + "\n"
        }
        Format::Csv | Format::Value => {
            let cells = [&[mark.to_owned()][..], &cells].concat();
            output::line(&cells, format)
        }
        Format::Table => {
            let cells: Vec<_> = cells.iter().map(|cell| output::clean(cell)).collect();
            let text = format!("{mark} {}", cells.join("  "));
            let style = match sign {
                Sign::There => return Ok(text + "\n"),
                Sign::Added => "32",
                Sign::Removed => "31",
            };
            output::styled(text.trim_end(), style) + "\n"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &Value) -> Event {
        Event { name: name.to_owned(), data: data.to_string() }
    }

    #[test]
    fn a_new_snapshot_is_compared_with_the_rows_of_now() {
        let mut shown = Shown::new(Some(3), true, Format::Value);
        let snapshot = |rows: Value, first, last| {
            event("snapshot", &json!({"results": rows, "first": first, "last": last}))
        };
        shown.take(&snapshot(json!([{"data": [1]}]), true, false)).unwrap();
        assert!(!shown.begun);
        shown.take(&snapshot(json!([{"data": [2]}]), false, true)).unwrap();
        assert!(shown.begun && shown.left == Some(3) && shown.rows.len() == 2);
        // 1 went, 3 came; what came and is there already is no change.
        shown.take(&snapshot(json!([{"data": [2]}, {"data": [3]}]), true, true)).unwrap();
        shown.take(&event("change", &json!({"added": [{"data": [3]}], "removed": []}))).unwrap();
        assert_eq!(shown.left, Some(1));
        shown.take(&event("change", &json!({"removed": [{"data": [2]}, {"data": [3]}]}))).unwrap();
        assert!(shown.is_done());
    }
}
