//! One node as its supervisors see it: health, start, stop, and two that share a database.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod exits;
mod health;
mod standby;

use std::time::Duration;

use congress_tests::{ServerOptions, drivers_folder};

/// How long anything may take that usually takes milliseconds.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Options of a server with the drivers that are shipped.
pub(crate) fn shipped() -> ServerOptions {
    ServerOptions { drivers: Some(drivers_folder()), ..ServerOptions::default() }
}

/// Options of a server with the drivers that only tests load.
pub(crate) fn testing() -> ServerOptions {
    let drivers = Some(drivers_folder().join("testing"));
    ServerOptions { drivers, ..ServerOptions::default() }
}
