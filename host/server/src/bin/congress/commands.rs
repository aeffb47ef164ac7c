//! The commands, named as those of the `openstack congress` client.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::driver::Tool;
use crate::http::{Refusal, Server};
use crate::output::{Answer, Format};

/// What is asked.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Policies, their rules, tables and rows.
    #[command(subcommand)]
    Policy(Policy),
    /// Datasources, their tables and rows.
    #[command(subcommand)]
    Datasource(Datasource),
    /// Drivers that datasources can be made with, and what their authors need.
    #[command(subcommand)]
    Driver(Driver),
}

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
    /// Creates a policy.
    Create {
        /// Its name.
        name: String,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        /// How it is evaluated: nonrecursive, action or database.
        #[arg(long)]
        kind: Option<String>,
    },
    /// Deletes a policy and its rules.
    Delete {
        /// Its name or id.
        policy: String,
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

/// Commands about rules.
#[derive(Subcommand)]
pub(crate) enum Rule {
    /// The rules of a policy.
    List {
        /// The policy.
        policy: String,
    },
    /// Inserts a rule.
    Create {
        /// The policy.
        policy: String,
        /// The rule, for instance 'p(x) :- q(x)'.
        rule: String,
        /// A name for it.
        #[arg(long)]
        name: Option<String>,
        /// A comment.
        #[arg(long)]
        comment: Option<String>,
    },
    /// Deletes a rule.
    Delete {
        /// The policy.
        policy: String,
        /// The rule's id.
        rule: String,
    },
}

/// Commands about tables.
#[derive(Subcommand)]
pub(crate) enum Table {
    /// The tables of a policy or datasource.
    List {
        /// The policy or datasource.
        of: String,
    },
}

/// Commands about rows.
#[derive(Subcommand)]
pub(crate) enum Row {
    /// The rows of a table.
    List {
        /// The policy or datasource.
        of: String,
        /// The table.
        table: String,
    },
}

/// Commands about datasources.
#[derive(Subcommand)]
pub(crate) enum Datasource {
    /// All datasources.
    List,
    /// Creates a datasource.
    Create {
        /// Its driver.
        driver: String,
        /// Its name.
        name: String,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        /// An option of the driver, as `key=value`; `key=@file` takes the value from a file. A
        /// value that is a JSON object or array is sent as such.
        #[arg(long, value_name = "KEY=VALUE")]
        config: Vec<String>,
    },
    /// Deletes a datasource.
    Delete {
        /// Its name or id.
        datasource: String,
    },
    /// How it fares.
    Status {
        /// Its name or id.
        datasource: String,
    },
    /// Asks for a poll now.
    RequestRefresh {
        /// Its name or id.
        datasource: String,
    },
    /// Its tables.
    #[command(subcommand)]
    Table(Table),
    /// The rows of its tables.
    #[command(subcommand)]
    Row(Row),
}

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
    /// For authors; these ask no server.
    #[command(flatten)]
    Tool(Tool),
}

/// Runs a command. Those for authors print for themselves.
pub(crate) async fn run(
    server: &Server,
    command: Command,
    format: Format,
) -> anyhow::Result<Answer> {
    match command {
        Command::Policy(command) => policy(server, command).await,
        Command::Datasource(command) => datasource(server, command).await,
        Command::Driver(Driver::List) => {
            let list = server.get(&["system", "drivers"]).await?;
            Ok(Answer::list(list, &["id", "version", "state", "description", "error"]))
        }
        Command::Driver(Driver::Show { driver }) => {
            Ok(Answer::Element(server.get(&["system", "drivers", &driver]).await?))
        }
        Command::Driver(Driver::Tool(tool)) => {
            Ok(Answer::Printed(crate::driver::run(tool, format).await?))
        }
    }
}

