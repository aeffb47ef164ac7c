//! A policy in YAML.

use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A policy as a file has it. What is absent is as the server has or makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) abbreviation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    /// None is no rules, too; but the API makes a policy by another way then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rules: Option<Vec<Rule>>,
}

/// A rule as a file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
    pub(super) rule: String,
}

impl Document {
    /// All documents of a text.
    pub(super) fn all(text: &str) -> anyhow::Result<Vec<Self>> {
        Ok(serde_saphyr::from_multiple(text)?)
    }

    /// The one document of a text.
    pub(crate) fn only(text: &str) -> anyhow::Result<Self> {
        let mut documents = Self::all(text)?;
        match (documents.pop(), documents.len()) {
            (Some(document), 0) => Ok(document),
            (None, _) => bail!("there is no policy in it"),
            (Some(_), more) => bail!("there are {} policies in it; only one is wanted", more + 1),
        }
    }

    /// As the API takes it.
    pub(crate) fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The same with rules, if only none: what the library wants.
    pub(crate) fn with_rules(mut self) -> Value {
        self.rules.get_or_insert_default();
        self.to_value()
    }

    pub(super) fn rules(&self) -> &[Rule] {
        self.rules.as_deref().unwrap_or_default()
    }

    /// As a file has it.
    pub(super) fn to_yaml(&self) -> anyhow::Result<String> {
        to_yaml(self)
    }
}

/// A YAML text of one document that may hold secrets: an error shows none of it.
pub(crate) fn yaml(text: &str) -> anyhow::Result<Value> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| match error.location() {
        Some(place) => anyhow!("it is no YAML at line {}, column {}", place.line(), place.column()),
        None => anyhow!("it is no YAML"),
    })
}

/// A value as a YAML text.
pub(crate) fn to_yaml(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_saphyr::to_string(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let rule = |rule: &str| Rule { rule: rule.to_owned(), ..Rule::default() };
        let long = format!("p(x) :- {}q(x, \"no\")", "q(x, \"a: b # c\"), ".repeat(40));
        let document = Document {
            name: "yes".to_owned(),
            description: Some("one\ntwo  \n\tthree: 'x' \u{202e}".to_owned()),
            rules: Some(vec![
                rule("p(1)"),
                rule("p(x) :-\n  q(x),\n\n    not r(x)\n"),
                rule(&long),
                rule("  q(\"- # : {}\")  "),
            ]),
            ..Document::default()
        };
        let text = document.to_yaml().unwrap();
        assert_eq!(Document::only(&text).unwrap(), document, "{text}");
    }

    #[test]
    fn words_that_nobody_knows_are_refused() {
        let error = Document::only("name: p\nrule: p(1)\n").unwrap_err().to_string();
        assert!(error.contains("rule"), "{error}");
        assert!(Document::only("name: p\n---\nname: q\n").is_err());
        assert!(Document::only("").is_err());
    }

    #[test]
    fn errors_show_no_secrets() {
        let error = yaml("clouds:\n  a: {password: 'hush}\n").unwrap_err();
        assert!(!format!("{error:#} {error:?}").contains("hush"), "{error:?}");
    }
}
