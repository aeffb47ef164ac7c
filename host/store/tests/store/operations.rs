//! Every operation, on a database that is closed and opened again before it is looked at.

use congress_store::{
    At, Error, KeyRing, Kind, LibraryRule, Location, NewDatasource, NewLibraryPolicy, NewRule,
    Options, PushedTable, Revision, Store,
};
use congress_table::{Row, Value};
use serde_json::json;

use super::{Place, datasource, folder, on_all_systems, policy, pushed, put, rule};

on_all_systems! {
    policies_and_rules_survive_a_restart,
    deleting_frees_names_and_keeps_marked_copies,
    a_policy_with_rules_is_made_whole_or_not_at_all,
    lengths_count_characters,
    a_change_checked_at_an_old_revision_is_refused,
    datasources_and_their_pushed_rows,
    the_library,
    the_catalogue_of_drivers_and_their_bytes,
    damaged_bytes_are_not_handed_out,
    a_broken_row_does_not_hide_the_others,
}

async fn reopen(store: Store, place: &Place) -> Store {
    store.close().await;
    place.open().await
}

fn is_missing(error: &Error, kind: Kind) -> bool {
    matches!(error, Error::NotFound { kind: found, .. } if *found == kind)
}

async fn policies_and_rules_survive_a_restart(place: Place) {
    let store = place.open().await;
    let start = store.revision().await.unwrap();

    let named = NewRule {
        rule: "p(x) :- q(x), not r(x)".into(),
        name: Some("first".into()),
        comment: "a comment; with \"quotes\" and 'others'".into(),
    };
    let made = store
        .create_policy(policy("alice"), vec![named.clone(), rule("q(1)"), rule("q(2)")], At::Any)
        .await
        .unwrap();
    assert!(made.revision > start);
    let (alice, rules) = made.value;
    let added = store.insert_rules(&alice.id, vec![rule("q(3)")], At::Any).await.unwrap();
    assert!(added.revision > made.revision);

    let store = reopen(store, &place).await;
    assert_eq!(store.revision().await.unwrap(), added.revision);
    assert_eq!(store.policies().await.unwrap(), std::slice::from_ref(&alice));
    assert_eq!(store.policy("alice").await.unwrap(), alice);
    assert_eq!(store.policy(&alice.id).await.unwrap(), alice);
    assert_eq!(alice.description, "naïve ☕");

    let listed = store.rules("alice").await.unwrap();
    assert_eq!(listed[..3], rules[..], "in the order given");
    assert_eq!(listed[3..], added.value[..]);
    assert_eq!((&listed[0].rule, &listed[0].name), (&named.rule, &named.name));
    assert_eq!(listed[0].comment, named.comment);
    assert_eq!(store.rule("alice", &rules[1].id).await.unwrap(), rules[1]);
    assert!(is_missing(&store.rule("bob", &rules[1].id).await.unwrap_err(), Kind::Rule));
    assert!(store.rules("bob").await.unwrap().is_empty());
    assert!(is_missing(&store.policy("bob").await.unwrap_err(), Kind::Policy));
}

async fn deleting_frees_names_and_keeps_marked_copies(place: Place) {
    let store = place.open().await;
    let made = store.create_policy(policy("alice"), vec![rule("q(1)"), rule("q(2)")], At::Any);
    let (alice, rules) = made.await.unwrap().value;

    let gone = store.delete_rule("alice", &rules[0].id, At::Any).await.unwrap();
    assert_eq!(gone.value, rules[0]);
    let again = store.delete_rule("alice", &rules[0].id, At::Any).await.unwrap_err();
    assert!(is_missing(&again, Kind::Rule));
    assert_eq!(store.rules("alice").await.unwrap(), rules[1..]);

    let deleted = store.delete_policy("alice", At::Any).await.unwrap();
    assert_eq!(deleted.value, alice);
    assert_eq!(store.revision().await.unwrap(), deleted.revision);
    assert!(store.policies().await.unwrap().is_empty());
    assert!(is_missing(&store.delete_policy("alice", At::Any).await.unwrap_err(), Kind::Policy));

    // A successor of the same name does not inherit the rules.
    let (successor, _) = store.create_policy(policy("alice"), vec![], At::Any).await.unwrap().value;
    assert_ne!(successor.id, alice.id);
    assert!(store.rules("alice").await.unwrap().is_empty());
    store.close().await;

    let copies = "SELECT CONCAT(id, ' ', deleted, ' ', name) FROM policiesdeleted \
         WHERE deleted_at > '2000-01-01'";
    assert_eq!(place.text(copies).await, format!("{} {} alice", alice.id, alice.id));
    let marked = "SELECT CONCAT(COUNT(*), '') FROM policy_rules \
         WHERE deleted = id AND deleted_at > '2000-01-01'";
    assert_eq!(place.text(marked).await, "2");
}

