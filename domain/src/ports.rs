//! The ports: what the driver needs of the outside, as the smallest traits that serve it, with what each promises.
//!
//! An error here holds only what every reasonable implementation can suffer. Each port has a `contract` test beside its
//! adapters which every implementation passes, the in-memory ones in `sim` too.

use async_trait::async_trait;
use jiff::Timestamp;
use std::time::Duration;
use thiserror::Error;

use crate::{
    access::Rules,
    effect::Notice,
    event::Gone,
    idle::Timers,
    talk::CardId,
    world::{
        Archive, ArchiveId, Force, GameId, Generation, GuildId, ImportId, LinkId, TaskId, World, WorldId,
        WorldName,
    },
};

/// The outside did not do it, perhaps only now: trying again is right, and it may have taken effect all the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Counts the saves of one world; says which state was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// Why a world was not created.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CreateError {
    /// The guild has a world of this name that is not deleted.
    #[error("the name is taken")]
    NameTaken,
    /// The store is out of reach.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a world was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// There is none.
    #[error("no such world")]
    NotFound,
    /// The store is out of reach, or the record cannot be read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a world was not saved.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SaveError {
    /// Somebody saved it since it was read.
    #[error("the world was changed meanwhile")]
    Conflict,
    /// The store is out of reach; the save may have taken effect.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A world that was looked for by its name, and who may do what with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The world.
    pub world: World,
    /// The version read.
    pub version: Version,
    /// The guild's rules.
    pub rules: Rules,
}

/// A guild's worlds, and who may do what with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The worlds that are not deleted, by name.
    pub worlds: Vec<World>,
    /// The guild's rules.
    pub rules: Rules,
}

/// World records, and the rules of their guilds.
#[async_trait]
pub trait Store: Send + Sync {
    /// Adds `world` unless its guild has one of its name that is not deleted.
    async fn create(&self, world: &World) -> Result<(), CreateError>;

    /// Returns the world and the version read, including every save that was confirmed before.
    async fn load(&self, id: &WorldId) -> Result<(World, Version), LoadError>;

    /// Returns the guild's world of that name, unless it is deleted, with the guild's rules, in the time of one read.
    async fn find(&self, guild: &GuildId, name: &WorldName) -> Result<Found, LoadError>;

    /// Returns the guild's worlds that are not deleted, by name, with the guild's rules, in the time of one read.
    async fn list(&self, guild: &GuildId) -> Result<Listed, Unavailable>;

    /// Saves `world` if the stored version is still `read`; otherwise `Conflict`. Once confirmed it is durable.
    async fn save(&self, world: &World, read: Version) -> Result<Version, SaveError>;

    /// Returns the ids of all worlds, of all guilds, that are not settled ([`crate::effect::is_settled`]).
    async fn unsettled(&self) -> Result<Vec<WorldId>, Unavailable>;

    /// Returns the guild's rules and the version read; no rules, version 0, if none were ever saved.
    async fn rules(&self, guild: &GuildId) -> Result<(Rules, Version), Unavailable>;

    /// Saves the guild's rules if the stored version is still `read`; otherwise `Conflict`.
    async fn save_rules(&self, guild: &GuildId, rules: &Rules, read: Version) -> Result<Version, SaveError>;
}

/// A message: "look at this world".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The world.
    pub world: WorldId,
}

/// One delivery of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What to confirm with.
    pub receipt: String,
    /// The message.
    pub look: Look,
    /// How often it was delivered, this time included.
    pub attempt: u32,
}

/// Messages to the worker: at least once, in any order.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a message. Once confirmed it is durable.
    async fn send(&self, look: &Look) -> Result<(), Unavailable>;

    /// Returns up to `most` messages, which nobody else is given until `invisible` is over, or at once none.
    async fn receive(&self, most: usize, invisible: Duration) -> Result<Vec<Delivery>, Unavailable>;

    /// Removes a delivered message. Doing so twice, or too late, is no error.
    async fn done(&self, receipt: &str) -> Result<(), Unavailable>;
}

/// What the runtime is asked to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchOrder {
    /// The world.
    pub world: WorldId,
    /// Which launch. World and generation make the launch idempotent.
    pub generation: Generation,
    /// The game.
    pub game: GameId,
    /// When it goes to sleep.
    pub timers: Timers,
    /// The first port, if it is not the runtime's choice.
    pub port: Option<u16>,
    /// Whether the world's directory must be there already.
    pub directory: Directory,
}

/// Whether a world's directory must be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directory {
    /// No launch has owned it yet: it may be made.
    MayBeNew,
    /// A launch owned it before: an empty or foreign one is a fault.
    MustExist,
}

/// Why nothing was launched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LaunchError {
    /// It will not work by trying again; why, for people.
    #[error("{0}")]
    Refused(String),
    /// It may work by trying again, or may even have worked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What the runtime sees of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is there, on its way up, up, or on its way down.
    There,
    /// It is gone; how it ended.
    Gone(Gone),
}

