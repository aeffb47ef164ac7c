//! Databases that the original left behind are used in place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use congress_store::{At, Error, KeyRing, Options, Store, current_schema, schema_revision};
use congress_test_services::Mariadb;
use serde_json::Value;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::{Place, file, folder, open, policy, pushed, put, raw, rule};

/// A database as the original leaves it: its tables, its version, and nothing of ours.
async fn original(path: &Path) -> SqliteConnection {
    open(path).await.close().await;
    let mut connection = raw(path).await;
    sqlx::raw_sql(
        "DROP TABLE congress_schema; DROP TABLE congress_revision; DROP TABLE congress_drivers;
         DROP TABLE congress_driver_chunks; DROP TABLE congress_leases;
         DROP TABLE congress_actions; DROP INDEX congress_policy_rules_live;
         CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection
}

async fn adopt(path: &Path, connection: SqliteConnection) -> Store {
    connection.close().await.unwrap();
    open(path).await
}

/// The definitions of the original's tables and everything on them.
async fn definitions(path: &Path) -> Vec<(String, Option<String>)> {
    let mut connection = raw(path).await;
    sqlx::query_as(
        "SELECT name, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'congress%' ORDER BY name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_originals_tables_stay_as_they_are() {
    let folder = folder();
    let path = file(&folder);
    let mut connection = original(&path).await;
    sqlx::raw_sql(
        "INSERT INTO alembic_version VALUES ('c0125080d572');
         INSERT INTO policies (id, created_at, name, abbreviation, description, owner, kind)
           VALUES ('1', '2020-02-02 02:02:02', 'old', 'old', '', 'user', 'action');
         INSERT INTO policy_rules (id, created_at, rule, policy_name, comment)
           VALUES ('2', '2020-02-02 02:02:02.000000', 'q(1)', 'old', '');",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let before = definitions(&path).await;

    let store = adopt(&path, connection).await;
    assert_eq!(store.policy("old").await.unwrap().kind, "action");
    assert_eq!(store.rules("old").await.unwrap().len(), 1);
    store.insert_rules("old", vec![rule("q(2)")], At::Any).await.unwrap();
    let rules = store.rules("old").await.unwrap();
    assert_eq!(rules.iter().map(|r| r.rule.as_str()).collect::<Vec<_>>(), ["q(1)", "q(2)"]);
    store.close().await;

    assert_eq!(definitions(&path).await, before);
    assert_eq!(open(&path).await.rules("old").await.unwrap(), rules);
}

/// The recorded database, its statements run on SQLite, answers as the original did.
#[tokio::test]
async fn the_recorded_database() {
    let Some(corpus) = corpus() else { return };
    let dump = std::fs::read_to_string(corpus.join("ussuri-mariadb.sql")).unwrap();
    let folder = folder();
    let path = file(&folder);
    let mut connection = original(&path).await;
    for insert in inserts(&dump) {
        sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut connection).await.unwrap();
    }
    let store = adopt(&path, connection).await;
    answers_as_recorded(&store, &corpus).await;
}

/// The recorded database, as it is, on MariaDB: used in place, and left as it was.
#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_database_on_mariadb() {
    let Some(corpus) = corpus() else { return };
    let place = Place::empty_mariadb().await;
    let server = Mariadb::shared().await.unwrap();
    server.load(place.name(), &corpus.join("ussuri-mariadb.sql")).await.unwrap();
    let before = originals(&place).await;
    assert_eq!(
        current_schema(&place.location, &Options::default()).await.unwrap(),
        schema_revision("c0125080d572")
    );

    let store = place.open().await;
    answers_as_recorded(&store, &corpus).await;
    assert_eq!(originals(&place).await, before, "after a run that only reads");

    // Its tables compare names without regard to case. Here they are exact all the same.
    let alice = store.policy("alice").await.unwrap();
    for missing in ["Alice", "ALICE", "alice "] {
        let error = store.policy(missing).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{missing}: {error}");
        assert!(store.rules(missing).await.unwrap().is_empty(), "{missing}");
        assert!(store.datasource("INV").await.is_err());
    }
    let taken = store.create_policy(policy("Alice"), vec![], At::Any).await.unwrap_err();
    assert!(matches!(taken, Error::Conflict { .. }), "{taken}");
    let doc = store.datasource("doc").await.unwrap();
    let rows = pushed(&store, &doc.id, "events").await.unwrap();
    assert!(pushed(&store, &doc.id, "EVENTS").await.unwrap().is_empty());
    let taken = put(&store, &doc.id, "EVENTS", &[], None).await.unwrap_err();
    assert!(matches!(taken, Error::Conflict { .. }), "{taken}");
    assert_eq!(pushed(&store, &doc.id, "events").await.unwrap(), rows);

    // Changes go where the original finds them.
    store.insert_rules("alice", vec![rule("added(1)")], At::Any).await.unwrap();
    let found = place
        .text("SELECT CONCAT(policy_name, deleted) FROM policy_rules WHERE rule = 'added(1)'")
        .await;
    assert_eq!(found, "alice");
    store.delete_policy(&alice.id, At::Any).await.unwrap();
    assert_eq!(place.text("SELECT COUNT(*) FROM policies WHERE name = 'alice'").await, "0");
    assert_eq!(
        place.text("SELECT deleted = id FROM policiesdeleted WHERE name = 'alice'").await,
        "1"
    );
    store.create_policy(policy("Alice"), vec![], At::Any).await.unwrap();
    assert_eq!(place.text("SELECT version_num FROM alembic_version").await, "c0125080d572");
}

/// Definitions and rows of the original's tables.
async fn originals(place: &Place) -> Vec<String> {
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
        texts.push(place.text(&format!("SHOW CREATE TABLE {table}")).await);
        texts.push(place.text(&format!("SELECT * FROM {table} ORDER BY 1")).await);
    }
    texts
}

