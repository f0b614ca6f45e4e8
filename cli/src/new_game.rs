//! `dormouse new-game`: writes the two files of a game, with the choices that there are as comments.
//!
//! What it writes is read back before it is written: an entry that does not parse never reaches the disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum, builder::PossibleValue};
use domain::{game::Signal, world::GameId};

use crate::{
    choose::{Ask, Terminal},
    output::say,
};

mod ask;

mod files;

/// What to write.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dormouse new-game arena                                  it asks for what is not said
  dormouse new-game arena --name Arena --port 27960 --package openarena-server --signal SIGTERM --save .openarena \\
      --start 'openarena-server +set dedicated 1 +set net_port \"$PORT\"' --dir my-games
  dormouse new-game arena --from someone/arena@sha256:…    the server comes from an image

It never overwrites a file. `dormouse check-game ID` tries what it wrote.")]
pub(crate) struct NewGame {
    /// The game's id: lower-case letters, digits and inner hyphens
    #[arg(value_name = "ID")]
    id: String,
    /// The image that has the server; without it, a Debian package has it
    #[arg(long, value_name = "IMAGE", value_parser = image, conflicts_with = "package")]
    from: Option<String>,
    /// The Debian package that has the server; may be given more than once
    #[arg(long, value_name = "PACKAGE", value_parser = package)]
    package: Vec<String>,
    /// The game's name, for people [default: the id with a capital]
    #[arg(long)]
    name: Option<String>,
    /// The port that players type
    #[arg(long)]
    port: Option<u16>,
    /// How players talk to it
    #[arg(long, value_enum, default_value = "udp")]
    protocol: Protocol,
    /// The command that becomes the server; it finds its port in $PORT and the world's directory in $WORLD
    #[arg(long, value_name = "COMMAND", value_parser = command)]
    start: Option<String>,
    /// What the server writes when it saves, below the world's directory [default: world]
    #[arg(long, value_name = "PATH")]
    save: Option<String>,
    /// The signal that makes the server save and end
    #[arg(long, value_enum, default_value = "SIGTERM")]
    signal: StopSignal,
    /// Where to write the files
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// A transport protocol, as a flag has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Udp,
    Tcp,
}

impl Protocol {
    fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// A stop signal, as a flag has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StopSignal(Signal);

impl ValueEnum for StopSignal {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Signal::Int), Self(Signal::Term), Self(Signal::Hup), Self(Signal::Quit)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

/// Everything that the files say.
#[derive(Debug, Clone)]
struct Answers {
    id: GameId,
    name: String,
    from: Origin,
    port: u16,
    protocol: Protocol,
    start: String,
    save: String,
    signal: Signal,
}

/// Where the server comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// Debian packages.
    Packages(Vec<String>),
    /// An image.
    Image(String),
}

/// Writes the files.
pub(crate) fn run(new: &NewGame) -> Result<()> {
    let id = GameId::parse(&new.id)?;
    let paths = [format!("{id}.toml"), games::dockerfile_name(id.as_str())].map(|name| new.dir.join(name));
    // Asked before people answer questions for nothing, and again when the files are made.
    if let Some(there) = paths.iter().find(|path| path.exists()) {
        bail!("{} is there already: choose another id or --dir", there.display());
    }
    let answers = answers(new, id)?;
    let [entry, dockerfile] = [files::entry(&answers), files::dockerfile(&answers)];
    games::parse(&paths[0], &entry)?;
    fs::create_dir_all(&new.dir).with_context(|| format!("making {}", new.dir.display()))?;
    write_new(&paths[0], &entry)?;
    if let Err(error) = write_new(&paths[1], &dockerfile) {
        // One without the other would be in the way of the next attempt.
        fs::remove_file(&paths[0])?;
        return Err(error);
    }
    say!("wrote {} and {}", paths[0].display(), paths[1].display());
    let games =
        if new.dir == Path::new(".") { String::new() } else { format!(" --games {}", new.dir.display()) };
    say!("look through their comments, and then: dormouse check-game {}{games}", answers.id);
    Ok(())
}

/// Returns what the flags say, and people where they are at a terminal.
fn answers(new: &NewGame, id: GameId) -> Result<Answers> {
    let mut person = ask::Person::at_terminal(Terminal.is_person());
    let name = person.text("the game's name, for people", new.name.clone(), &capital(&id))?;
    let from = match &new.from {
        Some(image) => Origin::Image(image.clone()),
        None if !new.package.is_empty() => Origin::Packages(new.package.clone()),
        None => {
            let packages =
                person.text("the Debian package that has the server", None, &format!("{id}-server"))?;
            let packages = packages.split_whitespace().map(package).collect::<Result<_, _>>();
            Origin::Packages(packages.map_err(anyhow::Error::msg)?)
        }
    };
    let port = match (new.port, person.is_there()) {
        (Some(port), _) => port,
        (None, true) => person.port("the port that players type")?,
        (None, false) => bail!("which port do players type? Say it with --port"),
    };
    let start = format!("{id}-server --port \"$PORT\"");
    let start = person.text("the command that becomes the server", new.start.clone(), &start)?;
    let save = person.text("what it writes when it saves, below its directory", new.save.clone(), "world")?;
    let start = command(&start).map_err(anyhow::Error::msg)?;
    Ok(Answers { id, name, from, port, protocol: new.protocol, start, save, signal: new.signal.0 })
}

