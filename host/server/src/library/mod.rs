//! The policy library: policies ready to be activated, in the database.
//!
//! At a start with an empty library it is filled from YAML files ([`files`]). What is in it is not
//! checked as rules are: a policy of the library is text until somebody activates it.

pub mod files;

use std::path::PathBuf;

use congress_policy::names::is_referable_policy_name;
use congress_store::{Error, LibraryPolicy, NewLibraryPolicy, Store};

use crate::datasources::failure;
use crate::failure::{Answer, Failure, Status};

/// The policy library. Cheap to clone.
#[derive(Clone)]
pub struct Library {
    store: Store,
}

impl Library {
    /// The library in a database.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Fills an empty library from the YAML files in some folders. What is wrong with one is
    /// logged; a node serves without, too.
    pub async fn fill(&self, folders: Vec<PathBuf>) {
        match self.store.library().await {
            Ok(policies) if policies.is_empty() => {}
            Ok(_) => return,
            Err(error) => return tracing::error!(%error, "the policy library cannot be read"),
        }
        let read = tokio::task::spawn_blocking(move || files::read(&folders)).await;
        let policies = match read {
            Ok(policies) => policies,
            Err(error) => return tracing::error!(%error, "the policy library's files"),
        };
        let count = policies.len();
        match self.store.fill_library(policies).await {
            Ok(0) => {}
            Ok(_) => tracing::info!(policies = count, "the policy library is filled"),
            // Another node was faster.
            Err(Error::Conflict { .. }) => {}
            Err(error) => tracing::error!(%error, "the policy library cannot be filled"),
        }
    }

    /// All policies of the library, by name.
    pub async fn list(&self) -> Answer<Vec<LibraryPolicy>> {
        self.store.library().await.map_err(failure)
    }

    /// A policy of the library, by id or name.
    pub async fn get(&self, id_or_name: &str) -> Answer<LibraryPolicy> {
        self.store.library_policy(id_or_name).await.map_err(|error| told(error, id_or_name))
    }

    /// Adds a policy to the library.
    pub async fn create(&self, policy: NewLibraryPolicy) -> Answer<LibraryPolicy> {
        check(&policy)?;
        let name = policy.name.clone();
        self.store.create_library_policy(policy).await.map_err(|error| told(error, &name))
    }

    /// Replaces a policy of the library, by id or name.
    pub async fn replace(
        &self,
        id_or_name: &str,
        policy: NewLibraryPolicy,
    ) -> Answer<LibraryPolicy> {
        let old = self.get(id_or_name).await?;
        check(&policy)?;
        let replaced = self.store.replace_library_policy(&old.id, policy).await;
        replaced.map_err(|error| told(error, id_or_name))
    }

    /// Deletes a policy from the library, by id or name. Policies that were made of it stay.
    pub async fn delete(&self, id_or_name: &str) -> Answer<LibraryPolicy> {
        let old = self.get(id_or_name).await?;
        let deleted = self.store.delete_library_policy(&old.id).await;
        deleted.map_err(|error| told(error, id_or_name))
    }
}

fn check(policy: &NewLibraryPolicy) -> Answer<()> {
    let name = &policy.name;
    if is_referable_policy_name(name) {
        return Ok(());
    }
    let text = format!("name `{name}` is not a valid policy name");
    Err(Failure::plain(Status::BadRequest, text))
}

fn told(error: Error, asked: &str) -> Failure {
    match error {
        Error::NotFound { .. } => {
            let text = format!("No policy found with policy id {asked}");
            Failure::verbatim(Status::NotFound, text)
        }
        Error::Conflict { name, .. } => {
            Failure::verbatim(Status::Conflict, format!("Policy with name {name} already exists"))
        }
        other => failure(other),
    }
}
