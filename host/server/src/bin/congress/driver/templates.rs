//! What a new driver's folder holds, embedded from `drivers/`, `wit/` and `scripts/lib/`.
//!
//! A driver in Rust gets the SDK's sources beside it, for it is in no registry.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::Context as _;

use super::new::Language;

/// A file to write; one that begins with `#!` is executable.
pub(super) struct File {
    /// Below the driver's folder.
    pub(super) path: &'static str,
    pub(super) text: Cow<'static, str>,
}

/// A file of this repository.
macro_rules! from_root {
    ($($path:tt)+) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../", $($path)+))
    };
}

/// Where the SDK goes. From there, as in this repository, the contract is in `../../wit`.
macro_rules! sdk {
    ($($path:literal)*) => {
        [$((
            concat!("vendor/congress-driver/src/", $path),
            from_root!(concat!("drivers/sdk/src/", $path)),
        )),*]
    };
}

const SDK: [(&str, &str); 38] = sdk!(
    "actions.rs" "actions/check.rs" "actions/query.rs" "actions/text.rs" "alarms.rs" "bindings.rs"
    "call.rs" "clock.rs" "conditional.rs" "config.rs" "describe.rs" "driver.rs" "files.rs"
    "hash.rs" "json.rs" "lib.rs" "logging.rs" "mapping.rs" "openstack.rs" "paging.rs" "path.rs"
    "push.rs" "pytext.rs" "rest.rs" "rows.rs" "schedule.rs" "services.rs" "session.rs" "state.rs" "tables.rs"
    "translate/json.rs" "translate/mod.rs" "translate/run.rs" "translate/schema.rs" "types.rs"
    "url.rs" "value.rs" "wanted.rs"
);

const SDK_MANIFEST: &str = from_root!("drivers/sdk/Cargo.toml");
const WORKSPACE: &str = from_root!("drivers/Cargo.toml");

const RUST: [(&str, &str); 7] = [
    ("Cargo.toml", from_root!("drivers/template/Cargo.toml")),
    ("Cargo.lock", from_root!("drivers/Cargo.lock")),
    ("src/lib.rs", from_root!("drivers/template/src/lib.rs")),
    ("README.md", include_str!("rust/README.md")),
    ("build", include_str!("rust/build")),
    ("vendor/toolchain/packages.sh", from_root!("scripts/lib/packages.sh")),
    ("vendor/toolchain/guest-toolchain.sh", from_root!("scripts/lib/guest-toolchain.sh")),
];

const PYTHON: [(&str, &str); 4] = [
    ("README.md", from_root!("drivers/template-python/README.md")),
    ("build.sh", from_root!("drivers/template-python/build.sh")),
    ("driver.py", from_root!("drivers/template-python/driver.py")),
    ("requirements.txt", from_root!("drivers/template-python/requirements.txt")),
];

const JAVASCRIPT: [(&str, &str); 4] = [
    ("README.md", from_root!("drivers/template-javascript/README.md")),
    ("driver.js", from_root!("drivers/template-javascript/driver.js")),
    ("package.json", from_root!("drivers/template-javascript/package.json")),
    ("package-lock.json", from_root!("drivers/template-javascript/package-lock.json")),
];

const CONTRACT: (&str, &str) = ("wit/datasource.wit", from_root!("wit/datasource.wit"));

/// The files of a new driver.
pub(super) fn files(language: Language, name: &str) -> anyhow::Result<Vec<File>> {
    let (template, ignored): (&[(&str, &str)], _) = match language {
        Language::Rust => (&RUST, "/target\n/driver.wasm\n"),
        Language::Python => (&PYTHON, "/.venv\n/wit_world\n__pycache__\n/driver.wasm\n"),
        Language::Javascript => (&JAVASCRIPT, "/node_modules\n/driver.wasm\n"),
    };
    let mut files: Vec<File> = template
        .iter()
        .map(|(path, text)| File { path, text: named(path, text, name) })
        .chain([File { path: CONTRACT.0, text: CONTRACT.1.into() }])
        .chain([File { path: ".gitignore", text: ignored.into() }])
        .collect();
    if language == Language::Rust {
        files.extend(SDK.map(|(path, text)| File { path, text: text.into() }));
        let manifest = standalone(SDK_MANIFEST, WORKSPACE)?;
        files.push(File { path: "vendor/congress-driver/Cargo.toml", text: manifest.into() });
        let profile = WORKSPACE.split_once("[profile.release]");
        let (_, profile) = profile.context("the workspace of the drivers has no profile")?;
        for file in files.iter_mut().filter(|file| file.path == "Cargo.toml") {
            file.text = format!("{}\n[workspace]\n\n[profile.release]{profile}", file.text).into();
        }
    }
    Ok(files)
}

