//! What a watchdog tells the control plane and what it is told: the JSON records of report and orders, version 2.
//!
//! A report is cumulative: it says everything that has happened in the launch, so that one that is lost, doubled or late
//! changes nothing. The control plane accepts the current version and the one before.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Timestamp,
    driver::Source,
    effect::{Files, Orders},
    event::Event,
    idle::Evidence,
    ports::{LARGEST_ARCHIVE, PART_SIZE, Part, PartPlace, Ticket, Upload},
    settings::{Chosen, SettingValue},
    sight::{MOST_SOURCES, Sight},
    world::{
        Address, Archive, ArchiveId, BadName, Generation, Proof, SettingName, Sha256, StopWhy, TaskId,
        WorldId,
    },
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::attendance::{AttendanceRecord, SightRecord};

/// The version that this program writes.
pub const VERSION: u32 = 2;

/// The oldest version that this program reads.
pub const OLDEST_VERSION: u32 = 1;

/// The most parts that an archive has: what S3 takes.
const MOST_PARTS: u32 = 10_000;

/// The longest key of an upload, in bytes.
const LONGEST_KEY: usize = 4096;

/// The most characters of free text that are taken from a watchdog: games run strangers' mods.
const LONGEST_TEXT: usize = 300;

/// The most characters of what is said of a source.
const LONGEST_HOW: usize = 120;

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
    /// The archive since which nothing has changed.
    #[serde(default)]
    pub unchanged: Option<String>,
    /// What came of the newest archive that was asked for while the world is awake.
    #[serde(default)]
    pub backup: Option<BackupRecord>,
    /// What was found in what is now in the world's directory, once it is there.
    #[serde(default)]
    pub filled: Option<String>,
    /// Why something else was not put into the world's directory.
    #[serde(default)]
    pub fill_failed: Option<String>,
    /// Who was on since the game was ready. What is no attendance is passed over: no launch shall end for a statistic.
    #[serde(default)]
    pub attendance: Option<AttendanceRecord>,
    /// By which sources players are seen.
    #[serde(default)]
    pub sources: Vec<SightRecord>,
}

/// What came of an archive that was asked for while the world is awake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRecord {
    /// Which one, as the order named it.
    pub wish: i64,
    /// The archive that was uploaded, or why none was.
    pub came_to: BackupOutcomeRecord,
}

/// What came of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum BackupOutcomeRecord {
    /// It is uploaded.
    Uploaded {
        /// The archive.
        archive: ArchiveRecord,
    },
    /// There will be none.
    Failed {
        /// Why.
        why: String,
    },
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
    /// [`StopWhy::AllAway`].
    AllAway,
    /// [`StopWhy::Deaf`].
    Deaf,
    /// [`StopWhy::Unresponsive`].
    Unresponsive,
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
    /// A time in it is none.
    #[error("`{0}` ms is no time")]
    Time(i64),
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
        let unchanged = self.unchanged.map(|id| ArchiveId::parse(&id)).transpose()?;
        let backup = self.backup.map(|backup| backup.event(generation)).transpose()?;
        let attended = attended(generation, self.attendance.as_ref(), self.sources);
        let events = [
            Some(Event::Heard { generation, task: task.clone() }),
            self.claimed.then_some(Event::Claimed { generation, task }),
            self.filled.map(|found| Event::Filled { generation, found: shortened(&found) }),
            self.fill_failed.map(|why| Event::FillFailed { generation, why: shortened(&why) }),
            self.ready.then_some(Event::Ready { generation, address }),
            self.start_failed.map(|why| Event::StartFailed { generation, why: shortened(&why) }),
            self.seen.map(|seen| seen.event(generation, now)),
            backup,
            self.stopping.map(|why| Event::StopBegan { generation, why: why.parse() }),
            attended,
            self.saved.map(|proof| Event::Saved { generation, proof: proof.parse() }),
            unchanged.map(|archive| Event::Unchanged { generation, archive }),
            uploaded.map(|archive| Event::Uploaded { generation, archive }),
            self.archive_failed.map(|why| Event::ArchiveFailed { generation, why: shortened(&why) }),
        ];
        Ok(Parsed { world, generation, events: events.into_iter().flatten().collect() })
    }
}

