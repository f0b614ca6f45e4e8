//! What the API says about games and worlds: its JSON records, for the front door and for its clients.

use std::{collections::BTreeMap, fmt, time::Duration};

use domain::{
    Timestamp,
    access::{Action, Rules},
    attendance::{Attendance, Crowd},
    commands::{LIST, Reply, export::Link, password::Secrets, spec::Args},
    game::Game,
    idle::Timers,
    settings::{self, Change, Need, Setting},
    sight,
    vault::Kept,
    words,
    world::{Archive, GameId, Launch, Outcome, World},
};
use serde::{Deserialize, Serialize};

use crate::{attendance::SightRecord, report::PlayersRecord};

/// A refusal or a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorView {
    /// What is wrong, in a sentence.
    pub error: String,
    /// What to do next.
    pub hint: String,
}

/// The wish for a new world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// Its name.
    pub name: String,
    /// Its game's id.
    pub game: String,
    /// What is chosen of the game's settings, by their names.
    #[serde(default)]
    pub settings: GivenRequest,
    /// Timers other than the game's own.
    #[serde(default)]
    pub timers: TimersRequest,
    /// Its first port, if it shall not be chosen for it.
    #[serde(default)]
    pub port: Option<u16>,
    /// Where it lives while it sleeps: `directory`, which is usual, or `archive`.
    #[serde(default)]
    pub storage: Option<String>,
}

/// What somebody gives for settings, by their names. Its `Debug` shows the names alone.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GivenRequest(pub BTreeMap<String, String>);

impl fmt::Debug for GivenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Timers in seconds; those left out are the game's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimersRequest {
    /// How long to wait for the first player.
    pub never_joined_s: Option<u64>,
    /// How long to wait after the last one left.
    pub last_left_s: Option<u64>,
    /// How long before the stop to warn.
    pub warning_s: Option<u64>,
    /// How long players may be on of whom nobody moves; 0 for as long as they like.
    pub afk_s: Option<u64>,
    /// The longest run.
    pub cap_s: Option<u64>,
}

/// Any command, by its words and options as chat and help have them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandRequest {
    /// Its words, such as `world settings`.
    pub command: String,
    /// What is given for its options, by their names.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl fmt::Debug for CommandRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Among the options may be a secret, which this type does not show.
        let options = Args(self.options.clone());
        f.debug_struct("CommandRequest").field("command", &self.command).field("options", &options).finish()
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForRequest {
    /// How many seconds.
    pub for_s: u64,
}

/// An answer to a command that was carried out: what was done, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Answer {
    /// What was done, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The games.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub games: Option<Vec<GameView>>,
    /// The worlds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worlds: Option<Vec<WorldView>>,
    /// The world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<WorldView>,
    /// The link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkView>,
    /// The links of a world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Vec<LinkView>>,
    /// The archives of a world, newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<Vec<BackupView>>,
    /// Where to upload what is to be imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox: Option<InboxView>,
    /// The last launches that ended, newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Vec<LaunchView>>,
    /// For each action, whom it is allowed to besides those who manage the guild.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<BTreeMap<String, Vec<String>>>,
    /// What is only for those who may wake the world, by what people read for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<SecretsView>,
    /// The commands and what they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<BTreeMap<String, String>>,
}

impl Answer {
    /// Returns `reply` as it stands at `now`.
    pub fn new(reply: Reply, games: &BTreeMap<GameId, Game>, now: Timestamp) -> Self {
        let view = |world: &World| WorldView::new(world, games.get(&world.game), now);
        match reply {
            Reply::Games(games) => {
                Self { games: Some(games.iter().map(GameView::new).collect()), ..Self::default() }
            }
            Reply::Worlds(worlds) => {
                Self { worlds: Some(worlds.iter().map(view).collect()), ..Self::default() }
            }
            Reply::World { world, text } => {
                Self { text: Some(text), world: Some(view(&world)), ..Self::default() }
            }
            Reply::Sessions(world) => Self { sessions: Some(sessions(&world)), ..Self::default() },
            Reply::Access(rules) => Self { access: Some(access(&rules)), ..Self::default() },
            Reply::Secrets(secrets) => {
                Self { text: Some(secrets_text(&secrets)), secrets: Some(secrets.into()), ..Self::default() }
            }
            Reply::Help => Self { commands: Some(commands()), ..Self::default() },
            Reply::Link(link) => {
                Self { text: Some(link.text.clone()), link: Some(link.into()), ..Self::default() }
            }
            Reply::Links(_, links) => {
                Self { links: Some(links.into_iter().map(LinkView::from).collect()), ..Self::default() }
            }
            Reply::Deleted { world, link, text } => Self {
                text: Some(text),
                world: Some(view(&world)),
                link: link.map(LinkView::from),
                ..Self::default()
            },
            Reply::Backups(world) => {
                let backups = world.vault.kept.iter().map(|kept| BackupView::new(kept, now)).collect();
                Self { backups: Some(backups), world: Some(view(&world)), ..Self::default() }
            }
            Reply::Inbox(inbox) => Self {
                inbox: Some(InboxView {
                    id: inbox.id.to_string(),
                    url: inbox.url,
                    expires: inbox.expires.to_string(),
                }),
                ..Self::default()
            },
        }
    }
}

