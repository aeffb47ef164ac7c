//! The ten defects of the original's agent, numbered as in its specification: none has returned.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, geteuid};

use crate::agent::{
    CONFIGURED, GENERIC, INSTALLED, NOT_RUNNING, Resource, SUCCESS, agent, is_alive,
};

/// A process that has nothing to do with the agent.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn defect_1_a_server_that_ends_at_its_start_has_not_started() {
    for (code, expected) in [(1, GENERIC), (75, GENERIC), (78, CONFIGURED)] {
        let script = format!("sleep 0.3; echo 'ERROR: out of luck' >&2; exit {code}");
        let resource = Resource::new().program(&script);
        let outcome = resource.must("start", expected);
        let reason = format!(
            "ocf-exit-reason:the server ended at its start with code {code}: ERROR: out of luck"
        );
        assert!(outcome.said.contains(&reason), "{outcome:?}");
        // Nothing is left that a monitor would take for a failure again.
        resource.must("monitor", NOT_RUNNING);
    }
}

/// It answers for a moment, and ends: what its database or keys are missing it knows only then.
#[test]
fn defect_1_a_server_that_ends_after_its_first_answer_has_not_started() {
    let answers = crate::life::Answers::serve(vec![1]);
    let script = "sleep 1; echo 'ERROR: no such key' >&2; exit 78";
    let resource = Resource::new().program(script).with("health", &answers.url);
    let outcome = resource.must("start", CONFIGURED);
    assert!(outcome.said.contains("no such key"), "{outcome:?}");
    resource.must("monitor", NOT_RUNNING);
}

/// [`crate::life::a_server_that_hangs_is_found_and_can_be_stopped`] has a server that is stopped;
/// here one that never answers.
#[test]
fn defect_2_a_start_lasts_until_the_server_answers() {
    let resource = Resource::new().program("exec sleep 1000");
    let mut start = resource.command(&agent());
    let mut start = start.arg("start").env("__OCF_ACTION", "start").spawn().unwrap();
    crate::agent::soon("the pid file", || resource.pid_file().exists());
    let pid = resource.pid();
    std::thread::sleep(Duration::from_secs(2));
    assert!(start.try_wait().unwrap().is_none(), "start has returned");
    // What Pacemaker does when the time is up; the server survives it, and can be stopped.
    start.kill().unwrap();
    start.wait().unwrap();
    assert!(is_alive(pid));
    resource.must("monitor", GENERIC);
    resource.must("stop", SUCCESS);
    assert!(!is_alive(pid));
}

#[test]
fn defect_3_a_stranger_s_process_is_left_alone() {
    let mut stranger = Stranger::new();
    let id = stranger.0.id();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    // As others write it; as this agent does, the id used again by another process; as this agent
    // did before the machine was started anew; and nonsense.
    for (text, monitor) in [
        (format!("{id}\n"), NOT_RUNNING),
        (format!("{id}\n1 {boot}"), GENERIC),
        (format!("{id}\n1 00000000-0000-0000-0000-000000000000\n"), NOT_RUNNING),
        ("-1\n".to_owned(), NOT_RUNNING),
        ("x y\n".to_owned(), NOT_RUNNING),
        (String::new(), NOT_RUNNING),
    ] {
        let resource = Resource::new();
        let write = || fs::write(resource.pid_file(), &text).unwrap();
        write();
        resource.must("monitor", monitor);
        assert_eq!(resource.probe().code, NOT_RUNNING, "{text}");
        resource.must("start", SUCCESS);
        assert_ne!(resource.pid().as_raw_nonzero().get().unsigned_abs(), id);
        resource.must("stop", SUCCESS);
        assert!(stranger.is_alive(), "{text}");
        write();
        resource.must("stop", SUCCESS);
        assert!(stranger.is_alive(), "{text}");
        resource.must("monitor", NOT_RUNNING);
    }
}

