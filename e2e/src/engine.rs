//! A machine with a container engine and a `dormouse` that uses it: its containers are in the lab's network, where players are,
//! and nothing of them is seen outside.
//!
//! The games' images are built by `dormouse`, from their Dockerfiles, on a base image that is kept here: these name a version of
//! Debian's that only a registry can give. What a Dockerfile installs is kept from one run to the next, since the lab leads
//! nowhere.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use emulators::{BASE, Engine, Network};
use serde_json::Value;
use tempfile::TempDir;

use crate::{dormouse::Dormouse, netns::Lab};

/// The games whose server Debian has.
pub const GAMES: [&str; 2] = ["luanti", "openttd"];

/// The machine, and players' machines.
pub struct Machine {
    /// Ends before the network that its containers are in.
    pub engine: Engine,
    /// The network.
    pub lab: Lab,
    games: TempDir,
}

/// The image of the watchdog, built by its Dockerfile of the static program.
pub const WATCHDOG_IMAGE: &str = "docker.io/dormouse/watchdog:latest";

/// A container, as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image that it was made of.
    pub image: String,
    /// What the engine calls its state: `running`, `exited`.
    pub state: String,
}

impl Machine {
    /// Starts the machine `name`, a word, and this many players' machines. Its containers never get the capabilities that are
    /// `withheld`.
    pub fn start(name: &str, clients: usize, withheld: &[&str]) -> Result<Self> {
        let machine = Self::bare(name, clients, withheld)?;
        machine.build_watchdog(&watchdog_program(), WATCHDOG_IMAGE)?;
        Ok(machine)
    }

    /// Starts the same without an image of the watchdog.
    pub fn bare(name: &str, clients: usize, withheld: &[&str]) -> Result<Self> {
        keep_images()?;
        let games = tempfile::tempdir()?;
        let lab = Lab::new(name, clients)?;
        let engine = Engine::withholding(Network::Namespace(lab.server().path()), withheld)?;
        Ok(Self { engine, lab, games })
    }

    /// Returns a control plane that uses the engine, and the watchdog's own image; it is not started yet.
    pub fn dormouse(&self) -> Result<Dormouse<'_>> {
        let mut dormouse = Dormouse::prepare(self.lab.server())?;
        let games = self.games.path().to_string_lossy().into_owned();
        let base = format!("BASE={BASE}");
        let arguments = ["--games", &games, "--build-arg", &base, "--watchdog-image", WATCHDOG_IMAGE];
        dormouse.runtime = "docker";
        dormouse.arguments = arguments.map(Into::into).into();
        dormouse.wrapper = vec!["env".into(), format!("DOCKER_HOST={}", self.engine.url())];
        Ok(dormouse)
    }

    /// Starts a control plane that uses the engine, and waits until it answers.
    pub fn dormouse_up(&self) -> Result<Dormouse<'_>> {
        let dormouse = self.dormouse()?;
        dormouse.start().with_context(|| self.logs())?;
        Ok(dormouse)
    }

    /// Builds the watchdog's image by its Dockerfile, with this program: from what `cargo xtask build` would put beside it for
    /// this machine.
    pub fn build_watchdog(&self, program: &Path, tag: &str) -> Result<()> {
        let (context, root) = (tempfile::tempdir()?, root());
        let put = |from: &Path, name: &str| {
            fs::copy(from, context.path().join(name)).with_context(|| format!("copying {}", from.display()))
        };
        put(&root.join("watchdog/Dockerfile"), "Dockerfile")?;
        put(program, &format!("watchdog-{}", architecture()))?;
        for entry in fs::read_dir(root.join("games/catalog"))? {
            let entry = entry?;
            put(&entry.path(), &entry.file_name().to_string_lossy())?;
        }
        let context = context.path().to_string_lossy().into_owned();
        self.engine.ok(&["build", "--quiet", "--network", "none", "--tag", tag, &context]).map(drop)
    }

    /// Changes the catalogue's entry of a game for control planes that are started later; its image stays what it is.
    pub fn change_entry(&self, game: &str, change: impl FnOnce(String) -> String) -> Result<()> {
        let before = fs::read_to_string(entry(game))?;
        let after = change(before.clone());
        ensure!(after != before, "nothing was changed in the entry of {game}");
        Ok(fs::write(self.games.path().join(format!("{game}.toml")), after)?)
    }

    /// Returns the containers that are there, whatever their state.
    pub fn containers(&self) -> Result<Vec<Container>> {
        let listed: Value = serde_json::from_str(&self.engine.ok(&["ps", "--all", "--format", "json"])?)?;
        let containers = listed.as_array().context("no list of containers")?.iter();
        let text =
            |value: &Value| value.as_str().map(str::to_owned).context("a container that is not described");
        let described = containers.map(|one| {
            Ok(Container {
                id: text(&one["Id"])?,
                name: text(&one["Names"][0])?,
                image: text(&one["Image"])?,
                state: text(&one["State"])?,
            })
        });
        described.collect()
    }

    /// Returns the one running container of an image whose name has `image` in it.
    pub fn running(&self, image: &str) -> Result<Container> {
        let all = self.containers()?;
        let mut found = all.iter().filter(|one| one.image.contains(image) && one.state == "running");
        let one = found.next().with_context(|| format!("no {image} runs: {all:?}"))?;
        ensure!(found.next().is_none(), "more than one {image} runs: {all:?}");
        Ok(one.clone())
    }

    /// Returns what the running container of an image has printed.
    pub fn log(&self, image: &str) -> Result<String> {
        self.printed(&self.running(image)?.id)
    }

    /// Returns what a container has printed, running or not.
    pub fn printed(&self, id: &str) -> Result<String> {
        let output = self.engine.command().args(["logs", id]).output()?;
        Ok([output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat())
    }

    /// Returns what is wrong, for a failure's message: what the containers and the engine have said.
    pub fn logs(&self) -> String {
        let mut said = format!("--- the engine\n{}\n", self.engine.log());
        for container in self.containers().unwrap_or_default() {
            let output = self.engine.command().args(["logs", "--tail", "30", &container.id]).output();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let logs = output.map(|output| text(&output.stdout) + &text(&output.stderr));
            said += &format!("--- {container:?}\n{}\n", logs.unwrap_or_else(|error| error.to_string()));
        }
        said
    }
}

/// Returns the watchdog that needs nothing of the machine it runs on, which `cargo xtask test` has built.
pub fn watchdog_program() -> PathBuf {
    root().join(format!("target/{}-unknown-linux-musl/debug/watchdog", std::env::consts::ARCH))
}

/// Returns this machine's architecture as images have it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the catalogue's file about a game.
pub fn entry(game: &str) -> PathBuf {
    root().join(format!("games/catalog/{game}.toml"))
}

/// Returns the name of a game's image that is kept, whose layers are those of the one that `dormouse` builds.
pub fn kept(game: &str) -> String {
    format!("kept/{game}")
}

/// Has what the Dockerfiles install on the machine, from where it has a network.
fn keep_images() -> Result<()> {
    for game in GAMES {
        let (context, begun) = (tempfile::tempdir()?, Instant::now());
        let mut read = games::Catalogue::read_file(&entry(game))?;
        read.dockerfile = Some(fs::read_to_string(root().join(games::dockerfile_name(game)))?);
        for file in read.image_context(None)? {
            fs::write(context.path().join(file.name), &file.text)?;
        }
        Engine::build(&kept(game), context.path())?;
        println!("what the image of {game} takes is there after {:.1?}", begun.elapsed());
    }
    Ok(())
}
