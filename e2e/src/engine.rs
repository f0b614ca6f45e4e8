//! A machine with a container engine and a `dormouse` that uses it: its containers are in the lab's network, where players are,
//! and nothing of them is seen outside.
//!
//! The games' images are built by `dormouse`, from the Dockerfiles of the games, with one line changed: they name a version of Debian's
//! image that only a registry can give, and here another is taken. What a Dockerfile installs is kept from one run to the next.

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
        keep_images()?;
        let games = tempfile::tempdir()?;
        GAMES.iter().try_for_each(|game| copy_game(game, games.path()))?;
        let lab = Lab::new(name, clients)?;
        let engine = Engine::withholding(Network::Namespace(lab.server().path()), withheld)?;
        let machine = Self { engine, lab, games };
        machine.build_watchdog()?;
        Ok(machine)
    }

    /// Returns a control plane that uses the engine; it is not started yet.
    pub fn dormouse(&self) -> Result<Dormouse<'_>> {
        let mut dormouse = Dormouse::prepare(self.lab.server())?;
        let games = self.games.path().to_string_lossy().into_owned();
        dormouse.arguments = ["--runtime", "docker", "--games", &games].map(Into::into).into();
        dormouse.wrapper = vec!["env".into(), format!("DOCKER_HOST={}", self.engine.url())];
        Ok(dormouse)
    }

    /// Starts a control plane that uses the engine, and waits until it answers.
    pub fn dormouse_up(&self) -> Result<Dormouse<'_>> {
        let mut dormouse = self.dormouse()?;
        dormouse.start().with_context(|| self.logs())?;
        Ok(dormouse)
    }

    /// Builds the watchdog's image, from what `cargo xtask build` would put beside its Dockerfile for this machine.
    fn build_watchdog(&self) -> Result<()> {
        let (context, root) = (tempfile::tempdir()?, root());
        let put = |from: PathBuf, name: &str| {
            fs::copy(&from, context.path().join(name)).with_context(|| format!("copying {}", from.display()))
        };
        put(root.join("watchdog/Dockerfile"), "Dockerfile")?;
        put(watchdog_program(), &format!("watchdog-{}", architecture()))?;
        for entry in fs::read_dir(root.join("games/catalog"))? {
            let entry = entry?;
            put(entry.path(), &entry.file_name().to_string_lossy())?;
        }
        let context = context.path().to_string_lossy().into_owned();
        self.engine
            .ok(&["build", "--quiet", "--network", "none", "--tag", WATCHDOG_IMAGE, &context])
            .map(drop)
    }

    /// Changes the entry of a game, before it is used.
    pub fn change_entry(&self, game: &str, change: impl FnOnce(String) -> String) -> Result<()> {
        self.change(&format!("{game}.toml"), change)
    }

    /// Changes the Dockerfile of a game, before it is used.
    pub fn change_dockerfile(&self, game: &str, change: impl FnOnce(String) -> String) -> Result<()> {
        self.change(&format!("Dockerfile.{game}"), change)
    }

    fn change(&self, name: &str, change: impl FnOnce(String) -> String) -> Result<()> {
        let file = self.games.path().join(name);
        let before = fs::read_to_string(&file)?;
        let after = change(before.clone());
        ensure!(after != before, "nothing was changed in {name}");
        Ok(fs::write(file, after)?)
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
        let id = self.running(image)?.id;
        let output = self.engine.command().args(["logs", &id]).output()?;
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

/// Copies the entry of a game of the catalogue into `to`, and its Dockerfile with the base image that is kept here.
fn copy_game(game: &str, to: &Path) -> Result<()> {
    let root = root();
    fs::copy(root.join(format!("games/catalog/{game}.toml")), to.join(format!("{game}.toml")))?;
    let name = games::dockerfile_name(game);
    let dockerfile = fs::read_to_string(root.join(&name))?;
    Ok(fs::write(to.join(&name), on_kept_base(&dockerfile).with_context(|| format!("reading {name}"))?)?)
}

/// Returns the Dockerfile with the base image that is kept here.
fn on_kept_base(dockerfile: &str) -> Result<String> {
    let named: Vec<_> = dockerfile.lines().filter(|line| line.starts_with("ARG BASE=")).collect();
    ensure!(named.len() == 1, "it names {} base images", named.len());
    Ok(dockerfile.replace(named[0], &format!("ARG BASE={BASE}")))
}

/// Has what the Dockerfiles install on the machine, from where it has a network: the lab has none.
fn keep_images() -> Result<()> {
    for game in GAMES {
        let (context, begun) = (tempfile::tempdir()?, Instant::now());
        copy_game(game, context.path())?;
        let entry = games::Catalogue::read_file(&context.path().join(format!("{game}.toml")))?;
        let files = entry.image_context(None)?;
        let context = tempfile::tempdir()?;
        files.iter().try_for_each(|file| fs::write(context.path().join(file.name), &file.text))?;
        Engine::build(&format!("kept/{game}"), context.path())?;
        println!("what the image of {game} takes is there after {:.1?}", begun.elapsed());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_base_image_is_another() {
        let dockerfile = "# a\nARG BASE=debian@sha256:0a\nFROM ${BASE}\nRUN b\n";
        let expected = format!("# a\nARG BASE={BASE}\nFROM ${{BASE}}\nRUN b\n");
        assert_eq!(on_kept_base(dockerfile).unwrap(), expected);
        assert!(on_kept_base("FROM debian\n").is_err());
    }
}
