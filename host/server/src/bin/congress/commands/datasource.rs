//! Commands about datasources.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::arguments::{action, config_of, json_of};
use super::driver::schema;
use super::table::{self, Owner, Place, Rows};
use super::watch::Watch;
use crate::http::Server;
use crate::output::{Answer, View};

const OWNER: Owner = Owner::Datasource;

/// Commands about datasources.
#[derive(Subcommand)]
pub(crate) enum Datasource {
    /// All datasources.
    List,
    /// One datasource.
    Show(Named),
    /// Creates a datasource.
    Create {
        /// Its driver.
        driver: String,
        /// Its name.
        name: String,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        config: Config,
    },
    /// Changes a datasource; it starts anew.
    Update {
        #[command(flatten)]
        datasource: Named,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        config: Config,
        /// Takes these options away.
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
        /// Has it polled.
        #[arg(long, conflicts_with = "disable")]
        enable: bool,
        /// Has it rest.
        #[arg(long)]
        disable: bool,
    },
    /// Deletes a datasource.
    Delete(Named),
    /// How it fares.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Status(Shown),
    /// What it can do.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Actions(Shown),
    /// Its tables and their columns.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Schema(Shown),
    /// Asks for a poll now.
    RequestRefresh(Named),
    /// Has it run an action.
    Execute {
        #[command(flatten)]
        datasource: Named,
        /// The action.
        action: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// A named argument; may be given several times.
        #[arg(long, value_name = "NAME=VALUE")]
        named: Vec<String>,
    },
    /// Its tables.
    #[command(subcommand)]
    Table(Table),
    /// The rows of its tables.
    #[command(subcommand)]
    Row(Row),
}

/// Which datasource.
#[derive(Args)]
pub(crate) struct Named {
    /// Its name or id.
    datasource: String,
}

/// Which datasource, with or without the word `show` before it.
#[derive(Args)]
pub(crate) struct Shown {
    #[command(subcommand)]
    show: Option<Show>,
    /// Its name or id.
    #[arg(required = true)]
    datasource: Option<String>,
}

/// The original's commands have `show` at the end.
#[derive(Subcommand)]
pub(crate) enum Show {
    /// The same.
    Show(Named),
}

/// A configuration.
#[derive(Args)]
pub(crate) struct Config {
    /// An option of the driver, as `key=value`; `key=@file` takes the value from a file. A
    /// value that is a JSON object or array is sent as such.
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
}

/// Commands about the tables of datasources.
#[derive(Subcommand)]
pub(crate) enum Table {
    /// The tables of a datasource.
    List {
        /// The datasource.
        of: String,
    },
    /// Whether there is such a table.
    Show(Place),
    /// Its columns.
    #[command(subcommand)]
    Schema(TableSchema),
}

/// Commands about columns.
#[derive(Subcommand)]
pub(crate) enum TableSchema {
    /// The columns of a table.
    Show(Place),
}

/// Commands about the rows of datasources' tables.
#[derive(Subcommand)]
pub(crate) enum Row {
    /// The rows of a table.
    List(Rows),
    /// Replaces all rows of a table of a datasource that rows are pushed to.
    Update {
        #[command(flatten)]
        place: Place,
        /// The rows in JSON, for instance '[["web1", 3]]'; `@file` takes them from a file.
        rows: String,
    },
    /// Prints rows as they come and go, until interrupted.
    Watch(Watch),
}

impl Shown {
    fn name(self) -> String {
        match (self.show, self.datasource) {
            (Some(Show::Show(named)), _) => named.datasource,
            (None, name) => name.unwrap_or_default(),
        }
    }
}

impl Datasource {
    pub(super) async fn run(self, server: &Server, view: &View) -> anyhow::Result<Answer> {
        let all = OWNER.segment();
        Ok(match self {
            Self::List => Answer::list(
                server.list(&[all]).await?,
                &["id", "name", "driver", "enabled", "config"],
            ),
            Self::Show(Named { datasource }) => {
                Answer::Element(server.get(&[all, &datasource]).await?)
            }
            Self::Create { driver, name, description, config } => {
                let body = json!({
                    "driver": driver, "name": name, "description": description,
                    "config": config_of(&config.config)?,
                });
                Answer::Element(server.post(&[all], body).await?)
            }
            Self::Update { datasource, description, config, unset, enable, disable } => {
                let Named { datasource } = datasource;
                let mut body = json!({});
                if let Some(description) = description {
                    body["description"] = description.into();
                }
                if enable || disable {
                    body["enabled"] = enable.into();
                }
                let changes = config_of(&config.config)?;
                if !changes.is_empty() || !unset.is_empty() {
                    // The fields that change alone: somebody else may be changing others.
                    let mut config: Map<String, Value> =
                        unset.into_iter().map(|field| (field, Value::Null)).collect();
                    config.extend(changes);
                    body["config"] = config.into();
                }
                Answer::Element(server.patch(&[all, &datasource], body).await?)
            }
            Self::Delete(Named { datasource }) => {
                server.delete(&[all, &datasource]).await?;
                Answer::Nothing
            }
            Self::Status(shown) => {
                let path = [all, &shown.name(), "status"];
                Answer::Element(server.get_with(&path, &[("detail", "true")]).await?)
            }
            Self::Actions(shown) => actions(server.get(&[all, &shown.name(), "actions"]).await?),
            Self::Schema(shown) => schema(server.get(&[all, &shown.name(), "schema"]).await?),
            Self::RequestRefresh(Named { datasource }) => {
                let query = [("action", "request-refresh")];
                server.post_with(&[all, &datasource], &query, json!({})).await?;
                Answer::Nothing
            }
            Self::Execute { datasource, action: name, arguments, named } => {
                let body = action(&name, &arguments, &named)?;
                let query = [("action", "execute")];
                server.post_with(&[all, &datasource.datasource], &query, body).await?;
                Answer::Nothing
            }
            Self::Table(Table::List { of }) => table::list(OWNER, &of, server).await?,
            Self::Table(Table::Show(place)) => place.show(OWNER, server).await?,
            Self::Table(Table::Schema(TableSchema::Show(place))) => {
                let spec = server.get(&place.path(OWNER, &["spec"])).await?;
                Answer::members(spec, "columns", &["name", "description"])
            }
            Self::Row(Row::List(rows)) => {
                let whole = rows.fetch(OWNER, false, server).await?;
                let spec = server.get(&rows.place.path(OWNER, &["spec"])).await?;
                Answer::rows(whole, Some(&spec), rows.is_sorted())
            }
            Self::Row(Row::Update { place, rows }) => {
                server.put(&place.path(OWNER, &["rows"]), json_of(&rows)?).await?;
                Answer::Nothing
            }
            Self::Row(Row::Watch(watch)) => watch.run(OWNER, server, view).await?,
        })
    }
}

/// What a datasource can do, a line for each action.
fn actions(whole: Value) -> Answer {
    let line = |action: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let arguments: Vec<_> =
            action["args"].as_array().into_iter().flatten().map(|a| text(&a["name"])).collect();
        vec![text(&action["name"]), arguments.join(", "), text(&action["description"])]
    };
    let lines = whole["results"].as_array().into_iter().flatten().map(line).collect();
    let heading = ["action", "arguments", "description"].map(str::to_owned).to_vec();
    Answer::Table { whole, members: "results", heading, lines, after: None }
}
