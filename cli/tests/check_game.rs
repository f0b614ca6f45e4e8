//! `dormouse check-game` as a person runs it, of small games that are made of scripts and have one defect each.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use expect_test::{Expect, expect};
use serde_json::Value;
use tempfile::TempDir;

/// A game without a defect.
const ENTRY: &str = r#"
name = "Game"
image = "dormouse/game"
architectures = ["amd64"]
cpu = 256
memory_mib = 512

[[ports]]
name = "game"
number = PORT
protocol = "udp"

[save]
paths = ["world"]

[stop]
signal = "SIGINT"
grace = "30s"

[ready]
typical = "1m"
limit = "2m"

[process]
bootstrap = '''
# prepare
cat >server.py <<'SERVER'
import os, signal, socket, subprocess, sys, time
port = int(os.environ["PORT"])
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", port))
def stop(*_):
    os.makedirs("world", exist_ok=True)
    with open("world/map", "w") as world:
        world.write("saved")
    sys.exit(0)
signal.signal(signal.SIGINT, stop)
while True:
    time.sleep(1)
SERVER
'''
start = "exec python3 -u server.py 2>&1"
"#;

const DOCKERFILE: &str = "\
FROM scratch
LABEL dormouse.game=\"game\"
COPY entrypoint /entrypoint
USER 10001:10001
EXPOSE PORT/udp
STOPSIGNAL SIGINT
ENTRYPOINT [\"/bin/sh\", \"/entrypoint\"]
";

/// A game in a directory of its own. Each has ports of its own: tests run side by side.
struct Game {
    dir: TempDir,
}

impl Game {
    fn new(port: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let with_port =
            |text: &str| text.replace("PORT/", &format!("{port}/")).replace("= PORT", &format!("= {port}"));
        fs::write(dir.path().join("game.toml"), with_port(ENTRY)).unwrap();
        fs::write(dir.path().join("Dockerfile.game"), with_port(DOCKERFILE)).unwrap();
        Self { dir }
    }

    fn but(self, file: &str, from: &str, to: &str) -> Self {
        let path = self.dir.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to)).unwrap();
        self
    }

    fn entry(self, from: &str, to: &str) -> Self {
        self.but("game.toml", from, to)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
        command.args(["check-game", "game", "--games"]).arg(self.dir.path()).args(arguments);
        // What it leaves behind would be found here.
        command.env("TMPDIR", self.scratch()).env_remove("DORMOUSE_GAMES").env("USER", "ann");
        // No engine is asked: what it would build is none of these tests' business.
        command.env("DOCKER_HOST", "unix:///nonexistent/engine");
        command
    }

    fn scratch(&self) -> std::path::PathBuf {
        let scratch = self.dir.path().join("scratch");
        fs::create_dir_all(&scratch).unwrap();
        open_to_games(self.dir.path());
        open_to_games(&scratch);
        scratch
    }

    /// Checks the steps that are told of it, and that nothing is left of it. Who is seen on depends on what this machine
    /// lets us see: that is tested where networks are made.
    fn check(&self, expected: Expect) {
        let output = self.command(&["--watch", "1s", "--json"]).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let steps = told["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|step| !["watch", "image", "runtime"].contains(&step["name"].as_str().unwrap()));
        expected.assert_eq(&steps.map(line).collect::<String>());
        self.assert_nothing_left(&output);
    }

    fn assert_nothing_left(&self, output: &Output) {
        let left: Vec<_> =
            fs::read_dir(self.scratch()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}: {output:?}");
        let inside =
            |link: std::path::PathBuf| fs::read_link(link).is_ok_and(|at| at.starts_with(self.dir.path()));
        let processes = fs::read_dir("/proc").unwrap().flatten().filter(|p| inside(p.path().join("cwd")));
        assert_eq!(processes.count(), 0, "{output:?}");
    }
}

