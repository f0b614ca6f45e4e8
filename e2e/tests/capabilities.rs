//! What the watchdog does where it is given fewer rights than it asks for, on a real engine: what it may not see it says, what it
//! could not end it does not begin, and what it has begun it saves.
//!
//! | the watchdog may | beside the game's container | in one container with the game |
//! | --- | --- | --- |
//! | all that it asks for | players are counted | – |
//! | all but NET_RAW | somebody is seen, not how many | – |
//! | only NET_RAW | no game starts | players are counted |
//! | nothing | no game starts | somebody is seen, not how many |

use std::{
    fs,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    clients::{LuantiClient, surely},
    control::{Control, Launch, text},
    dormouse::{Dormouse, players},
    engine::{Machine, entry, kept, watchdog_program},
};
use serde_json::Value;
use tempfile::TempDir;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Longer than anything takes that does not wait for a timer, however busy the machine is.
const SOON: Duration = s(120);

const LOOK_EVERY: Duration = Duration::from_millis(100);

const PORT: u16 = 30_000;

#[test]
fn in_one_container_with_the_game_and_only_net_raw_players_are_counted_and_the_world_is_saved() -> Result<()>
{
    let machine = Machine::start("caponeraw", 2, &[])?;
    let mut one = One::start(&machine, &["--cap-add", "NET_RAW"])?;
    let _ann = one.join(0, "ann")?;
    one.seen("one player", |players| players["n"] == 1)?;
    let _bob = one.join(1, "bob")?;
    one.seen("two players", |players| players["n"] == 2)?;
    one.stops_and_is_saved()
}

#[test]
fn in_one_container_with_the_game_and_without_any_right_somebody_is_seen_and_the_world_is_saved() -> Result<()>
{
    let machine = Machine::start("caponebare", 1, &[])?;
    let mut one = One::start(&machine, &[])?;
    one.seen("nobody", |players| players["is"] == "empty")?;
    let _ann = one.join(0, "ann")?;
    one.seen("somebody", |players| players["is"] == "players")?;
    let said = one.log()?;
    ensure!(said.contains("CAP_NET_RAW"), "it did not say what it lacks: {said}");
    one.stops_and_is_saved()
}

#[test]
fn where_packets_may_not_be_seen_somebody_is_seen_all_the_same_and_the_world_is_saved() -> Result<()> {
    let machine = Machine::start("ctrlnoraw", 1, &["CAP_NET_RAW"])?;
    let dormouse = created(&machine, 40)?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"]).with_context(|| machine.logs())?;
    dormouse.wait_for_players("valhalla", 0, s(60))?;
    let (address, port) = dormouse.address("valhalla")?;
    let joined = || Ok(LuantiClient::joined("ann", &machine.log("luanti")?));
    let mut ann = surely(|| LuantiClient::join(Some(machine.lab.client(0)), address, port, "ann"), joined)?;
    dormouse.wait_for_players("valhalla", 1, s(60))?;
    dormouse.stays("valhalla", "awake with an idle player", s(50), |world| players(world) == Some(1))?;
    ann.leave()?;
    let asleep = dormouse.wait_for_state("valhalla", "asleep", SOON)?;
    let outcome = asleep["last"]["outcome"].as_str().context("no outcome")?;
    ensure!(outcome == "saved and archived, since the last player has left", "it said: {outcome}");
    dormouse.check_archive("valhalla", "world/players.sqlite")
}

#[test]
fn a_watchdog_that_could_not_stop_the_game_lets_none_start_and_says_what_it_lacks() -> Result<()> {
    let rest = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL"];
    for (name, withheld) in [("ctrlraw", rest.to_vec()), ("ctrlbare", [&rest[..], &["CAP_NET_RAW"]].concat())]
    {
        let machine = Machine::start(name, 0, &withheld)?;
        let dormouse = created(&machine, 600)?;
        let done = dormouse.cli(&["world", "start", "valhalla", "--wait"])?;
        ensure!(done.code != 0, "it was started: {}\n{}", done.stdout, machine.logs());
        let asleep = dormouse.wait_for_state("valhalla", "asleep", SOON)?;
        let outcome = asleep["last"]["outcome"].as_str().context("no outcome")?;
        ensure!(outcome.contains("give it CAP_KILL"), "it said: {outcome}\n{}", machine.logs());
        let all = machine.containers()?;
        ensure!(all.iter().all(|one| one.state == "exited"), "it goes on: {all:?}");
        ensure!(!all.iter().any(|one| one.image.contains("luanti")), "a game was started: {all:?}");
    }
    Ok(())
}

