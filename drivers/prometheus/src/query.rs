//! Tables made of queries.

use congress_driver::mapping::check_name;
use congress_driver::path::Path;
use congress_driver::rest::Collection;
use congress_driver::translate::{Field, hdict, nested, value, vdict};
use congress_driver::types::DataType::Str;
use congress_driver::{Error, Result, url};
use serde::Deserialize;

use crate::series::samples;

/// A query, and what of its answer becomes columns.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    query: String,
    /// The labels that become columns; without them, all labels are in a table of their own.
    labels: Option<Vec<String>>,
}

impl Query {
    /// The collection that makes the table.
    pub(crate) fn collection(&self, table: &str) -> Result<Collection> {
        check_name(table)?;
        let wrong = |what: String| Error::Config(format!("table '{table}': {what}"));
        if self.query.trim().is_empty() {
            return Err(wrong("the query is empty".into()));
        }
        let sample = value("value").desc("The sample; whole where it is a whole number");
        let translator = hdict(table).extract_objects(samples);
        let translator = match &self.labels {
            Some(labels) => {
                if let Some(label) = labels.iter().find(|label| *label == "value") {
                    let what = format!("'{label}' is the column of the sample; rename the label");
                    return Err(wrong(format!("{what} with label_replace")));
                }
                translator.fields(labels.iter().map(|name| label(name))).fields([sample])
            }
            None => {
                let series = value("series").typed(Str).desc("Name and labels in one text");
                let labels = vdict(&format!("{table}.labels"), "label", "value");
                let labels = labels.parent_key("series").parent_col("series");
                translator.fields([series, sample, nested("metric", labels)])
            }
        };
        let path = url::with_query("api/v1/query", "query", &self.query);
        Ok(Collection::new(path, "result", translator).at(Path::members(["data", "result"])))
    }
}

fn label(name: &str) -> Field {
    value(name).at(Path::members(["metric", name])).typed(Str)
}
