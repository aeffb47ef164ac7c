//! Waiting for a file to change.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_millis(200);

/// What a file looks like from outside; none while it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<(u64, Option<SystemTime>)>);

impl Stamp {
    pub(super) fn of(file: &Path) -> Self {
        let metadata = std::fs::metadata(file).ok();
        Self(metadata.map(|metadata| (metadata.len(), metadata.modified().ok())))
    }
}

/// Waits until the file is there, differs from what it was, and has stayed the same for a moment:
/// a compiler may still be writing it.
pub(super) async fn changed(file: &Path, was: Stamp) -> Stamp {
    let mut last = Stamp::of(file);
    loop {
        tokio::time::sleep(PERIOD).await;
        let now = Stamp::of(file);
        if now == last && now != was && now.0.is_some() {
            return now;
        }
        last = now;
    }
}
