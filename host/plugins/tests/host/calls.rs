//! Calls into a guest, well behaved and otherwise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::*;
use congress_plugins::{
    CallErrorKind, ConfigError, DriverError, HeldRows, Host, HostConfig, Limits, Push, State,
    TableOperation, Trap,
};
use congress_table::{Row, Table, Value};
use serde_json::json;

async fn error_of(mode: &str) -> CallErrorKind {
    poll_mode(mode).await.unwrap_err().kind
}

fn limited(limits: Limits) -> HostConfig {
    HostConfig { limits, ..local_config() }
}

#[tokio::test]
async fn rows_arrive() {
    let outcome = poll_mode("ok").await.unwrap();
    let numbers = replaced(&outcome, "numbers");
    assert_eq!(numbers.len(), 3);
    assert!(numbers.contains(&[Value::Int(2), Value::text("number 2")]));
    assert!(replaced(&outcome, "numbers.squares").contains(&[Value::Int(2), Value::Int(4)]));
    assert_eq!(outcome.figures.rows, 6);
    assert!(outcome.state.is_none() && outcome.failed.is_empty());
}

#[tokio::test]
async fn columns_arrive() {
    let outcome = poll_mode("columns").await.unwrap();
    let numbers = replaced(&outcome, "numbers");
    assert_eq!(numbers.len(), 4);
    assert!(numbers.contains(&[Value::Int(2), Value::text("twö")]));
    assert!(numbers.contains(&[Value::Int(3), Value::Null]));
    assert_eq!(reported(&outcome, "b"), Value::Bool(true));
    assert_eq!(reported(&outcome, "f"), Value::Float(0.5));
    assert_eq!(reported(&outcome, "n"), Value::Null);
}

#[tokio::test]
async fn patches_arrive() {
    let outcome = poll(local_config(), json!({"mode": "patch", "count": 5})).await.unwrap();
    let TableOperation::Patch(delta) = &outcome.tables[0].1 else { panic!("{outcome:?}") };
    assert_eq!(delta.added, [row(&[5.into(), "number 5".into()])]);
    assert_eq!(delta.removed, [row(&[4.into(), "number 4".into()])]);
}

#[tokio::test]
async fn crashes_cost_the_call() {
    assert_eq!(error_of("trap").await, CallErrorKind::Trap(Trap::Unreachable));
    // Which stack ends first, the engine's or the one in the guest's memory, is the compiler's.
    let recursion = error_of("recurse").await;
    assert!(
        matches!(recursion, CallErrorKind::Trap(Trap::StackOverflow | Trap::OutOfBounds)),
        "{recursion:?}"
    );
    assert_eq!(error_of("memory").await, CallErrorKind::Trap(Trap::Memory));
    let text = poll_mode("memory").await.unwrap_err().to_string();
    assert!(text.starts_with("driver 'hostile': ") && text.contains("`memory_bytes`"), "{text}");
}

#[tokio::test]
async fn a_crash_leaves_the_datasource_usable() {
    let host = Host::new(local_config()).unwrap();
    let source = hostile(&host)
        .await
        .datasource("d", &values(json!({"mode": "state-count"})), State::default())
        .await
        .unwrap();
    source.poll(&["report"]).await.unwrap();
    let none = values(json!({}));
    let error = source.execute("trap", &[], &none).await.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Trap(Trap::Unreachable));
    let outcome = source.poll(&["report"]).await.unwrap();
    assert_eq!(reported(&outcome, "polls"), Value::Int(2));
}

#[tokio::test]
async fn an_endless_loop_is_stopped_and_others_go_on() {
    let timeout = Duration::from_millis(700);
    let limits = Limits { call_timeout: timeout, ..short_limits() };
    // One thread for both guests.
    let host = Host::new(HostConfig { guest_threads: 1, ..limited(limits) }).unwrap();
    let driver = hostile(&host).await;
    let source = async |mode: &str| {
        driver.datasource(mode, &values(json!({"mode": mode})), State::default()).await.unwrap()
    };
    let (spin, good) = (source("spin").await, source("ok").await);

    let start = Instant::now();
    let spinning = tokio::spawn(async move { spin.poll(&["numbers"]).await });
    let mut polls = 0;
    while start.elapsed() < Duration::from_millis(400) {
        good.poll(&["numbers"]).await.unwrap();
        polls += 1;
    }
    assert!(!spinning.is_finished());
    assert!(polls >= 5, "{polls} polls beside a spinning guest");
    let error = spinning.await.unwrap().unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Timeout(timeout));
    assert!(start.elapsed() >= timeout);
}

