//! Whether what the configuration names on this host is there.
//!
//! Asked for by `--check-config` alone: a server finds out by itself, and a configuration may be
//! written on another host.

use std::fs::File;
use std::path::Path;

use congress_store::Location;

use super::layers::title;
use super::{Loaded, Origin, Problem};

/// What a path has to be.
enum Needed {
    /// A file that can be read.
    File,
    /// A folder; without it less works.
    Folder,
    /// Something in a folder that is there.
    Inside,
}

/// Options that are one path: section, name, and what it has to be.
const PATHS: &[(&str, &str, Needed)] = &[
    ("DEFAULT", "lock_file", Needed::Inside),
    ("DEFAULT", "policy_library_path", Needed::Folder),
    ("keystone_authtoken", "cafile", Needed::File),
    ("keystone_authtoken", "certfile", Needed::File),
    ("keystone_authtoken", "keyfile", Needed::File),
    ("oslo_messaging_rabbit", "ssl_ca_file", Needed::File),
    ("oslo_messaging_rabbit", "ssl_cert_file", Needed::File),
    ("oslo_messaging_rabbit", "ssl_key_file", Needed::File),
    ("oslo_policy", "policy_file", Needed::File),
    ("plugins", "cache_path", Needed::Inside),
];

/// What was found: errors, with which the server does not start or not work, and warnings.
#[derive(Debug, Default)]
pub struct PathProblems {
    /// Errors.
    pub errors: Vec<Problem>,
    /// What may be meant so.
    pub warnings: Vec<Problem>,
}

impl Loaded {
    /// Looks whether the files and folders are there that were named; those of defaults need not
    /// be. Reads nothing of them.
    pub fn check_paths(&self) -> PathProblems {
        let mut found = PathProblems::default();
        for (spec, value) in &self.texts {
            let Some((text, origin)) = value else { continue };
            // A relative policy file is looked for in the folders of the configuration.
            let named = !matches!(origin, Origin::Default | Origin::Embedded)
                && (spec.name != "policy_file" || Path::new(text).is_absolute());
            let needed = PATHS.iter().find(|(s, n, _)| (*s, *n) == (spec.section, spec.name));
            let Some((.., needed)) = needed.filter(|_| named && !text.is_empty()) else { continue };
            let Err(reason) = look(Path::new(text), needed) else { continue };
            let problem = Problem::new(origin.clone(), format!("{} {reason}", title(spec)));
            match needed {
                Needed::File | Needed::Inside => found.errors.push(problem),
                Needed::Folder => found.warnings.push(problem),
            }
        }
        if let Some(file) = &self.config.log.file
            && let Err(reason) = look(file, &Needed::Inside)
        {
            let text = format!("[DEFAULT] log_file {reason}");
            found.errors.push(Problem::new(self.origin("log_file"), text));
        }
        self.check_drivers(&mut found);
        self.check_database(&mut found);
        found
    }

    /// Where an option's value comes from.
    fn origin(&self, name: &str) -> Origin {
        let option = self.texts.iter().find(|(spec, _)| spec.name == name);
        option.and_then(|(_, value)| Some(value.as_ref()?.1.clone())).unwrap_or(Origin::Default)
    }

    fn check_drivers(&self, found: &mut PathProblems) {
        let datasources = &self.config.datasources;
        let place = self.origin("driver_path");
        if self.config.roles.datasources && !matches!(place, Origin::Embedded) {
            for folder in &datasources.driver_path {
                if let Err(reason) = look(folder, &Needed::Folder) {
                    let text = format!("[DEFAULT] driver_path {reason}");
                    found.warnings.push(Problem::new(place.clone(), text));
                }
            }
        }
        for driver in &datasources.custom_drivers {
            if let Err(reason) = look(&driver.path, &Needed::File) {
                let text = format!("[DEFAULT] custom_driver_endpoints {reason}");
                found.errors.push(Problem::new(self.origin("custom_driver_endpoints"), text));
            }
        }
        for path in &self.config.plugins.allowed_files {
            if let Err(error) = path.symlink_metadata() {
                let text = format!("[plugins] allowed_files names {}: {error}", path.display());
                found.warnings.push(Problem::new(self.origin("allowed_files"), text));
            }
        }
    }

    fn check_database(&self, found: &mut PathProblems) {
        let mut check = |path: &Path, needed: Needed| {
            if let Err(reason) = look(path, &needed) {
                let text = format!("[database] connection {reason}");
                found.errors.push(Problem::new(self.origin("connection"), text));
            }
        };
        match &self.config.database {
            Location::SqliteFile(path) if !self.config.embedded => check(path, Needed::Inside),
            Location::MySql(server) | Location::Postgres(server) => {
                let tls = &server.tls;
                for file in [&tls.ca, &tls.cert, &tls.key].into_iter().flatten() {
                    check(file, Needed::File);
                }
            }
            _ => {}
        }
    }
}

/// Whether a path is what it has to be; otherwise the end of a sentence about its option.
fn look(path: &Path, needed: &Needed) -> Result<(), String> {
    let shown = path.display();
    match needed {
        Needed::File => match File::open(path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_file() => Ok(()),
            Ok(_) => Err(format!("names {shown}, which is no file")),
            Err(error) => Err(format!("names {shown}, which cannot be read: {error}")),
        },
        Needed::Folder => match path.read_dir() {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("names {shown}, which cannot be read: {error}")),
        },
        Needed::Inside => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            match folder.unwrap_or(Path::new(".")).metadata() {
                Ok(metadata) if metadata.is_dir() => Ok(()),
                _ => Err(format!("names {shown}, whose folder does not exist")),
            }
        }
    }
}
