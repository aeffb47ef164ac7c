//! What only a database server does: it dies, comes back, refuses, hangs, and others write to it.

use std::time::{Duration, Instant};

use congress_store::{
    At, Error, Location, OpenError, Options, SCHEMA_HISTORY, Store, upgrade_schema,
};
use congress_test_services::{Mariadb, eventually};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::place::{Place, location};
use super::{policy, pushed, put, rule};

/// Bounds short enough to be waited for.
fn brief() -> Options {
    Options {
        max_connections: 4,
        wait: Duration::from_secs(2),
        connect_timeout: Duration::from_millis(600),
    }
}

/// What a bound may be exceeded by on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

/// A session of the same user, beside the store's.
async fn session(place: &Location) -> MySqlConnection {
    let Location::MySql(mysql) = place else { panic!("{place:?}") };
    MySqlConnectOptions::new()
        .host(&mysql.host)
        .port(mysql.port)
        .username(&mysql.user)
        .password(&mysql.password.0)
        .database(&mysql.database)
        .connect()
        .await
        .unwrap()
}

async fn run(session: &mut MySqlConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(session).await.unwrap();
}

async fn number(session: &mut MySqlConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(session).await.unwrap()
}

/// A server of the test's own, with a database that has its tables.
async fn own_server(options: &[&str]) -> (Mariadb, Location) {
    let server = Mariadb::start_with(options).await.unwrap();
    let place = location(&server.database("congress").await.unwrap());
    upgrade_schema(&place, &Options::default(), SCHEMA_HISTORY.len() - 1).await.unwrap();
    (server, place)
}

/// Asserts that an operation finds the database unavailable, in time and for a reason.
async fn unavailable(store: &Store, bound: Duration, why: &str) {
    let start = Instant::now();
    let error = store.create_policy(policy("lost"), vec![], At::Any).await.unwrap_err();
    let took = start.elapsed();
    println!("after {took:?}: {error}");
    assert!(matches!(&error, Error::Unavailable { reason } if reason.contains(why)), "{error}");
    assert!(!error.to_string().contains("s3cr"), "{error}");
    assert!(took < bound + SLACK, "{took:?}");
}

