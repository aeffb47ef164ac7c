//! A recorded database of the original, taken over in place by a real server: it answers what the
//! original answered.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

use std::collections::BTreeMap;

use congress_test_services::Mariadb;
use congress_tests::{SOON, Server, ServerOptions, drivers_folder};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_originals_database_is_taken_over_in_place() {
    let corpus = congress_tests::shared().map(|shared| shared.join("corpus/db"));
    let Some(corpus) = corpus.filter(|corpus| corpus.join("expected.json").exists()) else {
        println!("skipped: no recorded database");
        return;
    };
    let mariadb = Mariadb::shared().await.unwrap();
    let url = mariadb.database("ussuri").await.unwrap();
    mariadb.load("ussuri", &corpus.join("ussuri-mariadb.sql")).await.unwrap();
    let before = dump(mariadb).await;
    let options = || {
        let mut options = ServerOptions::default()
            .with("database", "connection", url.replace('$', "$$"))
            .with("DEFAULT", "encryption_key_path", corpus.join("keys").display());
        options.drivers = Some(drivers_folder());
        options
    };
    let server = Server::start(options()).await.unwrap();
    let expected = std::fs::read_to_string(corpus.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let (mut passed, mut left_out) = (0, Vec::new());
    for (path, recorded) in expected.as_object().unwrap() {
        let has_no_library =
            path == "/v1/librarypolicies" && server.get(path).await.unwrap().status == 404;
        if has_no_library || !has_drivers_for(path) {
            left_out.push(path.as_str());
            continue;
        }
        let recorded = hidden(recorded["body"].clone());
        let same = |body: &Value| sorted(hidden(body.clone())) == sorted(recorded.clone());
        server.eventually(path, SOON, same).await.unwrap();
        passed += 1;
    }
    println!("{passed} of {} recorded paths agree", expected.as_object().unwrap().len());
    for path in left_out {
        println!("skipped: {path}, for which a driver or the library is not built");
    }
    server.stop().await.unwrap();
    assert_eq!(dump(mariadb).await, before, "the original's tables after a run that only reads");

    // The key of another host opens nothing here, and no key is worse than a wrong one.
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let refused = Server::refused(options().with("DEFAULT", "encryption_key_path", keys.display()));
    assert!(refused.await.unwrap().contains("sealed with"));
    assert!(!keys.exists(), "no key was made");
}

/// Whether the drivers are built without which a path answers something else.
fn has_drivers_for(path: &str) -> bool {
    let built = |driver: &str| drivers_folder().join(format!("{driver}.wasm")).exists();
    let needs: &[&str] = match path {
        "/v1/data-sources" => &["corpus", "doctor", "push"],
        path if path.starts_with("/v1/data-sources/doc") => &["doctor"],
        path if path.starts_with("/v1/data-sources/feed") => &["push"],
        path if path.starts_with("/v1/data-sources") => &["corpus"],
        path if path.ends_with("/tables/error/rows") => &["corpus"],
        _ => &[],
    };
    needs.iter().all(|driver| built(driver))
}

/// Secrets are hidden here, as they should always have been.
fn hidden(mut body: Value) -> Value {
    if let Some(password) = body.pointer_mut("/config/password") {
        *password = "<hidden>".into();
    }
    body
}

/// Lists are sets, and so are the members of an object.
fn sorted(mut body: Value) -> Value {
    if let Some(results) = body["results"].as_array_mut() {
        results.sort_by_cached_key(|row| {
            let members = row.as_object().into_iter().flatten();
            members
                .map(|(name, value)| (name.clone(), value.to_string()))
                .collect::<BTreeMap<_, _>>()
        });
    }
    body
}

/// The original's tables as they are.
async fn dump(server: &Mariadb) -> Vec<String> {
    let mut texts = Vec::new();
    for table in [
        "alembic_version",
        "datasources",
        "dstabledata",
        "library_policies",
        "policies",
        "policiesdeleted",
        "policy_rules",
    ] {
        let sql =
            format!("USE ussuri; SHOW CREATE TABLE {table}; SELECT * FROM {table} ORDER BY 1");
        texts.push(server.sql(&sql).await.unwrap());
    }
    texts
}
