//! Drivers: those of the catalogue, and files that are to become some.

use std::time::Duration;

use congress_bus::CallError;
use serde_json::Value;

use super::super::drivers::{CatalogueEntry, DriverState, LoadState};
use super::super::views::{self, BuildSummary, DriverSummary};
use super::super::wire::{MANAGER, ManagerCall, ask};
use super::{Client, failure};
use crate::failure::{Answer, Failure, Status};

/// How long the node that runs drivers may take to tell how their loading stands. Lists do without.
const DRIVER_STATES: Duration = Duration::from_secs(2);

impl Client {
    /// All drivers, and files that are to become drivers, by id.
    pub async fn drivers(&self) -> Answer<Vec<DriverSummary>> {
        let (stored, states) = self.stored_and_states().await?;
        let mut summaries = Vec::new();
        for driver in &stored {
            let state = states.iter().find(|state| state.id == driver.id);
            match entry(driver) {
                Ok(entry) => summaries.push(DriverSummary {
                    id: driver.id.clone(),
                    build: BuildSummary::new(Some((driver, &entry)), state),
                    description: entry.metadata.description,
                }),
                // One that another version wrote must not hide all others.
                Err(error) => tracing::error!(
                    driver = %driver.id, error = %error.message,
                    "the catalogue's entry of a driver cannot be read"
                ),
            }
        }
        for state in states {
            if !stored.iter().any(|driver| driver.id == state.id) {
                summaries.push(DriverSummary {
                    build: BuildSummary::new(None, Some(&state)),
                    description: views::NO_DESCRIPTION.to_owned(),
                    id: state.id,
                });
            }
        }
        summaries.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(summaries)
    }

    /// A driver with its options and tables.
    pub async fn driver(&self, id: &str) -> Answer<Value> {
        let (stored, states) = self.stored_and_states().await?;
        let state = states.iter().find(|state| state.id == id);
        match (stored.iter().find(|driver| driver.id == id), state) {
            (Some(driver), state) => {
                let entry = entry(driver)?;
                let build = BuildSummary::new(Some((driver, &entry)), state);
                Ok(views::driver(&entry.metadata, &build))
            }
            (None, Some(state)) => Ok(views::file(state)),
            (None, None) => Err(no_driver(id)),
        }
    }

    /// The catalogue without disabled drivers, and how their loading stands, as far as somebody
    /// answers who runs drivers.
    async fn stored_and_states(&self) -> Answer<(Vec<congress_store::Driver>, Vec<DriverState>)> {
        let inner = &self.inner;
        let nobody = |error: &CallError| Failure::plain(Status::Unavailable, error);
        let call = ManagerCall::Drivers;
        let states = ask(inner.reach.bus.as_ref(), MANAGER, &call, DRIVER_STATES, nobody);
        // The states first: what they know as loaded is in the catalogue, or will be.
        let states: Answer<Vec<DriverState>> = states.await;
        let mut stored = inner.store.drivers().await.map_err(failure)?;
        stored.retain(|driver| !inner.options.disabled.contains(&driver.id));
        let states = states.unwrap_or_default().into_iter().map(|state| {
            let driver = stored.iter().find(|driver| driver.id == state.id);
            state.in_catalogue(driver.map(|driver| driver.hash.as_str()))
        });
        let states = states.collect();
        Ok((stored, states))
    }

    /// Says that a driver of this id is not there yet, if there is a file for one that is still
    /// being looked at: the client is to try again. A driver's file is taken for one by its name.
    pub(super) async fn is_coming(&self, id: &str) -> Option<Failure> {
        let (_, states) = self.stored_and_states().await.ok()?;
        let is_its_file = |file: &str| {
            let stem = file.strip_suffix(".wasm").unwrap_or(file);
            stem == id || stem.replace('-', "_") == id
        };
        let state = states.into_iter().find(|state| {
            matches!(state.state, LoadState::Copying | LoadState::Compiling)
                && (state.id == id || state.file.as_deref().is_some_and(is_its_file))
        })?;
        let file = state
            .file
            .map_or_else(|| "its component".to_owned(), |file| format!("its file {file}"));
        let doing = match state.state {
            LoadState::Copying => "is still being written",
            _ => "is being compiled, which takes up to half a minute",
        };
        Some(Failure::plain(
            Status::Unavailable,
            format!("driver '{id}' cannot be used yet: {file} {doing}; try again in a moment"),
        ))
    }

    /// A driver of the catalogue, unless it is disabled.
    pub(super) async fn stored_driver(
        &self,
        id: &str,
    ) -> Answer<Option<(congress_store::Driver, CatalogueEntry)>> {
        if self.inner.options.disabled.contains(id) {
            return Ok(None);
        }
        self.catalogue(id).await
    }

    /// A driver of the catalogue.
    pub(super) async fn catalogue(
        &self,
        id: &str,
    ) -> Answer<Option<(congress_store::Driver, CatalogueEntry)>> {
        match self.inner.store.driver(id).await {
            Ok(driver) => entry(&driver).map(|entry| Some((driver, entry))),
            Err(congress_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }
}

pub(super) fn entry(driver: &congress_store::Driver) -> Answer<CatalogueEntry> {
    serde_json::from_value(driver.metadata.clone()).map_err(Failure::internal)
}

pub(super) fn no_driver(id: &str) -> Failure {
    Failure::verbatim(
        Status::NotFound,
        format!(
            "Driver not found {id}. Either not supported or disabled by deployer in Congress config"
        ),
    )
}
