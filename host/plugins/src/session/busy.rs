//! Services that are too busy to answer: when to ask them again.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::header::RETRY_AFTER;
use http::{Method, StatusCode};

use crate::net::{Answer, Origin, only_reads};

/// How often a request is sent again.
const AGAIN: u32 = 3;

/// The longest first pause where the service names none; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// The longest time that a service can have itself left alone.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What services that were too busy have asked for and did not get: until when they want to be left
/// alone.
#[derive(Default)]
pub(crate) struct Busy(Mutex<HashMap<Origin, Instant>>);

impl Busy {
    /// How long from now on, for the longest.
    pub(crate) fn rest(&self) -> Option<Duration> {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner).values().max().copied();
        until.map(|until| until.saturating_duration_since(Instant::now())).filter(|d| !d.is_zero())
    }

    /// Notes what an answer asks for. One that is not too busy asks for nothing any more.
    pub(super) fn note(&self, origin: Origin, answer: &Answer) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match retry_after(answer) {
            Some(rest) => {
                until.insert(origin, Instant::now() + rest);
            }
            None => {
                until.remove(&origin);
            }
        }
    }
}

/// Whether a service was too busy to do what it was asked for.
fn is_busy(answer: &Answer) -> bool {
    matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// How long to wait before a request is sent for the `nth` time again; none if it is not to be.
/// `random`, from 0 to 1, keeps those that were turned away together from coming back together.
pub(super) fn pause(method: &Method, answer: &Answer, nth: u32, random: f64) -> Option<Duration> {
    if !only_reads(method) || !is_busy(answer) || nth >= AGAIN {
        return None;
    }
    let longest = FIRST * (1 << nth);
    let own = longest.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
    Some(retry_after(answer).unwrap_or(own))
}

/// A number from 0 to 1, another one each time.
pub(super) fn random() -> f64 {
    // The standard library seeds its hashers at random.
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 32) as f64 / f64::from(u32::MAX)
}

/// What the header says: seconds, or a date.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let text = answer.headers.get(RETRY_AFTER).filter(|_| is_busy(answer))?.to_str().ok()?.trim();
    let rest = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            // One that has passed is of another clock.
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(SystemTime::now()).ok()?
        }
    };
    Some(rest.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, after: Option<&str>) -> Answer {
        let mut answer = Answer::from(http::Response::new(bytes::Bytes::new()));
        answer.status = StatusCode::from_u16(status).unwrap();
        if let Some(after) = after {
            answer.headers.insert(RETRY_AFTER, after.parse().unwrap());
        }
        answer
    }

    #[test]
    fn only_what_a_busy_service_did_not_do_is_repeated() {
        let pause = |method: Method, status, nth| pause(&method, &answer(status, None), nth, 1.0);
        let seconds: Vec<_> = (0..4).map(|nth| pause(Method::GET, 503, nth)).collect();
        let second = Duration::from_secs(1);
        assert_eq!(seconds, [Some(second), Some(2 * second), Some(4 * second), None]);
        assert_eq!(pause(Method::GET, 429, 0), Some(second));
        for (method, status) in [(Method::GET, 500), (Method::GET, 200), (Method::POST, 503)] {
            assert_eq!(pause(method, status, 0), None);
        }
    }

    #[test]
    fn the_service_says_how_long() {
        let pause = |after| pause(&Method::GET, &answer(429, Some(after)), 0, 0.0);
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("99999999999"), Some(LONGEST));
        assert_eq!(pause("0"), Some(Duration::ZERO));
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT"), Some(FIRST / 2));
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
        let rest = pause(&soon).unwrap();
        assert!((50..=60).contains(&rest.as_secs()), "{rest:?}");
        assert_eq!(
            pause("soon"),
            Some(FIRST / 2),
            "what makes no sense is as if it were not there"
        );
    }

    #[test]
    fn what_was_asked_for_is_remembered() {
        let busy = Busy::default();
        let of = |host: &str| Origin::of(&format!("http://{host}/").parse().unwrap()).unwrap();
        busy.note(of("a"), &answer(200, Some("100")));
        assert_eq!(busy.rest(), None);
        busy.note(of("a"), &answer(429, Some("100")));
        busy.note(of("b"), &answer(429, Some("10")));
        assert!(busy.rest().unwrap() > Duration::from_secs(90));
        busy.note(of("a"), &answer(200, None));
        assert!(busy.rest().unwrap() <= Duration::from_secs(10));
    }
}
