//! The stored form of what is kept of a world besides its files.

use std::time::Duration;

use domain::{
    vault::{Care, ExportLink, Kept, KeptWhy, LinkOf, Litter, Retention, Storage, Vault},
    world::{Errand, Generation},
};
use serde::{Deserialize, Serialize};

use super::{
    ArchiveRecord, AskedRecord, DecodeError, present,
    restore::{Within, parsed, time},
    wrong,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VaultRecord {
    kept: Vec<KeptRecord>,
    #[serde(deserialize_with = "present")]
    same_as: Option<String>,
    lives: String,
    links: Vec<LinkRecord>,
    litter: Vec<LitterRecord>,
    care: CareRecord,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptRecord {
    archive: ArchiveRecord,
    at_ms: i64,
    why: KeptWhyRecord,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum KeptWhyRecord {
    Slept,
    Asked { by: String },
    Schedule,
    Replaced { by: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkRecord {
    id: String,
    of: LinkOfRecord,
    asked: AskedRecord,
    expires_ms: i64,
    downloads: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum LinkOfRecord {
    Archive { id: String },
    Next,
    AfterNext,
    Nothing { why: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
enum LitterRecord {
    Archive { id: String },
    Import { id: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CareRecord {
    backup_every_ms: u64,
    keep_newest: u8,
    keep_daily: u8,
    keep_weekly: u8,
    storage: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ErrandRecord {
    Backup,
    Restore { archive_id: String },
    Import { import_id: String },
}

impl From<&Vault> for VaultRecord {
    fn from(Vault { kept, same_as, lives, links, litter, care }: &Vault) -> Self {
        Self {
            kept: kept.iter().map(KeptRecord::from).collect(),
            same_as: same_as.as_ref().map(ToString::to_string),
            lives: lives.word().into(),
            links: links.iter().map(LinkRecord::from).collect(),
            litter: litter.iter().map(LitterRecord::from).collect(),
            care: care.into(),
        }
    }
}

impl VaultRecord {
    pub(super) fn restore(self) -> Result<Vault, DecodeError> {
        Ok(Vault {
            kept: self.kept.into_iter().map(KeptRecord::restore).collect::<Result<_, _>>().within("kept")?,
            same_as: self.same_as.map(|id| parsed("same_as", &id)).transpose()?,
            lives: storage("lives", &self.lives)?,
            links: self
                .links
                .into_iter()
                .map(LinkRecord::restore)
                .collect::<Result<_, _>>()
                .within("links")?,
            litter: self
                .litter
                .into_iter()
                .map(LitterRecord::restore)
                .collect::<Result<_, _>>()
                .within("litter")?,
            care: self.care.restore().within("care")?,
        })
    }
}

fn storage(field: &str, word: &str) -> Result<Storage, DecodeError> {
    Storage::parse(word).ok_or_else(|| wrong(field, format!("`{}` is no storage", word.escape_debug())))
}

/// Returns the vault of a record of version 1, which had the newest archive alone and no settings.
pub(super) fn of_version_1(
    archive: Option<ArchiveRecord>,
    claimed: Option<Generation>,
    created_ms: i64,
) -> Result<Vault, DecodeError> {
    let mut vault = Vault::new(Care::DEFAULT);
    if let Some(archive) = archive.map(ArchiveRecord::restore).transpose()? {
        vault.same_as = (claimed <= Some(archive.generation)).then(|| archive.id.clone());
        vault.kept = vec![Kept { archive, at: time("at_ms", created_ms)?, why: KeptWhy::Slept }];
    }
    Ok(vault)
}

impl From<&Kept> for KeptRecord {
    fn from(Kept { archive, at, why }: &Kept) -> Self {
        Self { archive: archive.into(), at_ms: at.as_millisecond(), why: why.into() }
    }
}

impl KeptRecord {
    fn restore(self) -> Result<Kept, DecodeError> {
        Ok(Kept {
            archive: self.archive.restore().within("archive")?,
            at: time("at_ms", self.at_ms)?,
            why: self.why.restore().within("why")?,
        })
    }
}

impl From<&KeptWhy> for KeptWhyRecord {
    fn from(why: &KeptWhy) -> Self {
        match why {
            KeptWhy::Slept => Self::Slept,
            KeptWhy::Asked(by) => Self::Asked { by: by.to_string() },
            KeptWhy::Schedule => Self::Schedule,
            KeptWhy::Replaced(by) => Self::Replaced { by: by.to_string() },
        }
    }
}

impl KeptWhyRecord {
    pub(super) fn restore(self) -> Result<KeptWhy, DecodeError> {
        Ok(match self {
            Self::Slept => KeptWhy::Slept,
            Self::Asked { by } => KeptWhy::Asked(parsed("by", &by)?),
            Self::Schedule => KeptWhy::Schedule,
            Self::Replaced { by } => KeptWhy::Replaced(parsed("by", &by)?),
        })
    }
}

impl From<&ExportLink> for LinkRecord {
    fn from(ExportLink { id, of, asked, expires, downloads }: &ExportLink) -> Self {
        let of = match of {
            LinkOf::Archive(id) => LinkOfRecord::Archive { id: id.to_string() },
            LinkOf::Next => LinkOfRecord::Next,
            LinkOf::AfterNext => LinkOfRecord::AfterNext,
            LinkOf::Nothing(why) => LinkOfRecord::Nothing { why: why.clone() },
        };
        let (asked, expires_ms) = (asked.into(), expires.as_millisecond());
        Self { id: id.to_string(), of, asked, expires_ms, downloads: *downloads }
    }
}

impl LinkRecord {
    fn restore(self) -> Result<ExportLink, DecodeError> {
        let of = match self.of {
            LinkOfRecord::Archive { id } => LinkOf::Archive(parsed("of.id", &id)?),
            LinkOfRecord::Next => LinkOf::Next,
            LinkOfRecord::AfterNext => LinkOf::AfterNext,
            LinkOfRecord::Nothing { why } => LinkOf::Nothing(why),
        };
        Ok(ExportLink {
            id: parsed("id", &self.id)?,
            of,
            asked: self.asked.restore().within("asked")?,
            expires: time("expires_ms", self.expires_ms)?,
            downloads: self.downloads,
        })
    }
}

impl From<&Litter> for LitterRecord {
    fn from(litter: &Litter) -> Self {
        match litter {
            Litter::Archive(id) => Self::Archive { id: id.to_string() },
            Litter::Import(id) => Self::Import { id: id.to_string() },
        }
    }
}

impl LitterRecord {
    fn restore(self) -> Result<Litter, DecodeError> {
        Ok(match self {
            Self::Archive { id } => Litter::Archive(parsed("id", &id)?),
            Self::Import { id } => Litter::Import(parsed("id", &id)?),
        })
    }
}

impl From<&Care> for CareRecord {
    fn from(Care { backup_every, retention: Retention { newest, daily, weekly }, storage }: &Care) -> Self {
        Self {
            backup_every_ms: u64::try_from(backup_every.as_millis()).unwrap_or(u64::MAX),
            keep_newest: *newest,
            keep_daily: *daily,
            keep_weekly: *weekly,
            storage: storage.word().into(),
        }
    }
}

impl CareRecord {
    fn restore(self) -> Result<Care, DecodeError> {
        let (newest, daily, weekly) = (self.keep_newest, self.keep_daily, self.keep_weekly);
        Ok(Care {
            backup_every: Duration::from_millis(self.backup_every_ms),
            retention: Retention { newest, daily, weekly },
            storage: storage("storage", &self.storage)?,
        })
    }
}

impl From<&Errand> for ErrandRecord {
    fn from(errand: &Errand) -> Self {
        match errand {
            Errand::Backup => Self::Backup,
            Errand::Restore(archive) => Self::Restore { archive_id: archive.to_string() },
            Errand::Import(import) => Self::Import { import_id: import.to_string() },
        }
    }
}

impl ErrandRecord {
    pub(super) fn restore(self) -> Result<Errand, DecodeError> {
        Ok(match self {
            Self::Backup => Errand::Backup,
            Self::Restore { archive_id } => Errand::Restore(parsed("archive_id", &archive_id)?),
            Self::Import { import_id } => Errand::Import(parsed("import_id", &import_id)?),
        })
    }
}
