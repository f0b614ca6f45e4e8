//! What is looked at while a world sleeps: nothing that was promised is missing, nowhere, and everybody reads how it is.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::life::{Life, outcome};
use crate::soak::ledger;

/// The outcomes after which the newest archive holds the world.
const ARCHIVED: [&str; 2] = ["saved and archived", "archived"];

impl Life<'_> {
    /// Checks a world that sleeps after a round.
    pub(super) fn check(&mut self, asleep: &Value) -> Result<()> {
        let outcome = outcome(asleep);
        let is_archived = ARCHIVED.iter().any(|begin| outcome.starts_with(begin));
        self.ground.count(if is_archived {
            "rounds that were archived"
        } else {
            "rounds that ended otherwise"
        });
        if let Err(error) = self.check_files(asleep, is_archived) {
            self.found(&format!("{error:#}\nafter: {outcome}\n{asleep:#}"));
            // The next round begins with what there is.
            let truth = self.truth(asleep)?;
            self.book.rewind(&truth);
        }
        self.ground.count("ledgers compared");
        self.wished.clear();
        self.check_card()
    }

    /// Compares the world's files and its newest archive with what was promised.
    fn check_files(&mut self, asleep: &Value, is_archived: bool) -> Result<()> {
        let archive = self.current(asleep)?;
        let disk = ledger::read(&self.ground.cloud.files(&self.id))?;
        let lives_in_archive = asleep["storage"] == "archive";
        if is_archived {
            let archive = archive.context("archived, and there is no archive")?;
            self.book.check(&archive).context("the archive")?;
            ensure!(
                archive == disk || (lives_in_archive && disk.is_empty()),
                "the archive holds {} lines, and the files {}",
                archive.len(),
                disk.len()
            );
            return Ok(());
        }
        let Err(error) = self.book.check(&disk).context("the files") else { return Ok(()) };
        // A launch that came to nothing before the files were there.
        let is_in_archive = archive.is_some_and(|archive| self.book.check(&archive).is_ok());
        ensure!(lives_in_archive && is_in_archive && asleep["is_archived"] == true, error);
        Ok(())
    }

    /// Returns what the archive holds that the world was put in last, or was made of.
    fn current(&mut self, asleep: &Value) -> Result<Option<Vec<String>>> {
        let newest = asleep["archive"]["id"].as_str();
        if newest.is_some_and(|id| !self.archives.contains_key(id)) {
            self.restored = None;
        }
        let newest = self.newest(asleep)?;
        let restored = self.restored.as_ref().and_then(|id| self.archives.get(id)).cloned();
        Ok(restored.or(newest))
    }

    /// Returns what the newest archive holds, and remembers it.
    fn newest(&mut self, asleep: &Value) -> Result<Option<Vec<String>>> {
        let Some(id) = asleep["archive"]["id"].as_str() else { return Ok(None) };
        let file = self.ground.cloud.archive_file(&self.id, id);
        let held = ledger::read_archive(&file).with_context(|| format!("archive {id}"))?;
        self.ground.count("archives read");
        match self.archives.get(id) {
            Some(before) => ensure!(*before == held, "archive {id} has changed"),
            None => {
                // It may have been made while the world was awake.
                let missing = self.wished.iter().find(|line| !held.contains(line));
                ensure!(
                    missing.is_none(),
                    "archive {id} lacks {missing:?}, which was there before it was asked for"
                );
                self.archives.insert(id.to_owned(), held.clone());
            }
        }
        Ok(Some(held))
    }

    /// Returns what the world is made of, whatever was promised.
    fn truth(&mut self, asleep: &Value) -> Result<Vec<String>> {
        let disk = ledger::read(&self.ground.cloud.files(&self.id))?;
        if asleep["storage"] == "archive" && disk.is_empty() {
            return Ok(self.current(asleep)?.unwrap_or_default());
        }
        Ok(disk)
    }

    /// Checks a world in whose place an archive was to be put.
    pub(super) fn check_restored(&mut self, asleep: &Value, archive: &str) -> Result<()> {
        if let Err(error) = self.newest(asleep) {
            self.found(&format!("{error:#}\n{asleep:#}"));
        }
        let outcome = outcome(asleep);
        let held = self.archives.get(archive).cloned().context("an archive that nobody knows")?;
        let disk = ledger::read(&self.ground.cloud.files(&self.id))?;
        let lives_in_archive = asleep["storage"] == "archive";
        let is_old = self.book.check(&disk).is_ok() || (lives_in_archive && disk.is_empty());
        let is_new = disk == held || (lives_in_archive && disk.is_empty());
        if outcome.starts_with("restored from archive") {
            self.ground.count("archives that were put back");
            if !is_new {
                self.found(&format!(
                    "restored, and the files are not those of the archive: {} of {} lines\n{asleep:#}",
                    disk.len(),
                    held.len()
                ));
            }
            self.put_back(archive, &held);
        } else if outcome.starts_with("it was not restored") {
            if !is_old {
                self.found(&format!("it is not as it was\n{asleep:#}"));
                self.book.rewind(&disk);
            }
        } else if is_new && !is_old {
            // Whoever was to tell was killed.
            self.ground.count("archives that were put back untold");
            self.put_back(archive, &held);
        } else if !is_old {
            self.found(&format!("neither as it was nor as the archive\n{asleep:#}"));
            self.book.rewind(&disk);
        }
        self.check_card()
    }

    /// Checks a world in whose place an upload was put.
    pub(super) fn check_imported(&mut self, asleep: &Value, held: &[String]) -> Result<()> {
        self.ground.count("uploads that were taken");
        let current = self.current(asleep)?.unwrap_or_default();
        // Where it took more than one try, what was replaced last may have been the upload itself.
        if let Err(error) = self.book.check(&current)
            && current != held
        {
            self.found(&format!("what was replaced is in no archive: {error:#}\n{asleep:#}"));
        }
        let disk = ledger::read(&self.ground.cloud.files(&self.id))?;
        if disk != held {
            let (disk, held) = (disk.len(), held.len());
            self.found(&format!("the files are not those of the upload: {disk} of {held} lines\n{asleep:#}"));
        }
        self.restored = None;
        self.book.rewind(&disk);
        self.check_card()
    }

    /// Checks a world whose place an upload did not take. One try before may have put it there all the same.
    pub(super) fn check_not_imported(&mut self, asleep: &Value, held: &[String]) -> Result<()> {
        if self.truth(asleep)? == held {
            self.book.rewind(held);
        }
        self.check(asleep)
    }

    fn put_back(&mut self, archive: &str, held: &[String]) {
        self.restored = Some(archive.to_owned());
        self.book.rewind(held);
    }

    /// Waits until the world's one card says that it sleeps.
    fn check_card(&self) -> Result<()> {
        let title = format!("{} — ", self.name);
        let asleep = format!("{title}asleep");
        let cards = || {
            let messages = self.ground.cloud.discord.messages();
            messages.into_iter().filter(|card| card.contains(&title)).collect::<Vec<_>>()
        };
        let right = self.right("its one card says that it sleeps", |_| {
            let cards = cards();
            Ok(cards.len() == 1 && cards[0].contains(&asleep))
        });
        self.ground.count("cards read");
        if right.is_err() {
            self.found(&format!("the card is wrong: {:#?}", cards()));
        }
        Ok(())
    }
}
