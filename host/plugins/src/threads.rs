//! Threads of our own to run tasks on.

use std::io;

use tokio::runtime::{self, Handle, Runtime};

/// How far threads of low priority stand back: they get half of what others get. Much more, and on
/// a busy machine honest hard work would never end (10: a second's work took a minute).
const NICE: i32 = 3;

/// A runtime of our own. Dropped from within another one, an ordinary runtime would panic.
pub(crate) struct Threads {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Threads {
    pub(crate) fn start(name: &str, workers: usize) -> io::Result<Self> {
        Self::new(name, workers, || {})
    }

    /// Threads that stand back when others want the processor.
    pub(crate) fn start_nice(name: &str, workers: usize) -> io::Result<Self> {
        Self::new(name, workers, || {
            // Without it they work as well, only less politely.
            let _ = rustix::process::nice(NICE);
        })
    }

    fn new(
        name: &str,
        workers: usize,
        begin: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(workers.max(1))
            .thread_name(name)
            .on_thread_start(begin)
            // A guest's turn may take a whole tick, so new tasks, timers and sockets are looked
            // at between any two turns and not, as by default, after dozens of them.
            .global_queue_interval(1)
            .event_interval(1)
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
