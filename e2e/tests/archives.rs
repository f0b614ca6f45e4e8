//! A world is never lost: archives of real worlds are made while they are played and when they sleep, put back, taken
//! elsewhere, and brought in again. One machine, real servers, real clients.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    clients::{LuantiClient, surely},
    dormouse::{Dormouse, players, program},
    netns::Lab,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_archive_comes_back_as_it_was() -> Result<()> {
    for (game, own) in [("luanti", "world/notes"), ("openttd", "save/notes")] {
        let lab = Lab::new("back", 0)?;
        let dormouse = Dormouse::up(lab.server())?;
        dormouse.create("valhalla", game, [600, 600, 5, 3600])?;
        evening(&dormouse, "valhalla")?;
        let files = dormouse.files("valhalla")?;
        let first = (newest(&dormouse, "valhalla")?, listing(&files)?);
        fs::write(files.join(own), "what ann built")?;
        evening(&dormouse, "valhalla")?;
        let second = (newest(&dormouse, "valhalla")?, listing(&files)?);
        ensure!(first.0 != second.0, "the second evening made no archive of its own");

        let said = dormouse.ok(&["world", "restore", "valhalla", &first.0, "--wait"])?;
        ensure!(said.contains(&format!("restored from archive {}", first.0)), "it said: {said}");
        ensure!(
            listing(&files)? == first.1,
            "{game}: another tree came back:\n{}",
            differ(&first.1, &listing(&files)?)
        );
        dormouse.ok(&["world", "restore", "valhalla", &second.0, "--wait"])?;
        ensure!(
            listing(&files)? == second.1,
            "{game}: another tree:\n{}",
            differ(&second.1, &listing(&files)?)
        );
        ensure!(fs::read_to_string(files.join(own))? == "what ann built");
        // What a restore replaced was an archive already, so there is none more than the two.
        ensure!(backups(&dormouse, "valhalla")?.len() == 2, "{:#?}", backups(&dormouse, "valhalla")?);
        evening(&dormouse, "valhalla")?;
    }
    Ok(())
}

