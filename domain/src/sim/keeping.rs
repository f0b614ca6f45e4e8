//! The part of the model of a watchdog that archives and fills: what `watchdog::run::{keeping, filling, backup}` do.

use super::{
    clockwork::{Of, Sim},
    desk::{Desk, Door, door_for},
    fate,
    outside::{MINUTE, SECOND, Stored, archive_of},
    ports::DOOR_LIMIT,
    watchdog::{LAST_WORD_LIMIT, Watchdog},
};
use crate::{
    driver::{ApplyError, Source},
    effect::{Files, Orders},
    ports::{Part, PartPlace},
    world::{Archive, ArchiveId},
};

const UPLOAD_PATIENCE: u64 = 15 * MINUTE;
const MOST_UPLOADS: u32 = 3;
const TRIES: u32 = 5;

/// Why a part was not taken.
enum NoTicket {
    ForNow,
    Unwanted,
}

impl Watchdog {
    pub(super) async fn archive(&mut self) -> Result<(), String> {
        let Err(why) = self.try_archive().await else { return Ok(()) };
        let said = why.clone();
        self.say(|report| report.archive_failed = Some(said));
        self.wait_for_the_end(LAST_WORD_LIMIT).await;
        Err(why)
    }

    async fn try_archive(&mut self) -> Result<(), String> {
        let (content, note) = {
            let o = self.sim.lock();
            (o.places[self.place].dir.content, o.places[self.place].dir.note.clone())
        };
        if let Some((id, _)) = note.filter(|(_, noted)| *noted == content) {
            let same = id.clone();
            self.say(|report| report.unchanged = Some(same));
            if self.wait_for_the_check(&id).await? {
                return Ok(());
            }
            self.desk.lock().report.unchanged = None;
        }
        for _ in 0..MOST_UPLOADS {
            let end_by = self.end_by;
            let archive = upload(&self.sim, self.task, content, &self.desk, move |now, _| {
                end_by.is_some_and(|by| now >= by)
            });
            let made = archive.await?;
            let said = self.perhaps_mistaken(made.clone());
            let id = said.id.clone();
            self.say(|report| report.uploaded = Some(said));
            if self.wait_for_the_check(&id).await? {
                self.sim.lock().places[self.place].dir.note = Some((made.id, content));
                return Ok(());
            }
        }
        Err("no upload arrived whole".into())
    }

    /// Returns what the watchdog says that it has uploaded: now and then another archive's id. Nothing that it says is believed.
    fn perhaps_mistaken(&self, archive: Archive) -> Archive {
        let mut o = self.sim.lock();
        let rate = o.weather.archive;
        let old = o.places[self.place].record.vault.newest().map(|kept| kept.archive.id.clone());
        match old {
            Some(id) if o.chance.one_in(rate) => Archive { id, ..archive },
            Some(_) | None => archive,
        }
    }

    /// Waits until the control plane has said whether it has the archive whole.
    async fn wait_for_the_check(&mut self, id: &ArchiveId) -> Result<bool, String> {
        let deadline = self.sim.now() + UPLOAD_PATIENCE;
        while self.sim.now() < deadline {
            self.check_time()?;
            match self.desk.orders() {
                Some(Orders::End(_) | Orders::Abandon | Orders::Fill) => return Ok(true),
                Some(Orders::UploadAgain(rejected)) if rejected == *id => return Ok(false),
                Some(Orders::UploadAgain(_) | Orders::Run { .. } | Orders::Stop(_)) | None => {}
            }
            let until = self.end_by.map_or(deadline, |by| by.min(deadline));
            self.glance(until, |_| false).await;
        }
        Err("the control plane did not say whether the archive arrived whole".into())
    }

