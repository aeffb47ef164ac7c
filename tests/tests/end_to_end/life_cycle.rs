//! Drivers that are replaced, broken, or half there while their datasources run.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use congress_tests::{Server, ServerOptions, client_binary, drivers_folder};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{SOON, datasource, rows};

const STATUS: &str = "/v1/data-sources/hello/status?detail=true";
const GREETINGS: &str = "/v1/data-sources/hello/tables/greetings";

/// Two builds of one driver; the second has other tables.
const BUILDS: [&str; 2] = ["template", "template-next"];

fn component(name: &str) -> Vec<u8> {
    fs::read(drivers_folder().join(format!("testing/{name}.wasm"))).unwrap()
}

/// Puts a file in place as a whole.
fn put(folder: &Path, name: &str, content: &[u8]) {
    let hidden = folder.join(format!(".{name}"));
    fs::write(&hidden, content).unwrap();
    fs::rename(hidden, folder.join(name)).unwrap();
}

/// A server with the first build, and a datasource of it.
async fn greeter(names: &str, poll_time: &str) -> (Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "template.wasm", &component(BUILDS[0]));
    let server = Server::start(folder_of(&folder)).await.unwrap();
    let config = json!({ "names": names, "poll_time": poll_time });
    datasource(&server, "template", "hello", config).await;
    rows(&server, GREETINGS, json!([[names, format!("Hello, {names}!")]])).await;
    (server, folder)
}

fn folder_of(folder: &TempDir) -> ServerOptions {
    ServerOptions { drivers: Some(folder.path().to_owned()), ..ServerOptions::default() }
}

fn text<'a>(body: &'a Value, key: &str) -> &'a str {
    body[key].as_str().unwrap_or_default()
}

fn number(body: &Value, key: &str) -> u64 {
    text(body, key).parse().unwrap_or(0)
}

/// The table of a rule about the greetings.
const WHO: &str = "/v1/policies/met/tables/who";

