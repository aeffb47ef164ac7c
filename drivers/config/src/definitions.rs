//! What options there are: namespaces, and templates, which are files that can have options of some
//! namespaces.

use std::collections::{HashMap, HashSet};

use congress_driver::push::{self, Test};
use congress_driver::translate::{Collected, Output};
use congress_driver::{Result, Row, Value, logging, state};
use serde_json::{Map, Value as Json, json};

use crate::types::Kind;
use crate::{cell, id, objects, text, wrong};

/// An option.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Where its value is looked for, in this order: sections and names.
    pub(crate) names: Vec<(String, String)>,
}

/// All that a push defines, and what it needs of those before.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// Options by namespace.
    options: HashMap<String, Vec<Definition>>,
    /// Namespaces by template.
    templates: HashMap<String, Vec<String>>,
    /// Namespaces that have rows, but of which nothing else is kept.
    forgotten: HashSet<String>,
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
            rows.row("template", vec![hash.as_str().into(), cell(template.get("name"))])?;
            for namespace in &named {
                rows.row("template_ns", vec![hash.as_str().into(), (*namespace).into()])?;
            }
            let named = named.into_iter().map(str::to_owned).collect();
            all.templates.insert(hash.clone(), named);
        }
        Ok(all)
    }

    /// Adds what earlier pushes have defined of these templates.
    pub(crate) fn recall(&mut self, templates: &HashSet<&str>) -> Result<()> {
        let unknown = templates.iter().filter(|template| !self.templates.contains_key(**template));
        let unknown: Vec<Value> = unknown.map(|template| (*template).into()).collect();
        if !unknown.is_empty() {
            let known = push::find("template", "id", &Test::AnyOf(unknown))?;
            let links = push::find("template_ns", "template", &Test::AnyOf(firsts(&known)))?;
            self.add_templates(&known, &links);
        }
        let named = templates.iter().filter_map(|template| self.templates.get(*template));
        let named: HashSet<&String> = named.flatten().collect();
        let unknown = named.into_iter().filter(|hash| !self.options.contains_key(*hash));
        let (mut kept, mut missing) = (HashMap::new(), Vec::new());
        for hash in unknown {
            match state::get(&remembered(hash)) {
                Some(text) => drop(kept.insert(hash.clone(), read(&text)?)),
                None => missing.push(hash.as_str().into()),
            }
        }
        if !missing.is_empty() {
            let known = push::find("namespace", "id", &Test::AnyOf(missing))?;
            self.forgotten.extend(known.iter().map(|row| text_at(row, 0).to_owned()));
        }
        if kept.is_empty() {
            return Ok(());
        }
        let hashes = kept.keys().map(|hash| hash.as_str().into()).collect();
        let options = push::find("option", "namespace", &Test::AnyOf(hashes))?;
        let types = push::find("option_info", "option_id", &Test::AnyOf(firsts(&options)))?;
        self.add_options(&kept, &options, &types);
        Ok(())
    }

    /// Templates, from their rows.
    fn add_templates(&mut self, known: &[Row], links: &[Row]) {
        for row in known {
            let namespaces = links.iter().filter(|link| link.first() == row.first());
            let namespaces = namespaces.map(|link| text_at(link, 1).to_owned()).collect();
            self.templates.insert(text_at(row, 0).to_owned(), namespaces);
        }
    }

    /// Options of namespaces, from their rows and from what is kept of them besides.
    fn add_options(&mut self, kept: &HashMap<String, Json>, options: &[Row], types: &[Row]) {
        let types: HashMap<&str, &str> =
            types.iter().map(|row| (text_at(row, 0), text_at(row, 1))).collect();
        for hash in kept.keys() {
            self.options.insert(hash.clone(), Vec::new());
        }
        for row in options {
            let [id, namespace, section, name] = [0, 1, 2, 3].map(|column| text_at(row, column));
            let (Some(kept), Some(options)) =
                (kept.get(namespace), self.options.get_mut(namespace))
            else {
                continue;
            };
            let said = &kept["options"][short(id)];
            let kind = match said[0].as_u64().and_then(|number| usize::try_from(number).ok()) {
                Some(number) => Kind::of(&kept["types"][number]),
                None => Kind::of(&json!({"type": types.get(id)})),
            };
            let usual = usual(section, name);
            let names = said[1].as_array().map_or(&[Json::Null][..], Vec::as_slice);
            let names = names.iter().map(|name| pair(name).unwrap_or_else(|| usual.clone()));
            let names = names.collect();
            options.push(Definition { id: id.to_owned(), kind, names });
        }
    }

    /// Keeps what rows do not say of the options that this push has defined; `replaced` is the host
    /// whose files it replaces. Where there is no room, what no file needs any more goes first. Where
    /// there is none even so, it serves the push's own files alone.
    pub(crate) fn remember(
        &self,
        body: &Map<String, Json>,
        rows: &Collected,
        replaced: Option<&str>,
    ) -> Result<()> {
        let named = rows.0.get("option").map(Vec::as_slice).unwrap_or_default();
        let named: HashMap<&str, &Row> = named.iter().map(|row| (text_at(row, 0), row)).collect();
        let pushed = objects(body, "namespaces")?;
        let mut spare: Option<Vec<String>> = None;
        for (hash, _) in &pushed {
            let kept = besides(self.options(hash), &named);
            if state::set(&remembered(hash), &kept).is_ok() {
                continue;
            }
            if spare.is_none() {
                spare = Some(self.spare(pushed.iter().map(|(hash, _)| hash.as_str()), replaced)?);
            }
            let has_room = make_room(
                spare.get_or_insert_default(),
                |spare| state::remove(&remembered(spare)),
                || state::set(&remembered(hash), &kept).is_ok(),
            )?;
            if has_room {
                continue;
            }
            let text = format!(
                "there is no room to keep namespace {hash} for pushes to come: send it together \
                 with the templates and files that need it"
            );
            if replaced.is_none() {
                return Err(wrong(&text));
            }
            // What was kept would no longer be all.
            state::remove(&remembered(hash))?;
            logging::warn(&text);
        }
        Ok(())
    }

    /// Namespaces that are kept, and that no file needs.
    fn spare<'a>(
        &self,
        pushed: impl Iterator<Item = &'a str>,
        replaced: Option<&str>,
    ) -> Result<Vec<String>> {
        let pushed: HashSet<&str> = pushed.collect();
        let all = push::find("namespace", "id", &Test::AtMost(char::MAX.to_string().into()))?;
        let kept = all.iter().map(|row| text_at(row, 0)).filter(|hash| !pushed.contains(hash));
        let kept: Vec<&str> = kept.filter(|hash| state::get(&remembered(hash)).is_some()).collect();
        let cells = kept.iter().map(|hash| (*hash).into()).collect();
        let links = push::find("template_ns", "namespace", &Test::AnyOf(cells))?;
        let files = push::find("file", "template", &Test::AnyOf(firsts(&links)))?;
        let replaced = replaced.map(|host| id(&[host]));
        Ok(self.needless(&kept, &links, &files, replaced.as_deref()))
    }

    /// Those namespaces that are named by no template of a file, nor of this push or what waits.
    fn needless(
        &self,
        kept: &[&str],
        links: &[Row],
        files: &[Row],
        replaced: Option<&str>,
    ) -> Vec<String> {
        // The files that the host has from now on are this push's, whose templates are here.
        let files = files.iter().filter(|file| Some(text_at(file, 1)) != replaced);
        let used: HashSet<&str> = files.map(|file| text_at(file, 2)).collect();
        let links = links.iter().filter(|link| used.contains(text_at(link, 0)));
        let mut needed: HashSet<&str> = links.map(|link| text_at(link, 1)).collect();
        needed.extend(self.templates.values().flatten().map(String::as_str));
        let needless = kept.iter().filter(|hash| !needed.contains(**hash));
        needless.map(|hash| (*hash).to_owned()).collect()
    }

    /// What a template needs that was there once, but is not kept: waiting is of no use.
    pub(crate) fn forgotten(&self, template: &str) -> Option<&String> {
        self.templates.get(template)?.iter().find(|hash| self.forgotten.contains(*hash))
    }

    /// What is not known of a template, if anything.
    pub(crate) fn missing(&self, template: &str) -> Option<String> {
        let Some(namespaces) = self.templates.get(template) else {
            return Some(format!("template {template}"));
        };
        let namespace = namespaces.iter().find(|hash| !self.options.contains_key(*hash))?;
        Some(format!("namespace {namespace} of template {template}"))
    }

    /// The options of a template, if all of them are known.
    pub(crate) fn of_template(&self, template: &str) -> Option<Vec<&Definition>> {
        let namespaces = self.templates.get(template)?;
        let options: Option<Vec<_>> =
            namespaces.iter().map(|hash| self.options.get(hash)).collect();
        Some(options?.into_iter().flatten().collect())
    }

    /// The options of a namespace.
    fn options(&self, namespace: &str) -> &[Definition] {
        self.options.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Drops what can be spared, one by one, until there is room.
fn make_room(
    spare: &mut Vec<String>,
    drop: impl Fn(&str) -> Result<()>,
    try_again: impl Fn() -> bool,
) -> Result<bool> {
    while let Some(hash) = spare.pop() {
        drop(&hash)?;
        logging::info(&format!("namespace {hash} is no longer kept: no file needs it"));
        if try_again() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Options whose type has parameters, or that are looked for elsewhere than rows let expect: the
/// types, and by option the number of its type and its names.
fn besides(options: &[Definition], rows: &HashMap<&str, &Row>) -> Json {
    let (mut types, mut kept) = (Vec::new(), Map::new());
    for option in options {
        let kind = option.kind.parameters().map(|kind| {
            types.iter().position(|known| *known == kind).unwrap_or_else(|| {
                types.push(kind);
                types.len() - 1
            })
        });
        let usual = rows.get(option.id.as_str()).map(|row| usual(text_at(row, 2), text_at(row, 3)));
        let names = option
            .names
            .iter()
            .map(|name| if Some(name) == usual.as_ref() { Json::Null } else { json!(name) });
        let names: Vec<Json> = names.collect();
        let said = match (kind, names == [Json::Null]) {
            (None, true) => continue,
            (kind, true) => json!([kind]),
            (kind, false) => json!([kind, names]),
        };
        kept.insert(short(&option.id).to_owned(), said);
    }
    json!({"types": types, "options": kept})
}

/// Where the value of an option of that section and name is, unless it says otherwise.
fn usual(section: &str, name: &str) -> (String, String) {
    (section.to_owned(), name.replace('-', "_"))
}

/// A section and a name.
fn pair(json: &Json) -> Option<(String, String)> {
    serde_json::from_value(json.clone()).ok()
}

/// Enough of an option's id to tell it from others.
fn short(id: &str) -> &str {
    id.get(..11).unwrap_or(id)
}

/// The key of the state that has what rows do not say of a namespace's options.
fn remembered(namespace: &str) -> String {
    format!("namespace {namespace}")
}

fn read(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|error| wrong(&format!("the state cannot be read: {error}")))
}

/// A cell that is a text.
pub(crate) fn text_at(row: &Row, column: usize) -> &str {
    match row.get(column) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// The first cells of rows, which are their ids.
pub(crate) fn firsts(rows: &[Row]) -> Vec<Value> {
    rows.iter().filter_map(|row| row.first().cloned()).collect()
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    impl Definitions {
        /// A template with a namespace that is no longer kept.
        pub(crate) fn without(template: &str, namespace: &str) -> Self {
            let mut all = Self::default();
            all.templates.insert(template.into(), vec![namespace.into()]);
            all.forgotten.insert(namespace.into());
            all
        }
    }

    #[test]
    fn what_no_file_needs_is_spared() {
        let link = |template: &str, namespace: &str| vec![template.into(), namespace.into()];
        let file =
            |host: &str, template: &str| vec!["c".into(), host.into(), template.into(), "n".into()];
        let mut all = Definitions::default();
        all.templates.insert("new".into(), vec!["c".into()]);
        let kept = ["a", "b", "c", "d", "e"];
        let links = [link("t", "a"), link("u", "a"), link("t", "b"), link("old", "d")];
        let files = [file("h", "u"), file("i", "t"), file("g", "old")];
        assert_eq!(all.needless(&kept, &links, &files, None), ["e"]);
        assert_eq!(all.needless(&kept, &links, &files, Some("g")), ["d", "e"]);
        assert_eq!(all.needless(&kept, &links, &files, Some("h")), ["e"]);
        assert_eq!(all.needless(&kept, &links, &files, Some("i")), ["b", "e"]);
        assert_eq!(all.needless(&kept, &links, &[], None), ["a", "b", "d", "e"]);
    }

    #[test]
    fn no_more_is_dropped_than_room_is_needed_for() {
        let dropped = RefCell::new(Vec::new());
        let mut spare: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
        let mut make = |enough: usize| {
            let drop = |hash: &str| {
                dropped.borrow_mut().push(hash.to_owned());
                Ok(())
            };
            make_room(&mut spare, drop, || dropped.borrow().len() >= enough).unwrap()
        };
        assert!(make(2));
        assert_eq!(*dropped.borrow(), ["c", "b"]);
        assert!(!make(9) && !make(0));
        assert_eq!(*dropped.borrow(), ["c", "b", "a"]);
    }

    #[test]
    fn what_is_pushed_apart_is_the_same() {
        let body = json!({
            "namespaces": {"ns": {"name": "n", "data": {"G": {"namespaces": [["n", [
                {"name": "plain", "type": {"type": "Boolean"}},
                {"name": "with-dash", "dest": "with_dash", "type": {"type": "String", "quotes": false}},
                {"name": "moved", "type": {"type": "Float"}, "deprecated_opts": [{"group": "old"}]},
                {"name": "50%", "type": {"type": "Integer", "max": 9}},
                {"name": "other", "type": {"type": "Integer", "max": 9}},
            ]]]}}}},
            "templates": {"t": {"namespaces": ["ns"]}},
        });
        let body = body.as_object().unwrap();
        let mut rows = Collected::default();
        let all = Definitions::read(body, &mut rows).unwrap();
        let rows_of = |table: &str| rows.0[table].as_slice();
        let named = rows_of("option").iter().map(|row| (text_at(row, 0), row)).collect();
        let kept = besides(all.options("ns"), &named);
        assert_eq!(kept["options"].as_object().unwrap().len(), 3);
        assert_eq!(kept["types"].as_array().unwrap().len(), 1);

        let mut again = Definitions::default();
        assert_eq!(again.missing("t").unwrap(), "template t");
        again.add_templates(rows_of("template"), rows_of("template_ns"));
        assert_eq!(again.missing("t").unwrap(), "namespace ns of template t");
        let kept = HashMap::from([("ns".to_owned(), read(&kept.to_string()).unwrap())]);
        again.add_options(&kept, rows_of("option"), rows_of("option_info"));
        assert!(again.missing("t").is_none());
        let said = |all: &Definitions| -> Vec<_> {
            let options = all.of_template("t").unwrap().into_iter();
            let said = options.map(|option| {
                let kind = (option.kind.name().to_owned(), option.kind.parameters());
                (option.id.clone(), kind, option.names.clone())
            });
            said.collect()
        };
        assert_eq!(said(&again), said(&all));
    }

    #[test]
    fn a_namespace_that_is_not_kept_is_told_from_one_that_is_to_come() {
        let rows = [vec!["t".into(), "n".into()], vec!["u".into(), "n".into()]];
        let links = [vec!["t".into(), "old".into()], vec!["u".into(), "new".into()]];
        let mut all = Definitions::default();
        all.add_templates(&rows, &links);
        all.forgotten.insert("old".into());
        assert_eq!(all.forgotten("t").unwrap(), "old");
        assert!(all.forgotten("u").is_none() && all.forgotten("v").is_none());
    }
}
