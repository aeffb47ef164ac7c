//! Replays one scenario against a server of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use congress_tests::{Reply, Server, ServerOptions};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::compare::{fits, learn, same_words, told_once, with_hidden_options};
use crate::deviations;
use crate::names::Names;
use crate::scenario::{BodyKind, Matching, RecordedBody, RecordedResponse, Scenario, Step};

/// How long to wait for data once a scenario has waited for some in vain.
const SHORT: Duration = Duration::from_secs(1);

/// How long drivers may take to be compiled.
const COMPILED: Duration = Duration::from_secs(120);

const POLL: Duration = Duration::from_millis(50);

/// How a scenario went.
pub(crate) struct Outcome {
    /// Steps that agreed.
    pub(crate) passed: usize,
    /// Steps that must agree: those without a quirk.
    pub(crate) total: usize,
    /// Steps that differed.
    pub(crate) differences: Vec<Difference>,
}

/// A step that differed.
pub(crate) struct Difference {
    /// Its number; 0 is the start of the server.
    pub(crate) step: usize,
    /// How.
    pub(crate) text: String,
    /// Why, if that is on purpose.
    pub(crate) reason: Option<&'static str>,
}

impl Difference {
    fn at_start(text: String) -> Self {
        Self { step: 0, text, reason: None }
    }
}

/// How an answer differs, and why if that is on purpose.
type Differs = (String, Option<&'static str>);

/// Replays all steps. `recordings` is the folder that the scenario comes from.
pub(crate) async fn replay(scenario: &Scenario, recordings: &Path) -> Outcome {
    let total = scenario.steps.iter().filter(|step| step.quirk.is_none()).count();
    let mut outcome = Outcome { passed: 0, total, differences: Vec::new() };
    let drivers = match drivers(&scenario.server.drivers) {
        Ok(drivers) => drivers,
        Err(missing) => {
            let text = format!("not run: there is no driver {missing}");
            outcome.differences.push(Difference::at_start(text));
            return outcome;
        }
    };
    let mut options =
        ServerOptions { drivers: Some(drivers.path().to_owned()), ..ServerOptions::default() };
    if scenario.server.library != "empty" {
        let library = recordings.join(&scenario.server.library);
        options = options.with("DEFAULT", "policy_library_path", library.display());
    }
    for (name, value) in &scenario.server.config {
        options = options.with("DEFAULT", name, value);
    }
    match Server::start(options).await {
        Ok(server) => match drivers_ready(&scenario.server.drivers, &server).await {
            Ok(()) => steps(scenario, &server, &mut outcome).await,
            Err(error) => outcome.differences.push(Difference::at_start(format!("{error:#}"))),
        },
        Err(error) => outcome.differences.push(Difference::at_start(format!("{error:#}"))),
    }
    outcome
}

/// A folder with the drivers that a scenario needs; the error is the name of one that is missing.
fn drivers(needed: &[String]) -> Result<tempfile::TempDir, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let built = congress_tests::drivers_folder();
    for name in needed {
        let file = format!("{name}.wasm");
        let component = [built.join(&file), built.join("testing").join(&file)]
            .into_iter()
            .find(|path| path.is_file())
            .ok_or_else(|| name.clone())?;
        std::os::unix::fs::symlink(component, folder.path().join(file)).expect("a link");
    }
    Ok(folder)
}

/// Scenarios begin on a server that has its drivers.
async fn drivers_ready(needed: &[String], server: &Server) -> anyhow::Result<()> {
    for name in needed {
        let path = format!("/v1/system/drivers/{name}?detail=true");
        server.eventually(&path, COMPILED, |body| body["state"] == "ready").await?;
    }
    Ok(())
}

async fn steps(scenario: &Scenario, server: &Server, outcome: &mut Outcome) {
    let mut names = Names::new(server.authority());
    let mut patience = Duration::MAX;
    for step in &scenario.steps {
        let result = perform(step, server, &mut names, patience).await;
        match result {
            Ok(()) if step.quirk.is_none() => outcome.passed += 1,
            Ok(()) => {}
            Err((text, reason)) => {
                if step.eventually.is_some() {
                    patience = SHORT;
                }
                let request = &step.request;
                let text = format!(
                    "step {} ({}): {} {}\n{text}",
                    step.step, step.name, request.method, request.path
                );
                let reason = reason.or_else(|| deviations::listed(&scenario.name, step.step));
                outcome.differences.push(Difference { step: step.step, text, reason });
            }
        }
    }
}

async fn perform(
    step: &Step,
    server: &Server,
    names: &mut Names,
    patience: Duration,
) -> Result<(), Differs> {
    let deadline = step
        .eventually
        .as_ref()
        .map(|eventually| Instant::now() + eventually.timeout().min(patience));
    loop {
        let reply = send(step, server, names).await.map_err(|error| (error, None))?;
        let result = match &step.quirk {
            None => check(step, &step.response, &reply, names),
            Some(_) => tolerate(step, &reply, names),
        };
        match (result, deadline) {
            (Ok(()), _) => return Ok(()),
            (Err(_), Some(deadline)) if Instant::now() < deadline => {
                tokio::time::sleep(POLL).await;
            }
            (Err(text), _) => {
                let reason = on_purpose(step, &reply, names);
                learn_all(&step.response, &reply, names);
                return Err((text, reason));
            }
        }
    }
}

async fn send(step: &Step, server: &Server, names: &mut Names) -> Result<Reply, String> {
    let request = &step.request;
    let method = Method::from_bytes(request.method.as_bytes()).expect("a method");
    let path = names.fill(&request.path);
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name: HeaderName = name.parse().expect("a header's name");
        let value: HeaderValue = names.fill(value).parse().expect("a header's value");
        headers.insert(name, value);
    }
    let body = request.body.as_ref().map(|body| match body {
        // Placeholders are text, with nothing in it that JSON would escape.
        RecordedBody::Json(body) => names.fill(&body.to_string()).into_bytes(),
        RecordedBody::Raw(body) => names.fill(body).into_bytes(),
    });
    server.request(method, &path, headers, body).await.map_err(|error| format!("{error:#}"))
}

