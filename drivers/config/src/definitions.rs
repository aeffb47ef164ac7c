//! What options there are: namespaces, and templates, which are files that can have options of some
//! namespaces.

use std::collections::HashMap;

use congress_driver::Result;
use congress_driver::translate::{Collected, Output};
use serde_json::{Map, Value as Json};

use crate::types::Kind;
use crate::{cell, id, objects, text};

/// An option.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Where its value is looked for, in this order: sections and names.
    pub(crate) names: Vec<(String, String)>,
}

/// All that a push defines.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// Options by namespace.
    options: HashMap<String, Vec<Definition>>,
    /// Namespaces by template.
    templates: HashMap<String, Vec<String>>,
}

impl Definitions {
    /// Reads the definitions and makes their rows.
    pub(crate) fn read(body: &Map<String, Json>, rows: &mut Collected) -> Result<Self> {
        let mut all = Self::default();
        for (hash, namespace) in objects(body, "namespaces")? {
            let row = vec![hash.as_str().into(), cell(namespace.get("name"))];
            rows.row("namespace", row)?;
            let options = all.options.entry(hash.clone()).or_default();
            for (section, described) in objects(namespace, "data")? {
                let lists = described.get("namespaces").and_then(Json::as_array);
                // Each is a name and its options.
                let lists = lists.into_iter().flatten().filter_map(|list| list.get(1)?.as_array());
                for option in lists.flatten().filter_map(Json::as_object) {
                    options.push(definition(hash, section, option, rows)?);
                }
            }
        }
        for (hash, template) in objects(body, "templates")? {
            let named = template.get("namespaces").and_then(Json::as_array);
            let named: Vec<&str> = named.into_iter().flatten().filter_map(Json::as_str).collect();
            // One whose options are not known yet says nothing of files.
            if !named.iter().all(|namespace| all.options.contains_key(*namespace)) {
                continue;
            }
            rows.row("template", vec![hash.as_str().into(), cell(template.get("name"))])?;
            for namespace in &named {
                rows.row("template_ns", vec![hash.as_str().into(), (*namespace).into()])?;
            }
            let named = named.into_iter().map(str::to_owned).collect();
            all.templates.insert(hash.clone(), named);
        }
        Ok(all)
    }

    /// The namespaces of a template, if it is known.
    pub(crate) fn namespaces(&self, template: &str) -> Option<&[String]> {
        self.templates.get(template).map(Vec::as_slice)
    }

    /// The options of a namespace.
    pub(crate) fn options(&self, namespace: &str) -> &[Definition] {
        self.options.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }
}

/// An option, and its rows.
fn definition(
    namespace: &str,
    section: &str,
    option: &Map<String, Json>,
    rows: &mut Collected,
) -> Result<Definition> {
    let member = |name: &str| option.get(name).and_then(Json::as_str);
    let name = member("name").unwrap_or_default();
    let id = id(&[namespace, section, name]);
    let kind = Kind::of(option.get("type").unwrap_or(&Json::Null));
    rows.row("option", vec![id.as_str().into(), namespace.into(), text(section), text(name)])?;
    let mut info = vec![id.as_str().into(), text(kind.name())];
    let members = [
        "default",
        "deprecated_for_removal",
        "deprecated_reason",
        "mutable",
        "positional",
        "required",
        "sample_default",
        "secret",
        "help",
    ];
    info.extend(members.map(|name| cell(option.get(name))));
    rows.row("option_info", info)?;
    let destination = member("dest").unwrap_or(name);
    let mut names = vec![(section.to_owned(), destination.to_owned())];
    let older = option.get("deprecated_opts").and_then(Json::as_array);
    names.extend(older.into_iter().flatten().map(|older| {
        let part = |name: &str, at: usize| {
            let part = older.get(name).or_else(|| older.get(at));
            part.and_then(Json::as_str).map(str::to_owned)
        };
        (
            part("group", 0).unwrap_or_else(|| section.to_owned()),
            part("name", 1).unwrap_or_else(|| destination.to_owned()),
        )
    }));
    Ok(Definition { id, kind, names })
}
