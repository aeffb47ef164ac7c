//! A server's life under the agent.

use std::fs;
use std::time::Duration;

use congress_test_services::free_port;
use rustix::process::Signal;

use crate::agent::{ARGS, CONFIGURED, GENERIC, NOT_RUNNING, Resource, SUCCESS, is_alive, soon};

/// How long a start may take, as a waiting standby too.
const START: Duration = Duration::from_secs(15);

/// Longer than the agent waits for an answer, shorter than the time limit of a monitor.
const ANSWER: Duration = Duration::from_secs(10);

#[test]
fn started_watched_and_stopped_twice_each() {
    let resource = Resource::new();
    resource.must("validate-all", SUCCESS);
    resource.must("monitor", NOT_RUNNING);
    resource.must("status", NOT_RUNNING);
    resource.must("reload-agent", NOT_RUNNING);
    // Neither database nor broker is there.
    let started = resource.must("start", SUCCESS);
    assert!(started.took < START, "{started:?}");
    let pid = resource.pid();
    resource.must("start", SUCCESS);
    assert_eq!(resource.pid(), pid);
    for action in ["monitor", "status", "reload-agent"] {
        resource.must(action, SUCCESS);
    }
    assert_eq!(resource.probe().code, SUCCESS);
    let deep = resource.run_at("monitor", Some(10));
    assert_eq!(deep.code, SUCCESS, "{deep:?}");
    resource.must("stop", SUCCESS);
    assert!(!is_alive(pid));
    resource.must("monitor", NOT_RUNNING);
    resource.must("stop", SUCCESS);
    resource.must("monitor", NOT_RUNNING);
    println!("start without database and broker: {:?}", started.took);
}

#[test]
fn a_server_that_hangs_is_found_and_can_be_stopped() {
    let resource = Resource::new().limit(10);
    resource.must("start", SUCCESS);
    let pid = resource.pid();
    resource.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", pid.as_raw_pid());
    soon("it stands still", || fs::read_to_string(&stat).unwrap().contains(") T "));
    let monitor = resource.must("monitor", GENERIC);
    assert!(monitor.took < ANSWER && monitor.said.contains("does not answer"), "{monitor:?}");
    let stop = resource.must("stop", SUCCESS);
    assert!(stop.took < Duration::from_secs(10) && !is_alive(pid), "{stop:?}");
    println!("a hang is found in {:?}, and ended in {:?}", monitor.took, stop.took);
}

#[test]
fn a_server_that_does_not_heed_sigterm_is_killed_within_the_limit() {
    // Ignored signals stay so in the server.
    let script = "trap '' TERM; : >\"$OCF_RESKEY_ready\"; while :; do sleep 1; done";
    let resource = Resource::new().program(script).limit(6);
    let answers = Answers::serve(vec![1]);
    let ready = resource.path("ready");
    let mut resource = resource.with("health", &answers.url).with("ready", ready.to_str().unwrap());
    let start = |resource: &Resource| {
        let _ = fs::remove_file(&ready);
        resource.must("start", SUCCESS);
        soon("the trap", || ready.exists());
    };
    start(&resource);
    let pid = resource.pid();
    let stop = resource.must("stop", SUCCESS);
    assert!(!is_alive(pid));
    assert!(stop.took >= Duration::from_secs(2) && stop.took < Duration::from_secs(6), "{stop:?}");

    resource = resource.limit(60).with("stop_signal_timeout", "1");
    start(&resource);
    let stop = resource.must("stop", SUCCESS);
    assert!(stop.took < Duration::from_secs(10), "{stop:?}");
}

#[test]
fn a_killed_server_is_a_failure_and_starts_again() {
    let resource = Resource::new();
    resource.must("start", SUCCESS);
    let pid = resource.pid();
    resource.signal(Signal::KILL);
    soon("the server's end", || !is_alive(pid));
    let monitor = resource.must("monitor", GENERIC);
    assert!(monitor.said.contains("ended without having been stopped"), "{monitor:?}");
    // Asked whether it runs here it says no: nothing has to be stopped.
    assert_eq!(resource.probe().code, NOT_RUNNING);
    resource.must("start", SUCCESS);
    resource.must("monitor", SUCCESS);
}

#[test]
fn what_the_server_has_started_ends_with_it() {
    let script = "sleep 1000 & echo $! >\"$OCF_RESKEY_child\"; exec \"$SERVER\" \"$@\"";
    let resource = Resource::new();
    let file = resource.path("child");
    let resource = resource.program(script).with("child", file.to_str().unwrap());
    let child = || {
        rustix::process::Pid::from_raw(fs::read_to_string(&file).unwrap().trim().parse().unwrap())
            .unwrap()
    };
    resource.must("start", SUCCESS);
    assert!(is_alive(child()));
    resource.must("stop", SUCCESS);
    assert!(!is_alive(child()));

    // Also if the server is gone already.
    resource.must("start", SUCCESS);
    let pid = resource.pid();
    resource.signal(Signal::KILL);
    soon("the server's end", || !is_alive(pid));
    let monitor = resource.must("monitor", GENERIC);
    assert!(monitor.said.contains("not all that it started"), "{monitor:?}");
    assert!(is_alive(child()));
    resource.must("stop", SUCCESS);
    assert!(!is_alive(child()));
    resource.must("monitor", NOT_RUNNING);
}

