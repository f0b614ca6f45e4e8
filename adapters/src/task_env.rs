//! What a runtime tells the watchdog of a task, through its environment: one list of names for both sides.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use domain::{
    game::Game,
    idle::Timers,
    ports::Directory,
    world::{Generation, TaskId, WorldId},
};
use thiserror::Error;

/// Everything that a watchdog has to know. The token is a secret: whoever starts a game must not hand it on.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskEnv {
    /// The world.
    pub world: WorldId,
    /// The launch.
    pub generation: Generation,
    /// The task, where the runtime can name it before it is there. Otherwise the watchdog asks the host it runs on.
    pub task: Option<TaskId>,
    /// The game's catalogue entry.
    pub game_file: PathBuf,
    /// The game's first port in this task.
    pub port: u16,
    /// The world's directory.
    pub world_dir: PathBuf,
    /// Whether that directory must be there already.
    pub directory: Directory,
    /// A directory of the task's own: logs, health, scratch.
    pub task_dir: PathBuf,
    /// The control plane's base URL.
    pub control_url: String,
    /// The Unix socket on which what is at that URL is reached, where the network does not lead there.
    pub control_socket: Option<PathBuf>,
    /// The launch's bearer token.
    pub token: String,
    /// When the world goes to sleep.
    pub timers: Timers,
    /// How often to report when nothing changes.
    pub report_every: Duration,
    /// The user and group to run the game as, where they are not the watchdog's own.
    pub game_user: Option<(u32, u32)>,
    /// Who starts the game.
    pub game_start: GameStart,
}

/// Who starts the game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GameStart {
    /// The watchdog, as its own child. This is what holds where nothing is said.
    ByWatchdog,
    /// Another container, which shares the watchdog's network and process ids, and runs as the game's user; it starts when
    /// the watchdog is healthy.
    ByContainer,
}

/// Says which variable is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("environment variable {name} {problem}")]
pub struct BadTaskEnv {
    name: &'static str,
    problem: String,
}

const WORLD: &str = "DORMOUSE_WORLD";
const GENERATION: &str = "DORMOUSE_GENERATION";
const TASK: &str = "DORMOUSE_TASK";
const GAME_FILE: &str = "DORMOUSE_GAME_FILE";
const PORT: &str = "DORMOUSE_PORT";
const WORLD_DIR: &str = "DORMOUSE_WORLD_DIR";
const DIRECTORY: &str = "DORMOUSE_DIRECTORY";
const TASK_DIR: &str = "DORMOUSE_TASK_DIR";
const CONTROL_URL: &str = "DORMOUSE_CONTROL_URL";
const CONTROL_SOCKET: &str = "DORMOUSE_CONTROL_SOCKET";
const TOKEN: &str = "DORMOUSE_TOKEN";
const NEVER_JOINED: &str = "DORMOUSE_NEVER_JOINED_S";
const LAST_LEFT: &str = "DORMOUSE_LAST_LEFT_S";
const WARNING: &str = "DORMOUSE_WARNING_S";
const AFK: &str = "DORMOUSE_AFK_S";
const CAP: &str = "DORMOUSE_CAP_S";
const REPORT_EVERY: &str = "DORMOUSE_REPORT_EVERY_S";
const GAME_USER: &str = "DORMOUSE_GAME_USER";
const GAME_START: &str = "DORMOUSE_GAME_START";

const BY_WATCHDOG: &str = "by-watchdog";
const BY_CONTAINER: &str = "by-container";

/// The variable that tells a game the port of the console that it is to open.
pub const CONSOLE_PORT: &str = "DORMOUSE_CONSOLE_PORT";

/// The variable that tells a game in a container of its own which file holds the console's password, and nothing else.
pub const CONSOLE_PASSWORD_FILE: &str = "DORMOUSE_CONSOLE_PASSWORD_FILE";

/// The variable that tells a game in a container of its own which file holds what people chose, for a shell to read.
pub const SETTINGS_FILE: &str = "DORMOUSE_SETTINGS_FILE";

/// Returns what a game is told about its launch, whoever starts it: where its world is, and its ports.
pub fn game_vars(game: &Game, files: &Path) -> Vec<(String, String)> {
    let named = |name: &str| format!("PORT_{}", name.to_uppercase().replace('-', "_"));
    let mut vars = vec![
        ("WORLD".to_owned(), files.to_string_lossy().into_owned()),
        ("PORT".to_owned(), game.main_port().to_string()),
    ];
    vars.extend(game.ports.iter().map(|port| (named(&port.name), port.number.to_string())));
    vars
}

