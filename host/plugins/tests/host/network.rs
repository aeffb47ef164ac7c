//! Requests: grants, addresses, limits, credentials, Keystone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::*;
use axum::body::Body;
use axum::http::Response;
use congress_plugins::{CallErrorKind, DriverError, HostConfig, Limits, TableOperation};
use congress_table::Value;
use serde_json::{Value as Json, json};

async fn fetch(config: HostConfig, url: &str) -> Result<Value, DriverError> {
    let settings = json!({"mode": "fetch", "target": url});
    match poll(config, settings).await {
        Ok(outcome) => Ok(reported(&outcome, "text")),
        Err(error) => match error.kind {
            CallErrorKind::Driver(error) => Err(error),
            other => panic!("{other:?}"),
        },
    }
}

async fn echo() -> Service {
    Service::start(|seen| answer(200, format!("{} {}", seen.method, seen.path))).await
}

#[tokio::test]
async fn a_granted_host_is_reached() {
    let service = echo().await;
    let url = service.url("/a?b=c");
    assert_eq!(fetch(local_config(), &url).await, Ok(Value::text("GET /a?b=c")));
    let url = url.replace("127.0.0.1", "localhost");
    assert_eq!(fetch(local_config(), &url).await, Ok(Value::text("GET /a?b=c")));
}

