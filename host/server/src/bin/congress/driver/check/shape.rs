//! What can be told without polling: world, imports, description.

use std::path::Path;

use congress_plugins::{Driver, Host, Metadata, Standing};

use super::report::Report;

/// Words in a field's name that make it a secret.
const SECRETS: [&str; 6] = ["password", "passwd", "secret", "token", "api_key", "apikey"];

/// Loads the component and judges what it says of itself. None if it cannot be loaded.
pub(super) async fn check(host: &Host, file: &Path, report: &mut Report) -> Option<Driver> {
    const WORLD: &str = "is a component of a world that this host has";
    const IMPORTS: &str = "imports nothing that this host does not have";
    const DESCRIBES: &str = "describes itself, with valid names, types and limits";
    const SAME: &str = "describes itself the same each time";
    let inspection = match host.inspect(file).await {
        Ok(inspection) => inspection,
        Err(error) => {
            report.fail(WORLD, format!("it {}", error.kind));
            return None;
        }
    };
    let foreign: Vec<String> = inspection
        .imports
        .iter()
        .filter(|import| import.standing == Standing::Refused)
        .map(|import| {
            format!("{}: only congress:datasource and WASI 0.2 may be imported", import.name)
        })
        .collect();
    match &inspection.world_version {
        Err(problem) if foreign.is_empty() => report.fail(WORLD, format!("it {problem}")),
        _ => report.pass(WORLD),
    }
    report.judge(IMPORTS, &foreign);
    let driver = match host.load(file).await {
        Ok(driver) => driver,
        Err(error) => {
            report.fail(DESCRIBES, format!("it {}", error.kind));
            return None;
        }
    };
    report.pass(DESCRIBES);
    match host.load(file).await {
        Ok(again) if again.metadata() == driver.metadata() => report.pass(SAME),
        Ok(again) => report.fail(SAME, difference(driver.metadata(), again.metadata())),
        Err(error) => report.fail(SAME, format!("the second time it {}", error.kind)),
    }
    report.judge("says what people need to know", &unsaid(driver.metadata()));
    report.judge("calls its secrets secret", &unsecret(driver.metadata()));
    Some(driver)
}

/// Where two descriptions differ.
fn difference(first: &Metadata, second: &Metadata) -> String {
    let as_json = |metadata: &Metadata| serde_json::to_value(metadata).unwrap_or_default();
    let (first, second) = (as_json(first), as_json(second));
    let members: Vec<&str> = first
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, value)| second.get(name) != Some(value))
        .map(|(name, _)| name.as_str())
        .collect();
    format!(
        "'{}' differs from call to call; `describe` must not depend on time or randomness",
        members.join("', '")
    )
}

fn unsaid(metadata: &Metadata) -> Vec<String> {
    let mut problems = Vec::new();
    if metadata.version.trim().is_empty() {
        problems.push("it has no version: operators cannot tell two builds apart".to_owned());
    }
    if metadata.description.trim().is_empty() {
        problems.push("it has no description".to_owned());
    }
    for field in metadata.config.iter().filter(|field| field.description.trim().is_empty()) {
        problems.push(format!("the field '{}' has no description", field.name));
    }
    for action in metadata.actions.iter().filter(|action| action.description.trim().is_empty()) {
        problems.push(format!("the action '{}' has no description", action.name));
    }
    if metadata.feed.polls() && metadata.config.iter().all(|field| field.name != "poll_time") {
        problems.push(
            "it has no field 'poll_time' (integer): no datasource can say how often it is polled"
                .to_owned(),
        );
    }
    problems
}

fn unsecret(metadata: &Metadata) -> Vec<String> {
    let looks_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        SECRETS.iter().any(|word| name.ends_with(word))
    };
    metadata
        .config
        .iter()
        .filter(|field| !field.secret && looks_secret(&field.name))
        .map(|field| {
            format!(
                "the field '{}' is not marked secret: its value would be stored and shown in clear",
                field.name
            )
        })
        .collect()
}
