//! The server with a datasource for each service.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use congress_test_services::OpenStack;
use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{SOON, USER, part, say};

/// The drivers, which are the datasources' names too.
pub(crate) const DRIVERS: [&str; 4] = ["keystonev3", "glancev2", "neutronv2", "nova"];

/// A row with the names of its columns.
pub(crate) type Row = BTreeMap<String, Value>;

/// The running server.
pub(crate) struct Congress {
    pub(crate) server: Server,
    /// The configuration of all datasources.
    pub(crate) config: Value,
    _drivers: TempDir,
}

impl Congress {
    /// Starts it and creates a datasource for each driver.
    pub(crate) async fn start(cloud: &OpenStack) -> Self {
        let drivers = tempfile::tempdir().unwrap();
        for driver in DRIVERS {
            let file = format!("{driver}.wasm");
            let built = drivers_folder().canonicalize().unwrap().join(&file);
            symlink(built, drivers.path().join(file)).unwrap();
        }
        let folder = Some(drivers.path().to_owned());
        // Six services share the machine with their clients: an answer may take its time.
        let options = ServerOptions { drivers: folder, ..ServerOptions::default() }
            .with("plugins", "allowed_hosts", "127.0.0.1")
            .with("plugins", "request_timeout", 90)
            .with("plugins", "call_timeout", 180);
        let server = Server::start(options).await.unwrap();
        let config = json!({
            "auth_url": cloud.keystone().url(), "username": USER.0, "password": USER.1,
            "project_name": "admin", "poll_time": "4",
        });
        let congress = Self { server, config, _drivers: drivers };
        part("Datasources");
        for driver in DRIVERS {
            congress.create(driver, driver, &congress.config).await;
            congress.recovers(driver).await;
            say(format!("{driver} has been read"));
        }
        congress
    }

    /// Creates a datasource once its driver is there.
    pub(crate) async fn create(&self, driver: &str, name: &str, config: &Value) {
        let path = format!("/v1/system/drivers/{driver}?detail=true");
        self.server.eventually(&path, SOON, |body| body["state"] == "ready").await.unwrap();
        let body = json!({ "name": name, "driver": driver, "config": config });
        let reply = self.server.post("/v1/data-sources", &body).await.unwrap();
        assert_eq!(reply.status, 201, "{:?}", reply.json());
    }

    /// The rows of a table.
    pub(crate) async fn rows(&self, datasource: &str, table: &str) -> Vec<Row> {
        let path = format!("/v1/data-sources/{datasource}/tables/{table}");
        let get = async |what: &str| {
            self.server.get(&format!("{path}/{what}")).await.unwrap().json().unwrap()
        };
        let (spec, rows) = (get("spec").await, get("rows").await);
        let columns = spec["columns"].as_array().unwrap_or_else(|| panic!("{path}: {spec}"));
        let names = columns.iter().map(|column| column["name"].as_str().unwrap().to_owned());
        let rows = rows["results"].as_array().unwrap_or_else(|| panic!("{path}: {rows}")).clone();
        let named = |row: &Value| {
            names.clone().zip(row["data"].as_array().unwrap().iter().cloned()).collect()
        };
        rows.iter().map(named).collect()
    }

    /// Waits until a table has a row with these values, and gives it.
    pub(crate) async fn row(&self, datasource: &str, table: &str, values: &[(&str, Value)]) -> Row {
        let what = format!("{datasource}:{table} has {values:?}");
        congress_test_services::eventually(&what, SOON, async || {
            let rows = self.rows(datasource, table).await;
            let is_it =
                |row: &Row| values.iter().all(|(name, value)| row.get(*name) == Some(value));
            rows.into_iter().find(is_it)
        })
        .await
        .unwrap()
    }

    /// Waits until a table of a policy has these rows, in whatever order.
    pub(crate) async fn answers(&self, policy: &str, table: &str, expected: &[Value]) {
        let path = format!("/v1/policies/{policy}/tables/{table}/rows");
        let are_they = |body: &Value| {
            let rows = body["results"].as_array().map_or(&[][..], Vec::as_slice);
            rows.len() == expected.len() && rows.iter().all(|row| expected.contains(&row["data"]))
        };
        self.server.eventually(&path, SOON, are_they).await.unwrap();
    }

    /// Waits until a datasource's last poll has failed with an error that says all of this; the
    /// error.
    pub(crate) async fn fails(&self, datasource: &str, parts: &[&str]) -> String {
        let says = |body: &Value| {
            let error = body["last_error"].as_str().unwrap_or_default();
            parts.iter().all(|part| error.contains(part))
        };
        let path = format!("/v1/data-sources/{datasource}/status");
        let status = self.server.eventually(&path, SOON, says).await.unwrap();
        let error = status["last_error"].as_str().unwrap().to_owned();
        assert!(error.len() < 500 && !error.contains(USER.1), "{error}");
        say(format!("{datasource}: last_error = {error}"));
        error
    }

    /// Waits until a datasource has been polled without an error.
    pub(crate) async fn recovers(&self, datasource: &str) {
        let path = format!("/v1/data-sources/{datasource}/status");
        let is_well = |body: &Value| body["initialized"] == "True" && body["last_error"] == "None";
        self.server.eventually(&path, SOON, is_well).await.unwrap();
    }

    /// How often a datasource has been polled.
    pub(crate) async fn polls(&self, datasource: &str) -> u64 {
        let status = self.status(datasource).await;
        status["number_of_updates"].as_str().and_then(|count| count.parse().ok()).unwrap()
    }

    /// A datasource's status.
    pub(crate) async fn status(&self, datasource: &str) -> Value {
        let path = format!("/v1/data-sources/{datasource}/status?detail=true");
        self.server.get(&path).await.unwrap().json().unwrap()
    }
}
