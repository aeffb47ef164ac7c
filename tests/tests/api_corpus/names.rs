//! Placeholders of recordings: what stands for which text.

use std::collections::BTreeMap;

use regex::Regex;

const UUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

/// What placeholders stand for so far. The same number is the same UUID through a scenario, and
/// different numbers are different ones.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    authority: String,
    uuids: BTreeMap<u32, String>,
    /// For UUIDs that requests name before any answer does.
    invented: u32,
}

enum Part<'a> {
    Text(&'a str),
    Uuid(u32),
    Other(&'a str),
}

impl Names {
    pub(crate) fn new(authority: &str) -> Self {
        Self { authority: authority.to_owned(), uuids: BTreeMap::new(), invented: 0 }
    }

    /// A recorded text as it is to be sent.
    pub(crate) fn fill(&mut self, recorded: &str) -> String {
        parts(recorded)
            .into_iter()
            .map(|part| match part {
                Part::Text(text) | Part::Other(text) if text != "<host:port>" => text.to_owned(),
                Part::Text(_) | Part::Other(_) => self.authority.clone(),
                Part::Uuid(number) => {
                    let invented = &mut self.invented;
                    let make = || {
                        *invented += 1;
                        format!("0dd0beef-0000-4000-8000-{invented:012}")
                    };
                    self.uuids.entry(number).or_insert_with(make).clone()
                }
            })
            .collect()
    }

    /// Whether a text is a recorded one; if so, UUIDs seen for the first time get their number.
    pub(crate) fn fits(&mut self, recorded: &str, text: &str) -> bool {
        let parts = parts(recorded);
        if let [Part::Text(recorded)] = parts.as_slice() {
            return *recorded == text;
        }
        let mut pattern = String::from("(?s)^");
        let mut unknown: Vec<u32> = Vec::new();
        for part in parts {
            let piece = match part {
                Part::Text(text) => regex::escape(text),
                Part::Uuid(number) => match self.uuids.get(&number) {
                    Some(uuid) => regex::escape(uuid),
                    None => {
                        unknown.push(number);
                        format!("({UUID})")
                    }
                },
                Part::Other("<host:port>") => regex::escape(&self.authority),
                Part::Other("<request-id>") => format!("req-{UUID}"),
                Part::Other("<timestamp>") => r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?".into(),
                Part::Other("<int>") => r"\d+".into(),
                Part::Other("<traceback>" | "<path>") => ".*".into(),
                Part::Other(text) => regex::escape(text),
            };
            pattern.push_str(&piece);
        }
        pattern.push('$');
        let Some(captures) = Regex::new(&pattern).expect("escaped pieces").captures(text) else {
            return false;
        };
        let mut uuids = self.uuids.clone();
        for (number, group) in unknown.into_iter().zip(captures.iter().skip(1).flatten()) {
            let uuid = group.as_str();
            match uuids.get(&number) {
                Some(known) if known != uuid => return false,
                Some(_) => {}
                None if uuids.values().any(|other| other == uuid) => return false,
                None => {
                    uuids.insert(number, uuid.to_owned());
                }
            }
        }
        self.uuids = uuids;
        true
    }
}

/// Whether a recorded text has placeholders.
pub(crate) fn has_placeholders(recorded: &str) -> bool {
    !matches!(parts(recorded).as_slice(), [] | [Part::Text(_)])
}

fn parts(recorded: &str) -> Vec<Part<'_>> {
    const WORDS: [&str; 6] =
        ["<host:port>", "<request-id>", "<timestamp>", "<int>", "<traceback>", "<path>"];
    let mut parts = Vec::new();
    let mut begin = 0;
    let mut at = 0;
    while let Some(found) = recorded[at..].find('<') {
        at += found;
        let rest = &recorded[at..];
        let uuid = rest.strip_prefix("<uuid:").and_then(|rest| rest.split_once('>'));
        let uuid = uuid.and_then(|(number, _)| Some((number.len() + 7, number.parse().ok()?)));
        let word = WORDS.iter().find(|word| rest.starts_with(**word));
        let (length, part) = match (uuid, word) {
            (Some((length, number)), _) => (length, Part::Uuid(number)),
            (None, Some(word)) => (word.len(), Part::Other(word)),
            (None, None) => {
                at += 1;
                continue;
            }
        };
        if begin < at {
            parts.push(Part::Text(&recorded[begin..at]));
        }
        parts.push(part);
        at += length;
        begin = at;
    }
    if begin < recorded.len() || parts.is_empty() {
        parts.push(Part::Text(&recorded[begin..]));
    }
    parts
}
