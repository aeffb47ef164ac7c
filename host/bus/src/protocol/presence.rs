//! Which other nodes there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::Time;
use super::message::{Announce, Instance};
use crate::{Node, PeerStatus};

/// The most nodes that are kept.
const MAX_PEERS: usize = 1000;
/// How long a node that has said goodbye is not taken for living because of a late message.
const DEPARTED: Duration = Duration::from_secs(30);
/// How often a node that is not known well is asked to announce itself.
const ASK: Duration = Duration::from_millis(500);

/// Another node.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) announce: Option<Announce>,
    pub(super) heard: Time,
    pub(super) beat: u64,
    /// The sources it publishes, by its last heartbeat.
    pub(super) sources: BTreeSet<Arc<str>>,
    asked: Option<Time>,
}

/// All others.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: BTreeMap<Instance, Peer>,
    departed: HashMap<Instance, Time>,
}

impl Peers {
    /// A node was heard. None if it is one that has gone, or one too many.
    pub(super) fn heard(&mut self, from: &Instance, now: Time) -> Option<&mut Peer> {
        if self.departed.contains_key(from)
            || self.peers.len() >= MAX_PEERS && !self.peers.contains_key(from)
        {
            return None;
        }
        let peer = self.peers.entry(from.clone()).or_insert_with(|| Peer {
            announce: None,
            heard: now,
            beat: 0,
            sources: BTreeSet::new(),
            asked: None,
        });
        peer.heard = now;
        Some(peer)
    }

    /// A node has said goodbye. True if it was known.
    pub(super) fn depart(&mut self, who: &Instance, now: Time) -> bool {
        if self.departed.len() < MAX_PEERS {
            self.departed.insert(who.clone(), now);
        }
        self.peers.remove(who).is_some()
    }

    /// Those that have been silent for too long; they are forgotten.
    pub(super) fn expire(&mut self, now: Time, timeout: Duration) -> Vec<Instance> {
        self.departed.retain(|_, at| now < *at + DEPARTED);
        let silent: Vec<Instance> = self
            .peers
            .iter()
            .filter(|(_, peer)| now >= peer.heard.saturating_add(timeout))
            .map(|(instance, _)| instance.clone())
            .collect();
        for who in &silent {
            self.peers.remove(who);
        }
        silent
    }

    /// The nodes that have said who they are.
    pub(super) fn nodes(&self) -> impl Iterator<Item = Node> {
        self.peers.iter().filter_map(|(instance, peer)| {
            let announce = peer.announce.as_ref()?;
            Some(Node {
                node_id: announce.node_id.clone(),
                instance: instance.to_string(),
                services: announce.services.iter().map(|(name, _)| name.to_string()).collect(),
            })
        })
    }

    /// How they fare.
    pub(super) fn status(&self, now: Time) -> impl Iterator<Item = PeerStatus> {
        self.peers.iter().map(move |(instance, peer)| {
            let announce = peer.announce.as_ref();
            PeerStatus {
                node_id: announce.map(|announce| announce.node_id.clone()).unwrap_or_default(),
                instance: instance.to_string(),
                program: announce.map(|announce| announce.program.clone()).unwrap_or_default(),
                silent_for: now.saturating_sub(peer.heard),
            }
        })
    }

    /// Who serves a service, with the term at which it began to.
    pub(super) fn serving(&self, service: &str) -> impl Iterator<Item = (u64, &Instance)> {
        self.peers.iter().filter_map(move |(instance, peer)| {
            let services = &peer.announce.as_ref()?.services;
            let (_, term) = services.iter().find(|(name, _)| **name == *service)?;
            Some((*term, instance))
        })
    }
}

impl Peer {
    /// Whether to ask it who it is, given the version that it says its announcement has.
    pub(super) fn is_to_be_asked(&mut self, version: u64, now: Time) -> bool {
        let known = self.announce.as_ref().is_some_and(|announce| announce.version >= version);
        let patient = self.asked.is_some_and(|asked| now < asked + ASK);
        if known || patient {
            return false;
        }
        self.asked = Some(now);
        true
    }
}
