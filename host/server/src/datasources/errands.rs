//! Actions that the API asked for: they run on after their answer, and a node that stops waits for
//! them.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Those of one node that are under way. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(super) struct Errands {
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl Errands {
    /// Has one run in the background; `what` it is, for the log.
    pub(super) fn run(&self, what: String, errand: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = errand => {}
                () = cut.cancelled() => tracing::error!(
                    "{what} was under way when this node stopped: whether it was carried out is \
                     not known, and it is not repeated"
                ),
            }
        });
    }

    /// Waits until all have ended, or for so long; the others are cut off, which the log tells.
    pub(super) async fn end(&self, within: Duration) {
        self.tasks.close();
        if tokio::time::timeout(within, self.tasks.wait()).await.is_err() {
            self.cut.cancel();
            self.tasks.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn those_that_end_in_time_come_to_their_end() {
        let errands = Errands::default();
        let (done, mut ended) = oneshot::channel();
        errands.clone().run("quick".into(), async {
            tokio::task::yield_now().await;
            done.send(()).unwrap();
        });
        let (lost, mut cut) = oneshot::channel::<()>();
        errands.run("slow".into(), async {
            std::future::pending::<()>().await;
            drop(lost);
        });
        errands.end(Duration::from_millis(50)).await;
        assert!(ended.try_recv().is_ok());
        assert_eq!(cut.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
