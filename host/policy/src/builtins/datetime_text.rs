//! Reading dates and times in the forms that people and services write.
//!
//! The forms are a fixed list, tried in turn. What the original's library guessed beyond them (a
//! weekday, a bare month, words in between) is refused: a policy that silently takes "May" for
//! some day in May is worse than one that says in its trace that it found no date.

use time::{Date, Month, PrimitiveDateTime, Time};

/// The longest text that is looked at.
const MAX_BYTES: usize = 100;

/// Reads
///
/// - a date: `2014-01-02` (also without the zeros, or with slashes), `20140102`, `1/2/2014` (the
///   month first where both readings are possible), `Jan 2, 2014` (or the month's whole name);
/// - a time: `3:04`, `03:04:05`, `03:04:05.678`, with or without `am` or `pm`, or just `3pm`, and
///   then perhaps a zone, which is dropped: `Z`, `UTC`, `GMT`, `+02:00`, `+0200`, `+02`;
/// - a date, then a blank or a `T`, then a time. `20140102T030405` needs no colons.
///
/// A date alone means its midnight, a time alone is of `today`. Digits behind the microseconds are
/// dropped. `None` for anything else.
pub(super) fn parse(text: &str, today: Date) -> Option<PrimitiveDateTime> {
    if text.len() > MAX_BYTES || !text.is_ascii() {
        return None;
    }
    let lower = text.trim().to_ascii_lowercase();
    if let Some(time) = time(&lower) {
        return Some(PrimitiveDateTime::new(today, time));
    }
    let mut cursor = Cursor(&lower);
    let (date, is_compact) = cursor.date()?;
    if date.year() < 1 {
        return None;
    }
    if cursor.0.is_empty() {
        return Some(date.midnight());
    }
    let rest = cursor.0.strip_prefix('t').or_else(|| {
        let rest = cursor.0.trim_start();
        (rest.len() < cursor.0.len()).then_some(rest)
    })?;
    let time = if is_compact { compact_time(rest).or_else(|| time(rest)) } else { time(rest) };
    Some(PrimitiveDateTime::new(date, time?))
}

/// A time of day, perhaps with a zone, and nothing else.
fn time(text: &str) -> Option<Time> {
    let mut cursor = Cursor(text);
    let hour = cursor.number(1..=2)?;
    let (mut minute, mut second, mut micros) = (None, 0, 0);
    if cursor.eat(':') {
        minute = Some(cursor.number(1..=2)?);
        if cursor.eat(':') {
            second = cursor.number(1..=2)?;
            micros = cursor.fraction()?;
        }
    }
    let half = cursor.half_of_day();
    let hour = match half {
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        Some(_) => return None,
        // A number alone is no time.
        None if minute.is_none() => return None,
        None => hour,
    };
    cursor.zone()?;
    clock(hour, minute.unwrap_or(0), second, micros)
}

/// `0304`, `030405` or `030405.678`, perhaps with a zone, and nothing else.
fn compact_time(text: &str) -> Option<Time> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let mut cursor = Cursor(text);
    let hour = cursor.number(2..=2)?;
    let minute = cursor.number(2..=2)?;
    let (second, micros) = match digits {
        4 => (0, 0),
        6 => (cursor.number(2..=2)?, cursor.fraction()?),
        _ => return None,
    };
    cursor.zone()?;
    clock(hour, minute, second, micros)
}

fn clock(hour: u32, minute: u32, second: u32, micros: u32) -> Option<Time> {
    let byte = |number: u32| u8::try_from(number).ok();
    Time::from_hms_micro(byte(hour)?, byte(minute)?, byte(second)?, micros).ok()
}

fn calendar(year: u32, month: u32, day: u32) -> Option<Date> {
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()
}

/// What is left of a text, in lower case.
struct Cursor<'a>(&'a str);

impl Cursor<'_> {
    /// A date, and whether it is written without separators.
    fn date(&mut self) -> Option<(Date, bool)> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        match digits {
            0 => Some((self.named_date()?, false)),
            8 => {
                let (year, month) = (self.number(4..=4)?, self.number(2..=2)?);
                Some((calendar(year, month, self.number(2..=2)?)?, true))
            }
            4 => {
                let year = self.number(4..=4)?;
                let separator = self.separator()?;
                let month = self.number(1..=2)?;
                if !self.eat(separator) {
                    return None;
                }
                Some((calendar(year, month, self.number(1..=2)?)?, false))
            }
            _ => {
                let first = self.number(1..=2)?;
                if !self.eat('/') {
                    return None;
                }
                let second = self.number(1..=2)?;
                if !self.eat('/') {
                    return None;
                }
                let year = self.number(4..=4)?;
                let (month, day) = if first > 12 { (second, first) } else { (first, second) };
                Some((calendar(year, month, day)?, false))
            }
        }
    }

    /// `jan 2, 2014`, the comma or the blank after it being optional.
    fn named_date(&mut self) -> Option<Date> {
        const MONTHS: [&str; 12] = [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ];
        let length = self.0.bytes().take_while(u8::is_ascii_lowercase).count();
        let word = self.take(length)?;
        // Besides the three usual letters "Sept" is common.
        let is_short = word.len() == 3 || word == "sept";
        let month = MONTHS.iter().zip(1..).find_map(|(name, number)| {
            (word == *name || (is_short && name.starts_with(word))).then_some(number)
        })?;
        self.eat('.');
        self.blanks();
        let day = self.number(1..=2)?;
        let before = self.0.len();
        self.eat(',');
        self.blanks();
        if self.0.len() == before {
            return None;
        }
        let year = self.number(4..=4)?;
        calendar(year, month, day)
    }

    fn separator(&mut self) -> Option<char> {
        ['-', '/'].into_iter().find(|separator| self.eat(*separator))
    }

    /// All the digits that come next, which must be as many as `count` says.
    /// With a fixed count further digits are left.
    fn number(&mut self, count: std::ops::RangeInclusive<usize>) -> Option<u32> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let length = if count.start() == count.end() { *count.start() } else { digits };
        if length > digits || !count.contains(&length) {
            return None;
        }
        self.take(length)?.parse().ok()
    }

    /// The microseconds of `.678`; none if there is no fraction.
    fn fraction(&mut self) -> Option<u32> {
        if !self.eat('.') && !self.eat(',') {
            return Some(0);
        }
        let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let digits = self.take(length)?;
        let kept = digits.get(..6).unwrap_or(digits);
        let scale = 10_u32.checked_pow(6_u32.saturating_sub(u32::try_from(kept.len()).ok()?))?;
        Some(kept.parse::<u32>().ok()? * scale)
    }

    /// The hours that `am` or `pm` adds.
    fn half_of_day(&mut self) -> Option<u32> {
        let rest = self.0.trim_start();
        let (rest, hours) = match rest.strip_prefix("am") {
            Some(rest) => (rest, 0),
            None => (rest.strip_prefix("pm")?, 12),
        };
        self.0 = rest;
        Some(hours)
    }

    /// A zone or nothing, and then the end.
    fn zone(&mut self) -> Option<()> {
        self.blanks();
        for name in ["z", "utc", "gmt"] {
            if self.0 == name {
                return Some(());
            }
        }
        if self.eat('+') || self.eat('-') {
            let hours = self.number(2..=2)?;
            self.eat(':');
            let minutes = if self.0.is_empty() { 0 } else { self.number(2..=2)? };
            if hours > 23 || minutes > 59 {
                return None;
            }
        }
        self.0.is_empty().then_some(())
    }

    fn blanks(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.0.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn take(&mut self, length: usize) -> Option<&str> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}
