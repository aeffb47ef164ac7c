//! Where Keystone's programs are, and how its data is made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::Keystone;

/// A Keystone that can be run.
#[derive(Clone, Debug)]
pub(super) enum Installation {
    /// In this virtual environment, with its data in SQLite.
    Environment(PathBuf),
    /// Debian's, with its data in the database of this URL.
    Debian { database: String },
}

impl Installation {
    /// The interpreter that finds its modules.
    pub(super) fn python(&self) -> PathBuf {
        match self {
            Self::Environment(folder) => folder.join("bin/python"),
            Self::Debian { .. } => "/usr/bin/python3".into(),
        }
    }

    /// Makes database, keys and first user of a Keystone with its files in `folder` and this URL.
    pub(super) fn prepare(&self, folder: &Path, url: &str) -> anyhow::Result<()> {
        match self {
            Self::Environment(environment) => self.copy_template(environment, folder)?,
            Self::Debian { .. } => self.make(folder)?,
        }
        let password = ["--bootstrap-password", Keystone::ADMIN_PASSWORD];
        let region = ["--bootstrap-region-id", "RegionOne"];
        let mut arguments = [&["bootstrap"][..], &password, &region].concat();
        for interface in
            ["--bootstrap-public-url", "--bootstrap-internal-url", "--bootstrap-admin-url"]
        {
            arguments.extend([interface, url]);
        }
        self.manage(folder, &arguments)
    }

    /// Makes what is the same for all once for each environment, and copies it.
    fn copy_template(&self, environment: &Path, folder: &Path) -> anyhow::Result<()> {
        let template = self.template(environment)?;
        for name in ["fernet", "credential"] {
            fs::create_dir(folder.join(name))?;
            for entry in fs::read_dir(template.join(name))? {
                let key = entry?;
                fs::copy(key.path(), folder.join(name).join(key.file_name()))?;
            }
        }
        fs::copy(template.join("keystone.sqlite"), folder.join("keystone.sqlite"))?;
        self.write_ahead(folder)?;
        self.configure(folder)
    }

    /// A folder with empty tables and keys.
    fn template(&self, environment: &Path) -> anyhow::Result<PathBuf> {
        let folder = environment.join("template");
        let lock = fs::File::create(environment.join("template.lock"))?;
        lock.lock()?;
        let complete = folder.join("complete");
        if !complete.exists() {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir(&folder)?;
            self.make(&folder)?;
            fs::write(complete, "")?;
        }
        Ok(folder)
    }

    /// Makes configuration, empty tables and keys.
    fn make(&self, folder: &Path) -> anyhow::Result<()> {
        self.configure(folder)?;
        self.manage(folder, &["db_sync"])?;
        let user = rustix::process::geteuid().as_raw().to_string();
        let group = rustix::process::getegid().as_raw().to_string();
        for command in ["fernet_setup", "credential_setup"] {
            let owner = ["--keystone-user", &user, "--keystone-group", &group];
            self.manage(folder, &[&[command], &owner[..]].concat())?;
        }
        Ok(())
    }

    /// Has the database in SQLite keep a write-ahead log. Otherwise a request that reads in one
    /// connection what it writes in another ends with "database is locked".
    fn write_ahead(&self, folder: &Path) -> anyhow::Result<()> {
        let pragma = "import sqlite3, sys; \
                      sqlite3.connect(sys.argv[1]).execute('PRAGMA journal_mode = WAL')";
        let status = Command::new(self.python())
            .args(["-c", pragma])
            .arg(folder.join("keystone.sqlite"))
            .status()
            .context("cannot run Python")?;
        ensure!(status.success(), "the database of Keystone cannot be set up: {status}");
        Ok(())
    }

    fn configure(&self, folder: &Path) -> anyhow::Result<()> {
        let (database, cache) = match self {
            Self::Environment(_) => {
                (format!("sqlite:///{}/keystone.sqlite", folder.display()), "enabled = false")
            }
            // Services that validate each request's token make up for it.
            Self::Debian { database } => {
                (database.clone(), "enabled = true\nbackend = dogpile.cache.memory")
            }
        };
        let config = format!(
            "[database]\nconnection = {database}\n\
             [fernet_tokens]\nkey_repository = {folder}/fernet\n\
             [credential]\nkey_repository = {folder}/credential\n\
             [identity]\npassword_hash_rounds = 4\n\
             [token]\nallow_rescope_scoped_token = true\n\
             [cache]\n{cache}\n",
            folder = folder.display()
        );
        Ok(fs::write(folder.join("keystone.conf"), config)?)
    }

    fn manage(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        let program = match self {
            Self::Environment(environment) => environment.join("bin/keystone-manage"),
            Self::Debian { .. } => "/usr/bin/keystone-manage".into(),
        };
        let output = Command::new(program)
            .arg("--config-file")
            .arg(folder.join("keystone.conf"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("cannot run keystone-manage; on Debian: apt-get install python3-keystone")?;
        ensure!(
            output.status.success(),
            "keystone-manage {}: {}\n{}",
            arguments[0],
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}