fn capital(id: &GameId) -> String {
    let mut letters = id.as_str().chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Writes a file that must not be there.
fn write_new(path: &Path, text: &str) -> Result<()> {
    let made: io::Result<File> = OpenOptions::new().write(true).create_new(true).open(path);
    made.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

fn image(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/:@".contains(&b));
    let is_image =
        is_plain && (1..=255).contains(&text.len()) && text.starts_with(|c: char| c.is_alphanumeric());
    is_image.then(|| text.to_owned()).ok_or_else(|| "it is no image, such as someone/server@sha256:…".into())
}

fn package(text: &str) -> Result<String, String> {
    let is_plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.:".contains(&b));
    let is_package = is_plain && (2..=64).contains(&text.len()) && !text.starts_with(['+', '-', '.', ':']);
    is_package.then(|| text.to_owned()).ok_or_else(|| format!("`{text}` is no name of a Debian package"))
}

/// Takes a command of one line. It becomes part of a text of TOML that three quotes end.
fn command(text: &str) -> Result<String, String> {
    let is_plain = !text.chars().any(char::is_control) && !text.contains("'''");
    let is_command = is_plain && !text.trim().is_empty() && text.len() <= 2000;
    let text = text.trim();
    is_command
        .then(|| text.strip_prefix("exec ").unwrap_or(text).to_owned())
        .ok_or_else(|| "a command is one line of at most 2000 characters, without '''".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        new: NewGame,
    }

    #[test]
    fn it_writes_files_that_fit_each_other_and_never_overwrites_one() {
        let dir = tempfile::tempdir().unwrap();
        for from in
            [&["--package", "arena-server", "--package", "arena-data"][..], &["--from", "some/arena:1.2"]]
        {
            let games = dir.path().join(from[0]);
            let at = games.to_str().unwrap();
            let write = |more: &[&str]| {
                let given = [&["new-game", "arena", "--port", "27960", "--dir", at], from, more].concat();
                run(&Cli::parse_from(given).new)
            };
            write(&["--start", "exec arena +set port \"$PORT\" '' \\n", "--name", "The \"Arena\" \\ 2"])
                .unwrap();
            let read = |name: &str| fs::read_to_string(games.join(name)).unwrap();
            let before = [read("arena.toml"), read("Dockerfile.arena")];
            let game = games::Catalogue::read_file(&games.join("arena.toml")).unwrap().game;
            assert_eq!(game.name, "The \"Arena\" \\ 2");
            assert_eq!(game.ports.iter().map(|p| p.number).collect::<Vec<_>>(), [27960]);
            let start = game.scripts.unwrap().start;
            assert_eq!(start.trim(), "exec arena +set port \"$PORT\" '' \\n 2>&1");
            let refused = write(&[]).unwrap_err().to_string();
            assert!(
                refused.ends_with("arena.toml is there already: choose another id or --dir"),
                "{refused}"
            );
            fs::remove_file(games.join("arena.toml")).unwrap();
            assert!(write(&[]).unwrap_err().to_string().contains("Dockerfile.arena is there already"));
            assert!(!games.join("arena.toml").exists());
            assert_eq!(read("Dockerfile.arena"), before[1]);
        }
    }

    #[test]
    fn nothing_is_written_of_what_is_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_str().unwrap();
        let refused = |given: &[&str]| {
            let given = [&["new-game", "--dir", at], given].concat();
            run(&Cli::parse_from(given).new).unwrap_err().to_string()
        };
        assert_eq!(refused(&["arena"]), "which port do players type? Say it with --port");
        assert!(refused(&["arena", "--port", "80"]).contains("`ports.number` is 80: use a number from 1024"));
        assert!(
            refused(&["arena", "--port", "2000", "--save", "../x"]).contains("`save.paths` has \"../x\"")
        );
        assert!(refused(&["erase", "--port", "2000"]).contains("would share its name"));
        assert!(refused(&["../arena", "--port", "2000"]).contains("../arena"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_would_break_out_of_a_file_is_no_answer() {
        for bad in ["a\nRUN evil", "a b", "", "-a", &"a".repeat(300)] {
            assert!(image(bad).is_err(), "{bad}");
            assert!(package(bad).is_err(), "{bad}");
        }
        for bad in ["", "a\nb", "a '''", &"a".repeat(2001)] {
            assert!(command(bad).is_err(), "{bad}");
        }
    }
}
