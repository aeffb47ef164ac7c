//! `openstack congress …` with a password, from the login to the answer.

use std::process::Command;

use congress_test_services::python_environment;
use congress_tests::Server;
use serde_json::Value;

use crate::{keystone, options};

/// The same as for the clients' own tests, so that there is one environment.
const REQUIREMENTS: [&str; 2] = ["python-openstackclient==10.5.0", "python-congressclient==2.0.1"];

#[tokio::test(flavor = "multi_thread")]
async fn openstackclient_logs_in() {
    let keystone = keystone().await;
    let server = Server::start(options(keystone)).await.unwrap();
    keystone.add_endpoint("policy", "congress", &format!("{}/", server.url())).await.unwrap();
    keystone.add_user("nobody", "pw", "nobody-project", "member").await.unwrap();
    let program = tokio::task::spawn_blocking(|| python_environment(&REQUIREMENTS));
    let program = program.await.unwrap().unwrap().join("bin/openstack");
    let run = |user: &str, password: &str, project: &str, arguments: &[&str]| {
        let mut command = Command::new(&program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("OS_AUTH_URL", keystone.url())
            .env("OS_USERNAME", user)
            .env("OS_PASSWORD", password)
            .env("OS_PROJECT_NAME", project)
            .env("OS_USER_DOMAIN_ID", "default")
            .env("OS_PROJECT_DOMAIN_ID", "default")
            .env("OS_IDENTITY_API_VERSION", "3")
            .arg("congress")
            .args(arguments);
        tokio::task::spawn_blocking(move || command.output())
    };
    let password = congress_test_services::Keystone::ADMIN_PASSWORD;
    let admin = async |arguments: &[&str]| run("admin", password, "admin", arguments).await;

    let arguments = ["policy", "create", "p", "-f", "json"];
    let output = admin(&arguments).await.unwrap().unwrap();
    let created: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(created["name"], "p");
    let output = admin(&["policy", "list", "-f", "json"]).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"p\""));

    let arguments = ["policy", "list"];
    let output = run("nobody", "pw", "nobody-project", &arguments).await.unwrap().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("Policy doesn't allow get_v1"), "{error}");
}
