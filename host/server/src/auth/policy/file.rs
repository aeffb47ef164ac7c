//! Files with rules: JSON or YAML, one object from names to checks.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::check::Check;
use super::parse;
use super::rules::Rules;

/// The largest file that is read.
const MAX_BYTES: u64 = 4 << 20;

/// Where rules are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFiles {
    /// The file, in order of preference: the first one that exists counts. There need be none.
    pub files: Vec<PathBuf>,
    /// Folders whose files are read after it, by name; later rules win. Of each the first place
    /// that exists counts. There need be none.
    pub folders: Vec<Vec<PathBuf>>,
    /// The rule for what has none.
    pub default_rule: String,
}

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the policy file {}: {problem}", path.display())]
pub struct PolicyProblem {
    path: PathBuf,
    problem: String,
}

/// Which files there are, and what tells that one has changed.
pub(super) type Stamp = Vec<(PathBuf, (i64, i64, u64, u64))>;

impl PolicyFiles {
    /// The files that count, without what is in them.
    pub(super) fn stamp(&self) -> Stamp {
        let mut paths: Vec<_> =
            self.files.iter().find(|path| path.exists()).cloned().into_iter().collect();
        for places in &self.folders {
            let entries = places.iter().find_map(|folder| fs::read_dir(folder).ok());
            let Some(entries) = entries else { continue };
            let mut found: Vec<_> = entries
                .filter_map(Result::ok)
                .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
                .map(|entry| entry.path())
                .filter(|path| path.is_file())
                .collect();
            found.sort();
            paths.extend(found);
        }
        let stamped = paths.into_iter().filter_map(|path| {
            let of = fs::metadata(&path).ok()?;
            Some((path, (of.mtime(), of.mtime_nsec(), of.len(), of.ino())))
        });
        stamped.collect()
    }

    /// Reads all files.
    pub(crate) fn load(&self) -> Result<Rules, PolicyProblem> {
        self.load_from(&self.stamp())
    }

    /// Reads these files.
    pub(super) fn load_from(&self, stamp: &Stamp) -> Result<Rules, PolicyProblem> {
        let mut checks = BTreeMap::new();
        for (path, _) in stamp {
            let failed = |problem| PolicyProblem { path: path.clone(), problem };
            let text = read(path).map_err(|error| failed(error.to_string()))?;
            checks.extend(parse(&text).map_err(failed)?);
        }
        // What rules say of each other shows only when all are read.
        let last = || stamp.last().or(stamp.first()).map(|(path, _)| path.clone());
        Rules::new(&self.default_rule, checks)
            .map_err(|problem| PolicyProblem { path: last().unwrap_or_default(), problem })
    }
}

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
    }
    fs::read_to_string(path)
}

fn parse(text: &str) -> Result<BTreeMap<String, Check>, String> {
    // Not all JSON is YAML (tabulators), and broken JSON may be YAML that nobody meant.
    let rules: Option<BTreeMap<String, Value>> = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?
    } else {
        crate::yaml::only(text).map_err(|error| {
            format!("it is not YAML (or JSON) with a check for each rule: {error}")
        })?
    };
    rules
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| match parse::rule(&value) {
            Ok(check) => Ok((name, check)),
            Err(problem) => Err(format!("rule {name} {problem}")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(text).unwrap_err()
    }

    #[test]
    fn json_and_yaml() {
        let json = "{\t\"a\": \"role:x\",\n\t\"b\": [[\"role:y\", \"@\"]]}";
        let yaml = "# comment\na: role:x\n\"b\":\n- [\"role:y\", '@']\n";
        assert_eq!(parse(json).unwrap(), parse(yaml).unwrap());
        assert_eq!(parse(yaml).unwrap().len(), 2);
        for empty in ["", "# nothing\n", "{}", "---\n"] {
            assert!(parse(empty).unwrap().is_empty(), "{empty:?}");
        }
    }

    #[test]
    fn problems_say_where() {
        assert!(problem("{\"a\": }").starts_with("it is not JSON: expected value at line 1"));
        assert!(problem("a: 'role:x\n").contains("line"), "{}", problem("a: 'role:x\n"));
        assert!(problem("- a\n").contains("expected mapping"), "{}", problem("- a\n"));
        assert!(problem("get_v1: role:a or\n").starts_with("rule get_v1 ends where"));
        assert!(problem("get_v1: http://x/y\n").contains("not supported"));
        assert!(problem("get_v1: 7\n").contains("neither a text nor a list"));
    }

    #[test]
    fn folders_come_after_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        let files = PolicyFiles {
            files: vec![inside("policy.json"), inside("policy.yaml")],
            folders: vec![vec![inside("nowhere"), inside("policy.d")]],
            default_rule: "default".to_owned(),
        };
        assert_eq!(files.stamp(), []);
        files.load().unwrap();
        fs::write(inside("policy.yaml"), "a: '!'\nb: role:x\n").unwrap();
        fs::create_dir(inside("policy.d")).unwrap();
        fs::write(inside("policy.d/2.yaml"), "a: role:two\n").unwrap();
        fs::write(inside("policy.d/1.json"), "{\"a\": \"role:one\", \"c\": \"@\"}").unwrap();
        fs::write(inside("policy.d/.hidden"), "broken:\n  -").unwrap();
        let rules = files.load().unwrap();
        assert_eq!(rules.find("a"), Some(&parse::text("role:two").unwrap()));
        assert_eq!(rules.find("b"), Some(&parse::text("role:x").unwrap()));
        assert_eq!(rules.find("c"), Some(&Check::Always));
        // The preferred one hides the other.
        fs::write(inside("policy.json"), "{\"b\": \"!\"}").unwrap();
        assert_eq!(files.load().unwrap().find("b"), Some(&Check::Never));
        fs::write(inside("policy.d/3.yaml"), "a: rule:a").unwrap();
        let error = files.load().unwrap_err().to_string();
        assert!(error.contains("3.yaml: rules refer to each other in a circle"), "{error}");
    }
}
