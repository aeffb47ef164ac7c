//! Recorded actions: which there are, and which requests each makes.

use std::collections::BTreeMap;
use std::path::Path;

use congress_plugins::{Action, ConfigValues, Datasource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::case;
use super::deviations;
use super::host;
use super::requests::Asked;
use super::service::Service;
use super::totals::Totals;

/// `actions.json`
#[derive(Debug, Deserialize)]
struct Recorded {
    actions: Vec<RecordedAction>,
}

#[derive(Debug, Deserialize)]
struct RecordedAction {
    name: String,
    args: Vec<Value>,
    description: String,
    #[serde(default)]
    call_positional: Vec<Value>,
    /// How the call ended, where the client did not take the answer that it got.
    call_result: Option<String>,
    #[serde(default)]
    requests: Vec<Asked>,
}

/// `execute.json`
#[derive(Debug, Deserialize)]
struct Calls {
    calls: Vec<Call>,
}

#[derive(Debug, Deserialize)]
struct Call {
    action: String,
    #[serde(default)]
    args: Arguments,
    result: String,
    #[serde(default)]
    requests: Vec<Asked>,
}

#[derive(Debug, Default, Deserialize)]
struct Arguments {
    #[serde(default)]
    positional: Vec<Value>,
    #[serde(default)]
    named: ConfigValues,
}

/// A driver with a service that logs it in and answers all else as the recordings had it.
pub(crate) struct Bench {
    service: Service,
    source: Datasource,
    /// Requests of logins and of versions: not counted.
    around: Vec<(String, String)>,
}

impl Bench {
    /// Takes login and configuration from the driver's first polled case.
    pub(crate) async fn new(component: &Path, folder: &Path) -> Result<Self, String> {
        let files = case::cases(folder);
        let first = files.first().ok_or("there is no case to take a configuration from")?;
        let case = case::read(first);
        let raw: Value = case::json(first);
        let is_around = |exchange: &&Value| {
            exchange["kind"].as_str().is_some_and(|k| k == "auth" || k == "discovery")
        };
        let around: Vec<(String, String)> = raw["http"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(is_around)
            .map(|e| (text(&e["method"]), text(&e["path"])))
            .collect();
        let known = |method: &str, path: &str| around.iter().any(|(m, p)| m == method && p == path);
        let exchanges = case.http.into_iter().filter(|e| known(&e.method, &e.path)).collect();
        // One answer that suits all recorded calls which read first.
        let otherwise = json!({"port": {"id": "p1", "security_groups": ["sg1"]}});
        let service = Service::start(exchanges, Some(otherwise)).await;
        let mut config = case.config;
        config.remove("lazy_tables");
        let source = host::source(component, &service, config).await?;
        Ok(Self { service, source, around })
    }

    /// Whether each recorded action is listed, and makes the recorded requests.
    pub(crate) async fn actions(&self, driver: &str, path: &Path, totals: &mut Totals) {
        let recorded: Recorded = case::typed(path);
        let ours: BTreeMap<&str, &Action> = self.listed();
        for action in recorded.actions.iter().filter(|action| !action.requests.is_empty()) {
            let listed = match ours.get(action.name.as_str()) {
                None => Err(format!("action {}: not listed", action.name)),
                Some(ours) => same_arguments(action, ours),
            };
            totals.add(driver, "actions listed", deviations::judge(driver, &action.name, listed));
            // The original's words come from its Python clients and need not be repeated.
            let words = ours.get(action.name.as_str());
            let same = words.is_some_and(|ours| ours.description == action.description);
            totals.note(driver, "descriptions as recorded", same);
            let call = Call {
                action: action.name.clone(),
                args: Arguments {
                    positional: action.call_positional.clone(),
                    named: ConfigValues::new(),
                },
                result: match &action.call_result {
                    Some(result) if result.starts_with("raised") => "raised an exception",
                    _ => "ok",
                }
                .to_owned(),
                requests: action.requests.clone(),
            };
            let result = self.call(&call).await;
            totals.add(driver, "actions run", deviations::judge(driver, &action.name, result));
        }
    }

    /// Calls through the entry for actions.
    pub(crate) async fn execute(&self, driver: &str, path: &Path, totals: &mut Totals) {
        let recorded: Calls = case::typed(path);
        for call in &recorded.calls {
            let result = self.call(call).await;
            let name = format!("execute {}", call.action);
            totals.add(driver, "execute", deviations::judge(driver, &name, result));
        }
    }

    fn listed(&self) -> BTreeMap<&str, &Action> {
        let actions = &self.source.driver().metadata().actions;
        actions.iter().map(|action| (action.name.as_str(), action)).collect()
    }

    async fn call(&self, call: &Call) -> Result<(), String> {
        let Call { action, args, result, requests } = call;
        self.service.take_asked();
        let outcome = self.source.execute(action, &args.positional, &args.named).await;
        let counts = |asked: &Asked| {
            !self.around.iter().any(|(m, p)| *m == asked.method && *p == asked.path)
        };
        let asked: Vec<_> = self.service.take_asked().into_iter().filter(counts).collect();
        let wanted: Vec<_> =
            requests.iter().filter(|asked| counts(asked)).cloned().map(Asked::sorted).collect();
        // An exception of the Python client after its request is none of the service's doing: the
        // recording's dummy answer did not please it, and ours need not end there.
        let raised = result.contains("raised an exception") || result.starts_with("raised");
        let same = match raised && !wanted.is_empty() {
            true => asked.starts_with(&wanted),
            false => asked == wanted,
        };
        let lines = |asked: &[Asked]| {
            asked.iter().map(|asked| format!("    {asked}")).collect::<Vec<_>>().join("\n")
        };
        if !same {
            let error = outcome.err().map(|error| format!("\n  it says: {error}"));
            return Err(format!(
                "action {action}{:?}: these requests were recorded:\n{}\n  these were made:\n{}{}",
                args.positional,
                lines(&wanted),
                lines(&asked),
                error.unwrap_or_default()
            ));
        }
        match (result.as_str(), outcome) {
            ("ok", Err(error)) => Err(format!("action {action}: {error}")),
            ("ok", Ok(_)) => Ok(()),
            (_, Ok(_)) if wanted.is_empty() => {
                Err(format!("action {action}: must fail, as recorded: {result}"))
            }
            _ => Ok(()),
        }
    }
}

/// The names of the arguments; ours may have more that need not be given. Where the original could
/// not see them, for they were behind a Python decorator, it listed none, or `obj`.
fn same_arguments(recorded: &RecordedAction, ours: &Action) -> Result<(), String> {
    let name = |argument: &Value| text(argument.get("name").unwrap_or(argument));
    let wanted: Vec<_> = recorded.args.iter().map(name).collect();
    let given: Vec<_> = ours.arguments.iter().map(|a| a.name.clone()).collect();
    let more = ours.arguments.iter().skip(wanted.len());
    if wanted.is_empty()
        || wanted == ["obj"]
        || given.starts_with(&wanted) && more.into_iter().all(|a| !a.required)
    {
        return Ok(());
    }
    Err(format!("action {}: arguments {wanted:?} were recorded, not {given:?}", recorded.name))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
