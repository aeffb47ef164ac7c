//! Files whose template is not known yet. They are kept between calls until it is.

use std::collections::{BTreeMap, HashSet};

use congress_driver::{Error, Result, logging, state};
use serde_json::{Map, Value as Json};

use crate::definitions::Definitions;
use crate::wrong;

/// Where the state has them.
const KEY: &str = "waiting";
/// How much of the state they may take: the rest is for definitions.
const BYTES: usize = 32 * 1024;

/// A file of a host.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) host: String,
    pub(crate) hash: String,
    pub(crate) config: Map<String, Json>,
}

impl File {
    /// A member that is a text; empty if there is none.
    pub(crate) fn text(&self, member: &str) -> &str {
        self.config.get(member).and_then(Json::as_str).unwrap_or_default()
    }

    pub(crate) fn template(&self) -> &str {
        self.text("template")
    }
}

/// The files that wait.
pub(crate) fn recall() -> Result<Vec<File>> {
    state::get(KEY).map_or_else(|| Ok(Vec::new()), |text| parse(&text))
}

/// Keeps these files and no others. If there is no room for them, the error says what the last one
/// needs: those of the push come last.
pub(crate) fn keep(files: &[File], definitions: &Definitions) -> Result<()> {
    let Some(last) = files.last() else { return state::remove(KEY) };
    let missing = definitions.missing(last.template()).unwrap_or_default();
    let text = text(files);
    if text.len() > BYTES || state::set(KEY, text).is_err() {
        return Err(refused(&last.hash, &missing));
    }
    let (count, hash) = (files.len(), &last.hash);
    logging::info(&format!("{count} files wait for their definitions; {hash} needs {missing}"));
    Ok(())
}

/// Refuses a file that would wait for what does not come by itself.
pub(crate) fn check(file: &File, definitions: &Definitions) -> Result<()> {
    let Some(namespace) = definitions.forgotten(file.template()) else { return Ok(()) };
    Err(wrong(&format!(
        "file {} needs namespace {namespace} of template {}, which is no longer kept: send it \
         again, before the files or together with them",
        file.hash,
        file.template()
    )))
}

/// Refuses a push one of whose templates lets a file wait for what does not come by itself: whoever
/// pushed the file has been told that it waits, and only this sender can send what it needs.
pub(crate) fn check_others(
    files: &[File],
    templates: &HashSet<&str>,
    definitions: &Definitions,
) -> Result<()> {
    let mut concerned = files.iter().filter(|file| templates.contains(file.template()));
    concerned.try_for_each(|file| check(file, definitions)).inspect_err(|error| {
        logging::warn(&error.to_string());
    })
}

fn refused(file: &str, missing: &str) -> Error {
    wrong(&format!(
        "file {file} needs {missing}, which is not known, and there is no room for more files that \
         wait: send the templates and their namespaces first, or together with the files"
    ))
}

type Kept = BTreeMap<String, BTreeMap<String, Map<String, Json>>>;

fn parse(text: &str) -> Result<Vec<File>> {
    let kept: Kept = serde_json::from_str(text)
        .map_err(|error| wrong(&format!("the state cannot be read: {error}")))?;
    let files = kept.into_iter().flat_map(|(host, files)| {
        files.into_iter().map(move |(hash, config)| File { host: host.clone(), hash, config })
    });
    Ok(files.collect())
}

fn text(files: &[File]) -> String {
    let mut kept = Map::new();
    for File { host, hash, config } in files {
        let of_host = kept.entry(host.as_str()).or_insert_with(|| Map::new().into());
        if let Json::Object(of_host) = of_host {
            of_host.insert(hash.clone(), config.clone().into());
        }
    }
    Json::Object(kept).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_as_they_came() {
        let file = |host: &str, hash: &str| {
            let config = Map::from_iter([("template".to_owned(), hash.into())]);
            File { host: host.into(), hash: hash.into(), config }
        };
        let files = parse(&text(&[file("a", "1"), file("a", "2"), file("b", "1")])).unwrap();
        let named: Vec<_> =
            files.iter().map(|file| (file.host.as_str(), file.template())).collect();
        assert_eq!(named, [("a", "1"), ("a", "2"), ("b", "1")]);
        assert!(parse("[").is_err());
    }

    #[test]
    fn a_template_that_lets_a_file_wait_for_ever_is_refused() {
        let file = |template: &str| {
            let config = Map::from_iter([("template".to_owned(), template.into())]);
            File { host: "h".into(), hash: "c".into(), config }
        };
        let definitions = Definitions::without("t", "ns");
        let check =
            |file, template| check_others(&[file], &HashSet::from([template]), &definitions);
        let Err(Error::Protocol(text)) = check(file("t"), "t") else { panic!() };
        assert!(text.starts_with("file c needs namespace ns of template t, which is no"), "{text}");
        // What another push has defined was looked at when the file came.
        assert!(check(file("t"), "u").is_ok() && check(file("u"), "u").is_ok());
    }

    #[test]
    fn the_error_names_what_is_missing() {
        let missing = Definitions::default().missing("t").unwrap();
        let Error::Protocol(text) = refused("c", &missing) else { panic!() };
        assert!(text.starts_with("file c needs template t, which is not known"), "{text}");
    }
}
