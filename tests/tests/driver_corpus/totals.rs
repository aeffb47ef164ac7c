//! Counting what passed, per driver and kind of recording.

use std::collections::BTreeMap;

use super::deviations::Why;

/// All counts and differences.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    counts: BTreeMap<(String, String), (usize, usize)>,
    /// Counted, but required of nobody.
    notes: BTreeMap<(String, String), (usize, usize)>,
    on_purpose: Vec<String>,
    differences: Vec<(String, String)>,
}

impl Totals {
    /// Counts one result; an error says what differs.
    pub(crate) fn add(&mut self, driver: &str, mode: &str, result: Result<Why, String>) {
        let count = self.counts.entry((driver.to_owned(), mode.to_owned())).or_default();
        count.1 += 1;
        match result {
            Ok(why) => {
                count.0 += 1;
                self.on_purpose.extend(why.map(|why| format!("{driver}: {mode}: {why}")));
            }
            Err(difference) => {
                self.differences.push((driver.to_owned(), format!("{mode}: {difference}")));
            }
        }
    }

    /// Counts something that nobody requires.
    pub(crate) fn note(&mut self, driver: &str, what: &str, holds: bool) {
        let count = self.notes.entry((driver.to_owned(), what.to_owned())).or_default();
        *count = (count.0 + usize::from(holds), count.1 + 1);
    }

    /// Prints everything.
    pub(crate) fn print(&self) {
        for ((driver, mode), (passed, all)) in &self.counts {
            println!("{driver}: {mode}: {passed}/{all}");
        }
        for ((driver, what), (holds, all)) in &self.notes {
            println!("{driver}: {what} (not required): {holds}/{all}");
        }
        for line in &self.on_purpose {
            println!("differs on purpose: {line}");
        }
        for (driver, difference) in &self.differences {
            println!("{driver}: {difference}");
        }
        let sum = self.counts.values().fold((0, 0), |sum, c| (sum.0 + c.0, sum.1 + c.1));
        println!("all drivers: {}/{}", sum.0, sum.1);
    }

    /// Drivers with differences.
    pub(crate) fn failed(&self) -> Vec<&str> {
        let mut drivers: Vec<&str> =
            self.differences.iter().map(|(driver, _)| driver.as_str()).collect();
        drivers.dedup();
        drivers
    }
}
