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

    // What is exported is what was applied; a name may be longer than a file's.
    let long = "n".repeat(255);
    congress.text(&["policy", "create", &long]);
    write("long.yaml", &format!("name: {long}\n"));
    let copy = folder.path().join("copy");
    congress.text(&["policy", "export", &copy.display().to_string()]);
    for name in ["net", "a", "empty"] {
        assert!(copy.join(format!("{name}.yaml")).is_file(), "{name}");
    }
    let same = congress.ran(&["policy", "apply", &copy.display().to_string(), "--prune"]);
    assert_eq!((same.code, same.out.as_str()), (Some(0), "nothing to do\n"), "{same:?}");
    // An empty description is one.
    congress.text(&["policy", "update", "a", "--description", "old"]);
    congress.text(&["policy", "apply", &copy.display().to_string()]);
    assert_eq!(congress.json(&["policy", "show", "a"])["description"], "");
    // It would be in the way of `apply`.
    let error = congress.fails(&["policy", "export", &path, "a", "empty"]);
    assert!(error.contains("a.yaml has the policy empty already"), "{error}");
}

/// The rules of a policy, as posted, and their ids.
fn rules(congress: &Congress<'_>, policy: &str) -> Vec<(String, Value)> {
    let rules = congress.json(&["policy", "rule", "list", policy]);
    let rule = |rule: &Value| (rule["rule"].as_str().unwrap().to_owned(), rule["id"].clone());
    let mut rules: Vec<_> = results(&rules).iter().map(rule).collect();
    rules.sort_by(|one, other| one.0.cmp(&other.0));
    rules
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
    let ids = || rules(&congress, "p");
    let before = ids();
    let id = |rules: &[(String, Value)], text: &str| {
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

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_belong_together_change_together() {
    let server = server().await;
    if !is_complete(&server).await {
        return;
    }
    let congress = Congress { url: server.url() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let write = |rules: &[(&str, &str)]| {
        let rules =
            rules.iter().map(|(name, rule)| format!("- {{name: {name}, rule: '{rule}'}}\n"));
        let text = format!("name: p\nrules:\n{}", rules.collect::<String>());
        fs::write(folder.path().join("p.yaml"), text).unwrap();
    };
    let applied = |rules: &[(&str, &str)]| {
        write(rules);
        congress.text(&["policy", "apply", &path]);
    };
    let ids = || rules(&congress, "p");
    let texts = || ids().into_iter().map(|(rule, _)| rule).collect::<Vec<_>>();

    // Another width: neither of them can change alone.
    applied(&[("a", "t(1)"), ("b", "u(x) :- t(x)"), ("c", "other(1)")]);
    applied(&[("a", "t(1, 2)"), ("b", "u(x) :- t(x, y)"), ("c", "other(2)")]);
    assert_eq!(texts(), ["other(2)", "t(1, 2)", "u(x) :- t(x, y)"]);
    assert_eq!(congress.text(&["policy", "row", "list", "p", "u", "-f", "value"]), "1\n");
    // Each in the other's direction: together they would be a recursion.
    applied(&[("a", "t(1, 2)"), ("b", "u(x) :- t(x, y)"), ("c", "v(x) :- u(x)")]);
    applied(&[("a", "t(1, 2)"), ("b", "u(x) :- v(x)"), ("c", "v(x) :- t(x, y)")]);
    assert_eq!(texts(), ["t(1, 2)", "u(x) :- v(x)", "v(x) :- t(x, y)"]);
    assert_eq!(congress.text(&["policy", "row", "list", "p", "u", "-f", "value"]), "1\n");

    // Narrower again. What reads it may stand with fewer columns already, and makes it no narrower.
    applied(&[("a", "t(1)"), ("b", "u(x) :- v(x)"), ("c", "v(x) :- t(x)")]);
    assert_eq!(texts(), ["t(1)", "u(x) :- v(x)", "v(x) :- t(x)"]);
    applied(&[("c", "v(x) :- t(x, y)"), ("b", "u(x) :- v(x)"), ("a", "t(1, 2)")]);
    applied(&[("c", "v(x) :- t(x)"), ("b", "u(x) :- v(x)"), ("a", "t(1)")]);
    assert_eq!(texts(), ["t(1)", "u(x) :- v(x)", "v(x) :- t(x)"]);
    applied(&[("a", "t(1, 2)"), ("b", "u(x) :- v(x)"), ("c", "v(x) :- t(x, y)")]);

    // What is wrong in any case is known before anything goes.
    let before = ids();
    let refused = |rules: &[(&str, &str)], reasons: [&str; 2]| {
        write(rules);
        let refused = congress.ran(&["policy", "apply", &path]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        for reason in reasons {
            assert!(refused.err.contains(reason), "{reason}: {refused:?}");
        }
        assert!(refused.err.ends_with("0 of 1 policies changed\n"), "{refused:?}");
        assert_eq!(ids(), before, "{reasons:?}");
    };
    let unsafe_too = [("a", "t(1, 2, 3)"), ("b", "u(x) :- v(x)"), ("c", "v(x) :- t(y, z, x1)")];
    refused(&unsafe_too, ["Variable x found in head but not in body", "rule v(x) :- t(y, z, x1)"]);
    let stays = [("a", "t(1)"), ("b", "u(x) :- v(x)"), ("c", "v(x) :- t(x, y)")];
    let width = "Literal t(1) contained 1 arguments but exactly 2";
    refused(&stays, [width, "The policy p has, and keeps: v(x) :- t(x, y)"]);
    congress.text(&["policy", "create", "q"]);
    congress.text(&["policy", "rule", "create", "q", "w(x) :- p:t(x, y)"]);
    let elsewhere = [("a", "t(1, 2, 3)"), ("b", "u(x) :- v(x)"), ("c", "v(x) :- t(x, y, z)")];
    let width = "Literal t(1, 2, 3) contained 3 arguments but exactly 2";
    refused(&elsewhere, [width, "The policy q has, and keeps: w(x) :- p:t(x, y)"]);

    // What was done stays done, and the rest can be done later.
    write(&[("a", "t(1, 22)"), ("b", "u(x) :- v(x)"), ("c", "v(x) :- t(y, z)")]);
    let half = congress.ran(&["policy", "apply", &path]);
    assert_eq!(half.code, Some(1), "{half:?}");
    assert!(half.err.contains("\n  v(x) :- t(y, z)"), "{half:?}");
    assert!(half.err.ends_with("0 of 1 policies changed; in part: p\n"), "{half:?}");
    assert_eq!(texts(), ["t(1, 22)", "u(x) :- v(x)", "v(x) :- t(x, y)"]);
    applied(&[("a", "t(1, 22)"), ("b", "u(x) :- v(x)"), ("c", "v(x) :- t(y, x)")]);
    let after: Vec<_> = ids().into_iter().map(|(_, id)| id).collect();
    assert_eq!(after, before.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_succeeded_is_not_done_again() {
    let server = server().await;
    if !is_complete(&server).await {
        return;
    }
    let congress = Congress { url: server.url() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("a.yaml", "name: a\nrules: [{rule: 't(1)'}]\n");
    write("b.yaml", "name: b\nrules: [{rule: 's(1, 2)'}]\n");
    congress.text(&["policy", "apply", &path]);
    // The one is inserted, the other refused; a policy that comes later succeeds.
    write("a.yaml", "name: a\nrules: [{rule: 't(x) :- b:s(x, y, z)', name: n}]\n");
    write("b.yaml", "name: b\nrules: [{rule: 's(1, 2)'}, {rule: 's(2, 3)'}]\n");
    let ran = congress.ran(&["policy", "apply", &path]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("policy a: ") && ran.err.contains("b:s(x, y, z) contained 3"),
        "{ran:?}"
    );
    assert!(ran.err.contains("The policy b has, and keeps: s(1, 2)"), "{ran:?}");
    assert!(ran.err.ends_with("1 of 2 policies changed\n"), "{ran:?}");
    assert_eq!(rules(&congress, "a")[0].0, "t(1)");
    assert_eq!(rules(&congress, "b").len(), 2);

    // What no server takes is told before anything is asked.
    write("a.yaml", "name: a\nabbreviation: toolong\nrules: [{rule: 't(1)'}, {rule: 't(2)'}]\n");
    let told = congress.fails(&["policy", "apply", &path]);
    assert!(told.contains("nothing has been changed"), "{told}");
    assert!(told.contains("the abbreviation has 7 characters"), "{told}");
}
