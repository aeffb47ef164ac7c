//! Two engines under one id: the newer one goes.
//!
//! Datasource nodes share an id as a rule, for a supervisor starts the same one on another host; a
//! lease keeps them apart. Engines must not, for others tell them apart by it. A newcomer watches
//! for longer than a dead one would still be listed; if it then sees another engine of its id, that
//! one lives, and the newcomer ends. Of two newcomers one ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use congress_bus::{Bus, Link, Node, Requests};
use tokio::time::Instant;

/// The service of a node with an engine.
pub(super) const ENGINE: &str = "__engine";

/// The service of a node with the API.
pub(super) const API: &str = "__api";

/// The service of a newcomer.
const NEWCOMER: &str = "__newcomer";

/// A peer that is still listed after this time lives: longer than the bus lists a dead one.
pub(super) const ALIVE: Duration = Duration::from_secs(6);

/// How often it is looked within this time.
const LOOKS: u32 = 24;

/// Calls to these services that wait.
const BACKLOG: usize = 16;

/// Answers calls for a service that has nothing to say but that it is there.
pub(super) fn be_there(bus: &Arc<dyn Bus>, service: &str) -> anyhow::Result<()> {
    let requests = bus.serve(service, BACKLOG)?;
    tokio::spawn(answer(requests));
    Ok(())
}

async fn answer(mut requests: Requests) {
    while let Some(request) = requests.next().await {
        request.reply(Bytes::from_static(b"null"));
    }
}

/// Returns if this node must go because an engine of its id was there before, and says why. `alive`
/// is after which time a listed peer lives: [`ALIVE`].
pub(super) async fn taken(
    bus: Arc<dyn Bus>,
    node_id: String,
    instance: String,
    alive: Duration,
) -> String {
    // Withdrawn with the queue.
    let mut newcomer = bus.serve(NEWCOMER, BACKLOG).ok();
    let mut seen: HashMap<String, Instant> = HashMap::new();
    let mut begin = Instant::now();
    loop {
        if *bus.link().borrow() != Link::Up {
            begin = Instant::now();
            seen.clear();
        }
        let nodes = bus.nodes().borrow().clone();
        let same = |node: &&Node| {
            let is_engine = node.services.contains(ENGINE) || node.services.contains(API);
            node.node_id == node_id && node.instance != instance && is_engine
        };
        let peers: Vec<&Node> = nodes.iter().filter(same).collect();
        seen.retain(|known, _| peers.iter().any(|peer| peer.instance == *known));
        for peer in &peers {
            let is_new = !seen.contains_key(&peer.instance);
            let since = *seen.entry(peer.instance.clone()).or_insert_with(Instant::now);
            if newcomer.is_none() {
                if is_new {
                    tracing::error!(
                        node = %node_id, other = %peer.instance,
                        "another engine has this node's id: give each its own --node-id"
                    );
                }
                continue;
            }
            // Of two newcomers the one with the greater name goes; it does not matter which.
            let yields = !peer.services.contains(NEWCOMER) || instance > peer.instance;
            if since.elapsed() > alive && yields {
                return format!(
                    "another engine (instance {}) has this node's id '{node_id}': give each its \
                     own --node-id",
                    peer.instance
                );
            }
        }
        let is_alive = |since: &Instant| since.elapsed() > alive;
        if begin.elapsed() > alive + alive / 6 && !seen.values().any(is_alive) {
            newcomer = None;
        }
        tokio::time::sleep(alive / LOOKS).await;
    }
}

#[cfg(test)]
mod tests {
    use congress_bus::InProcessBus;

    use super::*;

    const SOON: Duration = Duration::from_millis(60);

    fn watch(bus: &Arc<dyn Bus>, instance: &str) -> impl Future<Output = String> + use<> {
        taken(bus.clone(), "pe1".to_owned(), instance.to_owned(), SOON)
    }

    #[tokio::test]
    async fn alone_it_stays_and_is_a_newcomer_no_more() {
        let bus: Arc<dyn Bus> = Arc::new(InProcessBus::new("pe1", "a"));
        be_there(&bus, ENGINE).unwrap();
        let watching = tokio::spawn(watch(&bus, "a"));
        let mut nodes = bus.nodes();
        let is_newcomer = |nodes: &Arc<[Node]>| nodes[0].services.contains(NEWCOMER);
        nodes.wait_for(is_newcomer).await.unwrap();
        nodes.wait_for(|nodes| !is_newcomer(nodes)).await.unwrap();
        assert!(!watching.is_finished());
        watching.abort();
    }

    #[tokio::test]
    async fn a_newcomer_goes_where_one_is_there_already() {
        // The bus shows one node of that id: this process is another.
        let bus: Arc<dyn Bus> = Arc::new(InProcessBus::new("pe1", "old"));
        be_there(&bus, ENGINE).unwrap();
        let begin = Instant::now();
        // It shares the other's bus, so that both look like newcomers: the greater name goes.
        let reason = watch(&bus, "zzz").await;
        assert!(reason.contains("instance old") && begin.elapsed() > SOON, "{reason}");
        let watching = tokio::spawn(watch(&bus, "abc"));
        tokio::time::sleep(SOON * 3).await;
        assert!(!watching.is_finished(), "the other one goes");
        watching.abort();
    }
}