/// Games run as another user where tests run as root.
fn open_to_games(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Returns a step in a line, with `N` for numbers that differ from one run to the next.
fn line(step: &Value) -> String {
    let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
    let change =
        if text("change").is_empty() { String::new() } else { format!("\n    -> {}", text("change")) };
    let line = format!("{} {}: {}{change}\n", text("verdict"), text("name"), text("saw"));
    let mut out = String::new();
    let mut rest = line.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let number = rest[at..].find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len() - at);
        let is_steady = !rest[at..at + number].contains('.') && number < 3;
        out.push_str(&rest[..at]);
        out.push_str(if is_steady { &rest[at..at + number] } else { "N" });
        rest = &rest[at + number..];
    }
    (out + rest).replace(" kB", " B")
}

#[test]
fn a_sound_game_passes_each_step() {
    Game::new(21000).check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGINT, user N:N, N/udp
        ok start: players can join at N:N after N s
        ok stop: saved and archived, asked for by ann; it ended N s after it was told to, of 30 s
        ok save: world was written at the stop
        ok archive: 2 files, N B: server.py, world/map
        ok second start: players can join at N:N after N s
        ok kept: the second start found world/map
        ok second stop: saved and archived, asked for by ann; it ended N s after it was told to, of 30 s
        ok save: world was written at the stop
        ok archive: 2 files, N B: server.py, world/map
    "#]]);
}

#[test]
fn a_game_that_ignores_its_signal_is_found_out() {
    let game = Game::new(21100).entry("signal.SIGINT, stop", "signal.SIGINT, signal.SIG_IGN");
    game.entry("30s", "1s").check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGINT, user N:N, N/udp
        ok start: players can join at N:N after N s
        fail stop: archived, asked for by ann, but whether it was saved is not proven: the game did not end in time and had to be killed
            -> `python3` ignores SIGINT: another stop.signal, or a stop script
        fail save: there is nothing at world
            -> save.paths: the world's directory has server.py
        ok archive: 1 files, N B: server.py
        ok second start: players can join at N:N after N s
        fail second stop: archived, asked for by ann, but whether it was saved is not proven: the game did not end in time and had to be killed
            -> `python3` ignores SIGINT: another stop.signal, or a stop script
        fail save: there is nothing at world
            -> save.paths: the world's directory has server.py
        ok archive: 1 files, N B: server.py
    "#]]);
}

