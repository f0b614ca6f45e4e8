//! What people do with a world beside playing it: have it archived, put back, downloaded, replaced, deleted, set otherwise.

use std::{io::Write, thread, time::Instant};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use serde_json::Value;

use super::{
    LOOK_EVERY, happens, harm,
    life::{Life, MOST_TRIES, PATIENCE, outcome},
    pick,
};
use crate::{
    cloud::{
        Followed,
        people::{ANN, Answered, BOB},
    },
    soak::ledger,
};

impl Life<'_> {
    /// Does now and then what people do with a world that sleeps.
    pub(super) fn between(&mut self) -> Result<()> {
        match self.chance.u32(..100) {
            0..12 => self.restore()?,
            12..18 => self.replace()?,
            18..30 => self.change_settings()?,
            30..38 => self.export_asleep()?,
            38..48 => self.import()?,
            48..53 if self.ground.cloud.discord.remove_message(&format!("{} — ", self.name)) => {
                self.ground.fault("cards that somebody removed", &self.name);
            }
            _ => {}
        }
        Ok(())
    }

    /// Downloads the world. Whatever was promised before it was asked for has to be there. There is nothing to download of one that
    /// never came up.
    pub(super) fn export(&mut self) -> Result<()> {
        let world = self.world()?;
        if world["is_archived"] == true && world["archive"].is_null() {
            return Ok(());
        }
        let promised = self.book.promises();
        let (begun, mut calm) = (Instant::now(), None);
        let archive = loop {
            let said = match self.fetch() {
                Ok(Followed::Archive(archive)) => break archive,
                Ok(Followed::NotYet) => "it was still being made".into(),
                // It could not be archived: another link has it tried again.
                Ok(Followed::Elsewhere(status, said)) => format!("a link led to {status}: {said}"),
                Err(error) => format!("{error:#}"),
            };
            self.ground.count("links that were asked for again");
            self.grow_impatient(begun, &mut calm)
                .with_context(|| format!("{} cannot be downloaded: {said}", self.name))?;
            thread::sleep(LOOK_EVERY);
        };
        drop(calm);
        // There may be some at a time, and these last for days.
        self.press("withdraw", BOB)?;
        let held = lines_of(&archive).context("what was downloaded")?;
        let missing: Vec<_> = promised.iter().filter(|line| !held.contains(line)).collect();
        if !missing.is_empty() {
            self.found(&format!("{} of {} deposits are not in the download", missing.len(), promised.len()));
        }
        self.ground.count("downloads");
        self.download = Some((archive, held));
        Ok(())
    }

    /// Downloads a world that sleeps, which may have to be archived first.
    fn export_asleep(&mut self) -> Result<()> {
        self.case.begin();
        self.export()?;
        let asleep = self.come_to_rest()?;
        self.check(&asleep)
    }

    /// Asks for a link and follows it while what it leads to is being made.
    fn fetch(&self) -> Result<Followed> {
        // Until its task has ended there is the newest archive to be had, and people are told so.
        let is_settled = |world: &Value| world["state"] == "awake" || world["state"] == "asleep";
        self.within(PATIENCE, is_settled)?.context("it is neither awake nor asleep")?;
        let link = self.ground.cloud.on(BOB, "export", &self.name)?.link()?;
        let begun = Instant::now();
        loop {
            let found = self.ground.cloud.follow(&link)?;
            if !matches!(found, Followed::NotYet) || begun.elapsed() > PATIENCE {
                return Ok(found);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Has what was downloaded last take the world's place, or a piece of it, which must not.
    fn import(&mut self) -> Result<()> {
        if self.download.is_none() {
            self.export_asleep()?;
        }
        let Some((mut upload, held)) = self.download.clone() else { return Ok(()) };
        let is_whole = happens(&mut self.chance, 75);
        if !is_whole {
            upload.truncate(self.chance.usize(1..upload.len()));
        }
        for _ in 0..MOST_TRIES {
            let harmed = self.chance.fork();
            let asleep = self.bring_in(&upload, harmed)?;
            let outcome = outcome(&asleep);
            if outcome.starts_with("replaced by what was uploaded") {
                ensure!(is_whole, "a piece of an archive was taken for a world: {asleep:#}");
                return self.check_imported(&asleep, &held);
            }
            if outcome.starts_with("what was uploaded was not taken") {
                self.ground.count("uploads that were not taken");
                return self.check_not_imported(&asleep, &held);
            }
            // Whoever took it was killed before they could tell: it is uploaded again.
            self.ground.count("uploads that were to be sent again");
        }
        bail!("no upload comes to an end: {:#}", self.world()?)
    }

    /// Uploads something, has it taken, and waits until the world sleeps again.
    fn bring_in(&self, upload: &[u8], harmed: Rng) -> Result<Value> {
        let id = self.ask(|life| {
            let inbox = life.ground.cloud.on(ANN, "import", &life.name)?;
            let (url, id) = (inbox.link()?, inbox.upload()?);
            ureq::put(&url).send(upload)?;
            Ok(id)
        })?;
        let options = [("name", self.name.as_str()), ("upload", id.as_str())];
        self.case.begin();
        self.amid_harm(harmed, |life| {
            life.run_errand("takes what was uploaded", |life| {
                life.ground.cloud.people.command(ANN, "world import", &options)
            })
        })
    }

    /// Asks for something until a task has come for it, and waits until the world sleeps again.
    fn run_errand(&self, what: &str, act: impl Fn(&Self) -> Result<Answered>) -> Result<Value> {
        let before = self.world()?["generation"].as_u64().unwrap_or(0);
        let is_begun = |world: &Value| world["generation"].as_u64().is_some_and(|now| now > before);
        self.ask_until(what, is_begun, act)?;
        self.come_to_rest()
    }

    /// Does something for which a task comes, to which perhaps harm is done.
    fn amid_harm<T>(&self, mut chance: Rng, act: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        if happens(&mut chance, 50) {
            return act(self);
        }
        let (ground, case) = (self.ground, &self.case);
        thread::scope(|scope| {
            scope.spawn(|| harm::strike_soon(ground, case, &mut chance));
            act(self)
        })
    }

    fn change_settings(&mut self) -> Result<()> {
        let storage = *pick(&mut self.chance, &["archive", "directory"]);
        let sleep_after = self.chance.u32(8..13);
        let (text, newest) = (format!("{sleep_after}s"), self.chance.u32(1..6).to_string());
        let options = [
            ("name", self.name.as_str()),
            ("storage", storage),
            ("sleep-after", text.as_str()),
            ("keep-newest", newest.as_str()),
        ];
        let is_so = |world: &Value| {
            world["storage"] == storage && world["timers"]["last_left_s"].as_u64() == Some(sleep_after.into())
        };
        self.ask_until("has other settings", is_so, |life| {
            life.ground.cloud.people.command(ANN, "world settings", &options)
        })?;
        self.ground.count("changes of settings");
        Ok(())
    }

    /// Has an older archive take the world's place.
    fn restore(&mut self) -> Result<()> {
        let Some(offered) = self.offered() else { return Ok(()) };
        let known: Vec<_> = offered.into_iter().filter(|id| self.archives.contains_key(id)).collect();
        if known.is_empty() {
            return Ok(());
        }
        let archive = pick(&mut self.chance, &known).clone();
        let options = [("name", self.name.as_str()), ("backup", archive.as_str())];
        self.case.begin();
        let harmed = self.chance.fork();
        let asleep = self.amid_harm(harmed, |life| {
            life.run_errand("is being restored", |life| {
                life.ground.cloud.people.command(ANN, "world restore", &options)
            })
        })?;
        self.ground.count("archives that were to be put back");
        self.check_restored(&asleep, &archive)
    }

    /// Returns the archives that can be put back, the newest first.
    fn offered(&self) -> Option<Vec<String>> {
        self.ground.cloud.people.type_into(ANN, "world restore", &self.name, "backup", "").ok()
    }

    /// Deletes the world, which takes an archive of all that was played, and makes another.
    fn replace(&mut self) -> Result<()> {
        let world = self.archived()?;
        if world["is_archived"] != true {
            return Ok(());
        }
        let (name, id) = (self.name.clone(), self.id.clone());
        // The second time it may be gone already.
        self.ask(|life| match life.ground.cloud.delete(&name) {
            Err(error) if !format!("{error:#}").contains("404") => Err(error),
            Ok(()) | Err(_) => Ok(()),
        })?;
        self.ground.count("worlds that were deleted");
        let files = self.ground.cloud.files(&id);
        self.right("its files are removed", |_| Ok(!files.exists()))?;
        let newest = world["archive"]["id"].as_str().and_then(|id| self.archives.get_key_value(id));
        if let Some((archive, held)) = newest {
            let file = self.ground.cloud.archive_file(&id, archive);
            let kept = ledger::read_archive(&file).context("the last archive of a deleted world")?;
            ensure!(kept == *held, "the last archive of a deleted world is another one");
        }
        self.make()
    }

    /// Has an archive made of a world that sleeps, unless there is one of all that was played.
    fn archived(&mut self) -> Result<Value> {
        let world = self.world()?;
        if world["is_archived"] == true {
            return Ok(world);
        }
        let asleep =
            self.run_errand("is being archived", |life| life.ground.cloud.on(BOB, "backup", &life.name))?;
        self.ground.count("archives that were asked for while asleep");
        self.check(&asleep)?;
        Ok(asleep)
    }
}

/// Returns the ledger in an archive.
fn lines_of(archive: &[u8]) -> Result<Vec<String>> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(archive)?;
    ledger::read_archive(file.path())
}
