//! The Debian package: built from what the tests run, installed where nothing of this machine is
//! touched, used, and removed.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod build;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use congress_test_services::{Isolation, Process, isolated};
use congress_tests::{drivers_folder, root, server_binary};

/// Files of the package that others rely on: owner, group, mode.
const FILES: [(&str, &str, &str, &str); 15] = [
    ("/usr/bin/congress-server", "root", "root", "755"),
    ("/usr/bin/congress", "root", "root", "755"),
    ("/usr/lib/ocf/resource.d/openstack/congress-datasource", "root", "root", "755"),
    ("/usr/lib/systemd/system/congress-server.service", "root", "root", "644"),
    ("/usr/lib/systemd/system/congress-datasource.service", "root", "root", "644"),
    ("/usr/share/man/man8/congress-server.8.gz", "root", "root", "644"),
    ("/usr/share/congress/library/unsafe-traffic.yaml", "root", "root", "644"),
    ("/usr/share/man/man1/congress-policy-apply.1.gz", "root", "root", "644"),
    ("/usr/share/bash-completion/completions/congress", "root", "root", "644"),
    ("/usr/share/doc/congress/ha-deployment.md", "root", "root", "644"),
    ("/usr/share/doc/congress/examples/haproxy.cfg", "root", "root", "644"),
    ("/etc/congress/congress.conf", "root", "congress", "640"),
    ("/etc/congress/keys", "congress", "congress", "700"),
    ("/var/lib/congress", "congress", "congress", "750"),
    ("/var/log/congress", "congress", "congress", "750"),
];

/// How exposed a unit may be by `systemd-analyze security`, in tenths: 20 of 100 is "OK".
const EXPOSURE: &str = "20";

/// Runs a command that must succeed; gives what it prints.
#[track_caller]
fn sh(command: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", command])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}\n{out}{}", String::from_utf8_lossy(&output.stderr));
    out
}

#[test]
fn the_package_is_installed_used_and_removed() {
    match isolated("the_package_is_installed_used_and_removed").unwrap() {
        Isolation::Inside => {}
        Isolation::Done => return,
        Isolation::Impossible(reason) => {
            println!("skipped: installing the package: {reason}");
            return;
        }
    }
    // As on a host that never had it.
    for file in ["/etc/congress", "/var/lib/congress", "/var/log/congress"] {
        assert!(!Path::new(file).exists(), "{file} is there already");
    }
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let package = build::build(folder.path());
    let built = begun.elapsed();
    let install = format!("dpkg --install '{}'", package.display());
    sh(&install);
    println!("built in {built:.1?}, installed in {:.1?}", begun.elapsed() - built);

    for (file, owner, group, mode) in FILES {
        is_owned(file, &format!("{owner} {group} {mode}"));
    }
    everything_is_in_it();
    units_are_sound();
    it_runs(folder.path());

    // A second time, over what the operator has changed.
    sh("echo '# ours' >>/etc/congress/congress.conf; echo key >/etc/congress/keys/aes_key");
    sh("chown root:root /etc/congress/congress.conf; chmod 0600 /etc/congress/congress.conf");
    sh("chmod 0750 /etc/congress/keys; rmdir /etc/congress/drivers");
    sh(&install);
    assert!(fs::read_to_string("/etc/congress/congress.conf").unwrap().ends_with("# ours\n"));
    is_owned("/etc/congress/congress.conf", "root root 600");
    is_owned("/etc/congress/keys", "congress congress 750");
    is_owned("/etc/congress/drivers", "root root 755");
    the_script_respects_the_administrator();
    sh("dpkg --remove congress");
    assert!(!Path::new("/usr/bin/congress-server").exists());
    assert!(Path::new("/etc/congress/congress.conf").exists());
    let said = sh("dpkg --purge congress 2>&1");
    assert!(!Path::new("/etc/congress/congress.conf").exists());
    // What secrets cannot be opened without is kept, and it is said.
    assert!(Path::new("/etc/congress/keys/aes_key").exists());
    assert!(said.contains("/etc/congress/keys is kept"), "{said}");
    assert!(!Path::new("/var/log/congress").exists());
}

/// A file's owner, group and mode.
#[track_caller]
fn is_owned(file: &str, expected: &str) {
    assert_eq!(sh(&format!("stat -c '%U %G %a' '{file}'")).trim(), expected, "{file}");
}

