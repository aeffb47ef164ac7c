//! Figures and how they are printed.

use std::time::Duration;

/// Prints times beside what is promised of them.
pub(crate) fn print(what: &str, mut times: Vec<Duration>, promise: &str) {
    times.sort_unstable();
    let shown = |time: Option<&Duration>| match time {
        Some(time) => format!("{:.1}", time.as_secs_f64() * 1000.0),
        None => "-".to_owned(),
    };
    let at = |percent: usize| times.get((times.len().saturating_sub(1) * percent).div_ceil(100));
    println!(
        "{what}: n={} p50={} p99={} max={} ms   [{promise}]",
        times.len(),
        shown(at(50)),
        shown(at(99)),
        shown(times.last()),
    );
}
