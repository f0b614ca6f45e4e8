//! What is kept of a world besides its files: its archives, for how long each is kept, and the links that people were
//! given.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use thiserror::Error;

use crate::{
    refusal::Refusal,
    words,
    world::{Archive, ArchiveId, Asked, ImportId, LinkId, Person, WorldName},
};

/// How many links of a world work at a time.
pub const MOST_LINKS: usize = 20;

/// How many archives and imports can wait for their removal; beyond that what comes is left where it is, for the store's
/// own cleaning.
const MOST_LITTER: usize = 200;

/// For how long the last archive of a deleted world is kept.
pub const KEPT_DELETED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// An archive that was found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The archive.
    pub archive: Archive,
    /// When it was found whole.
    pub at: Timestamp,
    /// Why it was made.
    pub why: KeptWhy,
}

/// Why an archive was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptWhy {
    /// The world went to sleep.
    Slept,
    /// A person asked for it.
    Asked(Person),
    /// It was time for one while the world was awake.
    Schedule,
    /// What was there was about to be replaced, as this person asked.
    Replaced(Person),
}

/// A link that downloads an archive through the front door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportLink {
    /// Its id, which is no secret: its address is signed besides.
    pub id: LinkId,
    /// What it downloads.
    pub of: LinkOf,
    /// Who asked for it, and when.
    pub asked: Asked,
    /// Until when it works.
    pub expires: Timestamp,
    /// How often it was followed.
    pub downloads: u32,
}

/// What a link downloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkOf {
    /// This archive.
    Archive(ArchiveId),
    /// The archive that is being made.
    Next,
    /// The one after the archive that is being made, which was begun before the link was asked for.
    AfterNext,
    /// Nothing: the archive that was being made did not come to be; why.
    Nothing(String),
}

/// What is to be removed for good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Litter {
    /// An archive.
    Archive(ArchiveId),
    /// A file that was sent to be imported.
    Import(ImportId),
}

/// Where a world lives while it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In its directory, and in its archives.
    Directory,
    /// In its archives alone; its directory is filled at each start.
    Archive,
}

impl Storage {
    /// Every choice.
    pub const ALL: [Self; 2] = [Self::Directory, Self::Archive];

    /// Returns the word for it, as people type it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Archive => "archive",
        }
    }

    /// Parses the word for a choice.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|storage| storage.word() == word)
    }
}

/// How many archives are kept: the newest ones, and of earlier days and weeks the last one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How many of the newest; at least 1.
    pub newest: u8,
    /// For how many days with archives.
    pub daily: u8,
    /// For how many weeks with archives.
    pub weekly: u8,
}

/// How a world's archives are looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Care {
    /// How often an archive is made while somebody plays; zero for never.
    pub backup_every: Duration,
    /// How many are kept.
    pub retention: Retention,
    /// Where the world lives while it sleeps.
    pub storage: Storage,
}

impl Care {
    /// What holds where nobody says otherwise.
    pub const DEFAULT: Self = Self {
        backup_every: Duration::from_secs(60 * 60),
        retention: Retention { newest: 5, daily: 7, weekly: 4 },
        storage: Storage::Directory,
    };
}

/// Says which setting is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` cannot be {given}: use {allowed}")]
pub struct BadCare {
    name: &'static str,
    given: String,
    allowed: &'static str,
}

/// What a person chose of [`Care`]; the rest stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CareChoices {
    /// See [`Care::backup_every`].
    pub backup_every: Option<Duration>,
    /// See [`Retention::newest`].
    pub newest: Option<u8>,
    /// See [`Retention::daily`].
    pub daily: Option<u8>,
    /// See [`Retention::weekly`].
    pub weekly: Option<u8>,
    /// See [`Care::storage`].
    pub storage: Option<Storage>,
}

impl CareChoices {
    /// Returns these choices, and `care` where none is made, if each is in its range: archives every 5 minutes to every
    /// day or never, 1 to 20 of the newest, at most 31 days and 26 weeks. The record of a world has to stay small.
    pub fn over(self, care: Care) -> Result<Care, BadCare> {
        let Retention { newest, daily, weekly } = care.retention;
        let retention = Retention {
            newest: within("keep-newest", self.newest.unwrap_or(newest), 1..=20, "1 to 20 archives")?,
            daily: within("keep-daily", self.daily.unwrap_or(daily), 0..=31, "0 to 31 days")?,
            weekly: within("keep-weekly", self.weekly.unwrap_or(weekly), 0..=26, "0 to 26 weeks")?,
        };
        let backup_every = self.backup_every.unwrap_or(care.backup_every);
        let seconds = backup_every.as_secs();
        if seconds != 0 && !(300..=86_400).contains(&seconds) {
            let given = words::length(backup_every);
            return Err(BadCare {
                name: "backup-every",
                given,
                allowed: "5 minutes to 1 day, or 0s for never",
            });
        }
        Ok(Care { backup_every, retention, storage: self.storage.unwrap_or(care.storage) })
    }
}

