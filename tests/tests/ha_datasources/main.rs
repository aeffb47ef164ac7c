//! Several datasource nodes, one active: take-over, and what must hold during and after it.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod calls;
mod drivers;
mod keys;
mod pushed;
mod split_brain;
mod take_over;
mod unreached;
mod usable;

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use congress_tests::SOON;
use congress_tests::cluster::{self, Cluster, create_datasource};
use congress_tests::{Server, drivers_folder};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A file with numbered people, which a datasource reads every second, and a rule on top.
pub(crate) struct People {
    pub(crate) folder: TempDir,
    path: PathBuf,
}

impl People {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let people = Self { path: folder.path().join("people.csv"), folder };
        people.write(0);
        people
    }

    /// Writes a version: one row that names it, and some that stay.
    pub(crate) fn write(&self, version: usize) {
        let rows: String = (0..100).map(|n| format!("person{n}\n")).collect();
        let next = self.path.with_extension("next");
        fs::write(&next, format!("name\nversion{version}\n{rows}")).expect("the file");
        // Never half written for who reads it.
        fs::rename(next, &self.path).expect("the file");
    }

    /// Options that a datasource node needs to read it.
    pub(crate) fn readable(
        &self,
        options: congress_tests::ServerOptions,
    ) -> congress_tests::ServerOptions {
        options.with("plugins", "allowed_files", self.folder.path().display())
    }

    /// Makes the datasource `hr` and the policy `p` with the table `version`.
    pub(crate) async fn follow(&self, server: &Server) {
        let tables = json!({ "people": { "format": "csv", "path": self.path } });
        let config = json!({ "poll_time": "1", "folder": self.folder.path(), "tables": tables });
        create_datasource(server, "files", "hr", config).await.expect("the datasource");
        let policy = json!({ "name": "p" });
        assert_eq!(server.post("/v1/policies", &policy).await.expect("an answer").status, 201);
        let rule = json!({ "rule": "version(x) :- hr:people(name=x)" });
        let reply = server.post("/v1/policies/p/rules", &rule).await.expect("an answer");
        assert_eq!(reply.status, 201, "{:?}", reply.json());
    }
}

/// Waits until a node's engine has a version of the people.
pub(crate) async fn has_version(server: &Server, version: usize) {
    let name = json!([format!("version{version}")]);
    let there = |body: &Value| {
        let rows = body["results"].as_array();
        rows.is_some_and(|rows| rows.len() == 101 && rows.iter().any(|row| row["data"] == name))
    };
    server.eventually("/v1/policies/p/tables/version/rows", SOON, there).await.expect("the rows");
}

/// A cluster with these nodes with engines, all of them ready.
pub(crate) async fn cluster(drivers: &Path, engines: usize) -> (Cluster, Vec<Server>) {
    let cluster = Cluster::start(drivers).await.expect("a cluster");
    let engines = cluster.engines(engines).await.expect("engines");
    (cluster, engines)
}

/// The drivers that are shipped.
pub(crate) fn shipped() -> PathBuf {
    drivers_folder()
}

/// The drivers that only tests load.
pub(crate) fn testing() -> PathBuf {
    drivers_folder().join("testing")
}

/// Waits until a datasource node says that it waits.
pub(crate) async fn is_standby(server: &Server) {
    let waits = |body: &Value| {
        let role = body["roles"]["datasources"].as_str().unwrap_or_default();
        body["status"] == "ready" && role.starts_with("standby: node 'datasource-node'")
    };
    server.eventually("/readyz", SOON, waits).await.expect("a standby");
}

pub(crate) use cluster::is_active;
