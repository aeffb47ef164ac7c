//! HAProxy's statistics, which it tells as a row for each field.

use congress_test_services::{Haproxy, free_port};

use crate::{Row, datasource, poll, rows};

const CONFIG: &str = "\
global
    stats socket /run/haproxy.sock mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend web
    bind *:1789
    stats enable
    stats uri /stats
    default_backend shop
backend shop
    server here 192.0.2.1:80 check inter 100ms fall 1 rise 1
    server gone 192.0.2.2:80 check inter 100ms fall 1 rise 1
";

#[tokio::test(flavor = "multi_thread")]
async fn haproxy() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    // A port on which nobody listens.
    let gone = format!("127.0.0.1:{}", free_port().unwrap()).parse().unwrap();
    let haproxy = Haproxy::start(CONFIG, &[("here", here), ("gone", gone)]).await.unwrap();
    haproxy.holds("here", "UP").await.unwrap();
    haproxy.holds("gone", "DOWN").await.unwrap();

    let source = datasource("haproxy", &[("url", &haproxy.url())]).await;
    let tables = poll(&source).await.unwrap();
    let stats = rows(&source, &tables, "stats");
    let field = |server: &str, field: &str| {
        let named = |row: &&Row| row["field"] == "svname" && row["value"] == server;
        let name = stats.iter().find(named).expect("the server");
        let of_it = |row: &&Row| {
            row["field"] == field && row["proxy"] == name["proxy"] && row["id"] == name["id"]
        };
        stats
            .iter()
            .filter(of_it)
            .find(|row| row["kind"] == "Server")
            .map(|row| row["value"].clone())
    };
    assert_eq!(field("here", "status").unwrap(), "UP");
    assert!(field("gone", "status").unwrap().as_str().unwrap().starts_with("DOWN"));
    assert_eq!(field("gone", "pxname").unwrap(), "shop");
    assert!(field("here", "weight").unwrap().is_number());
}