fn within(
    name: &'static str,
    n: u8,
    range: RangeInclusive<u8>,
    allowed: &'static str,
) -> Result<u8, BadCare> {
    if range.contains(&n) { Ok(n) } else { Err(BadCare { name, given: n.to_string(), allowed }) }
}

/// What is kept of a world besides its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vault {
    /// The archives that were found whole, the newest first.
    pub kept: Vec<Kept>,
    /// The archive that holds exactly what the world's directory should hold; nothing while, or after, somebody could play
    /// and no archive was made since.
    pub same_as: Option<ArchiveId>,
    /// Where what the directory should hold is to be found: in the directory, or in that archive alone, since the directory
    /// was emptied.
    pub lives: Storage,
    /// The links, the oldest first.
    pub links: Vec<ExportLink>,
    /// What is to be removed.
    pub litter: Vec<Litter>,
    /// How it is all looked after.
    pub care: Care,
}

impl Vault {
    /// Returns the vault of a new world.
    pub fn new(care: Care) -> Self {
        Self { kept: vec![], same_as: None, lives: Storage::Directory, links: vec![], litter: vec![], care }
    }

    /// Returns the newest archive.
    pub fn newest(&self) -> Option<&Kept> {
        self.kept.first()
    }

    /// Returns the archive that holds what the directory should hold or, where there is none such, the newest one.
    pub fn current(&self) -> Option<&Kept> {
        self.same_as.as_ref().and_then(|id| self.find(id)).or_else(|| self.newest())
    }

    /// Returns the archive of that id.
    pub fn find(&self, id: &ArchiveId) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.archive.id == *id)
    }

    /// Returns the link of that id.
    pub fn link(&self, id: &LinkId) -> Option<&ExportLink> {
        self.links.iter().find(|link| link.id == *id)
    }

    /// Returns how many bytes all archives have together.
    pub fn size(&self) -> u64 {
        self.kept.iter().map(|kept| kept.archive.size).sum()
    }

    /// Returns the vault with one more archive, and without those that are no longer kept. `needed` is kept in any case.
    pub(crate) fn keeping(&self, kept: Kept, needed: Option<&ArchiveId>) -> Self {
        if self.find(&kept.archive.id).is_some() {
            return self.clone().resolved(&kept.archive.id);
        }
        let (id, now) = (kept.archive.id.clone(), kept.at);
        let mut next = self.clone();
        next.kept.insert(0, kept);
        next.litter.retain(|litter| *litter != Litter::Archive(id.clone()));
        next.links.retain(|link| link.expires > now);
        next.resolved(&id).pruned(needed)
    }

    /// Returns the vault with nothing being made: what is made next is for all links that wait.
    pub(crate) fn waiting(mut self) -> Self {
        for link in self.links.iter_mut().filter(|link| link.of == LinkOf::AfterNext) {
            link.of = LinkOf::Next;
        }
        self
    }

    /// Returns the vault whose links to what is being made lead to this archive.
    pub(crate) fn resolved(mut self, id: &ArchiveId) -> Self {
        for link in self.links.iter_mut().filter(|link| link.of == LinkOf::Next) {
            link.of = LinkOf::Archive(id.clone());
        }
        self
    }

    fn pruned(mut self, needed: Option<&ArchiveId>) -> Self {
        let linked = |id: &ArchiveId| self.links.iter().any(|link| link.of == LinkOf::Archive(id.clone()));
        let wanted = wanted(&self.kept, self.care.retention);
        // Those that were made while it was awake are no proven saves.
        let slept =
            self.kept.iter().find(|kept| kept.why == KeptWhy::Slept).map(|kept| kept.archive.id.clone());
        let (kept, dropped): (Vec<_>, Vec<_>) = self.kept.iter().cloned().partition(|kept| {
            let id = &kept.archive.id;
            let is_same = [self.same_as.as_ref(), needed, slept.as_ref()].contains(&Some(id));
            wanted.contains(id) || is_same || linked(id)
        });
        self.kept = kept;
        dropped.into_iter().for_each(|kept| self.litter(Litter::Archive(kept.archive.id)));
        self
    }

    /// Returns the vault of a deleted world: its newest state alone is kept.
    pub(crate) fn of_deleted(&self) -> Self {
        let last = self.current().map(|kept| kept.archive.id.clone());
        self.keeping_only(last.as_ref())
    }

    /// Returns the vault with that archive alone, or with none.
    pub(crate) fn keeping_only(&self, last: Option<&ArchiveId>) -> Self {
        let mut next = self.clone();
        next.kept.retain(|kept| Some(&kept.archive.id) == last);
        let dropped = self.kept.iter().filter(|kept| Some(&kept.archive.id) != last);
        dropped.for_each(|kept| next.litter(Litter::Archive(kept.archive.id.clone())));
        next.links.retain(|link| matches!(&link.of, LinkOf::Archive(id) if Some(id) == last));
        next
    }

    /// Notes what is to be removed, unless it is kept: a watchdog says what it likes about the ids of archives.
    pub(crate) fn litter(&mut self, litter: Litter) {
        let is_kept = matches!(&litter, Litter::Archive(id) if self.find(id).is_some());
        if !is_kept && self.litter.len() < MOST_LITTER && !self.litter.contains(&litter) {
            self.litter.push(litter);
        }
    }

    /// Returns the vault with one more link, those that have expired at its time of asking left out.
    pub(crate) fn linked(&self, link: ExportLink, name: &WorldName) -> Result<Self, Refusal> {
        if self.link(&link.id).is_some() {
            return Ok(self.clone());
        }
        let mut links: Vec<_> = self.links.clone();
        links.retain(|known| known.expires > link.asked.at);
        if links.len() >= MOST_LINKS {
            return Err(Refusal::TooManyLinks(name.clone()));
        }
        links.push(link);
        Ok(Self { links, ..self.clone() })
    }

    /// Returns the vault without that link, or without any.
    pub(crate) fn withdrawn(&self, id: Option<&LinkId>) -> Self {
        let links = self.links.iter().filter(|link| id.is_some_and(|id| link.id != *id)).cloned().collect();
        Self { links, ..self.clone() }
    }

    /// Returns the vault whose link was followed once more.
    pub(crate) fn followed(&self, id: &LinkId) -> Self {
        let mut next = self.clone();
        for link in next.links.iter_mut().filter(|link| link.id == *id) {
            link.downloads = link.downloads.saturating_add(1);
        }
        next
    }

    /// Returns the vault whose links to what is being made lead nowhere, since it will not come.
    pub(crate) fn without_next(&self, why: &str) -> Self {
        let mut next = self.clone();
        for link in next.links.iter_mut().filter(|link| link.of == LinkOf::Next) {
            link.of = LinkOf::Nothing(why.to_owned());
        }
        next
    }
}

