//! The games of the table: their real servers and their real players.

use std::{
    fs::{self, File},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{
    clients::{LuantiClient, MinecraftClient, OpenTtdClient, TeeworldsClient, node_path, surely},
    netns::Namespace,
};

/// For how long players act when they do.
const ACTING: Duration = Duration::from_secs(3);

/// A game with a server and players that run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Game {
    /// UDP; an idle player sends less than one datagram a second.
    Luanti,
    /// TCP.
    OpenTtd,
    /// TCP: flying-squid and mineflayer.
    Java,
    /// UDP, RakNet: bedrock-protocol.
    Bedrock,
    /// UDP, Teeworlds 0.7.
    Teeworlds,
}

impl Game {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Luanti, Self::OpenTtd, Self::Java, Self::Bedrock, Self::Teeworlds];

    /// Returns its name as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Luanti => "Luanti",
            Self::OpenTtd => "OpenTTD",
            Self::Java => "Minecraft Java",
            Self::Bedrock => "Minecraft Bedrock",
            Self::Teeworlds => "Teeworlds",
        }
    }

    /// Returns its name in one word of small letters.
    pub fn word(self) -> &'static str {
        match self {
            Self::Luanti => "luanti",
            Self::OpenTtd => "openttd",
            Self::Java => "java",
            Self::Bedrock => "bedrock",
            Self::Teeworlds => "teeworlds",
        }
    }

    /// Returns its port.
    pub fn port(self) -> u16 {
        match self {
            Self::Luanti => 30000,
            Self::OpenTtd => 3979,
            Self::Java => 25565,
            Self::Bedrock => 19132,
            Self::Teeworlds => 8303,
        }
    }

    /// Says whether its players are connections, which the socket tables show.
    pub fn is_tcp(self) -> bool {
        match self {
            Self::OpenTtd | Self::Java => true,
            Self::Luanti | Self::Bedrock | Self::Teeworlds => false,
        }
    }

    /// Returns its catalogue entry: the real one, or one of these tests' own.
    pub fn entry(self) -> PathBuf {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        match self {
            Self::Luanti => here.join("../games/catalog/luanti.toml"),
            Self::OpenTtd => here.join("../games/catalog/openttd.toml"),
            Self::Java => here.join("fixtures/minecraft-java.toml"),
            Self::Bedrock => here.join("fixtures/minecraft-bedrock.toml"),
            Self::Teeworlds => here.join("../games/catalog/teeworlds.toml"),
        }
    }
}

/// A server with a new world. Dropping it kills it.
#[derive(Debug)]
pub struct Server<'a> {
    /// What it serves.
    pub game: Game,
    ns: &'a Namespace,
    program: Child,
    /// Holds its files and `log`, what it printed.
    home: TempDir,
}

impl<'a> Server<'a> {
    /// Starts a server inside `ns`, and does not wait for it.
    pub fn start(game: Game, ns: &'a Namespace) -> Result<Self> {
        let home = TempDir::with_prefix("dormouse-server-")?;
        let mut command = server_command(game, ns, home.path())?;
        let log = File::create(home.path().join("log"))?;
        command.current_dir(&home).env("HOME", home.path()).env("TERM", "dumb");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let program = command.spawn().with_context(|| format!("starting the server of {}", game.name()))?;
        Ok(Self { game, ns, program, home })
    }

    /// Returns what it has printed.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.home.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Has the player `name` join from `ns`, and waits until the server says so.
    pub fn join(&self, ns: &Namespace, name: &str) -> Result<Player> {
        let before = self.joins(name);
        let join = || Player::join(self.game, ns, self.ns.address.into(), name);
        surely(join, || Ok(self.joins(name) > before))
            .with_context(|| format!("{} does not come in; the server printed:\n{}", name, self.log()))
    }

