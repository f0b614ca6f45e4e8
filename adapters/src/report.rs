//! What a watchdog tells the control plane and what it is told: the JSON records of report and orders, version 1.
//!
//! A report is cumulative: it says everything that has happened in the launch, so that one that is lost, doubled or late
//! changes nothing. The control plane accepts the current version and the one before.

use std::time::Duration;

use domain::{
    Timestamp,
    effect::Orders,
    event::Event,
    idle::Evidence,
    ports::Ticket,
    world::{Address, Archive, ArchiveId, BadName, Generation, Proof, Sha256, StopWhy, TaskId, WorldId},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version that this program writes.
pub const VERSION: u32 = 1;

/// The oldest version that this program reads.
pub const OLDEST_VERSION: u32 = 1;

/// The most characters of free text that are taken from a watchdog: games run strangers' mods.
const LONGEST_TEXT: usize = 300;

/// What the watchdog of one launch has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this record.
    pub v: u32,
    /// The world.
    pub world: String,
    /// The launch.
    pub generation: u32,
    /// The task.
    pub task: String,
    /// The game's first port.
    pub port: u16,
    /// Whether the watchdog owns the world's directory.
    pub claimed: bool,
    /// Whether the game accepts players.
    pub ready: bool,
    /// Why the game could not be started.
    pub start_failed: Option<String>,
    /// Who is on.
    pub seen: Option<SeenRecord>,
    /// Why it stops.
    pub stopping: Option<WhyRecord>,
    /// What shows that the save is good, once the game is gone.
    pub saved: Option<ProofRecord>,
    /// The archive that was uploaded.
    pub uploaded: Option<ArchiveRecord>,
    /// Why there will be no archive.
    pub archive_failed: Option<String>,
}

/// Who is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRecord {
    /// All sources together.
    pub players: PlayersRecord,
    /// In how many seconds the stop begins unless that changes.
    pub stops_in_s: Option<u64>,
}

/// [`Evidence`] as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum PlayersRecord {
    /// At least so many.
    Players {
        /// How many.
        n: u32,
    },
    /// Nobody.
    Empty,
    /// Nobody can tell.
    Unknown {
        /// Why.
        why: String,
    },
}

/// Why a launch stops, as the watchdog says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum WhyRecord {
    /// The control plane said so and knows why.
    Told,
    /// [`StopWhy::NeverJoined`].
    NeverJoined,
    /// [`StopWhy::LastLeft`].
    LastLeft,
    /// [`StopWhy::Cap`].
    Cap,
    /// [`StopWhy::NeverReady`].
    NeverReady,
    /// [`StopWhy::Deaf`].
    Deaf,
    /// [`StopWhy::GameEnded`].
    GameEnded {
        /// How.
        how: String,
    },
    /// [`StopWhy::Reclaimed`].
    Reclaimed,
}

/// [`Proof`] as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum ProofRecord {
    /// [`Proof::Fresh`].
    Fresh,
    /// [`Proof::Untouched`].
    Untouched,
    /// [`Proof::Missing`].
    Missing {
        /// Why.
        why: String,
    },
}

/// [`Archive`] as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRecord {
    /// Its id.
    pub id: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest in hexadecimal digits.
    pub sha256: String,
}

/// Why a report is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadReport {
    /// The version is one that this program does not read.
    #[error("report version {0} is not supported: use {OLDEST_VERSION} to {VERSION}")]
    Version(u32),
    /// An id in it is none.
    #[error(transparent)]
    Name(#[from] BadName),
}

/// A report, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The world.
    pub world: WorldId,
    /// The launch.
    pub generation: Generation,
    /// What has happened, in order.
    pub events: Vec<Event>,
}

