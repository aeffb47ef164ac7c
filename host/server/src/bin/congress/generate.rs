//! What is made of the command line's description: completions and manual pages.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::Arguments;
use crate::output::{self, Answer};

/// What `completion` takes.
#[derive(Args)]
pub(crate) struct Completion {
    /// The shell. For instance: `congress completion bash > /etc/bash_completion.d/congress`
    shell: Shell,
}

/// What `man` takes.
#[derive(Args)]
pub(crate) struct Manual {
    /// The folder to write them to.
    folder: PathBuf,
}

impl Completion {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "congress", &mut text);
        output::write(&String::from_utf8(text)?)?;
        Ok(Answer::Nothing)
    }
}

impl Manual {
    pub(crate) fn run(self) -> anyhow::Result<Answer> {
        let folder = &self.folder;
        std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder))
            .with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
        Ok(Answer::Nothing)
    }
}
