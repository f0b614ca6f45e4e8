//! Real clients of real games, made as small as they go: a tiny window, few frames, no sound, nothing on the
//! GPU.
//!
//! Each has its own home, so that several can run side by side, and its own X server. A client counts as
//! joined when the *server* says so: look for `LuantiClient::joined` or `OpenTtdClient::joined` in what the
//! server printed. Needs `minetest` or `openttd` with `openttd-opengfx`, `xvfb`, and `xdotool` to act.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::netns::Namespace;

/// Debian puts games in a directory that root's PATH may lack, and `ip` in one that others' may.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/games:/usr/sbin:/sbin";

/// How long a client may take to say goodbye; both need about two seconds where nothing else runs.
const LEAVE_LIMIT: Duration = Duration::from_secs(60);

/// How long an X server may take to clean up after itself.
const SCREEN_LIMIT: Duration = Duration::from_secs(5);

/// How often a client is started that does not come in. On a busy machine one gives up now and then, as people's do.
const JOIN_TRIES: u32 = 3;

/// How long a client may take until the server says that it has joined.
const JOIN_LIMIT: Duration = Duration::from_secs(30);

/// Starts a client by `join`, and again if `has_joined` does not come true in time.
pub fn surely<C>(join: impl Fn() -> Result<C>, has_joined: impl Fn() -> Result<bool>) -> Result<C> {
    for _ in 0..JOIN_TRIES {
        let client = join()?;
        let begun = Instant::now();
        while begun.elapsed() < JOIN_LIMIT {
            if has_joined()? {
                return Ok(client);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
    bail!("no client came in, {JOIN_TRIES} times")
}

/// A player of Luanti. Dropping it kills it.
#[derive(Debug)]
pub struct LuantiClient(Client);

impl LuantiClient {
    /// Starts a client that joins the server at `address` and `port` under `name`; without a namespace, on
    /// the host.
    ///
    /// A name belongs to whoever joined with it first; every client here has the same password.
    pub fn join(ns: Option<&Namespace>, address: IpAddr, port: u16, name: &str) -> Result<Self> {
        Client::start(ns, |home| {
            fs::write(home.join("minetest.conf"), LUANTI_SETTINGS)?;
            let mut command = command(ns, "minetest");
            command.arg("--config").arg(home.join("minetest.conf")).args(["--logfile", "", "--go"]);
            command.args(["--address", &address.to_string(), "--port", &port.to_string()]);
            command.args(["--name", name, "--password", "x"]);
            Ok(command)
        })
        .map(Self)
        .with_context(|| format!("starting the Luanti client of {name}"))
    }

    /// Says whether `name` has joined, by what the server has printed so far.
    pub fn joined(name: &str, server_log: &str) -> bool {
        let joined = format!(": {name} [");
        server_log.lines().any(|line| line.contains(&joined) && line.contains("joins game"))
    }

    /// Walks for `time`, and returns after it. A player who stands still sends less than one datagram a
    /// second.
    pub fn act(&self, time: Duration) -> Result<()> {
        let time = time.as_secs_f32().to_string();
        self.0.press(&["keydown", "w", "sleep", &time, "keyup", "w"])
    }

    /// Leaves as a player does who closes the window.
    pub fn leave(&mut self) -> Result<()> {
        self.0.leave()
    }

    /// Ends at once; the server hears nothing of it.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()
    }
}

/// A player of OpenTTD. Dropping it kills it.
#[derive(Debug)]
pub struct OpenTtdClient(Client);

impl OpenTtdClient {
    /// Starts a client that joins the server at `address` and `port` under `name`; without a namespace, on
    /// the host.
    pub fn join(ns: Option<&Namespace>, address: IpAddr, port: u16, name: &str) -> Result<Self> {
        Client::start(ns, |home| {
            fs::write(home.join("openttd.cfg"), OPENTTD_SETTINGS)?;
            fs::write(home.join("private.cfg"), format!("[network]\nclient_name = {name}\n"))?;
            let mut command = command(ns, "openttd");
            // The null video driver never joins.
            command.args(["-v", "sdl", "-s", "null", "-m", "null", "-r", "320x240", "-Q", "-x"]);
            command
                .arg("-c")
                .arg(home.join("openttd.cfg"))
                .arg("-n")
                .arg(SocketAddr::new(address, port).to_string());
            Ok(command)
        })
        .map(Self)
        .with_context(|| format!("starting the OpenTTD client of {name}"))
    }

    /// Says whether `name` has joined, by what the server has printed so far.
    pub fn joined(name: &str, server_log: &str) -> bool {
        server_log.contains(&format!("*** {name} has joined the game"))
    }

    /// Says `text`, a word, to everybody. (The connection is never silent, whether the player acts or not.)
    pub fn act(&self, text: &str) -> Result<()> {
        self.0.press(&["key", "Return", "sleep", "0.5", "type", "--delay", "100", text])?;
        self.0.press(&["key", "Return"])
    }

    /// Leaves as a player does who closes the window.
    pub fn leave(&mut self) -> Result<()> {
        self.0.leave()
    }

    /// Ends at once. The kernel still closes the connection; cut the link first when it should not.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()
    }
}

/// A player of Teeworlds. Dropping it kills it.
#[derive(Debug)]
pub struct TeeworldsClient(Client);

impl TeeworldsClient {
    /// Starts a client that joins the server at `address` and `port` under `name`; without a namespace, on
    /// the host.
    pub fn join(ns: Option<&Namespace>, address: IpAddr, port: u16, name: &str) -> Result<Self> {
        Client::start(ns, |_| {
            let mut command = command(ns, "teeworlds");
            command.args(TEEWORLDS_SETTINGS);
            command.arg(format!("player_name {name}")).arg(format!("connect {address}:{port}"));
            Ok(command)
        })
        .map(Self)
        .with_context(|| format!("starting the Teeworlds client of {name}"))
    }

    /// Says whether `name` has joined, by what the server has printed so far.
    pub fn joined(name: &str, server_log: &str) -> bool {
        server_log
            .lines()
            .any(|line| line.contains("team_join player='") && line.contains(&format!(":{name}'")))
    }

    /// Walks for `time`, and returns after it.
    pub fn act(&self, time: Duration) -> Result<()> {
        let time = time.as_secs_f32().to_string();
        self.0.press(&["keydown", "d", "sleep", &time, "keyup", "d"])
    }

    /// Leaves as a player does who closes the window.
    pub fn leave(&mut self) -> Result<()> {
        self.0.leave()
    }

    /// Ends at once; the server hears nothing of it.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()
    }
}

