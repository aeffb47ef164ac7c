//! A guest's lines in the server's log: marked, cut, and not too many.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::Limits;
use crate::bindings::logging::Level;
use crate::secret::Scrubber;
use crate::text::clean;

/// The target of all lines that guests log, for filters.
const TARGET: &str = "congress_plugins::guest";

/// How many seconds' worth of lines may come at once.
const BURST_SECONDS: f64 = 5.0;

/// The log of one datasource; its rate is counted across calls.
pub(crate) struct GuestLog {
    driver: String,
    datasource: String,
    scrubber: Scrubber,
    line_bytes: usize,
    per_second: f64,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
    dropped: u64,
}

impl GuestLog {
    pub(crate) fn new(driver: &str, datasource: &str, scrubber: Scrubber, limits: &Limits) -> Self {
        let per_second = f64::from(limits.log_lines_per_second);
        Self {
            driver: driver.to_owned(),
            datasource: datasource.to_owned(),
            scrubber,
            line_bytes: limits.log_line_bytes,
            per_second,
            bucket: Mutex::new(Bucket {
                tokens: per_second * BURST_SECONDS,
                filled: Instant::now(),
                dropped: 0,
            }),
        }
    }

    pub(crate) fn log(&self, level: Level, message: &str) {
        let Some(dropped) = self.admit(Instant::now()) else { return };
        let (driver, datasource) = (&*self.driver, &*self.datasource);
        if dropped > 0 {
            tracing::warn!(target: TARGET, driver, datasource, dropped, "log lines dropped");
        }
        // Scrubbed before it is cut, lest half a secret stay.
        let message = clean(&self.scrubber.scrub(message), self.line_bytes);
        match level {
            Level::Trace => tracing::trace!(target: TARGET, driver, datasource, "{message}"),
            Level::Debug => tracing::debug!(target: TARGET, driver, datasource, "{message}"),
            Level::Info => tracing::info!(target: TARGET, driver, datasource, "{message}"),
            Level::Warn => tracing::warn!(target: TARGET, driver, datasource, "{message}"),
            Level::Error => tracing::error!(target: TARGET, driver, datasource, "{message}"),
        }
    }

    /// Whether a line passes; if so, how many did not since the last one that did.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.filled = now;
        let full = self.per_second * BURST_SECONDS;
        bucket.tokens = (bucket.tokens + elapsed * self.per_second).min(full);
        if bucket.tokens < 1.0 {
            bucket.dropped += 1;
            return None;
        }
        bucket.tokens -= 1.0;
        Some(std::mem::take(&mut bucket.dropped))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let limits = Limits { log_lines_per_second: 2, ..Limits::default() };
        let log = GuestLog::new("d", "s", Scrubber::default(), &limits);
        let now = Instant::now();
        let passed = (0..100).filter(|_| log.admit(now).is_some()).count();
        assert_eq!(passed, 10);
        let later = now + Duration::from_secs(1);
        assert_eq!(log.admit(later), Some(90));
        assert_eq!(log.admit(later), Some(0));
        assert_eq!(log.admit(later), None);
    }
}
