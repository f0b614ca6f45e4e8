//! What people can ask for, shared by chat, command line and HTTP API: one file per command, this list of them all.

use jiff::Timestamp;

use crate::{
    access::{Action, Asker, Denied, Rules},
    driver::{Applied, ApplyError, Driver},
    event::Event,
    game::Game,
    ports::{CreateError, Found, Unavailable},
    refusal::Refusal,
    settings::BadSetting,
    talk::{Follower, Place},
    world::{BadName, GuildId, LinkId, Person, World, WorldId, WorldName},
};

pub mod access;
pub mod backup;
pub mod backups;
pub mod create;
pub mod delete;
pub mod export;
pub mod games;
pub mod help;
pub mod import;
pub mod keep;
pub mod list;
pub mod password;
pub mod restore;
pub mod sessions;
pub mod set;
pub mod settings;
pub mod spec;
pub mod start;
pub mod status;
pub mod stop;

/// Every command, in the order in which people are shown them.
pub const LIST: &[spec::Spec] = &[
    start::SPEC,
    stop::SPEC,
    status::SPEC,
    keep::SPEC,
    list::SPEC,
    create::SPEC,
    set::SPEC,
    password::SPEC,
    settings::SPEC,
    sessions::SPEC,
    backup::SPEC,
    backups::SPEC,
    restore::SPEC,
    import::SPEC,
    export::SPEC,
    export::LINKS,
    export::WITHDRAW,
    delete::SPEC,
    access::SHOW,
    access::ALLOW,
    access::DENY,
    access::RESET,
    games::SPEC,
    help::SPEC,
];

/// Returns the command that `path`, such as `world start`, and `args` ask for.
pub fn read(path: &str, args: &spec::Args) -> Result<Command, Problem> {
    let unknown = || {
        Problem::new(ProblemKind::NotFound, "there is no such command", "`help` lists those that are there")
    };
    let spec = LIST.iter().find(|spec| spec.path == path).ok_or_else(unknown)?;
    (spec.read)(args)
}

/// Everything that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Which games there are.
    Games,
    /// Make a world.
    Create(create::Create),
    /// Which worlds there are.
    List,
    /// What a world is doing.
    Status(WorldName),
    /// Wake a world.
    Start(WorldName),
    /// Put a world to sleep.
    Stop(WorldName),
    /// Keep a world awake with nobody on.
    Keep(keep::Keep),
    /// See or change when a world goes to sleep and how it is archived.
    Settings(settings::Settings),
    /// See or choose what a world's game lets people choose.
    Set(set::Set),
    /// See a world's passwords.
    Password(WorldName),
    /// The last times that a world was awake.
    Sessions(WorldName),
    /// Delete a world.
    Delete(delete::Delete),
    /// Make an archive of a world.
    Backup(WorldName),
    /// Which archives of a world there are.
    Backups(WorldName),
    /// Put an archive of a world back.
    Restore(restore::Restore),
    /// Put files from elsewhere in the place of a world's.
    Import(import::Import),
    /// A link to an archive of a world.
    Export(export::Export),
    /// Which links to archives of a world there are.
    Links(WorldName),
    /// Make links stop working.
    Withdraw(export::Withdraw),
    /// See or change who may do what.
    Access(access::Access),
    /// Which commands there are.
    Help,
}

/// Who asks, for which guild, and what chance and the clock say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The guild whose worlds are meant.
    pub guild: GuildId,
    /// The person, as shown to others.
    pub by: Person,
    /// What the person may do.
    pub asker: Asker,
    /// Where it was asked, if people can be told there.
    pub place: Option<Place>,
    /// The answer, if it can be changed later.
    pub follower: Option<Follower>,
    /// The time.
    pub now: Timestamp,
    /// An id never used before, for what is made: a world, a link, an upload.
    pub fresh_id: WorldId,
}

impl Context {
    /// Returns an id never used before for a link.
    fn fresh_link(&self) -> Result<LinkId, Problem> {
        Ok(self.fresh_id.as_str().parse()?)
    }

    /// Returns the guild's world of that name, with the rules.
    async fn find(&self, name: &WorldName, driver: &Driver) -> Result<Found, Problem> {
        driver.store.find(&self.guild, name).await.map_err(|error| Problem::applying(name, error.into()))
    }

    /// Lets `events` happen to the guild's world of that name, if whoever asks may do `action`.
    async fn apply(
        &self,
        name: &WorldName,
        action: Action,
        events: &[Event],
        driver: &Driver,
    ) -> Result<Applied, Problem> {
        let asked = (&self.asker, action);
        let applied = driver.apply_to(&self.guild, name, asked, events, self.now).await;
        applied.map_err(|error| Problem::applying(name, error))
    }

    /// Returns `event`, where it was asked for, and the wish to have the answer changed as the world goes on.
    fn followed(&self, event: Event) -> Vec<Event> {
        let place = self.place.clone().map(Event::Place);
        [event].into_iter().chain(place).chain(self.follower.clone().map(Event::Follow)).collect()
    }
}

