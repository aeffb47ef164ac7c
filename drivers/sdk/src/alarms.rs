//! What drivers that are notified of alarms have in common: alarms become old and go.

use crate::push::{Test, find};
use crate::{
    Config, ConfigField, Error, FieldType, Result, Row, Value, clock, describe, schedule, state,
};

/// How long alarms are kept where the configuration does not say.
const DEFAULT_HOURS: i64 = 240;

/// How long alarms are kept.
pub fn hours_to_keep_alarm() -> ConfigField {
    describe::field("hours_to_keep_alarm", "Alarms older than that many hours go; 240 by default.")
        .of(FieldType::Integer)
}

/// How long alarms are kept, in seconds.
fn keep(config: &Config) -> Result<i64> {
    let hours = config.integer("hours_to_keep_alarm")?.unwrap_or(DEFAULT_HOURS);
    if hours < 0 {
        return Err(Error::Config("field 'hours_to_keep_alarm' must not be negative".into()));
    }
    Ok(hours.saturating_mul(3600))
}

/// Checks the configuration.
pub fn check(config: &Config) -> Result<()> {
    keep(config).map(drop)
}

/// Under this key the state says that upkeep is asked for.
const WATCHED: &str = "alarms-watched";

/// Asks for upkeep when a tenth of the time has passed that alarms are kept, unless it is asked for
/// already. For every alarm that is received.
pub fn watch(config: &Config) -> Result<()> {
    if state::get(WATCHED).is_some() {
        return Ok(());
    }
    schedule::upkeep_after(u32::try_from((keep(config)? / 10).max(1)).unwrap_or(u32::MAX));
    state::set(WATCHED, true)
}

/// The alarms that are too old: those whose cell in that column is no later than the time that
/// `cell` makes of seconds since 1970. For the driver's upkeep; asks for the next one. None are too
/// old in the first upkeep after a start: alarms that were stored have that long to be seen.
pub fn outdated(
    config: &Config,
    table: &str,
    column: &str,
    cell: fn(i64) -> Value,
) -> Result<Vec<Row>> {
    if state::get(WATCHED).is_none() {
        watch(config)?;
        return Ok(Vec::new());
    }
    state::remove(WATCHED)?;
    watch(config)?;
    find(table, column, &Test::AtMost(cell(clock::now().saturating_sub(keep(config)?))))
}
