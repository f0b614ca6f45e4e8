//! What people chose for the world's game, on its way from the control plane to the game: never on a command line, in a log or
//! in what the task is started with.

use std::{fmt, path::Path};

use adapters::report::SettingsRecord;
use anyhow::{Context, Result};
use domain::{
    game::Game,
    settings::{Setting, variables},
};

use crate::secret_file;

/// The environment of one launch's scripts, as far as people chose it. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Settings(Vec<(String, String)>);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({})", self.0.len())
    }
}

impl Settings {
    /// Returns what `game` is told of what was chosen, or why it cannot be played so. Where the control plane knew of no settings,
    /// nothing was chosen.
    pub fn of(game: &Game, sent: Option<&SettingsRecord>) -> Result<Self> {
        let chosen = sent.map(SettingsRecord::parse).transpose().context("reading the settings")?;
        let chosen = chosen.unwrap_or_default();
        let variables =
            variables(&game.settings, &chosen).map_err(|bad| anyhow::anyhow!("{bad}: {}", bad.hint()))?;
        Ok(Self(variables))
    }

    /// Returns what `game` is told where nobody has chosen anything, even what must be chosen: for a trial.
    pub fn unchosen(game: &Game) -> Self {
        let default = |setting: &Setting| {
            setting.default.as_ref().map_or(String::new(), |value| value.as_str().to_owned())
        };
        Self(game.settings.iter().map(|setting| (setting.variable(), default(setting))).collect())
    }

    /// Returns the environment of the game's scripts.
    pub fn variables(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.iter().cloned()
    }

    /// Leaves them in a file that `user` alone can read, for a shell to read; none where there are none.
    pub fn leave(&self, path: &Path, user: (u32, u32)) -> Result<()> {
        if self.0.is_empty() {
            secret_file::forget(path).context("removing the settings of an earlier launch")
        } else {
            secret_file::leave(path, &self.script(), user).context("leaving the settings for the game")
        }
    }

    /// Returns a script that sets the environment, whatever the values hold.
    fn script(&self) -> String {
        self.0.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect()
    }
}

/// Returns `text` as one word of a POSIX shell. Within single quotes nothing is special but a single quote.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Values that a shell could take for more than texts.
    const HOSTILE: &[&str] = &[
        "",
        "plain",
        " two  words ",
        "it's",
        "''",
        "'",
        "\\",
        "\\'",
        "'; touch pwned; '",
        "$(touch pwned)",
        "`touch pwned`",
        "${HOME}",
        "\"$PATH\"",
        "#no comment",
        "a;b&c|d>e<f(g)h{i}j[k]*?~!",
        "-n",
        "=x",
        "åäö 🌋",
        "\u{a0}",
        "%s\\n",
    ];

    #[test]
    fn a_shell_reads_what_was_chosen_and_runs_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<_> = HOSTILE
            .iter()
            .enumerate()
            .map(|(n, text)| (format!("SETTING_V{n}"), (*text).to_owned()))
            .collect();
        let own = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        let file = dir.path().join("settings");
        Settings(all).leave(&file, own).unwrap();
        for shell in ["/bin/sh", "/bin/bash"] {
            let output = Command::new(shell)
                .args(["-eu", "-c", ". \"$DORMOUSE_SETTINGS_FILE\"; exec env -0"])
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .env("DORMOUSE_SETTINGS_FILE", &file)
                .current_dir(dir.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
            let read = String::from_utf8(output.stdout).unwrap();
            let read: Vec<_> = read.split('\0').collect();
            for (n, text) in HOSTILE.iter().enumerate() {
                let line = format!("SETTING_V{n}={text}");
                assert!(read.contains(&line.as_str()), "{shell}: {line:?} is not among {read:?}");
            }
            assert!(!dir.path().join("pwned").exists());
        }
    }

    #[test]
    fn where_nothing_can_be_chosen_an_earlier_file_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("settings");
        std::fs::write(&file, "export SETTING_PASSWORD='old'\n").unwrap();
        Settings::default().leave(&file, (0, 0)).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn no_value_is_shown_by_debug() {
        let settings = Settings(vec![("SETTING_PASSWORD".into(), "hunter22".into())]);
        assert_eq!(format!("{settings:?}"), "Settings(1)");
    }
}