/// The folder of the recorded database, where it is.
fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("CONGRESS_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let corpus = shared.join("corpus/db");
    if corpus.join("ussuri-mariadb.sql").exists() {
        return Some(corpus);
    }
    println!("skipped: {} is not there", corpus.display());
    None
}

async fn answers_as_recorded(store: &Store, corpus: &Path) {
    let expected = std::fs::read_to_string(corpus.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let body = |path: &str| expected[path]["body"].clone();
    let names = |list: &Value, key: &str| -> BTreeSet<String> {
        let list = list["results"].as_array().unwrap().iter();
        list.map(|item| item[key].as_str().unwrap().to_owned()).collect()
    };
    let policies = store.policies().await.unwrap();
    let recorded = body("/v1/policies");
    assert_eq!(policies.len(), recorded["results"].as_array().unwrap().len());
    for recorded in recorded["results"].as_array().unwrap() {
        let policy = store.policy(recorded["name"].as_str().unwrap()).await.unwrap();
        assert_eq!(policy.id, recorded["id"]);
        assert_eq!(policy.description, recorded["description"]);
        assert_eq!(policy.kind, recorded["kind"]);
    }
    assert_eq!(
        store.rules("alice").await.unwrap().into_iter().map(|r| r.rule).collect::<BTreeSet<_>>(),
        names(&body("/v1/policies/alice/rules"), "rule")
    );

    assert!(store.has_sealed_secrets().await.unwrap());
    let keys = KeyRing::open(&corpus.join("keys"), false).unwrap();
    for recorded in body("/v1/data-sources")["results"].as_array().unwrap() {
        let name = recorded["name"].as_str().unwrap();
        let datasource = store.datasource(name).await.unwrap();
        assert_eq!(datasource.config.hiding(["password"]), recorded["config"], "{name}");
        assert_eq!(datasource.id, recorded["id"]);
        assert_eq!(Value::from(datasource.description), recorded["description"]);
    }
    let clear = keys.reveal(&store.datasource("inv").await.unwrap().config).unwrap();
    assert_eq!(Value::from(clear), body("/v1/data-sources/inv")["config"]);
    let folder = folder();
    let wrong = KeyRing::open(folder.path(), true).unwrap();
    assert!(wrong.reveal(&store.datasource("inv").await.unwrap().config).is_err());

    let doc = store.datasource("doc").await.unwrap();
    let rows = pushed(store, &doc.id, "events").await.unwrap();
    let recorded = body("/v1/data-sources/doc/tables/events/rows");
    assert_eq!(serde_json::to_value(&rows).unwrap()[0], recorded["results"][0]["data"]);

    let library = store.library().await.unwrap();
    assert_eq!(library.len(), 1);
    assert_eq!(library[0].rules.len(), 1);
}

/// The insertions of a MariaDB dump as SQLite wants them: columns named, for their order is not
/// the same, and texts escaped its way.
fn inserts(dump: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut rest = dump;
    while let Some(start) = rest.find("CREATE TABLE") {
        rest = &rest[start..];
        let columns: Vec<_> = rest
            .lines()
            .skip(1)
            .map_while(|line| line.strip_prefix("  `")?.split('`').next())
            .collect();
        let Some(start) = rest.find("INSERT INTO") else { break };
        let (head, values) = rest[start..].split_once("VALUES").unwrap();
        let mut statement = format!("{head} ({}) VALUES ", columns.join(", "));
        let mut quoted = false;
        let mut characters = values.char_indices();
        while let Some((offset, character)) = characters.next() {
            match character {
                '\\' if quoted => match characters.next().unwrap().1 {
                    '\'' => statement.push_str("''"),
                    'n' => statement.push('\n'),
                    other => statement.push(other),
                },
                ';' if !quoted => {
                    rest = &values[offset..];
                    break;
                }
                _ => {
                    quoted ^= character == '\'';
                    statement.push(character);
                }
            }
        }
        statements.push(statement);
    }
    statements
}