#[tokio::test]
async fn this_machine_needs_the_operator() {
    let service = echo().await;
    let config = || HostConfig { allowed_hosts: vec![], ..local_config() };
    let port = service.port;
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "[::]",
    ] {
        let error = fetch(config(), &format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(error.text().contains("only the operator can grant"), "{host}: {error}");
    }
    let metadata = fetch(config(), "http://169.254.169.254/latest/").await.unwrap_err();
    assert!(metadata.text().contains("link-local"), "{metadata}");
    let narrow = |entry: String| HostConfig {
        allowed_hosts: vec![entry.parse().unwrap()],
        ..local_config()
    };
    assert!(fetch(narrow(format!("127.0.0.1:{port}")), &service.url("/")).await.is_ok());
    assert!(fetch(narrow("127.0.0.1:1".into()), &service.url("/")).await.is_err());
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn only_what_the_configuration_names_is_granted() {
    let (granted, other) = (echo().await, echo().await);
    // The guest asks for `target`, and is granted it if it is a plain URL.
    for url in ["file:///etc/passwd", "nonsense"] {
        assert!(fetch(local_config(), url).await.is_err(), "{url}");
    }
    // With user information there is not even a datasource.
    for url in [
        format!("http://user@127.0.0.1:{}/", other.port),
        format!("http://127.0.0.1:{}@127.0.0.1:{}/", granted.port, other.port),
    ] {
        let settings = json!({"mode": "fetch", "target": url});
        assert!(source(local_config(), settings).await.is_err(), "{url}");
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn an_exclusive_list_narrows() {
    let service = echo().await;
    let config = HostConfig { only_hosts: vec!["*.example".parse().unwrap()], ..local_config() };
    // `allowed_hosts` grants this machine all the same.
    assert!(fetch(config, &service.url("/")).await.is_ok());
    let config = HostConfig {
        allowed_hosts: vec![],
        only_hosts: vec!["*.example".parse().unwrap()],
        ..local_config()
    };
    let error = fetch(config, "http://192.0.2.1/").await.unwrap_err();
    assert!(error.text().contains("`only_hosts`"), "{error}");
}

#[tokio::test]
async fn redirects_are_answers() {
    let other = echo().await;
    let elsewhere = other.url("/");
    let service = Service::start(move |_| {
        Response::builder().status(302).header("location", &elsewhere).body(Body::empty()).unwrap()
    })
    .await;
    let settings = json!({"mode": "fetch", "target": service.url("/")});
    let outcome = poll(local_config(), settings).await.unwrap();
    assert_eq!(reported(&outcome, "status"), Value::Int(302));
    assert_eq!(reported(&outcome, "location"), Value::text(other.url("/")));
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn long_and_slow_answers_are_cut_off() {
    let service = Service::start(|seen| match seen.path.as_str() {
        "/long" => answer(200, vec![b'x'; 200_000]),
        _ => answer(
            200,
            Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>()),
        ),
    })
    .await;
    let limits = Limits {
        response_bytes: 100_000,
        request_timeout: Duration::from_millis(300),
        ..short_limits()
    };
    let config = || HostConfig { limits: limits.clone(), ..local_config() };
    let error = fetch(config(), &service.url("/long")).await.unwrap_err();
    assert!(error.text().contains("`response_bytes`"), "{error}");
    let error = fetch(config(), &service.url("/slow?token=canary")).await.unwrap_err();
    assert!(matches!(error, DriverError::Connection(_)), "{error:?}");
    assert!(error.text().contains("did not answer within 0.3 s"), "{error}");
    assert!(!error.text().contains("canary"));
}

#[tokio::test]
async fn a_service_that_outlasts_the_call_is_named() {
    let service = Service::start(|_| {
        let never = futures_util::stream::pending::<Result<String, std::io::Error>>();
        answer(200, Body::from_stream(never))
    })
    .await;
    let limits = Limits { call_timeout: Duration::from_millis(500), ..short_limits() };
    let config = HostConfig { limits, ..local_config() };
    let settings = |mode: &str| json!({"mode": mode, "target": service.url("/x?token=canary")});
    // A request of the session leaves the call time to say so itself.
    let error = poll(config.clone(), settings("fetch")).await.unwrap_err();
    let CallErrorKind::Driver(DriverError::Connection(text)) = &error.kind else {
        panic!("{error:?}")
    };
    assert!(text.contains("did not answer within 0."), "{text}");
    let error = poll(config, settings("never-read")).await.unwrap_err();
    let CallErrorKind::Unanswered { limit, service: named } = &error.kind else {
        panic!("{error:?}")
    };
    assert_eq!((*limit, format!("{named}/")), (Duration::from_millis(500), service.url("/")));
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_a_connection_error() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = fetch(local_config(), &format!("http://127.0.0.1:{port}/x")).await.unwrap_err();
    assert!(matches!(error, DriverError::Connection(_)), "{error:?}");
    assert!(
        error.text().contains(&format!("cannot connect to http://127.0.0.1:{port}")),
        "{error}"
    );
}

#[tokio::test]
async fn requests_are_counted() {
    let service = echo().await;
    let limits = Limits { requests_per_call: 0, ..short_limits() };
    let config = HostConfig { limits, ..local_config() };
    assert!(fetch(config, &service.url("/")).await.is_err());
    assert!(service.seen().is_empty());
    let settings = json!({"mode": "fetch", "target": service.url("/")});
    assert_eq!(poll(local_config(), settings).await.unwrap().figures.requests, 1);
}

#[tokio::test]
async fn the_session_adds_credentials() {
    let service = echo().await;
    for (auth, header, value) in [
        (
            json!({"auth": "basic", "username": "u", "password": "p:w"}),
            "authorization",
            "Basic dTpwOnc=",
        ),
        (json!({"auth": "bearer", "token": "t0ken"}), "authorization", "Bearer t0ken"),
        (json!({"auth": "header", "auth_header": "X-Key", "token": "k3y"}), "x-key", "k3y"),
    ] {
        let mut settings = auth;
        settings["mode"] = "fetch".into();
        settings["target"] = service.url("/").into();
        poll(local_config(), settings).await.unwrap();
        let seen = service.seen();
        assert_eq!(seen.last().unwrap().header(header), Some(value));
    }
    for bad in [
        json!({"auth": "basic"}),
        json!({"auth": "bearer"}),
        json!({"auth": "header", "token": "x", "auth_header": "Host"}),
        json!({"auth": "magic"}),
        json!({"auth": "keystone", "auth_url": "keystone:5000"}),
    ] {
        assert!(source(local_config(), bad.clone()).await.is_err(), "{bad}");
    }
}

/// A Keystone whose catalogue names one compute service (itself), in two regions.
async fn cloud(lifetime: i64, refusals: usize) -> Service {
    let refusals = Arc::new(AtomicUsize::new(refusals));
    let logins = Arc::new(AtomicUsize::new(0));
    Service::start(move |seen| {
        let host = seen.header("host").unwrap();
        match (seen.method.as_str(), seen.path.as_str()) {
            ("GET", "/identity") => answer(
                300,
                json!({"versions": {"values": [
                    {"id": "v2.0", "links": [{"rel": "self", "href": "http://x/v2.0/"}]},
                    {"id": "v3.14", "links": [
                        {"rel": "self", "href": format!("http://{host}/identity/v3/")}]},
                ]}})
                .to_string(),
            ),
            ("POST", "/identity/v3/auth/tokens") => {
                let login: Json = serde_json::from_str(&seen.body).unwrap();
                if login["auth"]["identity"]["password"]["user"]["password"] != "canary-password" {
                    let text = "The request you have made requires authentication.";
                    return answer(401, json!({"error": {"message": text}}).to_string());
                }
                let n = logins.fetch_add(1, Ordering::SeqCst) + 1;
                let endpoint = |region: &str, path: &str| {
                    json!({"interface": "public", "region_id": region,
                        "url": format!("http://{host}/{path}/")})
                };
                let expires = 1_700_000_000 + lifetime;
                let time = |t: i64| {
                    let t = time::OffsetDateTime::from_unix_timestamp(t).unwrap();
                    t.format(&time::format_description::well_known::Rfc3339).unwrap()
                };
                let body = json!({"token": {
                    "issued_at": time(1_700_000_000),
                    "expires_at": time(expires),
                    "catalog": [{"type": "compute", "endpoints": [
                        endpoint("RegionOne", "compute"), endpoint("RegionTwo", "compute2")]}],
                }});
                Response::builder()
                    .status(201)
                    .header("x-subject-token", format!("canary-token-{n}"))
                    .body(body.to_string().into())
                    .unwrap()
            }
            (_, "/compute/servers") => {
                let refuse =
                    refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                match refuse {
                    Ok(_) => answer(401, ""),
                    Err(_) => answer(200, "servers"),
                }
            }
            _ => answer(404, ""),
        }
    })
    .await
}

fn account(service: &Service, mode: &str, target: &str) -> Json {
    json!({
        "mode": mode, "target": target, "auth": "keystone", "auth_url": service.url("/identity"),
        "username": "admin", "password": "canary-password", "project_name": "admin",
    })
}

#[tokio::test]
async fn keystone_logs_in_once_and_keeps_the_token() {
    let cloud = cloud(3600, 0).await;
    let settings = account(&cloud, "fetch", &cloud.url("/compute/servers"));
    let source = source(local_config(), settings).await.unwrap();
    for _ in 0..3 {
        let outcome = source.poll(&["report"]).await.unwrap();
        assert_eq!(reported(&outcome, "text"), Value::text("servers"));
    }
    let seen = cloud.seen();
    let paths: Vec<&str> = seen.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/identity",
            "/identity/v3/auth/tokens",
            "/compute/servers",
            "/compute/servers",
            "/compute/servers"
        ]
    );
    let login: Json = serde_json::from_str(&seen[1].body).unwrap();
    assert_eq!(login["auth"]["scope"]["project"]["domain"]["name"], "Default");
    assert_eq!(login["auth"]["identity"]["password"]["user"]["name"], "admin");
    assert_eq!(seen[4].header("x-auth-token"), Some("canary-token-1"));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let cloud = cloud(3600, 1).await;
    let settings = account(&cloud, "fetch", &cloud.url("/compute/servers"));
    let outcome = poll(local_config(), settings).await.unwrap();
    assert_eq!(reported(&outcome, "text"), Value::text("servers"));
    assert_eq!(outcome.figures.requests, 5);
    assert_eq!(cloud.seen().last().unwrap().header("x-auth-token"), Some("canary-token-2"));

    let stubborn = self::cloud(3600, 99).await;
    let settings = account(&stubborn, "fetch", &stubborn.url("/compute/servers"));
    let outcome = poll(local_config(), settings).await.unwrap();
    assert_eq!(reported(&outcome, "status"), Value::Int(401));
    assert_eq!(outcome.figures.requests, 5);
}

#[tokio::test]
async fn an_expired_token_is_renewed() {
    let cloud = cloud(0, 0).await;
    let settings = account(&cloud, "fetch", &cloud.url("/compute/servers"));
    let source = source(local_config(), settings).await.unwrap();
    source.poll(&["report"]).await.unwrap();
    source.poll(&["report"]).await.unwrap();
    assert_eq!(cloud.seen().last().unwrap().header("x-auth-token"), Some("canary-token-2"));
}

#[tokio::test]
async fn the_catalogue_answers_endpoints() {
    let cloud = cloud(3600, 0).await;
    let outcome = poll(local_config(), account(&cloud, "endpoint", "compute")).await.unwrap();
    assert_eq!(reported(&outcome, "endpoint"), Value::text(cloud.url("/compute")));
    let error = poll(local_config(), account(&cloud, "endpoint", "volume")).await.unwrap_err();
    let CallErrorKind::Driver(driver) = &error.kind else { panic!("{error}") };
    assert_eq!(driver.text(), "public endpoint for volume service not found");
}

#[tokio::test]
async fn wrong_credentials_are_an_auth_error_without_secrets() {
    let cloud = cloud(3600, 0).await;
    let mut settings = account(&cloud, "endpoint", "compute");
    settings["password"] = "canary-wrong".into();
    let error = poll(local_config(), settings).await.unwrap_err();
    let CallErrorKind::Driver(DriverError::Auth(text)) = &error.kind else { panic!("{error}") };
    assert!(text.contains("Keystone refused user 'admin'"), "{text}");
    assert!(text.contains("requires authentication"), "{text}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

/// Each attempt may take its time to fail.
#[tokio::test]
async fn a_login_that_failed_is_not_tried_again_in_the_same_call() {
    let cloud = Service::start(|_| answer(500, "")).await;
    let mut settings = account(&cloud, "stubborn", &cloud.url("/compute/servers"));
    settings["auth_url"] = cloud.url("/v3").into();
    let source = source(local_config(), settings).await.unwrap();
    for polls in 1..3 {
        let outcome = source.poll(&["report"]).await.unwrap();
        assert_eq!(reported(&outcome, "failed"), Value::Int(3));
        let paths: Vec<_> = cloud.seen().into_iter().map(|seen| seen.path).collect();
        assert_eq!(paths, vec!["/v3/auth/tokens"; polls]);
    }
}

/// Keystone answers 404 to the login by a token that has expired.
#[tokio::test]
async fn a_token_that_has_expired_is_an_auth_error() {
    let cloud = Service::start(|_| {
        let text = "Failed to validate token";
        answer(404, json!({"error": {"code": 404, "message": text}}).to_string())
    })
    .await;
    let mut settings = account(&cloud, "endpoint", "compute");
    settings["auth_url"] = cloud.url("/v3").into();
    let error = poll(local_config(), settings.clone()).await.unwrap_err();
    let CallErrorKind::Driver(DriverError::Protocol(_)) = &error.kind else { panic!("{error}") };
    settings["auth_type"] = "v3token".into();
    settings["token"] = "canary-old".into();
    let error = poll(local_config(), settings).await.unwrap_err();
    let CallErrorKind::Driver(DriverError::Auth(text)) = &error.kind else { panic!("{error}") };
    assert!(text.contains("refused the token") && text.contains("Failed to validate"), "{text}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn a_service_that_repeats_secrets_does_not_get_them_shown() {
    let service = Service::start(|seen| {
        let text = format!("you sent {}", seen.body);
        answer(401, json!({"error": {"message": text}}).to_string())
    })
    .await;
    let mut settings = account(&service, "endpoint", "compute");
    settings["auth_url"] = service.url("/v3").into();
    let error = poll(local_config(), settings).await.unwrap_err();
    assert!(!error.to_string().contains("canary"), "{error}");
    assert_eq!(service.seen()[0].path, "/v3/auth/tokens");
}

#[tokio::test]
async fn the_outcome_of_a_failed_call_is_dropped_but_the_token_stays() {
    let cloud = cloud(3600, 0).await;
    let settings = account(&cloud, "endpoint", "volume");
    let source = source(local_config(), settings).await.unwrap();
    for _ in 0..2 {
        assert!(source.poll(&["report"]).await.is_err());
    }
    assert_eq!(cloud.seen().len(), 2);
    let outcome = source.receive(congress_plugins::Push::Webhook(json!(1))).await.unwrap();
    assert!(matches!(outcome.tables[0].1, TableOperation::Replace(_)));
}

/// The environment's proxies would see everything, and know nothing of grants.
#[tokio::test]
async fn proxy_variables_change_nothing() {
    const REACHED: &str = "network::a_granted_host_is_reached";
    let proxy = echo().await;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", REACHED]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        child.env(name, proxy.url("/"));
    }
    child.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert!(proxy.seen().is_empty());
}

#[tokio::test]
async fn a_decompression_bomb_is_cut_off() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 50 << 20), &mut bomb).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let service = Service::start(move |_| {
        let response = Response::builder().header("content-encoding", "gzip");
        response.body(bomb.clone().into()).unwrap()
    })
    .await;
    let limits = Limits { response_bytes: 1 << 20, ..short_limits() };
    let config = HostConfig { limits, ..local_config() };
    let error = fetch(config, &service.url("/")).await.unwrap_err();
    assert!(error.text().contains("`response_bytes`"), "{error}");
}