impl Report {
    /// Returns what the report says has happened by `now` in a task that players reach at `host`.
    pub fn parse(self, host: &str, now: Timestamp) -> Result<Parsed, BadReport> {
        if !(OLDEST_VERSION..=VERSION).contains(&self.v) {
            return Err(BadReport::Version(self.v));
        }
        let (world, generation) = (WorldId::parse(&self.world)?, Generation(self.generation));
        let task = TaskId::parse(&self.task)?;
        let address = Address { host: host.to_owned(), port: self.port };
        let uploaded = self.uploaded.map(|archive| archive.parse(generation)).transpose()?;
        let events = [
            Some(Event::Heard { generation, task: task.clone() }),
            self.claimed.then_some(Event::Claimed { generation, task }),
            self.ready.then_some(Event::Ready { generation, address }),
            self.start_failed.map(|why| Event::StartFailed { generation, why: shortened(&why) }),
            self.seen.map(|seen| seen.event(generation, now)),
            self.stopping.map(|why| Event::StopBegan { generation, why: why.parse() }),
            self.saved.map(|proof| Event::Saved { generation, proof: proof.parse() }),
            uploaded.map(|archive| Event::Uploaded { generation, archive }),
            self.archive_failed.map(|why| Event::ArchiveFailed { generation, why: shortened(&why) }),
        ];
        Ok(Parsed { world, generation, events: events.into_iter().flatten().collect() })
    }
}

impl SeenRecord {
    fn event(self, generation: Generation, now: Timestamp) -> Event {
        /// No timer is longer than a week.
        const LONGEST: u64 = 7 * 24 * 60 * 60;
        let stops_at = self.stops_in_s.map(|s| now + Duration::from_secs(s.min(LONGEST)));
        Event::Seen { generation, players: self.players.parse(), stops_at }
    }
}

impl PlayersRecord {
    fn parse(self) -> Evidence {
        match self {
            Self::Players { n } => Evidence::count(n),
            Self::Empty => Evidence::Empty,
            Self::Unknown { why } => Evidence::Unknown(shortened(&why)),
        }
    }
}

impl From<&Evidence> for PlayersRecord {
    fn from(evidence: &Evidence) -> Self {
        match evidence {
            Evidence::Players(n) => Self::Players { n: *n },
            Evidence::Empty => Self::Empty,
            Evidence::Unknown(why) => Self::Unknown { why: shortened(why) },
        }
    }
}

impl WhyRecord {
    fn parse(self) -> StopWhy {
        match self {
            // The control plane that told it has its own reason on record, which stays; this one counts only if that
            // record is gone.
            Self::Told | Self::Reclaimed => StopWhy::Reclaimed,
            Self::NeverJoined => StopWhy::NeverJoined,
            Self::LastLeft => StopWhy::LastLeft,
            Self::Cap => StopWhy::Cap,
            Self::NeverReady => StopWhy::NeverReady,
            Self::Deaf => StopWhy::Deaf,
            Self::GameEnded { how } => StopWhy::GameEnded(shortened(&how)),
        }
    }
}

impl From<&StopWhy> for WhyRecord {
    fn from(why: &StopWhy) -> Self {
        match why {
            StopWhy::Asked(_) => Self::Told,
            StopWhy::NeverJoined => Self::NeverJoined,
            StopWhy::LastLeft => Self::LastLeft,
            StopWhy::Cap => Self::Cap,
            StopWhy::NeverReady => Self::NeverReady,
            StopWhy::Deaf => Self::Deaf,
            StopWhy::GameEnded(how) => Self::GameEnded { how: shortened(how) },
            StopWhy::Reclaimed => Self::Reclaimed,
        }
    }
}

impl ProofRecord {
    fn parse(self) -> Proof {
        match self {
            Self::Fresh => Proof::Fresh,
            Self::Untouched => Proof::Untouched,
            Self::Missing { why } => Proof::Missing(shortened(&why)),
        }
    }
}

impl From<&Proof> for ProofRecord {
    fn from(proof: &Proof) -> Self {
        match proof {
            Proof::Fresh => Self::Fresh,
            Proof::Untouched => Self::Untouched,
            Proof::Missing(why) => Self::Missing { why: shortened(why) },
        }
    }
}

impl ArchiveRecord {
    fn parse(self, generation: Generation) -> Result<Archive, BadName> {
        let (id, sha256) = (ArchiveId::parse(&self.id)?, Sha256::parse(&self.sha256)?);
        Ok(Archive { id, generation, size: self.size, sha256 })
    }
}

impl From<&Archive> for ArchiveRecord {
    fn from(archive: &Archive) -> Self {
        Self { id: archive.id.to_string(), size: archive.size, sha256: archive.sha256.to_string() }
    }
}