/// Returns what the container of a game is told whose world is at `world_dir`.
pub fn container_vars(game: &Game, world_dir: &Path) -> Vec<(String, String)> {
    let mut vars = game_vars(game, &world_dir.join("files"));
    if let Some(console) = &game.console {
        let file = console_password_file(world_dir).to_string_lossy().into_owned();
        vars.push((CONSOLE_PORT.to_owned(), console.port.to_string()));
        vars.push((CONSOLE_PASSWORD_FILE.to_owned(), file));
    }
    if !game.settings.is_empty() {
        vars.push((SETTINGS_FILE.to_owned(), settings_file(world_dir).to_string_lossy().into_owned()));
    }
    vars
}

/// Returns where the watchdog leaves the console's password for a game in a container of its own: beside the world's files,
/// which archives hold and this is not for.
pub fn console_password_file(world_dir: &Path) -> PathBuf {
    world_dir.join(".dormouse/console")
}

/// Returns where the watchdog leaves what people chose for a game in a container of its own.
pub fn settings_file(world_dir: &Path) -> PathBuf {
    world_dir.join(".dormouse/settings")
}

impl TaskEnv {
    /// Returns the variables to set.
    pub fn to_vars(&self) -> Vec<(&'static str, String)> {
        let seconds = |d: Duration| d.as_secs().to_string();
        let path = |p: &PathBuf| p.to_string_lossy().into_owned();
        let directory = match self.directory {
            Directory::MayBeNew => "may-be-new",
            Directory::MustExist => "must-exist",
        };
        let mut vars = vec![
            (WORLD, self.world.to_string()),
            (GENERATION, self.generation.to_string()),
            (GAME_FILE, path(&self.game_file)),
            (PORT, self.port.to_string()),
            (WORLD_DIR, path(&self.world_dir)),
            (DIRECTORY, directory.into()),
            (TASK_DIR, path(&self.task_dir)),
            (CONTROL_URL, self.control_url.clone()),
            (TOKEN, self.token.clone()),
            (NEVER_JOINED, seconds(self.timers.never_joined)),
            (LAST_LEFT, seconds(self.timers.last_left)),
            (WARNING, seconds(self.timers.warning)),
            (AFK, seconds(self.timers.afk)),
            (CAP, seconds(self.timers.cap)),
            (REPORT_EVERY, seconds(self.report_every)),
        ];
        vars.extend(self.control_socket.as_ref().map(|socket| (CONTROL_SOCKET, path(socket))));
        vars.extend(self.task.as_ref().map(|task| (TASK, task.to_string())));
        vars.extend(self.game_user.map(|(user, group)| (GAME_USER, format!("{user}:{group}"))));
        match self.game_start {
            GameStart::ByWatchdog => {}
            GameStart::ByContainer => vars.push((GAME_START, BY_CONTAINER.into())),
        }
        vars
    }

    /// Reads the variables through `get`.
    pub fn from_vars(get: impl Fn(&str) -> Option<String>) -> Result<Self, BadTaskEnv> {
        let text = |name| get(name).ok_or(BadTaskEnv { name, problem: "is not set".into() });
        Ok(Self {
            world: parsed(WORLD, &text(WORLD)?, WorldId::parse)?,
            generation: Generation(parsed(GENERATION, &text(GENERATION)?, str::parse::<u32>)?),
            task: get(TASK).map(|task| parsed(TASK, &task, TaskId::parse)).transpose()?,
            game_file: text(GAME_FILE)?.into(),
            port: parsed(PORT, &text(PORT)?, str::parse::<u16>)?,
            world_dir: text(WORLD_DIR)?.into(),
            directory: parsed(DIRECTORY, &text(DIRECTORY)?, directory)?,
            task_dir: text(TASK_DIR)?.into(),
            control_url: text(CONTROL_URL)?,
            control_socket: get(CONTROL_SOCKET).map(PathBuf::from),
            token: text(TOKEN)?,
            timers: Timers {
                never_joined: parsed(NEVER_JOINED, &text(NEVER_JOINED)?, seconds)?,
                last_left: parsed(LAST_LEFT, &text(LAST_LEFT)?, seconds)?,
                warning: parsed(WARNING, &text(WARNING)?, seconds)?,
                // A control plane from before there was one does not name it.
                afk: get(AFK).map(|afk| parsed(AFK, &afk, seconds)).transpose()?.unwrap_or_default(),
                cap: parsed(CAP, &text(CAP)?, seconds)?,
            },
            report_every: parsed(REPORT_EVERY, &text(REPORT_EVERY)?, seconds)?,
            game_user: get(GAME_USER).map(|user| parsed(GAME_USER, &user, user_and_group)).transpose()?,
            game_start: match get(GAME_START) {
                Some(start) => parsed(GAME_START, &start, game_start)?,
                None => GameStart::ByWatchdog,
            },
        })
    }
}

