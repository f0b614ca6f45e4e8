//! Luanti, a UDP game with one unconnected socket: real servers, real clients, each on a machine of its own.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::{
    clients::{LuantiClient, surely},
    dormouse::{Dormouse, players},
    netns::Lab,
};
use serde_json::Value;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn players_who_come_and_go_are_counted_and_the_world_sleeps_after_the_last_one() -> Result<()> {
    let lab = Lab::new("luanti", 2)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("valhalla", "luanti", [600, 25, 10, 3600])?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    let (address, port) = dormouse.address("valhalla")?;
    ensure!(address == IpAddr::from(lab.server().address), "players are sent to {address}");
    dormouse.wait_for_players("valhalla", 0, s(10))?;

    let join = |i: usize, name: &'static str| {
        let joined = || Ok(LuantiClient::joined(name, &dormouse.game_log("valhalla")?));
        surely(|| LuantiClient::join(Some(lab.client(i)), address, port, name), joined)
    };
    let mut ann = join(0, "ann")?;
    println!("0 -> 1 seen after {:.1?}", dormouse.wait_for_players("valhalla", 1, s(60))?);
    let mut bob = join(1, "bob")?;
    println!("1 -> 2 seen after {:.1?}", dormouse.wait_for_players("valhalla", 2, s(60))?);

    bob.kill()?;
    println!(
        "2 -> 1 seen after {:.1?} (killed, the server was told nothing)",
        dormouse.wait_for_players("valhalla", 1, s(60))?
    );

    // Longer than the idle time: first standing still, which is less than one datagram a second, then walking.
    let is_on = |world: &Value| world["state"] == "awake" && players(world) == Some(1);
    dormouse.stays("valhalla", "awake with an idle player", s(40), is_on)?;
    ann.act(s(5))?;
    dormouse.stays("valhalla", "awake with an active player", s(5), is_on)?;

    ann.leave()?;
    println!("1 -> 0 seen after {:.1?}", dormouse.wait_for_players("valhalla", 0, s(60))?);
    let (_, warned) = dormouse.wait("valhalla", "warned", s(40), |world| world["stops_in_s"].is_u64())?;
    println!("warned after another {warned:.1?}");
    let asleep = dormouse.wait_for_state("valhalla", "asleep", s(60))?;
    ensure!(
        asleep["last"]["outcome"] == "saved and archived, since the last player has left",
        "it ended otherwise: {asleep:#}"
    );
    check_attendance(&dormouse, &asleep)?;
    dormouse.check_archive("valhalla", "world/players.sqlite")
}

#[test]
fn a_player_who_comes_back_before_the_stop_keeps_the_world_awake() -> Result<()> {
    let lab = Lab::new("comeback", 1)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("valhalla", "luanti", [50, 600, 45, 3600])?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    let (address, port) = dormouse.address("valhalla")?;
    dormouse.wait("valhalla", "warned", s(60), |world| {
        world["stops_in_s"].as_u64().is_some_and(|left| left <= 35)
    })?;
    let _ann = LuantiClient::join(Some(lab.client(0)), address, port, "ann")?;
    dormouse.stays("valhalla", "awake although its time was nearly over", s(50), |world| {
        world["state"] == "awake"
    })?;
    dormouse.wait_for_players("valhalla", 1, s(30)).map(drop)
}

#[test]
fn without_the_right_to_see_packets_a_player_still_keeps_the_world_awake() -> Result<()> {
    let lab = Lab::new("noraw", 1)?;
    let mut dormouse = Dormouse::prepare(lab.server())?;
    dormouse.wrapper =
        ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"].map(Into::into).into();
    dormouse.start()?;
    dormouse.create("valhalla", "luanti", [600, 40, 10, 3600])?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    let (address, port) = dormouse.address("valhalla")?;
    dormouse.wait_for_players("valhalla", 0, s(45))?;
    let joined = || Ok(LuantiClient::joined("ann", &dormouse.game_log("valhalla")?));
    let mut ann = surely(|| LuantiClient::join(Some(lab.client(0)), address, port, "ann"), joined)?;
    println!(
        "somebody seen after {:.1?} by the datagram rate",
        dormouse.wait_for_players("valhalla", 1, s(30))?
    );
    dormouse.stays("valhalla", "awake with an idle player", s(50), |world| players(world) == Some(1))?;
    ann.leave()?;
    println!("nobody seen after {:.1?}", dormouse.wait_for_players("valhalla", 0, s(60))?);
    dormouse.wait_for_state("valhalla", "asleep", s(70)).map(drop)
}

/// Checks that the session tells who was on: one or two players for about a minute and a half.
fn check_attendance(dormouse: &Dormouse<'_>, asleep: &Value) -> Result<()> {
    let attendance = &asleep["last"]["attendance"];
    let sum = |name: &str| attendance[name].as_u64().with_context(|| format!("no {name}: {asleep:#}"));
    ensure!(attendance["peak"] == 2, "two were on: {attendance:#}");
    let (watched, played, all) = (sum("watched_s")?, sum("played_s")?, sum("player_s")?);
    ensure!(played >= 45 && played < watched && all > played, "a player's evening: {attendance:#}");
    let curve = attendance["curve"].as_array().context("no curve")?;
    ensure!(curve.len() as u64 == watched / 60 + 1, "a minute each: {attendance:#}");
    let sessions = dormouse.ok(&["world", "sessions", "valhalla"])?;
    println!("{sessions}");
    ensure!(sessions.contains("up to 2 players seen"), "sessions say who was on: {sessions}");
    Ok(())
}

#[test]
fn what_was_chosen_reaches_the_server_and_what_it_wrote_itself_stays() -> Result<()> {
    let lab = Lab::new("seeded", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    let chosen = ["--set", "seed=4242", "--set", "motd=It's home, friends", "--set", "creative=on"];
    dormouse.ok(&[&["world", "create", "valhalla", "--game", "luanti"], &chosen[..]].concat())?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    dormouse.ok(&["world", "stop", "valhalla", "--wait"])?;
    let read =
        |name: &str| Ok::<_, anyhow::Error>(std::fs::read_to_string(dormouse.files("valhalla")?.join(name))?);
    let map = read("world/map_meta.txt")?;
    ensure!(map.contains("seed = 4242\n"), "the map has another seed: {map}");

    let conf = dormouse.files("valhalla")?.join("minetest.conf");
    std::fs::write(&conf, format!("{}time_speed = 7\n", read("minetest.conf")?))?;
    dormouse.ok(&["world", "set", "valhalla", "--set", "motd=Hello", "--unset", "creative"])?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    dormouse.ok(&["world", "stop", "valhalla", "--wait"])?;
    let settings = read("minetest.conf")?;
    for line in ["motd = Hello\n", "time_speed = 7\n", "server_announce = false\n"] {
        ensure!(settings.contains(line), "there is no {line:?} in {settings}");
    }
    ensure!(!settings.contains("creative_mode"), "what nobody chooses any more stays: {settings}");
    Ok(())
}