#[test]
fn defect_4_a_stop_needs_neither_configuration_nor_binary_nor_user() {
    for broken in ["config", "binary", "user", "umask"] {
        let mut resource = Resource::new();
        resource.must("start", SUCCESS);
        let pid = resource.pid();
        resource.set(broken, "/nowhere");
        resource.must("stop", SUCCESS);
        assert!(!is_alive(pid), "{broken}");
        resource.must("stop", SUCCESS);
    }
    let resource = Resource::new();
    resource.must("start", SUCCESS);
    let pid = resource.pid();
    for gone in ["congress.conf", "keys/aes_key"] {
        fs::remove_file(resource.path(gone)).unwrap();
    }
    // Nor does it look ill without them: it runs on what it has read.
    resource.must("monitor", SUCCESS);
    resource.must("stop", SUCCESS);
    assert!(!is_alive(pid));
}

#[test]
fn defect_5_a_probe_on_a_host_without_anything_is_quiet() {
    for broken in ["config", "binary", "user"] {
        let resource = Resource::new().with(broken, "/nowhere");
        let probe = resource.probe();
        assert_eq!(probe.code, NOT_RUNNING, "{probe:?}");
        assert_eq!(probe.said, "", "{broken}");
    }
}

/// The time limits that it advertises: [`crate::metadata`].
#[test]
fn defect_6_there_is_time_for_a_clean_stop_within_any_limit() {
    let script = "trap 'sleep 1; echo clean >\"$OCF_RESKEY_file\"; exit 0' TERM\n\
                  : >\"$OCF_RESKEY_file.ready\"; while :; do sleep 0.1; done";
    let resource = Resource::new().program(script).limit(5);
    let file = resource.path("clean");
    let health = crate::life::Answers::serve(vec![1]);
    let resource = resource.with("file", file.to_str().unwrap()).with("health", &health.url);
    resource.must("start", SUCCESS);
    crate::agent::soon("the trap", || resource.path("clean.ready").exists());
    let stop = resource.must("stop", SUCCESS);
    assert!(file.exists() && stop.took < Duration::from_secs(5), "{stop:?}");
}