#[test]
fn what_is_replaced_is_archived_first() -> Result<()> {
    let lab = Lab::new("replaced", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("valhalla", "luanti", [600, 600, 5, 3600])?;
    evening(&dormouse, "valhalla")?;
    let (files, first) = (dormouse.files("valhalla")?, newest(&dormouse, "valhalla")?);
    fs::write(files.join("world/by-hand"), "changed while it slept")?;
    dormouse.ok(&["world", "restore", "valhalla", &first, "--wait"])?;
    ensure!(!files.join("world/by-hand").exists(), "the restore left it there");
    let replaced = backups(&dormouse, "valhalla")?.remove(0);
    ensure!(replaced["why"] == "before ann replaced it", "{replaced:#}");
    dormouse.ok(&["world", "restore", "valhalla", replaced["id"].as_str().unwrap_or_default(), "--wait"])?;
    ensure!(fs::read_to_string(files.join("world/by-hand"))? == "changed while it slept");
    let done = dormouse.cli(&["world", "restore", "valhalla", "20000101-000000-000-g1"])?;
    ensure!(done.code == 1 && done.stderr.contains("has no archive 20000101"), "{done:?}");
    Ok(())
}

#[test]
fn a_world_is_archived_and_exported_while_somebody_plays() -> Result<()> {
    let lab = Lab::new("live", 1)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("valhalla", "luanti", [600, 600, 5, 3600])?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    let (address, port) = dormouse.address("valhalla")?;
    let joined = || Ok(LuantiClient::joined("ann", &dormouse.game_log("valhalla")?));
    let join = || LuantiClient::join(Some(lab.client(0)), address, port, "ann");
    let mut ann = surely(join, joined)?;
    dormouse.wait_for_players("valhalla", 1, s(60))?;
    ann.act(s(3))?;

    let said = dormouse.ok(&["world", "backup", "valhalla", "--wait"])?;
    ensure!(said.contains("asked for by ann"), "it said: {said}");
    let scratch = tempfile::tempdir()?;
    let zip = scratch.path().join("valhalla.zip");
    let to = zip.to_str().context("a path")?;
    dormouse.ok(&["world", "export", "valhalla", "--to", to])?;
    is_a_world_of_luanti(&zip, "ann")?;
    ensure!(backups(&dormouse, "valhalla")?.len() == 2, "{:#?}", backups(&dormouse, "valhalla")?);
    dormouse.stays("valhalla", "awake with its player", s(5), |world| {
        world["state"] == "awake" && players(world) == Some(1)
    })?;
    let watchdog = fs::read_to_string(dormouse.task_dir("valhalla")?.join("watchdog.log"))?;
    watchdog.lines().filter(|line| line.contains("stood still")).for_each(|line| println!("{line}"));

    // A link says how often it was followed, and works no more when it is withdrawn.
    let links = dormouse.json(&["world", "links", "valhalla"])?;
    let url = links[0]["url"].as_str().context("no link")?.to_owned();
    ensure!(links[0]["downloads"] == 1, "{links:#}");
    ensure!(follow(&lab, &url)? == "302", "the link does not lead on");
    ensure!(dormouse.json(&["world", "links", "valhalla"])?[0]["downloads"] == 2);
    dormouse.ok(&["world", "withdraw", "valhalla"])?;
    ensure!(follow(&lab, &url)? == "410", "the withdrawn link still leads on");
    let forged = url.replace("signature=", "signature=0");
    ensure!(follow(&lab, &forged)? == "403", "a forged link leads on");
    ann.kill()?;
    dormouse.ok(&["world", "stop", "valhalla", "--wait"]).map(drop)
}

#[test]
fn a_world_from_elsewhere_is_brought_in_and_what_is_none_is_refused() -> Result<()> {
    let lab = Lab::new("import", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("valhalla", "luanti", [600, 600, 5, 3600])?;
    evening(&dormouse, "valhalla")?;
    let (scratch, files) = (tempfile::tempdir()?, dormouse.files("valhalla")?);
    let path = |name: &str| scratch.path().join(name).to_string_lossy().into_owned();

    // As people have it: the folder of the world, in another one, in a .tar.gz.
    fs::create_dir(scratch.path().join("my worlds"))?;
    ensure!(
        Command::new("cp").arg("-a").arg(files.join("world")).arg(path("my worlds/old")).status()?.success()
    );
    fs::write(scratch.path().join("my worlds/old/notes"), "from elsewhere")?;
    let tar = |file: &str, dir: &str| -> Result<()> {
        let packed = Command::new("tar").args(["-C", &path(""), "-czf", &path(file), dir]).status()?;
        ensure!(packed.success(), "tar: {packed}");
        Ok(())
    };
    tar("old.tar.gz", "my worlds")?;
    dormouse.create("midgard", "luanti", [600, 600, 5, 3600])?;
    let said = dormouse.ok(&["world", "import", "midgard", &path("old.tar.gz"), "--wait"])?;
    ensure!(said.contains("`my worlds/old`") && said.contains("world.mt"), "it said: {said}");
    let brought = dormouse.files("midgard")?;
    ensure!(fs::read_to_string(brought.join("world/notes"))? == "from elsewhere");
    evening(&dormouse, "midgard")?;

    // What is no world of the game, leads out of it, or is broken changes nothing.
    let before = listing(&brought)?;
    fs::create_dir(scratch.path().join("photos"))?;
    fs::write(scratch.path().join("photos/cat.jpg"), "a cat")?;
    tar("photos.tar.gz", "photos")?;
    fs::write(scratch.path().join("broken.zip"), &fs::read(path("old.tar.gz"))?[..1000])?;
    let mut hostile = zip::ZipWriter::new(File::create(path("hostile.zip"))?);
    for name in ["world.mt", "../../../../../etc/dormouse-was-here"] {
        hostile.start_file(name, zip::write::SimpleFileOptions::default())?;
        hostile.write_all(b"gameid = minetest_game")?;
    }
    hostile.finish()?;
    for (file, why) in [("photos.tar.gz", "world.mt"), ("broken.zip", ""), ("hostile.zip", "..")] {
        let done = dormouse.cli(&["world", "import", "midgard", &path(file), "--wait"])?;
        println!("{file}: {}", done.stderr.trim());
        ensure!(done.code == 1 && done.stderr.contains(why), "{file}: {done:?}");
        ensure!(done.stderr.contains("it is as it was"), "{file}: {done:?}");
        ensure!(listing(&brought)? == before, "{file} changed the world");
    }
    ensure!(!Path::new("/etc/dormouse-was-here").exists());
    evening(&dormouse, "midgard")
}

#[test]
fn a_world_that_lives_in_its_archive_leaves_nothing_on_the_disk() -> Result<()> {
    let lab = Lab::new("archived", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("valhalla", "luanti", [600, 600, 5, 3600])?;
    evening(&dormouse, "valhalla")?;
    let files = dormouse.files("valhalla")?;
    dormouse.ok(&["world", "settings", "valhalla", "--storage", "archive"])?;
    fs::write(files.join("world/notes"), "kept")?;
    // What is on the disk counts, until an archive holds it.
    dormouse.ok(&["world", "restore", "valhalla", &newest(&dormouse, "valhalla")?, "--wait"])?;
    ensure!(listing(&files)?.is_empty(), "its directory holds {:#?}", listing(&files)?);
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    ensure!(files.join("world/world.mt").exists(), "its directory was not filled");
    fs::write(files.join("world/notes"), "kept")?;
    dormouse.ok(&["world", "stop", "valhalla", "--wait"])?;
    ensure!(listing(&files)?.is_empty(), "its directory holds {:#?}", listing(&files)?);
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    ensure!(fs::read_to_string(files.join("world/notes"))? == "kept");
    dormouse.ok(&["world", "stop", "valhalla", "--wait"]).map(drop)
}

#[test]
fn few_archives_are_kept_and_the_last_of_a_deleted_world_can_be_had() -> Result<()> {
    let lab = Lab::new("kept", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("valhalla", "luanti", [600, 600, 5, 3600])?;
    dormouse.ok(&[
        "world",
        "settings",
        "valhalla",
        "--keep-newest",
        "2",
        "--keep-daily",
        "0",
        "--keep-weekly",
        "0",
    ])?;
    let mut made = Vec::new();
    for n in 0..4 {
        evening(&dormouse, "valhalla")?;
        made.push(newest(&dormouse, "valhalla")?);
        fs::write(dormouse.files("valhalla")?.join("world/notes"), format!("evening {n}"))?;
    }
    let kept: Vec<_> = backups(&dormouse, "valhalla")?.iter().map(|b| b["id"].clone()).collect();
    ensure!(kept == [made[3].clone(), made[2].clone()], "{kept:?} of {made:?} are kept");
    let world = dormouse.world("valhalla")?;
    let archives = dormouse.data.join("archives").join(world["id"].as_str().context("no id")?);
    let zips = || -> Result<usize> {
        let names = fs::read_dir(&archives)?.flatten().map(|entry| entry.file_name());
        Ok(names.filter(|name| name.to_string_lossy().ends_with(".zip")).count())
    };
    until("the superfluous archives are gone", s(30), || Ok(zips()? == 2))?;

    let done = dormouse.json(&["world", "delete", "valhalla", "--confirm", "valhalla"])?;
    let url = done["link"]["url"].as_str().context("no link")?.to_owned();
    until("the other archive is gone too", s(30), || Ok(zips()? == 1))?;
    ensure!(follow(&lab, &url)? == "302", "the last archive of a deleted world cannot be had");
    Ok(())
}

#[test]
fn of_two_watchdogs_on_two_machines_one_plays_and_the_lock_goes_with_its_holder() -> Result<()> {
    let lab = Lab::new("lock", 1)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("valhalla", "luanti", [600, 600, 5, 3600])?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    let first = dormouse.watchdog("valhalla")?.context("no watchdog")?;
    let scratch = tempfile::tempdir()?;
    let mut second = second_watchdog(&lab, first, scratch.path())?;
    let owns = || scratch.path().join("healthy").exists();
    dormouse.stays("valhalla", "awake and alone", s(8), |world| world["state"] == "awake" && !owns())?;
    let said = || fs::read_to_string(scratch.path().join("said")).unwrap_or_default();
    ensure!(second.try_wait()?.is_none(), "it did not wait: {}", said());
    ensure!(!scratch.path().join("game.log").exists(), "its game began");

    // Of a watchdog that is killed the game may write on for a moment.
    let game = dormouse.game("valhalla")?.context("no game")?;
    kill(first, Signal::SIGKILL)?;
    until("the lock goes to who waits for it", s(60), || Ok(owns()))?;
    let stat = fs::read_to_string(format!("/proc/{game}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    ensure!(matches!(state, None | Some('Z')), "the world was taken while its game ran: {stat}");
    second.kill()?;
    second.wait()?;
    Ok(())
}

#[test]
fn a_restore_that_is_killed_anywhere_leaves_the_one_world_or_the_other() -> Result<()> {
    let rounds = std::env::var("DORMOUSE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    let lab = Lab::new("mid", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    dormouse.create("valhalla", "luanti", [600, 600, 5, 3600])?;
    evening(&dormouse, "valhalla")?;
    let files = dormouse.files("valhalla")?;
    let mut states = vec![(newest(&dormouse, "valhalla")?, listing(&files)?)];
    fs::create_dir(files.join("world/many"))?;
    for n in 0..200 {
        fs::write(files.join(format!("world/many/{n}")), vec![n; 20_000])?;
    }
    evening(&dormouse, "valhalla")?;
    states.push((newest(&dormouse, "valhalla")?, listing(&files)?));

    let mut counts = [0, 0];
    for round in 0..rounds {
        let (wanted, _) = &states[round % 2];
        dormouse.ok(&["world", "restore", "valhalla", wanted])?;
        // Somewhere between the first look at the archive and the end: that takes some 300 ms from the claim on.
        let begun = Instant::now();
        let watchdog = loop {
            if let Some(pid) = dormouse.watchdog("valhalla")? {
                break Some(pid);
            }
            if begun.elapsed() > s(20) {
                break None;
            }
            thread::sleep(Duration::from_millis(5));
        };
        thread::sleep(Duration::from_millis((round as u64 * 37) % 700));
        if let Some(pid) = watchdog {
            // It may be done already.
            let _ = kill(Pid::from_raw(-pid.as_raw()), Signal::SIGKILL);
        }
        let asleep = dormouse.wait_for_state("valhalla", "asleep", s(60))?;
        let is_well = asleep["last"]["is_well"] == true;
        counts[usize::from(is_well)] += 1;
        if is_well {
            let now = listing(&files)?;
            ensure!(now == states[round % 2].1, "round {round}:\n{}", differ(&states[round % 2].1, &now));
        }
        // The next run mends what was left: the world is the one or the other, whole.
        let newest = newest(&dormouse, "valhalla")?;
        dormouse.ok(&["world", "restore", "valhalla", &newest, "--wait"])?;
        let now = listing(&files)?;
        ensure!(
            states.iter().any(|(_, state)| *state == now),
            "round {round}: neither the one nor the other:\n{}",
            differ(&states[0].1, &now)
        );
    }
    println!("{} restores were killed, {} had been done", counts[0], counts[1]);
    evening(&dormouse, "valhalla")
}

/// Lets the world wake and sleep again.
fn evening(dormouse: &Dormouse<'_>, world: &str) -> Result<()> {
    dormouse.ok(&["world", "start", world, "--wait"])?;
    dormouse.ok(&["world", "stop", world, "--wait"]).map(drop)
}

fn backups(dormouse: &Dormouse<'_>, world: &str) -> Result<Vec<Value>> {
    Ok(dormouse.json(&["world", "backups", world])?.as_array().cloned().unwrap_or_default())
}

fn newest(dormouse: &Dormouse<'_>, world: &str) -> Result<String> {
    let backups = backups(dormouse, world)?;
    backups.first().and_then(|b| b["id"].as_str()).map(str::to_owned).context("there is no archive")
}

/// Returns a line for everything below `files`: name, kind, permissions, time to the nanosecond, size, digest.
fn listing(files: &Path) -> Result<Vec<String>> {
    let script = r#"cd "$1" && find . -mindepth 1 \( -path ./.minetest -o -path ./screenshot \) -prune -o -printf '%P %y %m %T@ %l ' \( -type f -exec sha256sum {} \; -o -printf '\n' \) | sort"#;
    let listed = Command::new("sh").args(["-c", script, "sh"]).arg(files).output()?;
    ensure!(listed.status.success(), "find: {}", String::from_utf8_lossy(&listed.stderr));
    Ok(String::from_utf8(listed.stdout)?.lines().map(str::to_owned).collect())
}

fn differ(wanted: &[String], found: &[String]) -> String {
    let only = |a: &[String], b: &[String], sign: char| {
        a.iter().filter(|line| !b.contains(line)).map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    only(wanted, found, '-') + &only(found, wanted, '+')
}

/// Checks that the archive holds a world that Luanti would go on with, in which the player has been.
fn is_a_world_of_luanti(zip: &Path, player: &str) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    zip::ZipArchive::new(File::open(zip)?)?.extract(scratch.path())?;
    for database in ["map", "players", "auth"] {
        let path = scratch.path().join(format!("world/{database}.sqlite"));
        let checked = Command::new("sqlite3").arg(&path).arg("PRAGMA integrity_check").output()?;
        let said = String::from_utf8_lossy(&checked.stdout).trim().to_owned();
        ensure!(said == "ok", "{database}.sqlite: {said}{}", String::from_utf8_lossy(&checked.stderr));
    }
    let asked = format!("SELECT count(*) FROM auth WHERE name = '{player}'");
    let known = Command::new("sqlite3").arg(scratch.path().join("world/auth.sqlite")).arg(asked).output()?;
    ensure!(String::from_utf8_lossy(&known.stdout).trim() == "1", "{player} is not in it");
    Ok(())
}

/// Returns the status that following the link gives.
fn follow(lab: &Lab, url: &str) -> Result<String> {
    let got =
        lab.server().command("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}", url]).output()?;
    Ok(String::from_utf8(got.stdout)?)
}

fn until(what: &str, limit: Duration, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !is_so()? {
        ensure!(begun.elapsed() < limit, "not so after {} s: {what}", limit.as_secs());
        thread::sleep(Duration::from_millis(100));
    }
    println!("{what}: after {:.1?}", begun.elapsed());
    Ok(())
}

/// Starts a watchdog for the same launch on another machine, which has the world's directory mounted too.
fn second_watchdog(lab: &Lab, first: Pid, task_dir: &Path) -> Result<Child> {
    let environment = fs::read(format!("/proc/{first}/environ"))?;
    let variables = environment.split(|byte| *byte == 0).filter_map(|variable| {
        let (name, value) = std::str::from_utf8(variable).ok()?.split_once('=')?;
        name.starts_with("DORMOUSE_").then_some((name.to_owned(), value.to_owned()))
    });
    let mut command = lab.client(0).command(program());
    command.args(["watchdog", "run"]).envs(variables).env("DORMOUSE_TASK_DIR", task_dir);
    let said = File::create(task_dir.join("said"))?;
    Ok(command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).spawn()?)
}