/// Starts a control plane on the machine and a world `valhalla`; whether it wakes is to be seen.
fn created<'a>(machine: &'a Machine, last_left_s: u32) -> Result<Dormouse<'a>> {
    let dormouse = machine.dormouse_up()?;
    dormouse.create("valhalla", "luanti", [600, last_left_s, 10, 3600])?;
    Ok(dormouse)
}

/// The watchdog and the game, which it starts, in one container of the game's image with no capability but those that are named.
struct One<'a> {
    machine: &'a Machine,
    control: Control,
    scratch: TempDir,
    id: String,
}

impl<'a> One<'a> {
    fn start(machine: &'a Machine, capabilities: &[&str]) -> Result<Self> {
        let control = Control::start(machine.lab.server(), Launch::Play)?;
        let scratch = tempfile::tempdir()?;
        for directory in ["worlds/w1", "task"] {
            fs::create_dir_all(scratch.path().join(directory))?;
        }
        fs::copy(entry("luanti"), scratch.path().join("luanti.toml"))?;
        let mut words: Vec<String> = ["run", "--detach", "--cap-drop", "ALL"].map(Into::into).into();
        words.extend(["--security-opt", "no-new-privileges", "--user", "0:0"].map(Into::into));
        words.extend(capabilities.iter().map(|word| (*word).to_owned()));
        words.extend(["--network".into(), format!("ns:{}", machine.lab.server().path().display())]);
        let here = scratch.path().display();
        for (from, to) in [
            (watchdog_program().display().to_string(), "/watchdog:ro"),
            (format!("{here}/luanti.toml"), "/luanti.toml:ro"),
            (format!("{here}/worlds"), "/worlds"),
            (format!("{here}/task"), "/task"),
        ] {
            words.extend(["--volume".into(), format!("{from}:{to}")]);
        }
        let mut vars = control.launch_vars();
        vars.extend([
            ("DORMOUSE_TASK", "w1.1".into()),
            ("DORMOUSE_GAME_FILE", "/luanti.toml".into()),
            ("DORMOUSE_PORT", PORT.to_string()),
            ("DORMOUSE_WORLD_DIR", "/worlds/w1".into()),
            ("DORMOUSE_TASK_DIR", "/task".into()),
        ]);
        words.extend(vars.into_iter().flat_map(|(name, value)| ["--env".into(), format!("{name}={value}")]));
        words.extend(["--entrypoint", "/watchdog", &kept("luanti"), "run"].map(Into::into));
        let id = machine.engine.ok(&words)?.trim().to_owned();
        let mut one = Self { machine, control, scratch, id };
        one.until("awake", |last| last["ready"] == true)?;
        Ok(one)
    }

    fn join(&self, i: usize, name: &str) -> Result<LuantiClient> {
        let address = IpAddr::from(self.machine.lab.server().address);
        let has_joined = || Ok(LuantiClient::joined(name, &self.game_log()));
        surely(|| LuantiClient::join(Some(self.machine.lab.client(i)), address, PORT, name), has_joined)
            .with_context(|| self.logs())
    }

    fn seen(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        self.until(what, |last| is_so(&last["seen"]["players"]))
    }

    fn stops_and_is_saved(&mut self) -> Result<()> {
        self.control.stop();
        let code = self.machine.engine.ok(&["wait", &self.id])?;
        let last = self.control.last();
        ensure!(code.trim() == "0", "it ended with {code}: {last:#}\n{}", self.logs());
        ensure!(text(&last, "saved.is")? == "fresh", "{last:#}\n{}", self.logs());
        let archive = self.control.archives().pop().context("no archive")?;
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive))?;
        archive.by_name("world/players.sqlite").context("the archive has no players").map(drop)
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        let begun = Instant::now();
        while !is_so(&self.control.last()) {
            let last = self.control.last();
            ensure!(begun.elapsed() < SOON, "not {what}: {last:#}\n{}", self.logs());
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Returns what the watchdog has printed.
    fn log(&self) -> Result<String> {
        self.machine.printed(&self.id)
    }

    fn game_log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("task/game.log")).unwrap_or_default()
    }

    fn logs(&self) -> String {
        format!("{}\n--- game\n{}", self.log().unwrap_or_else(|error| error.to_string()), self.game_log())
    }
}
