//! OpenTTD, a TCP game: real servers, real clients, each on a machine of its own.

use std::time::Duration;

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
