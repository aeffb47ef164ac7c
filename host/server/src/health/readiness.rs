//! Whether a node should be sent requests, and why not.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

/// Where a node is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It has not loaded what it needs.
    #[default]
    Starting,
    /// It answers, if with parts missing.
    Ready,
    /// It finishes what it has begun, and stops.
    Draining,
}

/// A node's readiness, shared between the parts that report and those that ask.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<watch::Sender<State>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    phase: Phase,
    /// Parts that are waited for or away, and a sentence about each.
    missing: BTreeMap<&'static str, String>,
    /// What each role that runs here does.
    roles: BTreeMap<&'static str, String>,
}

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    status: &'static str,
    /// Parts that are waited for or away.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    reasons: BTreeMap<&'static str, String>,
    /// What each role that runs here does.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    roles: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// Enters a phase. A node that drains does not become ready again.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|state| {
            let enters = state.phase != phase && state.phase != Phase::Draining;
            if enters {
                state.phase = phase;
            }
            enters
        });
    }

    /// A part is waited for (while starting) or away (later). `why` is shown to clients.
    pub fn missing(&self, part: &'static str, why: impl Into<String>) {
        let why = why.into();
        self.0.send_if_modified(|state| {
            let news = state.missing.get(part) != Some(&why);
            if news {
                state.missing.insert(part, why);
            }
            news
        });
    }

    /// A part is there.
    pub fn present(&self, part: &'static str) {
        self.0.send_if_modified(|state| state.missing.remove(part).is_some());
    }

    /// What a role does at present, in a few words.
    pub fn role(&self, role: &'static str, does: impl Into<String>) {
        let does = does.into();
        self.0.send_if_modified(|state| state.roles.insert(role, does.clone()) != Some(does));
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        self.0.borrow().phase
    }

    /// Waits for a phase.
    pub async fn reached(&self, phase: Phase) {
        // Fails only without a sender, and `self` holds one.
        let _ = self.0.subscribe().wait_for(|state| state.phase == phase).await;
    }

    /// For clients: whether to send requests, and particulars.
    pub(super) fn report(&self) -> (bool, Report) {
        let State { phase, missing, roles } = self.0.borrow().clone();
        let status = match phase {
            Phase::Starting => "starting",
            Phase::Ready if missing.is_empty() => "ready",
            Phase::Ready => "degraded",
            Phase::Draining => "draining",
        };
        (phase == Phase::Ready, Report { status, reasons: missing, roles })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(readiness: &Readiness) -> (bool, serde_json::Value) {
        let (ready, report) = readiness.report();
        (ready, serde_json::to_value(report).unwrap())
    }

    #[test]
    fn the_life_of_a_node() {
        let readiness = Readiness::default();
        readiness.missing("rules", "being loaded");
        let reasons = serde_json::json!({"rules": "being loaded"});
        assert_eq!(
            said(&readiness),
            (false, serde_json::json!({"status": "starting", "reasons": reasons}))
        );
        readiness.present("rules");
        readiness.enter(Phase::Ready);
        assert_eq!(said(&readiness), (true, serde_json::json!({"status": "ready"})));
        readiness.role("api", "serving");
        assert_eq!(said(&readiness).1["roles"], serde_json::json!({"api": "serving"}));
        readiness.missing("database", "no answer");
        let (ready, report) = said(&readiness);
        assert!(ready);
        assert_eq!(report["status"], "degraded");
        readiness.enter(Phase::Draining);
        readiness.enter(Phase::Ready);
        assert_eq!(readiness.phase(), Phase::Draining);
        assert!(!said(&readiness).0);
    }
}
