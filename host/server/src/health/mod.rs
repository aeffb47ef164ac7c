//! What supervisors and load balancers ask of a node, and what answers.
//!
//! Two questions, two answers, on every node and without a token. `/healthcheck` ([`Pulse`]): does
//! the process make progress? A supervisor restarts one that does not. `/readyz` ([`Readiness`]):
//! is it of use? A balancer passes by one that is not. A database or broker that is away makes a
//! node neither dead nor useless: no restart would bring it back, and rows are still served. No
//! answer touches the database or the bus.

mod detail;
mod pulse;
mod readiness;
mod routes;

pub use detail::Detail;
pub use pulse::{Pulse, Turns};
pub use readiness::{Phase, Readiness};
pub use routes::router;

/// All that the two questions need.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Whether the process makes progress.
    pub pulse: Pulse,
    /// Whether it is of use.
    pub readiness: Readiness,
    /// What `/readyz?detail` adds.
    pub detail: Detail,
}