fn secrets_text(Secrets { name, all }: &Secrets) -> String {
    if all.is_empty() { format!("`{name}` has no password") } else { format!("of `{name}`:") }
}

fn sessions(world: &World) -> Vec<LaunchView> {
    let ended = world.last.iter().chain(&world.past);
    ended.map(|session| LaunchView::new(&session.launch, Some(&session.outcome))).collect()
}

fn access(rules: &Rules) -> BTreeMap<String, Vec<String>> {
    let allowed = |action: Action| rules.allowed(action).iter().map(ToString::to_string).collect();
    Action::ALL.into_iter().map(|action| (action.word().to_owned(), allowed(action))).collect()
}

fn commands() -> BTreeMap<String, String> {
    LIST.iter().map(|spec| (spec.path.to_owned(), spec.about.to_owned())).collect()
}

/// What is only for those who may wake a world, by what people read for it. Its `Debug` shows that alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretsView(pub BTreeMap<String, String>);

impl From<Secrets> for SecretsView {
    fn from(secrets: Secrets) -> Self {
        Self(secrets.all.into_iter().map(|(title, value)| (title, value.as_str().to_owned())).collect())
    }
}

impl fmt::Debug for SecretsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its ports as `30000/udp`.
    pub ports: Vec<String>,
    /// CPU units, 1024 to a core.
    pub cpu: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Whether it can run as plain processes.
    pub runs_as_processes: bool,
    /// What people can choose for its worlds.
    #[serde(default)]
    pub settings: Vec<SettingView>,
}

impl GameView {
    fn new(game: &Game) -> Self {
        Self {
            id: game.id.to_string(),
            name: game.name.clone(),
            ports: game.ports.iter().map(|p| format!("{}/{}", p.number, p.protocol)).collect(),
            cpu: game.cpu,
            memory_mib: game.memory_mib,
            runs_as_processes: game.scripts.is_some(),
            settings: game.settings.iter().map(SettingView::new).collect(),
        }
    }
}

/// What people can choose for a world of a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingView {
    /// Its name.
    pub name: String,
    /// What people read instead.
    pub title: String,
    /// What else there is to know.
    pub about: Option<String>,
    /// `text`, `password`, `number`, `choice`, `switch`, `list` or `terms`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it takes.
    pub allowed: String,
    /// Where the terms are.
    pub url: Option<String>,
    /// What it is where nobody chooses.
    pub default: Option<String>,
    /// Whether a new world must have it chosen.
    pub required: bool,
    /// Whether it can be chosen only until a world is first woken.
    pub until_woken: bool,
}

impl SettingView {
    fn new(setting: &Setting) -> Self {
        Self {
            name: setting.name.to_string(),
            title: setting.title.clone(),
            about: setting.about.clone(),
            kind: setting.kind.word().into(),
            allowed: setting.kind.allowed(),
            url: setting.kind.terms().map(str::to_owned),
            default: setting.default.as_ref().map(|value| value.as_str().to_owned()),
            required: setting.need == Need::Required,
            until_woken: setting.change == Change::Create,
        }
    }
}

