//! A game in a container of its own: real watchdogs and real servers, each in its container, sharing a network and the numbers
//! of processes as in a task on Fargate, with the rights that they have there.

use std::{fs, io::Cursor, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::{
    control::{Control, Launch, text},
    image::{Image, KEPT_OUT, SPY, spied},
    netns::Lab,
    pod::{First, GAME_USER, Plan, Pod, WATCH_NEEDS},
};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Longer than anything takes, however busy the machine is.
const SOON: Duration = s(90);

#[test]
fn a_game_starts_when_the_watchdog_is_healthy_and_is_saved_and_archived() -> Result<()> {
    let lab = Lab::new("podplay", 0)?;
    let control = Control::start(lab.server(), Launch::Play)?;
    // A shell that stays the server's parent, and would end at once if it were told to stop.
    let game = Image::of("luanti")?;
    let mut pod = Pod::start(lab.server(), &control, &Plan::new(&game.entry, &game.beside_a_shell()))?;
    awake(&mut pod, &control)?;
    ensure!(pod.processes_of(GAME_USER)?.len() >= 2, "there is no shell");
    ensure!(mode(&pod.path("worlds/w1"))? == 0o755, "the door is shut");
    control.stop();
    ends_well(&mut pod, &control, "fresh")?;
    ensure!(text(&control.last(), "stopping.is")? == "told", "{:#}", control.last());
    let said = pod.read("watchdog.log");
    ensure!(said.contains("SIGINT to `minetestserver`"), "another was told to stop: {said}");
    ensure!(archive(&control)?.by_name("world/world.mt").is_ok(), "the archive holds no world");
    ensure!(!pod.is_healthy()?, "it is still healthy");
    ensure!(mode(&pod.path("worlds/w1"))? == 0o700, "the door is open");
    Ok(())
}

#[test]
fn where_the_watchdog_is_the_first_process_it_is_all_the_same() -> Result<()> {
    let lab = Lab::new("podfirst", 0)?;
    let control = Control::start(lab.server(), Launch::Play)?;
    let game = Image::of("luanti")?;
    // A process that loses its parent becomes the watchdog's child.
    let entrypoint = format!("(sleep 1 &)\n{}", game.entrypoint);
    let plan = Plan { first: First::Watchdog, ..Plan::new(&game.entry, &entrypoint) };
    let mut pod = Pod::start(lab.server(), &control, &plan)?;
    awake(&mut pod, &control)?;
    control.stop();
    ends_well(&mut pod, &control, "fresh")
}

#[test]
fn the_games_console_is_opened_by_a_password_that_it_alone_can_read() -> Result<()> {
    let lab = Lab::new("podconsole", 0)?;
    let control = Control::start(lab.server(), Launch::Play)?;
    let game = Image::of("openttd")?;
    let plan = Plan { ports: [3979, 13_979], ..Plan::new(&game.entry, &game.entrypoint) };
    let mut pod = Pod::start(lab.server(), &control, &plan)?;
    awake(&mut pod, &control)?;
    let password = pod.path("worlds/w1/.dormouse/console");
    ensure!(mode(&password)? == 0o400, "others can read the password");
    control.stop();
    ends_well(&mut pod, &control, "fresh")?;
    let said = pod.read("watchdog.log");
    ensure!(said.contains("the game's console: `save dormouse`"), "it was not saved there: {said}");
    ensure!(!password.exists(), "the password is still there");
    Ok(())
}

#[test]
fn what_was_chosen_is_in_a_file_that_the_game_alone_can_read_until_it_has_ended() -> Result<()> {
    let lab = Lab::new("podchosen", 0)?;
    let control = Control::start(lab.server(), Launch::Play)?;
    control.choose(serde_json::json!({ "name": "Ann's Rails & 'more' *", "password": "it's !~secret" }));
    let game = Image::of("openttd")?;
    let plan = Plan { ports: [3979, 13_979], ..Plan::new(&game.entry, &game.entrypoint) };
    let mut pod = Pod::start(lab.server(), &control, &plan)?;
    awake(&mut pod, &control)?;
    let chosen = pod.path("worlds/w1/.dormouse/settings");
    ensure!(mode(&chosen)? == 0o400, "others can read what was chosen");
    let server = pod.read("worlds/w1/files/private.cfg");
    ensure!(server.contains("server_name = Ann's Rails & 'more' *\n"), "it is called otherwise: {server}");
    let secrets = pod.read("worlds/w1/files/secrets.cfg");
    ensure!(secrets.contains("server_password = it's !~secret\n"), "it has no password: {secrets}");
    ensure!(!pod.logs().contains("!~secret"), "the password is told: {}", pod.logs());
    control.stop();
    ends_well(&mut pod, &control, "fresh")?;
    ensure!(!chosen.exists(), "it is still there");
    Ok(())
}

#[test]
fn an_awake_world_is_archived_while_its_game_stands_still() -> Result<()> {
    let lab = Lab::new("podcopy", 0)?;
    let control = Control::start(lab.server(), Launch::Play)?;
    let game = Image::of("luanti")?;
    let mut pod = Pod::start(lab.server(), &control, &Plan::new(&game.entry, &game.entrypoint))?;
    awake(&mut pod, &control)?;
    control.wish_backup(1);
    pod.until("archived", SOON, |_| Ok(!control.last()["backup"].is_null()))?;
    ensure!(text(&control.last(), "backup.came_to.is")? == "uploaded", "{:#}", control.last());
    ensure!(pod.read("watchdog.log").contains("the game stood still for"), "it did not stand still");
    control.stop();
    ends_well(&mut pod, &control, "fresh")
}

#[test]
fn a_game_that_ends_by_itself_is_noticed_and_archived() -> Result<()> {
    let lab = Lab::new("podcrash", 0)?;
    let control = Control::start(lab.server(), Launch::Play)?;
    let game = Image::of("luanti")?;
    let mut pod = Pod::start(lab.server(), &control, &Plan::new(&game.entry, &game.entrypoint))?;
    awake(&mut pod, &control)?;
    for process in pod.processes_of(GAME_USER)? {
        kill(process, Signal::SIGKILL)?;
    }
    let missing = ends(&mut pod, &control, "missing")?;
    ensure!(text(&missing, "stopping.is")? == "game_ended", "{missing:#}");
    let why = text(&missing, "saved.why")?;
    ensure!(why == "the game ended by itself (exit code unknown)", "it said: {why}");
    archive(&control).map(drop)
}

#[test]
fn a_game_that_does_not_heed_its_signal_is_killed_when_its_grace_is_over() -> Result<()> {
    let lab = Lab::new("podstubborn", 0)?;
    let control = Control::start(lab.server(), Launch::Play)?;
    let game = Image::of("luanti")?;
    let entry = game.entry.replace("grace = \"60s\"", "grace = \"3s\"");
    let mut pod = Pod::start(lab.server(), &control, &Plan::new(&entry, STUBBORN))?;
    awake(&mut pod, &control)?;
    control.stop();
    let missing = ends(&mut pod, &control, "missing")?;
    let why = text(&missing, "saved.why")?;
    ensure!(why == "the game did not end in time and had to be killed", "it said: {why}");
    ensure!(pod.read("game.log").contains("SIGINT"), "it was not told: {}", pod.logs());
    ensure!(pod.processes_of(GAME_USER)?.is_empty(), "it still runs");
    Ok(())
}

#[test]
fn a_launch_that_nobody_plays_never_becomes_healthy() -> Result<()> {
    let entry = Image::of("luanti")?.entry;
    for (name, launch, archives) in [("podbackup", Launch::Backup, 1), ("podstale", Launch::Stale, 0)] {
        let lab = Lab::new(name, 0)?;
        let control = Control::start(lab.server(), launch)?;
        let plan = Plan { files: &[("map", "of the world")], ..Plan::new(&entry, STUBBORN) };
        let mut pod = Pod::start(lab.server(), &control, &plan)?;
        let code = pod.until_watchdog_ends(SOON)?;
        ensure!(code == 0, "it ended with {code}: {}", pod.logs());
        ensure!(!pod.has_started(), "the game was started: {}", pod.logs());
        ensure!(control.archives().len() == archives, "{} archives", control.archives().len());
    }
    Ok(())
}

#[test]
fn told_to_end_the_watchdog_stops_the_game_and_archives() -> Result<()> {
    let lab = Lab::new("podterm", 0)?;
    let control = Control::start(lab.server(), Launch::Play)?;
    let game = Image::of("luanti")?;
    let mut pod = Pod::start(lab.server(), &control, &Plan::new(&game.entry, &game.entrypoint))?;
    awake(&mut pod, &control)?;
    pod.signal_watchdog(Signal::SIGTERM)?;
    ends_well(&mut pod, &control, "fresh")?;
    ensure!(text(&control.last(), "stopping.is")? == "reclaimed", "{:#}", control.last());
    Ok(())
}

#[test]
fn a_host_that_stops_the_games_container_first_has_not_crashed_it() -> Result<()> {
    let lab = Lab::new("podhost", 0)?;
    let control = Control::start(lab.server(), Launch::Play)?;
    let game = Image::of("luanti")?;
    let mut pod = Pod::start(lab.server(), &control, &Plan::new(&game.entry, &game.entrypoint))?;
    awake(&mut pod, &control)?;
    // ECS sends the image's own stop signal, and tells the watchdog only when the game is gone.
    control.host_stops();
    pod.signal_game(Signal::SIGINT)?;
    let fresh = ends(&mut pod, &control, "fresh")?;
    ensure!(text(&fresh, "stopping.is")? == "reclaimed", "{fresh:#}");
    let said = pod.read("watchdog.log");
    ensure!(!said.contains("SIGINT to"), "the game was told twice: {said}");
    archive(&control).map(drop)
}

#[test]
fn a_game_can_neither_signal_the_watchdog_nor_read_its_secrets_nor_write_beside_its_files() -> Result<()> {
    let lab = Lab::new("podspy", 0)?;
    let control = Control::start(lab.server(), Launch::Play)?;
    let game = Image::of("luanti")?;
    let entrypoint = format!("{SPY}\n{}", game.entrypoint);
    let mut pod = Pod::start(lab.server(), &control, &Plan::new(&game.entry, &entrypoint))?;
    awake(&mut pod, &control)?;
    let said = pod.read("game.log");
    let tried = spied(&said);
    ensure!(tried == KEPT_OUT, "it got through: {tried:?}\n{}", pod.logs());
    ensure!(!said.contains("the-token-of-the-launch"), "it read the token");
    control.stop();
    ends_well(&mut pod, &control, "fresh")
}

#[test]
fn who_comes_too_early_is_no_game_and_who_comes_too_late_finds_the_door_shut() -> Result<()> {
    let lab = Lab::new("poddoor", 0)?;
    let game = Image::of("luanti")?;
    let early = "sleep 600";
    let control = Control::start(lab.server(), Launch::Play)?;
    control.silence(true);
    let mut pod = Pod::start(lab.server(), &control, &Plan::new(&game.entry, early))?;
    pod.start_game()?;
    pod.until("there", SOON, |pod| Ok(!pod.processes_of(GAME_USER)?.is_empty()))?;
    ensure!(!pod.has_started(), "it was let in before its world was known to be owned");
    control.silence(false);
    ensure!(pod.until_watchdog_ends(SOON)? == 1, "it was let in: {}", pod.logs());
    let why = text(&control.last(), "start_failed")?;
    ensure!(why.contains("runs as the game's user 10001 before the game may start"), "it said: {why}");
    drop(pod);

    let control = Control::start(lab.server(), Launch::Play)?;
    let mut pod = Pod::start(lab.server(), &control, &Plan::new(&game.entry, &game.entrypoint))?;
    awake(&mut pod, &control)?;
    control.stop();
    ends_well(&mut pod, &control, "fresh")?;
    let before = fs::read(pod.path("worlds/w1/files/world/env_meta.txt"))?;
    pod.start_game()?;
    pod.until("turned away", SOON, |pod| Ok(pod.read("game.log").contains("can't cd to")))?;
    ensure!(fs::read(pod.path("worlds/w1/files/world/env_meta.txt"))? == before, "it got in");
    Ok(())
}

#[test]
fn what_could_not_be_stopped_is_not_started() -> Result<()> {
    let entry = Image::of("luanti")?.entry;
    let without_kill = WATCH_NEEDS.replace(",+kill", "");
    for (name, needs, game_user, says) in [
        ("podroot", WATCH_NEEDS, "0:0", "the game may not run as user 0"),
        ("podnokill", &without_kill, "10001:10001", "give it CAP_KILL"),
    ] {
        let lab = Lab::new(name, 0)?;
        let control = Control::start(lab.server(), Launch::Play)?;
        let plan = Plan { needs, game_user, ..Plan::new(&entry, STUBBORN) };
        let mut pod = Pod::start(lab.server(), &control, &plan)?;
        ensure!(pod.until_watchdog_ends(SOON)? == 1, "it was let in: {}", pod.logs());
        ensure!(!pod.has_started(), "the game was started");
        let why = text(&control.last(), "start_failed")?;
        ensure!(why.contains(says), "it said: {why}");
    }
    Ok(())
}

/// A server that says which signals it is sent, and stays.
const STUBBORN: &str = r#"
exec python3 -uc '
import signal, socket, time
def stay(number, frame): print(signal.Signals(number).name)
for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, stay)
game = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
game.bind(("0.0.0.0", 30000))
while True: time.sleep(1)
'
"#;

/// Goes on until players could join.
fn awake(pod: &mut Pod<'_>, control: &Control) -> Result<()> {
    pod.until("awake", SOON, |pod| {
        let last = control.last();
        ensure!(last["start_failed"].is_null(), "{last:#}\n{}", pod.logs());
        Ok(last["ready"] == true)
    })
}

/// Goes on until the watchdog has ended, and returns its last report, which says this of the save.
fn ends(pod: &mut Pod<'_>, control: &Control, proof: &str) -> Result<Value> {
    let code = pod.until_watchdog_ends(SOON)?;
    let last = control.last();
    ensure!(code == 0 && text(&last, "saved.is")? == proof, "{code}: {last:#}\n{}", pod.logs());
    Ok(last)
}

fn ends_well(pod: &mut Pod<'_>, control: &Control, proof: &str) -> Result<()> {
    ends(pod, control, proof)?;
    ensure!(pod.processes_of(GAME_USER)?.is_empty(), "something of the game still runs");
    archive(control).map(drop)
}

/// Returns the last archive.
fn archive(control: &Control) -> Result<zip::ZipArchive<Cursor<Vec<u8>>>> {
    Ok(zip::ZipArchive::new(Cursor::new(control.archives().pop().context("no archive")?))?)
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}
