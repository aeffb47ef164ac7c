//! The tricks by which an address hides: none helps, neither through the session nor through
//! `wasi:http`.

use congress_plugins::HostConfig;
use congress_table::Value;
use serde_json::json;

use crate::common::*;

/// Hosts that all mean this machine, or one that no configuration may name.
const HOSTS: [&str; 26] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.9.8.7",
    "localhost",
    "LocalHost",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0177.0.0.1",
    "0x7f.0.0x0.1",
    "127.1",
    "127.0.1",
    "%31%32%37.0.0.1",
    "１２７.0.0.1",
    "0.0.0.0",
    "0",
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "169.254.169.254",
    "[fe80::1]",
    "[fd00:ec2::254]",
];

/// Hosts that no URL can have, or that some machines only can resolve.
const OTHERS: [&str; 7] = [
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
    "127.0.0.1.1",
    "999.0.0.1",
    "user@127.0.0.1",
    "localhost.",
    "localhost.localdomain",
];

/// What came of asking for a URL that the datasource's configuration grants: the refusal.
async fn refusal(mode: &str, url: &str) -> Option<String> {
    let config = HostConfig { allowed_hosts: vec![], ..local_config() };
    let source = match source(config, json!({"mode": mode, "target": url})).await {
        Ok(source) => source,
        Err(error) => return Some(error.to_string()),
    };
    match source.poll(&["numbers", "report"]).await {
        Err(error) => Some(error.to_string()),
        Ok(outcome) => {
            let mut rows = replaced(&outcome, "report").rows();
            let refusal = rows.find(|row| row[0] == Value::text("refusal"))?;
            Some(format!("{:?}", refusal[1]))
        }
    }
}

#[tokio::test]
async fn this_machine_is_recognised_in_every_dress() {
    let service = Service::start(|_| answer(200, "reached")).await;
    for host in HOSTS {
        let url = format!("http://{host}:{}/", service.port);
        let said = refusal("fetch", &url).await.unwrap_or_else(|| panic!("{host} was reached"));
        assert!(said.contains("only the operator can grant"), "{host}: {said}");
        let said = refusal("wasi-fetch", &url).await;
        assert!(said.is_some(), "{host} was reached through wasi:http");
    }
    for host in OTHERS {
        for mode in ["fetch", "wasi-fetch"] {
            let said = refusal(mode, &format!("http://{host}:{}/", service.port)).await;
            assert!(said.is_some(), "{host} was reached by {mode}");
        }
    }
    assert!(service.seen().is_empty(), "{:?}", service.seen());
}

#[tokio::test]
async fn a_password_in_an_address_is_refused_when_the_datasource_is_made() {
    let settings = json!({"mode": "fetch", "target": "http://me:c4n4ry@service.example/"});
    let error = source(local_config(), settings).await.unwrap_err().to_string();
    assert!(error.contains("field 'target'") && error.contains("user name or password"), "{error}");
    assert!(!error.contains("c4n4ry"), "{error}");
}

#[tokio::test]
async fn wasi_http_has_the_sessions_grants() {
    let service = Service::start(|_| answer(200, "reached")).await;
    let ask = async |target: &str, allowed: &str| {
        let config = HostConfig { allowed_hosts: vec![allowed.parse().unwrap()], ..local_config() };
        let settings = json!({"mode": "wasi-fetch", "target": target});
        let outcome = poll(config, settings).await.unwrap();
        let rows = replaced(&outcome, "report").rows();
        rows.map(|row| format!("{:?}", row[1])).next().unwrap()
    };
    let url = service.url("/");
    assert!(ask(&url, "127.0.0.1").await.contains("200"));
    assert!(ask(&url, "127.0.0.1:1").await.contains("HttpRequestDenied"));
    assert_eq!(service.seen().len(), 1);
}
