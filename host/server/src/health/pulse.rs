//! Whether the process makes progress.
//!
//! Each role's main loop reports its turns. One task of the runtime looks at all of them and counts
//! a beat as long as none has stood still for too long. So the count stops if the runtime is stuck,
//! if a loop hangs, and if one has ended that should run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::MissedTickBehavior;

/// How often there is a beat.
pub(super) const PERIOD: Duration = Duration::from_millis(250);

/// How long a loop may stand still. Far longer than anything that loops do between two turns, for
/// a supervisor restarts a process that is over it.
const BOUND: Duration = Duration::from_secs(30);

/// The progress of the process. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Times are milliseconds since this moment: the monotonic clock, whatever the wall clock does.
    begin: Instant,
    beats: AtomicU64,
    last_beat: AtomicU64,
    loops: Mutex<BTreeMap<&'static str, Arc<Loop>>>,
}

#[derive(Debug)]
struct Loop {
    turns: AtomicU64,
    last: AtomicU64,
}

/// With which a main loop reports its turns.
#[derive(Debug)]
pub struct Turns {
    pulse: Pulse,
    progress: Arc<Loop>,
    timer: tokio::time::Interval,
}

/// What `/healthcheck` answers.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    status: &'static str,
    /// Beats so far. It grows by several a second as long as all is well.
    heartbeat: u64,
    /// Seconds since the last beat.
    heartbeat_age: f64,
    /// The main loops.
    loops: BTreeMap<&'static str, LoopReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LoopReport {
    turns: u64,
    /// Seconds since the last turn.
    age: f64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self::since(Instant::now())
    }
}

impl Pulse {
    fn since(begin: Instant) -> Self {
        Self(Arc::new(Inner {
            begin,
            beats: AtomicU64::new(0),
            last_beat: AtomicU64::new(0),
            loops: Mutex::default(),
        }))
    }

    /// Has a main loop watched from now on, until its [`Pulse::dismiss`]. A name given again is
    /// that of the loop that follows the one before.
    pub fn watch(&self, name: &'static str) -> Turns {
        let progress =
            Arc::new(Loop { turns: AtomicU64::new(0), last: AtomicU64::new(self.now()) });
        self.loops().insert(name, progress.clone());
        let mut timer = tokio::time::interval(PERIOD);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Turns { pulse: self.clone(), progress, timer }
    }

    /// A loop has come to its proper end.
    pub fn dismiss(&self, name: &'static str) {
        self.loops().remove(name);
    }

    /// Beats for ever; `beaten` is told each time whether all is well.
    pub async fn beat(self, mut beaten: impl FnMut(bool)) {
        let mut timer = tokio::time::interval(PERIOD);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            timer.tick().await;
            let well = self.stuck().is_empty();
            if well {
                self.0.beats.fetch_add(1, Ordering::Relaxed);
                self.0.last_beat.store(self.now(), Ordering::Relaxed);
            }
            beaten(well);
        }
    }

    /// For supervisors: whether all is well, and particulars.
    pub(super) fn report(&self) -> (bool, Report) {
        let mut reasons = self.stuck();
        let heartbeat_age = self.age(&self.0.last_beat);
        if heartbeat_age > BOUND && reasons.is_empty() {
            let seconds = heartbeat_age.as_secs();
            reasons.push(format!("the runtime has not beaten for {seconds} s"));
        }
        let report = |progress: &Loop| LoopReport {
            turns: progress.turns.load(Ordering::Relaxed),
            age: seconds(self.age(&progress.last)),
        };
        let loops = self.loops().iter().map(|(name, progress)| (*name, report(progress))).collect();
        let report = Report {
            status: if reasons.is_empty() { "OK" } else { "STUCK" },
            heartbeat: self.0.beats.load(Ordering::Relaxed),
            heartbeat_age: seconds(heartbeat_age),
            loops,
            reasons,
        };
        (report.reasons.is_empty(), report)
    }

    /// Which loops stand still, each in a sentence.
    fn stuck(&self) -> Vec<String> {
        let loops = self.loops();
        let ages = loops.iter().map(|(name, progress)| (name, self.age(&progress.last)));
        ages.filter(|(_, age)| *age > BOUND)
            .map(|(name, age)| {
                format!("the main loop of {name} has not turned for {} s", age.as_secs())
            })
            .collect()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn age(&self, at: &AtomicU64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(at.load(Ordering::Relaxed)))
    }

    fn loops(&self) -> MutexGuard<'_, BTreeMap<&'static str, Arc<Loop>>> {
        self.0.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    /// Reports a turn.
    pub fn turned(&self) {
        self.progress.turns.fetch_add(1, Ordering::Relaxed);
        self.progress.last.store(self.pulse.now(), Ordering::Relaxed);
    }

    /// Reports a turn after a short time: a loop that waits for this besides its work turns also
    /// when there is none. Safe to cancel.
    pub async fn idle(&mut self) {
        self.timer.tick().await;
        self.turned();
    }
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if the process had begun that long ago, and stood still since.
    fn aged(age: Duration) -> Pulse {
        Pulse::since(Instant::now().checked_sub(age).unwrap())
    }

    #[tokio::test]
    async fn beats_go_on_while_loops_turn() {
        let pulse = Pulse::default();
        let mut turns = pulse.watch("api");
        let beating = tokio::spawn(pulse.clone().beat(|well| assert!(well)));
        while pulse.report().1.heartbeat < 2 {
            turns.idle().await;
        }
        beating.abort();
        let (well, report) = pulse.report();
        assert!(well && report.status == "OK" && report.loops["api"].turns > 0, "{report:?}");
    }

    #[tokio::test]
    async fn a_loop_that_stands_still_stops_the_beats() {
        let pulse = aged(BOUND * 2);
        let turns = pulse.watch("api");
        let stuck = pulse.watch("datasources");
        stuck.progress.last.store(0, Ordering::Relaxed);
        let (told, mut tell) = tokio::sync::mpsc::unbounded_channel();
        let beating = tokio::spawn(pulse.clone().beat(move |well| told.send(well).unwrap()));
        assert_eq!(tell.recv().await, Some(false));
        let (well, report) = pulse.report();
        assert!(!well && report.heartbeat == 0, "{report:?}");
        assert_eq!(report.reasons, ["the main loop of datasources has not turned for 60 s"]);
        stuck.turned();
        turns.turned();
        while tell.recv().await != Some(true) {}
        assert!(pulse.report().0);
        beating.abort();
    }

    #[test]
    fn a_runtime_that_stands_still_is_noticed() {
        let pulse = aged(BOUND * 2);
        let (well, report) = pulse.report();
        assert!(!well && report.reasons[0].contains("the runtime"), "{report:?}");
    }
}
