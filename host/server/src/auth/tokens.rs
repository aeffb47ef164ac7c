//! Whom tokens belong to, remembered for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use jiff::Timestamp;
use moka::Expiry;
use moka::future::Cache;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::caller::Caller;
use super::keystone::{Keystone, Outage};
use crate::health::Readiness;

/// No token is as long; longer ones are not asked about.
const MAX_TOKEN: usize = 8 << 10;

/// How many tokens are asked about at a time. More wait.
const SIMULTANEOUS: usize = 32;

/// How many requests may wait for that. Far fewer than are worked on at a time, so that a Keystone
/// that hangs does not hold up those whose token is known; more are answered 503 at once.
const WAITING: usize = 256;

/// How long a token that is no good is remembered at most: where several Keystones share keys, one
/// may hear of a new token a little later.
const REFUSED: Duration = Duration::from_secs(10);

/// How long a request waits for Keystone in all.
const DEADLINE: Duration = Duration::from_secs(30);

/// The name of Keystone in what `/readyz` answers.
const PART: &str = "keystone";

/// What tells a token from others: not the token, which would be of use to whoever finds it.
type Key = [u8; 32];

/// What is known of a token.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It is good until then.
    Good(Arc<Caller>, Timestamp),
    /// It is not.
    Refused,
}

/// The tokens that have been seen.
#[derive(Debug)]
pub(super) struct Tokens {
    keystone: Keystone,
    seen: Cache<Key, Verdict>,
    slots: Semaphore,
    queue: Semaphore,
    /// Whether Keystone was away when it was asked last.
    away: AtomicBool,
    readiness: Readiness,
}

/// How long verdicts are kept.
struct Keep(Duration);

impl Expiry<Key, Verdict> for Keep {
    fn expire_after_create(&self, _: &Key, verdict: &Verdict, _: Instant) -> Option<Duration> {
        Some(match verdict {
            Verdict::Good(_, until) => {
                let left = until.duration_since(Timestamp::now());
                self.0.min(Duration::try_from(left).unwrap_or_default())
            }
            Verdict::Refused => self.0.min(REFUSED),
        })
    }
}

impl Tokens {
    /// Remembers verdicts for `keep` (zero: not at all), on `most` tokens at most.
    pub(super) fn new(
        keystone: Keystone,
        keep: Duration,
        most: usize,
        readiness: Readiness,
    ) -> Self {
        let seen = Cache::builder().max_capacity(most as u64).expire_after(Keep(keep)).build();
        Self {
            keystone,
            seen,
            slots: Semaphore::new(SIMULTANEOUS),
            queue: Semaphore::new(WAITING),
            away: AtomicBool::new(false),
            readiness,
        }
    }

    /// Logs in to Keystone once, so that whoever starts the server sees whether that works.
    pub(super) async fn try_out(&self) {
        self.note(self.keystone.try_out().await.as_ref().err());
    }

    /// Whom a token belongs to and until when it is good; none if it is no good. With `expired` a
    /// token may be past its time.
    ///
    /// Several requests with one token wait for one answer.
    pub(super) async fn look_up(
        &self,
        token: &HeaderValue,
        expired: bool,
    ) -> Result<Option<(Arc<Caller>, Timestamp)>, Arc<Outage>> {
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Ok(None);
        }
        let key = Sha256::new().chain_update(token).chain_update([u8::from(expired)]).finalize();
        let key = Key::from(key);
        let known = self.seen.get(&key).await;
        let verdict = match known {
            Some(verdict) => verdict,
            None => self.find_out(key, token, expired).await?,
        };
        match verdict {
            Verdict::Good(caller, until) if expired || until > Timestamp::now() => {
                Ok(Some((caller, until)))
            }
            _ => Ok(None),
        }
    }

    /// What Keystone says, asked once for all who wait for it.
    async fn find_out(
        &self,
        key: Key,
        token: &HeaderValue,
        expired: bool,
    ) -> Result<Verdict, Arc<Outage>> {
        let _place = self.queue.try_acquire().map_err(|_| Outage::crowd(WAITING))?;
        let asking = async {
            let asked = tokio::time::timeout(DEADLINE, self.ask(token, expired)).await;
            let asked = asked.unwrap_or_else(|_| Err(Outage::late(DEADLINE)));
            self.note(asked.as_ref().err());
            asked
        };
        self.seen.try_get_with(key, asking).await
    }

    async fn ask(&self, token: &HeaderValue, expired: bool) -> Result<Verdict, Outage> {
        // Fails only if the semaphore is closed, which nobody does.
        let _slot = self.slots.acquire().await.ok();
        let verdict = match self.keystone.validate(token, expired).await? {
            Some(body) => {
                let until = body.expires_at;
                Verdict::Good(Arc::new(body.into()), until)
            }
            None => Verdict::Refused,
        };
        Ok(verdict)
    }

    /// Says when Keystone goes and comes back, once.
    fn note(&self, outage: Option<&Outage>) {
        let was_away = self.away.swap(outage.is_some(), Ordering::Relaxed);
        match outage {
            Some(outage) => {
                self.readiness.missing(PART, "it does not answer as it should; the log says why");
                if !was_away {
                    tracing::error!("tokens cannot be validated: {outage}");
                }
            }
            None => {
                self.readiness.present(PART);
                if was_away {
                    tracing::info!("tokens can be validated again");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