/// A task that the runtime has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningTask {
    /// The task.
    pub task: TaskId,
    /// The world that it was launched for.
    pub world: WorldId,
    /// The launch that it was launched for.
    pub generation: Generation,
}

/// Tasks.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Starts the task of the launch, or returns the one that was started for it before, running or not.
    async fn launch(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError>;

    /// Returns whether the task is there. A task that was never known is gone.
    async fn observe(&self, task: &TaskId) -> Result<Seen, Unavailable>;

    /// Begins to end the task. No error if it is gone, or ending already.
    async fn end(&self, task: &TaskId, force: Force) -> Result<(), Unavailable>;

    /// Returns every task of ours that is there.
    async fn list(&self) -> Result<Vec<RunningTask>, Unavailable>;

    /// Removes the files of a deleted world. No error if they are gone.
    async fn erase(&self, world: &WorldId) -> Result<(), Unavailable>;
}

/// How many bytes each part of an archive has, but the last one, which has what is left. S3 takes 10,000 parts, so that
/// an archive can have 117 GiB; a watchdog holds two of them in memory.
pub const PART_SIZE: u64 = 12 << 20;

/// The largest archive that is received. No game's world comes near it.
pub const LARGEST_ARCHIVE: u64 = 100 << 30;

/// The largest file that is received for an import: what S3 takes at a time.
pub const LARGEST_IMPORT: u64 = 5 << 30;

/// An upload of an archive that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The archive's id.
    pub id: ArchiveId,
    /// What the receiving side calls the upload: opaque, at most 4096 printable ASCII characters.
    pub key: String,
}

/// A part of an archive that is about to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The upload that it belongs to; nothing begins another one.
    pub of: Option<Upload>,
    /// Counts the parts, from 1.
    pub number: u32,
    /// Its length in bytes: [`PART_SIZE`], but for the last one.
    pub length: u64,
    /// Whether another one follows.
    pub place: PartPlace,
}

/// Where a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartPlace {
    /// Others follow it.
    Inner,
    /// It is the last one.
    Last,
}

/// Where one part of an archive is uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The upload, for the next part.
    pub upload: Upload,
    /// Where to PUT the part: signed, for a while, and for exactly its length.
    pub url: String,
}

/// A link that downloads an archive. Whoever has it can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where to GET it.
    pub url: String,
    /// Until when it works, by the word of the archives: the time asked for, or sooner where links cannot last so long.
    pub expires: Timestamp,
}

/// Why there is no link.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkError {
    /// There is no such archive.
    #[error("no such archive")]
    NotFound,
    /// The archives are out of reach.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What the receiving side has of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Exactly the size and the digest that were claimed.
    Whole,
    /// Something else, or nothing.
    NotWhole,
}

/// Checked copies of worlds, and what people send to be imported.
#[async_trait]
pub trait ArchiveStore: Send + Sync {
    /// Returns where to upload `part` of an archive of the launch. `now` makes the archive's id unique within the launch.
    /// The same part can be asked for and sent again until the archive was found whole.
    async fn ticket(
        &self,
        world: &WorldId,
        launch: Generation,
        part: &Part,
        now: Timestamp,
    ) -> Result<Ticket, Unavailable>;

    /// Compares what was received with what is claimed, by size and digest computed on the receiving side. What is whole
    /// is never written to again.
    async fn check(&self, world: &WorldId, claim: &Archive) -> Result<Checked, Unavailable>;

    /// Returns a link that downloads the archive until `expires`, or for as long as links can last.
    async fn link(&self, world: &WorldId, id: &ArchiveId, expires: Timestamp) -> Result<Link, LinkError>;

    /// Removes the archive. No error if it is gone.
    async fn remove(&self, world: &WorldId, id: &ArchiveId) -> Result<(), Unavailable>;

    /// Returns a link that takes one file to import by PUT, of at most [`LARGEST_IMPORT`] bytes, until `expires`, or for as
    /// long as links can last.
    async fn inbox(&self, world: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, Unavailable>;

    /// Returns a link that downloads what was sent to the inbox.
    async fn received(&self, world: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, LinkError>;

    /// Removes what was sent to the inbox. No error if nothing was.
    async fn discard(&self, world: &WorldId, id: &ImportId) -> Result<(), Unavailable>;
}

/// The addresses of the links that people are given.
pub trait Exports: Send + Sync {
    /// Returns the address of the link, which the front door knows again. Whoever has it can download what the link does.
    fn url(&self, world: &WorldId, link: &LinkId) -> Result<String, Unavailable>;
}

/// Where people are told what happens without asking.
#[async_trait]
pub trait Chat: Send + Sync {
    /// Shows `notice` about `world`, and returns the card that shows it now, if there is one. Showing it again changes
    /// nothing that people see. What can never be shown, because what it belongs to is gone, counts as shown.
    async fn tell(&self, world: &World, notice: &Notice) -> Result<Option<CardId>, Unavailable>;
}