async fn policy(server: &Server, command: Policy) -> anyhow::Result<Answer> {
    Ok(match command {
        Policy::List => {
            Answer::list(server.get(&["policies"]).await?, &["id", "name", "kind", "description"])
        }
        Policy::Show { policy } => Answer::Element(server.get(&["policies", &policy]).await?),
        Policy::Create { name, description, kind } => {
            let body = json!({ "name": name, "description": description, "kind": kind });
            Answer::Element(server.post(&["policies"], body).await?)
        }
        Policy::Delete { policy } => {
            server.delete(&["policies", &policy]).await?;
            Answer::Nothing
        }
        Policy::Rule(Rule::List { policy }) => Answer::list(
            server.get(&["policies", &policy, "rules"]).await?,
            &["id", "name", "comment", "rule"],
        ),
        Policy::Rule(Rule::Create { policy, rule, name, comment }) => {
            let body = json!({ "rule": rule, "name": name, "comment": comment });
            let answer = server.post(&["policies", &policy, "rules"], body).await;
            Answer::Element(answer.map_err(|error| show_place(error, &rule))?)
        }
        Policy::Rule(Rule::Delete { policy, rule }) => {
            server.delete(&["policies", &policy, "rules", &rule]).await?;
            Answer::Nothing
        }
        Policy::Table(Table::List { of }) => {
            Answer::list(server.get(&["policies", &of, "tables"]).await?, &["id"])
        }
        Policy::Row(Row::List { of, table }) => {
            Answer::rows(server.get(&["policies", &of, "tables", &table, "rows"]).await?, None)
        }
    })
}

async fn datasource(server: &Server, command: Datasource) -> anyhow::Result<Answer> {
    Ok(match command {
        Datasource::List => Answer::list(
            server.get(&["data-sources"]).await?,
            &["id", "name", "driver", "enabled", "config"],
        ),
        Datasource::Create { driver, name, description, config } => {
            let config = config_of(&config)?;
            let body = json!({
                "driver": driver, "name": name, "description": description, "config": config,
            });
            Answer::Element(server.post(&["data-sources"], body).await?)
        }
        Datasource::Delete { datasource } => {
            server.delete(&["data-sources", &datasource]).await?;
            Answer::Nothing
        }
        Datasource::Status { datasource } => {
            Answer::Element(server.get(&["data-sources", &datasource, "status"]).await?)
        }
        Datasource::RequestRefresh { datasource } => {
            server.act(&["data-sources", &datasource], "request-refresh").await?;
            Answer::Nothing
        }
        Datasource::Table(Table::List { of }) => {
            Answer::list(server.get(&["data-sources", &of, "tables"]).await?, &["id"])
        }
        Datasource::Row(Row::List { of, table }) => {
            let path = ["data-sources", of.as_str(), "tables", table.as_str()];
            let rows = server.get(&[&path[..], &["rows"]].concat()).await?;
            let spec = server.get(&[&path[..], &["spec"]].concat()).await?;
            Answer::rows(rows, Some(&spec))
        }
    })
}

/// Reads `key=value` options.
pub(crate) fn config_of(options: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut config = Map::new();
    for option in options {
        let Some((key, value)) = option.split_once('=') else {
            bail!("'{option}' is not of the form KEY=VALUE");
        };
        let text = match value.strip_prefix('@') {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read '{file}', the value of {key}"))?,
            None => value.to_owned(),
        };
        let structured = serde_json::from_str(&text)
            .ok()
            .filter(|value: &Value| value.is_object() || value.is_array());
        config.insert(key.to_owned(), structured.unwrap_or(Value::String(text)));
    }
    Ok(config)
}

/// Adds the place in the rule's text to a refusal of its syntax.
fn show_place(error: anyhow::Error, rule: &str) -> anyhow::Error {
    let syntax = error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.code == 1002);
    match congress_policy::parser::parse(rule) {
        Err(problem) if syntax => anyhow::anyhow!("{}", problem.render(rule)),
        _ => error,
    }
}
