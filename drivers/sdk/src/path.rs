//! Paths into JSON: the small part of JSONPath that tables need.
//!
//! `name`, `metadata.labels`, `$.data.items[*]`, `addresses[0].ip`, `['odd.name']`: members by
//! name, list elements by number, and `[*]` for every element. A leading `$` stands for the whole
//! value; the empty path and `$` select it.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value as Json;

/// A path into a JSON value.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Member(String),
    Index(usize),
    Each,
}

impl Path {
    /// The path to a member of that very name, whatever characters it has.
    pub fn member(name: impl Into<String>) -> Self {
        Self(vec![Step::Member(name.into())])
    }

    /// The path to a member of a member, and so on.
    pub fn members<const N: usize>(names: [&str; N]) -> Self {
        Self(names.map(|name| Step::Member(name.to_owned())).into())
    }

    /// The path to the member whose name is that of this one's last member with `ending` behind it.
    #[must_use]
    pub fn beside(&self, ending: &str) -> Self {
        let mut steps = self.0.clone();
        if let Some(Step::Member(name)) = steps.last_mut() {
            name.push_str(ending);
        }
        Self(steps)
    }

    /// Whether it selects one value at most, that is, has no `[*]`.
    pub fn is_single(&self) -> bool {
        !self.0.contains(&Step::Each)
    }

    /// Whether a value is of the kind that the first step wants.
    pub fn starts_at(&self, json: &Json) -> bool {
        match self.0.first() {
            None => true,
            Some(Step::Member(_)) => json.is_object(),
            Some(Step::Index(_) | Step::Each) => json.is_array(),
        }
    }

    /// The selected value; none if it is missing or the path has a `[*]`.
    pub fn get<'a>(&self, json: &'a Json) -> Option<&'a Json> {
        self.0.iter().try_fold(json, |json, step| match step {
            Step::Member(name) => json.get(name),
            Step::Index(index) => json.get(index),
            Step::Each => None,
        })
    }

    /// All selected values, where there is a list at the first `[*]`; what is there instead if not.
    /// Lists deeper inside may be missing.
    pub fn all_of_list<'a>(&self, json: &'a Json) -> Result<Vec<&'a Json>, Option<&'a Json>> {
        let steps = self.0.iter().take_while(|step| **step != Step::Each).cloned();
        match Self(steps.collect()).get(json) {
            Some(Json::Array(_)) => Ok(self.all(json)),
            other => Err(other),
        }
    }

    /// All selected values, in order.
    pub fn all<'a>(&self, json: &'a Json) -> Vec<&'a Json> {
        let mut found = vec![json];
        for step in &self.0 {
            found = match step {
                Step::Member(name) => found.iter().filter_map(|json| json.get(name)).collect(),
                Step::Index(index) => found.iter().filter_map(|json| json.get(index)).collect(),
                Step::Each => found.iter().filter_map(|json| json.as_array()).flatten().collect(),
            };
        }
        found
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.0 {
            match step {
                Step::Member(name) if is_plain(name) => write!(f, ".{name}")?,
                Step::Member(name) => write!(f, "['{name}']")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Each => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['.', '[', ']'])
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq)]
pub struct PathError {
    path: String,
    reason: &'static str,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no path: {}", self.path, self.reason)
    }
}

impl std::error::Error for PathError {}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        let fail = |reason| PathError { path: path.to_owned(), reason };
        let mut steps = Vec::new();
        let trimmed = path.trim();
        let mut rest = trimmed.strip_prefix('$').unwrap_or(trimmed);
        let mut at_start = !trimmed.starts_with('$');
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix('[') {
                let (inside, behind) = bracket(behind).ok_or_else(|| fail("a '[' has no ']'"))?;
                steps.push(step_in_brackets(inside).map_err(fail)?);
                rest = behind;
            } else {
                let name = if at_start { Some(rest) } else { rest.strip_prefix('.') };
                let name = name.ok_or_else(|| fail("after '$' or ']' comes '.' or '['"))?;
                let (name, behind) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
                if name.is_empty() || name.contains(']') {
                    return Err(fail("a member's name is missing or has a ']'"));
                }
                steps.push(Step::Member(name.to_owned()));
                rest = behind;
            }
            at_start = false;
        }
        Ok(Self(steps))
    }
}

