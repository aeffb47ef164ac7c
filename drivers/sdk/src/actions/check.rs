//! Whether templates can work; for the tests of the drivers that have them.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::{OTHERS, Template, has_place, name_of, parameters, placeholder, takes_others, text};
use crate::{Error, Result};

/// Checks templates written as text: that each line is one, that names differ, and that arguments
/// and places belong together.
pub fn check(text: &'static str) -> Result<()> {
    let mut names = BTreeSet::new();
    for line in text::lines(text) {
        let template = text::template(line).ok_or_else(|| wrong(line, "is no template"))?;
        if !names.insert(template.name) {
            return Err(wrong(template.name, "is there twice"));
        }
        template.check()?;
    }
    Ok(())
}

impl Template {
    /// Checks that arguments and places belong together, and that the body is JSON.
    pub fn check(&self) -> Result<()> {
        let (method, path) = self.request.split_once(' ').unwrap_or_default();
        let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        let is_method = methods.contains(&method) || placeholder(method).is_some();
        if !is_method || path.is_empty() {
            return Err(wrong(self.name, "has no method and path"));
        }
        let mut places = Vec::new();
        for part in self.request.split('{').skip(1) {
            let place = part.split('}').next().unwrap_or_default();
            places.push(name_of(place).to_owned());
        }
        match self.body.map(|body| (placeholder(body), serde_json::from_str::<Json>(body))) {
            None => {}
            Some((Some(name), Err(_))) => places.push(name.to_owned()),
            Some((_, Ok(body))) => in_body(&body, &mut places),
            Some((None, Err(error))) => {
                return Err(wrong(self.name, &format!("has a body that is not JSON: {error}")));
            }
        }
        let effective = parameters(self.arguments).filter(|parameter| parameter.has_effect);
        let names: Vec<&str> = effective.map(|parameter| parameter.name).collect();
        let others = takes_others(self.arguments);
        if let Some(place) = places.iter().find(|place| match place.as_str() {
            OTHERS => !others,
            place => !names.contains(&place),
        }) {
            return Err(wrong(self.name, &format!("has a place for '{place}', but no argument")));
        }
        let unused = |name: &&&str| {
            method != "GET" && !has_place(self.request, name) && !places.iter().any(|p| p == **name)
        };
        match names.iter().find(unused) {
            Some(name) => Err(wrong(self.name, &format!("has no place for argument '{name}'"))),
            None => Ok(()),
        }
    }
}

fn in_body(body: &Json, places: &mut Vec<String>) {
    match body {
        Json::String(text) => places.extend(placeholder(text).map(|place| name_of(place).into())),
        Json::Array(items) => items.iter().for_each(|item| in_body(item, places)),
        Json::Object(members) => {
            for (key, value) in members {
                places.extend(placeholder(key).map(|place| name_of(place).into()));
                in_body(value, places);
            }
        }
        _ => {}
    }
}

fn wrong(name: &str, what: &str) -> Error {
    Error::Config(format!("action '{name}' {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_found() {
        check(
            "# fine\na | x y? !z | GET a/{x} |\nb | x .y=1 | PUT b/{+x} {\"k\": [\"{y}\"]} | B
             c | t | PUT c {t} |\nd | k ** | POST d {\"{k}\": 1, \"{**}\": 0} |",
        )
        .unwrap();
        for (text, message) in [
            ("a | x | GET", "'a | x | GET' is no template"),
            ("a | | GET a |\na | | GET b |", "'a' is there twice"),
            ("a | | FETCH a |", "'a' has no method and path"),
            ("a | | GET a/{x} |", "has a place for 'x', but no argument"),
            ("a | | POST a \"{**}\" |", "has a place for '**', but no argument"),
            ("a | x | POST a |", "has no place for argument 'x'"),
            ("a | x | POST a {\"x\": {x}} |", "has a body that is not JSON"),
        ] {
            let error = check(text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
