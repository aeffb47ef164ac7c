//! What one call may ask of services, and whom it waits for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Url;

use crate::net::{Origin, SendError};

/// How many requests one call has left, and those that are under way.
pub(crate) struct Budget {
    limit: usize,
    sent: AtomicUsize,
    under_way: Arc<Requests>,
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
        Self { limit: requests, sent: AtomicUsize::new(0), under_way: Arc::default() }
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed).min(self.limit)
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
}
