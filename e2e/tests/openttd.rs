//! OpenTTD, a TCP game: real servers, real clients, each on a machine of its own.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use e2e::{
    clients::{OpenTtdClient, surely},
    dormouse::{Dormouse, players},
    netns::Lab,
};
use serde_json::Value;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn players_who_come_and_go_are_counted_and_the_world_sleeps_after_the_last_one() -> Result<()> {
    let lab = Lab::new("openttd", 2)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("rails", "openttd", [600, 20, 10, 3600])?;
    dormouse.ok(&["world", "start", "rails", "--wait"])?;
    let (address, port) = dormouse.address("rails")?;
    dormouse.wait_for_players("rails", 0, s(10))?;

    let join = |i: usize, name: &'static str| {
        let joined = || Ok(OpenTtdClient::joined(name, &dormouse.game_log("rails")?));
        surely(|| OpenTtdClient::join(Some(lab.client(i)), address, port, name), joined)
    };
    let mut ann = join(0, "ann")?;
    println!("0 -> 1 seen after {:.1?}", dormouse.wait_for_players("rails", 1, s(60))?);
    let mut bob = join(1, "bob")?;
    println!("1 -> 2 seen after {:.1?}", dormouse.wait_for_players("rails", 2, s(60))?);

    bob.kill()?;
    println!("2 -> 1 seen after {:.1?} (killed)", dormouse.wait_for_players("rails", 1, s(60))?);
    let is_on = |world: &Value| world["state"] == "awake" && players(world) == Some(1);
    dormouse.stays("rails", "awake with an idle player", s(30), is_on)?;
    check_peers_command(&dormouse, lab.client(0).address)?;
    ann.act("hello")?;
    dormouse.stays("rails", "awake with an active player", s(3), is_on)?;

    ann.leave()?;
    println!("1 -> 0 seen after {:.1?}", dormouse.wait_for_players("rails", 0, s(30))?);
    let asleep = dormouse.wait_for_state("rails", "asleep", s(60))?;
    ensure!(
        asleep["last"]["outcome"] == "saved and archived, since the last player has left",
        "it ended otherwise: {asleep:#}"
    );
    ensure!(dormouse.files("rails")?.join("save/autosave/exit.sav").exists(), "the game was not saved");
    check_console(&dormouse)
}

/// Checks that players were warned in the game and told of the stop, and that the game saved by its own command.
fn check_console(dormouse: &Dormouse<'_>) -> Result<()> {
    let log = dormouse.game_log("rails")?;
    for said in ["This world goes to sleep in", "The world is saved and goes to sleep now."] {
        ensure!(log.contains(said), "nobody was told \"{said}\": {log}");
    }
    let saved = dormouse.files("rails")?.join("save/dormouse.sav");
    ensure!(saved.exists(), "there is no {}", saved.display());
    let settings = std::fs::read_to_string(dormouse.files("rails")?.join("secrets.cfg"))?;
    ensure!(!settings.contains("admin_password = "), "the console's password is kept");
    Ok(())
}

/// Checks that `watchdog peers`, started while somebody plays, shows that player's address.
fn check_peers_command(dormouse: &Dormouse<'_>, player: std::net::Ipv4Addr) -> Result<()> {
    let entry = dormouse.task_dir("rails")?.join("openttd.toml");
    let entry = entry.to_str().context("a path that is no text")?;
    let said = dormouse.ok(&["watchdog", "peers", "--game", entry, "--json", "--count", "8"])?;
    let last: Value = serde_json::from_str(said.lines().last().context("it said nothing")?)?;
    ensure!(last["verdict"]["players"] == 1 && last["listening"] == true, "it said {last:#}");
    let address = last["peers"][0]["address"].as_str().unwrap_or_default();
    ensure!(address.starts_with(&format!("{player}:")), "it named {address}");
    Ok(())
}

