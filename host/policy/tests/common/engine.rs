//! An engine with policies, whose clock stands.

use std::sync::Arc;

use congress_policy::{Engine, NewPolicy, Options, PolicyKind};
use time::macros::datetime;

/// An engine with nonrecursive policies of these names.
pub(crate) fn engine(policies: &[&str]) -> Engine {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    for name in policies {
        engine.create_policy(NewPolicy::new(*name, PolicyKind::Nonrecursive)).unwrap();
    }
    engine
}
