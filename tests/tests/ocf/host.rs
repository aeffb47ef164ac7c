//! Hosts that lack something: what each action does there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::geteuid;

use crate::agent::{CONFIGURED, INSTALLED, NOT_RUNNING, Outcome, PERM, Resource, SUCCESS};

/// A host on which the server cannot start: the code that says so, and what names the reason.
fn lacks(resource: &Resource, code: i32, reason: &str) {
    let names = |outcome: &Outcome| {
        let lines: Vec<&str> =
            outcome.said.lines().filter(|line| line.starts_with("ocf-exit-reason:")).collect();
        lines.len() == 1 && lines[0].contains(reason)
    };
    let outcome = resource.must("validate-all", code);
    assert!(names(&outcome), "{outcome:?}");
    let outcome = resource.must("start", code);
    assert!(names(&outcome), "{outcome:?}");
    resource.must("monitor", NOT_RUNNING);
    assert_eq!(resource.probe().code, NOT_RUNNING);
    resource.must("stop", SUCCESS);
}

#[test]
fn without_the_binary() {
    lacks(
        &Resource::new().with("binary", "/no where"),
        INSTALLED,
        "/no where is not an executable",
    );
    let resource = Resource::new();
    let plain = resource.path("congress.conf");
    let resource = resource.with("binary", plain.to_str().unwrap());
    lacks(&resource, INSTALLED, "is not an executable file");
}

#[test]
fn without_the_configuration() {
    let resource = Resource::new().with("config", "/no where/congress.conf");
    lacks(&resource, INSTALLED, "/no where/congress.conf is missing");
}

#[test]
fn with_a_bad_configuration() {
    let resource = Resource::new();
    let mut text = fs::read_to_string(resource.path("congress.conf")).unwrap();
    text += "[DEFAULT]\nbind_port = many\n";
    fs::write(resource.path("congress.conf"), text).unwrap();
    lacks(&resource, CONFIGURED, "bind_port");
}

#[test]
fn without_the_user() {
    let resource = Resource::new().with("user", "no body");
    lacks(&resource, INSTALLED, "the user 'no body' does not exist");
    let resource = Resource::new().with("group", "no group");
    lacks(&resource, INSTALLED, "the group 'no group' does not exist");
}

#[test]
fn without_the_key() {
    let mut resource = Resource::new();
    fs::remove_file(resource.path("keys/aes_key")).unwrap();
    lacks(&resource, CONFIGURED, "keys/aes_key: copy the key folder of another host");
    // Unless the check is not wanted, for instance where the first start shall make the key.
    resource.set("keys_check", "false");
    resource.must("validate-all", SUCCESS);
    resource.must("start", SUCCESS);
}

#[test]
fn with_files_that_the_server_s_user_cannot_read() {
    if !geteuid().is_root() {
        println!("skipped: running the server as another user needs root");
        return;
    }
    let private = |resource: &Resource, name: &str, mode: u32| {
        fs::set_permissions(resource.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let resource = Resource::new().with("user", "nobody");
    private(&resource, "congress.conf", 0o600);
    lacks(&resource, PERM, "the user 'nobody' cannot read");
    let resource = Resource::new().with("user", "nobody");
    private(&resource, "keys", 0o700);
    lacks(&resource, CONFIGURED, "aes_key: Permission denied");
}

#[test]
fn without_a_place_for_the_lock() {
    // A folder that cannot be made, and a file that cannot be written, by root either.
    for (pid, reason) in [("congress.conf/x.pid", "mkdir: "), ("run/x.pid", "x.pid.lock: ")] {
        let mut resource = Resource::new();
        fs::create_dir(resource.path("run/x.pid.lock")).unwrap();
        let pid = resource.path(pid).display().to_string();
        resource.set("pid", &pid);
        let outcome = resource.must("start", PERM);
        let told = format!("cannot write the lock file {pid}.lock: ");
        let (_, rest) = outcome.said.split_once(&told).unwrap();
        assert!(outcome.said.contains("ocf-exit-reason:the user '"), "{outcome:?}");
        assert!(rest.contains(reason), "{outcome:?}");
        resource.must("monitor", NOT_RUNNING);
        resource.must("stop", SUCCESS);
    }
    // A folder that is missing is made.
    let resource = Resource::new();
    let pid = resource.path("run/a/b/x.pid").display().to_string();
    let resource = resource.with("pid", &pid);
    resource.must("start", SUCCESS);
    resource.must("stop", SUCCESS);
}

#[test]
fn only_root_runs_the_server_as_somebody_else() {
    if geteuid().is_root() {
        // As an agent that is not root.
        let resource = Resource::new().with("user", "daemon");
        fs::set_permissions(resource.path("run"), fs::Permissions::from_mode(0o777)).unwrap();
        let mut agent = resource.command("setpriv".as_ref());
        let output = agent
            .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
            .arg(crate::agent::agent())
            .arg("start")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(PERM), "{}", crate::agent::said(&output));
    } else {
        lacks(&Resource::new().with("user", "root"), PERM, "only root can run the server as");
    }
}
