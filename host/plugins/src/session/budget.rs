//! What one call may ask of services, how long each may take, and whom it waits for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;

use super::SessionError;
use crate::net::{Origin, SendError};

/// In the last part of a call's time, one of so many, no request is sent: what has been read until
/// then is worth more than what might be read still.
const PARTS: u32 = 10;

/// How many requests one call has left, and those that are under way.
pub(crate) struct Budget {
    limit: usize,
    sent: AtomicUsize,
    under_way: Arc<Requests>,
    time: OnceLock<CallTime>,
    login: OnceLock<SessionError>,
}

/// The time of a call that has begun.
struct CallTime {
    end: Instant,
    whole: Duration,
}

impl CallTime {
    fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Whether so much is enough for another request.
    fn suffices(&self, left: Duration) -> bool {
        left >= self.whole / PARTS
    }
}

/// By their numbers, in the order in which the driver sent them. One that has to wait for others of
/// its datasource counts from when the driver sent it.
type Requests = Mutex<Vec<(usize, Url)>>;

/// A request that is under way until this is dropped.
pub(crate) struct UnderWay {
    requests: Arc<Requests>,
    number: usize,
}

impl Budget {
    pub(crate) fn new(requests: usize) -> Self {
        Self {
            limit: requests,
            sent: AtomicUsize::new(0),
            under_way: Arc::default(),
            time: OnceLock::new(),
            login: OnceLock::new(),
        }
    }

    /// The call begins, and is stopped after this time.
    pub(crate) fn begins(&self, whole: Duration) {
        self.time.get_or_init(|| CallTime { end: Instant::now() + whole, whole });
    }

    /// How long a request may take: half of what is left of the call, so that a service that does not
    /// answer costs one table and not all that the call has read.
    pub(crate) fn patience(&self) -> Result<Duration, SendError> {
        let Some(time) = self.time.get() else { return Ok(Duration::MAX) };
        let left = time.left();
        if !time.suffices(left) {
            return Err(SendError::Limit(format!(
                "no time is left for another request: the call may take {} s in all, the limit \
                 `call_timeout`",
                time.whole.as_secs_f64()
            )));
        }
        let half = left / 2;
        // Whole milliseconds read better.
        Ok(half - Duration::from_nanos(u64::from(half.subsec_nanos() % 1_000_000)))
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed).min(self.limit)
    }

    /// Whether there is time for a pause, and for a request after it.
    pub(crate) fn can_wait(&self, pause: Duration) -> bool {
        let Some(time) = self.time.get() else { return true };
        let left = time.left();
        pause <= left / 2 && time.suffices(left - pause)
    }

    /// Why a login failed in this call. What depends on it needs not find out again: one that takes
    /// its time to fail would cost that of every table, and a password that is refused often locks
    /// its user out.
    pub(super) fn failed_login(&self) -> Option<SessionError> {
        self.login.get().cloned()
    }

    /// Notes why a login failed.
    pub(super) fn login_failed(&self, error: SessionError) {
        self.login.get_or_init(|| error);
    }

    /// Counts a request.
    pub(crate) fn begin(&self, url: &Url) -> Result<UnderWay, SendError> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        if number < self.limit {
            lock(&self.under_way).push((number, url.clone()));
            return Ok(UnderWay { requests: self.under_way.clone(), number });
        }
        Err(SendError::Limit(match self.limit {
            0 => "no requests can be sent while a driver describes itself or its tables".to_owned(),
            limit => format!("more than {limit} requests, the limit `requests_per_call`"),
        }))
    }

    /// The service that has been waited for longest, if any is.
    pub(crate) fn waits_for(&self) -> Option<String> {
        let under_way = lock(&self.under_way);
        let (_, url) = under_way.first()?;
        Origin::of(url).ok().map(|origin| origin.to_string())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.requests).retain(|(number, _)| *number != self.number);
    }
}

fn lock(requests: &Requests) -> MutexGuard<'_, Vec<(usize, Url)>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_and_known_while_they_are_under_way() {
        let url = |text: &str| Url::parse(text).unwrap();
        let budget = Budget::new(2);
        assert_eq!(budget.waits_for(), None);
        let first = budget.begin(&url("http://a.example/secret?x=1")).unwrap();
        let second = budget.begin(&url("https://b.example:8443/")).unwrap();
        assert!(budget.begin(&url("http://c.example/")).is_err());
        assert_eq!((budget.sent(), budget.waits_for().unwrap()), (2, "http://a.example:80".into()));
        drop(first);
        assert_eq!(budget.waits_for().unwrap(), "https://b.example:8443");
        drop(second);
        assert_eq!(budget.waits_for(), None);
    }

    #[test]
    fn each_request_leaves_time_for_another() {
        let budget = Budget::new(9);
        assert_eq!(budget.patience().unwrap(), Duration::MAX);
        budget.begins(Duration::from_secs(60));
        let first = budget.patience().unwrap();
        assert!(first <= Duration::from_secs(30) && first > Duration::from_secs(20), "{first:?}");
        assert!(
            budget.can_wait(Duration::from_secs(20)) && !budget.can_wait(Duration::from_secs(31))
        );
        let late = Budget::new(9);
        late.begins(Duration::ZERO);
        assert!(late.patience().is_ok(), "a tenth of nothing is left");
        let late = Budget::new(9);
        let begun = Instant::now() - Duration::from_secs(55);
        let time =
            CallTime { end: begun + Duration::from_secs(60), whole: Duration::from_secs(60) };
        assert!(late.time.set(time).is_ok());
        assert!(!late.can_wait(Duration::ZERO));
        let error = late.patience().unwrap_err().to_string();
        assert!(error.contains("60 s") && error.contains("`call_timeout`"), "{error}");
    }
}
