//! Commands about policies.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::arguments::{action, text_of};
use super::explain::Explain;
use super::rule::Rule;
use super::simulate::Simulate;
use super::table::{Row, Table};
use crate::files;
use crate::http::Server;
use crate::output::{Answer, View};

/// Commands about policies.
#[derive(Subcommand)]
pub(crate) enum Policy {
    /// All policies.
    List,
    /// One policy.
    Show {
        /// Its name or id.
        policy: String,
    },
    /// Creates a policy without rules.
    Create {
        /// Its name.
        name: String,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        /// What begins its lines in traces: at most 5 characters.
        #[arg(long)]
        abbreviation: Option<String>,
        /// How it is evaluated: nonrecursive, action, database, materialized or z3.
        #[arg(long)]
        kind: Option<String>,
    },
    /// Creates a policy and its rules from a YAML file; all of it or nothing.
    CreateFromFile {
        /// The file, with one document: `name`, and if wanted `description`, `abbreviation`, `kind`
        /// and `rules`. `-` is standard input.
        file: String,
    },
    /// Changes what a policy says of itself.
    Update {
        /// Its name or id.
        policy: String,
        /// What it is for.
        #[arg(long, required_unless_present = "abbreviation")]
        description: Option<String>,
        /// What begins its lines in traces: at most 5 characters.
        #[arg(long)]
        abbreviation: Option<String>,
    },
    /// Deletes a policy and its rules.
    Delete {
        /// Its name or id.
        policy: String,
    },
    /// Makes a server's policies those of a folder of YAML files.
    Apply(files::Apply),
    /// Writes policies into YAML files, as `apply` reads them.
    Export(files::Export),
    /// Asks what would be if something were changed.
    Simulate(Simulate),
    /// Tells why a row is there, or why it is not.
    Explain(Explain),
    /// Has a datasource run an action.
    Execute {
        /// The policy; any will do.
        policy: String,
        /// The action, as `datasource:action`.
        action: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// A named argument; may be given several times.
        #[arg(long, value_name = "NAME=VALUE")]
        named: Vec<String>,
    },
    /// Its rules.
    #[command(subcommand)]
    Rule(Rule),
    /// Its tables.
    #[command(subcommand)]
    Table(Table),
    /// The rows of its tables.
    #[command(subcommand)]
    Row(Row),
}

impl Policy {
    pub(super) async fn run(self, server: &Server, view: &View) -> anyhow::Result<Answer> {
        Ok(match self {
            Self::List => {
                let list = server.list(&["policies"]).await?;
                Answer::list(list, &["id", "name", "kind", "description"])
            }
            Self::Show { policy } => Answer::Element(server.get(&["policies", &policy]).await?),
            Self::Create { name, description, abbreviation, kind } => {
                let body = json!({
                    "name": name, "description": description, "abbreviation": abbreviation,
                    "kind": kind,
                });
                Answer::Element(server.post(&["policies"], body).await?)
            }
            Self::CreateFromFile { file } => {
                let policy = files::Document::only(&text_of(&file)?)?;
                Answer::Element(server.post(&["policies"], policy.to_value()).await?)
            }
            Self::Update { policy, description, abbreviation } => {
                let body = given([("description", description), ("abbreviation", abbreviation)]);
                Answer::Element(server.patch(&["policies", &policy], body).await?)
            }
            Self::Delete { policy } => {
                server.delete(&["policies", &policy]).await?;
                Answer::Nothing
            }
            Self::Apply(apply) => apply.run(server, view).await?,
            Self::Export(export) => export.run(server).await?,
            Self::Simulate(simulate) => simulate.run(server).await?,
            Self::Explain(explain) => explain.run(server).await?,
            Self::Execute { policy, action: name, arguments, named } => {
                let body = action(&name, &arguments, &named)?;
                let query = [("action", "execute")];
                server.post_with(&["policies", &policy], &query, body).await?;
                Answer::Nothing
            }
            Self::Rule(rule) => rule.run(server).await?,
            Self::Table(table) => table.run(server).await?,
            Self::Row(row) => row.run(server, view).await?,
        })
    }
}

/// A body of what was given.
pub(super) fn given<const N: usize>(fields: [(&str, Option<String>); N]) -> Value {
    let fields =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    fields.collect::<Map<_, _>>().into()
}
