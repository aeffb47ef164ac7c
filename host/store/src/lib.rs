//! The shared database: policies, rules, datasources, pushed rows, the policy library, the
//! catalogue of drivers, leases and the ledger of actions.
//!
//! [`Store`] is the one way in. The operations are written once, in portable SQL; what differs
//! between database systems (connecting, migrations, binding and reading values, telling errors
//! apart) lives in one module each, behind the `backend` module.
//!
//! One counter, the [`Revision`], is raised in the transaction of every change that other nodes
//! must notice. It is also how writers are serialised without table locks: a change that was
//! checked at revision *r* commits only if *r* is still current ([`At::Revision`]).
//!
//! A [`Lease`] says which process is the active one; writes that only that one may make carry a
//! [`Fence`], which is checked in their transaction.
//!
//! Secrets in datasource configurations are sealed by a [`Sealer`] before they get here and opened
//! by whoever runs the datasource, with a [`KeyRing`]; the store itself, and nodes without keys,
//! never see them ([`DatasourceConfig`]).
#![forbid(unsafe_code)]

mod actions;
mod attempts;
mod backend;
mod config;
mod datasources;
mod drivers;
mod error;
mod keys;
mod lease;
mod library;
mod location;
mod manage;
mod model;
mod policies;
mod pushed;
mod rotation;
mod rules;
mod schema;
mod sealer;
mod store;

pub use actions::{ActionFilter, ActionKey, ActionRecord, ActionState, Begin, MAX_REASON, Outcome};
pub use config::DatasourceConfig;
pub use drivers::component_hash;
pub use error::{Error, Kind, OpenError, Result};
pub use keys::{KeyError, KeyRing};
pub use lease::{Acquired, Fence, Lease, Renewed};
pub use location::{Location, Password, Server, Tls, TlsMode};
pub use manage::{
    SCHEMA_HISTORY, SchemaRevision, current_schema, downgrade_schema, downgrade_sql,
    schema_revision, schema_sql, stamp_schema, stamp_sql, upgrade_schema,
};
pub use model::{
    At, Committed, Datasource, Driver, LibraryPolicy, LibraryRule, NewDatasource, NewLibraryPolicy,
    NewPolicy, NewRule, Policy, Revision, Rule, Snapshot,
};
pub use pushed::PushedTable;
pub use rotation::{add_key, promote_key, retire_keys};
pub use sealer::Sealer;
pub use store::{Options, Store};
