//! Jobs of a web service, as a test keeps it, and an action that does one there.
//!
//! `GET {url}/jobs` and `GET {url}/spared` answer lists of names; `POST {url}/do` gets the arguments
//! of each action as a JSON list. Whether that is slow or refused is up to the service.

use congress_driver::prelude::*;
use congress_driver::session::Request;
use congress_driver::{rows, url};
use serde_json::Value as Json;

struct Worker;

impl Driver for Worker {
    fn metadata() -> Metadata {
        metadata("worker", env!("CARGO_PKG_VERSION"), "Does jobs on request; for tests only.")
            .with_config([field("url", "Where the service is.").required(), poll_time()])
            .with_hosts(["{url}"])
            .with_tables([table("jobs", [text("job")]), table("spared", [text("job")])])
            .with_actions([action("do", "Does a job.").argument("job", "Its name.")])
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        wanted.each(["jobs", "spared"], |name| {
            let (_, names) = Request::get(&url::join(config.text("url")?, name)).send_json()?;
            let names = names.as_array().cloned().unwrap_or_default();
            rows::replace(name, names.iter().filter_map(Json::as_str).map(|job| vec![job.into()]))
        })
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        match call.action.as_str() {
            "do" => {
                let target = url::join(config.text("url")?, "do");
                let arguments = Json::Array(call.positional.clone());
                Request::new("POST", &target).json(&arguments).send().map(drop)
            }
            other => Err(Error::Unsupported(format!("there is no action '{other}'"))),
        }
    }
}

congress_driver::export_driver!(Worker);
