//! The scenarios of congress-tempest-plugin that need no other service than Keystone.
//!
//! Not run: `test_z3_builtins`, which wants whole numbers of 32 bits without a sign from a policy of the
//! kind z3 (ours are those of all other kinds: `bnot(456)` is -457); those of the datasource `config`,
//! which wants an agent on each host that is watched; and what wants Nova, Neutron or another service.

use std::fs;
use std::path::Path;
use std::process::Command;

use congress_test_services::{Keystone, python_environment};
use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};

use crate::{SOON, is_complete};

/// The plugin, and a Tempest of its time: later ones have lost what it imports.
const REQUIREMENTS: [&str; 2] = ["congress-tempest-plugin==1.0.0", "tempest==24.0.0"];

/// Where the scenarios are.
const BELOW: &str = "congress_tempest_plugin.tests.scenario";

/// Scenarios that pass.
const SCENARIOS: [&str; 12] = [
    "test_congress_z3.TestZ3.test_z3_recursivity",
    "test_congress_z3.TestZ3.test_z3_inter_policies",
    "test_congress_z3.TestZ3.test_z3_compare_builtins",
    "test_congress_basic_ops.TestPolicyLibraryBasicOps.test_policy_library_basic_op",
    "test_congress_basic_ops.TestPolicyLibraryBasicOps.test_create_library_policies",
    "test_congress_basic_ops.TestCongressDataSources.test_all_loaded_datasources_are_initialized",
    "test_congress_basic_ops.TestCongressDataSources.test_all_datasources_have_tables",
    "congress_datasources.test_keystonev3.TestKeystoneV3Driver.test_keystone_users_table",
    "congress_datasources.test_keystonev3.TestKeystoneV3Driver.test_keystone_roles_table",
    "congress_datasources.test_keystonev3.TestKeystoneV3Driver.test_keystone_domains_table",
    "congress_datasources.test_keystonev3.TestKeystoneV3Driver.test_keystone_projects_table",
    "congress_datasources.test_keystonev3.TestKeystoneV3Driver.test_update_no_error",
];

#[tokio::test(flavor = "multi_thread")]
async fn scenarios() {
    let environment = python_environment(&REQUIREMENTS).unwrap();
    let keystone = Keystone::start().await.unwrap();
    keystone.add_user("demo", "of the demo", "demo", "member").await.unwrap();
    let options = ServerOptions { drivers: Some(drivers_folder()), ..ServerOptions::default() };
    let server =
        Server::start(options.with("plugins", "allowed_hosts", "127.0.0.1")).await.unwrap();
    keystone.add_endpoint("policy", "congress", server.url()).await.unwrap();
    let driver = |body: &Value| body["id"] == "keystonev3";
    server.eventually("/v1/system/drivers/keystonev3", SOON, driver).await.unwrap();
    let config = json!({
        "auth_url": keystone.url(), "username": "admin", "password": Keystone::ADMIN_PASSWORD,
        "project_name": "admin", "user_domain_name": "Default", "project_domain_name": "Default",
        "poll_time": 2,
    });
    let source = json!({"name": "keystonev3", "driver": "keystonev3", "config": config});
    assert_eq!(server.post("/v1/data-sources", &source).await.unwrap().status, 201);
    let mut scenarios = SCENARIOS.to_vec();
    if is_complete(&server).await {
        // The scenarios of the library want one that has something.
        let policy = json!({"name": "hygiene", "description": "", "rules": [{"rule": "p(1)"}]});
        assert_eq!(server.post("/v1/librarypolicies", &policy).await.unwrap().status, 201);
    } else {
        scenarios.retain(|name| !name.contains("Library"));
    }

    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), &keystone.url());
    let mut command = Command::new(environment.join("bin/python"));
    command
        .args(["-W", "ignore", "-m", "testtools.run"])
        .args(scenarios.iter().map(|name| format!("{BELOW}.{name}")))
        .current_dir(folder.path())
        .env("TEMPEST_CONFIG_DIR", folder.path())
        .env("TEMPEST_CONFIG", "tempest.conf");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let ran = format!("Ran {} tests", scenarios.len());
    assert!(text.contains(&ran) && !text.contains("skipped"), "{text}");
    println!("{} scenarios of congress-tempest-plugin", scenarios.len());
}

/// Tempest's configuration. No network is made for its users, who are there already.
fn configure(folder: &Path, keystone: &str) {
    let user = |name: &str, password: &str, more: &str| {
        format!(
            "- {{username: {name}, password: {password}, project_name: {name}, \
             user_domain_name: Default, project_domain_name: Default, domain_name: Default{more}}}\n"
        )
    };
    let admin = user("admin", Keystone::ADMIN_PASSWORD, ", types: [admin], roles: [admin]");
    let accounts = folder.join("accounts.yaml");
    fs::write(&accounts, admin + &user("demo", "of the demo", "")).unwrap();
    let config = format!(
        "[DEFAULT]\nlog_file = tempest.log\n\
         [auth]\nuse_dynamic_credentials = false\ntest_accounts_file = {accounts}\n\
         admin_username = admin\nadmin_password = {password}\nadmin_project_name = admin\n\
         admin_domain_name = Default\n\
         [identity]\nauth_version = v3\nuri_v3 = {keystone}\nregion = RegionOne\n\
         v3_endpoint_type = public\n\
         [oslo_concurrency]\nlock_path = {folder}/lock\n\
         [service_available]\nneutron = true\nnova = false\nglance = false\ncinder = false\n\
         swift = false\n\
         [network]\npublic_network_id = none\n\
         [congressz3]\nenabled = true\n",
        accounts = accounts.display(),
        password = Keystone::ADMIN_PASSWORD,
        folder = folder.display(),
    );
    fs::write(folder.join("tempest.conf"), config).unwrap();
}
