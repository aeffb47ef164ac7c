//! The configuration in force, for people.

use std::fmt::Write;

use super::Loaded;
use super::layers::title;
use super::options::Spec;

/// Options that take effect when the configuration is read again.
const MUTABLE: [(&str, &str); 2] = [("DEFAULT", "debug"), ("DEFAULT", "default_log_levels")];

impl Loaded {
    /// The options whose values differ from those in force and that the server cannot take over
    /// while it runs.
    pub fn changes_that_wait(&self, in_force: &Self) -> Vec<String> {
        let text = |value: &Option<(String, _)>| value.as_ref().map(|(text, _)| text.clone());
        let differing = self.texts.iter().zip(&in_force.texts).filter(|((spec, new), (_, old))| {
            !MUTABLE.contains(&(spec.section, spec.name)) && text(new) != text(old)
        });
        differing.map(|((spec, _), _)| title(spec)).collect()
    }

    /// All options as a configuration file: each with its help, the origin of its value, and
    /// passwords in URLs masked.
    pub fn print(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for (spec, value) in &self.texts {
            if spec.section != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                section = spec.section;
                text += &format!("{gap}[{section}]\n");
            }
            text += &format!("\n# {}\n", spec.help);
            // Writing to a String cannot fail.
            let _ = match value {
                None => writeln!(text, "# not set\n# {} =", spec.name),
                Some((value, origin)) => {
                    let value = match spec {
                        Spec { is_secret: true, .. } => "***".to_owned(),
                        Spec { is_url: true, .. } => mask(value),
                        _ => value.clone(),
                    };
                    let value = value.replace('$', "$$").replace('\n', "\n    ");
                    writeln!(text, "# from: {origin}\n{} = {value}", spec.name)
                }
            };
        }
        text
    }
}

/// Takes everything out of a URL that may be a password, also from one that is badly written.
fn mask(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, address))) => format!("{scheme}://***@{address}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked() {
        assert_eq!(mask("rabbit://u:p@h:1,u:p@h2/v"), "rabbit://***@h2/v");
        assert_eq!(mask("mysql://u:p/@:ss@h/db"), "mysql://***@h/db");
        assert_eq!(mask("sqlite:////x"), "sqlite:////x");
    }
}
