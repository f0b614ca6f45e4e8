//! Worlds in containers, on a real engine: real images, real watchdogs, real servers and real clients, each of these on a machine
//! of its own.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{
    clients::{LuantiClient, OpenTtdClient, surely},
    dormouse::{Dormouse, players},
    engine::Machine,
    image::{KEPT_OUT, SPY, spied},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Longer than anything takes that does not wait for a timer, however busy the machine is.
const SOON: Duration = s(120);

#[test]
fn a_udp_world_counts_who_comes_and_goes_and_sleeps_after_the_last_one() -> Result<()> {
    let machine = Machine::start("ctrludp", 2, &[])?;
    let dormouse = awake(&machine, "luanti", [600, 20, 10, 3600])?;
    check_images(&machine, "luanti")?;
    let mut ann = luanti_player(&machine, &dormouse, 0, "ann")?;
    seen(&machine, &dormouse, 1)?;
    let mut bob = luanti_player(&machine, &dormouse, 1, "bob")?;
    seen(&machine, &dormouse, 2)?;
    bob.kill()?;
    seen(&machine, &dormouse, 1)?;
    // Longer than the idle time, standing still, which is less than one datagram a second.
    dormouse.stays("valhalla", "awake with an idle player", s(35), |world| players(world) == Some(1))?;
    ann.leave()?;
    seen(&machine, &dormouse, 0)?;
    asleep(&machine, &dormouse, "saved and archived, since the last player has left")?;
    dormouse.check_archive("valhalla", "world/players.sqlite")
}

#[test]
fn a_tcp_world_saves_by_its_console_and_goes_on_where_it_was_left() -> Result<()> {
    let machine = Machine::start("ctrltcp", 1, &[])?;
    let dormouse = awake(&machine, "openttd", [600, 600, 10, 3600])?;
    check_images(&machine, "openttd")?;
    let (address, port) = dormouse.address("valhalla")?;
    let joined = || Ok(OpenTtdClient::joined("ann", &machine.log("openttd")?));
    let mut ann = surely(|| OpenTtdClient::join(Some(machine.lab.client(0)), address, port, "ann"), joined)?;
    seen(&machine, &dormouse, 1)?;
    ann.leave()?;
    seen(&machine, &dormouse, 0)?;
    dormouse.ok(&["world", "stop", "valhalla", "--wait"])?;
    asleep(&machine, &dormouse, "saved and archived")?;
    let files = dormouse.files("valhalla")?;
    ensure!(files.join("save/dormouse.sav").exists(), "it was not saved by its console");
    dormouse.check_archive("valhalla", "save/autosave/exit.sav")?;
    let saved = std::fs::read(files.join("save/autosave/exit.sav"))?;

    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    let loaded = std::fs::read(files.join("save/world.sav"))?;
    ensure!(saved == loaded, "the second launch did not load what the first one saved");
    Ok(())
}

#[test]
fn a_control_plane_that_is_killed_finds_its_world_again_and_throws_nobody_out() -> Result<()> {
    let machine = Machine::start("ctrlkilled", 1, &[])?;
    let mut dormouse = machine.dormouse()?;
    // Its image is made of the program itself.
    dormouse.arguments.truncate(dormouse.arguments.len() - 2);
    dormouse.start().with_context(|| machine.logs())?;
    dormouse.create("valhalla", "luanti", [600, 20, 10, 3600])?;
    start(&machine, &dormouse, "valhalla")?;
    let mut ann = luanti_player(&machine, &dormouse, 0, "ann")?;
    seen(&machine, &dormouse, 1)?;
    let before = machine.containers()?;
    dormouse.kill_control()?;
    dormouse.start()?;
    seen(&machine, &dormouse, 1)?;
    dormouse.stays("valhalla", "awake with its player", s(30), |world| {
        world["state"] == "awake" && players(world) == Some(1)
    })?;
    ensure!(machine.containers()? == before, "its containers are others: {before:?}\n{}", machine.logs());
    ann.leave()?;
    asleep(&machine, &dormouse, "saved and archived, since the last player has left")?;
    dormouse.check_archive("valhalla", "world/players.sqlite")
}

#[test]
fn a_game_learns_nothing_of_the_watchdog_and_reaches_nothing_but_its_world() -> Result<()> {
    let machine = Machine::start("ctrlspy", 0, &[])?;
    machine.change_entry("luanti", |entry| {
        entry.replace(
            "\nexec minetestserver",
            &format!("{}{BESIDE}\nexec minetestserver", SPY.replace('\\', "\\\\")),
        )
    })?;
    let dormouse = machine.dormouse_up()?;
    for (name, game) in [("other", "openttd"), ("valhalla", "luanti")] {
        dormouse.create(name, game, [600, 600, 10, 3600])?;
        start(&machine, &dormouse, name)?;
    }
    let said = machine.log("luanti")?;
    let tried = spied(&said);
    let (beside, rest) = tried.split_at_checked(KEPT_OUT.len()).context("the spy has said less")?;
    ensure!(beside == KEPT_OUT, "it got through: {beside:?}\n{said}");
    ensure!(
        rest == [
            "no root",
            "no control plane",
            "no front door",
            "no front door",
            "no capability",
            "no new privileges",
            "1 world",
            "done"
        ],
        "it got through: {rest:?}\n{said}"
    );
    Ok(())
}

