//! The contract is frozen: its file stays as it is, and what is built for it works.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use congress_plugins::{DriverError, HeldRows, Host, HostConfig, Push, State, TableOperation};
use congress_table::{Table, Value};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::common::{Service, answer, guest, local_config, replaced, row, values};

/// The frozen files below `wit/`, and the hash of what they declare: of their lines without comments
/// and blanks.
///
/// Does the test fail here? Comments may be made clearer; a declaration may not change, not even by
/// a case or a field more. What is to be new goes into a file of its own, `wit/1.1.0/datasource.wit`,
/// as docs/driver-contract.md says, and once that is frozen, a line here.
const FROZEN: [(&str, &str); 1] =
    [("datasource.wit", "4e3cdcea656db5194a667cb9910e3ac23140fa389a0c078d4c154bc0d6a82a7c")];

fn wit() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit"))
}

fn declarations(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn frozen_files_stay_as_they_are() {
    for (file, expected) in FROZEN {
        let text = fs::read_to_string(wit().join(file)).unwrap();
        let hash: String =
            Sha256::digest(declarations(&text)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, expected, "wit/{file} is frozen; see `FROZEN` in {}", file!());
    }
}

#[test]
fn every_declaration_says_what_it_is() {
    let text = fs::read_to_string(wit().join("datasource.wit")).unwrap();
    let mut before = "";
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let declares = ["interface ", "record ", "variant ", "enum ", "type ", "world "]
            .iter()
            .any(|word| line.starts_with(word));
        assert!(!declares || before.starts_with("///"), "`{line}` has no comment");
        before = line;
    }
}

/// The rows that a datasource's caller holds.
struct Held(HashMap<String, Arc<Table>>);

impl HeldRows for Held {
    fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.0.get(name).cloned()
    }
}

fn said(table: &Table, name: &str) -> Value {
    let name = Value::text(name);
    table.rows().find(|row| row[0] == name).map(|row| row[1].clone()).unwrap()
}

/// Whatever later hosts have, this must pass as it is.
#[tokio::test]
async fn a_driver_of_1_0_0_uses_all_of_its_contract() {
    let service = Service::start(|_| answer(202, "hello")).await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "content").unwrap();
    let config = HostConfig { allowed_files: vec![folder.path().into()], ..local_config() };
    let host = Host::new(config).unwrap();
    let driver = host.load(guest("contract_1_0")).await.unwrap();
    assert_eq!(driver.world_version(), "1.0.0");
    let [action] = &driver.metadata().actions[..] else { panic!("{:?}", driver.metadata()) };
    assert!(action.takes_others && action.arguments[0].required);

    let settings = values(json!({
        "url": service.url("/"), "folder": path(folder.path()), "token": "canary",
    }));
    let source = driver.datasource("d", &settings, State::default()).await.unwrap();
    assert_eq!(source.tables().len(), 4);
    let outcome = source.poll(&["calls", "open"]).await.unwrap();
    assert_eq!(outcome.upkeep_after.map(|after| after.as_secs()), Some(60));
    assert_eq!(outcome.state.as_ref().unwrap().0["polls"], "1");
    assert!(outcome.refused.as_ref().unwrap().contains("nowhere"));
    let away = DriverError::Connection("it is away".into());
    assert_eq!(outcome.failed, [("broken".into(), away)]);
    assert_eq!(service.seen()[0].header("authorization"), Some("Bearer canary"));
    assert_eq!((service.seen()[0].header("x-own"), &*service.seen()[0].body), (Some("1"), "body"));

    let calls = Arc::new(Table::from(replaced(&outcome, "calls").clone()));
    for (name, expected) in [
        ("polls", Value::Int(1)),
        ("wanted", Value::text("calls open")),
        ("status", Value::Int(202)),
        ("body", Value::text("hello")),
        ("has a type", Value::Bool(false)),
        ("endpoint", Value::text("a service's endpoint is known only to Keystone sessions")),
        ("size", Value::Int(7)),
        ("is a folder", Value::Bool(false)),
        ("is old", Value::Bool(false)),
        ("content", Value::text("on")),
        ("denied", Value::Bool(true)),
        ("nothing", Value::Null),
        ("half", Value::Float(0.5)),
    ] {
        assert_eq!(said(&calls, name), expected, "{name}");
    }
    let types = replaced(&outcome, "calls.types");
    let second = [
        Value::Bool(false),
        Value::Null,
        Value::Float(1.5),
        Value::text("b"),
        Value::text("x"),
        Value::text("u"),
        Value::text("i"),
        Value::Null,
    ];
    assert!(types.len() == 2 && types.contains(&row(&second)), "{types:?}");
    // A table without columns.
    let open = replaced(&outcome, "open");
    let three = row(&[Value::Int(0), Value::Int(1), Value::Int(2)]);
    assert!(open.len() == 3 && open.contains(&[]) && open.contains(&three), "{open:?}");

    let held = |calls: Arc<Table>| Some(Arc::new(Held([("calls".into(), calls)].into())) as Arc<_>);
    let patched = |outcome: congress_plugins::CallOutcome| match outcome.tables.into_iter().next() {
        Some((_, TableOperation::Patch(delta))) => delta,
        other => panic!("{other:?}"),
    };
    let push = Push::Rows { table: "body".into(), body: json!([1]) };
    let delta = patched(source.receive_beside(push, held(calls.clone())).await.unwrap());
    assert_eq!(delta.removed, [row(&[Value::text("body"), Value::text("hello")])]);
    assert_eq!(delta.added, [row(&[Value::text("body"), Value::text("[1]")])]);
    let push = Push::Webhook(json!({"a": 1}));
    let delta = patched(source.receive_beside(push, held(calls.clone())).await.unwrap());
    assert_eq!(delta.added, [row(&[Value::text("webhook"), Value::text("{\"a\":1}")])]);

    let delta = patched(source.upkeep_beside(held(calls.clone())).await.unwrap());
    let old =
        calls.rows().filter(|row| matches!(&row[0], Value::Text(name) if &**name <= "m")).count();
    assert_eq!((delta.removed.len(), delta.added.len()), (old, 0));

    let named = values(json!({"other": true}));
    let done = source.execute("note.it", &[json!("a"), json!(1)], &named).await.unwrap();
    let heard = Value::text(r#"["\"a\"", "1"] [("other", "true")]"#);
    assert_eq!(patched(done).added, [row(&[Value::text("note.it"), heard])]);
    assert!(source.execute("else", &[], &values(json!({}))).await.is_err());
}

fn path(folder: &Path) -> &str {
    folder.to_str().unwrap()
}
