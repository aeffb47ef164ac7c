//! The policies of a folder.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use congress_policy::PolicyKind;

use super::document::Document;

/// The most bytes that a file may have.
const MAX_BYTES: u64 = 64 << 20;

/// The most characters of a name or of a comment.
const MAX_TEXT: usize = 255;

/// The most characters of an abbreviation.
const MAX_ABBREVIATION: usize = 5;

/// A policy, and the file that it is in.
#[derive(Debug)]
pub(super) struct Filed {
    pub(super) file: PathBuf,
    pub(super) policy: Document,
}

/// All policies of a folder's YAML files, by name.
///
/// # Errors
///
/// A file cannot be read, a policy is in two of them, or a rule cannot be right: all of these are
/// told at once.
pub(super) fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, Filed>> {
    let mut policies: BTreeMap<String, Filed> = BTreeMap::new();
    let mut problems = String::new();
    for file in files(folder)? {
        let found = match documents(&file) {
            Ok(found) => found,
            Err(error) => {
                let _ = write!(problems, "\n{}: {error:#}", file.display());
                continue;
            }
        };
        for policy in found {
            for problem in mistakes(&policy) {
                let _ = write!(problems, "\n{}: policy {}: {problem}", file.display(), policy.name);
            }
            let name = policy.name.clone();
            let filed = Filed { file: file.clone(), policy };
            if let Some(other) = policies.insert(name.clone(), filed) {
                let (one, two) = (other.file.display(), file.display());
                let _ = write!(problems, "\n{two}: the policy {name} is in {one} already");
            }
        }
    }
    if !problems.is_empty() {
        bail!("nothing has been changed:{problems}");
    }
    Ok(policies)
}

/// The YAML files of a folder, by name.
pub(super) fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let context = || format!("cannot read the folder {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let is_yaml = path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml");
        let is_hidden =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_yaml && !is_hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The policies of a file.
pub(super) fn documents(file: &Path) -> anyhow::Result<Vec<Document>> {
    let metadata = std::fs::metadata(file)?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        bail!("this is no file of at most {MAX_BYTES} bytes");
    }
    Document::all(&std::fs::read_to_string(file)?)
}

/// What the server would not take either, whatever else it has.
fn mistakes(policy: &Document) -> Vec<String> {
    let mut mistakes = unfit(policy);
    let mut seen = BTreeMap::new();
    for (number, rule) in (1..).zip(policy.rules()) {
        match congress_policy::parser::parse(&rule.rule) {
            Err(problem) => {
                mistakes.push(format!("rule {number}: {}", problem.render(&rule.rule)));
            }
            Ok(statements) => match &statements[..] {
                [statement] => {
                    if let Some(other) = seen.insert(statement.to_string(), number) {
                        mistakes.push(format!("rules {other} and {number} are the same"));
                    }
                }
                several => {
                    mistakes
                        .push(format!("rule {number} has {} statements, not one", several.len()));
                }
            },
        }
    }
    mistakes
}

/// What policies and rules cannot say of themselves.
fn unfit(policy: &Document) -> Vec<String> {
    let mut mistakes = Vec::new();
    if policy.name.is_empty() {
        mistakes.push("it has an empty name".to_owned());
    }
    mistakes.extend(too_long("the name", Some(&policy.name), MAX_TEXT));
    mistakes.extend(too_long("the abbreviation", policy.abbreviation.as_deref(), MAX_ABBREVIATION));
    if let Some(Err(error)) = policy.kind.as_ref().map(|kind| kind.parse::<PolicyKind>()) {
        mistakes.push(error.to_string());
    }
    for (number, rule) in (1..).zip(policy.rules()) {
        let texts = [("name", &rule.name), ("comment", &rule.comment)];
        mistakes.extend(texts.into_iter().filter_map(|(what, text): (_, &Option<String>)| {
            too_long(&format!("rule {number}: the {what}"), text.as_deref(), MAX_TEXT)
        }));
    }
    mistakes
}

fn too_long(what: &str, text: Option<&str>, most: usize) -> Option<String> {
    let length = text?.chars().count();
    (length > most).then(|| format!("{what} has {length} characters, and {most} are the most"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn all_mistakes_are_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("a.yaml", "name: a\nrules:\n- rule: p(1)\n- rule: p(x) :- q(x\n- rule: p( 1 )\n");
        write("b.yml", "name: a\n---\nname: b\nrules: [{rule: p(1) q(1)}]\n");
        write("c.yaml", "name: [\n");
        write("e.yaml", "name: e\nabbreviation: toolong\nkind: odd\n");
        let long = "é".repeat(256);
        write("f.yaml", &format!("name: f\nrules: [{{rule: p(1), name: {long}}}]\n"));
        write("d.txt", "name: d");
        let error = read(folder.path()).unwrap_err().to_string();
        for part in [
            "a.yaml: policy a: rule 2: ",
            "a.yaml: policy a: rules 1 and 3 are the same",
            "b.yml: the policy a is in ",
            "b.yml: policy b: rule 1 has 2 statements",
            "c.yaml: ",
            "policy e: the abbreviation has 7 characters, and 5 are the most",
            "policy e: Unknown kind of policy: odd",
            "policy f: rule 1: the name has 256 characters, and 255 are the most",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains("d.txt"), "{error}");
    }
}