#[tokio::test]
async fn dropping_a_call_stops_it() {
    let host = Host::new(HostConfig { guest_threads: 1, ..local_config() }).unwrap();
    let driver = hostile(&host).await;
    let source =
        driver.datasource("d", &values(json!({"mode": "spin"})), State::default()).await.unwrap();
    let call = source.poll(&["numbers"]);
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
    // With the only thread still spinning at full length, this one would be slow.
    let good = driver.datasource("g", &values(json!({})), State::default()).await.unwrap();
    good.poll(&["numbers"]).await.unwrap();
}

#[tokio::test]
async fn bad_batches_are_refused_and_the_guest_hears_why() {
    let CallErrorKind::Driver(DriverError::Protocol(text)) = error_of("bad-rows").await else {
        panic!("not the guest's own error")
    };
    assert!(
        text.contains("row 1 of the batch for table 'numbers' has 3 cells, but the table has 2"),
        "{text}"
    );
    // A guest that does not care gets what was well formed, and nothing of the bad batch.
    let outcome = poll_mode("ignore-bad-rows").await.unwrap();
    assert_eq!(replaced(&outcome, "numbers").len(), 3);
    let told = outcome.refused.unwrap();
    assert!(
        told.starts_with("a batch of rows was refused, and is missing: row ")
            && told.contains("table 'numbers' has 3 cells"),
        "{told}"
    );

    let outcome = poll_mode("bad-columns").await.unwrap();
    let report = replaced(&outcome, "report");
    assert_eq!(report.len(), 6);
    let told = outcome.refused.as_deref().unwrap();
    assert!(told.starts_with("6 batches of rows were refused, and are missing; the first: column"));
    for row in report.rows() {
        let Value::Text(said) = &row[1] else { panic!("{row:?}") };
        assert!(said.contains("'numbers'"), "{row:?}");
    }
    let CallErrorKind::Driver(error) = error_of("unknown-table").await else { panic!() };
    assert!(error.text().contains("no table 'elsewhere'"), "{error}");
}

#[tokio::test]
async fn refused_batches_without_end_fail_the_call() {
    let limits = Limits { refused_batches: 3, ..short_limits() };
    let outcome = poll(limited(limits.clone()), json!({"mode": "malformed-rows", "count": 3000}));
    assert!(outcome.await.is_ok());
    let error = poll(limited(limits), json!({"mode": "malformed-rows", "count": 4000})).await;
    let CallErrorKind::Limit(text) = error.unwrap_err().kind else { panic!("not a limit") };
    assert!(text.contains("more than 3 of its batches were refused"), "{text}");
}

#[tokio::test]
async fn the_stack_is_bounded() {
    for stack_bytes in [64 << 10, 1 << 20] {
        let limits = Limits { stack_bytes, ..short_limits() };
        // The code of a guest depends on no limit, so this one comes from the cache as well.
        let error = poll(limited(limits), json!({"mode": "recurse"})).await.unwrap_err();
        assert!(error.to_string().contains("stack"), "{error}");
    }
}

#[tokio::test]
async fn simultaneous_calls_are_bounded() {
    let limits = Limits { call_timeout: Duration::from_millis(500), ..short_limits() };
    let host = Host::new(HostConfig { simultaneous_calls: 1, ..limited(limits) }).unwrap();
    let driver = hostile(&host).await;
    let source =
        async |config| driver.datasource("d", &values(config), State::default()).await.unwrap();
    let (sleeper, good) = (source(json!({"mode": "sleep"})).await, source(json!({})).await);
    // One of the two sleeps, the other waits for its turn until both are out of time.
    let (first, second) = tokio::join!(sleeper.poll(&["numbers"]), sleeper.poll(&["numbers"]));
    let kinds = [first.unwrap_err().kind, second.unwrap_err().kind];
    assert!(kinds.contains(&CallErrorKind::Timeout(Duration::from_millis(500))), "{kinds:?}");
    good.poll(&["numbers"]).await.unwrap();
}

#[tokio::test]
async fn limits_fail_the_call_whatever_the_guest_says() {
    let limits = Limits { rows_per_call: 10_000, ..short_limits() };
    let error = poll(limited(limits), json!({"mode": "many-rows"})).await.unwrap_err();
    let CallErrorKind::Limit(text) = &error.kind else { panic!("{error}") };
    assert!(text.contains("10000 rows, the limit `rows_per_call`"), "{text}");

    let limits = Limits { row_bytes_per_call: 100_000, ..short_limits() };
    let error = poll(limited(limits), json!({"mode": "many-rows"})).await.unwrap_err();
    assert!(error.to_string().contains("`row_bytes_per_call`"), "{error}");

    let limits = Limits { hostcall_bytes: 1 << 20, ..short_limits() };
    let config = json!({"mode": "huge-text", "count": 2 << 20});
    let error = poll(limited(limits), config).await.unwrap_err();
    assert!(error.to_string().contains("`hostcall_bytes`"), "{error}");
}

