//! A clock that never goes back, and that counts while the machine sleeps.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::machine::Time;

/// The system's clock of this kind. `CLOCK_MONOTONIC`, which everything else uses, stands still
/// while a machine is suspended; a lease does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock;

impl Clock {
    pub(super) fn now(self) -> Time {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Duration::new(seconds, nanos)
    }
}