/// Returns which of `kept`, newest first, are to be kept: the newest ones, and the last one of each of the last days and
/// weeks (Monday to Sunday, UTC) that have any.
fn wanted(kept: &[Kept], retention: Retention) -> BTreeSet<ArchiveId> {
    let newest = kept.iter().take(usize::from(retention.newest.max(1)));
    let date = |kept: &Kept| kept.at.to_zoned(TimeZone::UTC).date();
    let daily = last_of_each(kept, retention.daily, date);
    let weekly = last_of_each(kept, retention.weekly, |kept| {
        let date = date(kept).iso_week_date();
        (date.year(), date.week())
    });
    newest.chain(daily).chain(weekly).map(|kept| kept.archive.id.clone()).collect()
}

/// Returns the newest of each of the first `most` spans, as `span` tells them apart.
fn last_of_each<S: Ord>(kept: &[Kept], most: u8, span: impl Fn(&Kept) -> S) -> Vec<&Kept> {
    let mut seen = BTreeSet::new();
    kept.iter().filter(|kept| seen.insert(span(kept))).take(usize::from(most)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Generation, Sha256};

    #[test]
    fn the_newest_and_the_last_of_each_day_and_week_are_kept() {
        let retention = Retention { newest: 2, daily: 3, weekly: 3 };
        // One every 8 hours for 30 days, the newest at the end of a Wednesday.
        let end: Timestamp = "2026-11-18T23:00:00Z".parse().unwrap();
        let kept: Vec<_> =
            (0..90).map(|n| made(n, end - Duration::from_secs(u64::from(n) * 8 * 3600))).collect();
        let wanted = wanted(&kept, retention);
        let times: Vec<_> =
            kept.iter().filter(|k| wanted.contains(&k.archive.id)).map(|k| k.at.to_string()).collect();
        assert_eq!(
            times,
            [
                "2026-11-18T23:00:00Z", // the newest, and the last of its day and week
                "2026-11-18T15:00:00Z", // the newest but one
                "2026-11-17T23:00:00Z",
                "2026-11-16T23:00:00Z", // the third day
                "2026-11-15T23:00:00Z", // the week before
                "2026-11-08T23:00:00Z",
            ]
        );
    }

    #[test]
    fn the_last_good_one_is_never_dropped_nor_what_somebody_has_a_link_to() {
        let care = Care { retention: Retention { newest: 1, daily: 0, weekly: 0 }, ..Care::DEFAULT };
        let mut vault = Vault::new(care);
        let first: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let at = |n: u32| first + Duration::from_secs(u64::from(n) * 60);
        vault = vault.keeping(made(0, at(0)), None);
        vault.same_as = Some(id(0));
        let asked = Asked { by: Person::parse("ann").unwrap(), at: at(1) };
        let link = |n, of| ExportLink {
            id: LinkId::parse(&format!("l{n}")).unwrap(),
            of,
            asked: asked.clone(),
            expires: at(10),
            downloads: 0,
        };
        let name = WorldName::parse("valhalla").unwrap();
        vault = vault.linked(link(1, LinkOf::Next), &name).unwrap();
        for n in 1..5 {
            vault = vault.keeping(made(n, at(n)), Some(&id(3)));
        }
        assert_eq!(
            ids(&vault),
            ["a4", "a3", "a1", "a0"],
            "newest, needed, linked, and what the directory holds"
        );
        assert_eq!(vault.litter, [Litter::Archive(id(2))]);
        vault = vault.keeping(made(11, at(11)), None);
        assert_eq!(ids(&vault), ["a11", "a0"], "the link has expired");
    }

    #[test]
    fn what_was_saved_for_certain_outlives_what_was_copied_while_it_was_played() {
        let care = Care { retention: Retention { newest: 1, daily: 0, weekly: 0 }, ..Care::DEFAULT };
        let at = |n: u32| Timestamp::UNIX_EPOCH + Duration::from_secs(u64::from(n) * 60);
        let mut vault = Vault::new(care).keeping(Kept { why: KeptWhy::Slept, ..made(0, at(0)) }, None);
        for n in 1..4 {
            vault = vault.keeping(made(n, at(n)), None);
        }
        assert_eq!(ids(&vault), ["a3", "a0"]);
    }

    #[test]
    fn links_are_few() {
        let (now, name) = (Timestamp::UNIX_EPOCH, WorldName::parse("valhalla").unwrap());
        let mut vault = Vault::new(Care::DEFAULT);
        let link = |n: usize| ExportLink {
            id: LinkId::parse(&format!("l{n}")).unwrap(),
            of: LinkOf::Next,
            asked: Asked { by: Person::parse("ann").unwrap(), at: now },
            expires: now + Duration::from_secs(5),
            downloads: 0,
        };
        for n in 0..MOST_LINKS {
            vault = vault.linked(link(n), &name).unwrap();
        }
        assert_eq!(vault.linked(link(99), &name), Err(Refusal::TooManyLinks(name.clone())));
        let later =
            ExportLink { asked: Asked { at: now + Duration::from_secs(5), ..link(99).asked }, ..link(99) };
        assert_eq!(vault.linked(later, &name).unwrap().links.len(), 1, "those that have expired make room");
    }

    #[test]
    fn what_is_out_of_its_range_is_refused() {
        let refused = |choices: CareChoices| choices.over(Care::DEFAULT).unwrap_err().to_string();
        assert_eq!(
            refused(CareChoices { newest: Some(0), ..CareChoices::default() }),
            "`keep-newest` cannot be 0: use 1 to 20 archives"
        );
        assert_eq!(
            refused(CareChoices { backup_every: Some(Duration::from_secs(1)), ..CareChoices::default() }),
            "`backup-every` cannot be 1 s: use 5 minutes to 1 day, or 0s for never"
        );
        let never = CareChoices { backup_every: Some(Duration::ZERO), ..CareChoices::default() };
        assert!(never.over(Care::DEFAULT).is_ok());
    }

    fn ids(vault: &Vault) -> Vec<&str> {
        vault.kept.iter().map(|kept| kept.archive.id.as_str()).collect()
    }

    fn id(n: u32) -> ArchiveId {
        ArchiveId::parse(&format!("a{n}")).unwrap()
    }

    fn made(n: u32, at: Timestamp) -> Kept {
        let archive = Archive { id: id(n), generation: Generation(n), size: 10, sha256: Sha256([1; 32]) };
        Kept { archive, at, why: KeptWhy::Schedule }
    }
}