/// Returns what a watchdog of this version says at every report, and one of the version before at none.
fn attended(
    generation: Generation,
    attendance: Option<&AttendanceRecord>,
    sources: Vec<SightRecord>,
) -> Option<Event> {
    let attendance = attendance.and_then(|record| record.parse().ok());
    let mut sights: Vec<Sight> = Vec::new();
    for record in sources.into_iter().take(MOST_SOURCES) {
        let how = shortened(&record.how).chars().take(LONGEST_HOW).collect();
        let sight = SightRecord { how, ..record }.parse();
        sights.extend(sight.filter(|new| sights.iter().all(|sight| sight.source != new.source)));
    }
    let is_said = attendance.is_some() || !sights.is_empty();
    is_said.then(|| Event::Attended {
        generation,
        attendance: attendance.unwrap_or_default(),
        sources: sights,
    })
}

impl BackupRecord {
    fn event(self, generation: Generation) -> Result<Event, BadReport> {
        let wish = Timestamp::from_millisecond(self.wish).map_err(|_| BadReport::Time(self.wish))?;
        Ok(match self.came_to {
            BackupOutcomeRecord::Uploaded { archive } => {
                Event::BackedUp { generation, wish, archive: archive.parse(generation)? }
            }
            BackupOutcomeRecord::Failed { why } => {
                Event::BackupFailed { generation, wish, why: shortened(&why) }
            }
        })
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
            Self::AllAway => StopWhy::AllAway,
            Self::Deaf => StopWhy::Deaf,
            Self::Unresponsive => StopWhy::Unresponsive,
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
            StopWhy::AllAway => Self::AllAway,
            StopWhy::Deaf => Self::Deaf,
            StopWhy::Unresponsive => Self::Unresponsive,
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
        /// Which archive to make while the game goes on: when it was asked for, in milliseconds since the epoch.
        #[serde(default)]
        backup: Option<i64>,
    },
    /// [`Orders::Fill`].
    Fill,
    /// [`Orders::Stop`].
    Stop,
    /// [`Orders::UploadAgain`].
    UploadAgain {
        /// The archive that is not whole.
        rejected: String,
    },
    /// [`Orders::End`].
    End {
        /// Whether the world's files are to be removed: an archive holds them.
        #[serde(default)]
        clear: bool,
    },
    /// [`Orders::Abandon`].
    Abandon,
}

impl Answer {
    /// Returns `orders`, given at `now`, as they are sent.
    pub fn new(orders: Orders, now: Timestamp) -> Self {
        let left = |until: Timestamp| u64::try_from(until.duration_since(now).as_secs()).unwrap_or(0);
        let orders = match orders {
            Orders::Run { keep_until, backup } => OrdersRecord::Run {
                keep_for_s: keep_until.map_or(0, left),
                backup: backup.map(Timestamp::as_millisecond),
            },
            Orders::Fill => OrdersRecord::Fill,
            Orders::Stop(_) => OrdersRecord::Stop,
            Orders::UploadAgain(rejected) => OrdersRecord::UploadAgain { rejected: rejected.to_string() },
            Orders::End(files) => OrdersRecord::End { clear: files == Files::Go },
            Orders::Abandon => OrdersRecord::Abandon,
        };
        Self { v: VERSION, orders }
    }
}

/// What a watchdog puts into a world's directory: [`Source`] as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The archive that it is; nothing if it is something that a person sent.
    pub archive: Option<ArchiveRecord>,
    /// Where to get it.
    pub url: String,
}

impl From<Source> for SourceRecord {
    fn from(Source { archive, link }: Source) -> Self {
        Self { archive: archive.as_ref().map(ArchiveRecord::from), url: link.url }
    }
}

/// What was chosen for a world of its game's settings, as a watchdog is sent it. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsRecord {
    /// What was chosen, by the settings' names.
    pub settings: BTreeMap<String, String>,
}

