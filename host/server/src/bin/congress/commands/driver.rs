//! Commands about drivers.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::driver::Tool;
use crate::http::Server;
use crate::output::Answer;

/// Commands about drivers.
#[derive(Subcommand)]
pub(crate) enum Driver {
    /// All drivers.
    List,
    /// One driver with its options and tables.
    Show {
        /// Its id.
        driver: String,
    },
    /// Its options.
    #[command(subcommand)]
    Config(Config),
    /// Its tables.
    #[command(subcommand)]
    Schema(Schema),
    /// For authors; these ask no server.
    #[command(flatten)]
    Tool(Tool),
}

/// Commands about a driver's options.
#[derive(Subcommand)]
pub(crate) enum Config {
    /// One driver without its tables.
    Show {
        /// Its id.
        driver: String,
    },
}

/// Commands about a driver's tables.
#[derive(Subcommand)]
pub(crate) enum Schema {
    /// Its tables and their columns.
    Show {
        /// Its id.
        driver: String,
    },
}

impl Driver {
    pub(super) async fn run(self, server: &Server) -> anyhow::Result<Answer> {
        let detail = [("detail", "true")];
        let driver = async |id: &str| server.get_with(&["system", "drivers", id], &detail).await;
        Ok(match self {
            Self::List => Answer::list(
                server.list(&["system", "drivers"]).await?,
                &["id", "version", "state", "description", "error"],
            ),
            Self::Show { driver: id } => Answer::Element(driver(&id).await?),
            Self::Config(Config::Show { driver: id }) => {
                let mut shown = driver(&id).await?;
                if let Some(fields) = shown.as_object_mut() {
                    fields.shift_remove("tables");
                }
                Answer::Element(shown)
            }
            Self::Schema(Schema::Show { driver: id }) => {
                let mut shown = driver(&id).await?;
                schema(json!({"tables": shown["tables"].take()}))
            }
            Self::Tool(_) => Answer::Nothing,
        })
    }
}

/// Tables, a line for each column.
pub(super) fn schema(whole: Value) -> Answer {
    let mut lines = Vec::new();
    for table in whole["tables"].as_array().into_iter().flatten() {
        for column in table["columns"].as_array().into_iter().flatten() {
            let texts = [&table["table_id"], &column["name"], &column["description"]];
            lines.push(texts.map(described).to_vec());
        }
    }
    let heading = ["table", "column", "description"].map(str::to_owned).to_vec();
    Answer::Table { whole, members: "tables", heading, lines, after: None }
}

/// A text; the original's word for no description is none.
fn described(value: &Value) -> String {
    value.as_str().filter(|text| *text != "None").unwrap_or_default().to_owned()
}