/// A world and what it is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldView {
    /// Its name.
    pub name: String,
    /// Its id, which names its directory.
    pub id: String,
    /// Its game's id.
    pub game: String,
    /// `asleep`, `waking`, `awake`, `going to sleep`, `busy` or `deleted`.
    pub state: String,
    /// What it is doing, in a line.
    pub status: String,
    /// Where to connect to, while it is awake.
    pub address: Option<String>,
    /// Who is on, while it is awake.
    pub players: Option<PlayersRecord>,
    /// How many seconds ago that was seen.
    pub seen_s_ago: Option<u64>,
    /// What people should know about that, if players are not counted but guessed.
    #[serde(default)]
    pub weak_sight: Option<String>,
    /// In how many seconds it goes to sleep unless somebody joins, once that is near.
    pub stops_in_s: Option<u64>,
    /// The number of the newest launch.
    pub generation: u32,
    /// The launch in progress.
    pub launch: Option<LaunchView>,
    /// The last launch that ended.
    pub last: Option<LaunchView>,
    /// The newest checked archive.
    pub archive: Option<ArchiveView>,
    /// How many archives it has.
    #[serde(default)]
    pub archives: usize,
    /// How many bytes they have together.
    #[serde(default)]
    pub archived_bytes: u64,
    /// Whether everything that was ever played is in one of them.
    #[serde(default)]
    pub is_archived: bool,
    /// Where it lives while it sleeps: `directory` or `archive`.
    #[serde(default)]
    pub storage: String,
    /// When it goes to sleep.
    pub timers: TimersView,
    /// What was chosen of its game's settings, or the game's own; but no passwords.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl WorldView {
    fn new(world: &World, game: Option<&Game>, now: Timestamp) -> Self {
        let awake = world.awake();
        let stops_at = awake.and_then(|(_, heard)| heard.stops_at);
        Self {
            name: world.name.to_string(),
            id: world.id.to_string(),
            game: world.game.to_string(),
            state: words::state(world).into(),
            status: words::status(world, game, now),
            address: awake.map(|(address, _)| address.to_string()),
            players: awake.map(|(_, heard)| (&heard.players).into()),
            seen_s_ago: awake.map(|(_, heard)| words::between(heard.at, now).as_secs()),
            weak_sight: world.launch().and_then(|launch| sight::weakness(&launch.sources)),
            stops_in_s: stops_at.map(|at| words::between(now, at).as_secs()),
            generation: world.generation.0,
            launch: world.launch().map(|launch| LaunchView::new(launch, None)),
            last: world.last.as_ref().map(|s| LaunchView::new(&s.launch, Some(&s.outcome))),
            archive: world.vault.newest().map(|kept| ArchiveView::new(&kept.archive)),
            archives: world.vault.kept.len(),
            archived_bytes: world.vault.size(),
            is_archived: world.is_archived(),
            storage: world.vault.care.storage.word().into(),
            timers: TimersView::new(&world.timers),
            settings: game.map_or_else(BTreeMap::new, |game| open_settings(world, game)),
        }
    }
}

fn open_settings(world: &World, game: &Game) -> BTreeMap<String, String> {
    let open = settings::open(&game.settings, &world.settings);
    open.into_iter().map(|(setting, value)| (setting.name.to_string(), value.to_owned())).collect()
}

/// A launch and the milestones that it has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchView {
    /// Its number.
    pub generation: u32,
    /// Who asked for it.
    pub asked_by: String,
    /// When.
    pub asked_at: String,
    /// What it has passed, in order.
    pub milestones: Vec<MilestoneView>,
    /// How it ended, if it has.
    pub outcome: Option<String>,
    /// Whether it ended as it should: saved and archived, or called off before anything was played.
    pub is_well: Option<bool>,
    /// Who was on since the game was ready, if it was.
    #[serde(default)]
    pub attendance: Option<AttendanceView>,
    /// By which sources players are seen, until it is over.
    #[serde(default)]
    pub sources: Vec<SightRecord>,
}

impl LaunchView {
    fn new(launch: &Launch, outcome: Option<&Outcome>) -> Self {
        let milestone = |(milestone, at): &(domain::world::Milestone, Timestamp)| MilestoneView {
            name: milestone.word().into(),
            at: at.to_string(),
            after_ms: u64::try_from(words::between(launch.asked.at, *at).as_millis()).unwrap_or(u64::MAX),
        };
        Self {
            generation: launch.generation.0,
            asked_by: launch.asked.by.to_string(),
            asked_at: launch.asked.at.to_string(),
            milestones: launch.passed.iter().map(milestone).collect(),
            outcome: outcome.map(words::outcome),
            is_well: outcome.map(Outcome::is_well),
            attendance: (!launch.attendance.is_empty()).then(|| AttendanceView::new(&launch.attendance)),
            sources: launch.sources.iter().map(SightRecord::from).collect(),
        }
    }
}

