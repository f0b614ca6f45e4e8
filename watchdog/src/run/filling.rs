//! What takes the place of a world's files: an archive of it, or what somebody has sent. It is fetched, unpacked into a
//! fresh directory, checked, and only then put in their place; whatever goes wrong before that leaves them as they were.

use std::{
    fs::File,
    io::{self, Read, Write},
    thread,
    time::{Duration, Instant},
};

use adapters::report::{OrdersRecord, SourceRecord};
use anyhow::{Context, Result, bail, ensure};
use domain::{
    ports::{LARGEST_ARCHIVE, LARGEST_IMPORT},
    words,
    world::Sha256,
};
use sha2::Digest;

use super::{LAST_WORD_LIMIT, Task};
use crate::{
    unpack::{Limits, import},
    world_dir::Owned,
};

/// How often what is to be fetched is asked for and fetched before it is given up.
const TRIES: u32 = 5;

/// The first wait after a fetch that broke off; each one after it is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The most bytes that become of what somebody has sent.
const LARGEST_WORLD: u64 = 50 << 30;

/// How much is fetched at a time.
const CHUNK: usize = 1 << 16;

impl Task {
    /// Fills the world's directory as the control plane says; what is there stays until what comes is checked.
    pub(super) fn fill(&mut self, owned: &Owned) -> Result<()> {
        tracing::info!("filling the world's directory");
        match self.try_to_fill(owned) {
            Ok(found) => {
                tracing::info!("filled: {found}");
                self.reporter.update(|report| report.filled = Some(found));
                Ok(())
            }
            Err(error) => {
                let why = format!("{error:#}");
                tracing::error!("not filled: {why}");
                self.reporter.update(|report| report.fill_failed = Some(why));
                self.wait_for_the_end(LAST_WORD_LIMIT);
                Err(error)
            }
        }
    }

    fn try_to_fill(&mut self, owned: &Owned) -> Result<String> {
        // Without a name from the start: nothing of it stays, whatever becomes of this task.
        let scratch = tempfile::tempfile_in(&self.env.task_dir).context("making room for what is fetched")?;
        let source = self.fetch(&scratch)?;
        let fresh = owned.fresh().context("making a fresh directory")?;
        let game = self.game.clone();
        let mut check = || self.check_filling();
        let found = if source.archive.is_some() {
            let limits = Limits::restore(LARGEST_ARCHIVE);
            let unpacked = import::restore(&scratch, &fresh, &game, &limits, &mut check)?;
            format!("{} files, {}", unpacked.files, words::bytes(unpacked.bytes))
        } else {
            let limits = Limits::import(LARGEST_WORLD);
            let (_, found) = import::import(&scratch, &fresh, &game, &limits, &mut check)?;
            let root = if found.root.as_os_str().is_empty() {
                "its top".into()
            } else {
                format!("`{}`", found.root.display())
            };
            let (files, bytes) = (found.files, words::bytes(found.bytes));
            format!("a world found by `{}` at {root}, {files} files, {bytes}", found.marker.display())
        };
        self.check_filling()?;
        owned.carry(&game.save.exclude).context("keeping what archives leave out")?;
        owned.swap().context("putting it in place")?;
        if let Some(archive) = &source.archive {
            self.note_files(owned, &archive.id);
        }
        Ok(found)
    }

    /// An error if there is no time or no reason to go on.
    fn check_filling(&mut self) -> Result<()> {
        self.touch_healthy();
        self.check_time()?;
        match self.reporter.orders() {
            Some(OrdersRecord::End { .. } | OrdersRecord::Abandon) => bail!("it was called off"),
            Some(
                OrdersRecord::Run { .. }
                | OrdersRecord::Fill
                | OrdersRecord::Stop
                | OrdersRecord::UploadAgain { .. },
            )
            | None => Ok(()),
        }
    }

    /// Fetches what is to be put in place, and checks that it is what was archived.
    fn fetch(&mut self, to: &File) -> Result<SourceRecord> {
        let mut wait = FIRST_WAIT;
        for left in (0..TRIES).rev() {
            match self.try_to_fetch(to) {
                Ok(source) => return Ok(source),
                Err(error) if left == 0 => return Err(error),
                Err(error) => tracing::warn!("fetching it again in {wait:?}: {error:#}"),
            }
            let until = Instant::now() + wait;
            while Instant::now() < until {
                self.check_filling()?;
                thread::sleep(super::GLANCE_EVERY);
            }
            wait *= 2;
        }
        bail!("it was never fetched")
    }

    fn try_to_fetch(&mut self, to: &File) -> Result<SourceRecord> {
        let source = self.control.source(self.env.world.as_str(), self.env.generation.0)?;
        let most = source.archive.as_ref().map_or(LARGEST_IMPORT, |archive| archive.size);
        let (mut body, mut file) = (self.control.download(&source.url, most)?, to);
        io::Seek::rewind(&mut file)?;
        file.set_len(0)?;
        let (mut size, mut digest, mut chunk) = (0, sha2::Sha256::new(), vec![0; CHUNK]);
        loop {
            self.check_filling()?;
            let read = body.read(&mut chunk).context("the download broke off")?;
            if read == 0 {
                break;
            }
            size += read as u64;
            ensure!(size <= most, "there is more of it than the {} it should have", words::bytes(most));
            digest.update(&chunk[..read]);
            file.write_all(&chunk[..read]).context("writing what is fetched")?;
        }
        if let Some(archive) = &source.archive {
            let came = (size, Sha256(digest.finalize().into()).to_string());
            ensure!(
                came == (archive.size, archive.sha256.clone()),
                "archive {} did not arrive whole",
                archive.id
            );
        }
        Ok(source)
    }
}