/// A template's text with the driver's name in it.
fn named(path: &str, text: &'static str, name: &str) -> Cow<'static, str> {
    match path {
        "Cargo.toml" => text
            .replace("\"driver-template\"", &format!("\"driver-{}\"", name.replace('_', "-")))
            .replace("\"../sdk\"", "\"vendor/congress-driver\"")
            .replace("A first driver, to copy", "A Congress datasource driver")
            .into(),
        "src/lib.rs" => text
            .replace("\"template\"", &format!("\"{name}\""))
            .replace(
                "A first driver: copy this folder, rename the package in `Cargo.toml`, change what \
                 it reads.",
                "A first driver: change what it reads.",
            )
            .into(),
        "driver.py" | "driver.js" => text.replace("\"template\"", &format!("\"{name}\"")).into(),
        _ => text.into(),
    }
}

/// A manifest that takes nothing from a workspace any more: `x.workspace = true` becomes what the
/// workspace says of x, and the workspace's lints go.
fn standalone(manifest: &str, workspace: &str) -> anyhow::Result<String> {
    let mut sections: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut section = "";
    for line in workspace.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = line.split_once(" = ") {
            sections.entry(section).or_default().insert(key, value);
        }
    }
    let mut text = String::new();
    for paragraph in manifest.split("\n\n").filter(|p| !p.starts_with("[lints]")) {
        let kind = if paragraph.starts_with("[package]") { "package" } else { "dependencies" };
        let known = sections.get(format!("workspace.{kind}").as_str());
        for line in paragraph.lines() {
            let inherited = line.strip_suffix(".workspace = true");
            let line = match inherited {
                None => line.to_owned(),
                Some(key) => {
                    let value = known.and_then(|known| known.get(key));
                    let value = value.with_context(|| format!("the workspace has no {key}"))?;
                    format!("{key} = {value}")
                }
            };
            text += &line;
            text.push('\n');
        }
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn paths(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let below = |path: PathBuf| if path.is_dir() { paths(&path) } else { vec![path] };
        entries.flat_map(below).collect()
    }

    /// A new file of the SDK is not forgotten here.
    #[test]
    fn the_whole_sdk_comes_along() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../drivers/sdk/src"));
        let mut there: Vec<_> = paths(folder);
        there.sort();
        let mut here: Vec<_> = SDK
            .iter()
            .map(|(path, _)| folder.join(path.trim_start_matches("vendor/congress-driver/src/")))
            .collect();
        here.sort();
        assert_eq!(here, there);
    }

    #[test]
    fn drivers_carry_their_name_and_stand_alone() {
        for (language, file) in [
            (Language::Rust, "src/lib.rs"),
            (Language::Python, "driver.py"),
            (Language::Javascript, "driver.js"),
        ] {
            let files = files(language, "my_moons").unwrap();
            let text = |path: &str| &*files.iter().find(|f| f.path == path).unwrap().text;
            assert!(text(file).contains("\"my_moons\""), "{file}");
            assert!(text(file).lines().count() < 60, "{file}");
            assert!(text("wit/datasource.wit").contains("package congress:datasource@"));
            for manifest in files.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
                assert!(!manifest.text.contains("workspace = true"), "{}", manifest.text);
                assert!(!manifest.text.contains("\"../"), "{}", manifest.text);
            }
        }
    }
}