/// Returns `text` without control characters, cut at [`LONGEST_TEXT`].
pub(crate) fn shortened(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TEXT).collect()
}

/// The answer to a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The version of this record.
    pub v: u32,
    /// What to do.
    pub orders: OrdersRecord,
}

/// [`Orders`] as they are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum OrdersRecord {
    /// [`Orders::Run`].
    Run {
        /// For how many more seconds the world is kept awake.
        keep_for_s: u64,
    },
    /// [`Orders::Stop`].
    Stop,
    /// [`Orders::UploadAgain`].
    UploadAgain {
        /// The archive that is not whole.
        rejected: String,
    },
    /// [`Orders::End`].
    End,
    /// [`Orders::Abandon`].
    Abandon,
}

impl Answer {
    /// Returns `orders`, given at `now`, as they are sent.
    pub fn new(orders: Orders, now: Timestamp) -> Self {
        let left = |until: Timestamp| u64::try_from(until.duration_since(now).as_secs()).unwrap_or(0);
        let orders = match orders {
            Orders::Run { keep_until } => OrdersRecord::Run { keep_for_s: keep_until.map_or(0, left) },
            Orders::Stop(_) => OrdersRecord::Stop,
            Orders::UploadAgain(rejected) => OrdersRecord::UploadAgain { rejected: rejected.to_string() },
            Orders::End => OrdersRecord::End,
            Orders::Abandon => OrdersRecord::Abandon,
        };
        Self { v: VERSION, orders }
    }
}

/// A watchdog's wish for an upload ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRequest {
    /// The size of the archive in bytes.
    pub size: u64,
}

/// The answer to a watchdog's wish for an upload ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRecord {
    /// The archive's id.
    pub id: String,
    /// How many bytes each part has, but the last.
    pub part_size: u64,
    /// Where to PUT the parts, in their order.
    pub urls: Vec<String>,
    /// Where to PUT it all, for watchdogs from before there were parts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
}

impl From<Ticket> for TicketRecord {
    fn from(ticket: Ticket) -> Self {
        let Ticket { id, part_size, urls } = ticket;
        let url = (urls.len() == 1).then(|| urls.first().cloned()).flatten();
        Self { id: id.to_string(), part_size, urls, url }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn report() -> Report {
        Report {
            v: VERSION,
            world: "w1".into(),
            generation: 3,
            task: "t3".into(),
            port: 30000,
            claimed: true,
            ready: true,
            start_failed: None,
            seen: Some(SeenRecord { players: PlayersRecord::Players { n: 2 }, stops_in_s: None }),
            stopping: None,
            saved: None,
            uploaded: None,
            archive_failed: None,
        }
    }

    #[test]
    fn a_report_reads_as_this_json() {
        expect![[r#"{"v":1,"world":"w1","generation":3,"task":"t3","port":30000,"claimed":true,"ready":true,"start_failed":null,"seen":{"players":{"is":"players","n":2},"stops_in_s":null},"stopping":null,"saved":null,"uploaded":null,"archive_failed":null}"#]]
            .assert_eq(&serde_json::to_string(&report()).unwrap());
    }

    #[test]
    fn a_report_says_everything_that_has_happened_so_far() {
        let parsed = report().parse("203.0.113.7", Timestamp::UNIX_EPOCH).unwrap();
        let names: Vec<_> =
            parsed.events.iter().map(|e| format!("{e:?}").split(' ').next().unwrap().to_owned()).collect();
        expect!["Heard, Claimed, Ready, Seen"].assert_eq(&names.join(", "));
    }

    #[test]
    fn a_version_from_the_future_is_refused_by_name() {
        let error = Report { v: 9, ..report() }.parse("h", Timestamp::UNIX_EPOCH).unwrap_err();
        expect!["report version 9 is not supported: use 1 to 1"].assert_eq(&error.to_string());
    }

    #[test]
    fn text_from_a_watchdog_is_cut_and_cleaned() {
        let long = format!("a\u{1b}[31m{}", "x".repeat(5000));
        assert_eq!(shortened(&long).chars().count(), LONGEST_TEXT);
        assert!(!shortened(&long).contains('\u{1b}'));
    }
}
