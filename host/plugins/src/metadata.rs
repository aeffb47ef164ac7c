//! What a driver says of itself.

use congress_table::TableSchema;
use serde::{Deserialize, Serialize};

/// The configuration of one datasource as the API takes it: field names and JSON values.
pub type ConfigValues = serde_json::Map<String, serde_json::Value>;

/// A driver's description: everything that listing drivers, checking configurations and hiding
/// secrets needs, also where the component itself is not at hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Letters, digits and `_`.
    pub id: String,
    /// The driver's own version.
    pub version: String,
    /// For people.
    pub description: String,
    /// The fields of a datasource's configuration.
    pub config: Vec<ConfigField>,
    /// The tables that every datasource of this driver has; empty when they depend on the
    /// configuration.
    pub tables: Vec<TableSchema>,
    /// What it can be told to do.
    pub actions: Vec<Action>,
    /// How rows come.
    pub feed: Feed,
    /// Who logs in to the service.
    pub session: SessionKind,
    /// The addresses that it wants to reach: URLs with `{field}` for values of the configuration.
    pub hosts: Vec<String>,
    /// The files and folders that it wants to read, written likewise.
    pub files: Vec<String>,
}

/// One field of a datasource's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigField {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// What it holds.
    pub field_type: FieldType,
    /// Whether a datasource must set it.
    pub required: bool,
    /// Stored encrypted and never shown.
    pub secret: bool,
    /// Its value where the datasource does not set it.
    pub default: Option<String>,
}

/// What a configuration field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Text.
    Text,
    /// A 64-bit integer.
    Integer,
    /// A number.
    Float,
    /// True or false.
    Boolean,
    /// Any JSON value.
    Json,
}

/// Who logs in to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// Nobody; the driver receives its secret fields.
    None,
    /// The host, at Keystone.
    Keystone,
    /// The host, as the configuration's field `auth` says.
    Configured,
}

/// How rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// By polling.
    Poll,
    /// They are pushed.
    Push,
    /// Both.
    PollAndPush,
}

impl Feed {
    /// Whether the datasource is to be polled.
    pub fn polls(self) -> bool {
        matches!(self, Self::Poll | Self::PollAndPush)
    }

    /// Whether it takes what is pushed.
    pub fn takes_pushes(self) -> bool {
        matches!(self, Self::Push | Self::PollAndPush)
    }
}

/// Something that a driver can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Its name; may contain dots, as `servers.pause`.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its arguments, in the order of the positional ones.
    pub arguments: Vec<Argument>,
    /// Whether it takes other arguments too.
    #[serde(default)]
    pub takes_others: bool,
}

/// An argument of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether the action needs it.
    pub required: bool,
}
