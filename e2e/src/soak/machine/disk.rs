//! A disk of a machine's own, which can be filled at once and emptied at once.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statvfs::statvfs,
};
use tempfile::TempDir;

/// How much it holds, in bytes.
const SIZE: u64 = 384 * 1024 * 1024;

/// A disk of memory.
pub(super) struct Disk(TempDir);

impl Disk {
    pub(super) fn mount() -> Result<Self> {
        let at = tempfile::tempdir()?;
        let options = format!("size={SIZE},mode=755");
        mount(Some("dormouse"), at.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .context("mounting a disk of memory, which takes root")?;
        // Games run as another user, who has to get through to the worlds.
        fs::set_permissions(at.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self(at))
    }

    pub(super) fn at(&self) -> &Path {
        self.0.path()
    }

    /// Leaves room for so many bytes more, and no more than that.
    pub(super) fn fill(&self, left: u64) -> Result<()> {
        let now = statvfs(self.at())?;
        let used = (now.blocks() - now.blocks_free()) * now.fragment_size();
        self.resize(used + left)
    }

    /// Makes room again.
    pub(super) fn empty(&self) -> Result<()> {
        self.resize(SIZE)
    }

    fn resize(&self, size: u64) -> Result<()> {
        let options = format!("size={size},mode=755");
        mount(None::<&str>, self.at(), None::<&str>, MsFlags::MS_REMOUNT, Some(options.as_str()))
            .context("giving the disk another size")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = umount2(self.at(), MntFlags::MNT_DETACH) {
            eprintln!("the disk at {} stays mounted: {error}", self.at().display());
        }
    }
}
