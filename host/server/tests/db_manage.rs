//! `congress-db-manage` as operators type it, on SQLite and on a real MariaDB.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::path::Path;
use std::process::{Command, Output};

use congress_test_services::{Mariadb, Postgresql};
use tempfile::TempDir;

const HEAD: &str = "congress0003";

/// A configuration file as the original's operators have it: with options that this program does
/// not need, and some that it would refuse to serve with.
fn configuration(url: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[DEFAULT]\nauth_strategy = keystone\ntransport_url = rabbit://u:p@controller\n\
         [database]\nconnection = {url}\n"
    );
    std::fs::write(folder.path().join("congress.conf"), text).unwrap();
    folder
}

fn manage(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_congress-db-manage"))
        .arg("--config-file")
        .arg(folder.join("congress.conf"))
        .args(arguments)
        .output()
        .unwrap()
}

/// What a command prints that must succeed.
fn prints(folder: &Path, arguments: &[&str]) -> String {
    let output = manage(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The status and errors of one that must fail.
fn fails(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = manage(folder, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// From nothing to the newest revision.
fn from_nothing(folder: &Path) {
    assert_eq!(prints(folder, &["current"]), "");
    let output = manage(folder, &["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("at no revision"), "{output:?}");

    let taken = prints(folder, &["upgrade", "c0125080d572"]);
    assert_eq!(taken, "upgraded aabe895bbd4d -> c0125080d572, policy library\n");
    assert_eq!(prints(folder, &["current"]), "c0125080d572\n");
    let taken = prints(folder, &["upgrade", "--delta", "1"]);
    assert!(taken.starts_with("upgraded c0125080d572 -> congress0002, "), "{taken}");
    let taken = prints(folder, &["upgrade", "head"]);
    assert!(taken.starts_with("upgraded congress0002 -> congress0003, "), "{taken}");
    assert_eq!(prints(folder, &["upgrade", "head"]), "", "nothing is left to do");
    assert_eq!(prints(folder, &["current"]), format!("{HEAD} (head)\n"));
    assert_eq!(prints(folder, &["version"]), format!("{HEAD}\n"));
    assert_eq!(prints(folder, &["check"]), "the database is up to date\n");
}

#[test]
fn an_sqlite_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("congress.sqlite");
    let place = configuration(&format!("sqlite:///{}", file.display()));
    assert_eq!(prints(place.path(), &["current"]), "");
    assert!(!file.exists(), "looking makes nothing");
    from_nothing(place.path());
    assert!(file.exists());
    to_nothing(place.path());
}

/// Back to what the original left, and from there to nothing.
fn to_nothing(folder: &Path) {
    let undone = prints(folder, &["downgrade", "-1"]);
    assert!(undone.starts_with("downgraded congress0003 -> congress0002, "), "{undone}");
    let undone = prints(folder, &["downgrade", "c0125080d572"]);
    assert!(undone.starts_with("downgraded congress0002 -> c0125080d572, "), "{undone}");
    assert_eq!(prints(folder, &["current"]), "c0125080d572\n");
    let (_, errors) = fails(folder, &["downgrade", "head"]);
    assert!(errors.contains("is older than congress0003"), "{errors}");
    let (_, errors) = fails(folder, &["downgrade", "aabe895bbd4d"]);
    assert!(errors.contains("one of the original's before its last"), "{errors}");
    assert_eq!(fails(folder, &["downgrade", "nothing"]).0, 255);
    assert!(fails(folder, &["downgrade"]).1.contains("You must provide a revision"));

    prints(folder, &["upgrade", "head"]);
    prints(folder, &["downgrade", "base"]);
    assert_eq!(prints(folder, &["current"]), "");
}

#[tokio::test]
async fn a_postgresql_server() {
    let server = Postgresql::start().await.unwrap();
    let place = configuration(&server.database("congress").await.unwrap());
    let place = place.path();
    from_nothing(place);
    let sql = prints(place, &["downgrade", "head:c0125080d572", "--sql"]);
    assert!(sql.starts_with("DROP TABLE IF EXISTS congress_actions;\n"), "{sql}");
    assert!(!sql.contains(" policies"), "{sql}");
    let stamp = prints(place, &["stamp", "c0125080d572", "--sql"]);
    server.sql_in("congress", &stamp).await.unwrap();
    assert_eq!(prints(place, &["current"]), "c0125080d572\n");
    prints(place, &["stamp", "head"]);
    to_nothing(place);
    assert_eq!(
        server
            .sql_in("congress", "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'")
            .await
            .unwrap()
            .trim(),
        "0"
    );

    // Somebody who may look but not touch.
    prints(place, &["upgrade", "c0125080d572"]);
    let sql = "CREATE ROLE reader LOGIN PASSWORD 'r'; \
               GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader";
    server.sql_in("congress", sql).await.unwrap();
    let url = format!("postgresql://reader:r@127.0.0.1:{}/congress", server.port());
    let (status, errors) = fails(place, &["--database-connection", &url, "upgrade", "head"]);
    assert_eq!(status, 1);
    assert!(errors.contains("of a user who may"), "{errors}");
}

#[tokio::test]
async fn a_mariadb_server() {
    let server = Mariadb::start().await.unwrap();
    let place = configuration(&server.database("congress").await.unwrap());
    let place = place.path();
    from_nothing(place);
    let tables = server.sql("SHOW TABLES FROM congress").await.unwrap();
    assert!(tables.contains("congress_leases") && tables.contains("alembic_version"), "{tables}");
    to_nothing(place);
    assert_eq!(server.sql("SHOW TABLES FROM congress").await.unwrap(), "");

    // Somebody who may look but not touch.
    server
        .sql(
            "CREATE DATABASE other; CREATE USER reader IDENTIFIED BY 'r'; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON other.* TO reader",
        )
        .await
        .unwrap();
    let url = format!("mysql://reader:r@127.0.0.1:{}/other", server.port());
    let (status, errors) = fails(place, &["--database-connection", &url, "upgrade", "head"]);
    assert_eq!(status, 1);
    assert!(errors.contains("of a user who may"), "{errors}");

    // The original's older databases are the original's to bring up.
    server
        .sql(
            "USE other; CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY); \
             INSERT INTO alembic_version VALUES ('01e78af70b91')",
        )
        .await
        .unwrap();
    let other = ["--database-connection", &server.url("other")];
    let with = |command: &[&'static str]| [&other[..], command].concat();
    assert_eq!(prints(place, &with(&["current"])), "01e78af70b91\n");
    let (_, errors) = fails(place, &with(&["upgrade", "head"]));
    assert!(errors.contains("with the original's congress-db-manage first"), "{errors}");
    prints(place, &with(&["stamp", "c0125080d572"]));
    assert_eq!(prints(place, &with(&["current"])), "c0125080d572\n");
    prints(place, &with(&["upgrade", "head"]));
    assert_eq!(prints(place, &with(&["version"])), format!("{HEAD}\n"));
}

#[test]
fn the_history_and_its_sql_need_no_database() {
    let place = configuration("mysql://u:hunter2@127.0.0.1:1/congress");
    let history = prints(place.path(), &["history"]);
    let lines: Vec<_> = history.lines().collect();
    assert!(lines[0].starts_with("congress0002 -> congress0003 (head), "), "{history}");
    assert_eq!(lines[2], "aabe895bbd4d -> c0125080d572, policy library");
    assert!(lines.last().unwrap().starts_with("<base> -> initial_db, "), "{history}");
    assert_eq!(prints(place.path(), &["branches"]), format!("{HEAD} (head)\n"));
    prints(place.path(), &["check_migration"]);

    let whole = prints(place.path(), &["upgrade", "head", "--sql"]);
    assert!(whole.contains("CREATE TABLE IF NOT EXISTS policies ("), "{whole}");
    let ours = prints(place.path(), &["upgrade", "c0125080d572:head", "--sql"]);
    assert!(!ours.contains(" policies (") && ours.contains("congress_leases"), "{ours}");
}

#[test]
fn what_is_wrong_is_said_with_the_originals_status() {
    let place = configuration("mysql://u:hunter2@127.0.0.1:1/congress");
    let place = place.path();
    let (status, errors) = fails(place, &["upgrade", "nothing"]);
    assert_eq!(status, 255);
    assert!(errors.contains("FAILED: Can't locate revision identified by 'nothing'"), "{errors}");
    assert_eq!(fails(place, &["stamp", "nothing"]).0, 255);
    let (status, errors) = fails(place, &["upgrade"]);
    assert_eq!(status, 1);
    assert!(errors.contains("You must provide a revision or relative delta"), "{errors}");
    let (status, errors) = fails(place, &[]);
    assert_eq!(status, 2);
    assert!(errors.contains("Usage:"), "{errors}");
    let (status, errors) = fails(place, &["current"]);
    assert_eq!(status, 1);
    assert!(errors.contains("refused") && !errors.contains("hunter2"), "{errors}");
    let (status, errors) = fails(place, &["upgrade", "initial_db"]);
    assert_eq!(status, 1);
    assert!(errors.contains("one of the original's before its last"), "{errors}");

    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("congress.conf"), "[DEFAULT]\n").unwrap();
    let (status, errors) = fails(empty.path(), &["current"]);
    assert_eq!(status, 1);
    assert!(errors.contains("[database] connection names no database that lasts"), "{errors}");
}