/// Who was on in the course of a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttendanceView {
    /// How long it was watched, from when the game was ready.
    pub watched_s: u64,
    /// For how much of that players were seen.
    pub played_s: u64,
    /// The same, counted for each player: two players for an hour are two hours.
    pub player_s: u64,
    /// For how much of the time nobody could tell.
    pub unknown_s: u64,
    /// How many were seen at once at the most.
    pub peak: u16,
    /// How long each span of the curve is.
    pub span_s: u64,
    /// How many were seen at once in each span, at the most; `null` where nobody could tell.
    pub curve: Vec<Option<u16>>,
    /// All of it in a line.
    pub text: String,
    /// The curve, drawn.
    pub drawn: String,
}

impl AttendanceView {
    /// The widest drawing: it stands in a terminal.
    const WIDEST: usize = 60;

    fn new(attendance: &Attendance) -> Self {
        let sums = attendance.sums();
        let seen = |crowd: &Crowd| match crowd {
            Crowd::Unknown => None,
            Crowd::Nobody | Crowd::Players(_) => Some(crowd.players()),
        };
        Self {
            watched_s: sums.watched.as_secs(),
            played_s: sums.played.as_secs(),
            player_s: sums.player_time.as_secs(),
            unknown_s: sums.unknown.as_secs(),
            peak: attendance.peak(),
            span_s: attendance.span().as_secs(),
            curve: attendance.curve().iter().map(seen).collect(),
            text: attendance.to_string(),
            drawn: attendance.drawn(Self::WIDEST),
        }
    }
}

/// A milestone that was passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MilestoneView {
    /// `launched`, `claimed`, `ready`, `stopping`, `saved`, `uploaded`, `archived`, `filled` or `ended`.
    pub name: String,
    /// When.
    pub at: String,
    /// How many milliseconds after it was asked for.
    pub after_ms: u64,
}

/// An archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveView {
    /// Its id.
    pub id: String,
    /// The launch that it was taken in.
    pub generation: u32,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest in hexadecimal digits.
    pub sha256: String,
}

impl ArchiveView {
    fn new(archive: &Archive) -> Self {
        Self {
            id: archive.id.to_string(),
            generation: archive.generation.0,
            size: archive.size,
            sha256: archive.sha256.to_string(),
        }
    }
}

/// An archive of a world, and why there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupView {
    /// The archive.
    #[serde(flatten)]
    pub archive: ArchiveView,
    /// When it was found whole.
    pub at: String,
    /// Why it was made.
    pub why: String,
    /// All of it in a line.
    pub text: String,
}

impl BackupView {
    fn new(kept: &Kept, now: Timestamp) -> Self {
        Self {
            archive: ArchiveView::new(&kept.archive),
            at: kept.at.to_string(),
            why: words::kept_why(&kept.why),
            text: words::kept(kept, now),
        }
    }
}

/// Where to upload what is to be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxView {
    /// What the upload is called, for the command that imports it.
    pub id: String,
    /// Where to PUT the file.
    pub url: String,
    /// Until when.
    pub expires: String,
}

/// A link to an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    /// Its id, to withdraw it by.
    pub id: String,
    /// Where to download it.
    pub url: String,
    /// Until when.
    pub expires: String,
    /// What it downloads; nothing while that is being made.
    pub archive: Option<ArchiveView>,
    /// How often it was followed.
    pub downloads: u32,
    /// All of it in a line.
    pub text: String,
}

impl From<Link> for LinkView {
    fn from(link: Link) -> Self {
        Self {
            id: link.id.to_string(),
            url: link.url,
            expires: link.expires.to_string(),
            archive: link.archive.as_ref().map(ArchiveView::new),
            downloads: link.downloads,
            text: link.text,
        }
    }
}

/// Timers in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimersView {
    /// How long to wait for the first player.
    pub never_joined_s: u64,
    /// How long to wait after the last one left.
    pub last_left_s: u64,
    /// How long before the stop to warn.
    pub warning_s: u64,
    /// How long players may be on of whom nobody moves; 0 for as long as they like.
    #[serde(default)]
    pub afk_s: u64,
    /// The longest run.
    pub cap_s: u64,
}

impl TimersView {
    fn new(timers: &Timers) -> Self {
        let seconds = |d: Duration| d.as_secs();
        Self {
            never_joined_s: seconds(timers.never_joined),
            last_left_s: seconds(timers.last_left),
            warning_s: seconds(timers.warning),
            afk_s: seconds(timers.afk),
            cap_s: seconds(timers.cap),
        }
    }
}
