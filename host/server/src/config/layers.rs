//! Where an option's text comes from: environment, command line, files, defaults, in this order.

use std::collections::BTreeMap;

use super::Origin;
use super::ini::{Ini, same_section};
use super::options::{self, Opt, Spec};
use super::substitution::substitute;

/// References may refer to options that hold references, but not endlessly.
const MAX_DEPTH: usize = 16;

/// Values of one layer: section, name and text.
pub(super) type Values = Vec<(&'static str, &'static str, String)>;

/// All layers.
pub(super) struct Layers<'a> {
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) command_line: Values,
    /// Later ones win.
    pub(super) files: Vec<Ini>,
    /// The embedded default, for want of files. Its values hold no references.
    pub(super) embedded: Values,
}

/// The text of an option as it was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) text: String,
    pub(super) origin: Origin,
    /// The older section and name under which it was found.
    pub(super) deprecated: Option<(&'static str, &'static str)>,
}

impl Layers<'_> {
    /// The text of an option; none if it is set nowhere and has no default.
    pub(super) fn find(&self, spec: &Spec) -> Option<Found> {
        let Spec { section, name, .. } = *spec;
        let found =
            |text: &str, origin| Some(Found { text: text.to_owned(), origin, deprecated: None });

        let variable = variable(section, name);
        if let Some(text) = self.environment.get(&variable) {
            return found(text, Origin::Environment(variable));
        }
        if let Some(text) = pick(&self.command_line, section, name) {
            return found(text, Origin::CommandLine);
        }
        for file in self.files.iter().rev() {
            let names = std::iter::once((section, name)).chain(spec.deprecated.iter().copied());
            for (old_section, old_name) in names {
                if let Some(entry) = file.get(old_section, old_name) {
                    return Some(Found {
                        text: entry.value.clone(),
                        origin: Origin::File { path: file.path.clone(), line: entry.line },
                        deprecated: Some((old_section, old_name)).filter(|n| *n != (section, name)),
                    });
                }
            }
        }
        if let Some(text) = pick(&self.embedded, section, name) {
            return found(text, Origin::Embedded);
        }
        found(spec.default?, Origin::Default)
    }

    /// The value of an option, its references replaced; or where its text stands and what is wrong
    /// with it. An empty text is a value only for types that have an empty one.
    pub(super) fn read<T>(&self, option: &Opt<T>) -> Result<Option<(T, Found)>, (Origin, String)> {
        let spec = &option.spec;
        let Some(found) = self.find(spec) else { return Ok(None) };
        let text = match self.resolve(spec, &found, 0) {
            Ok(text) => text,
            Err(problem) => return Err((found.origin, format!("{}: {problem}", title(spec)))),
        };
        match (option.r#type.read)(&text) {
            Some(value) => Ok(Some((value, found))),
            None if text.is_empty() => Ok(None),
            None => {
                let value = if spec.is_url { "…" } else { &text };
                let expected = option.r#type.expected;
                let problem = format!("{} = {value:?} is not {expected}", title(spec));
                Err((found.origin, problem))
            }
        }
    }

    /// The texts of an option that may be given several times, in order, references replaced.
    pub(super) fn all(&self, spec: &Spec) -> Result<Vec<String>, (Origin, String)> {
        let Some(found) = self.find(spec) else { return Ok(Vec::new()) };
        let texts = match found.origin {
            Origin::File { .. } => {
                let entries = self.files.iter().flat_map(|file| &file.entries);
                let entries = entries.filter(|entry| {
                    entry.key == spec.name && same_section(spec.section, &entry.section)
                });
                entries.map(|entry| Found { text: entry.value.clone(), ..found.clone() }).collect()
            }
            _ => vec![found],
        };
        let resolved = texts.into_iter().map(|found| {
            let failed = |text| (found.origin.clone(), format!("{}: {text}", title(spec)));
            self.resolve(spec, &found, 0).map_err(failed)
        });
        resolved.collect()
    }

    /// The text of an option with its references replaced.
    fn resolve(&self, spec: &Spec, found: &Found, depth: usize) -> Result<String, String> {
        if found.origin == Origin::Embedded {
            return Ok(found.text.clone());
        }
        substitute(&found.text, |name| {
            if depth >= MAX_DEPTH {
                return Err(format!("the reference ${name} leads back to itself"));
            }
            let target = referred(spec.section, name).ok_or_else(|| {
                format!("no such option {name} to refer to; write $$ for a dollar sign")
            })?;
            let found = self
                .find(target)
                .ok_or_else(|| format!("the option {name} that it refers to is not set"))?;
            self.resolve(target, &found, depth + 1)
        })
    }

    /// The text of an option with its references replaced, for printing.
    pub(super) fn text(&self, spec: &Spec) -> Option<(String, Origin)> {
        let found = self.find(spec)?;
        let text = self.resolve(spec, &found, 0).ok()?;
        Some((text, found.origin))
    }
}

/// The environment variable of an option.
fn variable(section: &str, name: &str) -> String {
    format!("OS_{}__{}", section.to_uppercase(), name.to_uppercase())
}

/// The option that a reference means: `group.name`, or a name in the section of the value or in
/// `[DEFAULT]`.
fn referred(section: &str, reference: &str) -> Option<&'static Spec> {
    let find = |section: &str, name: &str| {
        options::ALL.iter().find(|spec| spec.section == section && spec.name == name)
    };
    match reference.split_once('.') {
        Some((section, name)) => find(section, name),
        None => find(section, reference).or_else(|| find("DEFAULT", reference)),
    }
}

/// How messages name an option.
pub(super) fn title(spec: &Spec) -> String {
    format!("[{}] {}", spec.section, spec.name)
}

fn pick<'a>(values: &'a Values, section: &str, name: &str) -> Option<&'a str> {
    let mut matching = values.iter().filter(|(s, n, _)| *s == section && *n == name);
    matching.next().map(|(_, _, text)| text.as_str())
}
