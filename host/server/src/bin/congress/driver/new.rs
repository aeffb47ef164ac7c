//! `congress driver new`: a folder with a driver in it that builds.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::templates::{self, File};
use crate::output;

/// What `new` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The driver's id: lower-case letters, digits and `_`.
    name: String,
    /// The language to write it in.
    #[arg(long, value_enum)]
    language: Language,
    /// The folder to make; by default one of the driver's name in this folder.
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
}

/// Languages with a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// With the SDK: the shortest drivers, and the smallest components.
    Rust,
    /// With componentize-py.
    Python,
    /// With componentize-js.
    Javascript,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let name = &arguments.name;
    check(name, arguments.language)?;
    let folder = arguments.path.clone().unwrap_or_else(|| PathBuf::from(name));
    if folder.exists() {
        bail!("{} is there already; choose another --path", folder.display());
    }
    let files = templates::files(arguments.language, name)?;
    for file in &files {
        write(&folder, file)?;
    }
    let first = match arguments.language {
        Language::Rust => "src/lib.rs",
        Language::Python => "driver.py",
        Language::Javascript => "driver.js",
    };
    output::note(&format!(
        "{0}/{first} is the driver; {0}/README.md says how it is built",
        folder.display()
    ));
    Ok(())
}

/// Words of Rust that are no names, as `cargo new` has them.
const KEYWORDS: [&str; 50] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "test", "trait", "true", "try", "type",
    "typeof", "unsafe", "use", "virtual", "where", "while",
];

/// Whether a name can be a driver's id, a crate's and a folder's.
fn check(name: &str, language: Language) -> anyhow::Result<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
        bail!(
            "'{name}' cannot be a driver's id: it has lower-case letters, digits and '_', and \
             begins with a letter, as in 'my_cloud'"
        );
    }
    if name.len() > 60 {
        bail!("a driver's id has at most 60 characters");
    }
    if language == Language::Rust && KEYWORDS.contains(&name) {
        bail!(
            "'{name}' is a word of Rust, which no crate or module can be named; add another word"
        );
    }
    Ok(())
}

fn write(folder: &Path, file: &File) -> anyhow::Result<()> {
    let path = folder.join(file.path);
    let context = || format!("cannot write {}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(context)?;
    }
    fs::write(&path, &*file.text).with_context(context)?;
    if file.text.starts_with("#!") {
        make_executable(&path).with_context(context)?;
    }
    Ok(())
}

fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut permissions = fs::metadata(path)?.permissions();
    permissions.set_mode(permissions.mode() | 0o111);
    fs::set_permissions(path, permissions)
}

#[cfg(test)]
mod tests {
    use super::{Language, check};

    #[test]
    fn names_are_ids() {
        for name in ["moons", "my_cloud2"] {
            assert!(check(name, Language::Rust).is_ok(), "{name}");
        }
        for name in ["", "Moons", "2moons", "my-cloud", "../x", "ü", &"a".repeat(61), "fn"] {
            assert!(check(name, Language::Rust).is_err(), "{name}");
        }
        assert!(check("fn", Language::Python).is_ok());
    }
}
