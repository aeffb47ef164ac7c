//! A real server with the drivers in question: what its API says of them, and pushes through it.

use std::path::PathBuf;

use congress_tests::{SOON, Server, ServerOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::deviations;
use super::totals::Totals;

/// The server.
pub(crate) struct Api {
    pub(crate) server: Server,
    drivers: TempDir,
}

impl Api {
    /// Starts a server whose drivers are these components.
    pub(crate) async fn start(components: &[PathBuf]) -> Self {
        let drivers = tempfile::tempdir().expect("a temporary folder");
        for component in components {
            let name = component.file_name().expect("a file's name");
            let link = drivers.path().join(name);
            let _ = std::fs::remove_file(&link);
            let target = component.canonicalize().expect("the component");
            std::os::unix::fs::symlink(target, link).expect("a link");
        }
        let options = ServerOptions::default();
        Self::with(drivers, options).await
    }

    async fn with(drivers: TempDir, options: ServerOptions) -> Self {
        let options = ServerOptions { drivers: Some(drivers.path().to_owned()), ..options }
            .with("plugins", "allowed_hosts", "127.0.0.1")
            .with("DEFAULT", "ascii_only_rows", "true");
        let server = Server::start(options).await.expect("a server");
        Self { server, drivers }
    }

    /// Stops it and starts another with its database.
    pub(crate) async fn restarted(self) -> Self {
        let state = self.server.state();
        self.server.stop().await.expect("an end");
        Self::with(self.drivers, ServerOptions { state: Some(state), ..ServerOptions::default() })
            .await
    }

    /// A driver as the API shows it, once it is there.
    async fn driver(&self, driver: &str) -> Value {
        let path = format!("/v1/system/drivers/{driver}");
        let is_there = |body: &Value| body["id"] == driver && body["config"].is_object();
        self.server.eventually(&path, SOON, is_there).await.expect("the driver")
    }

    /// Whether a driver can store what is pushed.
    pub(crate) async fn stores(&self, driver: &str) -> bool {
        self.driver(driver).await["config"].get("persist_data").is_some()
    }

    /// Creates a datasource; required fields that the recording does not have get a value.
    pub(crate) async fn datasource(
        &self,
        driver: &str,
        name: &str,
        config: &Value,
    ) -> Result<String, String> {
        let mut config = config.clone();
        for (field, of) in self.driver(driver).await["config"].as_object().into_iter().flatten() {
            if of == "required" && config.get(field).is_none() {
                config[field] = format!("any {field}").into();
            }
        }
        let body = json!({"name": name, "driver": driver, "config": config});
        let reply = self.server.post("/v1/data-sources", &body).await.map_err(|e| e.to_string())?;
        let created = reply.json().map_err(|error| error.to_string())?;
        match (reply.status, created["id"].as_str()) {
            (201, Some(id)) => Ok(id.to_owned()),
            _ => Err(format!("creation answered {}: {created}", reply.status)),
        }
    }

    /// Compares a driver with `schema.json`, part by part.
    pub(crate) async fn schema(&self, driver: &str, recorded: &Value, totals: &mut Totals) {
        let ours = self.driver(driver).await;
        let shown = &recorded["driver_show"];
        let mut check = |what: &str, same: bool, ours: &Value, recorded: &Value| {
            let difference = || format!("{what}: {ours}\n  was recorded as {recorded}");
            let result = if same { Ok(()) } else { Err(difference()) };
            let judged = deviations::judge(driver, &format!("schema {what}"), result);
            totals.add(driver, "schema", judged);
        };
        for what in ["id", "description"] {
            check(what, ours[what] == shown[what], &ours[what], &shown[what]);
        }
        // More fields are welcome where nobody must give them.
        let fields = |of: &Value| of["config"].as_object().cloned().unwrap_or_default();
        let (given, wanted) = (fields(&ours), fields(shown));
        let same = wanted.iter().all(|(field, value)| given.get(field) == Some(value))
            && given.iter().all(|(f, value)| wanted.contains_key(f) || value != "required");
        check("config", same, &ours["config"], &shown["config"]);
        let secrets = |of: &Value| of["secret"].as_array().cloned().unwrap_or_default();
        let (given, wanted) = (secrets(&ours), secrets(shown));
        let same = wanted.iter().all(|secret| given.contains(secret));
        check("secret", same, &ours["secret"], &shown["secret"]);
        let tables = |of: &Value| of["tables"].as_array().cloned().unwrap_or_default();
        let (given, wanted) = (tables(&ours), tables(shown));
        let names = |of: &[Value]| of.iter().map(|t| t["table_id"].clone()).collect::<Value>();
        let (given_names, wanted_names) = (names(&given), names(&wanted));
        check("tables", given_names == wanted_names, &given_names, &wanted_names);
        for table in &wanted {
            let name = table["table_id"].as_str().unwrap_or_default();
            let same = given.iter().find(|given| given["table_id"] == table["table_id"]);
            let columns = same.map_or(&Value::Null, |table| &table["columns"]);
            let what = format!("columns of {name}");
            check(&what, *columns == table["columns"], columns, &table["columns"]);
        }
    }
}