async fn a_policy_with_rules_is_made_whole_or_not_at_all(place: Place) {
    let store = place.open().await;
    store.create_policy(policy("alice"), vec![], At::Any).await.unwrap();
    let before = store.revision().await.unwrap();

    let taken = store.create_policy(policy("alice"), vec![rule("q(1)")], At::Any).await;
    let taken = taken.unwrap_err();
    assert!(
        matches!(&taken, Error::Conflict { kind: Kind::Policy, name } if name == "alice"),
        "{taken}"
    );
    let long = NewRule { comment: "x".repeat(256), ..rule("q(1)") };
    let long = store.create_policy(policy("bob"), vec![rule("q(1)"), long], At::Any).await;
    assert!(matches!(long, Err(Error::TooLong { column: "policy_rules.comment", .. })));
    let nowhere = store.insert_rules("bob", vec![rule("q(1)")], At::Any).await.unwrap_err();
    assert!(is_missing(&nowhere, Kind::Policy));

    assert_eq!(store.revision().await.unwrap(), before);
    assert_eq!(store.policies().await.unwrap().len(), 1);
    assert!(store.snapshot().await.unwrap().rules.is_empty());
}

async fn lengths_count_characters(place: Place) {
    let store = place.open().await;
    let name = "é".repeat(255);
    store.create_policy(policy(&name), vec![], At::Any).await.unwrap();
    let error = store.create_policy(policy(&"é".repeat(256)), vec![], At::Any).await.unwrap_err();
    assert_eq!(error.to_string(), "policies.name has 256 characters, but at most 255 fit");
    let mut long = policy("bob");
    long.abbreviation = "sixsix".into();
    let error = store.create_policy(long, vec![], At::Any).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { column: "policies.abbreviation", .. }));
}

async fn a_change_checked_at_an_old_revision_is_refused(place: Place) {
    let store = place.open().await;
    let seen = store.snapshot().await.unwrap().revision;
    let made = store.create_policy(policy("alice"), vec![], At::Revision(seen)).await.unwrap();
    assert_eq!(made.revision, Revision(seen.0 + 1));

    let stale = store.insert_rules("alice", vec![rule("q(1)")], At::Revision(seen)).await;
    assert!(matches!(stale, Err(Error::Stale { expected }) if expected == seen));
    assert!(store.rules("alice").await.unwrap().is_empty());
    assert_eq!(store.revision().await.unwrap(), made.revision);

    let at = At::Revision(made.revision);
    store.insert_rules("alice", vec![rule("q(1)")], at).await.unwrap();
}