/// What dpkg runs after it has unpacked the package, as it runs it: an upgrade where the
/// configuration was removed, and a first installation where owners are as somebody has said before.
fn the_script_respects_the_administrator() {
    let script = "/var/lib/dpkg/info/congress.postinst configure";
    let (config, kept) = ("/etc/congress/congress.conf", "/etc/congress/kept");
    sh(&format!("mv {config} {kept}; {script} 0; test ! -e {config}; mv {kept} {config}"));
    is_owned(config, "root root 600");
    sh(&format!("dpkg-statoverride --add congress daemon 0400 {config}; {script} ''"));
    is_owned(config, "congress daemon 400");
    is_owned("/etc/congress/keys", "congress congress 700");
    sh(&format!("dpkg-statoverride --remove {config}"));
}

/// All programs of the server's crate, and all drivers.
fn everything_is_in_it() {
    let metadata =
        sh(&format!("cd '{}' && cargo metadata --no-deps --format-version 1", root().display()));
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let server = packages.iter().find(|package| package["name"] == "congress-server").unwrap();
    for target in server["targets"].as_array().unwrap() {
        if target["kind"][0] == "bin" {
            let name = target["name"].as_str().unwrap();
            assert!(Path::new("/usr/bin").join(name).exists(), "{name} is not in the package");
            sh(&format!(
                "man --local-file --warnings \"$(ls /usr/share/man/man?/{name}.?.gz)\" >/dev/null"
            ));
        }
    }
    for driver in fs::read_dir(drivers_folder()).unwrap() {
        let driver = driver.unwrap().path();
        if driver.extension().is_some_and(|kind| kind == "wasm") {
            let installed =
                Path::new("/usr/lib/congress/drivers").join(driver.file_name().unwrap());
            assert!(fs::read(&installed).unwrap() == fs::read(&driver).unwrap(), "{installed:?}");
        }
    }
}

fn units_are_sound() {
    let units = "/usr/lib/systemd/system/congress-{server,datasource}.service";
    let said = sh(&format!("systemd-analyze verify --man=no {units} 2>&1"));
    assert_eq!(said, "");
    for unit in ["congress-server", "congress-datasource"] {
        let security = format!(
            "systemd-analyze security --no-pager --offline=true --threshold={EXPOSURE} \
             /usr/lib/systemd/system/{unit}.service"
        );
        let said = sh(&security);
        println!("{}", said.lines().last().unwrap_or_default());
        // Drivers are compiled to machine code; nothing else may make any.
        let text = sh(&format!("cat /usr/lib/systemd/system/{unit}.service"));
        let forbids = text.contains("MemoryDenyWriteExecute=yes");
        assert_eq!(forbids, unit == "congress-server");
    }
}

/// The installed server with the installed configuration, as the installed user.
fn it_runs(folder: &Path) {
    let as_congress = "setpriv --reuid=congress --regid=congress --init-groups";
    let server = "congress-server --config-file /etc/congress/congress.conf";
    let said = sh(&format!("{as_congress} {server} --check-config"));
    assert!(said.contains("the configuration is good") && !said.contains("warning:"), "{said}");
    let mut command = Command::new("bash");
    command.args(["-c", &format!("exec {as_congress} {server}")]).env("HOME", "/var/lib/congress");
    let log = folder.join("log");
    let process = Process::start(command, &log).unwrap();
    let drivers = "congress --url http://127.0.0.1:1789 driver list";
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = Command::new("bash").args(["-c", drivers]).output().unwrap();
        if String::from_utf8_lossy(&output.stdout).contains("nova") {
            break;
        }
        assert!(Instant::now() < deadline, "{}", process.log());
        std::thread::sleep(congress_test_services::POLL);
    }
    sh("congress-server --health http://127.0.0.1:1789/healthcheck");
    // It writes where the package has made folders for it, as its user.
    let database = fs::metadata("/var/lib/congress/congress.sqlite").unwrap();
    assert_ne!(database.uid(), 0);
}

/// What `cargo deb` reads is what `scripts/package` reads; here only that it finds the same files.
#[test]
fn the_table_of_the_package_names_files_that_are_there() {
    let manifest = fs::read_to_string(root().join("host/server/Cargo.toml")).unwrap();
    let (_, table) = manifest.split_once("[package.metadata.deb]").unwrap();
    let assets =
        table.lines().filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next());
    let mut found = 0;
    for source in assets {
        found += 1;
        if source.starts_with("target/release/") || source.contains("target/package") {
            continue;
        }
        let pattern = root().join("host/server").join(source);
        assert!(!sh(&format!("ls {}", pattern.display())).is_empty());
    }
    assert!(found > 10, "{found}");
    assert!(server_binary().unwrap().exists());
}
