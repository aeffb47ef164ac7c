//! What recorded scenarios of the API (`tests/tests/api_corpus`) call `push`: a table without columns,
//! that takes rows of any width as lists of cells.

use congress_driver::prelude::*;
use congress_driver::{json, push};
use serde_json::Value as Json;

struct Pushed;

impl Driver for Pushed {
    fn metadata() -> Metadata {
        let description = "Datasource driver that allows external systems to push data.";
        metadata("push", env!("CARGO_PKG_VERSION"), description)
            .with_feed(Feed::Push)
            .with_config([field("description", "Anything.").required(), push::persist_data()])
            .with_tables([table("data", [])])
    }

    fn receive(_: &Config, push: Push) -> Result<()> {
        let Push::Rows((table, body)) = push else {
            return Err(Error::Unsupported("rows are pushed, not to the webhook".into()));
        };
        let pushed: Vec<Vec<Json>> = serde_json::from_str(&body)
            .map_err(|error| Error::Protocol(format!("rows are lists of cells: {error}")))?;
        rows::replace(&table, pushed.iter().map(|row| row.iter().map(json::cell).collect()))
    }
}

congress_driver::export_driver!(Pushed);