/// A player of Minecraft without a window, one of the programs in e2e/players. Dropping it kills it.
#[derive(Debug)]
pub struct MinecraftClient(Child);

impl MinecraftClient {
    /// Starts the player's `program` that joins the server at `address` and `port` under `name`.
    pub fn join(ns: &Namespace, program: &Path, address: IpAddr, port: u16, name: &str) -> Result<Self> {
        let mut node = command(Some(ns), "node");
        node.env("PATH", node_path()).arg(program);
        node.args([&address.to_string(), &port.to_string(), name]);
        node.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        node.spawn().map(Self).with_context(|| format!("starting the player {name}"))
    }

    /// Says whether `name` has joined, by what the server has printed so far.
    pub fn joined(name: &str, server_log: &str) -> bool {
        let joined = format!("{name} joined");
        server_log.lines().any(|line| line == joined)
    }

    /// Acts from now on.
    pub fn act(&self) -> Result<()> {
        Ok(kill(Pid::from_raw(self.0.id().try_into()?), Signal::SIGUSR2)?)
    }

    /// Leaves as a player does who closes the window.
    pub fn leave(&mut self) -> Result<()> {
        let ended = end(&mut self.0, Signal::SIGTERM, LEAVE_LIMIT)?;
        ensure!(ended, "the player has not left in {LEAVE_LIMIT:?}");
        Ok(())
    }

    /// Ends at once; the server hears nothing of it but what the kernel says.
    pub fn kill(&mut self) -> Result<()> {
        end(&mut self.0, Signal::SIGKILL, LEAVE_LIMIT).map(drop)
    }
}

impl Drop for MinecraftClient {
    fn drop(&mut self) {
        // Nobody is left to tell, and a failed test should show its own reason.
        let _ = self.kill();
    }
}

/// Returns a PATH with `node` on it: where `DORMOUSE_NODE` says, else where everything is.
pub fn node_path() -> OsString {
    let [node, path] = ["DORMOUSE_NODE", "PATH"].map(env::var_os);
    let mut all = node.unwrap_or_default();
    if !all.is_empty() {
        all.push(":");
    }
    all.push(path.unwrap_or_else(|| PATH.into()));
    all
}

/// A program with a window, and what it needs around it.
#[derive(Debug)]
struct Client {
    program: Child,
    screen: Screen,
    /// Holds the settings and `log`, what the program printed.
    home: TempDir,
}

impl Client {
    fn start(ns: Option<&Namespace>, command: impl FnOnce(&Path) -> Result<Command>) -> Result<Self> {
        let home = TempDir::with_prefix("dormouse-client-")?;
        let screen = Screen::start()?;
        let log = File::create(home.path().join("log"))?;
        let mut command = command(home.path())?;
        command
            .current_dir(&home)
            .env("HOME", home.path())
            .env("DISPLAY", &screen.display)
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("LP_NUM_THREADS", "1")
            .env("SDL_AUDIODRIVER", "dummy")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let program =
            command.spawn().with_context(|| format!("running {:?} in {ns:?}", command.get_program()))?;
        Ok(Self { program, screen, home })
    }

