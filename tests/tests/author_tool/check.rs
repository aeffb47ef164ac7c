//! `inspect` and `check`.

use std::process::Command;

use serde_json::Value;

use crate::{component, ran};

#[tokio::test]
async fn inspect_shows_what_a_component_wants() {
    let file = component("http_json");
    let text = ran(&["inspect", &file]).await;
    assert_eq!(text.code, Some(0), "{text:?}");
    for line in ["world     congress:datasource@1.0.0", "hosts     {url} {auth_url}", "token ("] {
        assert!(text.out.contains(line), "{line}: {}", text.out);
    }
    let json = ran(&["inspect", &file, "--format", "json"]).await;
    let shown: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(shown["hash"].as_str().map(str::len), Some(64));
    assert_eq!(shown["driver"]["session"], "configured");
    let standing = |name: &str| {
        let imports = shown["imports"].as_array().unwrap();
        let found =
            imports.iter().find(|import| import["name"].as_str().unwrap().starts_with(name));
        found.unwrap()["standing"].as_str().unwrap().to_owned()
    };
    assert_eq!(standing("congress:datasource/session@"), "granted");
    assert_eq!(standing("wasi:filesystem/types@"), "empty");
}

#[tokio::test]
async fn what_is_no_driver_is_shown_and_refused() {
    let file = component("testing/otherworld");
    let inspected = ran(&["inspect", &file]).await;
    assert_eq!(inspected.code, Some(1), "{inspected:?}");
    assert!(inspected.out.contains("of another world: it exports greet"), "{}", inspected.out);
    let checked = ran(&["check", &file]).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.out.contains("FAIL  is a component of a world"), "{}", checked.out);

    let missing = ran(&["inspect", "/nowhere/moons.wasm"]).await;
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("has the driver been built?"), "{}", missing.err);
}

#[tokio::test]
async fn what_is_no_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("driver.wasm");
    let pipe = pipe.display().to_string();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for command in ["inspect", "check", "run"] {
        for file in [pipe.as_str(), "/dev/zero"] {
            let refused = ran(&[command, file]).await;
            assert_eq!(refused.code, Some(1), "{command} {file}: {refused:?}");
            assert!(refused.err.contains("is a pipe or a device"), "{}", refused.err);
        }
    }
}

#[tokio::test]
async fn formats_are_kept_or_refused() {
    let file = component("testing/template");
    let csv = ran(&["inspect", &file, "-f", "csv"]).await;
    assert_eq!((csv.code, csv.out.as_str()), (Some(1), ""), "{csv:?}");
    assert!(csv.err.contains("choose -f table, json or yaml"), "{}", csv.err);
    let yaml = ran(&["inspect", &file, "-f", "yaml"]).await;
    assert!(yaml.out.contains("\ndriver:\n"), "{}", yaml.out);
    let checks = ran(&["check", &file, "--config", "names=Ann", "-f", "csv"]).await;
    assert!(checks.out.starts_with("check,result,reason\n"), "{}", checks.out);
}

#[tokio::test]
async fn a_good_driver_passes() {
    let file = component("testing/template");
    let checked = ran(&["check", &file, "--config", "names=Ann,Bob"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.out.contains("ok    rows match the declared columns"), "{}", checked.out);
    assert!(checked.out.ends_with("none failed\n"), "{}", checked.out);
}

#[tokio::test]
async fn a_bad_driver_fails_with_reasons() {
    let file = component("testing/hostile");
    let arguments = ["check", &file, "--config", "mode=trap", "--format", "json"];
    let checked = ran(&arguments).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let report: Value = serde_json::from_str(&checked.out).unwrap();
    let finding = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == name).unwrap().clone()
    };
    for name in ["polls", "survives odd answers of the service"] {
        let finding = finding(name);
        assert_eq!(finding["result"], "failed", "{name}: {finding}");
        assert!(finding["reason"].as_str().unwrap().contains("panicked or aborted"), "{finding}");
    }
    assert_eq!(finding("describes itself the same each time")["result"], "passed");
}

#[tokio::test]
async fn rows_that_are_refused_and_forgotten_are_found() {
    let file = component("testing/hostile");
    let checked = ran(&["check", &file, "--config", "mode=ignore-bad-rows"]).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let (_, polls) = checked.out.split_once("FAIL  polls").unwrap();
    assert!(polls.contains("batches were refused"), "{}", checked.out);
}

#[tokio::test]
async fn a_driver_that_never_ends_is_stopped() {
    let file = component("testing/hostile");
    let arguments = ["run", &file, "--config", "mode=spin", "--call-timeout", "0.5"];
    let ran = ran(&arguments).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("did not end within 0.5 s"), "{}", ran.err);
}