#[test]
fn a_game_that_is_sent_a_signal_that_it_does_not_know_saves_nothing() {
    let game = Game::new(21200).entry(r#""SIGINT""#, r#""SIGHUP""#);
    game.but("Dockerfile.game", "SIGINT", "SIGHUP").check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGHUP, user N:N, N/udp
        ok start: players can join at N:N after N s
        warn stop: saved and archived, asked for by ann; it ended N s after it was told to, of 30 s
            -> `python3` has no handler for SIGHUP, so it cannot save then: another stop.signal
        fail save: there is nothing at world
            -> save.paths: the world's directory has server.py
        ok archive: 1 files, N B: server.py
        ok second start: players can join at N:N after N s
        warn second stop: saved and archived, asked for by ann; it ended N s after it was told to, of 30 s
            -> `python3` has no handler for SIGHUP, so it cannot save then: another stop.signal
        fail save: there is nothing at world
            -> save.paths: the world's directory has server.py
        ok archive: 1 files, N B: server.py
    "#]]);
}

#[test]
fn a_game_that_goes_into_the_background_is_found_out() {
    let game = Game::new(21300);
    game.entry("port = int", "if os.fork(): sys.exit(0)\nos.setsid()\nport = int").check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGINT, user N:N, N/udp
        fail start: Game ended before it was ready (exit code 0)
            -> `python3` went on without its parent: keep the server in the foreground, and begin its line with `exec`
    "#]]);
}

#[test]
fn a_game_that_never_listens_is_found_out() {
    let game = Game::new(21400).entry("server.bind((\"0.0.0.0\", port))", "print('playing alone')");
    game.entry("typical = \"1m\"\nlimit = \"2m\"", "typical = \"1s\"\nlimit = \"5s\"").check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGINT, user N:N, N/udp
        fail start: saved and archived, since the game was not ready in time; it printed: playing alone
            -> it binds nothing: let it listen on $PORT (the entry has N/udp)
    "#]]);
}

#[test]
fn a_game_that_listens_elsewhere_is_told_where() {
    let game = Game::new(21500).entry("0.0.0.0\", port", "0.0.0.0\", port + 70");
    game.entry("typical = \"1m\"\nlimit = \"2m\"", "typical = \"1s\"\nlimit = \"5s\"").check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGINT, user N:N, N/udp
        fail start: saved and archived, since the game was not ready in time
            -> it binds N/udp, and the entry has N/udp: start the server with $PORT, or correct [[ports]]
    "#]]);
}

#[test]
fn a_game_that_saves_nothing_at_its_stop_is_found_out() {
    let game = Game::new(21600).entry("    os.makedirs(\"world\", exist_ok=True)", "    sys.exit(0)");
    game.entry("# prepare", "[ -e world ] || { mkdir world; echo new >world/map; }").check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGINT, user N:N, N/udp
        ok start: players can join at N:N after N s
        ok stop: saved and archived, asked for by ann; it ended N s after it was told to, of 30 s
        warn save: nothing at world was written at the stop
            -> name in save.paths what the server writes at each stop; without that, no save of somebody who played is proven
        ok archive: 2 files, N B: server.py, world/map
        ok second start: players can join at N:N after N s
        ok kept: the second start found world/map
        ok second stop: saved and archived, asked for by ann; it ended N s after it was told to, of 30 s
        warn save: nothing at world was written at the stop
            -> name in save.paths what the server writes at each stop; without that, no save of somebody who played is proven
        ok archive: 2 files, N B: server.py, world/map
    "#]]);
}

#[test]
fn a_game_that_saves_elsewhere_is_told_where() {
    Game::new(21700).entry("[\"world\"]", "[\"saves/world.sav\"]").check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGINT, user N:N, N/udp
        ok start: players can join at N:N after N s
        ok stop: saved and archived, asked for by ann; it ended N s after it was told to, of 30 s
        fail save: there is nothing at saves/world.sav
            -> save.paths: the world's directory has server.py, world/map
        ok archive: 2 files, N B: server.py, world/map
        ok second start: players can join at N:N after N s
        ok second stop: saved and archived, asked for by ann; it ended N s after it was told to, of 30 s
        fail save: there is nothing at saves/world.sav
            -> save.paths: the world's directory has server.py, world/map
        ok archive: 2 files, N B: server.py, world/map
    "#]]);
}

#[test]
fn a_game_that_begins_anew_at_its_second_start_is_found_out() {
    Game::new(21800).entry("# prepare", "rm -rf world").check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGINT, user N:N, N/udp
        ok start: players can join at N:N after N s
        ok stop: saved and archived, asked for by ann; it ended N s after it was told to, of 30 s
        ok save: world was written at the stop
        ok archive: 2 files, N B: server.py, world/map
        ok second start: players can join at N:N after N s
        warn kept: the second start did away with world/map
            -> a bootstrap makes what is missing and keeps what is there
        ok second stop: saved and archived, asked for by ann; it ended N s after it was told to, of 30 s
        ok save: world was written at the stop
        ok archive: 2 files, N B: server.py, world/map
    "#]]);
}

#[test]
fn a_game_that_leaves_a_process_behind_is_found_out() {
    let left = "subprocess.Popen(['sleep', '600'], close_fds=False, start_new_session=True)\n";
    Game::new(21900).entry("def stop", &format!("{left}def stop")).check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGINT, user N:N, N/udp
        ok start: players can join at N:N after N s
        fail stop: `sleep` is still running
            -> every process must end with the server, and stay in its group
        ok save: world was written at the stop
        ok archive: 2 files, N B: server.py, world/map
    "#]]);
}

#[test]
fn a_game_that_cannot_start_here_says_why() {
    Game::new(22000).entry("# prepare", "echo 'there is no server here' >&2; exit 1").check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGINT, user N:N, N/udp
        fail start: the last start failed: Game cannot start here: there is no server here; it printed: there is no server here
            -> what it says; `bootstrap` makes what is missing, and `start` must become the server
    "#]]);
}

#[test]
fn a_console_that_nobody_opens_is_found_out() {
    let console = "[console]\nprotocol = \"rcon\"\nport = 22150\nsave = [\"save\"]\n\n[ready]";
    Game::new(22100).entry("[ready]", console).entry("30s", "3s").check(expect![[r#"
        ok entry: Game, N/udp, N CPU units, N MiB
        ok Dockerfile: SIGINT, user N:N, N/udp
        ok start: players can join at N:N after N s
        ok stop: saved and archived, asked for by ann; it ended N s after it was told to, of 3 s
        fail console: the save before the stop failed at the game's console: connecting to the console at port N: Connection refused (os error N)
            -> open it on N at $DORMOUSE_CONSOLE_PORT (the entry has N) with $DORMOUSE_CONSOLE_PASSWORD
        ok save: world was written at the stop
        ok archive: 2 files, N B: server.py, world/map
        ok second start: players can join at N:N after N s
        ok kept: the second start found world/map
        ok second stop: saved and archived, asked for by ann; it ended N s after it was told to, of 3 s
        fail console: the save before the stop failed at the game's console: connecting to the console at port N: Connection refused (os error N)
            -> open it on N at $DORMOUSE_CONSOLE_PORT (the entry has N) with $DORMOUSE_CONSOLE_PASSWORD
        ok save: world was written at the stop
        ok archive: 2 files, N B: server.py, world/map
    "#]]);
}

#[test]
fn a_dockerfile_that_does_not_fit_is_told_and_the_game_is_tried_all_the_same() {
    let game = Game::new(22200).but("Dockerfile.game", "SIGINT", "SIGKILL");
    let output = game.command(&["--watch", "1s"]).output().unwrap();
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let wrong = "FAIL Dockerfile: the host would stop it by SIGKILL, and the entry says SIGINT\n     \
                 change: STOPSIGNAL SIGINT, as the entry's stop.signal\n";
    assert!(told.contains(wrong), "{told}");
    let runs = "\nok   runtime: the world runs by plain processes: no engine answers: ";
    assert!(told.contains(runs) && told.contains("\nok   second stop: "), "{told}");
    game.assert_nothing_left(&output);
}

#[test]
fn an_entry_that_is_wrong_is_told_with_its_lines() {
    let game = Game::new(22300).entry("SIGINT\"", "SIGKILL\"").entry("256", "300");
    let output = game.command(&[]).output().unwrap();
    let told =
        String::from_utf8(output.stdout).unwrap().replace(&game.dir.path().display().to_string(), "DIR");
    assert_eq!(output.status.code(), Some(1), "{told}");
    expect![[r#"
        FAIL entry: DIR/game.toml:5: `cpu` is 300: use one of the numbers 256, 512, 1024, 2048, 4096, 8192 or 16384
        DIR/game.toml:17: `stop.signal` is "SIGKILL": use SIGINT, SIGTERM, SIGHUP or SIGQUIT
             change: what it says; docs/adding-a-game.md has every key
    "#]].assert_eq(&told);
}

#[test]
fn a_game_that_is_not_there_is_told_how_to_write() {
    let output = Game::new(22400).command(&[]).arg("--games").arg("/nonexistent").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
    let output = command.args(["check-game", "nothing"]).env_remove("DORMOUSE_GAMES").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    expect![[r"
        dormouse: there is no ./nothing.toml and no game `nothing` is built in: `dormouse new-game nothing` writes one
    "]]
    .assert_eq(&String::from_utf8(output.stderr).unwrap());
}

#[test]
fn ctrl_c_puts_the_world_to_sleep_and_leaves_nothing() {
    use std::io::{BufRead, BufReader};
    let game = Game::new(22500);
    let mut command = game.command(&["--watch", "1h"]);
    // A group of its own, as a shell gives it.
    let mut check = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(check.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("watching it for 3600 s")));
    let group = nix::unistd::Pid::from_raw(i32::try_from(check.id()).unwrap());
    nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGINT).unwrap();
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert_eq!(rest, ["     interrupted; the world is put to sleep first"]);
    let output = check.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    game.assert_nothing_left(&output);
}
