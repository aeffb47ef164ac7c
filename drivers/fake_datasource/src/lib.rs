//! A driver for tests: takes rows from everywhere, and remembers what it was told to do.
//!
//! A poll finds nothing new, so the table holds what was pushed last. The last actions and the last
//! webhook's body are in the state, under `actions` and `webhook`.

use congress_driver::actions::Arguments;
use congress_driver::prelude::*;
use congress_driver::tables::TableSet;
use congress_driver::translate::{Translator, hdict, value};
use congress_driver::{describe, push, state};
use serde_json::{Value as Json, json};

struct Fake;

/// The action, and its argument.
const ACT: &str = "fake_act";
const ARGUMENT: &str = "server_id";
/// How many actions are remembered.
const REMEMBERED: usize = 100;

impl Driver for Fake {
    fn metadata() -> Metadata {
        let description = "This is a fake driver used for testing";
        metadata("fake_datasource", env!("CARGO_PKG_VERSION"), description)
            .with_feed(Feed::PollAndPush)
            .with_config([
                field("auth_url", "Anything.").required(),
                field("endpoint", "Anything."),
                field("region", "Anything."),
                field("username", "Anything.").required(),
                field("password", "Anything.").required().secret(),
                field("user_domain_name", "Anything."),
                field("project_domain_name", "Anything."),
                field("tenant_name", "Anything."),
                field("project_name", "Anything.").required(),
                poll_time(),
            ])
            .with_tables(table().tables())
            .with_actions([describe::action(ACT, "Remembers that it was asked for.")
                .argument(ARGUMENT, "Anything.")])
    }

    fn poll(_: &Config, _: &Wanted) -> Result<()> {
        Ok(())
    }

    fn receive(_: &Config, push: Push) -> Result<()> {
        match push {
            Push::Rows((_, body)) => {
                let objects = push::objects(&body)?.into_iter().map(Json::Object);
                let objects: Vec<Json> = objects.collect();
                let translator = table();
                let mut tables = TableSet::of(&translator);
                translator.translate(&objects, &mut tables)?;
                tables.finish()
            }
            Push::Webhook(body) => state::set("webhook", body),
        }
    }

    fn execute(_: &Config, call: &Call) -> Result<()> {
        if call.action != ACT {
            return Err(Error::Unsupported(format!("there is no action '{}'", call.action)));
        }
        let server = Arguments::of(call, ARGUMENT)?.get(ARGUMENT).cloned();
        let stored = state::get("actions").and_then(|text| serde_json::from_str(&text).ok());
        let mut done: Vec<Json> = stored.unwrap_or_default();
        done.push(json!({ "action": ACT, ARGUMENT: server }));
        let surplus = done.len().saturating_sub(REMEMBERED);
        state::set("actions", Json::from(done.split_off(surplus)))
    }
}

fn table() -> Translator {
    hdict("fake_table").fields([value("id"), value("name")])
}

congress_driver::export_driver!(Fake);
