//! What is refused when a database is opened, in which words, and that it is left as it was.

use std::path::Path;

use congress_store::{At, Location, OpenError, Options, Store};
use sqlx::Connection;

use super::{file, folder, impatient, open, policy, raw};

async fn refused(path: &Path) -> OpenError {
    Store::open(&Location::SqliteFile(path.into()), &impatient()).await.unwrap_err()
}

/// Has another program do something to the file.
async fn run(path: &Path, sql: &'static str) {
    let mut connection = raw(path).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database() {
    let folder = folder();
    let path = file(&folder);
    let content = "Dear diary, today I was not a database.\n".repeat(100);
    std::fs::write(&path, &content).unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "{} is not a database of this system: it is not an SQLite file; it was left as it is. \
             Set [database] connection to another path",
            path.display()
        )
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
}

#[tokio::test]
async fn a_database_of_which_a_part_is_gone() {
    let folder = folder();
    let path = file(&folder);
    open(&path).await.close().await;
    let whole = std::fs::read(&path).unwrap();
    let mut part = whole[..4096].to_vec();
    part[100..].fill(0xff);
    std::fs::write(&path, &part).unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("Restore a backup"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), part);
}

#[tokio::test]
async fn a_database_of_something_else() {
    let folder = folder();
    let path = file(&folder);
    run(&path, "CREATE TABLE places (url TEXT)").await;
    let before = std::fs::read(&path).unwrap();
    let error = refused(&path).await;
    assert!(error.to_string().contains("a table 'places', but not one of ours"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_folder_that_is_not_there() {
    let folder = folder();
    let path = folder.path().join("missing").join("congress.sqlite");
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::NoFolder { .. }), "{error:?}");
    let folder = path.parent().unwrap().display().to_string();
    assert!(error.to_string().contains(&format!("its folder {folder} does not exist")), "{error}");
}

#[tokio::test]
async fn a_folder_in_place_of_the_file_and_a_file_in_place_of_the_folder() {
    let folder = folder();
    let error = refused(folder.path()).await;
    assert!(error.to_string().contains("it is a folder"), "{error}");

    let file = file(&folder);
    std::fs::write(&file, "").unwrap();
    let error = refused(&file.join("congress.sqlite")).await;
    assert!(matches!(error, OpenError::CannotOpen { .. }), "{error:?}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[tokio::test]
async fn a_folder_where_no_file_can_be_made() {
    // The one folder in which root cannot make files either.
    let error = refused(Path::new("/proc/congress.sqlite")).await;
    assert!(matches!(error, OpenError::CannotOpen { .. }), "{error:?}");
    assert!(error.to_string().contains("must be writable"), "{error}");
}

#[tokio::test]
async fn a_locked_file() {
    let folder = folder();
    let path = file(&folder);
    run(&path, "CREATE TABLE t (x)").await;
    let mut owner = raw(&path).await;
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut owner).await.unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(error.to_string().contains("is locked by another process"), "{error}");
}

#[tokio::test]
async fn a_database_from_the_future() {
    let folder = folder();
    let path = file(&folder);
    open(&path).await.close().await;
    run(&path, "INSERT INTO congress_schema VALUES (99, 'future', '2099-01-01')").await;
    let error = refused(&path).await;
    let expected = format!(
        "the database {} has schema version 99, but this program knows only versions up to 3; run \
         the newer program, or restore a backup made before the upgrade",
        path.display()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn an_old_database_of_the_original() {
    let folder = folder();
    let path = file(&folder);
    run(
        &path,
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
         INSERT INTO alembic_version VALUES ('01e78af70b91');",
    )
    .await;
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::OldOriginal { .. }), "{error:?}");
    assert!(error.to_string().contains("'01e78af70b91'"), "{error}");
}

#[tokio::test]
async fn an_empty_file_and_a_current_database_are_fine() {
    let folder = folder();
    let path = file(&folder);
    std::fs::write(&path, "").unwrap();
    let store = open(&path).await;
    store.create_policy(policy("p"), vec![], At::Any).await.unwrap();
    store.close().await;
    let again = Store::open(&Location::SqliteFile(path), &Options::default()).await.unwrap();
    assert_eq!(again.policies().await.unwrap().len(), 1);
}