#[test]
fn a_world_goes_on_where_it_was_left() -> Result<()> {
    let lab = Lab::new("goeson", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("rails", "openttd", [600, 600, 10, 3600])?;
    dormouse.ok(&["world", "start", "rails", "--wait"])?;
    dormouse.ok(&["world", "stop", "rails", "--wait"])?;
    let saved = std::fs::read(dormouse.files("rails")?.join("save/autosave/exit.sav"))?;
    let started = dormouse.ok(&["world", "start", "rails", "--wait"])?;
    ensure!(started.contains("ready"), "no progress was shown: {started}");
    let loaded = std::fs::read(dormouse.files("rails")?.join("save/world.sav"))?;
    ensure!(saved == loaded, "the second launch did not load what the first one saved");
    dormouse.ok(&["world", "stop", "rails", "--wait"]).map(drop)
}

#[test]
fn what_was_chosen_reaches_the_server_and_a_password_nobody_else() -> Result<()> {
    const SECRET: &str = "correct horse's";
    let lab = Lab::new("chosen", 1)?;
    let dormouse = Dormouse::up(lab.server())?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), format!("{SECRET}\n"))?;
    let password = format!("password={}", file.path().display());
    let chosen =
        ["--set", "name=Ann's Rails", "--set", "map=64", "--set", "year=1955", "--set-file", &password];
    dormouse.ok(&[&["world", "create", "rails", "--game", "openttd"], &chosen[..]].concat())?;
    dormouse.ok(&["world", "start", "rails", "--wait"])?;
    let (address, port) = dormouse.address("rails")?;

    let info = lab.client(0).within(|| game_info((address, port).into()))?;
    let (name, rest) = info.name_and_rest("Ann's Rails")?;
    ensure!(rest[0] == 1, "`{name}` asks for no password: {rest:?}");
    ensure!(info.sides() == [64, 64], "the map is {:?}", info.sides());

    let shown = dormouse.ok(&["world", "password", "rails"])?;
    ensure!(shown.contains(SECRET), "it is not shown to who may see it: {shown}");
    let game = dormouse.game("rails")?.context("there is no game")?;
    let command_line = std::fs::read_to_string(format!("/proc/{game}/cmdline"))?;
    let task = std::fs::read_to_string(dormouse.files("rails")?.join("secrets.cfg"))?;
    let said = [
        dormouse.ok(&["world", "status", "rails", "--json"])?,
        dormouse.ok(&["world", "list", "--json"])?,
        dormouse.log(),
        dormouse.logs("rails"),
        command_line,
        task,
    ];
    for said in said {
        ensure!(!said.contains(SECRET), "the password is told: {said}");
    }

    dormouse.ok(&["world", "stop", "rails", "--wait"])?;
    let refused = dormouse.cli(&["world", "set", "rails", "--set", "map=128"])?;
    ensure!(refused.stderr.contains("until a world is first woken"), "it was taken: {}", refused.stderr);
    dormouse.ok(&["world", "set", "rails", "--set", "name=Bob's Rails", "--unset", "password"])?;
    dormouse.ok(&["world", "start", "rails", "--wait"])?;
    let (address, port) = dormouse.address("rails")?;
    let info = lab.client(0).within(|| game_info((address, port).into()))?;
    let (_, rest) = info.name_and_rest("Bob's Rails")?;
    ensure!(rest[0] == 0, "it still asks for a password: {rest:?}");
    dormouse.ok(&["world", "stop", "rails", "--wait"]).map(drop)
}

/// What a server says of its game.
struct GameInfo(Vec<u8>);

impl GameInfo {
    /// Returns the server's name, if it is this one, and what follows its version: whether it asks for a password comes first.
    fn name_and_rest<'a>(&'a self, name: &'a str) -> Result<(&'a str, &'a [u8])> {
        let begun = [name.as_bytes(), &[0]].concat();
        let at = self.0.windows(begun.len()).position(|bytes| bytes == begun);
        let at = at.with_context(|| format!("it is not `{name}`: {}", String::from_utf8_lossy(&self.0)))?;
        let rest = &self.0[at + begun.len()..];
        let version = rest.iter().position(|byte| *byte == 0).context("no version follows the name")?;
        Ok((name, &rest[version + 1..]))
    }

    /// Returns the lengths of the map's sides. Behind them are two bytes.
    fn sides(&self) -> [u16; 2] {
        let at = self.0.len().saturating_sub(6);
        let side = |at: usize| u16::from_le_bytes([self.0[at], self.0[at + 1]]);
        [side(at), side(at + 2)]
    }
}

/// Asks a server for its game, as a client does before it joins.
fn game_info(server: std::net::SocketAddr) -> Result<GameInfo> {
    const ASK: [u8; 3] = [3, 0, 7];
    const ANSWER: u8 = 6;
    let mut stream = TcpStream::connect_timeout(&server, s(10))?;
    stream.set_read_timeout(Some(s(10)))?;
    stream.write_all(&ASK)?;
    let mut head = [0; 3];
    stream.read_exact(&mut head)?;
    ensure!(head[2] == ANSWER, "the server answers with {head:?}");
    let length = usize::from(u16::from_le_bytes([head[0], head[1]])).saturating_sub(head.len());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    ensure!(body.len() > 20, "the server says too little: {body:?}");
    Ok(GameInfo(body))
}
