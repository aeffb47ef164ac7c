//! Clients that read and write throughout, and what becomes of their requests.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// One request that came to an end.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) method: Method,
    pub(crate) begun: Instant,
    pub(crate) took: Duration,
    /// Why it failed, if it did.
    pub(crate) failure: Option<String>,
}

/// Clients at work, each from an address of its own, since the balancer knows them by that.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<Done>>>,
}

/// A client from `127.0.0.<number>`.
pub(crate) fn client(number: u8) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .local_address(IpAddr::V4(Ipv4Addr::new(127, 0, 0, number)))
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

impl Load {
    /// Starts clients. Each reads rows of the policy `ha`, and every fifth time inserts a rule of its
    /// own or takes it out again.
    pub(crate) fn start(url: &str, clients: std::ops::Range<u8>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let task = |number| tokio::spawn(work(client(number), url.to_owned(), stop.clone()));
        Self { tasks: clients.map(task).collect(), stop }
    }

    /// Ends them after what they are at, and gives what they did.
    pub(crate) async fn end(self) -> Vec<Done> {
        self.stop.store(true, Ordering::Relaxed);
        let mut done = Vec::new();
        for task in self.tasks {
            done.extend(task.await.unwrap());
        }
        done
    }
}

async fn work(client: Client, url: String, stop: Arc<AtomicBool>) -> Vec<Done> {
    let rules = format!("{url}/v1/policies/ha/rules");
    let mut done = Vec::new();
    let mut rule: Option<String> = None;
    // Rules of an earlier load may be left.
    static LOADS: AtomicU64 = AtomicU64::new(1);
    let load = LOADS.fetch_add(1, Ordering::Relaxed);
    for turn in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let request = match (turn % 5, &rule) {
            (0, None) => {
                client.post(&rules).json(&json!({"rule": format!("written({load}, {turn})")}))
            }
            (0, Some(id)) => client.delete(format!("{rules}/{id}")),
            _ => client.get(format!("{url}/v1/policies/ha/tables/p/rows")),
        };
        let request = request.build().unwrap();
        let (method, begun) = (request.method().clone(), Instant::now());
        let outcome = match client.execute(request).await {
            Ok(answer) if answer.status().is_success() => {
                answer.json::<Value>().await.map_err(|it| format!("{it:?}"))
            }
            Ok(answer) => {
                Err(format!("{}: {}", answer.status(), answer.text().await.unwrap_or_default()))
            }
            Err(error) => Err(format!("{error:?}")),
        };
        if let Ok(body) = &outcome {
            if method == Method::POST {
                rule = body["id"].as_str().map(str::to_owned);
            } else if method == Method::DELETE {
                rule = None;
            }
        } else if method != Method::GET {
            // Unknown whether it was done: begin with another one.
            rule = None;
        }
        let failure = outcome.err();
        done.push(Done { method, begun, took: begun.elapsed(), failure });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    done
}
