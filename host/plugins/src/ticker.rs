//! The clock by which running guests are interrupted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// How long a guest computes before others get their turn.
const TICK: Duration = Duration::from_millis(10);

/// For how many ticks it goes on when no guest runs any more: where datasources poll often, a call
/// then need not wake it first.
const LINGER: u32 = 100;

/// A thread that advances the engine's epoch while guests run, and sleeps while none do.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    running: AtomicUsize,
    stop: AtomicBool,
}

/// A running guest.
pub(crate) struct Running(Arc<Shared>);

impl Ticker {
    pub(crate) fn start(engine: Engine) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { running: AtomicUsize::new(0), stop: AtomicBool::new(false) });
        let state = shared.clone();
        let thread = thread::Builder::new().name("plugins-ticker".into()).spawn(move || {
            let mut idle = 0;
            while !state.stop.load(Ordering::Acquire) {
                idle = if state.running.load(Ordering::Acquire) == 0 { idle + 1 } else { 0 };
                if idle > LINGER {
                    thread::park();
                    idle = 0;
                }
                thread::sleep(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Ticks until the answer is dropped.
    pub(crate) fn run(&self) -> Running {
        if self.shared.running.fetch_add(1, Ordering::AcqRel) == 0 {
            self.wake();
        }
        Running(self.shared.clone())
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // Ends within a tick. A panic in it was reported when it happened.
            let _ = thread.join();
        }
    }
}
