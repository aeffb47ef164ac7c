//! Dates and times. They are texts in policies, have no zone, and count microseconds.

use std::cmp::Ordering;

use num_bigint::BigInt;
use time::{Date, Duration, Month, PrimitiveDateTime, Time};

use super::numbers::parse_int;
use super::text::plain;
use super::{BuiltinError, Context, Result, datetime_text};
use crate::ast::Constant;

/// Durations beyond this reach from any date to none.
const MAX_SECONDS: i64 = 400_000_000_000;

pub(super) fn now(context: &Context, []: &[Constant; 0]) -> Result<Constant> {
    let seconds = context.now.replace_nanosecond(0).unwrap_or(context.now);
    Ok(text(date_time_text(seconds)))
}

pub(super) fn unpack_date(context: &Context, [value]: &[Constant; 1]) -> Result<Vec<Constant>> {
    Ok(date_numbers(read(context, value)?).map(int).into())
}

pub(super) fn unpack_time(context: &Context, [value]: &[Constant; 1]) -> Result<Vec<Constant>> {
    Ok(time_numbers(read(context, value)?).map(int).into())
}

pub(super) fn unpack_datetime(context: &Context, [value]: &[Constant; 1]) -> Result<Vec<Constant>> {
    let when = read(context, value)?;
    Ok(date_numbers(when).into_iter().chain(time_numbers(when)).map(int).collect())
}

pub(super) fn pack_time([h, m, s]: &[Constant; 3]) -> Result<Constant> {
    Ok(text(format!("{}:{}:{}", plain(h), plain(m), plain(s))))
}

pub(super) fn pack_date([y, m, d]: &[Constant; 3]) -> Result<Constant> {
    Ok(text(format!("{}-{}-{}", plain(y), plain(m), plain(d))))
}

pub(super) fn pack_datetime([y, m, d, h, min, s]: &[Constant; 6]) -> Result<Constant> {
    let [y, m, d, h, min, s] = [y, m, d, h, min, s].map(plain);
    Ok(text(format!("{y}-{m}-{d} {h}:{min}:{s}")))
}

pub(super) fn extract_date(context: &Context, [value]: &[Constant; 1]) -> Result<Constant> {
    Ok(text(date_text(read(context, value)?)))
}

pub(super) fn extract_time(context: &Context, [value]: &[Constant; 1]) -> Result<Constant> {
    Ok(text(time_text(read(context, value)?)))
}

/// Whole seconds since the beginning of 1900.
pub(super) fn to_seconds(context: &Context, [value]: &[Constant; 1]) -> Result<Constant> {
    let epoch = Date::from_calendar_date(1900, Month::January, 1)
        .map_err(|_| BuiltinError::from("no epoch"))?
        .midnight();
    Ok(int((read(context, value)? - epoch).whole_seconds()))
}

pub(super) fn plus(context: &Context, [value, distance]: &[Constant; 2]) -> Result<Constant> {
    moved(read(context, value)?.checked_add(duration(distance)?))
}

pub(super) fn minus(context: &Context, [value, distance]: &[Constant; 2]) -> Result<Constant> {
    moved(read(context, value)?.checked_sub(duration(distance)?))
}

/// Whether the order of two dates is a wanted one.
pub(super) fn ordered(
    context: &Context,
    [a, b]: &[Constant; 2],
    wanted: fn(Ordering) -> bool,
) -> Result<bool> {
    Ok(wanted(read(context, a)?.cmp(&read(context, b)?)))
}

fn read(context: &Context, value: &Constant) -> Result<PrimitiveDateTime> {
    match value {
        Constant::Text(text) => datetime_text::parse(text, context.now.date())
            .ok_or_else(|| "not a date or time in a known form".into()),
        _ => Err("a date is a text".into()),
    }
}

/// Whether a value is a time alone, which is one of the day on which it is read.
pub(super) fn is_of_today(value: &Constant) -> bool {
    let Constant::Text(text) = value else { return false };
    datetime_text::parse(text, Date::MIN) != datetime_text::parse(text, Date::MAX)
}

/// A number of seconds, or up to five whole numbers with colons between them: weeks, days, hours,
/// minutes and seconds, of which the first ones may be left out.
fn duration(value: &Constant) -> Result<Duration> {
    const UNITS: [i64; 5] = [1, 60, 3600, 86_400, 604_800];
    let too_long = || BuiltinError::from("the duration is too long");
    match value {
        Constant::Int(seconds) => in_range(seconds).map(Duration::seconds).ok_or_else(too_long),
        Constant::Float(seconds) if seconds.abs() <= MAX_SECONDS as f64 => {
            Ok(Duration::microseconds((seconds * 1e6).round_ties_even() as i64))
        }
        Constant::Float(_) => Err(too_long()),
        Constant::Text(text) => {
            let parts: Vec<&str> = text.rsplit(':').take(UNITS.len() + 1).collect();
            if parts.len() > UNITS.len() {
                return Err("a duration has at most five parts".into());
            }
            let mut seconds = BigInt::ZERO;
            for (part, unit) in parts.into_iter().zip(UNITS) {
                seconds += parse_int(part)? * unit;
            }
            in_range(&seconds).map(Duration::seconds).ok_or_else(too_long)
        }
    }
}

fn in_range(seconds: &BigInt) -> Option<i64> {
    i64::try_from(seconds).ok().filter(|seconds| seconds.abs() <= MAX_SECONDS)
}

fn moved(when: Option<PrimitiveDateTime>) -> Result<Constant> {
    match when {
        Some(when) if when.year() >= 1 => Ok(text(date_time_text(when))),
        _ => Err("the date is out of range".into()),
    }
}

fn date_numbers(when: PrimitiveDateTime) -> [i64; 3] {
    [when.year().into(), u8::from(when.month()).into(), when.day().into()]
}

fn time_numbers(when: PrimitiveDateTime) -> [i64; 3] {
    [when.hour().into(), when.minute().into(), when.second().into()]
}

fn date_time_text(when: PrimitiveDateTime) -> String {
    format!("{} {}", date_text(when), time_text(when))
}

fn date_text(when: PrimitiveDateTime) -> String {
    let [year, month, day] = date_numbers(when);
    format!("{year:04}-{month:02}-{day:02}")
}

fn time_text(when: PrimitiveDateTime) -> String {
    let [hour, minute, second] = time_numbers(when);
    let clock = format!("{hour:02}:{minute:02}:{second:02}");
    match Time::microsecond(when.time()) {
        0 => clock,
        fraction => format!("{clock}.{fraction:06}"),
    }
}

fn int(number: i64) -> Constant {
    Constant::Int(BigInt::from(number))
}

fn text(text: String) -> Constant {
    Constant::Text(text.into())
}
