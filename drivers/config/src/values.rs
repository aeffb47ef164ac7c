//! The values that files give.

use serde_json::{Map, Value as Json};

use crate::definitions::Definition;

/// The sections of a file and of those read after it. The first that has an option counts.
pub(crate) struct Sections<'a>(Vec<&'a Map<String, Json>>);

impl<'a> Sections<'a> {
    /// From a list of objects: section → name → texts.
    pub(crate) fn of(data: Option<&'a Json>) -> Self {
        let files = data.and_then(Json::as_array).into_iter().flatten();
        Self(files.filter_map(Json::as_object).collect())
    }

    /// The value that is given to an option: the last one, where there are several.
    pub(crate) fn value(&self, option: &Definition) -> Option<&'a str> {
        self.0.iter().find_map(|file| {
            option.names.iter().find_map(|(section, name)| match file.get(section)?.get(name)? {
                Json::Array(given) => given.last()?.as_str(),
                given => given.as_str(),
            })
        })
    }
}
