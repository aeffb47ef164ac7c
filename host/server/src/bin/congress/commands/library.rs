//! Commands about the policies of the library.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;

use super::arguments::text_of;
use crate::files::Document;
use crate::http::Server;
use crate::output::Answer;

/// Commands about the library.
#[derive(Subcommand)]
pub(crate) enum Library {
    /// All policies of the library.
    List,
    /// One of them with its rules.
    Show {
        /// Its name or id.
        policy: String,
    },
    /// Adds a policy.
    Create {
        /// A YAML file with one document: `name`, `rules`, and if wanted `description`,
        /// `abbreviation` and `kind`. `-` is standard input.
        file: String,
    },
    /// Replaces a policy, rules and all.
    Update {
        /// Its name or id.
        policy: String,
        /// What it is to be, as for `create`.
        file: String,
    },
    /// Deletes a policy from the library; policies that were made from it stay.
    Delete {
        /// Its name or id.
        policy: String,
    },
    /// Makes a policy of one of the library's: the same name, the same rules.
    Activate {
        /// Its name or id.
        policy: String,
    },
}

impl Library {
    pub(super) async fn run(self, server: &Server) -> anyhow::Result<Answer> {
        let path = "librarypolicies";
        Ok(match self {
            Self::List => Answer::list(
                server.list_with(&[path], &[("include_rules", "false")]).await?,
                &["id", "name", "kind", "description"],
            ),
            Self::Show { policy } => {
                let id = id(server, &policy).await?;
                Answer::Element(server.get(&[path, &id]).await?)
            }
            Self::Create { file } => {
                let body = Document::only(&text_of(&file)?)?.with_rules();
                Answer::Element(server.post(&[path], body).await?)
            }
            Self::Update { policy, file } => {
                let body = Document::only(&text_of(&file)?)?.with_rules();
                let id = id(server, &policy).await?;
                Answer::Element(server.put(&[path, &id], body).await?)
            }
            Self::Delete { policy } => {
                let id = id(server, &policy).await?;
                server.delete(&[path, &id]).await?;
                Answer::Nothing
            }
            Self::Activate { policy } => {
                let id = id(server, &policy).await?;
                let query = [("library_policy", id.as_str())];
                Answer::Element(server.post_with(&["policies"], &query, json!({})).await?)
            }
        })
    }
}

/// The id of a policy that is given by id or name: the original takes ids alone.
async fn id(server: &Server, policy: &str) -> anyhow::Result<String> {
    let list = server.list_with(&["librarypolicies"], &[("include_rules", "false")]).await?;
    let list = list["results"].as_array().map_or(&[][..], Vec::as_slice);
    let named = |key: &str| list.iter().find(|candidate| candidate[key] == policy);
    let Some(found) = named("id").or_else(|| named("name")) else {
        bail!("the library has no policy with the name or id '{policy}'");
    };
    found["id"].as_str().map(str::to_owned).context("a policy of the library has no id")
}
