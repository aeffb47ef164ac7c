//! Policies of the library as YAML files: one or more documents in each, every one a policy.
//!
//! ```yaml
//! name: Idle
//! description: Servers that nobody uses
//! rules:
//!   - rule: error(id) :- nova:servers(id=id, status="SHUTOFF")
//!     name: off
//!     comment: a server that is off
//! ```

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use congress_policy::names::is_referable_policy_name;
use congress_store::{LibraryRule, NewLibraryPolicy};
use serde::Deserialize;
use serde_json::Value;

use crate::yaml;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// The most files that are read, and folders that are entered.
const MAX_FILES: usize = 10_000;

/// A document. Other keys are ignored.
#[derive(Deserialize)]
struct Document {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    abbreviation: Option<String>,
    rules: Vec<LibraryRule>,
}

/// Reads all policies in the `.yaml` and `.yml` files of some folders and their subfolders. A
/// document that is no policy is logged and left out, as is one whose name was there before; a
/// folder that does not exist is empty.
pub fn read(folders: &[PathBuf]) -> Vec<NewLibraryPolicy> {
    let (mut files, mut entered) = (Vec::new(), HashSet::new());
    for folder in folders {
        find(folder, &mut entered, &mut files);
    }
    let (mut policies, mut names) = (Vec::new(), HashSet::new());
    for file in &files {
        let text = match text_of(file) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(file = %file.display(), "cannot be read for the library: {error}");
                continue;
            }
        };
        for (number, policy) in parse(&text).into_iter().enumerate() {
            let (file, document) = (file.display(), number + 1);
            match policy {
                Ok(policy) if !names.insert(policy.name.clone()) => tracing::warn!(
                    %file, document, name = policy.name,
                    "the library has a policy of this name already; this one is left out"
                ),
                Ok(policy) => policies.push(policy),
                Err(reason) => {
                    tracing::error!(%file, document, "no policy for the library: {reason}");
                }
            }
        }
    }
    policies
}

/// The policies of one file, or what is wrong with them. What follows a document that is no YAML
/// cannot be read.
pub fn parse(text: &str) -> Vec<Result<NewLibraryPolicy, String>> {
    // Through values, so that a document of another shape does not end the file.
    let policy = |document: Result<Value, String>| match document {
        Ok(Value::Null) => None,
        Ok(value) => Some(
            serde_json::from_value::<Document>(value)
                .map_err(|error| error.to_string())
                .and_then(checked),
        ),
        Err(error) => Some(Err(error)),
    };
    yaml::each(text).into_iter().filter_map(policy).collect()
}

fn checked(document: Document) -> Result<NewLibraryPolicy, String> {
    let Document { name, description, kind, abbreviation, rules } = document;
    if !is_referable_policy_name(&name) || name.chars().count() > 255 {
        return Err(format!("name `{name}` is not a valid policy name"));
    }
    let abbreviation = abbreviation.unwrap_or_else(|| name.chars().take(5).collect());
    if abbreviation.chars().count() > 5 {
        return Err(format!("abbreviation '{abbreviation}' has more than 5 characters"));
    }
    let kind = match kind {
        Some(kind) => kind
            .parse::<congress_policy::PolicyKind>()
            .map_err(|error| error.to_string())?
            .to_string(),
        None => congress_policy::PolicyKind::default().to_string(),
    };
    Ok(NewLibraryPolicy {
        name,
        abbreviation,
        description: description.unwrap_or_default(),
        kind,
        rules,
    })
}

/// Adds the YAML files below a folder, in the order of their names. A folder is entered once,
/// wherever links to it are.
fn find(folder: &Path, entered: &mut HashSet<PathBuf>, files: &mut Vec<PathBuf>) {
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if entered.len() >= MAX_FILES || !entered.insert(real) {
        return;
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::error!(folder = %folder.display(), "cannot be read for the library: {error}");
            return;
        }
    };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).take(MAX_FILES).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            find(&path, entered, files);
        } else if files.len() < MAX_FILES
            && path.extension().is_some_and(|end| end == "yaml" || end == "yml")
        {
            files.push(path);
        }
    }
}

fn text_of(file: &Path) -> Result<String, String> {
    let length = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if length > MAX_BYTES {
        return Err(format!("it has {length} bytes; {MAX_BYTES} are the most"));
    }
    fs::read_to_string(file).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_are_no_policies_are_left_out() {
        let text = "---\nname: One\nkind: ACTION\nrules:\n- rule: p(1)\n  name: n\n---\n\
                    name: NoRules\n---\n- a list\n---\nname: a b\nrules: []\n---\n\
                    name: Two\nrules: []\n...\n";
        let parsed = parse(text);
        let names: Vec<_> = parsed.iter().map(|p| p.as_ref().ok().map(|p| &*p.name)).collect();
        assert_eq!(names, [Some("One"), None, None, None, Some("Two")]);
        let one = parsed[0].as_ref().unwrap();
        assert_eq!((&*one.abbreviation, &*one.kind, &*one.description), ("One", "action", ""));
        assert_eq!(one.rules[0].name.as_deref(), Some("n"));
        assert!(parsed[1].as_ref().unwrap_err().contains("rules"));
        assert!(parsed[3].as_ref().unwrap_err().contains("`a b`"));
        assert!(parse("").is_empty());
        assert!(parse("name: [").pop().unwrap().is_err());
    }

    #[test]
    fn aliases_cannot_be_piled_up() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let last = format!("*a{}, ", n - 1).repeat(10);
            text.push_str(&format!("a{n}: &a{n} [{last}]\n"));
        }
        assert!(parse(&text).iter().all(Result::is_err));
    }

    #[test]
    fn folders_are_searched_and_the_first_of_a_name_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a.yaml", "name: A\ndescription: first\nrules: []");
        write("deep/er/b.yml", "name: B\nrules: []\n---\nname: A\nrules: []");
        write("c.txt", "name: C\nrules: []");
        write("d.yaml", "\u{0}");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("deep/round")).unwrap();
        let policies = read(&[folder.path().into(), folder.path().join("not there")]);
        let names: Vec<_> = policies.iter().map(|p| (&*p.name, &*p.description)).collect();
        assert_eq!(names, [("A", "first"), ("B", "")]);
    }
}