    /// Has xdotool press `keys` in the one window; there is no window manager to give it the focus.
    fn press(&self, keys: &[&str]) -> Result<()> {
        let find = ["search", "--onlyvisible", "--class", ".", "windowfocus"];
        let mut xdotool = Command::new("xdotool");
        xdotool.args(find).args(keys).env("DISPLAY", &self.screen.display);
        let output = xdotool.output().context("running xdotool")?;
        ensure!(output.status.success(), "xdotool: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        let ended = end(&mut self.program, Signal::SIGTERM, LEAVE_LIMIT)?;
        let log = || fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        ensure!(ended, "the client has not left in {LEAVE_LIMIT:?}; it printed:\n{}", log());
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        end(&mut self.program, Signal::SIGKILL, LEAVE_LIMIT)?;
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Nobody is left to tell, and a failed test should show its own reason.
        let _ = self.kill();
    }
}

/// An X server without a screen.
#[derive(Debug)]
struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    /// Starts one on a free display. `-terminate` ends it after its client, even when this process is killed.
    fn start() -> Result<Self> {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "320x240x24", "-nolisten", "tcp", "-terminate"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("running Xvfb")?;
        let mut number = String::new();
        let stdout = server.stdout.take().context("Xvfb without an output")?;
        BufReader::new(stdout).read_line(&mut number).context("reading Xvfb's display")?;
        ensure!(!number.trim().is_empty(), "Xvfb found no free display");
        Ok(Self { server, display: format!(":{}", number.trim()) })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Politely first: killed, it would leave its lock and its socket in /tmp.
        if !end(&mut self.server, Signal::SIGTERM, SCREEN_LIMIT).unwrap_or(false) {
            let _ = end(&mut self.server, Signal::SIGKILL, SCREEN_LIMIT);
        }
    }
}

/// Signals `child`, unless it has ended already, and says whether it was gone within `limit`.
fn end(child: &mut Child, signal: Signal, limit: Duration) -> Result<bool> {
    let deadline = Instant::now() + limit;
    if child.try_wait()?.is_none() {
        kill(Pid::from_raw(child.id().try_into()?), signal)?;
    }
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

/// Begins a command with an environment of its own, inside `ns` or on the host.
fn command(ns: Option<&Namespace>, program: &str) -> Command {
    let mut command = ns.map_or_else(|| Command::new(program), |ns| ns.command(program));
    command.env_clear().env("PATH", PATH);
    command
}

const TEEWORLDS_SETTINGS: [&str; 8] = [
    "gfx_screen_width 320",
    "gfx_screen_height 240",
    "gfx_fullscreen 0",
    "gfx_vsync 0",
    "gfx_limitfps 1",
    "gfx_maxfps 30",
    "snd_enable 0",
    "cl_skip_start_menu 1",
];

const LUANTI_SETTINGS: &str = "\
screen_w = 320
screen_h = 240
autosave_screensize = false
fps_max = 5
fps_max_unfocused = 5
viewing_range = 20
client_mapblock_limit = 200
enable_sound = false
enable_shaders = false
enable_clouds = false
menu_clouds = false
enable_particles = false
enable_fog = false
smooth_lighting = false
";

/// Without `ini_version` OpenTTD takes the file for an old one and ignores private.cfg, and with it the name.
/// Without `autosave_on_exit` it asks whether one really wants to leave.
const OPENTTD_SETTINGS: &str = "\
[version]
ini_version = 2

[misc]
resolution = 320,240
video_hw_accel = false

[network]
use_relay_service = never
no_http_content_downloads = true

[gui]
refresh_rate = 10
autosave = off
autosave_on_exit = true
autosave_on_network_disconnect = false
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_is_seen_in_luantis_log() {
        let log =
            "2026-11-21 07:04:57: ACTION[Server]: ann [127.0.0.1] joins game. List of players: ann bea\n";
        assert!(LuantiClient::joined("ann", log));
        assert!(!LuantiClient::joined("bea", log));
    }

    #[test]
    fn a_join_is_seen_in_teeworlds_log() {
        let log = "[2026-11-21 20:09:36][game]: team_join player='0:ann' team=0\n";
        assert!(TeeworldsClient::joined("ann", log));
        assert!(!TeeworldsClient::joined("nn", log));
    }

    #[test]
    fn a_join_is_seen_in_openttds_log() {
        let log =
            "\u{200e}*** bob has joined the game (Client #2)\n\u{200e}*** eve has left the game (leaving)\n";
        assert!(OpenTtdClient::joined("bob", log));
        assert!(!OpenTtdClient::joined("eve", log));
    }
}
