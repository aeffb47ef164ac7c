//! Secrets: kept from guests, from `Debug`, and from texts.

use std::borrow::Cow;
use std::fmt;

/// A text that never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Box<str>);

impl Secret {
    pub(crate) fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text. What is made of it must not be shown either.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

/// Takes a datasource's secrets out of texts that its guest or its service made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrubber(Vec<Secret>);

impl Scrubber {
    /// Shorter secrets stay: they hide nothing, and taking `a` out of every error would only
    /// garble it.
    const SHORTEST: usize = 4;

    pub(crate) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut secrets: Vec<Secret> =
            secrets.into_iter().filter(|s| s.0.len() >= Self::SHORTEST).collect();
        // Longest first, so that a secret that contains another leaves no remains.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.0.len()));
        Self(secrets)
    }

    pub(crate) fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for Secret(secret) in &self.0 {
            if text.contains(&**secret) {
                text = Cow::Owned(text.replace(&**secret, "<hidden>"));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let scrubber = Scrubber::new(["hunter22", "hunter2", "abc"].map(Secret::new));
        assert_eq!(scrubber.scrub("u=hunter22&p=hunter2"), "u=<hidden>&p=<hidden>");
        assert_eq!(scrubber.scrub("abc"), "abc");
        assert!(!format!("{scrubber:?}").contains("hunter"));
    }
}
