//! What the agent says of itself, and what ocf-tester says of it.

use std::process::{Command, Stdio};

use crate::agent::{Resource, SUCCESS, UNIMPLEMENTED, agent, said};

/// The parameters of the original, with their defaults: configurations of clusters hold them.
const ORIGINAL: [(&str, &str); 5] = [
    ("binary", "/usr/local/bin/congress-server"),
    ("config", "/etc/congress/congress.conf"),
    ("node_id", "datasource-node"),
    ("pid", "$HA_RSCTMP/$OCF_RESOURCE_INSTANCE.pid"),
    ("additional_parameters", ""),
];

/// And those that are new.
const NEW: [&str; 7] =
    ["user", "group", "log_file", "health", "keys_check", "umask", "stop_signal_timeout"];

/// The actions: name, time limit, interval, depth.
const ACTIONS: [(&str, &str, Option<&str>, Option<&str>); 8] = [
    ("start", "60s", None, None),
    ("stop", "60s", None, None),
    ("monitor", "20s", Some("10s"), None),
    ("monitor", "30s", Some("60s"), Some("10")),
    ("status", "20s", None, None),
    ("reload-agent", "20s", None, None),
    ("validate-all", "10s", None, None),
    ("meta-data", "5s", None, None),
];

#[test]
fn meta_data_are_valid_and_hold_the_original_s_parameters() {
    let output = Command::new(agent()).arg("meta-data").env_clear().output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let check = "cd /usr/share/resource-agents && xmllint --noout --valid -";
    let mut xmllint = Command::new("sh")
        .args(["-c", check])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut xmllint.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let verdict = xmllint.wait_with_output().unwrap();
    assert!(verdict.status.success(), "{}", said(&verdict));

    assert!(text.contains("<version>1.1</version>"), "{text}");
    let default_of = |name: &str| {
        let (_, rest) = text.split_once(&format!("<parameter name=\"{name}\"")).unwrap();
        let (_, rest) = rest.split_once("default=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    for (name, default) in ORIGINAL {
        assert_eq!(default_of(name), default, "{name}");
    }
    for name in NEW {
        default_of(name);
    }
    assert_eq!(text.matches("<parameter name=").count(), ORIGINAL.len() + NEW.len());
    assert!(text.contains("<parameter name=\"node_id\" unique=\"1\" unique-group=\"node_id\">"));
    for (name, timeout, interval, depth) in ACTIONS {
        let interval = interval.map(|it| format!(" interval=\"{it}\"")).unwrap_or_default();
        let depth = depth.map(|it| format!(" depth=\"{it}\"")).unwrap_or_default();
        let action = format!("<action name=\"{name}\" timeout=\"{timeout}\"{interval}{depth}/>");
        assert!(text.contains(&action), "{action}");
    }
}

#[test]
fn what_it_cannot_do_it_says() {
    let resource = Resource::new();
    for action in ["usage", "help", "meta-data"] {
        resource.must(action, SUCCESS);
    }
    for action in ["promote", "demote", "notify", "migrate_to", "reload", "", "nonsense"] {
        resource.must(action, UNIMPLEMENTED);
    }
}

#[test]
fn ocf_tester_is_content() {
    let resource = Resource::new();
    let mut tester = Command::new("ocf-tester");
    tester.args(["-n", "ds-node"]);
    // It takes values without quotes only.
    for (name, value) in &resource.environment {
        if let Some(name) = name.strip_prefix("OCF_RESKEY_").filter(|name| !name.starts_with("CRM"))
        {
            tester.arg("-o").arg(format!("{name}={value}"));
        }
    }
    let output = tester
        .arg(agent())
        .env("HA_RSCTMP", resource.path("run"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = said(&output);
    assert!(output.status.success() && said.contains("passed all tests"), "{said}");
    // The optional ones only; what it does not support it says nowhere else.
    println!("{said}");
}