#[tokio::test]
async fn a_large_table_passes() {
    let config = json!({"mode": "many-rows", "count": 100_000});
    let outcome = poll(local_config(), config).await.unwrap();
    assert_eq!(replaced(&outcome, "numbers").len(), 100_000);
}

#[tokio::test]
async fn errors_keep_their_kind() {
    for (kind, permanent) in [
        ("config", true),
        ("auth", false),
        ("connection", false),
        ("protocol", false),
        ("unsupported", true),
    ] {
        let config = json!({"mode": "error", "error": kind});
        let error = poll(local_config(), config).await.unwrap_err();
        assert_eq!(error.is_permanent(), permanent, "{kind}");
        let CallErrorKind::Driver(driver) = &error.kind else { panic!("{error}") };
        assert!(format!("{driver:?}").to_lowercase().starts_with(kind), "{driver:?}");
        assert_eq!(driver.text(), "the mode asked for this error");
    }
}

#[tokio::test]
async fn a_failed_table_keeps_its_rows() {
    let outcome = poll_mode("failed").await.unwrap();
    let names: Vec<_> = outcome.tables.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["numbers", "numbers.squares"]);
    let text = "the mode asked for this error".to_owned();
    assert_eq!(outcome.failed, [(Arc::from("report"), DriverError::Protocol(text))]);
}

