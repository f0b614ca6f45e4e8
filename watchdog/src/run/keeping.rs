//! The last part of a task: what is there goes into an archive, which counts when the control plane has found it whole.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, OnceLock, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use adapters::report::{ArchiveRecord, OrdersRecord};
use anyhow::{Context, Result, bail};
use domain::{
    Timestamp,
    world::{Archive, ArchiveId, Generation, Sha256},
};

use super::{GLANCE_EVERY, LAST_WORD_LIMIT, NO_MORE_TIME, TERM_LIMIT, Task};
use crate::{
    archive::{self, Source, manifest::About},
    upload::{MayGoOn, Terms, Uploader},
    world_dir::{self, Owned},
};

/// How long uploading is tried again, and how long the control plane may take to check an archive.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// How many archives are made when one after the other arrives broken.
const MOST_UPLOADS: u32 = 3;

/// The file beside the world's lock that says which archive is the same as the world's files, as long as their fingerprint
/// is the one that stands there too.
const NOTE: &str = ".dormouse/archived";

/// Whether an archive is what the control plane has.
enum Arrived {
    Whole,
    Broken,
}

/// Archives the source straight into an upload. `check` is asked again and again whether to go on.
pub(super) fn upload(
    source: &Source<'_>,
    terms: Terms,
    generation: Generation,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<Archive> {
    let mut uploader = Uploader::start(terms)?;
    let written = archive::write(source, &mut uploader, check)?;
    let (id, size) = uploader.finish()?;
    tracing::info!("archived {} files in {size} bytes as {id}", written.files);
    Ok(Archive { id, generation, size, sha256: written.sha256 })
}

impl Task {
    /// Makes an archive and uploads it until the control plane has it whole or there is no hope.
    pub(super) fn archive(&mut self, owned: &Owned) -> Result<()> {
        let Err(error) = self.try_archive(owned) else { return Ok(()) };
        let why = format!("{error:#}");
        tracing::error!("no archive: {why}");
        self.reporter.update(|report| report.archive_failed = Some(why));
        self.wait_for_the_end(LAST_WORD_LIMIT);
        Err(error)
    }

    fn try_archive(&mut self, owned: &Owned) -> Result<()> {
        let print = archive::fingerprint(&owned.files, &self.game.save.exclude)
            .context("looking at what there is to archive")?;
        if let Some(id) = self.same_as(print) {
            tracing::info!("nothing has changed since archive {id}");
            self.reporter.update(|report| report.unchanged = Some(id.to_string()));
            if let Arrived::Whole = self.wait_for_the_check(&id)? {
                return Ok(());
            }
            self.reporter.note(|report| report.unchanged = None);
        }
        for _ in 0..MOST_UPLOADS {
            let archive = self.make_archive(owned)?;
            self.reporter.update(|report| report.uploaded = Some(ArchiveRecord::from(&archive)));
            match self.wait_for_the_check(&archive.id)? {
                Arrived::Whole => {
                    self.note(&archive.id, print);
                    return Ok(());
                }
                Arrived::Broken => tracing::warn!("archive {} did not arrive whole", archive.id),
            }
        }
        bail!("{MOST_UPLOADS} uploads in a row did not arrive whole")
    }

    /// Archives the world's files straight into an upload.
    fn make_archive(&mut self, owned: &Owned) -> Result<Archive> {
        let (exclude, scratch) = (self.game.save.exclude.clone(), self.env.task_dir.clone());
        let about = self.about("when it went to sleep");
        let source = Source { files: &owned.files, exclude: &exclude, scratch: &scratch, about: &about };
        let (terms, generation) = (self.terms(self.may_upload()), self.env.generation);
        upload(&source, terms, generation, &mut || self.check_time())
    }

    /// Returns what the manifest says of an archive that is made now.
    pub(super) fn about(&self, why: &str) -> About {
        About {
            game: self.game.id.to_string(),
            world: Some(self.env.world.to_string()),
            name: None,
            generation: self.env.generation.0.into(),
            at: Timestamp::now(),
            why: why.into(),
        }
    }

    /// Returns what an upload of an archive of this launch depends on.
    pub(super) fn terms(&self, check: MayGoOn) -> Terms {
        let (control, env) = (self.control.clone(), &self.env);
        let (world, generation) = (env.world.to_string(), env.generation.0);
        Terms {
            way: control.way().clone(),
            ticket: Box::new(move |part| control.ticket(&world, generation, part)),
            check,
            patience: UPLOAD_PATIENCE,
        }
    }

    /// Returns what tells other threads whether uploading still makes sense, as [`Self::check_time`] tells this one.
    fn may_upload(&self) -> MayGoOn {
        let (told, end_by) =
            (Arc::clone(&self.told_to_end), self.end_by.map_or_else(OnceLock::new, OnceLock::from));
        let reporter = self.reporter.clone();
        Box::new(move || {
            if reporter.orders() == Some(OrdersRecord::Abandon) {
                bail!("the control plane wants no archive of this launch");
            }
            let is_over = || Instant::now() >= *end_by.get_or_init(|| Instant::now() + TERM_LIMIT);
            if told.load(Ordering::Relaxed) && is_over() {
                bail!("{NO_MORE_TIME}");
            }
            Ok(())
        })
    }

    fn wait_for_the_check(&mut self, id: &ArchiveId) -> Result<Arrived> {
        self.reporter.hurry();
        let deadline = Instant::now() + UPLOAD_PATIENCE;
        while Instant::now() < deadline {
            self.check_time()?;
            match self.reporter.orders() {
                // What follows a checked archive: its end, or what takes the place of what it holds.
                Some(OrdersRecord::End { .. } | OrdersRecord::Abandon | OrdersRecord::Fill) => {
                    return Ok(Arrived::Whole);
                }
                Some(OrdersRecord::UploadAgain { rejected }) if rejected == id.as_str() => {
                    return Ok(Arrived::Broken);
                }
                Some(OrdersRecord::UploadAgain { .. } | OrdersRecord::Run { .. } | OrdersRecord::Stop)
                | None => {}
            }
            thread::sleep(GLANCE_EVERY);
        }
        bail!("the control plane did not say whether the archive arrived whole")
    }

    /// Returns the archive that is noted to be the same as files of this fingerprint.
    fn same_as(&self, print: Sha256) -> Option<ArchiveId> {
        let note = fs::read_to_string(self.note_path()).ok()?;
        let (id, noted) = note.split_once(' ')?;
        ArchiveId::parse(id).ok().filter(|_| noted == print.to_string())
    }

    /// Notes that the archive is the same as the world's files as they are.
    pub(super) fn note_files(&self, owned: &Owned, id: &str) {
        match (archive::fingerprint(&owned.files, &self.game.save.exclude), ArchiveId::parse(id)) {
            (Ok(print), Ok(id)) => self.note(&id, print),
            (Err(error), _) => tracing::warn!("the world's files cannot be looked at: {error}"),
            (_, Err(error)) => tracing::warn!("{error}"),
        }
    }

    /// Notes that the archive is the same as files of this fingerprint. Without the note the next archive is made for
    /// nothing, and that is all.
    fn note(&self, id: &ArchiveId, print: Sha256) {
        let noted: io::Result<()> =
            world_dir::write_durably(&self.note_path(), format!("{id} {print}").as_bytes());
        if let Err(error) = noted {
            tracing::warn!("that nothing has changed since archive {id} cannot be noted: {error}");
        }
    }

    fn note_path(&self) -> PathBuf {
        self.env.world_dir.join(NOTE)
    }

    /// Removes the world's files if the control plane says that an archive holds them.
    pub(super) fn clear_if_told(&self, owned: &Owned) -> Result<()> {
        if self.reporter.orders() == Some(OrdersRecord::End { clear: true }) {
            tracing::info!("the world lives in its archive: its directory is emptied");
            owned.clear(&self.game.save.exclude).context("emptying the world's directory")?;
        }
        Ok(())
    }
}