/// Waits until the same store works again.
async fn recovers(store: &Store, name: &str) {
    let start = Instant::now();
    let works = async || store.create_policy(policy(name), vec![], At::Any).await.ok();
    eventually("the store works again", Duration::from_secs(30), works).await.unwrap();
    println!("works again {:?} after", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_refused_with_the_command_that_fills_it() {
    let place = Place::empty_mariadb().await;
    let error = Store::open(&place.location, &Options::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::NoSchema { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("congress-db-manage upgrade head") && text.contains(place.name()));
    place.run("CREATE TABLE places (url INT)").await;
    let error = Store::open(&place.location, &Options::default()).await.unwrap_err();
    assert!(error.to_string().contains("a table 'places', but none of ours"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_named_without_its_password() {
    let server = Mariadb::shared().await.unwrap();
    let url = server.url("nothing");
    let closed = congress_test_services::free_port().unwrap();
    for (url, expected) in [
        (url.clone(), "Unknown database 'nothing'"),
        (url.replace("s3cr", "wrong"), "Access denied for user 'congress'"),
        (server.url_at(closed, "congress"), "refused"),
    ] {
        let start = Instant::now();
        let error = Store::open(&location(&url), &brief()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("s3cr") && !error.contains("wrong%"), "{error}");
        assert!(start.elapsed() < brief().wait + SLACK);
    }
}

/// The store's transaction is the lighter one, so it is the one that the server ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_resolved_by_doing_it_again() {
    let place = Place::mariadb().await;
    let store = place.open().await;
    store.create_policy(policy("p"), vec![rule("q(1)")], At::Any).await.unwrap();
    const DEADLOCKS: &str = "SELECT CAST(variable_value AS SIGNED) \
         FROM information_schema.global_status WHERE variable_name = 'INNODB_DEADLOCKS'";

    let mut other = session(&place.location).await;
    let before = number(&mut other, DEADLOCKS).await;
    run(&mut other, "CREATE TABLE weight (x INT) ENGINE=InnoDB").await;
    run(&mut other, "BEGIN; INSERT INTO weight SELECT seq FROM seq_1_to_2000").await;
    run(&mut other, "UPDATE policies SET description = 'theirs' WHERE name = 'p'").await;
    let deleting = {
        let store = store.clone();
        tokio::spawn(async move { store.delete_policy("p", At::Any).await })
    };
    // It has taken the revision's row and waits for the policy's.
    let mut watcher = session(&place.location).await;
    let waits = async || {
        // The server shows the same picture for as long as it is asked more often than this.
        tokio::time::sleep(Duration::from_millis(150)).await;
        const WAITS: &str = "SELECT COUNT(*) FROM information_schema.innodb_trx t \
             JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id \
             WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()";
        (number(&mut watcher, WAITS).await > 0).then_some(())
    };
    eventually("the store waits for a lock", Duration::from_secs(20), waits).await.unwrap();
    run(&mut other, "UPDATE congress_revision SET revision = revision WHERE id = 1").await;
    assert!(number(&mut other, DEADLOCKS).await > before, "there was a deadlock");
    run(&mut other, "COMMIT").await;

    let deleted = deleting.await.unwrap().unwrap();
    assert_eq!(deleted.value.description, "theirs", "read again after the deadlock");
    assert!(store.policies().await.unwrap().is_empty());
    assert!(store.rules("p").await.unwrap().is_empty());
}

/// A node of a cluster that loses the comparison of changes gets the error of a deadlock, at any
/// statement or at the commit.
#[tokio::test(flavor = "multi_thread")]
async fn failed_certification_is_retried_within_a_bound() {
    let place = Place::mariadb().await;
    let store = place.open().await;
    let mut other = session(&place.location).await;
    // Counts in a table that no rollback reaches.
    run(&mut other, "CREATE TABLE refusals (n INT) ENGINE=MyISAM").await;
    run(&mut other, "INSERT INTO refusals VALUES (0)").await;
    run(
        &mut other,
        "CREATE TRIGGER certify AFTER INSERT ON policy_rules FOR EACH ROW BEGIN \
           IF (SELECT n FROM refusals) > 0 THEN \
             UPDATE refusals SET n = n - 1; \
             SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, \
               MESSAGE_TEXT = 'Deadlock found when trying to get lock'; \
           END IF; END",
    )
    .await;

    run(&mut other, "UPDATE refusals SET n = 4").await;
    let made = store.create_policy(policy("p"), vec![rule("q(1)"), rule("q(2)")], At::Any).await;
    assert_eq!(made.unwrap().value.1.len(), 2);
    assert_eq!(store.rules("p").await.unwrap().len(), 2, "nothing of the failed attempts");
    assert_eq!(number(&mut other, "SELECT n FROM refusals").await, 0);

    run(&mut other, "UPDATE refusals SET n = 100").await;
    let before = store.revision().await.unwrap();
    let error = store.insert_rules("p", vec![rule("q(3)")], At::Any).await.unwrap_err();
    assert!(error.to_string().contains("10 attempts collided"), "{error}");
    assert_eq!(number(&mut other, "SELECT n FROM refusals").await, 90);
    assert_eq!(store.revision().await.unwrap(), before);

    run(&mut other, "UPDATE refusals SET n = 0").await;
    store.insert_rules("p", vec![rule("q(3)")], At::Revision(before)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_stays_locked_costs_a_bounded_wait() {
    let place = Place::mariadb().await;
    let store = Store::open(&place.location, &brief()).await.unwrap();
    let mut other = session(&place.location).await;
    run(&mut other, "BEGIN; UPDATE congress_revision SET revision = revision").await;
    unavailable(&store, brief().wait, "").await;
    assert!(store.policies().await.unwrap().is_empty(), "readers do not wait for writers");
    run(&mut other, "ROLLBACK").await;
    recovers(&store, "p").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_and_comes_back() {
    let (mut server, place) = own_server(&[]).await;
    let store = Store::open(&place, &brief()).await.unwrap();
    store.create_policy(policy("before"), vec![], At::Any).await.unwrap();

    // Under load: every operation ends, with success or with a reason.
    let load: Vec<_> = (0..8)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut made = Vec::new();
                for j in 0.. {
                    let name = format!("load{i}x{j}");
                    let start = Instant::now();
                    let outcome = store.create_policy(policy(&name), vec![], At::Any).await;
                    assert!(start.elapsed() < brief().wait + SLACK, "{:?}", start.elapsed());
                    match outcome {
                        Ok(_) => made.push(name),
                        Err(Error::Unavailable { .. }) => return made,
                        Err(other) => panic!("{other:?}"),
                    }
                }
                made
            })
        })
        .collect();
    eventually("some load", Duration::from_secs(20), async || {
        (store.policies().await.unwrap().len() > 30).then_some(())
    })
    .await
    .unwrap();
    server.kill().await.unwrap();
    let mut acknowledged = vec!["before".to_owned()];
    for task in load {
        acknowledged.extend(task.await.unwrap());
    }
    unavailable(&store, brief().connect_timeout, "refused").await;
    let error = store.revision().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");

    server.restart().await.unwrap();
    recovers(&store, "after").await;
    let there: Vec<_> = store.policies().await.unwrap().into_iter().map(|p| p.name).collect();
    for name in &acknowledged {
        assert!(there.contains(name), "{name} was acknowledged and is lost");
    }
    println!("{} writes acknowledged, {} there", acknowledged.len(), there.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_operations_is_not_noticed() {
    let (mut server, place) = own_server(&[]).await;
    let store = Store::open(&place, &Options::default()).await.unwrap();
    store.create_policy(policy("p"), vec![], At::Any).await.unwrap();
    store.policies().await.unwrap();
    for i in 0..2 {
        server.restart().await.unwrap();
        // No matter how fresh the connection seems: the first operation already succeeds.
        if i == 0 {
            store.insert_rules("p", vec![rule("q(1)")], At::Any).await.unwrap();
        } else {
            assert_eq!(store.rules("p").await.unwrap().len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_read_only_for_a_while() {
    let (server, place) = own_server(&[]).await;
    let store = Store::open(&place, &brief()).await.unwrap();
    store.create_policy(policy("p"), vec![], At::Any).await.unwrap();
    server.set_read_only(true).await.unwrap();
    unavailable(&store, brief().wait, "its server is read-only").await;
    assert_eq!(store.policies().await.unwrap().len(), 1, "reads go on");
    server.set_read_only(false).await.unwrap();
    recovers(&store, "q").await;
}

/// The connections stand, but nothing comes: as after the death of a host, or behind a firewall
/// that has forgotten them.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs() {
    use rustix::process::Signal;
    let (server, place) = own_server(&[]).await;
    let store = Store::open(&place, &brief()).await.unwrap();
    store.create_policy(policy("p"), vec![], At::Any).await.unwrap();
    let process = server.process().unwrap();
    process.signal_group(Signal::STOP).unwrap();

    // More callers than connections; none of them waits longer than the bound.
    let callers: Vec<_> = (0..12)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { unavailable(&store, brief().wait, "").await })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    // Those who come when it is known to be dead wait for one connection only.
    unavailable(&store, brief().connect_timeout, "does not answer").await;
    let start = Instant::now();
    store.close().await;
    assert!(start.elapsed() < SLACK, "closing does not hang either");

    let store = {
        process.signal_group(Signal::CONT).unwrap();
        Store::open(&place, &brief()).await.unwrap()
    };
    process.signal_group(Signal::STOP).unwrap();
    unavailable(&store, brief().wait, "").await;
    process.signal_group(Signal::CONT).unwrap();
    recovers(&store, "q").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection() {
    let (_server, place) = own_server(&["--max-connections=10"]).await;
    let store = Store::open(&place, &brief()).await.unwrap();
    // The store has no idle connection yet.
    let mut others = Vec::new();
    while others.len() < 10 {
        others.push(session(&place).await);
    }
    unavailable(&store, brief().connect_timeout, "takes no more connections").await;
    drop(others);
    recovers(&store, "p").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_fit_are_refused_without_being_shown() {
    let place = Place::mariadb().await;
    let store = place.open().await;
    let long = format!("secret({})", "x".repeat(70_000));
    let error = store.create_policy(policy("p"), vec![rule(&long)], At::Any).await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
    assert!(error.to_string().contains("it is too long, for column 'rule'"), "{error}");

    // A table of the original on a server whose default is three bytes a character.
    place.run("ALTER TABLE policies MODIFY description TEXT CHARACTER SET utf8mb3 NOT NULL").await;
    let mut wide = policy("p");
    wide.description = "a 🦀".into();
    let error = store.create_policy(wide, vec![], At::Any).await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("utf8mb4") && text.contains("description"), "{text}");
    assert!(store.policies().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_the_server_takes_at_once() {
    let (_server, place) = own_server(&["--max-allowed-packet=1M"]).await;
    let store = Store::open(&place, &brief()).await.unwrap();
    let feed = store.create_datasource(super::datasource("feed"), At::Any).await.unwrap().value;
    let rows = |length: usize| -> Vec<congress_table::Row> {
        vec![[congress_table::Value::text("x".repeat(length))].into()]
    };
    put(&store, &feed.id, "t", &rows(900_000), None).await.unwrap();
    let error = put(&store, &feed.id, "t", &rows(1_100_000), None).await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
    assert!(error.to_string().contains("max_allowed_packet"), "{error}");
    assert_eq!(pushed(&store, &feed.id, "t").await.unwrap(), rows(900_000));
    // A driver's bytes are sent in pieces.
    store.put_driver("d", &serde_json::json!({}), &vec![7; 3_000_000]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_connections() {
    let folder = super::folder();
    let path = |name: &str| folder.path().join(name);
    let authority = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(path(&format!("{name}.pem")), certificate.pem()).unwrap();
        rcgen::Issuer::new(params, key)
    };
    let ours = authority("ours");
    authority("others");
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["db.example".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), params.signed_by(&key, &ours).unwrap().pem()).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let option = |name: &str, file: &str| format!("--ssl-{name}={}", path(file).display());
    let options = [option("cert", "cert.pem"), option("key", "key.pem"), option("ca", "ours.pem")];
    let (server, plain) = own_server(&options.each_ref().map(String::as_str)).await;
    server.sql("ALTER USER congress REQUIRE SSL").await.unwrap();

    let url = |options: &str| location(&format!("{}&{options}", server.url("congress")));
    let ca = |name: &str| format!("ssl_ca={}", path(&format!("{name}.pem")).display());
    // Used if the server has it, also when nobody asks.
    Store::open(&plain, &brief()).await.unwrap().policies().await.unwrap();
    Store::open(&url(&ca("ours")), &brief()).await.unwrap().policies().await.unwrap();

    let error = Store::open(&url("ssl_mode=DISABLED"), &brief()).await.unwrap_err();
    assert!(error.to_string().contains("Access denied"), "{error}");
    let error = Store::open(&url(&ca("others")), &brief()).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    // The certificate is for another name than 127.0.0.1.
    let named = format!("{}&ssl_verify_identity=true", ca("ours"));
    let error = Store::open(&url(&named), &brief()).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_socket() {
    let server = Mariadb::shared().await.unwrap();
    let place = Place::mariadb().await;
    let url =
        format!("{}&unix_socket={}", server.url_at(1, place.name()), server.socket().display());
    Store::open(&location(&url), &brief()).await.unwrap().policies().await.unwrap();
}
