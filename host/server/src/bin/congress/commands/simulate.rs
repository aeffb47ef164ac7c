//! `congress policy simulate`

use clap::Args;
use serde_json::json;

use crate::http::Server;
use crate::output::{Answer, cell};

/// What `simulate` takes.
#[derive(Args)]
pub(crate) struct Simulate {
    /// The policy that the query is about.
    policy: String,
    /// What is asked, for instance 'error(x)'.
    query: String,
    /// What would be done: changes and actions, for instance 'p+(1) q-(2)'.
    sequence: String,
    /// The policy that says what the actions do.
    action_policy: String,
    /// Shows what would change, instead of what would be.
    #[arg(long)]
    delta: bool,
    /// Shows how it was found, too.
    #[arg(long)]
    trace: bool,
}

impl Simulate {
    pub(super) async fn run(self, server: &Server) -> anyhow::Result<Answer> {
        let mut query = vec![("action", "simulate")];
        query.extend(self.delta.then_some(("delta", "true")));
        query.extend(self.trace.then_some(("trace", "true")));
        let body = json!({
            "query": self.query, "sequence": self.sequence, "action_policy": self.action_policy,
        });
        let whole = server.post_with(&["policies", &self.policy], &query, body).await?;
        let mut lines: Vec<Vec<String>> =
            whole["result"].as_array().into_iter().flatten().map(|line| vec![cell(line)]).collect();
        lines.sort();
        let after = whole["trace"].as_str().map(str::to_owned);
        let heading = vec!["result".to_owned()];
        Ok(Answer::Table { whole, members: "result", heading, lines, after })
    }
}
