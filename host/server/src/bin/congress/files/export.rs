//! `congress policy export`

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use sha2::{Digest as _, Sha256};

use super::{folder, server};
use crate::http::Server;
use crate::output::{self, Answer};

/// What ends a file's name.
const SUFFIX: &str = ".yaml";

/// The most bytes of a file's name.
const MAX_NAME: usize = 255;

/// How many bytes of a longer one are kept.
const SHORTENED: usize = 200;

/// What `export` takes.
#[derive(Args)]
pub(crate) struct Export {
    /// The folder, made if it is not there. Each policy is written to a file of its name, shortened if
    /// it is too long for one; a file that is there is replaced.
    folder: PathBuf,
    /// Only these policies, by name.
    policies: Vec<String>,
}

impl Export {
    pub(crate) async fn run(self, server: &Server) -> anyhow::Result<Answer> {
        let mut policies = server::policies(server).await?;
        for wanted in &self.policies {
            if !policies.iter().any(|policy| policy.name == *wanted) {
                bail!("there is no policy '{wanted}'");
            }
        }
        match self.policies.is_empty() {
            // A server makes its own for itself; there is something to keep only if they have rules.
            true => policies.retain(|policy| !policy.is_own() || !policy.rules.is_empty()),
            false => policies.retain(|policy| self.policies.contains(&policy.name)),
        }
        let folder = &self.folder;
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let elsewhere = present(folder)?;
        let mut texts = Vec::new();
        for policy in &policies {
            let file = folder.join(file_name(&policy.name)?);
            // It would be in the way of `apply`.
            if let Some(other) = elsewhere.get(&policy.name).filter(|other| **other != file) {
                let (other, name) = (other.display(), &policy.name);
                bail!("{other} has the policy {name} already; choose another folder");
            }
            texts.push((file, policy.to_document().to_yaml()?));
        }
        for (file, text) in &texts {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        output::note(&format!("written to {}: {} policies", folder.display(), texts.len()));
        Ok(Answer::Nothing)
    }
}

/// The file of a policy. Names are words; a server that says otherwise writes nowhere else.
fn file_name(policy: &str) -> anyhow::Result<String> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    if policy.is_empty() || policy.starts_with('.') || !policy.chars().all(fits) {
        bail!("the policy's name '{policy}' cannot be a file's");
    }
    let name = format!("{policy}{SUFFIX}");
    if name.len() <= MAX_NAME {
        return Ok(name);
    }
    // The whole name is in the document.
    let hash = Sha256::digest(policy).iter().take(8).fold(String::new(), |mut hash, byte| {
        let _ = write!(hash, "{byte:02x}");
        hash
    });
    let begin = policy.get(..policy.floor_char_boundary(SHORTENED)).unwrap_or_default();
    Ok(format!("{begin}-{hash}{SUFFIX}"))
}

/// The policies of a folder, and their files. What cannot be read `apply` will tell.
fn present(folder: &Path) -> anyhow::Result<HashMap<String, PathBuf>> {
    let mut present = HashMap::new();
    for file in folder::files(folder)? {
        for document in folder::documents(&file).unwrap_or_default() {
            present.insert(document.name, file.clone());
        }
    }
    Ok(present)
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        assert_eq!(file_name("net.work_1").unwrap(), "net.work_1.yaml");
        for name in ["", "..", ".hidden", "../x", "a/b", "a\0", "a\n"] {
            assert!(file_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_long_name_is_shortened_to_one_of_its_own() {
        let just = "a".repeat(250);
        assert_eq!(file_name(&just).unwrap(), format!("{just}.yaml"));
        let long = ["a".repeat(251), "a".repeat(252), "é".repeat(200), "日".repeat(255)];
        let names: Vec<_> = long.iter().map(|name| file_name(name).unwrap()).collect();
        for (place, name) in names.iter().enumerate() {
            assert!(name.len() <= 255 && name.ends_with(".yaml"), "{name}");
            assert!(!names[..place].contains(name), "{name}");
        }
        assert_eq!(names[0], file_name(&long[0]).unwrap());
    }
}