    /// Returns how often `name` has joined.
    fn joins(&self, name: &str) -> usize {
        let joined = match self.game {
            Game::Luanti => LuantiClient::joined,
            Game::OpenTtd => OpenTtdClient::joined,
            Game::Java | Game::Bedrock => MinecraftClient::joined,
            Game::Teeworlds => TeeworldsClient::joined,
        };
        self.log().lines().filter(|line| joined(name, line)).count()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // Nobody is left to tell; the namespace ends what is left.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn server_command(game: Game, ns: &Namespace, home: &Path) -> Result<Command> {
    let port = game.port().to_string();
    let games = |program: &str| ns.command(Path::new("/usr/games").join(program));
    Ok(match game {
        Game::Luanti => {
            fs::write(home.join("minetest.conf"), "server_announce = false\n")?;
            let mut command = games("minetestserver");
            command.arg("--config").arg(home.join("minetest.conf")).arg("--world").arg(home.join("world"));
            command.args(["--gameid", "minetest_game", "--port", &port, "--logfile", "", "--color", "never"]);
            command
        }
        Game::OpenTtd => {
            fs::write(home.join("openttd.cfg"), OPENTTD_SERVER)?;
            let mut command = games("openttd");
            command.arg("-D").arg(format!("0.0.0.0:{port}")).arg("-c").arg(home.join("openttd.cfg"));
            command.args(["-x", "-g"]);
            command
        }
        Game::Java | Game::Bedrock => {
            let mut command = ns.command("node");
            let program = if game == Game::Java { "java-server.js" } else { "bedrock-server.js" };
            command.env("PATH", node_path()).arg(players()?.join(program)).arg(&port);
            command
        }
        Game::Teeworlds => {
            fs::write(home.join("server.cfg"), format!("sv_port {port}\nsv_register 0\n"))?;
            let mut command = games("teeworlds-server");
            command.arg("-f").arg("server.cfg");
            command
        }
    })
}

/// Returns the directory of the Minecraft programs, with the packages that they need installed there.
fn players() -> Result<PathBuf> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("players");
    let installed = directory.join("node_modules/.package-lock.json");
    let lock = directory.join("package-lock.json");
    let written = |file: &Path| fs::metadata(file).and_then(|found| found.modified()).ok();
    if written(&installed).is_none_or(|installed| written(&lock).is_some_and(|lock| lock > installed)) {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        npm.env("PATH", node_path()).current_dir(&directory);
        let output = npm.output().context("running npm, which comes with Node")?;
        ensure!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(directory)
}

/// Nobody else is asked or told anything, and the game goes on without players.
const OPENTTD_SERVER: &str = "\
[version]
ini_version = 2

[network]
server_game_type = local
use_relay_service = never
no_http_content_downloads = true
min_active_clients = 0

[gui]
autosave = off
";

/// Somebody who plays. Dropping it kills the player's program.
#[derive(Debug)]
pub enum Player {
    /// Of Luanti.
    Luanti(LuantiClient),
    /// Of OpenTTD.
    OpenTtd(OpenTtdClient),
    /// Of either Minecraft.
    Minecraft(MinecraftClient),
    /// Of Teeworlds.
    Teeworlds(TeeworldsClient),
}

impl Player {
    fn join(game: Game, ns: &Namespace, address: IpAddr, name: &str) -> Result<Self> {
        let port = game.port();
        let minecraft = |program: &str| {
            MinecraftClient::join(ns, &players()?.join(program), address, port, name).map(Self::Minecraft)
        };
        match game {
            Game::Luanti => LuantiClient::join(Some(ns), address, port, name).map(Self::Luanti),
            Game::OpenTtd => OpenTtdClient::join(Some(ns), address, port, name).map(Self::OpenTtd),
            Game::Java => minecraft("java-player.js"),
            Game::Bedrock => minecraft("bedrock-player.js"),
            Game::Teeworlds => TeeworldsClient::join(Some(ns), address, port, name).map(Self::Teeworlds),
        }
    }

    /// Walks, or says something.
    pub fn act(&self) -> Result<()> {
        match self {
            Self::Luanti(client) => client.act(ACTING),
            Self::OpenTtd(client) => client.act("hello"),
            Self::Minecraft(client) => client.act(),
            Self::Teeworlds(client) => client.act(ACTING),
        }
    }

    /// Leaves as a player does who closes the window.
    pub fn leave(&mut self) -> Result<()> {
        match self {
            Self::Luanti(client) => client.leave(),
            Self::OpenTtd(client) => client.leave(),
            Self::Minecraft(client) => client.leave(),
            Self::Teeworlds(client) => client.leave(),
        }
    }

    /// Ends at once.
    pub fn kill(&mut self) -> Result<()> {
        match self {
            Self::Luanti(client) => client.kill(),
            Self::OpenTtd(client) => client.kill(),
            Self::Minecraft(client) => client.kill(),
            Self::Teeworlds(client) => client.kill(),
        }
    }
}
