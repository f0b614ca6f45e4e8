//! What people get wrong and what machines do to them, with the real program: each time an exit code, one sentence that
//! says what is wrong and what to do, and nothing lost. The games are tiny and written here; each fails in its own way.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    dormouse::{Done, Dormouse},
    netns::{Lab, Namespace},
};
use expect_test::{Expect, expect};
use tempfile::TempDir;

/// How long anything may take that is a matter of moments.
const SOON: Duration = Duration::from_secs(30);

/// Timers that keep a world awake for the length of a test: for the first player, after the last, to warn, at most.
const AWAKE: [u32; 4] = [600, 600, 5, 3600];

/// A server that listens, and saves when it is told to stop.
const GOOD: &str = r#"
exec perl -MIO::Socket::INET -e '
  my $server = IO::Socket::INET->new(LocalPort => $ENV{PORT}, Listen => 5, ReuseAddr => 1) or die "cannot listen: $!\n";
  $SIG{TERM} = sub {
    open(my $save, ">", "world.new") or die "cannot save: $!\n";
    print $save "played\n" x 1000;
    close($save) or die "cannot save: $!\n";
    rename("world.new", "world") or die "cannot save: $!\n";
    exit 0;
  };
  my @players;
  while (1) { push(@players, $server->accept()); }
'
"#;

// What people type.

