//! What the database holds, as the rest of the system sees it.
//!
//! Identifiers are UUID texts. Times are kept by the database for people and for later clean-up;
//! nothing in the system reads them, so they are not part of these types.

use serde::{Deserialize, Serialize};

use crate::DatasourceConfig;

/// The state of the shared database, counted in committed changes of policies, rules, datasources
/// and drivers. It only grows; nodes compare it to learn whether they are up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub i64);

impl Revision {
    /// As nodes tell it to each other.
    pub fn number(self) -> u64 {
        // It counts from 0.
        u64::try_from(self.0).unwrap_or_default()
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// On which state of the database a change may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// On any: the change needs no knowledge of other rows.
    Any,
    /// Only on the one at which the caller has checked it. On a later one the change fails with
    /// [`crate::Error::Stale`]: read again, check again, try again.
    Revision(Revision),
}

/// The outcome of a change: what was made or removed, and the revision that has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed<T> {
    /// What was made or removed.
    pub value: T,
    /// The first revision that contains the change.
    pub revision: Revision,
}

/// A policy to be created. The store makes the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPolicy {
    /// Unique among live policies; at most 255 characters.
    pub name: String,
    /// At most 5 characters.
    pub abbreviation: String,
    /// For people; may be empty.
    pub description: String,
    /// Whom it belongs to; the API has always said `user`.
    pub owner: String,
    /// How it is evaluated, for instance `nonrecursive` or `action`.
    pub kind: String,
}

/// A live policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its UUID.
    pub id: String,
    /// Unique among live policies.
    pub name: String,
    /// At most 5 characters.
    pub abbreviation: String,
    /// For people; may be empty.
    pub description: String,
    /// Whom it belongs to.
    pub owner: String,
    /// How it is evaluated.
    pub kind: String,
}

/// A rule to be stored. The store makes the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRule {
    /// The rule as posted, not normalised.
    pub rule: String,
    /// At most 255 characters.
    pub name: Option<String>,
    /// At most 255 characters; may be empty.
    pub comment: String,
}

/// A live rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its UUID.
    pub id: String,
    /// The name (not the id) of its policy.
    pub policy_name: String,
    /// The rule as posted.
    pub rule: String,
    /// A name for people.
    pub name: Option<String>,
    /// A comment; may be empty.
    pub comment: String,
}

/// A datasource to be created.
#[derive(Clone, Debug)]
pub struct NewDatasource {
    /// An id chosen by the client (at most 36 characters); otherwise the store makes one.
    pub id: Option<String>,
    /// Unique; at most 255 characters.
    pub name: String,
    /// The id of its driver; at most 255 characters.
    pub driver: String,
    /// For people.
    pub description: Option<String>,
    /// Whether it is to run.
    pub enabled: bool,
    /// The configuration with its secrets sealed: see [`crate::Sealer::seal`].
    pub config: DatasourceConfig,
}

/// A stored datasource.
#[derive(Clone, Debug, PartialEq)]
pub struct Datasource {
    /// Its id, mostly a UUID.
    pub id: String,
    /// Unique.
    pub name: String,
    /// The id of its driver.
    pub driver: String,
    /// For people.
    pub description: Option<String>,
    /// Whether it is to run.
    pub enabled: bool,
    /// The configuration with its secrets sealed: see [`crate::KeyRing::reveal`].
    pub config: DatasourceConfig,
}

/// All that an engine needs, read at one revision.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The revision of all the rest.
    pub revision: Revision,
    /// All live policies, oldest first.
    pub policies: Vec<Policy>,
    /// The live rules of all policies, oldest first.
    pub rules: Vec<Rule>,
    /// All datasources, by name.
    pub datasources: Vec<Datasource>,
}

/// A policy in the library to be created or to replace another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLibraryPolicy {
    /// Unique in the library; at most 255 characters.
    pub name: String,
    /// At most 5 characters.
    pub abbreviation: String,
    /// For people; may be empty.
    pub description: String,
    /// How the policy is to be evaluated.
    pub kind: String,
    /// Its rules, not checked on entry.
    pub rules: Vec<LibraryRule>,
}

/// A policy in the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryPolicy {
    /// Its UUID.
    pub id: String,
    /// Unique in the library.
    pub name: String,
    /// At most 5 characters.
    pub abbreviation: String,
    /// For people; may be empty.
    pub description: String,
    /// How the policy is to be evaluated.
    pub kind: String,
    /// Its rules, as posted.
    pub rules: Vec<LibraryRule>,
}

/// A rule of a library policy. Keys that were not given stay absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryRule {
    /// The rule as posted.
    pub rule: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A driver in the catalogue. Its bytes are stored apart, under their hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Driver {
    /// The driver's id.
    pub id: String,
    /// SHA-256 of the component's bytes in lower-case hexadecimal digits.
    pub hash: String,
    /// The component's size in bytes.
    pub size: u64,
    /// What the driver says of itself (tables, configuration fields, actions), as its host wrote
    /// it down. The store does not look inside.
    pub metadata: serde_json::Value,
}
