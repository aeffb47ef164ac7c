//! What is loaded as a driver, what is not and why, and the cache of compiled code.

use std::fs;

use crate::common::{drivers, guest, hostile, local_config};
use bytes::Bytes;
use congress_plugins::{Feed, FieldType, Host, HostConfig, Limits, LoadErrorKind, SessionKind};

async fn refused(bytes: impl Into<Bytes>) -> String {
    let host = Host::new(local_config()).unwrap();
    host.load_bytes("bad.wasm", bytes.into()).await.err().unwrap().to_string()
}

fn component(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

#[tokio::test]
async fn a_driver_describes_itself() {
    let host = Host::new(local_config()).unwrap();
    let driver = hostile(&host).await;
    let metadata = driver.metadata();
    assert_eq!(metadata.id, "hostile");
    assert_eq!(metadata.feed, Feed::PollAndPush);
    assert_eq!(metadata.session, SessionKind::Configured);
    let field = |name: &str| metadata.config.iter().find(|f| f.name == name).unwrap();
    assert_eq!(field("mode").default.as_deref(), Some("ok"));
    assert_eq!(field("count").field_type, FieldType::Integer);
    assert!(field("password").secret && field("token").secret && !field("username").secret);
    let squares = metadata.tables.iter().find(|t| t.name == "numbers.squares").unwrap();
    assert_eq!(squares.root.as_deref(), Some("numbers"));
    assert_eq!(driver.world_version(), "1.0.0");
    assert_eq!(driver.hash().len(), 64);
    assert_eq!(driver.path(), Some(guest("hostile").as_path()));
}

#[tokio::test]
async fn every_driver_loads_under_its_own_name() {
    let host = Host::new(local_config()).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(drivers()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "wasm") {
            let driver = host.load(&path).await.unwrap();
            assert_eq!(Some(driver.metadata().id.as_ref()), path.file_stem());
            count += 1;
        }
    }
    assert!(count > 0, "no drivers in {}: run scripts/build-drivers", drivers().display());
}

#[tokio::test]
async fn other_files_are_refused_with_the_reason() {
    for (bytes, reason) in [
        (b"not wasm at all".to_vec(), "is not a WebAssembly file"),
        (Vec::new(), "is not a WebAssembly file"),
        (component("(module)"), "is a core WebAssembly module, not a component"),
        (component("(component)"), "of another world: it exports nothing"),
    ] {
        let error = refused(bytes).await;
        assert!(error.starts_with("driver file bad.wasm: ") && error.contains(reason), "{error}");
    }
    let mut cut = fs::read(guest("hostile")).unwrap();
    cut.truncate(cut.len() / 2);
    let error = refused(cut).await;
    assert!(error.contains("is not a valid component"), "{error}");
}

#[tokio::test]
async fn components_of_other_worlds_and_versions_are_refused() {
    let host = Host::new(local_config()).unwrap();
    let error = host.load(guest("otherworld")).await.err().unwrap();
    assert!(matches!(error.kind, LoadErrorKind::OtherWorld { .. }), "{error}");
    assert!(error.to_string().contains("congress:datasource/driver@1.0.0"), "{error}");

    let error = host.load(guest("laterworld")).await.err().unwrap();
    assert!(matches!(error.kind, LoadErrorKind::OtherVersion { .. }), "{error}");
    assert!(
        error.to_string().ends_with(
            "is built for congress:datasource/driver@9.0.0; this host has \
             congress:datasource/driver@1.0.0: build it against that version, or update the server if it has a \
             newer one"
        ),
        "{error}"
    );

    let driver = |version: &str| {
        component(&format!(
            r#"(component (component $d) (instance $i (instantiate $d))
                (export "congress:datasource/driver@{version}" (instance $i)))"#
        ))
    };
    let error = refused(driver("2.3.4")).await;
    assert!(
        error.contains("is built for congress:datasource/driver@2.3.4; this host has"),
        "{error}"
    );
    // The right name, but other functions.
    let error = refused(driver("1.0.0")).await;
    assert!(error.contains("another form of"), "{error}");
}

#[tokio::test]
async fn undeclared_imports_are_refused() {
    let error = refused(component(
        r#"(component (import "acme:tools/shell@1.0.0" (instance))
            (component $d) (instance $i (instantiate $d))
            (export "congress:datasource/driver@1.0.0" (instance $i)))"#,
    ))
    .await;
    assert!(error.contains("does not offer: acme:tools/shell@1.0.0"), "{error}");
}

#[tokio::test]
async fn missing_and_large_files_are_refused() {
    let limits = Limits { component_bytes: 1000, ..Limits::default() };
    let host = Host::new(HostConfig { limits, ..HostConfig::default() }).unwrap();
    let error = host.load(guest("hostile")).await.err().unwrap();
    assert!(matches!(error.kind, LoadErrorKind::TooLarge { limit: 1000, .. }), "{error}");
    let error = host.load("/nowhere/nova.wasm").await.err().unwrap().to_string();
    assert!(error.starts_with("driver file /nowhere/nova.wasm: cannot be read:"), "{error}");
}

#[tokio::test]
async fn compiled_code_is_cached_and_never_trusted_blindly() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        || HostConfig { cache_folder: Some(folder.path().join("compiled")), ..local_config() };
    let load = async || hostile(&Host::new(config()).unwrap()).await;
    assert!(!load().await.is_from_cache());
    assert!(load().await.is_from_cache());

    let entry = fs::read_dir(folder.path().join("compiled"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "cwasm"))
        .unwrap();
    let mut code = fs::read(&entry).unwrap();
    let middle = code.len() / 2;
    code[middle] ^= 1;
    fs::write(&entry, code).unwrap();
    let driver = load().await;
    assert!(!driver.is_from_cache());
    assert_eq!(driver.metadata().id, "hostile");
    assert!(load().await.is_from_cache());
}
