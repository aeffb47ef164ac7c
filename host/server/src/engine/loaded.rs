//! What of the database is loaded into the engine.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard};

use congress_bus::Register;
use congress_store::{At, Revision};

use super::handle::Inner;
use super::turn::Turn;

/// What of the database is loaded. Locked for moments only: neither while the database is asked nor
/// while the engine changes. So readers, who need no turn, may see a part of what a turn changes
/// before its revision is said to be reached.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) revision: Option<Revision>,
    /// By id.
    pub(super) policies: HashMap<String, congress_store::Policy>,
    /// By id.
    pub(super) rules: HashMap<String, LoadedRule>,
    /// Names by id.
    pub(super) datasources: HashMap<String, String>,
}

/// A rule of the database.
#[derive(Clone)]
pub(super) struct LoadedRule {
    pub(super) policy: String,
    pub(super) text: String,
    /// Why the engine does not have it, if it was refused.
    pub(super) refused: Option<String>,
}

impl Loaded {
    /// A persisted policy, by id or name.
    pub(super) fn policy(&self, id_or_name: &str) -> Option<&congress_store::Policy> {
        self.policies
            .get(id_or_name)
            .or_else(|| self.policies.values().find(|policy| policy.name == id_or_name))
    }

    /// A datasource's name, by id or name.
    pub(super) fn datasource(&self, id_or_name: &str) -> Option<&str> {
        self.datasources
            .get(id_or_name)
            .or_else(|| self.datasources.values().find(|name| *name == id_or_name))
            .map(String::as_str)
    }
}

impl Inner {
    /// What is loaded, to be looked at for a moment.
    pub(super) fn loaded(&self) -> RwLockReadGuard<'_, Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is loaded, to be changed in a moment by whoever has the turn. It is as the turn found
    /// and left it: nobody else changes it.
    pub(super) fn loading(&self, _turn: &Turn<'_>) -> RwLockWriteGuard<'_, Loaded> {
        self.loaded.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision that a change is checked at, and committed at or not at all.
    pub(super) fn at(&self) -> At {
        self.loaded().revision.map_or(At::Any, At::Revision)
    }

    /// Notes which revision is loaded, and lets all nodes know that there is one.
    pub(super) fn reached(&self, turn: &Turn<'_>, revision: Revision) {
        self.loading(turn).revision = Some(revision);
        let number = revision.number();
        self.bus.raise(Register::Revision, number);
        self.reached.send_if_modified(|reached| {
            let news = *reached < number;
            *reached = number.max(*reached);
            news
        });
    }
}