/// Splits behind the bracket that closes; quoted names may hold any character but their quote.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let close = match text.chars().next() {
        Some(quote @ ('\'' | '"')) => 1 + text[1..].find(quote)? + 1,
        _ => text.find(']')?,
    };
    Some((&text[..close], text[close..].strip_prefix(']')?))
}

fn step_in_brackets(inside: &str) -> Result<Step, &'static str> {
    if inside == "*" {
        return Ok(Step::Each);
    }
    for quote in ['\'', '"'] {
        if let Some(name) = inside.strip_prefix(quote) {
            return Ok(Step::Member(name.strip_suffix(quote).unwrap_or(name).to_owned()));
        }
    }
    inside.parse().map(Step::Index).map_err(|_| "brackets hold a number, '*' or a quoted name")
}

impl TryFrom<String> for Path {
    type Error = PathError;

    fn try_from(path: String) -> Result<Self, PathError> {
        path.parse()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all(path: &str, json: &Json) -> Vec<Json> {
        path.parse::<Path>().unwrap().all(json).into_iter().cloned().collect()
    }

    #[test]
    fn selects() {
        let json = json!({"a": [{"b": 1, "o.d": 2}, {"b": [3, 4]}, 5], "n": null});
        assert_eq!(all("", &json), std::slice::from_ref(&json));
        assert_eq!(all("$", &json), std::slice::from_ref(&json));
        assert_eq!(all("a[0].b", &json), [json!(1)]);
        assert_eq!(all("$.a[*].b", &json), [json!(1), json!([3, 4])]);
        assert_eq!(all("$['a'][1].b[*]", &json), [json!(3), json!(4)]);
        assert_eq!(all("a[0]['o.d']", &json), [json!(2)]);
        assert_eq!(all("a.b", &json), Vec::<Json>::new());
        assert_eq!(all("n", &json), [Json::Null]);
        let path: Path = "$.a[0].b".parse().unwrap();
        assert_eq!(path.get(&json), Some(&json!(1)));
        assert!(path.is_single() && !"a[*]".parse::<Path>().unwrap().is_single());
    }

    #[test]
    fn a_list_that_is_missing_is_told_from_an_empty_one() {
        let json = json!({"a": [{"b": [1]}, {}], "empty": [], "null": null});
        let found = |path: &str| path.parse::<Path>().unwrap().all_of_list(&json);
        assert_eq!(found("a[*].b[*]"), Ok(vec![&json!(1)]));
        assert_eq!(found("a[0].b[*]"), Ok(vec![&json!(1)]));
        assert_eq!(found("empty[*].b"), Ok(vec![]));
        assert_eq!(found("null[*]"), Err(Some(&Json::Null)));
        assert_eq!(found("a[1].b[*]"), Err(None));
        assert_eq!(found("none[*]"), Err(None));
        assert_eq!(found("[*]"), Err(Some(&json)));
    }

    #[test]
    fn prints_what_it_reads() {
        for path in ["$", "$.a", "$.a[*].b[3]", "$['x.y'].z"] {
            assert_eq!(path.parse::<Path>().unwrap().to_string(), path);
        }
        assert_eq!(Path::member("a.b").to_string(), "$['a.b']");
        assert_eq!(Path::members(["a", "b"]).beside("_links").to_string(), "$.a.b_links");
    }

    #[test]
    fn refuses() {
        for path in
            ["a..b", "a.", ".a", "$a", "a[", "a[x]", "a['b", "a['b'", "a]b", "a[0]b", "a[-1]"]
        {
            let error = path.parse::<Path>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("'{path}' is no path: ")), "{error}");
        }
    }
}
