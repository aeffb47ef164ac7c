//! Commands about actions that rules asked for.

use clap::Subcommand;
use serde_json::json;

use crate::http::Server;
use crate::output::Answer;

/// Commands about actions.
#[derive(Subcommand)]
pub(crate) enum Action {
    /// All actions that rules ask for or have asked for.
    List {
        /// Only those in this state: running, done, failed or unknown.
        #[arg(long)]
        state: Option<String>,
        /// Only those of this datasource.
        #[arg(long)]
        datasource: Option<String>,
        /// Only those that this policy asked for.
        #[arg(long)]
        policy: Option<String>,
    },
    /// One action.
    Show {
        /// Its id.
        action: String,
    },
    /// Has an action run once more.
    Repeat {
        /// Its id.
        action: String,
    },
    /// Records that an operator has seen to an action that failed or whose end is unknown.
    Settle {
        /// Its id.
        action: String,
    },
}

impl Action {
    pub(super) async fn run(self, server: &Server) -> anyhow::Result<Answer> {
        Ok(match self {
            Self::List { state, datasource, policy } => {
                let query: Vec<_> =
                    [("state", &state), ("datasource", &datasource), ("policy", &policy)]
                        .into_iter()
                        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
                        .collect();
                let list = server.list_with(&["actions"], &query).await?;
                let columns =
                    ["id", "state", "policy", "datasource", "action", "arguments", "error"];
                Answer::list(list, &columns)
            }
            Self::Show { action } => Answer::Element(server.get(&["actions", &action]).await?),
            Self::Repeat { action } => act(server, &action, "repeat").await?,
            Self::Settle { action } => act(server, &action, "settle").await?,
        })
    }
}

async fn act(server: &Server, action: &str, what: &str) -> anyhow::Result<Answer> {
    let query = [("action", what)];
    Ok(Answer::Element(server.post_with(&["actions", action], &query, json!({})).await?))
}
