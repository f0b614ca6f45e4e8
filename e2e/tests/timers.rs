//! When a world sleeps and when it does not: the timers, the hard cap, a held world, a game that breaks down.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{
    clients::{LuantiClient, surely},
    dormouse::Dormouse,
    netns::Lab,
};
use nix::sys::signal::{Signal, kill};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_world_that_nobody_joins_sleeps_after_its_own_timer() -> Result<()> {
    let lab = Lab::new("never", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("w", "luanti", [30, 600, 5, 3600])?;
    dormouse.ok(&["world", "start", "w", "--wait"])?;
    dormouse.stays("w", "awake before its time", s(20), |world| world["state"] == "awake")?;
    let asleep = dormouse.wait_for_state("w", "asleep", s(30))?;
    ensure!(
        asleep["last"]["outcome"] == "saved and archived, since nobody joined",
        "it ended otherwise: {asleep:#}"
    );
    let log = dormouse.log();
    ensure!(log.contains("nobody is on; goes to sleep at"), "the channel was not warned: {log}");
    Ok(())
}

#[test]
fn the_hard_cap_ends_a_world_with_a_player_on_and_saves_it() -> Result<()> {
    let lab = Lab::new("cap", 1)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("w", "luanti", [600, 600, 10, 100])?;
    dormouse.ok(&["world", "start", "w", "--wait"])?;
    let joined = || Ok(LuantiClient::joined("ann", &dormouse.game_log("w")?));
    let join = || LuantiClient::join(Some(lab.client(0)), lab.server().address.into(), 30000, "ann");
    let _ann = surely(join, joined)?;
    dormouse.wait_for_players("w", 1, s(40))?;
    let asleep = dormouse.wait_for_state("w", "asleep", s(150))?;
    let outcome = asleep["last"]["outcome"].as_str().unwrap_or_default();
    ensure!(
        outcome == "saved and archived, since it has run for its longest time",
        "it ended otherwise: {outcome}"
    );
    ensure!(asleep["archive"]["size"].as_u64().is_some_and(|size| size > 0), "no archive: {asleep:#}");
    Ok(())
}

#[test]
fn a_held_world_stays_awake_with_nobody_on_and_sleeps_when_the_time_is_over() -> Result<()> {
    let lab = Lab::new("keep", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("w", "luanti", [10, 10, 5, 3600])?;
    dormouse.ok(&["world", "start", "w", "--wait"])?;
    let said = dormouse.ok(&["world", "keep", "w", "--for", "25s"])?;
    ensure!(said.contains("kept awake for 25 s"), "it said: {said}");
    dormouse.stays("w", "kept awake", s(22), |world| world["state"] == "awake")?;
    dormouse.wait_for_state("w", "asleep", s(40)).map(drop)
}

#[test]
fn a_game_that_is_killed_is_reported_within_seconds() -> Result<()> {
    let lab = Lab::new("broken", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("w", "luanti", [600, 600, 10, 3600])?;
    dormouse.ok(&["world", "start", "w", "--wait"])?;
    kill(dormouse.game("w")?.context("no game")?, Signal::SIGKILL)?;
    let (_, noticed) = dormouse.wait("w", "noticed", s(30), |world| world["state"] != "awake")?;
    println!("noticed after {noticed:.1?}");
    ensure!(noticed < s(15), "noticed only after {noticed:.1?}");
    let asleep = dormouse.wait_for_state("w", "asleep", s(30))?;
    let outcome = asleep["last"]["outcome"].as_str().unwrap_or_default();
    ensure!(outcome.contains("the game ended by itself (SIGKILL)"), "it was reported otherwise: {outcome}");
    dormouse.ok(&["world", "start", "w", "--wait"]).map(drop)
}
