//! Texts with `%(name)s` in them, as Python fills them in.

use super::Target;

/// A text with places to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String),
}

impl Template {
    /// Reads a text. The error ends a sentence that names it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            literal += before;
            if let Some(after) = after.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let named = after.strip_prefix('(').and_then(|after| after.split_once(")s"));
            let (name, after) = named
                .ok_or("has a % that is neither %(name)s nor %%: only texts can be filled in")?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Name(name.to_owned()));
            rest = after;
        }
        literal += rest;
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// The text; none if the target lacks one of its names.
    pub(super) fn fill(&self, target: &Target<'_>) -> Option<String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text += literal,
                Part::Name(name) => text += target.get(name)?,
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Option<String> {
        let target = Target { project_id: Some("p1"), user_id: Some("u1") };
        Template::parse(text).unwrap().fill(&target)
    }

    #[test]
    fn places_are_filled_in() {
        assert_eq!(fill("admin").as_deref(), Some("admin"));
        assert_eq!(fill("a%(project_id)s-%(user_id)s%%").as_deref(), Some("ap1-u1%"));
        assert_eq!(fill("").as_deref(), Some(""));
        assert_eq!(fill("%(colour)s"), None);
    }

    #[test]
    fn other_formats_are_refused() {
        for text in ["%", "50%", "%d", "%(x)d", "%(x", "a%s"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
