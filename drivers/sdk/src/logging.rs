//! Lines in the server's log, marked with the datasource. The host bounds their length and rate.

pub use crate::bindings::congress::datasource::logging::Level;

/// Logs a line. Tests, which have no host, have it on standard error.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::congress::datasource::logging::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    #[expect(clippy::print_stderr, reason = "only tests run without a host")]
    {
        eprintln!("{level:?}: {message}");
    }
}

/// Logs what only someone who hunts a fault wants to see.
pub fn debug(message: &str) {
    log(Level::Debug, message);
}

/// Logs what is worth knowing and needs no action.
pub fn info(message: &str) {
    log(Level::Info, message);
}

/// Logs what the operator should look at.
pub fn warn(message: &str) {
    log(Level::Warn, message);
}
