//! Runs every command of `docs/writing-a-driver.md`, as a newcomer types them, in an empty folder.
//!
//! Ports are exchanged for free ones; nothing else is. Folders are kept between runs of the tests,
//! so that compiling starts from what is there.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use congress_tests::{client_binary, drivers_folder, root, server_binary};

/// The ports that the guide uses.
const PORTS: [&str; 2] = ["1789", "8765"];

/// The `sh` blocks of the guide's part from one heading up to another.
fn commands(from: &str, to: &str) -> String {
    let guide = fs::read_to_string(root().join("docs/writing-a-driver.md")).unwrap();
    let (_, part) = guide.split_once(from).unwrap();
    let (part, _) = part.split_once(to).unwrap();
    let mut commands = String::new();
    let mut inside = false;
    for line in part.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => commands += &format!("{line}\n"),
            _ => {}
        }
    }
    assert!(!commands.is_empty(), "no commands between {from} and {to}");
    commands
}

/// An empty folder for a part of the guide, in which only what builds leave behind is kept.
fn folder(name: &str, kept: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide").join(name);
    fs::create_dir_all(&folder).unwrap();
    for driver in fs::read_dir(&folder).unwrap() {
        let driver = driver.unwrap().path();
        let saved = folder.with_extension("kept");
        let _ = fs::remove_dir_all(&saved);
        fs::create_dir_all(&saved).unwrap();
        for kept in kept {
            let _ = fs::rename(driver.join(kept), saved.join(kept));
        }
        fs::remove_dir_all(&driver).unwrap();
    }
    folder
}

/// Runs commands in a folder, with the programs to test in front of the path. What they leave in
/// the background is ended.
fn run(folder: &Path, commands: &str) -> Output {
    let mut script = format!(
        "set -euo pipefail\n\
         trap 'kill ${{SERVER:-}} ${{SERVICE:-}} 2>/dev/null || true' EXIT\n{commands}"
    );
    for port in PORTS {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        script = script.replace(port, &free.to_string());
    }
    let programs = [client_binary().unwrap(), server_binary().unwrap()];
    let path = std::env::join_paths(
        programs
            .iter()
            .map(|program| program.parent().unwrap().to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    // The toolchain that the other drivers were built with: a test installs none.
    let toolchain = fs::read_to_string(drivers_folder().join("toolchain")).unwrap();
    let output = Command::new("timeout")
        .args(["900", "bash", "-c", &script])
        .current_dir(folder)
        .env("PATH", path.unwrap())
        .env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide-cache"))
        .env("CONGRESS_GUEST_TOOLCHAIN", toolchain.trim())
        .env("CONGRESS_GUEST_SYSROOTS", root().join(".cache/guest-sysroot"))
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stdout));
    output
}

/// Puts back what builds left behind, once the guide's `new` has made the folder.
fn with_kept(commands: &str, folder: &Path) -> String {
    let saved = folder.with_extension("kept");
    let restore = format!(
        "for kept in '{0}'/* '{0}'/.venv; do [ ! -e \"$kept\" ] || mv \"$kept\" .; done\n",
        saved.display()
    );
    let (new, rest) = commands.split_once("cd ").unwrap();
    let (name, rest) = rest.split_once('\n').unwrap();
    format!("{new}cd {name}\n{restore}{rest}")
}

#[test]
fn the_guide_holds_what_it_promises() {
    let folder = folder("rust", &["target"]);
    let commands = commands("# Writing a driver", "## In Python");
    let output = run(&folder, &with_kept(&commands, &folder));
    let out = String::from_utf8_lossy(&output.stdout);
    // What the guide shows is what comes.
    let guide = fs::read_to_string(root().join("docs/writing-a-driver.md")).unwrap();
    let (_, shown) = guide.split_once("```text\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    assert!(out.contains(shown), "{out}");
    for line in
        ["Mars    Phobos  0.32", "checks, none failed", "{\"data\":[\"Mars\",\"Phobos\",0.32]"]
    {
        assert!(out.replace(", ", ",").contains(&line.replace(", ", ",")), "{line}: {out}");
    }
}

/// Runs the part of a language whose tools come from a registry.
fn language(name: &str, tool: &str, heading: &str, next: &str, kept: &[&str]) {
    let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
    if !found.status.success() {
        println!("skipped: the guide's {name} part, for there is no {tool}");
        return;
    }
    let folder = folder(name, kept);
    let output = run(&folder, &with_kept(&commands(heading, next), &folder));
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("Hello, Bob!"), "{out}");
}

#[test]
fn python() {
    language("python", "python3", "## In Python", "## In JavaScript", &[".venv"]);
}

#[test]
fn javascript() {
    language("javascript", "npm", "## In JavaScript", "## What else", &[]);
}
