//! Drivers in Python and JavaScript, dropped into a running server's folder.

use std::fs;
use std::time::Duration;

use axum::routing::get;
use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};

use crate::{policy, rows};

/// How long a driver may take from its file to its first rows: both are compiled, one after the
/// other, unless an earlier test has left them in the cache.
const COMPILED: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_in_any_language_is_dropped_in() {
    let built = drivers_folder().join("languages");
    let mut languages = Vec::new();
    for (language, driver) in [("python", "moons_py"), ("javascript", "moons_js")] {
        match fs::read_to_string(built.join(format!("{language}.skipped"))) {
            Ok(reason) => println!("skipped: {}", reason.trim()),
            Err(_) => languages.push(driver),
        }
    }
    let list = r#"[{ "name": "Io", "planet": "Jupiter", "radius": 1821.6 }]"#;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/moons", listener.local_addr().unwrap());
    let service = axum::Router::new().route("/moons", get(move || async move { list }));
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, service).await });

    let folder = tempfile::tempdir().unwrap();
    let options =
        ServerOptions { drivers: Some(folder.path().to_owned()), ..ServerOptions::default() }.with(
            "plugins",
            "allowed_hosts",
            "127.0.0.1",
        );
    let server = Server::start(options).await.unwrap();
    for driver in &languages {
        let file = format!("{driver}.wasm");
        let component = built.join(&file);
        assert!(component.is_file(), "{file}: run scripts/build-language-drivers");
        // Copied beside its place first, as whoever deploys should.
        let incoming = folder.path().join(format!(".{file}"));
        fs::copy(component, &incoming).unwrap();
        fs::rename(incoming, folder.path().join(file)).unwrap();
    }
    for driver in languages {
        let path = format!("/v1/system/drivers/{driver}?detail=true");
        let shows_options = |body: &Value| body["config"]["url"] == "required";
        server.eventually(&path, COMPILED, shows_options).await.unwrap();
        let config = json!({ "url": url, "poll_time": "1" });
        crate::datasource(&server, driver, driver, config).await;
        let table = format!("/v1/data-sources/{driver}/tables/moons");
        rows(&server, &table, json!([["Io", "Jupiter", 1821.6]])).await;
        policy(&server, &format!("p_{driver}"), &[&format!("m(x) :- {driver}:moons(name=x)")])
            .await;
        rows(&server, &format!("/v1/policies/p_{driver}/tables/m"), json!([["Io"]])).await;
    }
}