#[test]
fn what_is_not_there_or_is_no_name_is_refused_with_a_hint() -> Result<()> {
    let lab = Lab::new("names", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    check(
        &dormouse,
        "world create valhalla --game tetris
         world create val/halla --game luanti
         world create ../valhalla --game luanti
         world create Valhalla --game luanti
         world create valhalla --game ../luanti
         world create valhalla --game luanti --cap 1s
         world create valhalla --game luanti --port 0
         world status valhalla
         world start valhalla
         world start valhalla --wait
         world stop valhalla
         world keep valhalla
         world export valhalla
         world delete valhalla --confirm valhalla
         world status val/halla
         world delete valhalla --confirm ../valhalla",
        expect![[r#"
            $ dormouse world create valhalla --game tetris
            1
            dormouse: there is no game `tetris`
              hint: there are: bedrock, factorio, luanti, minecraft, openttd, palworld, teeworlds, terraria, valheim
            $ dormouse world create val/halla --game luanti
            1
            dormouse: world name `val/halla` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2`
              hint: nothing was changed
            $ dormouse world create ../valhalla --game luanti
            1
            dormouse: world name `../valhalla` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2`
              hint: nothing was changed
            $ dormouse world create Valhalla --game luanti
            1
            dormouse: world name `Valhalla` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2`
              hint: nothing was changed
            $ dormouse world create valhalla --game ../luanti
            1
            dormouse: game `../luanti` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valheim`
              hint: nothing was changed
            $ dormouse world create valhalla --game luanti --cap 1s
            1
            dormouse: `cap` is 1 s: use 30 s to 604800 s
              hint: nothing was made
            $ dormouse world create valhalla --game luanti --port 0
            1
            dormouse: port 0 leaves no room for the ports of Luanti
              hint: choose one from 1024 to 65000
            $ dormouse world status valhalla
            1
            dormouse: there is no world `valhalla`
              hint: `world list` shows those that are there
            $ dormouse world start valhalla
            1
            dormouse: there is no world `valhalla`
              hint: `world list` shows those that are there
            $ dormouse world start valhalla --wait
            1
            dormouse: there is no world `valhalla`
              hint: `world list` shows those that are there
            $ dormouse world stop valhalla
            1
            dormouse: there is no world `valhalla`
              hint: `world list` shows those that are there
            $ dormouse world keep valhalla
            1
            dormouse: there is no world `valhalla`
              hint: `world list` shows those that are there
            $ dormouse world export valhalla
            1
            dormouse: there is no world `valhalla`
              hint: `world list` shows those that are there
            $ dormouse world delete valhalla --confirm valhalla
            1
            dormouse: there is no world `valhalla`
              hint: `world list` shows those that are there
            $ dormouse world status val/halla
            1
            dormouse: world name `val/halla` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2`
            $ dormouse world delete valhalla --confirm ../valhalla
            1
            dormouse: world name `../valhalla` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valhalla-2`
        "#]],
    )?;
    expect![[r#"
        there are no worlds yet; `dormouse world create NAME --game GAME` makes one
    "#]]
    .assert_eq(&dormouse.ok(&["world", "list"])?);
    Ok(())
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_before_anything_is_asked() -> Result<()> {
    let lab = Lab::new("usage", 0)?;
    let dormouse = Dormouse::prepare(lab.server())?;
    check(
        &dormouse,
        "world create valhalla
         world create valhalla --game luanti --port 70000
         world create valhalla --game luanti --cap soon
         world keep valhalla --for later
         world wake valhalla
         up --listen everywhere
         up --runtime vm",
        expect![[r#"
            $ dormouse world create valhalla
            2
            error: the following required arguments were not provided:
              --game <GAME>

            Usage: dormouse world create --game <GAME> <NAME>

            For more information, try '--help'.
            $ dormouse world create valhalla --game luanti --port 70000
            2
            error: invalid value '70000' for '--port <PORT>': 70000 is not in 0..=65535

            For more information, try '--help'.
            $ dormouse world create valhalla --game luanti --cap soon
            2
            error: invalid value 'soon' for '--cap <TIME>': `soon` is no length of time: write 90s, 15m, 2h or 7d

            For more information, try '--help'.
            $ dormouse world keep valhalla --for later
            2
            error: invalid value 'later' for '--for <TIME>': `later` is no length of time: write 90s, 15m, 2h or 7d

            For more information, try '--help'.
            $ dormouse world wake valhalla
            2
            error: unrecognized subcommand 'wake'

            Usage: dormouse world <COMMAND>

            For more information, try '--help'.
            $ dormouse up --listen everywhere
            2
            error: invalid value 'everywhere' for '--listen <ADDR>': invalid socket address syntax

            For more information, try '--help'.
            $ dormouse up --runtime vm
            2
            error: invalid value 'vm' for '--runtime <RUNTIME>'
              [possible values: auto, process, docker]

            For more information, try '--help'.
        "#]],
    )
}

#[test]
fn what_does_not_answer_as_a_control_plane_is_named() -> Result<()> {
    let lab = Lab::new("url", 0)?;
    let dormouse = Dormouse::prepare(lab.server())?;
    let _other =
        listener(lab.server(), "127.0.0.1", 8000, "HTTP/1.0 200 OK\\r\\n\\r\\n<html>It works!</html>")?;
    let _refusing =
        listener(lab.server(), "127.0.0.1", 8001, "HTTP/1.0 404 Not Found\\r\\n\\r\\nno such page")?;
    let _babbling = listener(lab.server(), "127.0.0.1", 8002, "220 mail.example.org ESMTP\\r\\n")?;
    check(
        &dormouse,
        "world list
         world list --url http://127.0.0.1:1
         world list --url 127.0.0.1:7733
         world list --url ftp://127.0.0.1
         world list --url http://
         world list --url http://nowhere.invalid:7733
         world list --url http://127.0.0.1:8000
         world list --url http://127.0.0.1:8001
         world list --url http://127.0.0.1:8002
         world list --token-file /nowhere/token
         games --url http://127.0.0.1:8000",
        expect![[r#"
            $ dormouse world list
            1
            dormouse: no control plane answers at http://127.0.0.1:7733 (io: Connection refused (os error 111)); start one with `dormouse up`, or name it with --url
            $ dormouse world list --url http://127.0.0.1:1
            1
            dormouse: no control plane answers at http://127.0.0.1:1 (io: Connection refused (os error 111)); start one with `dormouse up`, or name it with --url
            $ dormouse world list --url 127.0.0.1:7733
            1
            dormouse: `127.0.0.1:7733` is no control plane: it must begin with http:// or https://
            $ dormouse world list --url ftp://127.0.0.1
            1
            dormouse: `ftp://127.0.0.1` is no control plane: it must begin with http:// or https://
            $ dormouse world list --url http://
            1
            dormouse: no control plane answers at http: (http: invalid format); start one with `dormouse up`, or name it with --url
            $ dormouse world list --url http://nowhere.invalid:7733
            1
            dormouse: no control plane answers at http://nowhere.invalid:7733 (io: failed to lookup address information: Temporary failure in name resolution); start one with `dormouse up`, or name it with --url
            $ dormouse world list --url http://127.0.0.1:8000
            1
            dormouse: http://127.0.0.1:8000 answers, but not as a control plane does; name another one with --url
            $ dormouse world list --url http://127.0.0.1:8001
            1
            dormouse: http://127.0.0.1:8001 answers 404 Not Found, but not as a control plane does; name another one with --url
            $ dormouse world list --url http://127.0.0.1:8002
            1
            dormouse: no control plane answers at http://127.0.0.1:8002 (protocol: http parse fail: invalid HTTP version); start one with `dormouse up`, or name it with --url
            $ dormouse world list --token-file /nowhere/token
            1
            dormouse: cannot read the token in /nowhere/token: name another file with --token-file: No such file or directory (os error 2)
            $ dormouse games --url http://127.0.0.1:8000
            1
            dormouse: http://127.0.0.1:8000 answers, but not as a control plane does; name another one with --url
        "#]],
    )
}

#[test]
fn a_token_that_is_missing_or_wrong_is_said() -> Result<()> {
    let lab = Lab::new("token", 0)?;
    let mut dormouse = Dormouse::prepare(lab.server())?;
    dormouse.arguments = words("--listen 0.0.0.0:7733");
    dormouse.spawn()?;
    let token = dormouse.data.join("api-token");
    until("up", || dormouse.log().contains("dormouse is up"))?;
    let good = dormouse.data.with_file_name("good");
    fs::copy(&token, &good)?;
    fs::write(dormouse.data.with_file_name("wrong"), "0123456789abcdef0123456789abcdef")?;
    check(
        &dormouse,
        "world list
         world list --token-file SCRATCH/wrong
         world list --token-file SCRATCH/good",
        expect![[r#"
            $ dormouse world list
            1
            dormouse: this needs the control plane's token
              hint: give it with --token-file or DORMOUSE_API_TOKEN; `dormouse up` says where it is
            $ dormouse world list --token-file SCRATCH/wrong
            1
            dormouse: this needs the control plane's token
              hint: give it with --token-file or DORMOUSE_API_TOKEN; `dormouse up` says where it is
            $ dormouse world list --token-file SCRATCH/good
            0
        "#]],
    )
}

// What `dormouse up` is given.

#[test]
fn a_control_plane_that_cannot_be_says_why() -> Result<()> {
    let lab = Lab::new("up", 0)?;
    let mut dormouse = Dormouse::prepare(lab.server())?;
    let _taken = listener(lab.server(), "127.0.0.1", 7733, "")?;
    fs::write(dormouse.data.with_file_name("file"), "")?;
    check_up(
        &mut dormouse,
        "
         --listen 192.0.2.1:7733
         --listen 127.0.0.1:0 --runtime docker
         --listen 127.0.0.1:0 --games /nowhere
         --listen 127.0.0.1:0 --game-user nobody-knows
         --listen 127.0.0.1:0 --data /dev/null/dormouse
         --listen 127.0.0.1:0 --data SCRATCH/file",
        expect![[r#"
            $ dormouse up 
            1
            dormouse: cannot listen on 127.0.0.1:7733: choose another address with --listen, or stop what uses it: Address already in use (os error 98)
            $ dormouse up --listen 192.0.2.1:7733
            1
            dormouse: cannot listen on 192.0.2.1:7733: choose another address with --listen, or stop what uses it: Cannot assign requested address (os error 99)
            $ dormouse up --listen 127.0.0.1:0 --runtime docker
            1
            dormouse: no engine answers: none listens at /nowhere/engine.sock
            $ dormouse up --listen 127.0.0.1:0 --games /nowhere
            1
            dormouse: cannot read /nowhere: No such file or directory (os error 2)
            $ dormouse up --listen 127.0.0.1:0 --game-user nobody-knows
            1
            dormouse: there is no user `nobody-knows`: choose another one with --game-user
            $ dormouse up --listen 127.0.0.1:0 --data /dev/null/dormouse
            1
            dormouse: cannot make /dev/null/dormouse: choose another directory with --data: Not a directory (os error 20)
            $ dormouse up --listen 127.0.0.1:0 --data SCRATCH/file
            1
            dormouse: cannot make SCRATCH/file: choose another directory with --data: File exists (os error 17)
        "#]],
    )
}

#[test]
fn a_second_control_plane_over_the_same_data_is_refused() -> Result<()> {
    let lab = Lab::new("second", 0)?;
    let dormouse = Dormouse::up(lab.server())?;
    let data = dormouse.data.to_string_lossy().into_owned();
    check(
        &dormouse,
        &format!("up --listen 127.0.0.1:7734 --data {data}"),
        expect![[r#"
        $ dormouse up --listen 127.0.0.1:7734 --data SCRATCH/data
        1
        dormouse: another `dormouse up` uses SCRATCH/data: stop it first, or choose another --data
    "#]],
    )
}

#[test]
fn a_mistake_in_a_catalogue_entry_is_shown_with_file_line_key_and_what_is_allowed() -> Result<()> {
    let lab = Lab::new("typo", 0)?;
    let mut dormouse = Dormouse::prepare(lab.server())?;
    let games = Games::new()?;
    games.add("good", &entry(4000, "5s", "", GOOD))?;
    let mistakes = [
        ("key", "signal =", "singal ="),
        ("value", "\"SIGTERM\"", "\"SIGKILL\""),
        ("port", "number = 4000", "number = 80"),
        ("syntax", "[stop]", "[stop"),
    ];
    let mut said = String::new();
    for (mistake, right, wrong) in mistakes {
        let dir = Games::new()?;
        dir.add(mistake, &entry(4000, "5s", "", GOOD).replace(right, wrong))?;
        let done = up(&mut dormouse, &format!("--games {}", dir.path()))?;
        said += &format!("{} {}", done.code, done.stderr.replace(&dir.path(), "GAMES"));
    }
    expect![[r#"
        1 dormouse: GAMES/key.toml:15: `stop.signal` is missing: use SIGINT, SIGTERM, SIGHUP or SIGQUIT
        GAMES/key.toml:16: unknown key `stop.singal`: use signal or grace
        1 dormouse: GAMES/value.toml:16: `stop.signal` is "SIGKILL": use SIGINT, SIGTERM, SIGHUP or SIGQUIT
        1 dormouse: GAMES/port.toml:9: `ports.number` is 80: use a number from 1024 to 65535
        1 dormouse: GAMES/syntax.toml:15: not TOML: unclosed table, expected `]`
    "#]]
    .assert_eq(&said);
    games.add("Bad Name", &entry(4000, "5s", "", GOOD))?;
    let done = up(&mut dormouse, &format!("--games {}", games.path()))?;
    expect![[r#"
        dormouse: GAMES/Bad Name.toml:1: the file's name: game `Bad Name` is not valid: use 1 to 32 lower-case letters, digits and inner hyphens, such as `valheim`
    "#]].assert_eq(&done.stderr.replace(&games.path(), "GAMES"));
    Ok(())
}

// Games that do not come up.

#[test]
fn a_game_that_does_not_come_up_says_why_and_leaves_its_world_as_it_was() -> Result<()> {
    let lab = Lab::new("games", 0)?;
    let mut dormouse = Dormouse::prepare(lab.server())?;
    let games = Games::new()?;
    games.add("good", &entry(4000, "20s", "", GOOD))?;
    games.add(
        "missing",
        &entry(4000, "20s", "echo 'there is no blender here; apt-get install blender' >&2; exit 1", GOOD),
    )?;
    games.add("silent", &entry(4000, "20s", "exit 3", GOOD))?;
    games.add("short", &entry(4000, "20s", "", "echo 'the map is from a newer version'; exit 7"))?;
    games.add("mute", &entry(4000, "20s", "", "exec true"))?;
    games.add("deaf", &entry(4000, "5s", "", "exec sleep 1000"))?;
    games.add("boxed", entry(4000, "20s", "", GOOD).split("[process]").next().context("an entry")?)?;
    dormouse.arguments = words(&format!("--games {}", games.path()));
    dormouse.start()?;
    let mut said = String::new();
    for game in ["missing", "silent", "short", "mute", "deaf", "boxed"] {
        dormouse.create(game, game, AWAKE)?;
        let done = dormouse.cli(&["world", "start", game, "--wait"])?;
        said += &format!("{game}: {} {}", done.code, done.stderr);
        ensure!(dormouse.state(game)? == "asleep", "{game}: {}", dormouse.logs(game));
        if game != "boxed" {
            ensure!(dormouse.writers(game)?.is_empty(), "{game}: {:?} are left", dormouse.writers(game)?);
        }
    }
    expect![[r#"
        missing: 1 dormouse: missing: asleep: the last start failed: Fake cannot start here: there is no blender here; apt-get install blender
          hint: `dormouse world status missing` shows how far it came
        silent: 1 dormouse: silent: asleep: the last start failed: Fake cannot start here: its bootstrap script ended with exit code 3
          hint: `dormouse world status silent` shows how far it came
        short: 1 dormouse: short: asleep: the last start failed: Fake ended before it was ready (exit code 7); it said: the map is from a newer version
          hint: `dormouse world status short` shows how far it came
        mute: 1 dormouse: mute: asleep: the last start failed: Fake ended before it was ready (exit code 0)
          hint: `dormouse world status mute` shows how far it came
        deaf: 1 dormouse: deaf: asleep: saved and archived, since the game was not ready in time
          hint: `dormouse world status deaf` shows how far it came
        boxed: 1 dormouse: boxed: asleep: the last start failed: Fake does not run as plain processes
          hint: `dormouse world status boxed` shows how far it came
    "#]].assert_eq(&said);

    // What could not start is mended, and starts; its world is where it was.
    fs::write(dormouse.files("missing")?.join("world"), "built by hand")?;
    dormouse.end_control()?;
    games.add("missing", &entry(4000, "20s", "", GOOD))?;
    dormouse.start()?;
    dormouse.ok(&["world", "start", "missing", "--wait"])?;
    ensure!(fs::read_to_string(dormouse.files("missing")?.join("world"))? == "built by hand");
    dormouse.ok(&["world", "stop", "missing", "--wait"])?;
    Ok(())
}

#[test]
fn a_port_that_is_taken_is_named_and_works_once_it_is_free() -> Result<()> {
    let lab = Lab::new("port", 0)?;
    let mut dormouse = Dormouse::prepare(lab.server())?;
    let games = Games::new()?;
    games.add("good", &entry(4000, "20s", "", GOOD))?;
    dormouse.arguments = words(&format!("--games {}", games.path()));
    dormouse.start()?;
    let taken = listener(lab.server(), "0.0.0.0", 4000, "")?;
    dormouse.ok(&["world", "create", "fixed", "--game", "good", "--port", "4000"])?;
    dormouse.ok(&["world", "create", "free", "--game", "good"])?;
    check(
        &dormouse,
        "world start fixed --wait",
        expect![[r#"
        $ dormouse world start fixed --wait
        1
        dormouse: fixed: asleep: the last start failed: port 4000/tcp is taken (Address already in use (os error 98)); stop what uses it, or create the world with another `--port`
          hint: `dormouse world status fixed` shows how far it came
    "#]],
    )?;
    dormouse.ok(&["world", "start", "free", "--wait"])?;
    ensure!(dormouse.world("free")?["address"] == "10.77.0.1:4001", "{:#}", dormouse.world("free")?);
    drop(taken);
    dormouse.ok(&["world", "start", "fixed", "--wait"])?;
    ensure!(dormouse.world("fixed")?["address"] == "10.77.0.1:4000", "{:#}", dormouse.world("fixed")?);
    Ok(())
}

// Disks.

#[test]
fn a_disk_that_is_full_at_the_start_is_named_and_nothing_is_lost() -> Result<()> {
    let lab = Lab::new("full", 0)?;
    let disk = Disk::mount("8m")?;
    let (mut dormouse, _games) = on(&disk, lab.server())?;
    disk.fill()?;
    let new = up(&mut dormouse, "")?;
    expect![[r#"
        1
        dormouse: the secret `DISK/data/secret` cannot be read or made (No space left on device (os error 28)): see that its directory is there, writable and not full
    "#]]
    .assert_eq(&disk.shown(&new));
    disk.make_room()?;
    dormouse.start()?;
    dormouse.create("valhalla", "good", AWAKE)?;
    dormouse.end_control()?;
    disk.fill()?;
    let old = up(&mut dormouse, "")?;
    expect![[r#"
        1
        dormouse: the disk of the database `DISK/data/dormouse.db` is full or fails (disk I/O error): make room on it, and see to its health
    "#]].assert_eq(&disk.shown(&old));
    disk.make_room()?;
    dormouse.start()?;
    ensure!(dormouse.state("valhalla")? == "asleep");
    Ok(())
}

#[test]
fn a_disk_that_is_read_only_is_named_and_nothing_is_lost() -> Result<()> {
    let lab = Lab::new("readonly", 0)?;
    let disk = Disk::mount("8m")?;
    let (mut dormouse, _games) = on(&disk, lab.server())?;
    disk.remount("ro")?;
    let new = up(&mut dormouse, "")?;
    expect![[r#"
        1
        dormouse: cannot make DISK/data: choose another directory with --data: Read-only file system (os error 30)
    "#]].assert_eq(&disk.shown(&new));
    disk.remount("rw")?;
    dormouse.start()?;
    dormouse.create("valhalla", "good", AWAKE)?;
    dormouse.end_control()?;
    disk.remount("ro")?;
    let old = up(&mut dormouse, "")?;
    expect![[r#"
        1
        dormouse: cannot write to DISK/data: choose another directory with --data: Read-only file system (os error 30)
    "#]]
    .assert_eq(&disk.shown(&old));
    disk.remount("rw")?;
    dormouse.start()?;
    ensure!(dormouse.state("valhalla")? == "asleep");
    Ok(())
}

#[test]
fn a_world_on_a_disk_that_has_filled_up_is_stopped_and_saved_once_there_is_room() -> Result<()> {
    let lab = Lab::new("fills", 0)?;
    let disk = Disk::mount("16m")?;
    let (mut dormouse, _games) = on(&disk, lab.server())?;
    dormouse.start()?;
    dormouse.create("valhalla", "good", AWAKE)?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    disk.fill()?;
    let stop = dormouse.cli(&["world", "stop", "valhalla"])?;
    expect![[r#"
        1
        dormouse: the disk of the database `DISK/data/dormouse.db` is full: make room on it and try again
          hint: nothing is lost; try again in a moment
    "#]]
    .assert_eq(&disk.shown(&stop));
    let create = dormouse.cli(&["world", "create", "midgard", "--game", "good"])?;
    expect![[r#"
        1
        dormouse: the disk of the database `DISK/data/dormouse.db` is full: make room on it and try again
          hint: nothing is lost; try again in a moment
    "#]]
    .assert_eq(&disk.shown(&create));
    ensure!(dormouse.state("valhalla")? == "awake", "{}", dormouse.logs("valhalla"));
    disk.make_room()?;
    dormouse.ok(&["world", "stop", "valhalla", "--wait"])?;
    is_archived_and_starts_again(&dormouse)
}

#[test]
fn a_world_that_falls_asleep_on_a_full_disk_keeps_its_files() -> Result<()> {
    let lab = Lab::new("asleep", 0)?;
    let disk = Disk::mount("16m")?;
    let (mut dormouse, _games) = on(&disk, lab.server())?;
    dormouse.start()?;
    // A first evening, so that there is something to lose.
    dormouse.create("valhalla", "good", [10, 10, 1, 600])?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    dormouse.ok(&["world", "stop", "valhalla", "--wait"])?;
    let first = dormouse.world("valhalla")?;
    let played = fs::read(dormouse.files("valhalla")?.join("world"))?;

    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    disk.fill()?;
    let watchdog = dormouse.watchdog("valhalla")?.context("no watchdog")?;
    let files = dormouse.files("valhalla")?;
    let children = format!("/proc/{watchdog}/task/{watchdog}/children");
    until("the game's end", || {
        fs::read_to_string(&children).is_ok_and(|children| children.trim().is_empty())
    })?;
    ensure!(fs::read(files.join("world"))? == played, "the world is lost");
    // Its watchdog waits for room with the archive.
    disk.make_room()?;
    let world = dormouse.wait_for_state("valhalla", "asleep", 2 * SOON)?;
    expect!["asleep: saved and archived, since nobody joined"]
        .assert_eq(&disk.hidden(world["status"].as_str().unwrap_or_default()));
    ensure!(fs::read(files.join("world"))? == played, "the world is lost");
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    dormouse.ok(&["world", "stop", "valhalla", "--wait"])?;
    ensure!(dormouse.world("valhalla")?["archive"] != first["archive"], "not archived again");
    is_archived_and_starts_again(&dormouse)
}

#[test]
fn a_save_that_finds_no_room_is_said_and_what_was_saved_before_stays() -> Result<()> {
    let lab = Lab::new("save", 1)?;
    let mut dormouse = Dormouse::prepare(lab.server())?;
    let disk = Disk::mount("1m")?;
    let games = Games::new()?;
    games.add("good", &entry(4000, "20s", "", GOOD))?;
    dormouse.arguments = words(&format!("--games {}", games.path()));
    fs::create_dir_all(&dormouse.data)?;
    std::os::unix::fs::symlink(disk.path(), dormouse.data.join("worlds"))?;
    dormouse.start()?;
    dormouse.create("valhalla", "good", AWAKE)?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    dormouse.ok(&["world", "stop", "valhalla", "--wait"])?;
    let played = fs::read(dormouse.files("valhalla")?.join("world"))?;

    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    let player = player(lab.client(0), "10.77.0.1", 4000)?;
    dormouse.wait_for_players("valhalla", 1, SOON)?;
    disk.fill()?;
    let stop = dormouse.cli(&["world", "stop", "valhalla", "--wait"])?;
    drop(player);
    expect![[r#"
        1 dormouse: valhalla: asleep: archived, asked for by ann, but whether it was saved is not proven: the game ended (exit code 28) but wrote no save file after the stop
          hint: `dormouse world status valhalla` shows how far it came
    "#]]
    .assert_eq(&format!("{} {}", stop.code, stop.stderr));
    ensure!(fs::read(dormouse.files("valhalla")?.join("world"))? == played, "the world is lost");
    disk.make_room()?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    dormouse.ok(&["world", "stop", "valhalla", "--wait"])?;
    is_archived_and_starts_again(&dormouse)
}

#[test]
fn archives_on_a_full_disk_are_uploaded_once_there_is_room() -> Result<()> {
    let lab = Lab::new("archives", 0)?;
    let mut dormouse = Dormouse::prepare(lab.server())?;
    let disk = Disk::mount("1m")?;
    let games = Games::new()?;
    games.add("good", &entry(4000, "20s", "", GOOD))?;
    dormouse.arguments = words(&format!("--games {}", games.path()));
    fs::create_dir_all(&dormouse.data)?;
    std::os::unix::fs::symlink(disk.path(), dormouse.data.join("archives"))?;
    dormouse.start()?;
    dormouse.create("valhalla", "good", AWAKE)?;
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    disk.fill()?;
    dormouse.ok(&["world", "stop", "valhalla"])?;
    let log = dormouse.task_dir("valhalla")?.join("watchdog.log");
    let refused = || fs::read_to_string(&log).unwrap_or_default().contains("make room on it and try again");
    until("the upload refused", refused)?;
    ensure!(dormouse.state("valhalla")? == "going to sleep", "{}", dormouse.logs("valhalla"));
    disk.make_room()?;
    dormouse.ok(&["world", "stop", "valhalla", "--wait"])?;
    is_archived_and_starts_again(&dormouse)
}

#[test]
fn a_damaged_database_is_named_and_left_as_it_is() -> Result<()> {
    let lab = Lab::new("database", 0)?;
    let mut dormouse = Dormouse::up(lab.server())?;
    dormouse.create("valhalla", "luanti", AWAKE)?;
    dormouse.end_control()?;
    let database = dormouse.data.join("dormouse.db");
    let good = fs::read(&database)?;
    let mut holed = good.clone();
    holed[4096..].fill(0x2a);
    let damages: [(&str, Vec<u8>); 4] = [
        ("garbage", b"this is no database\n".repeat(1000)),
        ("cut in half", good[..good.len() / 2].to_vec()),
        ("cut short", good[..50].to_vec()),
        ("overwritten but for its head", holed),
    ];
    let mut said = String::new();
    for (damage, bytes) in damages {
        fs::write(&database, &bytes)?;
        let done = up(&mut dormouse, "")?;
        let shown = done.stderr.replace(&dormouse.data.to_string_lossy().into_owned(), "DATA");
        said += &format!("{damage}: {} {shown}", done.code);
        ensure!(fs::read(&database)? == bytes, "{damage}: the file was changed");
    }
    expect![[r#"
        garbage: 1 dormouse: the database `DATA/dormouse.db` is damaged (file is not a database): restore a copy of it. Without one, wait until nobody plays, then move it and its `-wal` file away: no world is known any more then, and those that are awake are ended; world files and archives beside it are untouched
        cut in half: 1 dormouse: the database `DATA/dormouse.db` is damaged (database disk image is malformed): restore a copy of it. Without one, wait until nobody plays, then move it and its `-wal` file away: no world is known any more then, and those that are awake are ended; world files and archives beside it are untouched
        cut short: 1 dormouse: the database `DATA/dormouse.db` is damaged (database disk image is malformed): restore a copy of it. Without one, wait until nobody plays, then move it and its `-wal` file away: no world is known any more then, and those that are awake are ended; world files and archives beside it are untouched
        overwritten but for its head: 1 dormouse: the database `DATA/dormouse.db` is damaged (*** in database main *** Tree 10 page 10: btreeInitPage() returns error code 11): restore a copy of it. Without one, wait until nobody plays, then move it and its `-wal` file away: no world is known any more then, and those that are awake are ended; world files and archives beside it are untouched
    "#]].assert_eq(&said);
    fs::write(&database, good)?;
    dormouse.start()?;
    ensure!(dormouse.state("valhalla")? == "asleep");
    Ok(())
}

// How it is asked and answered.

/// Runs `dormouse` with each line of arguments and compares what it exits with and complains of.
fn check(dormouse: &Dormouse, lines: &str, expected: Expect) -> Result<()> {
    let scratch = dormouse.data.parent().context("data without scratch")?.to_string_lossy().into_owned();
    let mut said = String::new();
    for line in lines.lines().map(str::trim) {
        let arguments = words(&line.replace("SCRATCH", &scratch));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let Done { code, stderr, .. } = dormouse.cli(&arguments)?;
        said += &format!("$ dormouse {line}\n{code}\n{stderr}").replace(&scratch, "SCRATCH");
    }
    expected.assert_eq(&said);
    Ok(())
}

/// Runs `dormouse up` with each line of arguments, which must not come up.
fn check_up(dormouse: &mut Dormouse, lines: &str, expected: Expect) -> Result<()> {
    let scratch = dormouse.data.parent().context("data without scratch")?.to_string_lossy().into_owned();
    let mut said = String::new();
    for line in lines.lines().map(str::trim) {
        let Done { code, stderr, .. } = up(dormouse, &line.replace("SCRATCH", &scratch))?;
        said += &format!("$ dormouse up {line}\n{code}\n{stderr}").replace(&scratch, "SCRATCH");
    }
    expected.assert_eq(&said);
    Ok(())
}

/// Runs `dormouse up` with more arguments until it ends, which it has to do by itself and soon.
fn up(dormouse: &mut Dormouse, arguments: &str) -> Result<Done> {
    let mut command = dormouse.ns_command();
    command.arg("up");
    if !arguments.contains("--data") {
        command.arg("--data").arg(&dormouse.data);
    }
    command.args(&dormouse.arguments).args(words(arguments)).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > SOON {
            child.kill()?;
            bail!("`dormouse up {arguments}` goes on: {:?}", child.wait_with_output()?);
        }
        thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output()?;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    Ok(Done { code: output.status.code().unwrap_or(-1), stdout, stderr })
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !is_so() {
        ensure!(begun.elapsed() < 2 * SOON, "{what}: not after {} s", (2 * SOON).as_secs());
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn is_archived_and_starts_again(dormouse: &Dormouse) -> Result<()> {
    let world = dormouse.world("valhalla")?;
    let status = world["status"].as_str().unwrap_or_default();
    ensure!(status.starts_with("asleep: saved and archived"), "{status}\n{}", dormouse.logs("valhalla"));
    ensure!(fs::metadata(dormouse.archive(&world)?)?.len() > 0);
    dormouse.ok(&["world", "start", "valhalla", "--wait"])?;
    let saved = fs::read_to_string(dormouse.files("valhalla")?.join("world"))?;
    ensure!(saved == "played\n".repeat(1000), "the world is not what was saved");
    Ok(())
}

/// Returns a control plane that keeps everything on `disk`, and its games, of which `good` is one.
fn on<'a>(disk: &Disk, ns: &'a Namespace) -> Result<(Dormouse<'a>, Games)> {
    let mut dormouse = Dormouse::prepare(ns)?;
    let games = Games::new()?;
    games.add("good", &entry(4000, "20s", "", GOOD))?;
    dormouse.data = disk.path().join("data");
    dormouse.arguments = words(&format!("--games {}", games.path()));
    Ok((dormouse, games))
}

/// A directory of catalogue entries.
struct Games(TempDir);

impl Games {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn add(&self, id: &str, entry: &str) -> Result<()> {
        Ok(fs::write(self.0.path().join(format!("{id}.toml")), entry)?)
    }

    fn path(&self) -> String {
        self.0.path().to_string_lossy().into_owned()
    }
}

/// Returns the entry of a TCP game.
fn entry(port: u16, limit: &str, bootstrap: &str, start: &str) -> String {
    let bootstrap =
        if bootstrap.is_empty() { String::new() } else { format!("bootstrap = '''{bootstrap}'''\n") };
    format!(
        "name = \"Fake\"
image = \"dormouse/fake\"
architectures = [\"amd64\"]
cpu = 256
memory_mib = 512

[[ports]]
name = \"game\"
number = {port}
protocol = \"tcp\"

[save]
paths = [\"world\"]

[stop]
signal = \"SIGTERM\"
grace = \"5s\"

[ready]
typical = \"1s\"
limit = \"{limit}\"

[process]
{bootstrap}start = '''{start}'''
"
    )
}

/// A program that has a port or a connection. Dropping it ends it.
struct Listener(Child);

/// Connects to a server and says something, as a player does.
fn player(ns: &Namespace, address: &str, port: u16) -> Result<Listener> {
    let script = "my $server = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1]) or die;
        print $server \"hello\"; $server->flush; sleep 600";
    let mut command = ns.command("/usr/bin/perl");
    Ok(Listener(command.args(["-MIO::Socket::INET", "-e", script, address, &port.to_string()]).spawn()?))
}

/// Listens on a port and says the same to everybody.
fn listener(ns: &Namespace, address: &str, port: u16, says: &str) -> Result<Listener> {
    let script = r#"
        my ($address, $port, $says) = @ARGV;
        $says =~ s/\\r/\r/g; $says =~ s/\\n/\n/g;
        my $server = IO::Socket::INET->new(LocalAddr => $address, LocalPort => $port, Listen => 5, ReuseAddr => 1)
            or die "cannot listen: $!\n";
        print "listening\n"; close(STDOUT);
        while (my $client = $server->accept()) {
            if (length $says) { sysread($client, my $asked, 65536); print $client $says; }
            close($client);
        }
    "#;
    let mut command = ns.command("/usr/bin/perl");
    command.args(["-MIO::Socket::INET", "-e", script, address, &port.to_string(), says]);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut said = child.stdout.take().context("no output")?;
    let listener = Listener(child);
    let mut first = String::new();
    std::io::Read::read_to_string(&mut said, &mut first)?;
    ensure!(first == "listening\n", "the listener on {port} is not up");
    Ok(listener)
}

impl Drop for Listener {
    fn drop(&mut self) {
        // One that has ended by itself is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A small disk of its own. Dropping it unmounts it.
struct Disk(TempDir);

impl Disk {
    fn mount(size: &str) -> Result<Self> {
        let disk = Self(tempfile::tempdir()?);
        fs::set_permissions(disk.path(), fs::Permissions::from_mode(0o755))?;
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=755"), "dormouse-test"])
            .arg(disk.path()))?;
        Ok(disk)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves no byte free.
    fn fill(&self) -> Result<()> {
        let mut ballast = File::options().create(true).append(true).open(self.ballast())?;
        for size in [1 << 20, 4096, 1] {
            loop {
                match ballast.write_all(&vec![0x2a; size]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }

    fn remount(&self, how: &str) -> Result<()> {
        run(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.path()))
    }

    /// Returns what was said without what differs from run to run.
    fn shown(&self, done: &Done) -> String {
        format!("{}\n{}", done.code, self.hidden(&done.stderr))
    }

    fn hidden(&self, text: &str) -> String {
        text.replace(&self.path().to_string_lossy().into_owned(), "DISK")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a game that is still being ended does not keep it.
        if let Err(error) = run(Command::new("umount").arg("-l").arg(self.path())) {
            eprintln!("a disk of the test stays mounted: {error:#}");
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
