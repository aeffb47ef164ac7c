//! How much computing a datasource may do among the others before it has to stand back.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What may be used up at once. An ordinary poll takes a few milliseconds.
const BURST: f64 = 0.1;

/// What comes back per second: a fiftieth of a processor.
const RATE: f64 = 0.02;

/// The largest debt: who has computed for hours is forgiven within a minute of rest.
const DEBT: f64 = 1.0;

/// Processor time that is there to be used up, and comes back at a steady rate. Below zero, the
/// datasource's calls run in the slow lane.
pub(crate) struct Allowance(Mutex<Level>);

struct Level {
    seconds: f64,
    at: Instant,
}

impl Allowance {
    pub(crate) fn full() -> Self {
        Self(Mutex::new(Level { seconds: BURST, at: Instant::now() }))
    }

    /// Takes off what was used. True if nothing is left.
    pub(crate) fn charge(&self, used: Duration) -> bool {
        self.charge_at(used, Instant::now())
    }

    /// Whether nothing is left.
    pub(crate) fn is_spent(&self) -> bool {
        self.charge(Duration::ZERO)
    }

    fn charge_at(&self, used: Duration, now: Instant) -> bool {
        let mut level = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let back = now.saturating_duration_since(level.at).as_secs_f64() * RATE;
        level.at = now;
        level.seconds = ((level.seconds + back).min(BURST) - used.as_secs_f64()).max(-DEBT);
        level.seconds < 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_used_up_and_comes_back() {
        let allowance = Allowance::full();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!allowance.charge_at(Duration::from_millis(90), start));
        assert!(allowance.charge_at(Duration::from_millis(20), start));
        assert!(!allowance.charge_at(Duration::ZERO, after(1)));
        assert!(allowance.charge_at(Duration::from_secs(3600), after(1)));
        assert!(allowance.charge_at(Duration::ZERO, after(50)));
        assert!(!allowance.charge_at(Duration::ZERO, after(60)));
        // It never grows beyond its burst.
        assert!(!allowance.charge_at(Duration::from_millis(90), after(10_000)));
        assert!(allowance.charge_at(Duration::from_millis(20), after(10_000)));
    }

    #[test]
    fn an_ordinary_datasource_never_gets_there() {
        let allowance = Allowance::full();
        let start = Instant::now();
        for poll in 0..1000 {
            let now = start + Duration::from_secs(10 * poll);
            assert!(!allowance.charge_at(Duration::from_millis(80), now), "poll {poll}");
        }
    }
}
