//! How long a datasource that fails waits until it tries again.

use std::time::Duration;

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It went well.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: how long to wait, where `period` is the usual pause.
    ///
    /// After the first failure that is just the period; then it doubles, up to `longest` (or the
    /// period, if that is longer). `random`, from 0 to 1, picks a place in its upper half, so that
    /// datasources that fail for the same reason do not all come back at the same moment.
    pub(super) fn failed(&mut self, period: Duration, longest: Duration, random: f64) -> Duration {
        let doublings = self.failures.min(20);
        self.failures = self.failures.saturating_add(1);
        let full = period.saturating_mul(1 << doublings).min(longest.max(period));
        let least = (full / 2).max(period);
        least + (full - least).mul_f64(random.clamp(0.0, 1.0))
    }

    /// How often in a row it has failed.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

/// A number from 0 to 1, another one each time.
pub(crate) fn random() -> f64 {
    let (bits, _) = uuid::Uuid::new_v4().as_u64_pair();
    f64::from((bits >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let seconds: Vec<_> =
            (0..7).map(|_| backoff.failed(10 * S, 300 * S, 1.0).as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.failures(), 7);
        backoff.reset();
        assert_eq!(backoff.failed(10 * S, 300 * S, 1.0), 10 * S);
    }

    #[test]
    fn jitter_never_polls_faster_than_usual() {
        let mut backoff = Backoff::default();
        let seconds: Vec<_> =
            (0..4).map(|_| backoff.failed(10 * S, 300 * S, 0.0).as_secs()).collect();
        assert_eq!(seconds, [10, 10, 20, 40]);
        let mut rare = Backoff::default();
        rare.failed(3600 * S, 300 * S, 0.5);
        assert_eq!(rare.failed(3600 * S, 300 * S, 0.0), 3600 * S, "the period is longer");
        let mut long = Backoff { failures: u32::MAX };
        assert!(long.failed(S, 300 * S, 0.0) >= 150 * S);
        assert!((0..100).map(|_| random()).all(|r| (0.0..=1.0).contains(&r)));
    }
}