/// Why an answer differs from the recorded one, if the specification wants that.
fn on_purpose(step: &Step, reply: &Reply, names: &mut Names) -> Option<&'static str> {
    let mut recorded = step.response.clone();
    if let Ok(given) = reply.json() {
        recorded.body = with_hidden_options(&recorded.body, &given);
        if check(step, &recorded, reply, names).is_ok() {
            return Some(deviations::HIDDEN);
        }
    }
    if let Some(Value::String(message)) = recorded.body.pointer_mut("/error/message") {
        *message = told_once(message);
        if check(step, &recorded, reply, names).is_ok() {
            return Some(deviations::ONCE);
        }
    }
    deviations::repaired(step, reply)
}

/// Keeps what names stand for from an answer that differs.
fn learn_all(recorded: &RecordedResponse, reply: &Reply, names: &mut Names) {
    learn(names, &recorded.body, &reply.json().unwrap_or_default());
    for (name, recorded) in &recorded.headers {
        if let Some(value) = reply.headers.get(name).and_then(|value| value.to_str().ok()) {
            names.fits(recorded, value);
        }
    }
}

/// An answer that must be the recorded one.
fn check(
    step: &Step,
    recorded: &RecordedResponse,
    reply: &Reply,
    names: &mut Names,
) -> Result<(), String> {
    let mut tried = names.clone();
    let agrees = reply.status == recorded.status
        && (step.matching == Matching::UnstableText
            || headers_fit(recorded, reply, &mut tried)
                && body_fits(step.matching, recorded, reply, &mut tried));
    if agrees {
        *names = tried;
        return Ok(());
    }
    Err(format!(
        "  recorded ({:?}): {} {:?} {}\n  got: {} {:?} {}",
        step.matching,
        recorded.status,
        recorded.headers,
        recorded.body,
        reply.status,
        reply.headers,
        String::from_utf8_lossy(&reply.body)
    ))
}

/// An answer in place of a defect of the reference: it must not be a failure of the server.
fn tolerate(step: &Step, reply: &Reply, names: &mut Names) -> Result<(), String> {
    let body = reply.json().unwrap_or_default();
    learn_all(&step.response, reply, names);
    let text = String::from_utf8_lossy(&reply.body);
    match reply.status {
        501 => Ok(()),
        status if status < 400 => Ok(()),
        status if status < 500 && body["error"]["message"].is_string() => Ok(()),
        status => Err(format!("  instead of a defect: {status} {text}")),
    }
}

fn headers_fit(recorded: &RecordedResponse, reply: &Reply, names: &mut Names) -> bool {
    recorded.headers.iter().all(|(name, recorded)| {
        reply
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| names.fits(recorded, value))
    })
}

fn body_fits(
    matching: Matching,
    recorded: &RecordedResponse,
    reply: &Reply,
    names: &mut Names,
) -> bool {
    let text = String::from_utf8_lossy(&reply.body);
    match recorded.body_kind {
        BodyKind::Empty => return text.is_empty(),
        BodyKind::Text => {
            return recorded.body.as_str().is_some_and(|body| names.fits(body, &text));
        }
        BodyKind::Json => {}
    }
    let Ok(mut body) = reply.json() else {
        return false;
    };
    let mut recorded = recorded.body.clone();
    match matching {
        Matching::UnstableText => true,
        Matching::Exact => {
            let (whole, said) = (take_message(&mut recorded), take_message(&mut body));
            fits(names, &recorded, &body)
                && names.fits(without_wording(&whole), without_wording(&said))
        }
        Matching::MessageWordsAnyOrder => {
            let (words, said) = (take_message(&mut recorded), take_message(&mut body));
            fits(names, &recorded, &body) && same_words(&names.fill(&words), &said)
        }
        Matching::MessagePrefix => {
            let (whole, said) = (take_message(&mut recorded), take_message(&mut body));
            let prefix = whole.split("<traceback>").next().unwrap_or_default();
            said.starts_with(&names.fill(prefix))
        }
        Matching::TraceTextMayDiffer => {
            let trace = take(&mut recorded, "trace").is_some();
            let given = take(&mut body, "trace");
            let given = given.as_ref().and_then(Value::as_str).is_some_and(|t| !t.is_empty());
            given == trace && fits(names, &recorded, &body)
        }
        Matching::StatusAndRowCount => {
            let rows = |body: &Value| body["results"].as_array().map(Vec::len);
            rows(&recorded) == rows(&body)
        }
        Matching::DriverSetDependsOnDeployment => body["results"].as_array().is_some_and(|all| {
            all.iter().all(|driver| driver["id"].is_string() && driver["description"].is_string())
        }),
    }
}

/// A syntax error up to the position of the first fault: the words after it are free.
fn without_wording(message: &str) -> &str {
    let lead = ["Parse failure.\n", "Lex failure.\n"].iter().find_map(|lead| message.find(lead));
    let words = lead.and_then(|lead| Some(lead + message[lead..].find("  ")?));
    words.map_or(message, |words| &message[..words])
}

fn take(body: &mut Value, key: &str) -> Option<Value> {
    body.as_object_mut()?.remove(key)
}

/// Cuts the message out of an error.
fn take_message(body: &mut Value) -> String {
    let message = body.get_mut("error").and_then(|error| take(error, "message"));
    message.and_then(|message| message.as_str().map(str::to_owned)).unwrap_or_default()
}
