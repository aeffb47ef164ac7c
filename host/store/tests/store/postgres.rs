//! What only PostgreSQL does, and what it does when it dies, refuses or hangs.

use std::time::{Duration, Instant};

use congress_store::{
    At, Error, Location, OpenError, Options, SCHEMA_HISTORY, Store, upgrade_schema,
};
use congress_test_services::{Postgresql, eventually};
use rustix::process::Signal;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::place::{Place, location};
use super::{policy, rule};

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
async fn session(place: &Location) -> PgConnection {
    let Location::Postgres(server) = place else { panic!("{place:?}") };
    PgConnectOptions::new_without_pgpass()
        .host(&server.host)
        .port(server.port)
        .username(&server.user)
        .password(&server.password.0)
        .database(&server.database)
        .connect()
        .await
        .unwrap()
}

async fn run(session: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(session).await.unwrap();
}

async fn number(session: &mut PgConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(session).await.unwrap()
}

/// A server of the test's own, with a database that has its tables.
async fn own_server(settings: &[&str]) -> (Postgresql, Location) {
    let server = Postgresql::start_with(settings).await.unwrap();
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
    let works = async || store.create_policy(policy(name), vec![], At::Any).await.ok();
    eventually("the store works again", Duration::from_secs(30), works).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_refused_with_the_command_that_fills_it() {
    let place = Place::empty_postgresql().await;
    let error = Store::open(&place.location, &Options::default()).await.unwrap_err();
    assert!(matches!(error, OpenError::NoSchema { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("congress-db-manage upgrade head") && text.contains(place.name()));
    place.run("CREATE TABLE places (url INT)").await;
    let error = Store::open(&place.location, &Options::default()).await.unwrap_err();
    assert!(error.to_string().contains("a table 'places', but none of ours"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_upgrade_together_do_it_once() {
    let place = Place::empty_postgresql().await;
    let upgrades: Vec<_> = (0..6)
        .map(|_| {
            let location = place.location.clone();
            tokio::spawn(async move {
                upgrade_schema(&location, &Options::default(), SCHEMA_HISTORY.len() - 1).await
            })
        })
        .collect();
    for upgrade in upgrades {
        upgrade.await.unwrap().unwrap();
    }
    assert_eq!(place.text("SELECT COUNT(*) FROM congress_schema").await, "3");
    place.open().await.policies().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_named_without_its_password() {
    let server = Postgresql::shared().await.unwrap();
    server.sql("CREATE DATABASE reached OWNER congress").await.unwrap();
    let closed = congress_test_services::free_port().unwrap();
    for (url, expected) in [
        (server.url("nothing"), "database \"nothing\" does not exist"),
        (server.url("reached").replace("s3cr", "wrong"), "password authentication failed"),
        (server.url_at(closed, "reached"), "refused"),
    ] {
        let start = Instant::now();
        let error = Store::open(&location(&url), &brief()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("s3cr") && !error.contains("wrong%"), "{error}");
        assert!(start.elapsed() < brief().wait + SLACK);
    }
}

/// The server ends the transaction that waited longest for a lock: the store's.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_resolved_by_doing_it_again() {
    let place = Place::postgresql().await;
    let store = place.open().await;
    store.create_policy(policy("p"), vec![rule("q(1)")], At::Any).await.unwrap();

    let mut other = session(&place.location).await;
    run(&mut other, "BEGIN; UPDATE policies SET description = 'theirs' WHERE name = 'p'").await;
    let deleting = {
        let store = store.clone();
        tokio::spawn(async move { store.delete_policy("p", At::Any).await })
    };
    // It has taken the revision's row and waits for the policy's.
    let mut watcher = session(&place.location).await;
    let waits = async || {
        const WAITS: &str = "SELECT COUNT(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'";
        (number(&mut watcher, WAITS).await > 0).then_some(())
    };
    eventually("the store waits for a lock", Duration::from_secs(20), waits).await.unwrap();
    const UPDATE: &str = "UPDATE congress_revision SET revision = revision WHERE id = 1";
    // Whichever the server ends, the policy is deleted in the end.
    let won = sqlx::raw_sql(UPDATE).execute(&mut other).await.is_ok();
    run(&mut other, if won { "COMMIT" } else { "ROLLBACK" }).await;

    let deleted = deleting.await.unwrap().unwrap();
    let expected = if won { "theirs" } else { "naïve ☕" };
    assert_eq!(deleted.value.description, expected);
    assert!(store.policies().await.unwrap().is_empty());
    assert!(store.rules("p").await.unwrap().is_empty());
    const DEADLOCKS: &str =
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let counted = async || (number(&mut watcher, DEADLOCKS).await > 0).then_some(());
    eventually("there was a deadlock", Duration::from_secs(20), counted).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_serialisation_is_retried_within_a_bound() {
    let place = Place::postgresql().await;
    let store = place.open().await;
    // Sequences are what no rollback reaches.
    place
        .run(
            "CREATE SEQUENCE refusals MINVALUE 0 START 0; \
             CREATE FUNCTION certify() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ \
             BEGIN \
               IF nextval('refusals') < COALESCE(current_setting('test.refusals', true), '0')::int \
               THEN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END IF; \
               RETURN NEW; \
             END $$; \
             CREATE TRIGGER certify AFTER INSERT ON policy_rules FOR EACH ROW \
               EXECUTE FUNCTION certify()",
        )
        .await;
    let refuse = |times: u32| {
        format!(
            "SELECT setval('refusals', 0, false); \
             ALTER DATABASE {} SET test.refusals = '{times}'",
            place.name()
        )
    };
    place.run(&refuse(4)).await;
    // Sessions take the setting in when they begin.
    let store_again = place.open().await;
    let rules = vec![rule("q(1)"), rule("q(2)")];
    let made = store_again.create_policy(policy("p"), rules, At::Any).await;
    assert_eq!(made.unwrap().value.1.len(), 2);
    assert_eq!(store.rules("p").await.unwrap().len(), 2, "nothing of the failed attempts");

    place.run(&refuse(1000)).await;
    let store_again = place.open().await;
    let before = store.revision().await.unwrap();
    let error = store_again.insert_rules("p", vec![rule("q(3)")], At::Any).await.unwrap_err();
    assert!(error.to_string().contains("10 attempts collided"), "{error}");
    assert_eq!(place.text("SELECT last_value FROM refusals").await, "9");
    assert_eq!(store.revision().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_stays_locked_costs_a_bounded_wait() {
    let place = Place::postgresql().await;
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
    let mut acknowledged = Vec::new();
    for i in 0..30 {
        let name = format!("p{i}");
        store.create_policy(policy(&name), vec![], At::Any).await.unwrap();
        acknowledged.push(name);
    }
    server.kill().await.unwrap();
    unavailable(&store, brief().connect_timeout, "").await;
    let error = store.revision().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");

    server.restart().await.unwrap();
    recovers(&store, "after").await;
    let there: Vec<_> = store.policies().await.unwrap().into_iter().map(|p| p.name).collect();
    for name in &acknowledged {
        assert!(there.contains(name), "{name} was acknowledged and is lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_operations_is_not_noticed() {
    let (mut server, place) = own_server(&[]).await;
    let store = Store::open(&place, &Options::default()).await.unwrap();
    store.create_policy(policy("p"), vec![], At::Any).await.unwrap();
    server.restart().await.unwrap();
    // No matter how fresh the connection seems: the first operation already succeeds.
    store.insert_rules("p", vec![rule("q(1)")], At::Any).await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(store.rules("p").await.unwrap().len(), 1);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs() {
    let (server, place) = own_server(&[]).await;
    let store = Store::open(&place, &brief()).await.unwrap();
    store.create_policy(policy("p"), vec![], At::Any).await.unwrap();
    server.signal_all(Signal::STOP).unwrap();

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
    let start = Instant::now();
    store.close().await;
    assert!(start.elapsed() < SLACK, "closing does not hang either");

    server.signal_all(Signal::CONT).unwrap();
    let store = Store::open(&place, &Options::default()).await.unwrap();
    recovers(&store, "q").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection() {
    let (_server, place) = own_server(&["max_connections=8"]).await;
    let store = Store::open(&place, &brief()).await.unwrap();
    // Three of them are kept for administrators.
    let Location::Postgres(server) = &place else { panic!("{place:?}") };
    let options = PgConnectOptions::new_without_pgpass()
        .host(&server.host)
        .port(server.port)
        .username(&server.user)
        .password(&server.password.0)
        .database(&server.database);
    let mut others = Vec::new();
    while let Ok(session) = options.connect().await {
        others.push(session);
    }
    unavailable(&store, brief().connect_timeout, "takes no more connections").await;
    drop(others);
    recovers(&store, "p").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_fit_are_refused_without_being_shown() {
    let place = Place::postgresql().await;
    let store = place.open().await;
    let mut odd = policy("p");
    odd.description = "secret\0".into();
    let error = store.create_policy(odd, vec![], At::Any).await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
    assert!(error.to_string().contains("NUL"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(store.policies().await.unwrap().is_empty());
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
    let certificate = params.signed_by(&key, &ours).unwrap().pem();
    let (mut server, plain) = own_server(&[]).await;
    server.provide("cert.pem", &certificate).unwrap();
    server.provide("key.pem", &key.serialize_pem()).unwrap();
    server
        .sql(&format!(
            "ALTER SYSTEM SET ssl_cert_file = '{0}/cert.pem'; \
             ALTER SYSTEM SET ssl_key_file = '{0}/key.pem'; ALTER SYSTEM SET ssl = on",
            server.socket().display()
        ))
        .await
        .unwrap();
    server.restart().await.unwrap();

    let url = |options: &str| location(&format!("{}?{options}", server.url("congress")));
    let ca = |name: &str| format!("sslrootcert={}", path(&format!("{name}.pem")).display());
    let encrypted = async |place: &Location| {
        let store = Store::open(place, &brief()).await.unwrap();
        store.policies().await.unwrap();
        let count = server
            .sql(
                "SELECT COUNT(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                 WHERE a.application_name = 'congress' AND s.ssl",
            )
            .await
            .unwrap();
        count.trim() != "0"
    };
    // Used if the server has it, also when nobody asks.
    assert!(encrypted(&plain).await);
    assert!(encrypted(&url(&format!("sslmode=verify-ca&{}", ca("ours")))).await);
    let error = Store::open(&url(&format!("sslmode=verify-ca&{}", ca("others"))), &brief()).await;
    assert!(error.unwrap_err().to_string().contains("certificate"));
    // The certificate is for another name than 127.0.0.1.
    let error = Store::open(&url(&format!("sslmode=verify-full&{}", ca("ours"))), &brief()).await;
    assert!(error.unwrap_err().to_string().contains("certificate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_socket() {
    let server = Postgresql::shared().await.unwrap();
    let place = Place::postgresql().await;
    let url = format!(
        "postgresql+psycopg2://congress@/{}?host={}&port={}",
        place.name(),
        server.socket().display(),
        server.port()
    );
    Store::open(&location(&url), &brief()).await.unwrap().policies().await.unwrap();
}
