//! The clients: they read and write through the balancer and read at every engine, throughout.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use congress_tests::{Attempt, Client, Deployment};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::ledger::{Ledger, POLICY};
use crate::world::{Source, World, generations, path_of_generations};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a client pauses between two requests through the balancer.
const PAUSE: Duration = Duration::from_millis(40);

/// How long one pauses that reads whole tables of one engine.
const LOOK: Duration = Duration::from_millis(100);

/// How many clients read through the balancer; the balancer spreads them over the nodes.
const READERS: u8 = 4;

/// How many write through the balancer.
const WRITERS: u8 = 2;

/// How many facts there may be.
const FACTS: usize = 60;

/// The address of the first client that reads: each has one of its own, for the balancer knows
/// clients by their addresses.
pub(crate) const FIRST_READER: u8 = 11;

/// All clients, and what they know.
pub(crate) struct Load {
    pub(crate) ledger: Arc<Ledger>,
    readers: Vec<Client>,
    writers: Vec<Client>,
    _watchers: Vec<Client>,
    writing: watch::Sender<bool>,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Load {
    /// Makes the policy to write to, and starts all clients.
    pub(crate) async fn start(deployment: &Deployment, world: &World) -> anyhow::Result<Self> {
        deployment.policy(POLICY, ["w(0)"]).await?;
        let url = deployment.url()?;
        let ledger = Arc::new(Ledger::default());
        let wrong = Arc::new(Mutex::new(Vec::new()));
        let sources = world.sources.len();
        let writing = watch::Sender::new(true);
        let readers = (0..READERS).map(|number| {
            let client = client(FIRST_READER + number);
            let url = format!("{url}{}", path_of_generations());
            Client::start(PAUSE, move || Box::pin(generation(client.clone(), url.clone(), sources)))
        });
        let writers = (0..WRITERS).map(|number| {
            let client = client(FIRST_READER + READERS + number);
            let (ledger, may_write) = (ledger.clone(), writing.subscribe());
            let url = format!("{url}/v1/policies/{POLICY}/rules");
            Client::start(PAUSE, move || {
                let (client, url, ledger) = (client.clone(), url.clone(), ledger.clone());
                let mut may_write = may_write.clone();
                Box::pin(async move {
                    // Fails only when the test has ended.
                    let _ = may_write.wait_for(|writing| *writing).await;
                    write(client, url, ledger).await
                })
            })
        });
        let (readers, writers) = (readers.collect(), writers.collect());
        let mut watchers = Vec::new();
        for node in &deployment.engines {
            let base = node.server()?.url().to_owned();
            watchers.push(watcher(base, world.sources.clone(), wrong.clone()));
        }
        Ok(Self { ledger, readers, writers, _watchers: watchers, writing, wrong })
    }

    /// Forgets what was before. Those that write do so.
    pub(crate) fn begin(&self) {
        self.writing.send_replace(true);
        for client in self.readers.iter().chain(&self.writers) {
            client.take();
        }
    }

    /// From now on nobody begins to write.
    pub(crate) fn hold(&self) {
        self.writing.send_replace(false);
    }

    /// Whether each client has been served since then.
    pub(crate) fn is_served_since(&self, time: Instant) -> Result<(), String> {
        for (what, clients) in [("reads", &self.readers), ("writes", &self.writers)] {
            let served = clients.iter().filter(|c| c.has_succeeded_since(time)).count();
            if served < clients.len() {
                return Err(format!("{served} of {} clients' {what} succeed", clients.len()));
            }
        }
        Ok(())
    }

    /// What those that read have seen since the begin, each on its own.
    pub(crate) fn reads(&self) -> Vec<Vec<Attempt>> {
        self.readers.iter().map(Client::take).collect()
    }

    /// The same of those that write.
    pub(crate) fn writes(&self) -> Vec<Vec<Attempt>> {
        self.writers.iter().map(Client::take).collect()
    }

    /// What answers showed since the last call that must never be.
    pub(crate) fn wrong(&self) -> Vec<String> {
        std::mem::take(&mut *self.wrong.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A client with a loopback address of its own.
fn client(address: u8) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, address));
    builder.local_address(address).build().expect("a client")
}

/// One read through the balancer.
async fn generation(client: reqwest::Client, url: String, sources: usize) -> Result<(), String> {
    let body = answer(client.get(url)).await?;
    match generations(&body)?.len() {
        count if count == sources => Ok(()),
        count => Err(format!("{count} of {sources} datasources have rows")),
    }
}

/// One write through the balancer.
async fn write(client: reqwest::Client, url: String, ledger: Arc<Ledger>) -> Result<(), String> {
    if let Some((number, id)) = ledger.too_many(FACTS) {
        let reply = client.delete(format!("{url}/{id}")).send().await;
        let status = reply.map_err(|error| describe(&error))?.status();
        if !status.is_success() {
            return Err(format!("deletion: {status}"));
        }
        ledger.gone(number);
        return Ok(());
    }
    let number = ledger.next();
    ledger.unsure(number);
    let body = answer(client.post(url).json(&json!({ "rule": format!("w({number})") }))).await?;
    let id = body["id"].as_str().ok_or_else(|| format!("no id: {body}"))?;
    ledger.kept(number, id.to_owned());
    Ok(())
}

/// Reads all tables of one engine, one after the other, and judges what it shows.
fn watcher(base: String, sources: Vec<Arc<Source>>, wrong: Arc<Mutex<Vec<String>>>) -> Client {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
    let newest = Arc::new(Mutex::new(HashMap::new()));
    let mut turn = sources.into_iter().cycle();
    Client::start(LOOK, move || {
        let (client, base, wrong) = (client.clone(), base.clone(), wrong.clone());
        let (newest, source) = (newest.clone(), turn.next());
        Box::pin(async move {
            let Some(source) = source else { return Ok(()) };
            let body = answer(client.get(format!("{base}{}", source.path_of_rows()))).await?;
            let lock = || newest.lock().unwrap_or_else(PoisonError::into_inner);
            let judged = match source.judge(&body) {
                Ok(shown) => {
                    let before = lock().insert(source.name.clone(), shown).unwrap_or_default();
                    match shown < before {
                        true => Err(format!("{} went from {before} back to {shown}", source.name)),
                        false => Ok(()),
                    }
                }
                Err(error) => Err(error),
            };
            if let Err(error) = &judged {
                let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                wrong.push(format!("{base}: {error}"));
            }
            judged
        })
    })
}

/// The body of an answer that tells of success.
async fn answer(request: reqwest::RequestBuilder) -> Result<Value, String> {
    let reply = request.send().await.map_err(|error| describe(&error))?;
    let status = reply.status();
    let body = reply.bytes().await.map_err(|error| describe(&error))?;
    if !status.is_success() {
        return Err(format!("{status} {}", String::from_utf8_lossy(&body)));
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

/// An error with its causes.
fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
