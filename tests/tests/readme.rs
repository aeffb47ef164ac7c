//! What the README promises a newcomer: a driver, written and dropped in while the server runs.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use congress_tests::{Server, ServerOptions, client_binary, drivers_folder, root};
use serde_json::json;

/// What the build of drivers needs of a checkout.
const NEEDED: [&str; 3] = ["drivers", "scripts", "wit"];

/// The README's lines, from the first one of the driver's to the next paragraph of prose.
fn lines() -> String {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = readme.lines().skip_while(|line| !line.contains("cp -r drivers/template"));
    lines
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .map(|line| line.strip_prefix("    ").unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// Copies a folder without what builds leave in it, and without drivers that the new one does not
/// need: they take minutes to build.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        let target = to.join(name);
        if path.is_file() {
            fs::copy(&path, target).unwrap();
        } else if name != "target" && name != "out" && !is_other_driver(&path) {
            copy(&path, &target);
        }
    }
}

fn is_other_driver(path: &Path) -> bool {
    path.parent() == Some(&root().join("drivers"))
        && path.join("Cargo.toml").is_file()
        && !["sdk", "template"].iter().any(|needed| path.ends_with(needed))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_is_written_and_dropped_in() {
    let checkout = tempfile::tempdir().unwrap();
    for folder in NEEDED {
        copy(&root().join(folder), &checkout.path().join(folder));
    }
    // The standard library for guests takes a minute to build and depends on no checkout.
    let sysroot = root().join(".cache/guest-sysroot");
    if sysroot.is_dir() {
        fs::create_dir(checkout.path().join(".cache")).unwrap();
        symlink(sysroot, checkout.path().join(".cache/guest-sysroot")).unwrap();
    }
    // The toolchain that the other drivers were built with: a test installs none.
    let toolchain = fs::read_to_string(drivers_folder().join("toolchain")).unwrap();
    let toolchain = toolchain.trim().to_owned();
    let binaries = checkout.path().join("target/debug");
    fs::create_dir_all(&binaries).unwrap();
    symlink(client_binary().unwrap(), binaries.join("congress")).unwrap();

    let drivers = checkout.path().join("drivers/out");
    let options = ServerOptions { drivers: Some(drivers.clone()), ..ServerOptions::default() };
    let server = Server::start(options).await.unwrap();

    let lines = lines();
    assert!(lines.contains("scripts/build-drivers moons"), "{lines}");
    let script = checkout.path().to_owned();
    let url = server.url().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        Command::new("timeout")
            .args(["600", "bash", "-euo", "pipefail", "-c", &lines])
            .current_dir(script)
            .env("CONGRESS_URL", url)
            .env("CONGRESS_GUEST_TOOLCHAIN", toolchain)
            .env_remove("CARGO_TARGET_DIR")
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));

    let soon = Duration::from_secs(30);
    let three = |body: &serde_json::Value| body["results"].as_array().map(Vec::len) == Some(3);
    let rows = server.eventually("/v1/data-sources/sky/tables/moons/rows", soon, three).await;
    let rows = rows.unwrap()["results"].clone();
    assert!(rows.as_array().unwrap().contains(&json!({"data": ["Earth", "Moon"]})), "{rows}");
}

/// The same sources give the same bytes wherever a checkout lies: none knows where it was built.
#[test]
fn drivers_do_not_tell_where_they_were_built() {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))).unwrap();
    let places = [root().to_owned(), home].map(|place| place.to_str().unwrap().to_owned());
    let mut looked_at = 0;
    for folder in [drivers_folder(), drivers_folder().join("testing")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "wasm") {
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            for place in &places {
                let found = bytes.windows(place.len()).any(|part| part == place.as_bytes());
                assert!(!found, "{} holds {place}", path.display());
            }
            looked_at += 1;
        }
    }
    assert!(looked_at > 20, "{looked_at}");
}