async fn rule(server: &Server, text: &str) {
    let reply = server.post("/v1/policies/met/rules", &json!({"rule": text})).await.unwrap();
    assert_eq!(reply.status, 201, "{text}: {}", String::from_utf8_lossy(&reply.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_driver_takes_over_with_its_tables() {
    let (server, folder) = greeter("Ada", "1").await;
    let first =
        server.get("/v1/system/drivers/template?detail=true").await.unwrap().json().unwrap();
    assert_eq!((text(&first, "version"), text(&first, "state")), ("0.1.0", "ready"));
    assert_eq!((text(&first, "world"), text(&first, "file")), ("1.0.0", "template.wasm"));
    assert!(text(&first, "loaded_at").starts_with("20"), "{first}");
    let policy = server.post("/v1/policies", &json!({"name": "met"})).await.unwrap();
    assert_eq!(policy.status, 201);
    rule(&server, "who(x) :- hello:greetings(name=x)").await;
    rows(&server, WHO, json!([["Ada"]])).await;

    put(folder.path(), "template.wasm", &component(BUILDS[1]));
    rows(&server, GREETINGS, json!([["Ada", "Hello again, Ada!", 3]])).await;
    rows(&server, "/v1/data-sources/hello/tables/farewells", json!([["Ada"]])).await;
    let schema = server.get("/v1/data-sources/hello/schema").await.unwrap().json().unwrap();
    assert_eq!(schema["tables"].as_array().map(Vec::len), Some(2), "{schema}");
    let runs = |body: &Value| text(body, "driver_version") == "0.2.0";
    let status = server.eventually(STATUS, SOON, runs).await.unwrap();
    let second = |body: &Value| text(body, "version") == "0.2.0";
    let second =
        server.eventually("/v1/system/drivers/template?detail=true", SOON, second).await.unwrap();
    assert_ne!(first["hash"], second["hash"]);
    assert_eq!(status["driver_hash"], second["hash"]);
    assert_eq!(second["tables"].as_array().map(Vec::len), Some(2), "{second}");
    // Rules by names go on with the new tables, and new ones may use them.
    rule(&server, "long(x, n) :- hello:greetings(name=x, length=n)").await;
    rows(&server, "/v1/policies/met/tables/long", json!([["Ada", 3]])).await;
    rows(&server, WHO, json!([["Ada"]])).await;
    let log = server.log();
    for word in ["driver loaded", "world=1.0.0", text(&second, "hash")] {
        assert!(log.contains(word), "{word}\n{log}");
    }

    // And back: columns and tables that are gone go.
    put(folder.path(), "template.wasm", &component(BUILDS[0]));
    rows(&server, GREETINGS, json!([["Ada", "Hello, Ada!"]])).await;
    let gone = server.get("/v1/data-sources/hello/tables/farewells/rows").await.unwrap();
    assert_eq!(gone.status, 404);
    // The rule that does not fit any more is set aside, and its table with it.
    let is_gone = |body: &Value| body["error"].is_object();
    server.eventually("/v1/policies/met/tables/long", SOON, is_gone).await.unwrap();
    assert!(server.log().contains("the rule is not in force"), "{}", server.log());
    rows(&server, WHO, json!([["Ada"]])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_stay_until_the_new_build_has_read_its_own() {
    // The second build cannot read this one.
    let (server, folder) = greeter("Ghost", "600").await;
    put(folder.path(), "template.wasm", &component(BUILDS[1]));
    let fails = |body: &Value| text(body, "last_error").contains("Ghost does not answer");
    let status = server.eventually(STATUS, SOON, fails).await.unwrap();
    assert_eq!(text(&status, "driver_version"), "0.2.0");
    assert_eq!(text(&status, "failures"), "1", "{status}");
    assert!(text(&status, "next_attempt").starts_with("20"), "{status}");
    rows(&server, GREETINGS, json!([["Ghost", "Hello, Ghost!"]])).await;
    let schema = server.get("/v1/data-sources/hello/schema").await.unwrap().json().unwrap();
    assert_eq!(schema["tables"][0]["columns"].as_array().map(Vec::len), Some(2), "{schema}");

    // A refresh does not wait for the next attempt.
    let path = "/v1/data-sources/hello?action=request-refresh";
    let reply = server.request(Method::POST, path, HeaderMap::new(), None).await.unwrap();
    assert_eq!(reply.status, 200);
    let again = |body: &Value| text(body, "failures") == "2";
    server.eventually(STATUS, SOON, again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_replacement_leaves_the_old_build_running() {
    let (server, folder) = greeter("Nobody", "1").await;
    // One that is no driver.
    put(folder.path(), "template.wasm", b"no component");
    let told = |body: &Value| text(body, "driver_error").contains("is not a WebAssembly file");
    let status = server.eventually(STATUS, SOON, told).await.unwrap();
    let driver =
        server.get("/v1/system/drivers/template?detail=true").await.unwrap().json().unwrap();
    assert_eq!(text(&driver, "state"), "ready");
    assert_eq!(driver["next_build"]["state"], "failed", "{driver}");
    assert!(text(&driver, "error").contains("is not a WebAssembly file"), "{driver}");
    let goes_on = |body: &Value| {
        number(body, "number_of_updates") > number(&status, "number_of_updates")
            && text(body, "last_error") == "None"
    };
    server.eventually(STATUS, SOON, goes_on).await.unwrap();

    // One that refuses the datasource's configuration.
    put(folder.path(), "template.wasm", &component(BUILDS[1]));
    let told = |body: &Value| text(body, "driver_error").contains("Nobody cannot be greeted");
    let status = server.eventually(STATUS, SOON, told).await.unwrap();
    assert_eq!(text(&status, "driver_version"), "0.1.0", "{status}");
    rows(&server, GREETINGS, json!([["Nobody", "Hello, Nobody!"]])).await;
    let goes_on = |body: &Value| {
        number(body, "number_of_updates") > number(&status, "number_of_updates") + 1
            && text(body, "last_error") == "None"
    };
    server.eventually(STATUS, SOON, goes_on).await.unwrap();

    // The right one ends it.
    put(folder.path(), "template.wasm", &component(BUILDS[0]));
    let mended = |body: &Value| text(body, "driver_error") == "None";
    server.eventually(STATUS, SOON, mended).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_being_copied_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder_of(&folder)).await.unwrap();
    let whole = component(BUILDS[0]);
    let mut cuts = vec![0, 100, whole.len() / 2, last_section(&whole), whole.len()];
    cuts.dedup();
    let mut file = File::create(folder.path().join("template.wasm")).unwrap();
    for cut in cuts.windows(2) {
        file.write_all(&whole[cut[0]..cut[1]]).unwrap();
        if cut[1] == whole.len() {
            break;
        }
        // Each pause is longer than what passes for quiet in a file that nobody has open.
        let is_copied = |body: &Value| body["state"] == "copying";
        let path = "/v1/system/drivers/template.wasm?detail=true";
        server.eventually(path, Duration::from_secs(2), is_copied).await.unwrap();
        let until = std::time::Instant::now() + Duration::from_millis(1500);
        while std::time::Instant::now() < until {
            let list = server.get("/v1/system/drivers").await.unwrap().json().unwrap();
            assert_eq!(list["results"][0]["state"], "copying", "{list}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    drop(file);
    let loaded = |body: &Value| body["state"] == "ready";
    server.eventually("/v1/system/drivers/template?detail=true", SOON, loaded).await.unwrap();
    let log = server.log();
    assert_eq!(log.matches("driver loaded").count(), 1, "{log}");
    assert!(!log.contains("ERROR"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_file_waits_for_its_rest() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder_of(&folder)).await.unwrap();
    let whole = component(BUILDS[0]);
    let path = folder.path().join("template.wasm");
    // Whoever copied it has gone.
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let told = |body: &Value| text(body, "error").contains("middle of a section");
    server.eventually("/v1/system/drivers/template.wasm?detail=true", SOON, told).await.unwrap();
    File::options().append(true).open(&path).unwrap().write_all(&whole[whole.len() - 1..]).unwrap();
    let loaded = |body: &Value| body["state"] == "ready";
    server.eventually("/v1/system/drivers/template?detail=true", SOON, loaded).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_compiles_is_listed_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    // Without a cache everything is compiled.
    let cache = tempfile::tempdir().unwrap();
    let server =
        Server::start(folder_of(&folder).with("plugins", "cache_path", cache.path().display()))
            .await
            .unwrap();
    put(folder.path(), "hostile.wasm", &component("hostile"));
    let listed = |body: &Value| {
        body["results"].as_array().is_some_and(|drivers| {
            drivers.iter().any(|driver| text(driver, "id").starts_with("hostile"))
        })
    };
    let list = server.eventually("/v1/system/drivers", Duration::from_secs(2), listed).await;
    list.unwrap();
    // Whoever is too early is told so, and to come again.
    let body = json!({"driver": "hostile", "name": "early"});
    let early = server.post("/v1/data-sources", &body).await.unwrap();
    let said = String::from_utf8_lossy(&early.body).into_owned();
    assert_eq!(early.status, 503, "{said}");
    assert!(
        said.contains("driver 'hostile' cannot be used yet: its file hostile.wasm is"),
        "{said}"
    );
    assert_eq!(early.headers.get("retry-after").unwrap(), "1");
    let never = json!({"driver": "nosuch", "name": "early"});
    let never = server.post("/v1/data-sources", &never).await.unwrap();
    assert_eq!(never.status, 400);
    // Others are seen meanwhile, and what is no driver needs no compiler to be told from one.
    put(folder.path(), "text.wasm", b"no component");
    let failed = |body: &Value| body["state"] == "failed";
    server.eventually("/v1/system/drivers/text.wasm?detail=true", SOON, failed).await.unwrap();
    let ready = |body: &Value| body["state"] == "ready";
    server.eventually("/v1/system/drivers/hostile?detail=true", SOON, ready).await.unwrap();
    let made = server.post("/v1/data-sources", &body).await.unwrap();
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let log = server.log();
    let of = |text: &str| log.find(text).unwrap_or(usize::MAX);
    assert!(of("text.wasm") < usize::MAX && of("driver=hostile") < usize::MAX, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_files_with_one_driver_the_running_one_stays() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(second.path(), "a.wasm", &component(BUILDS[1]));
    let both = format!("{}:{}", first.path().display(), second.path().display());
    let options = || ServerOptions::default().with("DEFAULT", "driver_path", &both);
    let server = Server::start(options()).await.unwrap();
    let version = |wanted: &'static str| move |body: &Value| text(body, "version") == wanted;
    let path = "/v1/system/drivers/template?detail=true";
    server.eventually(path, SOON, version("0.2.0")).await.unwrap();

    // Also if the other one is in a folder that is preferred.
    put(first.path(), "b.wasm", &component(BUILDS[0]));
    let told = |body: &Value| text(body, "error").contains("comes from a.wasm already");
    server.eventually("/v1/system/drivers/b.wasm?detail=true", SOON, told).await.unwrap();
    let running = server.get(path).await.unwrap().json().unwrap();
    assert_eq!(text(&running, "version"), "0.2.0");
    let log = server.log();
    let warning = log.lines().find(|line| line.contains("two files have this driver")).unwrap();
    assert!(warning.contains("b.wasm") && warning.contains("a.wasm"), "{warning}");

    // It takes over when the one that ran goes, and then stays itself.
    fs::remove_file(second.path().join("a.wasm")).unwrap();
    server.eventually(path, SOON, version("0.1.0")).await.unwrap();
    put(second.path(), "a.wasm", &component(BUILDS[1]));
    let told = |body: &Value| text(body, "error").contains("comes from b.wasm already");
    server.eventually("/v1/system/drivers/a.wasm?detail=true", SOON, told).await.unwrap();
    drop(server);

    // Of those that are there at start, the order of the folders decides.
    let server = Server::start(options()).await.unwrap();
    server.eventually("/v1/system/drivers/a.wasm?detail=true", SOON, told).await.unwrap();
    server.eventually(path, SOON, version("0.1.0")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_or_named_is_told() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link.wasm")).unwrap();
    let name = std::ffi::OsStr::from_bytes(b"od\xffd.wasm");
    fs::write(folder.path().join(name), component(BUILDS[0])).unwrap();
    let server = Server::start(folder_of(&folder)).await.unwrap();
    let list = |part: &'static str| {
        move |body: &Value| {
            let drivers = body["results"].as_array().cloned().unwrap_or_default();
            drivers.iter().any(|d| d["state"] == "failed" && text(d, "error").contains(part))
        }
    };
    let path = "/v1/system/drivers";
    server.eventually(path, SOON, list("is a link that leads nowhere")).await.unwrap();
    server.eventually(path, SOON, list("is not UTF-8")).await.unwrap();
    // And the client's list shows it.
    let mut client = tokio::process::Command::new(client_binary().unwrap());
    client.args(["--url", server.url(), "driver", "list"]);
    let output = client.output().await.unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let line = shown.lines().find(|line| line.starts_with("link.wasm")).unwrap();
    assert!(line.contains("failed") && line.contains("a link that leads nowhere"), "{shown}");
    // Both can be mended without a restart.
    fs::rename(folder.path().join(name), folder.path().join("nowhere")).unwrap();
    let ready = |body: &Value| body["state"] == "ready";
    server.eventually("/v1/system/drivers/template?detail=true", SOON, ready).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn single_files_are_drivers_under_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let good = drivers_folder().join("testing/template.wasm");
    let misnamed = folder.path().join("misnamed.wasm");
    fs::copy(&good, &misnamed).unwrap();
    let endpoints = format!(
        "template={},other={},absent=/no/such/absent.wasm",
        good.display(),
        misnamed.display()
    );
    let options = ServerOptions::default().with("DEFAULT", "custom_driver_endpoints", endpoints);
    let server = Server::start(options).await.unwrap();
    let ready = |body: &Value| body["state"] == "ready";
    server.eventually("/v1/system/drivers/template?detail=true", SOON, ready).await.unwrap();
    let failed = |part: &'static str| {
        move |body: &Value| body["state"] == "failed" && text(body, "error").contains(part)
    };
    let path = "/v1/system/drivers/misnamed.wasm?detail=true";
    server.eventually(path, SOON, failed("calls it 'other'")).await.unwrap();
    server
        .eventually("/v1/system/drivers/absent?detail=true", SOON, failed("is not there"))
        .await
        .unwrap();
}

/// Where the last section of a component begins.
fn last_section(bytes: &[u8]) -> usize {
    let (mut begin, mut next) = (8, 8);
    while next < bytes.len() {
        begin = next;
        let (mut length, mut shift, mut at) = (0_usize, 0, begin + 1);
        loop {
            let byte = bytes[at];
            length |= usize::from(byte & 0x7f) << shift;
            (shift, at) = (shift + 7, at + 1);
            if byte & 0x80 == 0 {
                break;
            }
        }
        next = at + length;
    }
    begin
}