#[test]
fn defect_7_the_server_runs_as_the_user_that_it_should() {
    let mut resource = Resource::new();
    let uid = |pid: Pid| fs::metadata(format!("/proc/{}", pid.as_raw_nonzero())).unwrap().uid();
    // Its own user, by whom the agent runs, if there is no other.
    if Command::new("id").arg("congress").output().unwrap().status.success() {
        println!("this machine has a user congress");
    } else {
        let start = resource.must("start", SUCCESS);
        assert_eq!(uid(resource.pid()), geteuid().as_raw());
        if geteuid().is_root() {
            assert!(start.said.contains("there is no user congress"), "{start:?}");
        }
        resource.must("stop", SUCCESS);
    }
    if !geteuid().is_root() {
        println!("skipped: running the server as another user needs root");
        return;
    }
    let id = |option: &str, name: &str| {
        let output = Command::new("id").args([option, name]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().unwrap()
    };
    let (nobody, nogroup) = (id("-u", "nobody"), id("-g", "nobody"));
    for folder in ["keys", "keys/aes_key"] {
        chown(resource.path(folder), Some(nobody), Some(nogroup)).unwrap();
    }
    resource.set("user", "nobody");
    resource.must("start", SUCCESS);
    assert_eq!(uid(resource.pid()), nobody);
    resource.must("stop", SUCCESS);
    resource.set("group", "daemon");
    resource.must("start", SUCCESS);
    let pid = resource.pid();
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    let gid = status.lines().find_map(|line| line.strip_prefix("Gid:\t")).unwrap();
    assert!(gid.starts_with("1\t1\t1"), "{status}");
    resource.must("stop", SUCCESS);
    resource.set("user", "root");
    resource.set("group", "");
    resource.must("start", SUCCESS);
    assert_eq!(uid(resource.pid()), 0);
}

#[test]
fn defect_8_what_the_server_says_is_kept() {
    let mut resource = Resource::new().program("echo one; echo 'two' >&2; exit 3");
    let outcome = resource.must("start", GENERIC);
    assert!(outcome.said.contains("with code 3: two"), "{outcome:?}");
    assert_eq!(resource.log(), "one\ntwo\n");
    // In a file of one's own it is appended.
    let file = resource.path("my log");
    resource.set("log_file", file.to_str().unwrap());
    resource.must("start", GENERIC);
    resource.must("start", GENERIC);
    assert_eq!(fs::read_to_string(&file).unwrap(), "one\ntwo\none\ntwo\n");
    resource.set("log_file", "/nowhere/log");
    let outcome = resource.must("start", crate::agent::PERM);
    assert!(outcome.said.contains("cannot write the output file /nowhere/log"), "{outcome:?}");
}

#[test]
fn defect_9_parameters_are_words_whatever_they_hold() {
    // It answers what it is asked before it is started, too, and is asked it with the same words.
    let script = "case \"$1\" in\n\
                  --check-config) shift; exec >>\"$OCF_RESKEY_asked\"; code=0 ;;\n\
                  --print-config | --health) exit 1 ;;\n\
                  *) code=1 ;;\n\
                  esac\n\
                  for word in \"$@\"; do printf '<%s>' \"$word\"; done; exit $code";
    let resource = Resource::new().stand_in(script).with("keys_check", "false");
    let asked = resource.path("asked");
    let resource = resource.with("asked", asked.to_str().unwrap());
    let trap = resource.path("trap");
    let node = format!("a b'\"; $(touch {0}) `touch {0}`", trap.display());
    let config = resource.path("c'o \"n\"$(x)f.conf");
    fs::rename(resource.path("congress.conf"), &config).unwrap();
    let words = format!("--log-file '/a b' \"c 'd\" $(touch {0}) e\\ f;touch {0}", trap.display());
    let resource = resource
        .with("node_id", &node)
        .with("config", config.to_str().unwrap())
        .with("additional_parameters", &words);
    resource.must("start", GENERIC);
    let expected = [
        "--config-file",
        config.to_str().unwrap(),
        "--datasources",
        "--node-id",
        &node,
        "--log-file",
        "/a b",
        "c 'd",
        "$(touch",
        &format!("{})", trap.display()),
        "e f;touch",
        trap.to_str().unwrap(),
    ];
    // The folder's name has a space, outside quotes two words.
    let expected: String = expected.map(|word| format!("<{word}>")).concat();
    let same = |text: &str| text.replace("><", " ").replace(['<', '>', '\n'], "");
    assert_eq!(same(&resource.log()), same(&expected));
    assert_eq!(resource.log(), fs::read_to_string(&asked).unwrap());
    assert!(!trap.exists());
    resource.must("monitor", NOT_RUNNING);
    resource.must("stop", SUCCESS);
}

#[test]
fn defect_9_quoted_words_reach_the_server() {
    let resource = Resource::new();
    let log = resource.path("the server's \"log\"");
    let words = format!("--log-file \"{}\"", log.display().to_string().replace('"', "\"'\"'\""));
    let resource = resource.with("additional_parameters", &words).with("node_id", "a 'b' \"c\"");
    resource.must("start", SUCCESS);
    assert!(log.exists(), "{}", resource.log());
    let command = fs::read(format!("/proc/{}/cmdline", resource.pid().as_raw_nonzero())).unwrap();
    assert!(String::from_utf8(command).unwrap().contains("\0--node-id\0a 'b' \"c\"\0"));
}

/// Levels, groups and children: [`crate::life`]; meta-data: [`crate::metadata`].
#[test]
fn defect_10_parameters_that_the_agent_alone_reads_change_without_a_restart() {
    let mut resource = Resource::new();
    resource.must("start", SUCCESS);
    let pid = resource.pid();
    resource.set("health", "http://127.0.0.1:1/");
    resource.must("reload-agent", SUCCESS);
    resource.must("monitor", GENERIC);
    resource.set("health", "/nowhere");
    let monitor = resource.must("monitor", GENERIC);
    assert!(monitor.said.contains("404"), "{monitor:?}");
    resource.set("health", "");
    resource.must("monitor", SUCCESS);
    assert_eq!(resource.pid(), pid);
    resource.set("binary", "/nowhere");
    resource.must("reload-agent", SUCCESS);
    resource.must("start", INSTALLED);
}
