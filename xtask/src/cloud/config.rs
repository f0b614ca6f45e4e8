//! What people decided: `dormouse.toml`, as `cdk/bin/config.ts` checks and tells it, so that one reader says what is wrong.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    build::Architecture,
    ground::{Ground, path_with},
};

/// The decisions that deploying and taking down go by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Config {
    /// What names begin with.
    pub(crate) prefix: String,
    /// Twelve digits.
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) discord: Discord,
    pub(crate) functions: Functions,
    pub(crate) games: Vec<Game>,
}

/// Discord's application.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Discord {
    pub(crate) application: String,
    /// 64 hexadecimal digits.
    pub(crate) public_key: String,
    pub(crate) guilds: Vec<String>,
}

/// How many instances of the functions run at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Functions {
    pub(crate) front_door_at_once: u64,
    pub(crate) worker_at_once: u64,
    pub(crate) reserved: bool,
}

/// A game that can be played.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Game {
    pub(crate) id: String,
    architectures: Vec<String>,
}

impl Game {
    /// Returns what its image is built for (`cdk/lib/tasks/tasks.ts`).
    pub(crate) fn architecture(&self) -> Architecture {
        let is_listed = |wanted: &Architecture| self.architectures.iter().any(|name| name == wanted.name());
        Architecture::ALL.into_iter().find(is_listed).unwrap_or(Architecture::Amd64)
    }
}

impl Config {
    /// Reads `file`; the error is a sentence for each mistake, with its line.
    pub(crate) fn read(ground: &Ground, node: &Path, file: &Path) -> Result<Self> {
        let mut command = ground.command("node", &["--import", "tsx", "bin/config.ts"]);
        command.arg(file).current_dir(ground.path("cdk")).env("PATH", path_with(node)?);
        let said = command.output().context("running node")?;
        if !said.status.success() {
            bail!("{}", String::from_utf8_lossy(&said.stderr).trim());
        }
        serde_json::from_slice(&said.stdout).context("cdk/bin/config.ts says something else than is expected")
    }

    /// Returns the name of the stack that can be taken down.
    pub(crate) fn service_stack(&self) -> String {
        format!("{}-service", self.prefix)
    }

    /// Returns the name of the stack that holds worlds.
    pub(crate) fn stateful_stack(&self) -> String {
        format!("{}-stateful", self.prefix)
    }

    /// Says which Dormouse this is.
    pub(crate) fn title(&self) -> String {
        format!("`{}` in {} of account {}", self.prefix, self.region, self.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_toolkits_side_tells_of_the_example_is_understood() {
        let told = include_str!("../../../cdk/test/snapshots/config.json");
        let config: Config = serde_json::from_str(told).unwrap();
        assert_eq!(config.title(), "`dormouse` in eu-central-1 of account 111122223333");
        assert_eq!(config.service_stack(), "dormouse-service");
        assert_eq!(config.discord.guilds, ["1200000000000000002"]);
        assert_eq!(config.functions, Functions { front_door_at_once: 10, worker_at_once: 5, reserved: true });
        let games: Vec<_> = config.games.iter().map(|game| (game.id.as_str(), game.architecture())).collect();
        use Architecture::{Amd64, Arm64};
        assert_eq!(games, [("luanti", Arm64), ("openttd", Arm64), ("valheim", Amd64)]);
    }
}
