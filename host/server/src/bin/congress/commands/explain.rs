//! `congress policy explain`

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::arguments::cell;
use super::table::{Owner, Place};
use crate::http::Server;
use crate::output::Answer;

/// What `explain` takes.
#[derive(Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    place: Place,
    /// The row's values, a number or a text each; `_` stands for any. Without them any row.
    #[arg(allow_negative_numbers = true)]
    row: Vec<String>,
    /// The row as a JSON array, for texts that look like numbers or '_'; null stands for any.
    #[arg(long, value_name = "JSON", conflicts_with = "row")]
    json: Option<String>,
    /// How many steps deep it is told at most.
    #[arg(long)]
    depth: Option<u32>,
    /// How many steps are told at most.
    #[arg(long)]
    steps: Option<u32>,
    /// Of how many rows it is told for each rule that they nearly make the row.
    #[arg(long)]
    near_misses: Option<u32>,
}

impl Explain {
    pub(super) async fn run(self, server: &Server) -> anyhow::Result<Answer> {
        let row = match &self.json {
            Some(text) => match serde_json::from_str(text) {
                Ok(row @ Value::Array(_)) => row,
                _ => bail!("'{text}' is no JSON array, as [\"web1\", null]"),
            },
            None => self.row.iter().map(|text| value(text)).collect(),
        };
        let mut query = Vec::new();
        if row.as_array().is_some_and(|row| !row.is_empty()) {
            query.push(("row", row.to_string()));
        }
        for (name, number) in
            [("depth", self.depth), ("steps", self.steps), ("near_misses", self.near_misses)]
        {
            query.extend(number.map(|number| (name, number.to_string())));
        }
        let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let whole = server.get_with(&self.place.path(Owner::Policy, &["explain"]), &query).await?;
        let text = whole["text"].as_str().unwrap_or_default().to_owned();
        Ok(Answer::Text { whole, text })
    }
}

fn value(text: &str) -> Value {
    if text == "_" { json!(null) } else { cell(text) }
}