#[tokio::test]
async fn tables_are_asked_for_when_a_datasource_is_made() {
    let error = source(local_config(), json!({"mode": "tables-error"})).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the mode asked for this error"), "{text}");
    let error = source(local_config(), json!({"mode": "tables-trap"})).await.unwrap_err();
    assert!(
        matches!(&error, ConfigError::Refused(e) if e.kind == CallErrorKind::Trap(Trap::Unreachable))
    );
    let describe_timeout = Duration::from_millis(200);
    let limits = Limits { describe_timeout, ..short_limits() };
    let error = source(limited(limits), json!({"mode": "spin-in-tables"})).await.unwrap_err();
    assert!(
        matches!(&error, ConfigError::Refused(e) if e.kind == CallErrorKind::Timeout(describe_timeout))
    );
    let error = source(local_config(), json!({"colour": "red"})).await.unwrap_err();
    assert!(matches!(error, ConfigError::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn what_a_driver_keeps_survives_calls_and_failures_do_not_change_it() {
    let source = source(local_config(), json!({"mode": "state-count"})).await.unwrap();
    for polls in 1..=3 {
        let outcome = source.poll(&["report"]).await.unwrap();
        assert_eq!(reported(&outcome, "polls"), Value::Int(polls));
        assert_eq!(outcome.state.as_ref(), Some(&source.state()));
    }
    // Whoever does not use what a call put in takes back what it kept.
    let unused = source.poll(&["report"]).await.unwrap();
    source.undo(unused.undo);
    let config = values(json!({"mode": "state-count"}));
    let heir = source.driver().datasource("d", &config, source.state()).await.unwrap();
    let outcome = heir.poll(&["report"]).await.unwrap();
    assert_eq!(reported(&outcome, "polls"), Value::Int(4));

    let outcome = poll_mode("state-flood").await.unwrap();
    let Value::Text(refusal) = reported(&outcome, "refusal") else { panic!("not refused") };
    assert!(refusal.contains("`state_bytes` is 65536"), "{refusal}");
    assert!(outcome.state.is_none());
}

#[tokio::test]
async fn a_guest_sees_its_configuration_without_the_sessions_secrets() {
    let settings = json!({
        "mode": "config", "auth": "basic", "username": "u", "password": "canary-1",
        "token": "canary-2", "count": "7",
    });
    let source = source(local_config(), settings).await.unwrap();
    let outcome = source.poll(&["report"]).await.unwrap();
    assert_eq!(reported(&outcome, "username"), Value::text("u"));
    assert_eq!(reported(&outcome, "count"), Value::text("7"));
    assert!(!format!("{outcome:?} {source:?}").contains("canary"));
}

#[tokio::test]
async fn wanted_tables_are_handed_over() {
    let source = source(local_config(), json!({"mode": "wanted"})).await.unwrap();
    let outcome = source.poll(&["report"]).await.unwrap();
    assert_eq!(reported(&outcome, "numbers"), Value::Bool(false));
    assert_eq!(reported(&outcome, "report"), Value::Bool(true));
}

#[tokio::test]
async fn pushes_and_actions_arrive() {
    let source = source(local_config(), json!({})).await.unwrap();
    let push = Push::Rows { table: "numbers".into(), body: json!([{"n": 1}]) };
    let outcome = source.receive(push).await.unwrap();
    assert_eq!(reported(&outcome, "table"), Value::text("numbers"));
    assert_eq!(reported(&outcome, "json"), Value::text(r#"[{"n":1}]"#));
    let outcome = source.receive(Push::Webhook(json!({"a": null}))).await.unwrap();
    assert_eq!(reported(&outcome, "webhook"), Value::text(r#"{"a":null}"#));

    let named = values(json!({"text": "hello"}));
    source.execute("note", &[json!(1)], &named).await.unwrap();
    let error = source.execute("nope", &[], &named).await.unwrap_err();
    assert!(error.to_string().contains("there is no action 'nope'"), "{error}");
}

#[tokio::test]
async fn nothing_of_the_machine_is_there() {
    let outcome = poll_mode("std-fs").await.unwrap();
    let Value::Text(said) = reported(&outcome, "outcome") else { panic!() };
    assert!(said.starts_with("refused"), "{said}");
    let outcome = poll_mode("environment").await.unwrap();
    assert_eq!(reported(&outcome, "variables"), Value::Int(0));
    assert_eq!(reported(&outcome, "arguments"), Value::Int(0));
}

#[tokio::test]
async fn clock_and_randomness_work() {
    let one = poll_mode("clock").await.unwrap();
    let two = poll_mode("clock").await.unwrap();
    let Value::Int(seconds) = reported(&one, "seconds") else { panic!() };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!((now.as_secs() as i64 - seconds).abs() < 100);
    assert_ne!(reported(&one, "random"), reported(&two, "random"));
}

#[tokio::test]
async fn a_flood_of_log_lines_ends_well() {
    poll(local_config(), json!({"mode": "flood-log", "count": 10_000})).await.unwrap();
    let error = poll(local_config(), json!({"mode": "flood-log", "count": 10_001})).await;
    let CallErrorKind::Limit(text) = error.unwrap_err().kind else { panic!("not a limit") };
    assert!(text.contains("more than 10000 lines in one call"), "{text}");
}

#[tokio::test]
async fn granted_files_can_be_read_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    std::fs::write(&file, "x,y").unwrap();
    let granting = HostConfig { allowed_files: vec![folder.path().to_owned()], ..local_config() };
    let config = json!({"mode": "read-file", "target": file});
    let outcome = poll(granting.clone(), config.clone()).await.unwrap();
    assert_eq!(reported(&outcome, "text"), Value::text("x,y"));
    assert_eq!(reported(&outcome, "size"), Value::Int(3));
    let list = json!({"mode": "list-folder", "target": folder.path()});
    let outcome = poll(granting.clone(), list).await.unwrap();
    assert_eq!(reported(&outcome, "name"), Value::text("a.csv"));

    let error = poll(local_config(), config).await.unwrap_err().to_string();
    assert!(error.contains("`allowed_files`"), "{error}");
    let passwd = json!({"mode": "read-file", "target": "/etc/passwd"});
    assert!(poll(granting, passwd).await.is_err());
}

/// The pool sets aside more than a terabyte of addresses, which some operators do not allow.
#[tokio::test]
async fn without_room_for_a_pool_instances_are_made_on_demand() {
    if !alone("calls::without_room_for_a_pool_instances_are_made_on_demand").await {
        return;
    }
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = Some(200 << 30);
    setrlimit(Resource::As, Rlimit { current: limit, maximum: limit }).unwrap();
    let source = source(local_config(), json!({"mode": "ok"})).await.unwrap();
    for _ in 0..3 {
        let outcome = source.poll(&["numbers"]).await.unwrap();
        assert!(!replaced(&outcome, "numbers").is_empty());
    }
}

#[tokio::test]
async fn rows_that_the_caller_holds_are_shared() {
    struct Holding(Arc<Table>);
    impl HeldRows for Holding {
        fn table(&self, name: &str) -> Option<Arc<Table>> {
            (name == "numbers").then(|| self.0.clone())
        }
    }
    let source = source(local_config(), json!({"mode": "ok", "count": 100})).await.unwrap();
    let first = source.poll(&["numbers"]).await.unwrap();
    let first = Arc::new(Table::from(replaced(&first, "numbers").clone()));
    let holding = Arc::new(Holding(first.clone()));
    let second = source.poll_beside(&["numbers"], Some(holding)).await.unwrap();
    let second = replaced(&second, "numbers");
    assert_eq!(second.len(), 100);
    let is_shared = |row: &Row| first.rows().any(|other| Arc::ptr_eq(row, other));
    assert!(second.rows().all(is_shared));
    assert!(second.clone().difference_from(&first).is_empty());
}
