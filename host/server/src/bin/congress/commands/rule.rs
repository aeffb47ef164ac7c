//! Commands about rules.

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};

use super::policy::given;
use crate::http::{Refusal, Server};
use crate::output::Answer;

/// Commands about rules.
#[derive(Subcommand)]
pub(crate) enum Rule {
    /// The rules of a policy.
    List {
        /// The policy.
        policy: String,
    },
    /// One rule.
    Show {
        /// The policy.
        policy: String,
        /// The rule's id or name.
        rule: String,
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
    /// Changes a rule; it keeps its id.
    Update {
        /// The policy.
        policy: String,
        /// The rule's id or name.
        rule: String,
        /// What it is to be.
        #[arg(long = "to", value_name = "RULE", required_unless_present_any = ["name", "comment"])]
        text: Option<String>,
        /// Another name.
        #[arg(long)]
        name: Option<String>,
        /// Another comment.
        #[arg(long)]
        comment: Option<String>,
    },
    /// Deletes a rule.
    Delete {
        /// The policy.
        policy: String,
        /// The rule's id or name.
        rule: String,
    },
}

impl Rule {
    pub(super) async fn run(self, server: &Server) -> anyhow::Result<Answer> {
        Ok(match self {
            Self::List { policy } => Answer::list(
                server.list(&["policies", &policy, "rules"]).await?,
                &["id", "name", "comment", "rule"],
            ),
            Self::Show { policy, rule } => {
                let id = id(server, &policy, &rule).await?;
                Answer::Element(server.get(&["policies", &policy, "rules", &id]).await?)
            }
            Self::Create { policy, rule, name, comment } => {
                let body = json!({ "rule": rule, "name": name, "comment": comment });
                let answer = server.post(&["policies", &policy, "rules"], body).await;
                Answer::Element(answer.map_err(|error| show_place(error, &rule))?)
            }
            Self::Update { policy, rule, text, name, comment } => {
                let id = id(server, &policy, &rule).await?;
                let body = given([("rule", text.clone()), ("name", name), ("comment", comment)]);
                let answer = server.patch(&["policies", &policy, "rules", &id], body).await;
                let text = text.unwrap_or_default();
                Answer::Element(answer.map_err(|error| show_place(error, &text))?)
            }
            Self::Delete { policy, rule } => {
                let id = id(server, &policy, &rule).await?;
                server.delete(&["policies", &policy, "rules", &id]).await?;
                Answer::Nothing
            }
        })
    }
}

/// The id of a rule that is given by id or name.
async fn id(server: &Server, policy: &str, rule: &str) -> anyhow::Result<String> {
    let rules = server.list(&["policies", policy, "rules"]).await?;
    let rules = rules["results"].as_array().map_or(&[][..], Vec::as_slice);
    let ids = |key: &str| -> Vec<&str> {
        let named = rules.iter().filter(|candidate| candidate[key] == rule);
        named.filter_map(|rule: &Value| rule["id"].as_str()).collect()
    };
    let by_id = ids("id");
    let found = if by_id.is_empty() { ids("name") } else { by_id };
    match found[..] {
        [id] => Ok(id.to_owned()),
        [] => bail!("the policy {policy} has no rule with the id or name '{rule}'"),
        _ => bail!("several rules are named '{rule}'; their ids: {}", found.join(", ")),
    }
}

/// Adds the place in the rule's text to a refusal of its syntax.
fn show_place(error: anyhow::Error, rule: &str) -> anyhow::Error {
    let syntax = error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.code == 1002);
    match congress_policy::parser::parse(rule) {
        Err(problem) if syntax => anyhow::anyhow!("{}", problem.render(rule)),
        _ => error,
    }
}
