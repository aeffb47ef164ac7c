//! One node as its supervisors see it: health, start, stop, and two that share a database.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod exits;
mod health;
mod standby;

pub(crate) use congress_tests::SOON;
use congress_tests::{ServerOptions, drivers_folder};

/// Options of a server with the drivers that are shipped.
pub(crate) fn shipped() -> ServerOptions {
    ServerOptions { drivers: Some(drivers_folder()), ..ServerOptions::default() }
}

/// Options of a server with the drivers that only tests load.
pub(crate) fn testing() -> ServerOptions {
    let drivers = Some(drivers_folder().join("testing"));
    ServerOptions { drivers, ..ServerOptions::default() }
}