    fn check_time(&mut self) -> Result<(), String> {
        let _ = self.leaving();
        match self.end_by {
            Some(by) if self.sim.now() >= by => {
                Err("the host ends the task before the archive is done".into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Removes the world's files if the control plane says that an archive holds them.
    pub(super) fn clear_if_told(&self) {
        if self.desk.orders() != Some(Orders::End(Files::Go)) {
            return;
        }
        let mut o = self.sim.lock();
        o.law_of_destruction(self.place, "removed");
        o.say(|o| format!("the directory of {} is emptied", o.places[self.place].id));
        let dir = &mut o.places[self.place].dir;
        (dir.content, dir.is_cleared, dir.note) = (0, true, None);
    }

    /// Fills the world's directory as the control plane says; what is there stays until what comes is checked.
    pub(super) async fn fill(&mut self) -> Result<(), String> {
        match self.try_to_fill().await {
            Ok(()) => {
                self.say(|report| report.filled = Some("a world".into()));
                Ok(())
            }
            Err(why) => {
                let said = why.clone();
                self.say(|report| report.fill_failed = Some(said));
                self.wait_for_the_end(LAST_WORD_LIMIT).await;
                Err(why)
            }
        }
    }

    async fn try_to_fill(&mut self) -> Result<(), String> {
        let mut wait = SECOND;
        let (source, content) = loop {
            self.check_filling()?;
            match self.fetch().await {
                Some(found) => break found,
                None if wait >= SECOND << TRIES => return Err("it cannot be fetched".into()),
                None => {}
            }
            self.sim.sleep(wait).await;
            wait *= 2;
        };
        let takes = self.sim.lock().chance.millis(SECOND, 90 * SECOND);
        self.sim.sleep(takes).await;
        self.check_filling()?;
        let mut o = self.sim.lock();
        o.law_of_destruction(self.place, "replaced");
        o.say(|o| format!("the directory of {} is filled with content {content}", o.places[self.place].id));
        let newest = o.newest_content();
        let dir = &mut o.places[self.place].dir;
        (dir.content, dir.is_cleared, dir.filled) = (content, false, newest);
        dir.note = source.archive.map(|archive| (archive.id, content));
        fate::at_the_worst_moment(&mut o, self.task);
        Ok(())
    }

    fn check_filling(&mut self) -> Result<(), String> {
        self.check_time()?;
        match self.desk.orders() {
            Some(Orders::End(_) | Orders::Abandon) => Err("it was called off".into()),
            Some(Orders::Run { .. } | Orders::Fill | Orders::Stop(_) | Orders::UploadAgain(_)) | None => {
                Ok(())
            }
        }
    }

    /// Fetches what is to be put in place, and checks that it is what was archived.
    async fn fetch(&self) -> Option<(Source, u64)> {
        let Door { driver, now, world, generation } = door_for(&self.sim, self.task)?;
        let asked = async move { driver.source(&world, generation, now).await.ok() };
        let source = self.sim.ask(DOOR_LIMIT, DOOR_LIMIT, asked).await??;
        let o = self.sim.lock();
        let named = source.link.url.rsplit('/').next().unwrap_or_default();
        let content = match &source.archive {
            Some(archive) => o
                .archive(self.place, &archive.id)
                .filter(|stored| stored.is_whole && 1000 + stored.content == archive.size)
                .map(|stored| stored.content),
            None => o.inboxes.iter().find(|(_, id, _)| id.as_str() == named).map(|(.., content)| *content),
        };
        let content = content?;
        drop(o);
        Some((source, content))
    }

    /// Makes the archive that is asked for while the game goes on, if one is.
    pub(super) fn tend_backup(&mut self) {
        let Some(Orders::Run { backup: Some(wish), .. }) = self.desk.orders() else { return };
        if self.last_wish == Some(wish) {
            return;
        }
        self.last_wish = Some(wish);
        let mut o = self.sim.lock();
        let content = o.places[self.place].dir.content;
        let (sim, task, desk) = (self.sim.clone(), self.task, self.desk.clone());
        o.clock.begin(
            Of::Task(self.task),
            u64::MAX,
            Box::pin(async move {
                let made =
                    upload(&sim, task, content, &desk, |_, desk| desk.lock().report.stopping.is_some());
                let made = made.await;
                if desk.lock().report.stopping.is_none() {
                    desk.update(&sim, task, |report| report.backup = Some((wish, made)));
                }
            }),
        );
    }
}

/// Uploads an archive of that content.
async fn upload(
    sim: &Sim,
    task: usize,
    content: u64,
    desk: &Desk,
    is_over: impl Fn(u64, &Desk) -> bool + Send,
) -> Result<Archive, String> {
    let (deadline, generation) = {
        let o = sim.lock();
        (o.clock.now + UPLOAD_PATIENCE, o.tasks[task].order.generation)
    };
    loop {
        let now = sim.now();
        if desk.orders() == Some(Orders::Abandon) {
            return Err("the control plane wants no archive of this launch".into());
        }
        if is_over(now, desk) || now >= deadline {
            return Err("there is no time for it".into());
        }
        match ticket(sim, task).await {
            Ok(id) => {
                let takes = sim.lock().chance.millis(SECOND, 60 * SECOND);
                sim.sleep(takes).await;
                if put(sim, task, &id, content) {
                    return Ok(archive_of(id, generation, content));
                }
            }
            Err(NoTicket::Unwanted) => return Err("the control plane wants no archive of this launch".into()),
            Err(NoTicket::ForNow) => {}
        }
        sim.sleep(5 * SECOND).await;
    }
}

async fn ticket(sim: &Sim, task: usize) -> Result<ArchiveId, NoTicket> {
    let Door { driver, now, world, generation } = door_for(sim, task).ok_or(NoTicket::ForNow)?;
    let part = Part { of: None, number: 1, length: 1000, place: PartPlace::Last };
    let asked = async move { driver.ticket(&world, generation, &part, now).await };
    match sim.ask(DOOR_LIMIT, DOOR_LIMIT, asked).await {
        Some(Ok(ticket)) => Ok(ticket.upload.id),
        Some(Err(ApplyError::Refused(_) | ApplyError::NotFound)) => Err(NoTicket::Unwanted),
        Some(Err(ApplyError::Denied(_) | ApplyError::Unavailable(_))) | None => Err(NoTicket::ForNow),
    }
}

/// Puts the archive where the ticket says; tells whether that was heard to be done.
fn put(sim: &Sim, task: usize, id: &ArchiveId, content: u64) -> bool {
    let mut o = sim.lock();
    let (rate, place) = (o.weather.archive, o.tasks[task].place);
    let trouble = o.chance.one_in(rate).then(|| o.chance.below(3));
    if trouble == Some(0) {
        return false;
    }
    let is_whole = trouble != Some(1);
    // There are some that cannot be read as long as a look may take.
    let is_large = rate > 0 && o.chance.one_in(2 * rate) && !o.is_one_machine;
    let takes = if is_large { o.chance.millis(2 * MINUTE, 10 * MINUTE) } else { 0 };
    match o.archives.iter_mut().find(|stored| stored.place == place && stored.id == *id) {
        Some(stored) if stored.is_sealed => {}
        Some(stored) => (stored.content, stored.is_whole) = (content, is_whole),
        None => o.archives.push(Stored { place, id: id.clone(), content, is_whole, is_sealed: false, takes }),
    }
    o.say(|_| {
        format!("archive {id} is received, content {content}{}", if is_whole { "" } else { ", broken" })
    });
    trouble != Some(2)
}
