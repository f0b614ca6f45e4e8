//! What a game's image is made of where the game has a container of its own: here, the machine's own files, and the scripts of
//! the game's entry as its entrypoint.

use std::path::Path;

use anyhow::{Context, Result};

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The catalogue's entry.
    pub entry: String,
    /// The entrypoint: a script of the shell.
    pub entrypoint: String,
}

impl Image {
    /// Returns the image of a game of the catalogue.
    pub fn of(game: &str) -> Result<Self> {
        Self::by(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../games/catalog/{game}.toml")))
    }

    /// Returns the image of the game whose entry is in this file.
    pub fn by(file: &Path) -> Result<Self> {
        let entry = games::Catalogue::read_file(file)?;
        let entrypoint = entry.entrypoint().context("a game without scripts")?;
        Ok(Self { entry: entry.source, entrypoint })
    }

    /// Returns an entrypoint that is a shell and stays one while the server runs.
    pub fn beside_a_shell(&self) -> String {
        format!("{}\nexit 0", self.entrypoint.replace("\nexec ", "\n"))
    }
}

/// Tries what a game must not be able to do to the watchdog beside it, and says of each that it could not.
pub const SPY: &str = r#"
watchdog=
for process in /proc/[0-9]*; do
  name=$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null || true)
  case "$name" in */dormouse\ watchdog\ run* | /watchdog\ run*) watchdog=${process#/proc/} ;; esac
done
[ -z "$watchdog" ] || echo "spy: found"
cat "/proc/$watchdog/environ" 2>/dev/null || echo "spy: no environment"
head -c 1 "/proc/$watchdog/mem" 2>/dev/null || echo "spy: no memory"
kill -s KILL "$watchdog" 2>/dev/null || echo "spy: no signal"
cat "$WORLD/../.dormouse/lock" 2>/dev/null || echo "spy: no lock"
(echo other >"$WORLD/../.dormouse/world") 2>/dev/null || echo "spy: no marker"
(echo >"$WORLD/../../../task/healthy") 2>/dev/null || echo "spy: no health"
echo "spy: done"
"#;

/// What the spy says where nothing lets it through.
pub const KEPT_OUT: [&str; 8] =
    ["found", "no environment", "no memory", "no signal", "no lock", "no marker", "no health", "done"];

/// Returns what the spy has said, of all that a game has printed.
pub fn spied(printed: &str) -> Vec<&str> {
    printed.lines().filter_map(|line| line.strip_prefix("spy: ")).collect()
}
