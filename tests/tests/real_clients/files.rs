//! Policies as files: `congress policy apply` and `export`.

use std::fs;

use serde_json::{Value, json};

use crate::{Congress, is_complete, results, server};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_applied_and_exported() {
    let server = server().await;
    if !is_complete(&server).await {
        return;
    }
    let congress = Congress { url: server.url() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "net.yaml",
        "name: net\ndescription: of networks\nrules:\n- rule: p(1)\n- rule: p(2)\n  name: two\n  \
         comment: the second\n- rule: |\n    e(x) :-\n      p(x)\n",
    );
    // Needs the table of a policy whose name comes later.
    write("a.yaml", "name: a\nrules: [{rule: 'wrong(x) :- net:e(x)'}]\n---\nname: empty\n");

    let dry = congress.ran(&["policy", "apply", &path, "--dry-run"]);
    assert_eq!(dry.code, Some(3), "{dry:?}");
    assert!(dry.out.contains("policy net: create\n  + p(1)\n  + [two] p(2)\n  + # the second\n"));
    assert!(congress.fails(&["policy", "show", "net"]).contains("No policy found"));
    let applied = congress.ran(&["policy", "apply", &path]);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let warning = "warning: rule 0: there is no policy or datasource 'net' so far";
    assert!(applied.err.starts_with(warning), "{applied:?}");
    assert!(applied.err.ends_with("\n3 of 3 policies changed\n"), "{applied:?}");
    let again = congress.ran(&["policy", "apply", &path, "--dry-run"]);
    assert_eq!((again.code, again.out.as_str()), (Some(0), "nothing to do\n"), "{again:?}");
    assert_eq!(congress.text(&["policy", "row", "list", "a", "wrong", "-f", "value"]), "1\n2\n");

    // What is exported is what was applied.
    let copy = folder.path().join("copy");
    congress.text(&["policy", "export", &copy.display().to_string()]);
    for name in ["net", "a", "empty"] {
        assert!(copy.join(format!("{name}.yaml")).is_file(), "{name}");
    }
    let same = congress.ran(&["policy", "apply", &copy.display().to_string(), "--prune"]);
    assert_eq!((same.code, same.out.as_str()), (Some(0), "nothing to do\n"), "{same:?}");
    // It would be in the way of `apply`.
    let error = congress.fails(&["policy", "export", &path, "a", "empty"]);
    assert!(error.contains("a.yaml has the policy empty already"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_keep_what_is_the_same() {
    let server = server().await;
    if !is_complete(&server).await {
        return;
    }
    let congress = Congress { url: server.url() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let write = |text: &str| fs::write(folder.path().join("p.yaml"), text).unwrap();
    congress.text(&["policy", "create", "other"]);
    write("name: p\nrules:\n- rule: q(1)\n- {rule: q(2), name: two}\n- rule: old(1)\n");
    congress.text(&["policy", "apply", &path]);
    let ids = || {
        let rules = congress.json(&["policy", "rule", "list", "p"]);
        let id = |rule: &Value| (rule["rule"].clone(), rule["id"].clone());
        results(&rules).iter().map(id).collect::<Vec<_>>()
    };
    let before = ids();
    let id = |rules: &[(Value, Value)], text: &str| {
        rules.iter().find(|(rule, _)| rule == text).unwrap_or_else(|| panic!("{rules:?}")).1.clone()
    };

    // q(1) stays, the rule named two changes, `old` has another width.
    write(
        "name: p\ndescription: new\nrules:\n- rule: q( 1 )\n- {rule: q(22), name: two}\n- rule: old(1, 2)\n",
    );
    let shown = congress.json(&["policy", "apply", &path]);
    assert_eq!(shown["kept"], json!(["other"]));
    let change = &shown["changes"][0];
    assert_eq!(change["fields"]["description"]["to"], "new");
    assert_eq!(change["removed"].as_array().unwrap().len(), 2, "{change}");
    let after = ids();
    assert_eq!(id(&after, "q(1)"), id(&before, "q(1)"));
    assert_eq!(id(&after, "q(22)"), id(&before, "q(2)"));
    assert_eq!(congress.text(&["policy", "row", "list", "p", "old", "-f", "value"]), "1 2\n");

    // A refusal leaves the policy as it was.
    write(
        "name: p\nrules:\n- rule: q(1)\n- {rule: q(22), name: two}\n- rule: old(1, 2)\n- rule: z(x) :- \
         not q(x)\n",
    );
    let refused = congress.ran(&["policy", "apply", &path]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("z(x) :- not q(x)"), "{refused:?}");
    assert!(refused.err.contains("0 of 1 policies changed"), "{refused:?}");
    assert_eq!(ids(), after);
    // What no server would take is told before anything is asked.
    write("name: p\nrules:\n- rule: q(1\n");
    let refused = congress.fails(&["policy", "apply", &path]);
    assert!(
        refused.contains("nothing has been changed") && refused.contains("rule 1"),
        "{refused}"
    );

    write("name: p\nrules: [{rule: q(1)}]\n");
    congress.text(&["policy", "apply", &path, "--prune"]);
    assert!(congress.fails(&["policy", "show", "other"]).contains("No policy found"));
    let names = congress.text(&["policy", "list", "-f", "value", "-c", "name"]);
    assert!(names.contains("action\n") && names.contains("classification\n"), "{names}");
}
