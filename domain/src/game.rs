//! What a catalogue entry says about a game: how to run, see, save and stop its server.
//!
//! Only the type stands here; `games` reads and checks the entries.

use std::{fmt, time::Duration};

use crate::{idle::Timers, settings::Setting, world::GameId};

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One port that the server binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// What it is for: `game`, `query`.
    pub name: String,
    /// Its number.
    pub number: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// The signal that makes a server save and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT.
    Int,
    /// SIGTERM.
    Term,
    /// SIGHUP.
    Hup,
    /// SIGQUIT.
    Quit,
}

impl Signal {
    /// Returns its name in entries, Dockerfiles and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "SIGINT",
            Self::Term => "SIGTERM",
            Self::Hup => "SIGHUP",
            Self::Quit => "SIGQUIT",
        }
    }
}

/// How the server is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The signal for the game's process.
    pub signal: Signal,
    /// How long the save may take before it is given up and the process killed.
    pub grace: Duration,
}

/// How a launch becomes ready. Every port is bound then, and the healthcheck, where there is one, succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// How long it takes as a rule, from the launch.
    pub typical: Duration,
    /// After how long it has failed.
    pub limit: Duration,
}

/// What a save consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Save {
    /// Paths, relative to the world's files, that a save writes.
    pub paths: Vec<String>,
    /// Paths that an archive leaves out.
    pub exclude: Vec<String>,
}

/// What a world looks like that people upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The file by which the world's directory is known: its name, or one with a `*` for any characters.
    pub marker: String,
    /// Where that directory goes, relative to the world's files.
    pub into: String,
    /// What else must be in it; a `*` stands for what it stood for in the marker.
    pub requires: Vec<String>,
    /// What the server wants the world to be called: files named as the `*` of the marker are renamed so. Then one
    /// file alone may be a marker.
    pub rename: Option<String>,
}

/// What a game speaks that tells how many play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryProtocol {
    /// A2S_INFO, as Steam's server browser asks: Source, Unity and Unreal games of all kinds.
    A2s,
    /// `getstatus` of Quake 3 and of what was made of it.
    Quake3,
    /// RakNet's unconnected ping, as Minecraft Bedrock answers it.
    Raknet,
    /// The status of Minecraft (Java).
    Minecraft,
}

impl QueryProtocol {
    /// Returns what it is asked over.
    pub fn transport(self) -> Protocol {
        match self {
            Self::A2s | Self::Quake3 | Self::Raknet => Protocol::Udp,
            Self::Minecraft => Protocol::Tcp,
        }
    }
}

/// How the game itself is asked for its players.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What it speaks.
    pub protocol: QueryProtocol,
    /// The name of the port that answers.
    pub port: String,
    /// Whether its answer counts everybody, so that 0 means that nobody plays.
    pub count: Count,
}

/// What a game's own count of its players is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Count {
    /// It may leave somebody out: Valheim answers 0 while people play over its relay.
    #[default]
    Partial,
    /// It has everybody.
    Whole,
}

/// How players of the game are told from others who talk to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Players {
    /// How datagrams begin that are no play: list pings, and what is sent before somebody is let in.
    pub queries: Vec<Pattern>,
    /// How many packets (datagrams, or segments of a connection that carry something) one who moves sends in a second, and
    /// one who stands still does not. Nothing where the two cannot be told apart: then there is no AFK limit.
    pub active: Option<u32>,
}

/// The first bytes of a datagram, each a value or any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Option<u8>>);

impl Pattern {
    /// The most bytes of a pattern: what is captured of a datagram at least.
    pub const LONGEST: usize = 28;

    /// Reads two hexadecimal digits for each byte, or `??` for any, with spaces as people like: `4f457403 00??`. Nothing if
    /// it is something else, is longer than [`Self::LONGEST`], or would begin every datagram.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
        let byte = |pair: &[char]| match pair {
            ['?', '?'] => Some(None),
            [high, low] => {
                let [high, low] = [high.to_digit(16)?, low.to_digit(16)?];
                Some(u8::try_from(high * 16 + low).ok())
            }
            _ => None,
        };
        let bytes = digits.chunks(2).map(byte).collect::<Option<Vec<_>>>()?;
        let is_some = bytes.iter().any(Option::is_some);
        (is_some && bytes.len() <= Self::LONGEST).then_some(Self(bytes))
    }

    /// Tells whether `payload` begins so.
    pub fn begins(&self, payload: &[u8]) -> bool {
        payload.len() >= self.0.len()
            && self.0.iter().zip(payload).all(|(wanted, byte)| wanted.is_none_or(|wanted| wanted == *byte))
    }
}