async fn datasources_and_their_pushed_rows(place: Place) {
    let store = place.open().await;
    let made = store.create_datasource(datasource("feed"), At::Any).await.unwrap().value;
    let chosen = NewDatasource {
        id: Some("11111111-2222-3333-4444-555555555555".into()),
        description: Some("chosen".into()),
        enabled: false,
        ..datasource("chosen")
    };
    let chosen = store.create_datasource(chosen, At::Any).await.unwrap().value;
    assert_eq!(chosen.id, "11111111-2222-3333-4444-555555555555");

    let taken = store.create_datasource(datasource("feed"), At::Any).await.unwrap_err();
    assert!(matches!(&taken, Error::Conflict { name, .. } if name == "feed"), "{taken}");
    let same_id = NewDatasource { id: Some(made.id.clone()), ..datasource("x") };
    let taken = store.create_datasource(same_id, At::Any).await.unwrap_err();
    assert!(matches!(&taken, Error::Conflict { name, .. } if *name == made.id), "{taken}");

    let rows: Vec<Row> = vec![
        [Value::text("k1"), Value::Int(1), Value::Null].into(),
        [Value::text("é\n\"'"), Value::Float(1.5), Value::Bool(true)].into(),
    ];
    put(&store, &made.id, "data", &rows, None).await.unwrap();
    put(&store, &made.id, "empty", &[], None).await.unwrap();
    let orphan = put(&store, "nobody", "data", &rows, None).await.unwrap_err();
    assert!(is_missing(&orphan, Kind::Datasource));

    let store = reopen(store, &place).await;
    let names: Vec<_> =
        store.datasources().await.unwrap().into_iter().map(|d| (d.name, d.enabled)).collect();
    assert_eq!(names, [("chosen".to_owned(), false), ("feed".to_owned(), true)]);
    assert_eq!(store.datasource("chosen").await.unwrap().description.unwrap(), "chosen");
    assert_eq!(pushed(&store, &made.id, "data").await.unwrap(), rows);
    assert!(pushed(&store, &made.id, "other").await.unwrap().is_empty());
    let tables = store.pushed_tables(&made.id).await.unwrap();
    assert_eq!(tables, [("data".to_owned(), rows.clone()), ("empty".to_owned(), vec![])]);

    put(&store, &made.id, "data", &rows[..1], None).await.unwrap();
    assert_eq!(pushed(&store, &made.id, "data").await.unwrap(), rows[..1]);
    // Of several tables all are stored or none.
    let table = |name: &str, rows: &[Row]| PushedTable::new(name, rows).unwrap();
    let long = "n".repeat(256);
    let both = [table("data", &rows), table(&long, &rows)];
    assert!(store.put_pushed_tables(&made.id, &both, None).await.is_err());
    assert_eq!(pushed(&store, &made.id, "data").await.unwrap(), rows[..1]);
    let both = [table("data", &rows), table("more", &rows[1..])];
    store.put_pushed_tables(&made.id, &both, None).await.unwrap();
    assert_eq!(pushed(&store, &made.id, "more").await.unwrap(), rows[1..]);

    let before = store.revision().await.unwrap();
    let gone = store.delete_datasource("feed", At::Revision(before)).await.unwrap();
    assert_eq!(gone.value.id, made.id);
    assert!(store.pushed_tables(&made.id).await.unwrap().is_empty());
    let again = store.delete_datasource("feed", At::Any).await.unwrap_err();
    assert!(is_missing(&again, Kind::Datasource));
}

async fn the_library(place: Place) {
    let store = place.open().await;
    let new = NewLibraryPolicy {
        name: "Idle".into(),
        abbreviation: "Idle".into(),
        description: String::new(),
        kind: "nonrecursive".into(),
        rules: vec![LibraryRule { rule: "error(1)".into(), name: None, comment: Some("c".into()) }],
    };
    let made = store.create_library_policy(new.clone()).await.unwrap();
    let taken = store.create_library_policy(new.clone()).await.unwrap_err();
    assert!(matches!(taken, Error::Conflict { kind: Kind::LibraryPolicy, .. }));

    let store = reopen(store, &place).await;
    assert_eq!(store.library().await.unwrap(), std::slice::from_ref(&made));
    assert_eq!(store.library_policy("Idle").await.unwrap(), made);
    assert_eq!(store.library_policy(&made.id).await.unwrap(), made);

    let other = NewLibraryPolicy { name: "Busy".into(), rules: vec![], ..new.clone() };
    store.create_library_policy(other.clone()).await.unwrap();
    let clash = store.replace_library_policy(&made.id, other).await.unwrap_err();
    assert!(matches!(clash, Error::Conflict { name, .. } if name == "Busy"));
    let renamed = NewLibraryPolicy { name: "Idler".into(), ..new };
    let renamed = store.replace_library_policy(&made.id, renamed).await.unwrap();
    assert_eq!(store.library_policy(&made.id).await.unwrap(), renamed);

    assert_eq!(store.delete_library_policy(&made.id).await.unwrap(), renamed);
    let again = store.delete_library_policy(&made.id).await.unwrap_err();
    assert!(is_missing(&again, Kind::LibraryPolicy));
}

