//! Types of options: what they make of a text, and how they are described.

use std::collections::HashSet;
use std::net::IpAddr;

use congress_driver::translate::{Collected, Output};
use congress_driver::{Result, Value, json};
use serde_json::{Map, Value as Json};

use crate::{cell, text};

/// A type with its parameters.
#[derive(Debug)]
pub(crate) struct Kind {
    name: String,
    parameters: Map<String, Json>,
}

impl Kind {
    pub(crate) fn of(json: &Json) -> Self {
        let parameters = json.as_object().cloned().unwrap_or_default();
        let name = parameters.get("type").and_then(Json::as_str).unwrap_or("String").to_owned();
        Self { name, parameters }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What makes it another type than one of that name without parameters, if anything does.
    pub(crate) fn parameters(&self) -> Option<Json> {
        let says = |value: &Json| !matches!(value, Json::Null | Json::Bool(false));
        let mut said = self.parameters.clone();
        said.retain(|_, value| says(value));
        (said.keys().any(|name| name != "type")).then_some(Json::Object(said))
    }

    /// The cells that a text is: several for a list or a mapping, and the text itself if it does not
    /// fit.
    pub(crate) fn cells(&self, given: &str) -> Vec<Value> {
        match self.read(given) {
            Some(Read::One(value)) => vec![value],
            Some(Read::Many(values)) => values,
            None => vec![given.into()],
        }
    }

    fn read(&self, given: &str) -> Option<Read> {
        Some(Read::One(match self.name.as_str() {
            "Boolean" => match given.to_ascii_lowercase().as_str() {
                "true" | "1" | "on" | "yes" => true.into(),
                "false" | "0" | "off" | "no" => false.into(),
                _ => return None,
            },
            "Integer" | "Port" | "Float" if given.trim().is_empty() => Value::Null,
            "Integer" | "Port" => {
                let number: i64 = given.trim().parse().ok()?;
                (self.is_within(number as f64) && self.is_choice(&number.into())).then_some(())?;
                number.into()
            }
            "Float" => {
                let number: f64 = given.trim().parse().ok()?;
                self.is_within(number).then_some(number.into())?
            }
            "String" => self.string(given)?.into(),
            "List" => return self.list(given),
            "Dict" => return self.dict(given),
            "IPAddress" => {
                let address: IpAddr = given.trim().parse().ok()?;
                let version = self.parameters.get("version").and_then(Json::as_i64);
                let fits = version.is_none_or(|version| (version == 4) == address.is_ipv4());
                fits.then_some(given.into())?
            }
            // Others change nothing in a text that fits.
            _ => given.into(),
        }))
    }

    fn string(&self, given: &str) -> Option<String> {
        let mut value = given;
        if self.flag("quotes") && given.starts_with(['"', '\'']) {
            let quote = given.chars().next()?;
            value = given.strip_prefix(quote)?.strip_suffix(quote)?;
        }
        let longest = self.parameters.get("max_length").and_then(Json::as_u64).unwrap_or(0);
        if longest > 0 && value.chars().count() as u64 > longest {
            return None;
        }
        self.is_choice(&value.into()).then(|| value.to_owned())
    }

    fn list(&self, given: &str) -> Option<Read> {
        let mut items = given.trim().trim_end_matches(',');
        if self.flag("bounds") {
            items = items.strip_prefix('[')?.strip_suffix(']')?;
        }
        let kind = self.item();
        let mut values = Vec::new();
        for item in parts(items, |item| kind.read(item.trim()))? {
            match item {
                Read::One(value) => values.push(value),
                Read::Many(more) => values.extend(more),
            }
        }
        Some(Read::Many(values))
    }

    fn dict(&self, given: &str) -> Option<Read> {
        let mut pairs = given.trim();
        if self.flag("bounds") {
            pairs = pairs.strip_prefix('{')?.strip_suffix('}')?;
        }
        let kind = Self::of(self.parameters.get("value_type").unwrap_or(&Json::Null));
        let pairs = parts(pairs, |pair| {
            let (key, value) = pair.split_once(':')?;
            let Read::One(value) = kind.read(value.trim())? else { return None };
            let value = match crate::value(value) {
                Value::Text(text) => text,
                Value::Integer(number) => number.to_string(),
                Value::Float(number) => congress_driver::pytext::repr_float(number),
                Value::Null | Value::Boolean(_) => String::new(),
            };
            Some((key.trim().to_owned(), value))
        })?;
        let mut keys = HashSet::new();
        let fit = pairs.iter().all(|(key, _)| !key.is_empty() && keys.insert(key.as_str()));
        let values = pairs.iter().map(|(key, value)| format!("{key}:{value}").into());
        fit.then(|| Read::Many(values.collect()))
    }

    fn item(&self) -> Self {
        Self::of(self.parameters.get("item_type").unwrap_or(&Json::Null))
    }

    fn flag(&self, name: &str) -> bool {
        self.parameters.get(name).and_then(Json::as_bool).unwrap_or(false)
    }

    fn bounds(&self) -> (Json, Json) {
        let bound = |name: &str| self.parameters.get(name).cloned().filter(|b| !b.is_null());
        let (low, high) = match self.name.as_str() {
            "Port" => (Json::from(0), Json::from(65_535)),
            _ => (Json::Null, Json::Null),
        };
        (bound("min").unwrap_or(low), bound("max").unwrap_or(high))
    }

    fn is_within(&self, number: f64) -> bool {
        let (low, high) = self.bounds();
        low.as_f64().is_none_or(|low| number >= low)
            && high.as_f64().is_none_or(|high| number <= high)
    }

    fn is_choice(&self, value: &Json) -> bool {
        let Some(choices) = self.parameters.get("choices").and_then(Json::as_array) else {
            return true;
        };
        let folded = |json: &Json| json.as_str().map(str::to_lowercase);
        choices.iter().any(|choice| {
            choice == value || self.flag("ignore_case") && folded(choice) == folded(value)
        })
    }

    /// Rows that describe the type of an option. Types without parameters have no table.
    pub(crate) fn describe(&self, option: &str, rows: &mut Collected) -> Result<()> {
        let (low, high) = self.bounds();
        let parameter = |name: &str| cell(self.parameters.get(name));
        let flag = |name: &str| crate::value(self.flag(name).into());
        let (table, cells) = match self.name.as_str() {
            "Integer" | "Port" => {
                ("int_type", vec![cell(Some(&low)), cell(Some(&high)), parameter("choices")])
            }
            "Float" => ("float_type", vec![cell(Some(&low)), cell(Some(&high))]),
            "String" => {
                let longest = match self.parameters.get("max_length") {
                    None | Some(Json::Null) => 0.into(),
                    Some(longest) => json::cell(longest),
                };
                let flags = [flag("quotes"), flag("ignore_case")];
                let mut cells = vec![parameter("regex"), longest];
                cells.extend(flags);
                cells.push(parameter("choices"));
                ("string_type", cells)
            }
            "List" => {
                let item = self.item();
                item.describe(option, rows)?;
                ("list_type", vec![text(item.name()), flag("bounds")])
            }
            "IPAddress" => ("ipaddr_type", vec![parameter("version")]),
            "URI" => ("uri_type", vec![parameter("max_length"), parameter("schemes")]),
            "Range" => ("range_type", vec![cell(Some(&low)), cell(Some(&high))]),
            _ => return Ok(()),
        };
        let mut row = vec![option.into()];
        row.extend(cells);
        rows.row(table, row)
    }
}

/// What is between the commas of a text. A part that does not fit is tried together with the next
/// ones, for it may have commas of its own.
fn parts<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let mut parts = Vec::new();
    let mut rest = Some(text).filter(|text| !text.is_empty());
    while let Some(text) = rest {
        let commas = text.match_indices(',').map(|(at, _)| at);
        let (end, part) =
            commas.chain([text.len()]).find_map(|end| Some((end, read(text.get(..end)?)?)))?;
        parts.push(part);
        rest = text.get(end + 1..);
    }
    Some(parts)
}

/// What a text is.
enum Read {
    One(Value),
    /// The items of a list, or the pairs of a mapping.
    Many(Vec<Value>),
}
