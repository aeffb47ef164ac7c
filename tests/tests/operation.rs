//! What operators do to a server: check its configuration, have it read again, rotate its log.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use congress_tests::{SOON, Server, ServerOptions, drivers_folder, manager_binary};
use rustix::process::Signal;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_again_what_can_change() {
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("congress.log");
    let options = ServerOptions::default().with("DEFAULT", "log_file", log.display()).with(
        "DEFAULT",
        "use_stderr",
        true,
    );
    let server = Server::start(options).await.unwrap();
    assert!(fs::read_to_string(&log).unwrap().contains("listening"));
    assert!(!server.log().contains("DEBUG"));

    let config = server.state().path().join("congress.conf");
    let text = fs::read_to_string(&config).unwrap();
    let changed = text.replace("[DEFAULT]", "[DEFAULT]\ndebug = true\nquery_rows_limit = 5\n");
    fs::write(&config, changed).unwrap();
    let moved = log.with_extension("moved");
    fs::rename(&log, &moved).unwrap();
    server.signal(Signal::HUP).unwrap();
    let waits = "take effect at the next start: [DEFAULT] query_rows_limit";
    server.logs(SOON, |log| log.contains(waits)).await.unwrap();
    // Of a client that talks something else only developers are told.
    let mut client = TcpStream::connect(server.authority()).unwrap();
    client.write_all(b"hello\r\n\r\n").unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    server.logs(SOON, |log| log.contains("DEBUG")).await.unwrap();
    assert!(fs::read_to_string(&log).unwrap().contains(waits), "the log is opened anew");
    assert!(!fs::read_to_string(&moved).unwrap().contains(waits));

    // What is wrong changes nothing, and ends nothing.
    fs::write(&config, text.replace("[DEFAULT]", "[DEFAULT]\nbind_port = many\n")).unwrap();
    server.signal(Signal::HUP).unwrap();
    server.logs(SOON, |log| log.contains("the configuration stays as it was")).await.unwrap();
    assert_eq!(server.get("/healthcheck").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_few_rows_has_no_huge_pages() {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    assert!(status.contains("THP_enabled:\t0"), "{status}");
}

/// `congress-db-manage keys …` with a server's configuration.
fn keys(server: &Server, action: &str) {
    let output = Command::new(manager_binary().unwrap())
        .arg("--config-file")
        .arg(server.state().path().join("congress.conf"))
        .args(["keys", action])
        .output()
        .unwrap();
    assert!(output.status.success(), "{action}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_without_a_restart() {
    let drivers = Some(drivers_folder().join("testing"));
    let options = ServerOptions { drivers, ..ServerOptions::default() };
    let server = Server::start(options).await.unwrap();
    let driver = "/v1/system/drivers/corpus?detail=true";
    server.eventually(driver, SOON, |body| body["state"] == "ready").await.unwrap();
    let create = async |name: &str| {
        let config = json!({"endpoint": "e", "password": "pw", "poll_time": 0});
        let body = json!({"name": name, "driver": "corpus", "config": config});
        assert_eq!(server.post("/v1/data-sources", &body).await.unwrap().status, 201);
    };
    // Its driver starts anew, and so needs its password.
    let restart = async |name: &str| {
        let path = format!("/v1/data-sources/{name}");
        for enabled in [false, true] {
            let reply = server.patch(&path, &json!({"enabled": enabled})).await.unwrap();
            assert_eq!(reply.status, 200, "{:?}", reply.json());
        }
    };
    let reread = async |times: usize| {
        server.signal(Signal::HUP).unwrap();
        let read = "read the key file again";
        server.logs(SOON, |log| log.matches(read).count() == times).await.unwrap();
    };
    create("old").await;
    keys(&server, "add");
    keys(&server, "promote");
    reread(1).await;
    create("new").await;
    keys(&server, "reseal");
    keys(&server, "retire");
    reread(2).await;
    restart("old").await;
    restart("new").await;

    // Keys that open nothing do not take the place of those that do.
    let file = server.state().path().join("keys/aes_key");
    fs::write(&file, "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=").unwrap();
    server.signal(Signal::HUP).unwrap();
    server.logs(SOON, |log| log.contains("the keys stay as they were")).await.unwrap();
    restart("old").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_file_does_not_grow_without_limit() {
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("congress.log");
    let options = ServerOptions::default()
        .with("DEFAULT", "log_file", log.display())
        // Where the harness reads the address.
        .with("DEFAULT", "use_stderr", true)
        .with("DEFAULT", "log_rotation_type", "size")
        .with("DEFAULT", "max_logfile_size_mb", 1)
        .with("DEFAULT", "max_logfile_count", 2);
    fs::write(&log, vec![b'x'; (1 << 20) - 10]).unwrap();
    let server = Server::start(options).await.unwrap();
    server.get("/v1/policies").await.unwrap();
    assert!(fs::metadata(&log).unwrap().len() < 1 << 20);
    let old = fs::read(logs.path().join("congress.log.1")).unwrap();
    assert!(old.starts_with(b"xxx"));
}

/// The status of `--check-config`, and what it prints.
fn check(more: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("congress.conf");
    let text = format!(
        "[DEFAULT]\nauth_strategy = noauth\ntransport_url = memory://\n\
         driver_path = {0}\nencryption_key_path = {0}/keys\n{more}\n",
        folder.path().display()
    );
    fs::write(&config, text).unwrap();
    let server = congress_tests::server_binary().unwrap();
    let output =
        Command::new(server).arg("--config-file").arg(&config).arg("--check-config").output();
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn a_check_looks_at_what_is_named() {
    let (status, text) = check("");
    assert_eq!(status, 0, "{text}");
    for (more, expected) in [
        (
            "[oslo_messaging_rabbit]\nssl = true\nssl_ca_file = /nonexistent/ca.pem",
            "[oslo_messaging_rabbit] ssl_ca_file names /nonexistent/ca.pem, which cannot be read",
        ),
        ("log_file = /nonexistent/x.log", "log_file names /nonexistent/x.log, whose folder"),
        ("lock_file = /nonexistent/lock", "lock_file names /nonexistent/lock, whose folder"),
        (
            "custom_driver_endpoints = a=/nonexistent/a.wasm",
            "custom_driver_endpoints names /nonexistent/a.wasm",
        ),
        (
            "[database]\nconnection = sqlite:////nonexistent/db",
            "connection names /nonexistent/db, whose folder does not exist",
        ),
        (
            "[database]\nconnection = postgresql://u:s3cr3t@h/d?sslrootcert=/nonexistent/ca",
            "connection names /nonexistent/ca, which cannot be read",
        ),
        ("log_rotation_type = sometimes", "must be none, interval or size"),
        ("use_syslog = true\nsyslog_log_facility = LOG_NOTHING", "must be LOG_USER"),
    ] {
        let (status, text) = check(more);
        assert_eq!(status, 78, "{more}: {text}");
        assert!(text.contains(expected) && !text.contains("s3cr3t"), "{more}: {text}");
    }
    let (status, text) = check("[plugins]\nallowed_files = /nonexistent/data");
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("warning") && text.contains("/nonexistent/data"), "{text}");
}
