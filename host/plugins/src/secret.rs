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

    /// Secrets are known in the spellings that they have in JSON and in URLs as well.
    pub(crate) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.0.len() >= Self::SHORTEST);
        let mut spellings: Vec<Secret> = secrets.flat_map(|secret| spellings(&secret.0)).collect();
        // Longest first, so that a secret that contains another leaves no remains.
        spellings.sort_by_key(|secret| std::cmp::Reverse(secret.0.len()));
        Self(spellings)
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

/// A text as it is, and as it stands in JSON, in forms and in the paths of URLs.
fn spellings(text: &str) -> Vec<Secret> {
    let mut all = vec![text.to_owned()];
    let json = serde_json::Value::from(text).to_string();
    all.push(json.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned());
    if let Ok(mut url) = reqwest::Url::parse("http://x/") {
        url.query_pairs_mut().append_pair("", text);
        let form = url.query().and_then(|query| query.strip_prefix('=')).unwrap_or_default();
        all.extend([form.to_owned(), form.replace('+', "%20")]);
        url.set_path(text);
        all.push(url.path().trim_start_matches('/').to_owned());
    }
    all.retain(|spelling| spelling.len() >= text.len());
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(Secret::new).collect()
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

    #[test]
    fn nor_do_they_in_other_spellings() {
        let secret = r#"p"w d&+ö"#;
        let scrubber = Scrubber::new([Secret::new(secret)]);
        for spelling in [r#"p\"w d&+ö"#, "p%22w+d%26%2B%C3%B6", "p%22w%20d%26%2B%C3%B6"] {
            assert_eq!(scrubber.scrub(&format!("a{spelling}b")), "a<hidden>b", "{spelling}");
        }
    }
}
