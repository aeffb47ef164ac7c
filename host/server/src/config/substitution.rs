//! References to other options in values: `$name`, `${name}`, `$group.name`, `${group.name}`.
//!
//! `$$` and `\$` stand for a dollar sign. A `$` before anything that cannot be a name stands for
//! itself.

/// Replaces the references in a value. `lookup` gives the value of a name, or the reason why there
/// is none.
pub(super) fn substitute(
    value: &str,
    mut lookup: impl FnMut(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut result = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(position) = rest.find(['$', '\\']) {
        let (before, from) = rest.split_at(position);
        result.push_str(before);
        if let Some(after) = from.strip_prefix("$$").or_else(|| from.strip_prefix("\\$")) {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = reference(from) {
            result.push_str(&lookup(name)?);
            rest = after;
        } else {
            let mut characters = from.chars();
            result.extend(characters.next());
            rest = characters.as_str();
        }
    }
    result.push_str(rest);
    Ok(result)
}

/// The name of a reference at the start of a text, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('$')?;
    match text.strip_prefix('{') {
        Some(braced) => {
            let (name, after) = name(braced)?;
            Some((name, after.strip_prefix('}')?))
        }
        None => name(text),
    }
}

fn name(text: &str) -> Option<(&str, &str)> {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    let continues = |c: char| starts(c) || c.is_ascii_digit() || c == '.';
    text.starts_with(starts)
        .then(|| text.split_at(text.find(|c| !continues(c)).unwrap_or(text.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(value: &str) -> Result<String, String> {
        substitute(value, |name| match name {
            "word" => Ok("W".into()),
            "group.name" => Ok("GN".into()),
            other => Err(format!("no {other}")),
        })
    }

    #[test]
    fn names_are_replaced() {
        assert_eq!(run("a $word b").unwrap(), "a W b");
        assert_eq!(run("${word}b").unwrap(), "Wb");
        assert_eq!(run("$group.name/${group.name}x").unwrap(), "GN/GNx");
        assert_eq!(run("/$word/x").unwrap(), "/W/x");
    }

    #[test]
    fn dollar_signs() {
        assert_eq!(run("pa$$word").unwrap(), "pa$word");
        assert_eq!(run(r"pa\$word").unwrap(), "pa$word");
        assert_eq!(run("$$$word").unwrap(), "$W");
        assert_eq!(run("5$ $1 ${} ${1} ${word $").unwrap(), "5$ $1 ${} ${1} ${word $");
        assert_eq!(run(r"a\b\\").unwrap(), r"a\b\\");
        assert_eq!(run("100%d").unwrap(), "100%d");
    }

    #[test]
    fn unknown_names_are_errors() {
        assert_eq!(run("pa$wort").unwrap_err(), "no wort");
        assert_eq!(run("${wort}").unwrap_err(), "no wort");
        assert_eq!(run("$word.").unwrap_err(), "no word.");
    }
}