/// What a game's console speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleProtocol {
    /// Source RCON, as Minecraft, Factorio and many others have it.
    Rcon,
    /// The admin port of OpenTTD.
    OpenttdAdmin,
}

/// How the watchdog gives commands to the running server, over TCP from the same machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// What it speaks.
    pub protocol: ConsoleProtocol,
    /// Its number. It is none of the game's ports: nobody plays there, and nothing opens it to the world.
    pub port: u16,
    /// The commands that save; their answers come when the save is written.
    pub save: Vec<String>,
    /// The command that says something to all players, with `{message}` in the place of it.
    pub say: Option<String>,
    /// What keeps the server from writing while its files are copied.
    pub before_copy: Vec<String>,
    /// What lets it write again.
    pub after_copy: Vec<String>,
}

/// The POSIX shell scripts that run the server as plain processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scripts {
    /// The Debian packages that it needs.
    pub packages: Vec<String>,
    /// Runs before each start; prepares the directory or says why it cannot be run here.
    pub bootstrap: Option<String>,
    /// Becomes the server's process.
    pub start: String,
    /// Stops the server instead of the bare signal.
    pub stop: Option<String>,
    /// Succeeds when the server accepts players.
    pub healthcheck: Option<String>,
}

/// A kind of server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Game {
    /// Its id.
    pub id: GameId,
    /// Its name as people write it.
    pub name: String,
    /// The container image of its server.
    pub image: String,
    /// The processor architectures that the image exists for, in Docker's words.
    pub architectures: Vec<String>,
    /// CPU units, 1024 to a core.
    pub cpu: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The ports it binds; the first is the one that players type.
    pub ports: Vec<Port>,
    /// What a save consists of.
    pub save: Save,
    /// What its worlds look like elsewhere, if they can be imported.
    pub import: Option<Import>,
    /// How it is stopped.
    pub stop: Stop,
    /// How it becomes ready.
    pub ready: Ready,
    /// When its worlds go to sleep unless they say otherwise.
    pub timers: Timers,
    /// How its players are told from others.
    pub players: Players,
    /// How it is asked for its players.
    pub query: Option<Query>,
    /// How commands are given to it while it runs, if they can be.
    pub console: Option<Console>,
    /// What people can choose for its worlds, in the order in which they are asked.
    pub settings: Vec<Setting>,
    /// How it runs as plain processes.
    pub scripts: Option<Scripts>,
}

impl Game {
    /// Returns the port that players type.
    pub fn main_port(&self) -> u16 {
        self.ports.first().map_or(0, |p| p.number)
    }

    /// Returns the game with all its ports, the console's too, shifted so that the first is `base`, or nothing if one would
    /// leave 1..=65535.
    pub fn at_port(mut self, base: u16) -> Option<Self> {
        let shift = i32::from(base) - i32::from(self.main_port());
        let consoles = self.console.iter_mut().map(|console| &mut console.port);
        for number in self.ports.iter_mut().map(|port| &mut port.number).chain(consoles) {
            *number = u16::try_from(i32::from(*number) + shift).ok().filter(|n| *n > 0)?;
        }
        Some(self)
    }

    /// Returns `timers` as far as they can be kept: there is no AFK limit where nobody can tell whether players move.
    pub fn able(&self, timers: Timers) -> Timers {
        let afk = self.players.active.map_or(Duration::ZERO, |_| timers.afk);
        Timers { afk, ..timers }
    }

    /// Returns every number that the server binds, with its protocol: its ports, and that of its console.
    pub fn bound(&self) -> impl Iterator<Item = (u16, Protocol)> {
        let console = self.console.iter().map(|console| (console.port, Protocol::Tcp));
        self.ports.iter().map(|port| (port.number, port.protocol)).chain(console)
    }

    /// Returns the numbers of its ports of `protocol`.
    pub fn ports_of(&self, protocol: Protocol) -> Vec<u16> {
        self.ports.iter().filter(|p| p.protocol == protocol).map(|p| p.number).collect()
    }

    /// Returns the protocols it uses, each once.
    pub fn protocols(&self) -> Vec<Protocol> {
        let mut all: Vec<_> = self.ports.iter().map(|p| p.protocol).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
