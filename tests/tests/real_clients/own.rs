//! Every command of our own client.

use std::fs;

use serde_json::{Value, json};

use crate::{Congress, SOON, is_complete, own, results, server};

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_rules() {
    let server = server().await;
    let congress = Congress { url: server.url() };
    assert_eq!(congress.json(&["version", "list"])["versions"][0]["id"], "v1");
    let options = ["--description", "mine", "--abbreviation", "mi", "--kind", "nonrecursive"];
    congress.text(&[&["policy", "create", "p"][..], &options].concat());
    let shown = congress.json(&["policy", "show", "p"]);
    assert_eq!((&shown["description"], &shown["abbreviation"]), (&json!("mine"), &json!("mi")));
    let names = congress.text(&["policy", "list", "-f", "value", "-c", "name"]);
    assert_eq!(names.lines().filter(|name| *name == "p").count(), 1, "{names}");

    let rule = congress.json(&[
        "policy",
        "rule",
        "create",
        "p",
        "q(1, \"one\")",
        "--name",
        "first",
        "--comment",
        "c",
    ]);
    congress.text(&["policy", "rule", "create", "p", "q(22, \"x\")"]);
    let table = congress.text(&["policy", "row", "list", "p", "q"]);
    assert_eq!(table, "0   1\n--  ---\n1   one\n22  x\n(2 rows)\n");
    let id = rule["id"].as_str().unwrap();
    for name in ["first", id] {
        let shown = congress.json(&["policy", "rule", "show", "p", name]);
        assert_eq!((&shown["id"], &shown["comment"]), (&rule["id"], &json!("c")));
    }
    assert_eq!(results(&congress.json(&["policy", "rule", "list", "p"])).len(), 2);
    assert_eq!(congress.json(&["policy", "table", "list", "p"])["results"], json!([{"id": "q"}]));
    assert_eq!(congress.json(&["policy", "table", "show", "p", "q"])["id"], "q");

    let error = congress.fails(&["policy", "rule", "create", "p", "r(x) :- s(x"]);
    assert!(error.contains("r(x) :- s(x\n") && error.contains('^'), "the place is shown: {error}");
    let error = congress.fails(&["policy", "rule", "show", "p", "none"]);
    assert!(error.contains("no rule with the id or name 'none'"), "{error}");
    congress.text(&["policy", "rule", "delete", "p", "first"]);
    assert_eq!(results(&congress.json(&["policy", "rule", "list", "p"])).len(), 1);
    congress.text(&["policy", "delete", "p"]);
    assert!(congress.fails(&["policy", "show", "p"]).contains("No policy found"));
    // Usage
    for wrong in [&["policy", "shew"][..], &["datasource", "status"]] {
        assert_eq!(congress.ran(wrong).code, Some(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_and_columns() {
    let server = server().await;
    let congress = Congress { url: server.url() };
    congress.text(&["policy", "create", "p"]);
    for rule in ["q(1, \"a,b\")", "q(2, \"c\u{202e}d\u{1b}[31m\")"] {
        congress.text(&["policy", "rule", "create", "p", rule]);
    }
    let rows =
        |more: &[&str]| congress.text(&[&["policy", "row", "list", "p", "q"][..], more].concat());
    let table = rows(&[]);
    assert!(table.contains("2  c\\u{202e}d\\u{1b}[31m\n"), "{table}");
    assert_eq!(rows(&["-f", "csv"]), "0,1\n1,\"a,b\"\n2,c\u{202e}d\u{1b}[31m\n");
    assert_eq!(rows(&["-f", "value", "-c", "1", "-c", "0"]).lines().next(), Some("a,b 1"));
    let json = rows(&["-f", "json", "-c", "1"]);
    assert!(json.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic()), "{json}");
    let value: Value = serde_json::from_str(&json).unwrap();
    let cells: Vec<_> =
        results(&value).iter().map(|row| row["data"][0].as_str().unwrap()).collect();
    assert!(cells.contains(&"c\u{202e}d\u{1b}[31m"), "{cells:?}");
    let yaml = rows(&["-f", "yaml"]);
    assert!(yaml.starts_with("results:\n") && !yaml.contains('\u{1b}'), "{yaml}");
    let error = congress.fails(&["policy", "list", "-c", "age"]);
    assert!(error.contains("no column 'age'; there are: id, name, kind, description"), "{error}");
    let shown = congress.text(&["policy", "show", "p", "-f", "value", "-c", "name", "-c", "kind"]);
    assert_eq!(shown, "p\nnonrecursive\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn datasources_and_drivers() {
    let server = server().await;
    let congress = Congress { url: server.url() };
    let drivers = congress.text(&["driver", "list", "-f", "value", "-c", "id"]);
    assert!(drivers.lines().any(|id| id == "hostile"), "{drivers}");
    assert!(congress.json(&["driver", "show", "hostile"])["tables"].is_array());
    let config = congress.json(&["driver", "config", "show", "hostile"]);
    assert!(config["tables"].is_null() && config["config"].is_object(), "{config}");
    let schema = congress.text(&["driver", "schema", "show", "hostile"]);
    assert!(schema.contains("numbers          n       The number.\n"), "{schema}");

    let options = ["--description", "d", "--config", "mode=ok", "--config", "poll_time=0"];
    congress.text(&[&["datasource", "create", "hostile", "pushy"][..], &options].concat());
    assert_eq!(results(&congress.json(&["datasource", "list"]))[0]["name"], "pushy");
    assert_eq!(congress.json(&["datasource", "show", "pushy"])["config"]["mode"], "ok");
    // With the original's last word and without.
    for status in
        [&["datasource", "status", "show", "pushy"][..], &["datasource", "status", "pushy"]]
    {
        assert!(congress.json(status)["initialized"].is_string());
    }
    let actions = congress.text(&["datasource", "actions", "show", "pushy"]);
    assert!(actions.contains("note    text       Logs its arguments.\n"), "{actions}");
    let schema = congress.text(&["datasource", "schema", "show", "pushy", "-f", "csv"]);
    assert!(schema.contains("numbers,n,The number.\n"), "{schema}");
    let tables = congress.text(&["datasource", "table", "list", "pushy", "-f", "value"]);
    assert!(tables.lines().any(|table| table == "report"), "{tables}");
    assert_eq!(congress.json(&["datasource", "table", "show", "pushy", "report"])["id"], "report");
    let schema = congress.json(&["datasource", "table", "schema", "show", "pushy", "report"]);
    assert_eq!(schema["columns"][1]["name"], "value");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.json");
    fs::write(&file, "[[1, \"one\"]]").unwrap();
    let rows = format!("@{}", file.display());
    congress.text(&["datasource", "row", "update", "pushy", "numbers", &rows]);
    let pushed = |body: &Value| body["results"].to_string().contains("one");
    server.eventually("/v1/data-sources/pushy/tables/report/rows", SOON, pushed).await.unwrap();
    let rows = congress.text(&["datasource", "row", "list", "pushy", "report"]);
    assert!(rows.starts_with("key    value\n"), "{rows}");
    congress.text(&["datasource", "request-refresh", "pushy"]);
    congress.text(&["datasource", "execute", "pushy", "note", "hello", "--named", "text=x"]);
    congress.text(&["policy", "execute", "classification", "pushy:note", "bye"]);
    server.logs(SOON, |log| log.contains("hello")).await.unwrap();
    server.logs(SOON, |log| log.contains("bye")).await.unwrap();
    assert!(results(&congress.json(&["action", "list"])).is_empty());
    assert!(congress.fails(&["action", "show", "none"]).contains("Action not found none"));
    congress.text(&["datasource", "delete", "pushy"]);
    assert!(results(&congress.json(&["datasource", "list"])).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_table_that_declares_no_columns() {
    let server = server().await;
    let ready = |body: &Value| body["state"] == "ready";
    server.eventually("/v1/system/drivers/push?detail=true", SOON, ready).await.unwrap();
    let congress = Congress { url: server.url() };
    congress.text(&["datasource", "create", "push", "pushed", "--config", "description=d"]);
    congress.text(&["datasource", "row", "update", "pushed", "data", "[[1, \"one\"], [2]]"]);
    let rows = |more: &[&str]| {
        congress.text(&[&["datasource", "row", "list", "pushed", "data"][..], more].concat())
    };
    let two = |body: &Value| results(body).len() == 2;
    server.eventually("/v1/data-sources/pushed/tables/data/rows", SOON, two).await.unwrap();
    assert_eq!(rows(&[]), "0  1\n-  ---\n1  one\n2\n(2 rows)\n");
    assert_eq!(rows(&["-f", "csv"]), "0,1\n1,one\n2,\n");
    assert_eq!(rows(&["-f", "value", "-c", "0"]), "1\n2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library() {
    let server = server().await;
    if !is_complete(&server).await {
        return;
    }
    let congress = Congress { url: server.url() };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    let path = file.display().to_string();
    fs::write(&file, "name: lib\ndescription: a\nrules:\n- rule: p(1)\n  comment: one\n").unwrap();
    congress.text(&["library", "create", &path]);
    let list = congress.json(&["library", "list"]);
    assert!(results(&list).iter().any(|policy| policy["name"] == "lib"), "{list}");
    assert_eq!(congress.json(&["library", "show", "lib"])["rules"][0]["comment"], "one");
    fs::write(&file, "name: lib\ndescription: b\nrules: [{rule: p(2)}]\n").unwrap();
    congress.text(&["library", "update", "lib", &path]);
    assert_eq!(congress.json(&["library", "show", "lib"])["description"], "b");
    congress.text(&["library", "activate", "lib"]);
    let rows = congress.text(&["policy", "row", "list", "lib", "p", "-f", "value"]);
    assert_eq!(rows, "2\n");
    congress.text(&["library", "delete", "lib"]);
    assert!(congress.fails(&["library", "show", "lib"]).contains("no policy with the name or id"));

    fs::write(&file, "name: made\nrules: [{rule: p(1)}, {rule: p(2), name: two}]\n").unwrap();
    congress.text(&["policy", "create-from-file", &path]);
    assert_eq!(results(&congress.json(&["policy", "rule", "list", "made"])).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_questions_and_pages() {
    let server = server().await;
    if !is_complete(&server).await {
        return;
    }
    let congress = Congress { url: server.url() };
    congress.text(&["policy", "create", "p"]);
    for rule in ["q(1)", "q(2)", "r(x) :- q(x), builtin:gt(x, 1)"] {
        congress.text(&["policy", "rule", "create", "p", rule]);
    }
    let simulated = congress
        .text(&["policy", "simulate", "p", "r(x)", "q+(3)", "action", "--delta", "-f", "value"]);
    assert_eq!(simulated, "r+(3)\n");
    let traced = congress.text(&["policy", "row", "list", "p", "r", "--trace"]);
    assert!(traced.contains("(1 row)\n\n") && traced.contains("Call: r("), "{traced}");
    let why = congress.text(&["policy", "explain", "p", "r", "2"]);
    assert!(why.contains("r(2)") && why.contains("q(2)"), "{why}");
    assert_eq!(congress.json(&["policy", "explain", "p", "r", "1"])["holds"], false);
    assert_eq!(congress.json(&["policy", "explain", "p", "r", "_"])["holds"], true);
    assert_eq!(congress.json(&["policy", "explain", "p", "r", "--json", "[null]"])["holds"], true);

    congress.text(&["policy", "update", "p", "--description", "changed"]);
    assert_eq!(congress.json(&["policy", "show", "p"])["description"], "changed");
    let rules = congress.json(&["policy", "rule", "list", "p"]);
    let rule = results(&rules).iter().find(|rule| rule["rule"] == "q(1)").unwrap();
    let id = rule["id"].as_str().unwrap();
    congress.text(&["policy", "rule", "update", "p", id, "--to", "q(7)", "--name", "seven"]);
    assert_eq!(congress.json(&["policy", "rule", "show", "p", "seven"])["rule"], "q(7)");
    let sorted = congress.text(&[
        "policy", "row", "list", "p", "q", "--sort", "0:desc", "--limit", "1", "-f", "value",
    ]);
    assert_eq!(sorted, "7\n");
    let filtered =
        congress.text(&["policy", "row", "list", "p", "q", "--filter", "0=2", "-f", "value"]);
    assert_eq!(filtered, "2\n");

    // More rows than the client asks for at once.
    let facts: Vec<Value> = (0..10_000).map(|n| json!({"rule": format!("many({n})")})).collect();
    let body = json!({ "rules": facts });
    assert_eq!(server.post("/v1/policies/p/rules", &body).await.unwrap().status, 201);
    congress.text(&["policy", "rule", "create", "p", "many(10000)"]);
    let many = congress.text(&["policy", "row", "list", "p", "many", "-f", "value"]);
    assert_eq!(many.lines().count(), 10_001);

    let config = ["--config", "mode=ok", "--config", "password=hush", "--config", "poll_time=0"];
    congress.text(&[&["datasource", "create", "hostile", "d"][..], &config].concat());
    let update = ["datasource", "update", "d", "--config", "mode=config", "--description", "new"];
    congress.text(&[&update[..], &["--unset", "poll_time"]].concat());
    let shown = congress.json(&["datasource", "show", "d"]);
    assert_eq!(shown["description"], "new");
    assert_eq!(shown["config"], json!({"mode": "config", "password": "<hidden>"}));
    congress.text(&["datasource", "update", "d", "--disable"]);
    assert_eq!(congress.json(&["datasource", "show", "d"])["enabled"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_are_shown_beside_the_answer() {
    let server = server().await;
    let congress = Congress { url: server.url() };
    congress.text(&["policy", "create", "p"]);
    let ran =
        congress.ran(&["policy", "rule", "create", "p", "p(x) :- q(x), lt(x, 1)", "-f", "json"]);
    let rule: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(rule["rule"], "p(x) :-\n  q(x),\n  lt(x, 1)");
    let warning = "warning: 'lt' without the prefix 'builtin:' is deprecated; write builtin:lt\n";
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), warning));
    let ran = congress.ran(&["policy", "rule", "create", "p", "p(x) :- q(x)"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[test]
fn completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = own().args(["completion", shell]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("datasource"), "{shell}");
    }
    let help = String::from_utf8(own().arg("--help").output().unwrap().stdout).unwrap();
    assert!(
        help.starts_with("Asks a Congress server; writes, checks and runs drivers\n"),
        "{help}"
    );
    let folder = tempfile::tempdir().unwrap();
    assert!(own().arg("man").arg(folder.path()).status().unwrap().success());
    let page = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(page("congress.1").contains("Exit status"));
    assert!(page("congress-policy-apply.1").contains("prune"));
    assert!(page("congress-datasource-table-schema-show.1").contains("\\-\\-format"));
    assert!(!folder.path().join("congress-man.1").exists());
}
