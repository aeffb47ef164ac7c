//! Huge pages, put off until there is something to put into them (docs/adr/0094).
//!
//! The allocator asks the kernel for them: tables that are looked up all over gain by it. In a server
//! that has hardly any rows they stay empty for the most part.

use std::time::Duration;

use rustix::thread::disable_transparent_huge_pages;

/// From how much memory of its own on a process has huge pages, in KiB.
const LARGE: u64 = 48 << 10;

/// How often it is looked at until then.
const PERIOD: Duration = Duration::from_secs(1);

/// Whoever sets this decides, and nobody else; the allocator reads it.
const DECIDED: &str = "MIMALLOC_ALLOW_THP";

/// This process, and those that it starts, have none from now on.
pub fn put_off() {
    decide(true);
}

/// This process has them from now on.
pub fn allow() {
    decide(false);
}

/// Allows them as soon as the process is large.
pub async fn allow_when_large() {
    allow_from(LARGE).await;
}

async fn allow_from(kibibytes: u64) {
    let mut timer = tokio::time::interval(PERIOD);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while own_memory().is_some_and(|own| own < kibibytes) {
        timer.tick().await;
    }
    allow();
}

fn decide(disable: bool) {
    if std::env::var_os(DECIDED).is_none()
        && let Err(error) = disable_transparent_huge_pages(disable)
    {
        // As it was is good too.
        tracing::debug!(%error, "the kernel knows no switch for huge pages");
    }
}

/// What the process holds that is not of a file, in KiB.
fn own_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rustix::thread::transparent_huge_pages_are_disabled;

    use super::*;

    #[tokio::test]
    async fn they_come_with_the_memory_to_fill_them() {
        if std::env::var_os(DECIDED).is_some() {
            println!("skipped: {DECIDED} is set");
            return;
        }
        put_off();
        // Other tests have memory too.
        let large = own_memory().unwrap() + LARGE;
        let waiting = tokio::spawn(allow_from(large));
        tokio::task::yield_now().await;
        assert!(transparent_huge_pages_are_disabled().unwrap());
        let rows = vec![1_u8; ((2 * LARGE) << 10) as usize];
        waiting.await.unwrap();
        assert!(!transparent_huge_pages_are_disabled().unwrap());
        drop(std::hint::black_box(rows));
    }
}
