//! Commands for the running game: the console that it opens to this machine, and the password of one launch.
//!
//! Nothing here waits longer than it is told to, takes more than it has room for, or shows the password to anybody but the
//! game: its scripts find it in their environment, or in a file where the game has a container of its own, and write it into
//! the game's settings.

use std::{fmt, fmt::Write as _, io, path::Path, time::Duration};

use adapters::task_env::CONSOLE_PORT;
use anyhow::Result;
use domain::game::{self, ConsoleProtocol, Game};

use self::{openttd::Admin, rcon::Rcon, wire::Wire};
use crate::secret_file;

mod rcon;

mod openttd;

mod wire;

/// The variable that tells the game's scripts the password.
const PASSWORD_VARIABLE: &str = "DORMOUSE_CONSOLE_PASSWORD";

/// How many characters of a message are said: chats cut off what is longer, or refuse it.
const LONGEST_MESSAGE: usize = 200;

/// The console of one launch.
#[derive(Debug, Clone)]
pub struct Console {
    access: game::Console,
    password: Password,
}

impl Console {
    /// Returns the console of a new launch of `game`, with a password that nobody has seen, if the game has one.
    pub fn for_launch(game: &Game) -> io::Result<Option<Self>> {
        let with =
            |access: &game::Console| Ok(Self { access: access.clone(), password: Password::random()? });
        game.console.as_ref().map(with).transpose()
    }

    /// Returns what the catalogue says about it.
    pub fn access(&self) -> &game::Console {
        &self.access
    }

    /// Returns the environment by which the game's scripts open it.
    pub fn variables(&self) -> [(String, String); 2] {
        [
            (CONSOLE_PORT.to_owned(), self.access.port.to_string()),
            (PASSWORD_VARIABLE.to_owned(), self.password.0.clone()),
        ]
    }

    /// Writes the password, and nothing else, to a new file that `user` alone can read. What was there is gone.
    pub fn leave_password(&self, path: &Path, user: (u32, u32)) -> io::Result<()> {
        secret_file::leave(path, &self.password.0, user)
    }

    /// Connects and is let in, within `limit`.
    pub fn connect(&self, limit: Duration) -> Result<Connection> {
        let wire = Wire::connect(self.access.port, limit)?;
        Ok(Connection(match self.access.protocol {
            ConsoleProtocol::Rcon => Protocol::Rcon(Rcon::join(wire, &self.password.0)?),
            ConsoleProtocol::OpenttdAdmin => Protocol::OpenttdAdmin(Admin::join(wire, &self.password.0)?),
        }))
    }

    /// Returns the command that says `message` to all players, if the game has one.
    pub fn saying(&self, message: &str) -> Option<String> {
        self.access.say.as_ref().map(|say| say.replace("{message}", &plain(message)))
    }
}

/// A connection that a console has let in.
pub struct Connection(Protocol);

enum Protocol {
    Rcon(Rcon),
    OpenttdAdmin(Admin),
}

impl Connection {
    /// Runs a command and returns what is answered within `limit`, or its beginning.
    pub fn command(&mut self, text: &str, limit: Duration) -> Result<String> {
        match &mut self.0 {
            Protocol::Rcon(rcon) => rcon.command(text, limit),
            Protocol::OpenttdAdmin(admin) => admin.command(text, limit),
        }
    }
}

/// A password of 128 random bits, for one launch.
#[derive(Clone)]
struct Password(String);

impl Password {
    fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let mut hex = String::new();
        for byte in bytes {
            // Writing to a string never fails.
            let _ = write!(hex, "{byte:02x}");
        }
        Ok(Self(hex))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Returns `message` as a console may be given it: what could end a line, a quotation or a command is left out.
fn plain(message: &str) -> String {
    let plain = |c: &char| !c.is_control() && !matches!(c, '"' | '\\' | '`' | '$' | ';');
    message.chars().filter(plain).take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_random_and_never_shown() {
        let [one, other] = [console("say {message}"), console("say {message}")];
        assert_ne!(one.password.0, other.password.0);
        assert_eq!(one.password.0.len(), 32);
        assert!(one.password.0.bytes().all(|b| b.is_ascii_hexdigit()), "it stands in settings of any form");
        assert!(!format!("{one:?}").contains(&one.password.0));
    }

    #[test]
    fn scripts_are_told_port_and_password() {
        let console = console("say {message}");
        let [port, password] = console.variables();
        assert_eq!(port, ("DORMOUSE_CONSOLE_PORT".into(), "25575".into()));
        assert_eq!(password, ("DORMOUSE_CONSOLE_PASSWORD".into(), console.password.0));
    }

    #[test]
    fn the_password_and_nothing_else_is_left_for_the_game() {
        let dir = tempfile::tempdir().unwrap();
        let (path, console) = (dir.path().join("console"), console("say {message}"));
        let own = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        console.leave_password(&path, own).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), console.password.0);
    }

    #[test]
    fn a_message_is_one_short_plain_line() {
        let console = console("say \"{message}\"");
        let said = |message: &str| console.saying(message).unwrap();
        assert_eq!(said("asleep in 2 min"), "say \"asleep in 2 min\"");
        assert_eq!(said("a\"; quit\nstop\0\u{1b}[2J\\"), "say \"a quitstop[2J\"");
        assert_eq!(said(&"é".repeat(1000)).chars().count(), 200 + 6);
    }

    #[test]
    fn a_game_that_cannot_say_anything_says_nothing() {
        let mut console = console("say {message}");
        console.access.say = None;
        assert_eq!(console.saying("hello"), None);
    }

    fn console(say: &str) -> Console {
        let access = game::Console {
            protocol: ConsoleProtocol::Rcon,
            port: 25575,
            save: vec![],
            say: Some(say.into()),
            before_copy: vec![],
            after_copy: vec![],
        };
        Console { access, password: Password::random().unwrap() }
    }
}