#[test]
fn a_lost_pid_file_does_not_lose_the_server() {
    let resource = Resource::new();
    resource.must("start", SUCCESS);
    let pid = resource.pid();
    fs::remove_file(resource.pid_file()).unwrap();
    resource.must("monitor", SUCCESS);
    assert_eq!(resource.pid(), pid);
    fs::remove_file(resource.pid_file()).unwrap();
    resource.must("start", SUCCESS);
    assert_eq!(resource.pid(), pid, "a second server was started");
    fs::remove_file(resource.pid_file()).unwrap();
    resource.must("stop", SUCCESS);
    assert!(!is_alive(pid));
}

#[test]
fn a_heartbeat_that_stands_still_is_found_by_the_deep_check() {
    let answers = Answers::serve(vec![1, 2, 3, 3, 3, 3, 3, 3]);
    let resource = Resource::new().with("health", &answers.url);
    resource.must("start", SUCCESS);
    let well = resource.run_at("monitor", Some(10));
    assert_eq!(well.code, SUCCESS, "{well:?}");
    let stuck = resource.run_at("monitor", Some(10));
    assert_eq!(stuck.code, GENERIC, "{stuck:?}");
    assert!(stuck.said.contains("heartbeat stands still at 3"), "{stuck:?}");
    // That it answers is all that the other asks.
    assert_eq!(resource.run_at("monitor", None).code, SUCCESS);
}

/// What else the server reads changes where it is asked.
#[test]
fn a_second_configuration_file_says_where_the_server_answers() {
    let resource = Resource::new();
    let (second, port) = (resource.path("local.conf"), free_port().unwrap());
    fs::write(&second, format!("[DEFAULT]\nadmin_bind_port = {port}\n")).unwrap();
    let words = format!("--config-file '{}'", second.display());
    let mut resource = resource.with("additional_parameters", &words);
    resource.must("validate-all", SUCCESS);
    resource.must("start", SUCCESS);
    let address = format!("http://127.0.0.1:{port}");
    let pid_file = fs::read_to_string(resource.pid_file()).unwrap();
    assert_eq!(pid_file.lines().nth(2), Some(&*address));
    resource.must("monitor", SUCCESS);
    // Also where that is found out anew.
    fs::remove_file(resource.pid_file()).unwrap();
    resource.must("monitor", SUCCESS);
    resource.must("stop", SUCCESS);

    // A server with the API answers there.
    let port = free_port().unwrap();
    let text = format!("[DEFAULT]\nbind_host = 127.0.0.1\nbind_port = {port}\n");
    fs::write(&second, text).unwrap();
    resource.set("additional_parameters", &format!("{words} --api"));
    resource.must("start", SUCCESS);
    resource.must("monitor", SUCCESS);
    resource.must("stop", SUCCESS);

    // And it is checked like the first.
    fs::write(&second, "[DEFAULT]\nadmin_bind_port = many\n").unwrap();
    let outcome = resource.must("validate-all", CONFIGURED);
    assert!(outcome.said.contains("admin_bind_port"), "{outcome:?}");
    fs::remove_file(&second).unwrap();
    let outcome = resource.must("start", CONFIGURED);
    assert!(outcome.said.contains("local.conf"), "{outcome:?}");
}

#[test]
fn parameters_that_make_no_sense_are_named() {
    for (parameter, value) in [
        ("stop_signal_timeout", "soon"),
        ("umask", "0888"),
        ("keys_check", "perhaps"),
        ("health", "localhost:1790"),
        ("additional_parameters", "--node-id 'one"),
        ("additional_parameters", "--node-id two"),
        ("additional_parameters", "--no-such-thing"),
        ("binary", "congress-server"),
        ("config", "congress.conf"),
        ("pid", "ds-node.pid"),
        ("log_file", "log/ds-node.log"),
    ] {
        let resource = Resource::new().with(parameter, value);
        let outcome = resource.must("validate-all", ARGS);
        assert!(outcome.said.contains(parameter), "{outcome:?}");
        resource.must("start", ARGS);
        resource.must("stop", SUCCESS);
        resource.must("monitor", NOT_RUNNING);
    }
}

/// Answers `/healthcheck` with these heartbeats, one a request, the last one for ever.
pub(crate) struct Answers {
    pub(crate) url: String,
}

impl Answers {
    pub(crate) fn serve(beats: Vec<u64>) -> Self {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/healthcheck", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut beats = beats.into_iter();
            let mut beat = 0;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                if !matches!(stream.read(&mut request), Ok(length) if length > 0) {
                    continue;
                }
                beat = beats.next().unwrap_or(beat);
                let body = format!("{{\"status\": \"OK\", \"heartbeat\": {beat}}}");
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { url }
    }
}
