//! The resource agent for Pacemaker, `ocf/congress-datasource`: called as Pacemaker calls it, by
//! ocf-tester, and by a real cluster of two nodes.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod agent;
mod defects;
mod host;
mod life;
mod metadata;
