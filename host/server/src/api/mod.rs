//! The REST API.
//!
//! A pure client of two handles: all that it knows of policies it asks
//! [`EngineHandle`], all that it knows of datasources
//! [`Client`]. What is here is the outside: paths and methods
//! (`routes`), what holds for every request (`envelope`), bodies in and out (`intake`, `body`,
//! `answer`), one file for each resource, and the loop that accepts connections (`listener`).
//!
//! Texts and shapes are those of the original, for clients compare them. What goes beyond it is
//! described in `docs/api-extensions.md`.

mod action;
mod actions;
mod answer;
mod body;
mod cors;
mod datasources;
mod detail;
mod drivers;
mod envelope;
mod events;
mod explain;
mod forwarded;
mod front;
mod intake;
mod json_fault;
mod json_text;
mod kept;
mod library;
mod listener;
mod openapi;
mod page;
mod path;
mod policies;
mod revision;
mod routes;
mod rows;
mod rules;
mod schema;
mod simulate;
mod tables;
mod versions;
mod warnings;

use std::time::Duration;

pub(crate) use answer::one_line as json;
pub use cors::Cors;
pub use events::Streams;
pub use front::{Slot, front};
pub use kept::KeptAnswers;
pub use listener::serve;
pub use openapi::description as openapi;
pub(crate) use path::is_of_the_api;
pub(crate) use routes::{Operation, operations};

use crate::datasources::Client;
use crate::engine::EngineHandle;
use crate::library::Library;

/// All that a request may need.
#[derive(Clone)]
pub struct App {
    /// Policies, rules, tables and rows.
    pub engine: EngineHandle,
    /// Datasources and drivers.
    pub datasources: Client,
    /// Policies ready to be activated.
    pub library: Library,
    /// Clients that follow rows.
    pub streams: Streams,
    /// Answers that can be given again.
    pub kept: KeptAnswers,
    /// How long a request waits for the revision that it asks for.
    pub revision_timeout: Duration,
}

/// The bounds within which clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiOptions {
    /// Connections open at once. More wait in the kernel's queue until another closes.
    pub max_connections: usize,
    /// Requests worked on at once. More wait, and are answered 503 after `client_timeout`.
    pub max_simultaneous_requests: usize,
    /// The longest body of a request, in bytes. Longer ones are answered 413.
    pub max_body_bytes: usize,
    /// How long a client may take to send the head of a request (which bounds how long a
    /// connection may idle) or its body, and to take the next piece of an answer.
    pub client_timeout: Duration,
    /// Whether a proxy's headers say where clients sent their requests.
    pub proxy_headers: bool,
    /// How long requests may go on once the server is told to stop.
    pub drain_timeout: Duration,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_simultaneous_requests: 1024,
            max_body_bytes: 16 << 20,
            client_timeout: Duration::from_secs(60),
            proxy_headers: false,
            drain_timeout: Duration::from_secs(30),
        }
    }
}
