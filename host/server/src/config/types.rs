//! The types of options: how their text is read.

use std::path::PathBuf;
use std::time::Duration;

use congress_plugins::AllowedHost;

use super::ini::unquote;

/// How the text of an option becomes a value.
pub(super) struct Type<T> {
    /// What the text must be, to end a sentence that says what it is.
    pub(super) expected: &'static str,
    /// The value; none if the text is something else.
    pub(super) read: fn(&str) -> Option<T>,
}

/// An empty text counts as not given.
pub(super) const TEXT: Type<String> =
    Type { expected: "a text", read: |text| (!text.is_empty()).then(|| text.to_owned()) };

pub(super) const BOOLEAN: Type<bool> = Type {
    expected: "a boolean: true, false, yes, no, on, off, 1 or 0",
    read: |text| match unquote(text.trim()).to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    },
};

pub(super) const PORT: Type<u16> =
    Type { expected: "a port: a number from 0 to 65535", read: number };

pub(super) const COUNT: Type<usize> =
    Type { expected: "a whole number above 0", read: |text| number(text).filter(|n| *n > 0) };

pub(super) const RATE: Type<u32> =
    Type { expected: "a whole number above 0", read: |text| number(text).filter(|n| *n > 0) };

pub(super) const NUMBER: Type<usize> =
    Type { expected: "a whole number, 0 included", read: number };

/// Sizes, as `4096`, `512K`, `64 MiB`.
pub(super) const SIZE: Type<usize> = Type {
    expected: "a size above 0: a number of bytes, or one with K, M or G (of 1024) behind it",
    read: |text| {
        let text = unquote(text.trim());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (count, unit) = text.split_at_checked(digits)?;
        let bytes: usize = match unit.trim_start() {
            "" => 1,
            "K" | "KiB" => 1 << 10,
            "M" | "MiB" => 1 << 20,
            "G" | "GiB" => 1 << 30,
            _ => return None,
        };
        count.parse::<usize>().ok().filter(|n| *n > 0)?.checked_mul(bytes)
    },
};

/// Longer ones would overflow clocks, and make no sense.
const LONGEST: f64 = 1e9;

pub(super) const SECONDS: Type<Duration> = Type {
    expected: "a number of seconds above 0",
    read: |text| {
        let seconds = number::<f64>(text).filter(|s| *s > 0.0 && *s <= LONGEST)?;
        Duration::try_from_secs_f64(seconds).ok()
    },
};

pub(super) const SECONDS_OR_NONE: Type<Duration> = Type {
    expected: "a number of seconds, 0 included",
    read: |text| {
        let seconds = number::<f64>(text).filter(|s| *s <= LONGEST)?;
        Duration::try_from_secs_f64(seconds).ok()
    },
};

/// Whole numbers, negative ones too.
pub(super) const WHOLE: Type<i64> =
    Type { expected: "a whole number", read: |text| unquote(text.trim()).parse().ok() };

pub(super) const PATH: Type<PathBuf> =
    Type { expected: "a path", read: |text| (!text.is_empty()).then(|| text.into()) };

/// As the shell's `PATH` has them.
pub(super) const PATHS: Type<Vec<PathBuf>> = Type {
    expected: "paths, separated by colons",
    read: |text| Some(text.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect()),
};

pub(super) const LIST: Type<Vec<String>> =
    Type { expected: "a list, separated by commas", read: |text| Some(items(text).collect()) };

pub(super) const ABSOLUTE_PATHS: Type<Vec<PathBuf>> = Type {
    expected: "absolute paths, separated by commas",
    read: |text| {
        items(text).map(PathBuf::from).map(|path| path.is_absolute().then_some(path)).collect()
    },
};

pub(super) const HOSTS: Type<Vec<AllowedHost>> = Type {
    expected: "hosts, separated by commas, as keystone.example, keystone.example:5000, *.example, \
               127.0.0.1:5000, 10.0.0.0/8 or [::1]:5000",
    read: |text| items(text).map(|host| host.parse().ok()).collect(),
};

/// Numbers may stand in quotes. `+` and spaces inside are no part of one.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let text = unquote(text.trim());
    text.starts_with(|c: char| c.is_ascii_digit() || c == '.').then(|| text.parse().ok()).flatten()
}

/// The items of a list. A list may go on in the next line; empty items are none.
fn items(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(|item| item.trim().replace('\n', " ")).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        for text in ["true", "TRUE", "1", "yes", "On", "'true'"] {
            assert_eq!((BOOLEAN.read)(text), Some(true), "{text}");
        }
        for text in ["false", "0", "No", "OFF"] {
            assert_eq!((BOOLEAN.read)(text), Some(false), "{text}");
        }
        for text in ["t", "2", "ja", "true # really"] {
            assert_eq!((BOOLEAN.read)(text), None, "{text}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!((PORT.read)("1789"), Some(1789));
        assert_eq!((PORT.read)("'1789'"), Some(1789));
        for text in ["0x10", "65536", "-1", "+1", "1e3", "abc", "1 2"] {
            assert_eq!((PORT.read)(text), None, "{text}");
        }
        assert_eq!((COUNT.read)("0"), None);
        assert_eq!((SECONDS.read)("0.25"), Some(Duration::from_millis(250)));
        for text in ["0", "-1", "inf", "NaN", "1e30", "1 s"] {
            assert_eq!((SECONDS.read)(text), None, "{text}");
        }
        assert_eq!((NUMBER.read)("0"), Some(0));
        assert_eq!((RATE.read)("0"), None);
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("4096", 4096), ("512K", 512 << 10), ("'64 MiB'", 64 << 20), ("2G", 2 << 30)]
        {
            assert_eq!((SIZE.read)(text), Some(bytes), "{text}");
        }
        for text in ["0", "0M", "", "M", "-1", "1.5M", "64 MB", "64 M iB", "99999999999G"] {
            assert_eq!((SIZE.read)(text), None, "{text}");
        }
    }

    #[test]
    fn lists() {
        assert_eq!((LIST.read)("a, b ,c"), Some(vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!((LIST.read)(""), Some(vec![]));
        assert_eq!((LIST.read)("a,\nb\nc"), Some(vec!["a".into(), "b c".into()]));
        assert_eq!((LIST.read)(r#""a,b",c"#).unwrap(), [r#""a"#, r#"b""#, "c"]);
        assert_eq!((PATHS.read)("/a:b"), Some(vec!["/a".into(), "b".into()]));
        assert_eq!((ABSOLUTE_PATHS.read)("/a, b"), None);
        assert_eq!((HOSTS.read)("127.0.0.1:5000, *.example").unwrap().len(), 2);
        assert!((HOSTS.read)("http://x/").is_none());
    }
}
