//! A disk of a machine's own, which can be filled at once and emptied at once.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statvfs::statvfs,
};
use tempfile::TempDir;

/// How much it holds, in bytes.
const SIZE: u64 = 384 * 1024 * 1024;

/// How often it is tried to fill it while others write.
const MOST_TRIES: u32 = 100;

/// A disk of memory, mounted until it is dropped.
pub struct Disk(TempDir);

impl Disk {
    /// Mounts one. Takes root.
    pub fn mount() -> Result<Self> {
        let at = tempfile::tempdir()?;
        let options = format!("size={SIZE},mode=755");
        mount(Some("dormouse"), at.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .context("mounting a disk of memory, which takes root")?;
        // Games run as another user, who has to get through to the worlds.
        fs::set_permissions(at.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self(at))
    }

    /// Returns where it is mounted.
    pub fn at(&self) -> &Path {
        self.0.path()
    }

    /// Leaves room for so many bytes more, and no more than that.
    pub fn fill(&self, left: u64) -> Result<()> {
        let mut tries = 0..MOST_TRIES;
        loop {
            let now = statvfs(self.at())?;
            let used = (now.blocks() - now.blocks_free()) * now.fragment_size();
            match self.resize(used + left) {
                // Something has written meanwhile, and the disk cannot be smaller than what is on it.
                Err(Errno::EINVAL) if tries.next().is_some() => {}
                done => return done.context("filling the disk"),
            }
        }
    }

    /// Makes room again.
    pub fn empty(&self) -> Result<()> {
        self.resize(SIZE).context("emptying the disk")
    }

    fn resize(&self, size: u64) -> Result<(), Errno> {
        let options = format!("size={size},mode=755");
        mount(None::<&str>, self.at(), None::<&str>, MsFlags::MS_REMOUNT, Some(options.as_str()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = umount2(self.at(), MntFlags::MNT_DETACH) {
            eprintln!("the disk at {} stays mounted: {error}", self.at().display());
        }
    }
}