fn parsed<T, E: ToString>(
    name: &'static str,
    text: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, BadTaskEnv> {
    parse(text).map_err(|e| BadTaskEnv { name, problem: format!("is `{text}`: {}", e.to_string()) })
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_secs)
}

fn directory(text: &str) -> Result<Directory, &'static str> {
    match text {
        "may-be-new" => Ok(Directory::MayBeNew),
        "must-exist" => Ok(Directory::MustExist),
        _ => Err("use may-be-new or must-exist"),
    }
}

fn game_start(text: &str) -> Result<GameStart, &'static str> {
    match text {
        BY_WATCHDOG => Ok(GameStart::ByWatchdog),
        BY_CONTAINER => Ok(GameStart::ByContainer),
        _ => Err("use by-watchdog or by-container"),
    }
}

fn user_and_group(text: &str) -> Result<(u32, u32), &'static str> {
    let number = |part: &str| part.parse().ok();
    text.split_once(':').and_then(|(u, g)| number(u).zip(number(g))).ok_or("use UID:GID, two numbers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn env() -> TaskEnv {
        TaskEnv {
            world: WorldId::parse("w1").unwrap(),
            generation: Generation(3),
            task: Some(TaskId::parse("w1.3").unwrap()),
            game_file: "/t/game.toml".into(),
            port: 30000,
            world_dir: "/w".into(),
            directory: Directory::MustExist,
            task_dir: "/t".into(),
            control_url: "http://127.0.0.1:1".into(),
            control_socket: Some("/control/socket".into()),
            token: "secret".into(),
            timers: Timers { afk: Duration::from_secs(2700), ..Timers::DEFAULT },
            report_every: Duration::from_secs(5),
            game_user: Some((65534, 65534)),
            game_start: GameStart::ByContainer,
        }
    }

    #[test]
    fn what_a_runtime_sets_a_watchdog_reads() {
        let vars: BTreeMap<_, _> = env().to_vars().into_iter().collect();
        assert!(TaskEnv::from_vars(|name| vars.get(name).cloned()).unwrap() == env());
    }

    #[test]
    fn a_task_may_be_nameless_and_a_game_the_watchdogs_own_child_of_its_own_user() {
        let bare = TaskEnv {
            task: None,
            control_socket: None,
            game_user: None,
            game_start: GameStart::ByWatchdog,
            ..env()
        };
        let vars: BTreeMap<_, _> = bare.to_vars().into_iter().collect();
        assert_eq!([TASK, CONTROL_SOCKET, GAME_USER, GAME_START].map(|name| vars.get(name)), [None; 4]);
        assert!(TaskEnv::from_vars(|name| vars.get(name).cloned()).unwrap() == bare);
    }

    #[test]
    fn who_else_should_start_the_game_is_an_error() {
        let vars: BTreeMap<_, _> = env().to_vars().into_iter().collect();
        let get =
            |name: &str| if name == GAME_START { Some("by-magic".into()) } else { vars.get(name).cloned() };
        let Err(error) = TaskEnv::from_vars(get) else { panic!("accepted") };
        assert_eq!(
            error.to_string(),
            "environment variable DORMOUSE_GAME_START is `by-magic`: use by-watchdog or by-container"
        );
    }

    #[test]
    fn a_missing_variable_is_named() {
        let Err(error) = TaskEnv::from_vars(|_| None) else { panic!("accepted") };
        assert_eq!(error.to_string(), "environment variable DORMOUSE_WORLD is not set");
    }
}