impl std::fmt::Debug for SettingsRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SettingsRecord").field(&self.settings.keys().collect::<Vec<_>>()).finish()
    }
}

impl From<Chosen> for SettingsRecord {
    fn from(Chosen(chosen): Chosen) -> Self {
        let one = |(name, value): (SettingName, SettingValue)| (name.to_string(), value.as_str().to_owned());
        Self { settings: chosen.into_iter().map(one).collect() }
    }
}

impl SettingsRecord {
    /// Reads what was sent.
    pub fn parse(&self) -> Result<Chosen, BadName> {
        let one = |(name, value): (&String, &String)| Ok((name.parse()?, SettingValue::parse(value)?));
        self.settings.iter().map(one).collect::<Result<_, _>>().map(Chosen)
    }
}

/// A watchdog's wish for a ticket to upload a part of an archive: [`Part`] as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRequest {
    /// The upload that the part belongs to, as the ticket of an earlier part named it; nothing begins another one.
    pub upload: Option<UploadRecord>,
    /// Counts the parts, from 1.
    pub number: u32,
    /// The part's length in bytes: [`PART_SIZE`], but for the last one.
    pub length: u64,
    /// Whether no other part follows.
    pub last: bool,
}

/// [`Upload`] as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// The archive's id.
    pub id: String,
    /// What the receiving side calls the upload.
    pub key: String,
}

/// The answer to a watchdog's wish for a ticket: [`Ticket`] as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRecord {
    /// The upload, for the next part.
    pub upload: UploadRecord,
    /// Where to PUT the part.
    pub url: String,
}

/// Why a wish for a ticket is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadPart {
    /// The archive's id is none.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The key is none that was given out.
    #[error("the key of the upload is not valid: use the one of the last ticket")]
    Key,
    /// There is no part of that number.
    #[error("part {0} is not valid: use 1 to {MOST_PARTS}")]
    Number(u32),
    /// The part is too short or too long for where it stands.
    #[error("a part of {0} bytes is not valid: use {PART_SIZE}, and 1 to {PART_SIZE} for the last one")]
    Length(u64),
    /// The archive is larger than any that is received; its size in bytes so far.
    #[error("an archive of {0} bytes is larger than the {LARGEST_ARCHIVE} that are received")]
    TooLarge(u64),
}

impl TicketRequest {
    /// Returns the part that a ticket is wanted for.
    pub fn parse(self) -> Result<Part, BadPart> {
        let Self { upload, number, length, last } = self;
        let of = upload.map(UploadRecord::parse).transpose()?;
        if !(1..=MOST_PARTS).contains(&number) {
            return Err(BadPart::Number(number));
        }
        let place = if last { PartPlace::Last } else { PartPlace::Inner };
        let fits = match place {
            PartPlace::Inner => length == PART_SIZE,
            PartPlace::Last => (1..=PART_SIZE).contains(&length),
        };
        if !fits {
            return Err(BadPart::Length(length));
        }
        let end = u64::from(number - 1) * PART_SIZE + length;
        if end > LARGEST_ARCHIVE {
            return Err(BadPart::TooLarge(end));
        }
        Ok(Part { of, number, length, place })
    }
}

impl UploadRecord {
    fn parse(self) -> Result<Upload, BadPart> {
        let is_key = (1..=LONGEST_KEY).contains(&self.key.len())
            && self.key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !is_key {
            return Err(BadPart::Key);
        }
        Ok(Upload { id: ArchiveId::parse(&self.id)?, key: self.key })
    }
}

