//! What supervisors and balancers are answered.

use std::os::unix::net::UnixDatagram;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use congress_tests::{Server, ServerOptions};
use rustix::process::Signal;
use serde_json::Value;

use crate::SOON;

#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_goes_on_and_stops_with_the_process() {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let first = server.get("/healthcheck").await.unwrap().json().unwrap();
    assert_eq!(first["status"], "OK", "{first}");
    for name in ["listener", "policy-engine", "datasources"] {
        assert!(first["loops"][name]["age"].as_f64().unwrap() < 5.0, "{first}");
    }
    let before = first["heartbeat"].as_u64().unwrap();
    let grown = |body: &Value| body["heartbeat"].as_u64().unwrap() > before + 1;
    server.eventually("/healthcheck", SOON, grown).await.unwrap();

    server.signal(Signal::STOP).unwrap();
    let stat = format!("/proc/{}/stat", server.pid());
    congress_test_services::eventually("the process stands still", SOON, async || {
        std::fs::read_to_string(&stat).unwrap().contains(") T ").then_some(())
    })
    .await
    .unwrap();
    let asking = tokio::time::timeout(Duration::from_secs(1), server.get("/healthcheck")).await;
    assert!(!matches!(asking, Ok(Ok(_))), "a process that stands still does not answer");
    server.signal(Signal::CONT).unwrap();
    server.eventually("/healthcheck", SOON, |body| body["status"] == "OK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_tells_particulars_to_who_asks() {
    let options = ServerOptions::default().arg("--node-id=alone");
    let server = Server::start(options).await.unwrap();
    let active = |body: &Value| body["roles"]["datasources"] == "active in term 1";
    let short = server.eventually("/readyz", SOON, active).await.unwrap();
    assert_eq!(short["status"], "ready", "{short}");
    assert_eq!(short["roles"]["api"], "serving", "{short}");
    assert_eq!(short.get("node"), None, "{short}");
    let detail = server.get("/readyz?detail").await.unwrap().json().unwrap();
    assert_eq!(detail["node"]["node_id"], "alone", "{detail}");
    assert_eq!(detail["node"]["pid"], server.pid(), "{detail}");
    assert_eq!(
        (&detail["lease"]["state"], &detail["lease"]["term"]),
        (&"active".into(), &1.into())
    );
    assert_eq!(detail["peers"][0]["instance"], detail["node"]["instance"], "{detail}");
    assert!(detail["subscriptions"].is_array(), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_says_so_before_its_connections_close() {
    let options = ServerOptions::default().with("DEFAULT", "graceful_drain_delay", 2);
    let server = Server::start(options).await.unwrap();
    let begin = Instant::now();
    server.signal(Signal::TERM).unwrap();
    let draining = |body: &Value| body["status"] == "draining";
    server.eventually("/readyz", SOON, draining).await.unwrap();
    let noticed = begin.elapsed();
    assert!(noticed < Duration::from_secs(1), "{noticed:?}");
    assert_eq!(server.get("/readyz").await.unwrap().status, 503);
    // It serves on: balancers need a moment to notice.
    while begin.elapsed() < Duration::from_millis(1500) {
        assert_eq!(server.get("/v1/policies").await.unwrap().status, 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (status, log) = server.ended().await.unwrap();
    assert!(status.success(), "{status}: {log}");
    assert!(begin.elapsed() > Duration::from_secs(2));
}

/// A service manager: it takes in what it is told as it comes.
struct Manager {
    heard: mpsc::Receiver<String>,
}

impl Manager {
    fn listen(socket: UnixDatagram) -> Self {
        let (sender, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 128];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self { heard }
    }

    /// Waits until it has been told something so many times.
    fn told(&self, what: &str, mut times: usize) {
        while times > 0 {
            let heard = self.heard.recv_timeout(SOON).expect(what);
            times -= usize::from(heard == what);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let hears = Manager::listen(UnixDatagram::bind(&path).unwrap());
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let options = ServerOptions {
        environment: vec![
            variable("NOTIFY_SOCKET", path.to_str().unwrap()),
            variable("WATCHDOG_USEC", "600000"),
        ],
        ..ServerOptions::default()
    };
    let server = Server::start(options).await.unwrap();
    hears.told("READY=1", 1);
    hears.told("WATCHDOG=1", 3);
    let stopping = tokio::spawn(server.stop());
    hears.told("STOPPING=1", 1);
    assert!(stopping.await.unwrap().unwrap().success());
}
