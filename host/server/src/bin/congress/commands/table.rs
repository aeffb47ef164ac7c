//! Commands about tables and rows that policies and datasources have in common.

use clap::{Args, Subcommand};

use super::watch;
use crate::http::Server;
use crate::output::{Answer, View};

/// Of what a table is: the first segment of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Policy,
    Datasource,
}

impl Owner {
    pub(super) const fn segment(self) -> &'static str {
        match self {
            Self::Policy => "policies",
            Self::Datasource => "data-sources",
        }
    }
}

/// Which table.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    /// The policy or datasource.
    pub(super) of: String,
    /// The table.
    pub(super) table: String,
}

impl Place {
    /// The path of something of the table.
    pub(super) fn path<'a>(&'a self, owner: Owner, part: &'a [&'a str]) -> Vec<&'a str> {
        [&[owner.segment(), &self.of, "tables", &self.table][..], part].concat()
    }

    pub(super) async fn show(&self, owner: Owner, server: &Server) -> anyhow::Result<Answer> {
        Ok(Answer::Element(server.get(&self.path(owner, &[])).await?))
    }
}

/// The tables of one policy or datasource.
pub(super) async fn list(owner: Owner, of: &str, server: &Server) -> anyhow::Result<Answer> {
    let tables = server.list(&[owner.segment(), of, "tables"]).await?;
    Ok(Answer::list(tables, &["id"]))
}

/// Commands about the tables of policies.
#[derive(Subcommand)]
pub(crate) enum Table {
    /// The tables of a policy.
    List {
        /// The policy.
        of: String,
    },
    /// Whether there is such a table.
    Show(Place),
}

/// Which rows.
#[derive(Args, Clone, Debug)]
pub(crate) struct Rows {
    #[command(flatten)]
    pub(super) place: Place,
    /// Only rows whose column has this value; columns are named, or numbered from 0.
    #[arg(long, value_name = "COLUMN=VALUE")]
    filter: Vec<String>,
    /// Sorts by these columns on the server, for instance `1:desc,0`.
    #[arg(long, value_name = "COLUMNS")]
    sort: Option<String>,
    /// At most so many rows.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

impl Rows {
    /// Asks for the rows, page by page.
    pub(super) async fn fetch(
        &self,
        owner: Owner,
        trace: bool,
        server: &Server,
    ) -> anyhow::Result<serde_json::Value> {
        let mut query = Vec::new();
        for filter in &self.filter {
            let Some((column, value)) = filter.split_once('=') else {
                anyhow::bail!("'{filter}' is not of the form COLUMN=VALUE");
            };
            query.push((format!("filter.{column}"), value.to_owned()));
        }
        query.extend(self.sort.iter().map(|sort| ("sort".to_owned(), sort.clone())));
        query.extend(trace.then(|| ("trace".to_owned(), "true".to_owned())));
        query.extend(self.limit.map(|limit| ("limit".to_owned(), limit.to_string())));
        let query: Vec<_> = query.iter().map(|(key, value)| (&**key, &**value)).collect();
        let path = self.place.path(owner, &["rows"]);
        // A trace tells of one query.
        if trace || self.limit.is_some() {
            server.get_with(&path, &query).await
        } else {
            server.list_with(&path, &query).await
        }
    }

    pub(super) fn is_sorted(&self) -> bool {
        self.sort.is_some()
    }
}

/// Commands about the rows of policies' tables.
#[derive(Subcommand)]
pub(crate) enum Row {
    /// The rows of a table.
    List {
        #[command(flatten)]
        rows: Rows,
        /// Shows how they were found, too.
        #[arg(long)]
        trace: bool,
    },
    /// Prints rows as they come and go, until interrupted.
    Watch(watch::Watch),
}

impl Table {
    pub(super) async fn run(self, server: &Server) -> anyhow::Result<Answer> {
        match self {
            Self::List { of } => list(Owner::Policy, &of, server).await,
            Self::Show(place) => place.show(Owner::Policy, server).await,
        }
    }
}

impl Row {
    pub(super) async fn run(self, server: &Server, view: &View) -> anyhow::Result<Answer> {
        match self {
            Self::List { rows, trace } => {
                let whole = rows.fetch(Owner::Policy, trace, server).await?;
                Ok(Answer::rows(whole, None, rows.is_sorted()))
            }
            Self::Watch(watch) => watch.run(Owner::Policy, server, view).await,
        }
    }
}