impl From<Ticket> for TicketRecord {
    fn from(Ticket { upload: Upload { id, key }, url }: Ticket) -> Self {
        Self { upload: UploadRecord { id: id.to_string(), key }, url }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attendance::tests::attendance;
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
            unchanged: None,
            backup: None,
            filled: None,
            fill_failed: None,
            attendance: Some((&attendance(&[(2, Evidence::Empty), (10, Evidence::Players(2))])).into()),
            sources: vec![SightRecord {
                source: "packet peers".into(),
                serves: false,
                how: "CAP_NET_RAW is missing".into(),
            }],
        }
    }

    #[test]
    fn a_report_reads_as_this_json() {
        expect![[r#"{"v":2,"world":"w1","generation":3,"task":"t3","port":30000,"claimed":true,"ready":true,"start_failed":null,"seen":{"players":{"is":"players","n":2},"stops_in_s":null},"stopping":null,"saved":null,"uploaded":null,"archive_failed":null,"unchanged":null,"backup":null,"filled":null,"fill_failed":null,"attendance":{"span_s":60,"watched_ms":719999,"played_ms":600000,"player_ms":1200000,"unknown_ms":0,"curve":"0*2 2*10"},"sources":[{"source":"packet peers","serves":false,"how":"CAP_NET_RAW is missing"}]}"#]]
            .assert_eq(&serde_json::to_string(&report()).unwrap());
    }

    #[test]
    fn a_report_says_everything_that_has_happened_so_far() {
        let parsed = report().parse("203.0.113.7", Timestamp::UNIX_EPOCH).unwrap();
        let names: Vec<_> =
            parsed.events.iter().map(|e| format!("{e:?}").split(' ').next().unwrap().to_owned()).collect();
        expect!["Heard, Claimed, Ready, Seen, Attended"].assert_eq(&names.join(", "));
    }

    #[test]
    fn reports_that_do_not_tell_who_was_on_are_taken() {
        for v in OLDEST_VERSION..=VERSION {
            let mut record = serde_json::to_value(Report { v, ..report() }).unwrap();
            let fields = record.as_object_mut().unwrap();
            fields.remove("attendance").unwrap();
            fields.remove("sources").unwrap();
            let old: Report = serde_json::from_value(record).unwrap();
            let parsed = old.parse("203.0.113.7", Timestamp::UNIX_EPOCH).unwrap();
            assert!(!parsed.events.iter().any(|event| matches!(event, Event::Attended { .. })));
            assert!(parsed.events.iter().any(|event| matches!(event, Event::Seen { .. })));
        }
    }

    #[test]
    fn who_was_on_is_told_as_far_as_it_makes_sense() {
        let told = |change: &dyn Fn(&mut Report)| {
            let mut report = report();
            change(&mut report);
            let events = report.parse("203.0.113.7", Timestamp::UNIX_EPOCH).unwrap().events;
            let told = events.into_iter().find_map(|event| {
                let Event::Attended { attendance, sources, .. } = event else { return None };
                let sources: Vec<_> = sources.iter().map(ToString::to_string).collect();
                Some(format!("{attendance}; {}", sources.join(", ")))
            });
            told.unwrap_or("nothing".into())
        };
        let source =
            |name: &str| SightRecord { source: name.into(), serves: true, how: "\u{1b}".repeat(900) };
        let many = |report: &mut Report| {
            report.sources = [source("x"), source("game query"), source("game query")].into();
            report.sources.extend(vec![source("packet peers"); 10_000]);
        };
        let bad = |report: &mut Report| {
            report.attendance.as_mut().unwrap().curve = "65535*240 ".repeat(1000);
        };
        let said = [
            told(&|_| {}),
            told(&many).replace("  ", ""),
            told(&bad),
            told(&|report| (report.attendance, report.sources) = (None, vec![])),
        ];
        expect![[r#"
            up to 2 players seen, 10 min of 11 min (20 min added up); packet peers: no (CAP_NET_RAW is missing)
            up to 2 players seen, 10 min of 11 min (20 min added up); game query: , packet peers: 
            nobody on in 0 s; packet peers: no (CAP_NET_RAW is missing)
            nothing"#]].assert_eq(&said.join("\n"));
    }

    #[test]
    fn a_version_from_the_future_is_refused_by_name() {
        let error = Report { v: 9, ..report() }.parse("h", Timestamp::UNIX_EPOCH).unwrap_err();
        expect!["report version 9 is not supported: use 1 to 2"].assert_eq(&error.to_string());
    }

    #[test]
    fn text_from_a_watchdog_is_cut_and_cleaned() {
        let long = format!("a\u{1b}[31m{}", "x".repeat(5000));
        assert_eq!(shortened(&long).chars().count(), LONGEST_TEXT);
        assert!(!shortened(&long).contains('\u{1b}'));
    }

    #[test]
    fn a_wish_for_a_ticket_and_its_answer_read_as_this_json() {
        let upload = UploadRecord { id: "a-g3".into(), key: "k".into() };
        let first = TicketRequest { upload: None, number: 1, length: PART_SIZE, last: false };
        let second = TicketRequest { upload: Some(upload.clone()), number: 2, length: 17, last: true };
        let ticket = TicketRecord { upload, url: "http://x/".into() };
        let said = [
            serde_json::to_string(&first).unwrap(),
            serde_json::to_string(&second).unwrap(),
            serde_json::to_string(&ticket).unwrap(),
        ];
        expect![[r#"
            {"upload":null,"number":1,"length":12582912,"last":false}
            {"upload":{"id":"a-g3","key":"k"},"number":2,"length":17,"last":true}
            {"upload":{"id":"a-g3","key":"k"},"url":"http://x/"}"#]]
        .assert_eq(&said.join("\n"));
    }

    #[test]
    fn a_part_that_cannot_be_is_refused_with_what_is_wrong() {
        let mut said = String::new();
        for (number, length, last) in [
            (1, 1, true),
            (1, PART_SIZE, false),
            (8_534, 4 << 20, true),
            (0, 1, true),
            (10_001, 1, true),
            (1, 0, true),
            (1, PART_SIZE + 1, true),
            (1, PART_SIZE - 1, false),
            (2, u64::MAX, false),
            (8_534, (4 << 20) + 1, true),
            (10_000, PART_SIZE, false),
        ] {
            let parsed = TicketRequest { upload: None, number, length, last }.parse();
            let answer = parsed.map_or_else(|error| error.to_string(), |_| "taken".into());
            said += &format!("{number} {length} {last}: {answer}\n");
        }
        for (id, key) in [
            ("a-g3", "k".repeat(LONGEST_KEY)),
            ("a-g3", "k".repeat(LONGEST_KEY + 1)),
            ("a-g3", String::new()),
            ("a-g3", "k\n".into()),
            ("a-g3", "ü".into()),
            ("../a", "k".into()),
        ] {
            let upload = Some(UploadRecord { id: id.into(), key: key.clone() });
            let parsed = TicketRequest { upload, number: 1, length: 1, last: true }.parse();
            let answer = parsed.map_or_else(|error| error.to_string(), |_| "taken".into());
            said += &format!("{id} {} bytes: {answer}\n", key.len());
        }
        expect![[r#"
            1 1 true: taken
            1 12582912 false: taken
            8534 4194304 true: taken
            0 1 true: part 0 is not valid: use 1 to 10000
            10001 1 true: part 10001 is not valid: use 1 to 10000
            1 0 true: a part of 0 bytes is not valid: use 12582912, and 1 to 12582912 for the last one
            1 12582913 true: a part of 12582913 bytes is not valid: use 12582912, and 1 to 12582912 for the last one
            1 12582911 false: a part of 12582911 bytes is not valid: use 12582912, and 1 to 12582912 for the last one
            2 18446744073709551615 false: a part of 18446744073709551615 bytes is not valid: use 12582912, and 1 to 12582912 for the last one
            8534 4194305 true: an archive of 107374182401 bytes is larger than the 107374182400 that are received
            10000 12582912 false: an archive of 125829120000 bytes is larger than the 107374182400 that are received
            a-g3 4096 bytes: taken
            a-g3 4097 bytes: the key of the upload is not valid: use the one of the last ticket
            a-g3 0 bytes: the key of the upload is not valid: use the one of the last ticket
            a-g3 2 bytes: the key of the upload is not valid: use the one of the last ticket
            a-g3 2 bytes: the key of the upload is not valid: use the one of the last ticket
            ../a 1 bytes: archive id `../a` is not valid: use 1 to 64 lower-case letters, digits and hyphens
        "#]].assert_eq(&said);
    }
}