/// Tries what a game in a container must not be able to do besides. `watchdog` is its process.
const BESIDE: &str = r#"
ls "/proc/$watchdog/root/" 2>/dev/null || echo "spy: no root"
ls /control /control/socket 2>/dev/null | grep -q . || ls /task 2>/dev/null || echo "spy: no control plane"
for host in 127.0.0.1 10.77.0.1; do
  timeout 5 bash -c "exec 3<>/dev/tcp/$host/7733" 2>/dev/null || echo "spy: no front door"
done
grep -q '^CapEff:.0000000000000000$' /proc/self/status && echo "spy: no capability"
grep -q '^NoNewPrivs:.1$' /proc/self/status && echo "spy: no new privileges"
echo "spy: $(ls /worlds | wc -l) world"
echo "spy: done"
"#;

#[test]
fn a_game_that_crashes_is_told_of_and_its_world_is_archived() -> Result<()> {
    let machine = Machine::start("ctrlcrash", 0, &[])?;
    let dormouse = awake(&machine, "luanti", [600, 600, 10, 3600])?;
    let inspected =
        machine.engine.ok(&["inspect", "--format", "{{.State.Pid}}", &machine.running("luanti")?.id])?;
    kill(Pid::from_raw(inspected.trim().parse()?), Signal::SIGSEGV)?;
    asleep(&machine, &dormouse, "the game ended by itself")?;
    dormouse.check_archive("valhalla", "world/world.mt")
}

#[test]
fn a_game_that_takes_more_memory_than_it_has_ends_alone_and_its_world_is_archived() -> Result<()> {
    let machine = Machine::start("ctrlmemory", 0, &[])?;
    machine.change_entry("luanti", |entry| {
        let (before, rest) = entry.split_once("start = \"\"\"\n").unwrap_or_default();
        let (_, after) = rest.split_once("\"\"\"").unwrap_or_default();
        format!("{before}start = \"\"\"{GREEDY}\"\"\"{after}")
    })?;
    let dormouse = awake(&machine, "luanti", [600, 600, 10, 3600])?;
    std::fs::write(dormouse.files("valhalla")?.join("eat"), "")?;
    // The engine knows why, and the watchdog, which saw the work through, cannot: that is what is told.
    asleep(&machine, &dormouse, "the game ended by itself")?;
    dormouse.check_archive("valhalla", "world/world.mt")
}

/// A server that takes memory without end once it is told to, by a file.
const GREEDY: &str = r#"
exec perl -MSocket -e '
  my $game;
  socket($game, PF_INET, SOCK_DGRAM, 0) and bind($game, sockaddr_in($ENV{PORT}, INADDR_ANY)) or die;
  select(undef, undef, undef, 0.1) until -e "$ENV{WORLD}/eat";
  my @all; push @all, "x" x 10_000_000 while 1;
'
"#;

/// Starts a control plane and a world `valhalla` of the game, and waits until players can join.
fn awake<'a>(machine: &'a Machine, game: &str, timers: [u32; 4]) -> Result<Dormouse<'a>> {
    let dormouse = machine.dormouse_up()?;
    dormouse.create("valhalla", game, timers)?;
    start(machine, &dormouse, "valhalla")?;
    Ok(dormouse)
}

fn start(machine: &Machine, dormouse: &Dormouse<'_>, name: &str) -> Result<()> {
    let said = dormouse.ok(&["world", "start", name, "--wait"]);
    said.map(drop).with_context(|| format!("{}\n{}", dormouse.log(), machine.logs()))
}

fn luanti_player(machine: &Machine, dormouse: &Dormouse<'_>, i: usize, name: &str) -> Result<LuantiClient> {
    let (address, port) = dormouse.address("valhalla")?;
    ensure!(address == machine.lab.server().address, "players are sent to {address}");
    let joined = || Ok(LuantiClient::joined(name, &machine.log("luanti")?));
    surely(|| LuantiClient::join(Some(machine.lab.client(i)), address, port, name), joined)
        .with_context(|| machine.logs())
}

fn seen(machine: &Machine, dormouse: &Dormouse<'_>, n: u64) -> Result<()> {
    let took = dormouse.wait_for_players("valhalla", n, s(60)).with_context(|| machine.logs())?;
    println!("{n} seen after {took:.1?}");
    Ok(())
}

/// Waits until the world sleeps, which has to come about like this, and checks that nothing of it runs.
fn asleep(machine: &Machine, dormouse: &Dormouse<'_>, outcome: &str) -> Result<()> {
    let asleep = dormouse.wait_for_state("valhalla", "asleep", SOON).with_context(|| machine.logs())?;
    let said = asleep["last"]["outcome"].as_str().unwrap_or_default();
    ensure!(said.contains(outcome), "it ended otherwise: {asleep:#}");
    nothing_runs(machine)
}

/// Checks that no container runs; those that have ended stay for their logs.
fn nothing_runs(machine: &Machine) -> Result<()> {
    let all = machine.containers()?;
    ensure!(all.iter().all(|one| one.state == "exited"), "it goes on: {all:?}");
    Ok(())
}

/// Checks that the game's image is small, and that its processes are not root's.
fn check_images(machine: &Machine, game: &str) -> Result<()> {
    let container = machine.running(game)?;
    let user = machine.engine.ok(&["inspect", "--format", "{{.Config.User}}", &container.id])?;
    ensure!(user.trim() == "10001:10001", "the game runs as {user}");
    let size = machine.engine.ok(&["image", "inspect", "--format", "{{.Size}}", &container.image])?;
    println!("{}: {:.0} MB", container.image, size.trim().parse::<f64>()? / 1e6);
    Ok(())
}
