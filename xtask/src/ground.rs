//! The workspace that a command is about, and what it runs in it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::shell::command_in;

/// A workspace.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    root: PathBuf,
}

impl Ground {
    /// Returns the workspace in `root`.
    pub(crate) fn at(root: &Path) -> Result<Self> {
        let root = root.canonicalize().with_context(|| format!("there is no {}", root.display()))?;
        Ok(Self { root })
    }

    /// Returns the path of what lies in the workspace.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// Returns the path of what is made, and can be made again.
    pub(crate) fn target(&self, below: &str) -> PathBuf {
        self.root.join("target").join(below)
    }

    /// Returns a command that runs in the workspace's root, with no secret of ours in its environment.
    pub(crate) fn command(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        command_in(&self.root, program.as_ref(), arguments)
    }
}

/// Returns the search path with `bin` before everything else.
pub(crate) fn path_with(bin: &Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(all).with_context(|| format!("{} cannot be in a search path", bin.display()))
}
