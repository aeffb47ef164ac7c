//! Drivers in languages that bring an interpreter along: `scripts/build-language-drivers` makes
//! them of the templates and the examples.

use std::fs;
use std::time::{Duration, Instant};

use crate::common::*;
use axum::body::Body;
use axum::http::Response;
use congress_plugins::{
    CallError, CallErrorKind, CallOutcome, ConfigError, ConfigValues, Driver, DriverError, Host,
    HostConfig, Limits, State, Trap,
};
use congress_table::Value;
use serde_json::{Value as Json, json};
use tokio::sync::Mutex;

/// A language, its components in `drivers/out/languages`.
const LANGUAGES: [(&str, &str); 2] = [("python", "moons_py"), ("javascript", "moons_js")];

/// Loads a component if its language could be built here.
async fn load(host: &Host, language: &str, name: &str) -> Option<Driver> {
    /// What is not in the cache yet is compiled by one test; the others wait for it.
    static TURN: Mutex<()> = Mutex::const_new(());
    let folder = drivers().join("languages");
    if let Ok(reason) = fs::read_to_string(folder.join(format!("{language}.skipped"))) {
        println!("skipped: {}", reason.trim());
        return None;
    }
    let path = folder.join(format!("{name}.wasm"));
    assert!(path.is_file(), "{}: run scripts/build-language-drivers", path.display());
    let _turn = TURN.lock().await;
    Some(host.load(path).await.unwrap())
}

/// Loads the examples that could be built here.
async fn examples(config: HostConfig) -> Vec<Driver> {
    let host = Host::new(config).unwrap();
    let mut examples = Vec::new();
    for (language, name) in LANGUAGES {
        examples.extend(load(&host, language, name).await);
    }
    examples
}

async fn poll(driver: &Driver, config: &ConfigValues) -> Result<CallOutcome, CallError> {
    let source = driver.datasource("d", config, State::default()).await.unwrap();
    source.poll(&["moons", "greetings"]).await
}

#[tokio::test]
async fn templates_do_what_the_one_in_rust_does() {
    let host = Host::new(local_config()).unwrap();
    let rust = host.load(guest("template")).await.unwrap();
    for (language, _) in LANGUAGES {
        let Some(driver) = load(&host, language, &format!("template-{language}")).await else {
            continue;
        };
        assert_eq!(format!("{:?}", driver.metadata()), format!("{:?}", rust.metadata()));
        let outcome = poll(&driver, &values(json!({"names": "Ada, Zoë"}))).await.unwrap();
        let greetings = replaced(&outcome, "greetings");
        assert_eq!(greetings.len(), 2);
        assert!(greetings.contains(&[Value::text("Zoë"), Value::text("Hello, Zoë!")]));
        let missing = driver.datasource("d", &ConfigValues::new(), State::default()).await;
        assert!(matches!(missing, Err(ConfigError::Missing { .. })), "{missing:?}");
        let ada = values(json!({"names": "Ada"}));
        let source = driver.datasource("d", &ada, State::default()).await.unwrap();
        let action = source.execute("wave", &[], &ConfigValues::new()).await;
        assert!(
            matches!(
                &action.unwrap_err().kind,
                CallErrorKind::Driver(DriverError::Unsupported(text)) if text.contains("'wave'")
            ),
            "{language}"
        );
    }
}

/// A service whose answer its path chooses.
async fn service() -> Service {
    Service::start(|request| -> Response<Body> {
        let list = |count: usize| -> String {
            let moons: Vec<Json> =
                (0..count).map(|n| json!({"name": format!("moon {n}")})).collect();
            Json::from(moons).to_string()
        };
        match &*request.path {
            "/moons" => answer(
                200,
                r#"[{"name": "Mond", "planet": "Erde", "radius": 1737.5},
                    {"name": "Ganymède", "planet": null}]"#,
            ),
            "/page" => answer(200, "<html>"),
            "/deep" => answer(200, "[".repeat(100_000)),
            "/odd" => answer(200, r#"[{"name": ["a", "list"]}]"#),
            "/many" => answer(200, list(300_000)),
            _ => answer(503, "later"),
        }
    })
    .await
}

#[tokio::test]
async fn examples_read_a_service() {
    let service = service().await;
    for driver in examples(local_config()).await {
        let config = |path: &str| values(json!({"url": service.url(path)}));
        let outcome = poll(&driver, &config("/moons")).await.unwrap();
        let moons = replaced(&outcome, "moons");
        let earth = [Value::text("Mond"), Value::text("Erde"), Value::Float(1737.5)];
        assert!(moons.contains(&earth), "{moons:?}");
        assert!(moons.contains(&[Value::text("Ganymède"), Value::Null, Value::Null]), "{moons:?}");

        let error = poll(&driver, &config("/page")).await.unwrap_err();
        let CallErrorKind::Driver(DriverError::Protocol(text)) = &error.kind else {
            panic!("{error:?}")
        };
        assert!(text.contains("/page gave no list of moons"), "{text}");
        let error = poll(&driver, &config("/elsewhere")).await.unwrap_err();
        let CallErrorKind::Driver(DriverError::Connection(text)) = &error.kind else {
            panic!("{error:?}")
        };
        assert!(text.ends_with("answered with status 503"), "{text}");
    }
}

#[tokio::test]
async fn uncaught_exceptions_are_told_in_a_sentence() {
    let service = service().await;
    for driver in examples(local_config()).await {
        let config = values(json!({"url": service.url("/odd")}));
        let error = poll(&driver, &config).await.unwrap_err();
        assert!(matches!(&error.kind, CallErrorKind::GaveUp(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("string") || text.contains("TypeError"), "{text}");
        assert!(text.len() < 300, "{text}");
        assert!(!text.contains('/') && !text.contains('\n'), "{text}");
    }
}

#[tokio::test]
async fn limits_hold_inside_an_interpreter() {
    let service = service().await;
    let config = values(json!({"url": service.url("/many")}));
    for driver in examples(local_config()).await {
        let error = poll(&driver, &config).await.unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Trap(Trap::Memory), "{error}");
    }
    let limits = Limits {
        memory_bytes: 1 << 30,
        call_timeout: Duration::from_millis(300),
        ..short_limits()
    };
    for driver in examples(HostConfig { limits, ..local_config() }).await {
        let begun = Instant::now();
        let error = poll(&driver, &config).await.unwrap_err();
        // A slow machine may have it wait for the service still.
        let (CallErrorKind::Timeout(_)
        | CallErrorKind::Unanswered { .. }
        | CallErrorKind::Driver(DriverError::Connection(_))) = error.kind
        else {
            panic!("{error}")
        };
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        // Another instance is not touched by what happened to that one.
        let config = values(json!({"url": service.url("/elsewhere")}));
        let error = poll(&driver, &config).await.unwrap_err();
        assert!(matches!(error.kind, CallErrorKind::Driver(_)), "{error}");
    }
}