async fn the_catalogue_of_drivers_and_their_bytes(place: Place) {
    let store = place.open().await;
    // More than one chunk, and none of them alike.
    let first: Vec<u8> = (0..700_001_u32).map(|i| (i % 251) as u8).collect();
    let metadata = json!({"id": "files", "tables": []});
    let made = store.put_driver("files", &metadata, &first).await.unwrap();
    assert_eq!((made.value.size, made.value.hash.len()), (700_001, 64));

    let same = store.put_driver("files", &metadata, &first).await.unwrap();
    assert_eq!(same, made, "no change, no revision");
    let alias = store.put_driver("alias", &json!(null), &first).await.unwrap().value;
    assert_eq!(alias.hash, made.value.hash);

    let store = reopen(store, &place).await;
    assert_eq!(store.driver("files").await.unwrap(), made.value);
    assert_eq!(store.drivers().await.unwrap(), [alias, made.value.clone()]);
    assert_eq!(store.driver_bytes(&made.value.hash).await.unwrap(), first);

    // A new build replaces the old; the old bytes stay as long as another entry has them.
    let second = store.put_driver("files", &metadata, b"new").await.unwrap();
    assert!(second.revision > made.revision);
    assert_eq!(store.driver_bytes(&second.value.hash).await.unwrap(), "new");
    assert_eq!(store.driver_bytes(&made.value.hash).await.unwrap().len(), 700_001);
    store.remove_driver("alias").await.unwrap();
    let gone = store.driver_bytes(&made.value.hash).await.unwrap_err();
    assert!(is_missing(&gone, Kind::DriverBytes));
    assert!(is_missing(&store.remove_driver("alias").await.unwrap_err(), Kind::Driver));

    // The known digest of the empty text: what the hash is, is part of the contract.
    let empty = store.put_driver("empty", &metadata, b"").await.unwrap().value;
    assert_eq!(empty.hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert!(store.driver_bytes(&empty.hash).await.unwrap().is_empty());
}

async fn damaged_bytes_are_not_handed_out(place: Place) {
    let store = place.open().await;
    let hash = store.put_driver("files", &json!({}), b"component").await.unwrap().value.hash;
    store.close().await;
    place.run("UPDATE congress_driver_chunks SET data = '0'").await;
    let error = place.open().await.driver_bytes(&hash).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

async fn a_broken_row_does_not_hide_the_others(place: Place) {
    let store = place.open().await;
    store.create_datasource(datasource("good"), At::Any).await.unwrap();
    store.close().await;
    place.run("INSERT INTO datasources (id, config) VALUES ('bad', '{')").await;

    let store = place.open().await;
    let listed = store.datasources().await.unwrap();
    assert_eq!(listed.iter().map(|d| d.id.as_str()).filter(|id| *id == "bad").count(), 1);
    assert_eq!(listed.len(), 2);
    let folder = folder();
    let keys = KeyRing::open(folder.path(), true).unwrap();
    let error = keys.reveal(&store.datasource("bad").await.unwrap().config).unwrap_err();
    assert!(error.to_string().contains("not JSON"), "{error}");
    store.delete_datasource("bad", At::Any).await.unwrap();
}

#[tokio::test]
async fn memory_is_one_database_for_all_clones() {
    let store = Store::open(&Location::SqliteMemory, &Options::default()).await.unwrap();
    let clone = store.clone();
    let writers = (0..8).map(|i| {
        let store = store.clone();
        tokio::spawn(async move {
            store.create_policy(policy(&format!("p{i}")), vec![], At::Any).await.unwrap();
            store.snapshot().await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(clone.policies().await.unwrap().len(), 8);
}