/// An answer to a command that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The games.
    Games(Vec<Game>),
    /// The worlds.
    Worlds(Vec<World>),
    /// One world, and what was done.
    World {
        /// The world as it is now.
        world: Box<World>,
        /// What was done, in a sentence.
        text: String,
    },
    /// One world that is being deleted.
    Deleted {
        /// The world.
        world: Box<World>,
        /// What is left of it, if it was ever archived.
        link: Option<export::Link>,
        /// What was done, in a sentence.
        text: String,
    },
    /// One world, and how it was awake before.
    Sessions(Box<World>),
    /// A link.
    Link(export::Link),
    /// The links of a world.
    Links(WorldName, Vec<export::Link>),
    /// One world, and its archives.
    Backups(Box<World>),
    /// A link that takes an upload.
    Inbox(import::Inbox),
    /// Who may do what.
    Access(Rules),
    /// What of a world is only for those who may wake it.
    Secrets(password::Secrets),
    /// The commands.
    Help,
}

/// What kind of answer a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The request makes no sense as it is.
    BadInput,
    /// It names something that is not there.
    NotFound,
    /// The rules say no.
    Refused,
    /// Whoever asked may not.
    Denied,
    /// Something is out of reach; trying again may help.
    Unavailable,
}

/// Why a command was not carried out: a sentence, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of answer it is.
    pub kind: ProblemKind,
    /// What is wrong.
    pub text: String,
    /// What to do next.
    pub hint: String,
    /// What was denied and whom it is allowed to, where that is the problem.
    pub denied: Option<Denied>,
}

impl Problem {
    /// Returns a problem of `kind`.
    pub fn new(kind: ProblemKind, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, text: text.into(), hint: hint.into(), denied: None }
    }

    fn no_world(name: &WorldName) -> Self {
        Self::new(
            ProblemKind::NotFound,
            format!("there is no world `{name}`"),
            "`world list` shows those that are there",
        )
    }

    fn applying(name: &WorldName, error: ApplyError) -> Self {
        match error {
            ApplyError::NotFound => Self::no_world(name),
            ApplyError::Denied(denied) => denied.into(),
            ApplyError::Refused(refusal) => refusal.into(),
            ApplyError::Unavailable(why) => why.into(),
        }
    }

    fn creating(name: &WorldName, error: CreateError) -> Self {
        match error {
            CreateError::NameTaken => Self::new(
                ProblemKind::Refused,
                format!("there is a world `{name}` already"),
                "choose another name, or delete that one first",
            ),
            CreateError::Unavailable(why) => why.into(),
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(Unavailable(why): Unavailable) -> Self {
        Self::new(ProblemKind::Unavailable, why, "nothing is lost; try again in a moment")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(ProblemKind::Refused, refusal.to_string(), refusal.hint())
    }
}

impl From<BadSetting> for Problem {
    fn from(bad: BadSetting) -> Self {
        Self::new(ProblemKind::BadInput, bad.to_string(), bad.hint())
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let hint = "ask one of them, or have them allow it to you: `access allow`";
        Self { denied: Some(denied.clone()), ..Self::new(ProblemKind::Denied, denied.to_string(), hint) }
    }
}

impl From<BadName> for Problem {
    fn from(bad: BadName) -> Self {
        Self::new(ProblemKind::BadInput, bad.to_string(), "nothing was changed")
    }
}

/// Carries out `command`.
pub async fn run(command: Command, context: &Context, driver: &Driver) -> Result<Reply, Problem> {
    match command {
        Command::Games => Ok(games::run(driver)),
        Command::Create(create) => create::run(create, context, driver).await,
        Command::List => list::run(context, driver).await,
        Command::Status(name) => status::run(&name, context, driver).await,
        Command::Start(name) => start::run(&name, context, driver).await,
        Command::Stop(name) => stop::run(&name, context, driver).await,
        Command::Keep(keep) => keep::run(&keep, context, driver).await,
        Command::Settings(settings) => settings::run(&settings, context, driver).await,
        Command::Set(set) => set::run(&set, context, driver).await,
        Command::Password(name) => password::run(&name, context, driver).await,
        Command::Sessions(name) => sessions::run(&name, context, driver).await,
        Command::Delete(delete) => delete::run(&delete, context, driver).await,
        Command::Backup(name) => backup::run(&name, context, driver).await,
        Command::Backups(name) => backups::run(&name, context, driver).await,
        Command::Restore(restore) => restore::run(&restore, context, driver).await,
        Command::Import(import) => import::run(&import, context, driver).await,
        Command::Export(export) => export::run(&export, context, driver).await,
        Command::Links(name) => export::list(&name, context, driver).await,
        Command::Withdraw(withdraw) => export::withdraw(&withdraw, context, driver).await,
        Command::Access(access) => access::run(&access, context, driver).await,
        Command::Help => Ok(Reply::Help),
    }
}
