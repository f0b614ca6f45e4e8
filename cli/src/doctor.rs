//! `dormouse doctor`: what this machine has, what is missing, and how to mend it.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use clap::Args;
use domain::game::Game;
use watchdog::{console::Console, packet::PacketTap, procnet::Tables, spawned::Stage};

use crate::{output::say, up};

/// Below this much room an archive of a usual world may not fit.
const LITTLE_ROOM: u64 = 2_000_000_000;

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The directory that `dormouse up` uses
    #[arg(long, env = "DORMOUSE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// A directory of catalogue entries beside those that are built in
    #[arg(long, env = "DORMOUSE_GAMES", value_name = "DIR")]
    games: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Debug, serde::Serialize)]
struct Finding {
    name: String,
    verdict: Verdict,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    /// It works, but not as well as it could.
    Weak,
    Bad,
}

/// Checks and says what it found; an error if something keeps worlds from running.
pub(crate) fn run(doctor: &Doctor) -> Result<()> {
    let mut findings = vec![socket_tables(), packet_peers()];
    let data = up::data_dir(doctor.data.as_deref())?;
    findings.extend([data_dir(&data), room(&data), database(&data.join("dormouse.db"))]);
    match up::catalogue(doctor.games.as_deref()) {
        Ok(catalogue) => {
            let runnable: Vec<_> = catalogue.iter().map(|(_, entry)| entry.game.clone()).collect();
            findings.extend(runnable.into_iter().filter(|game| game.scripts.is_some()).map(game));
        }
        Err(error) => findings.push(finding("catalogue", Verdict::Bad, format!("{error:#}"))),
    }
    let is_bad = findings.iter().any(|f| f.verdict == Verdict::Bad);
    if doctor.json {
        say!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(show);
    }
    if is_bad { bail!("something is missing") } else { Ok(()) }
}

fn show(finding: &Finding) {
    let mark = match finding.verdict {
        Verdict::Good => "ok  ",
        Verdict::Weak => "weak",
        Verdict::Bad => "BAD ",
    };
    say!("{mark} {}: {}", finding.name, finding.text);
}

fn finding(name: impl Into<String>, verdict: Verdict, text: impl Into<String>) -> Finding {
    Finding { name: name.into(), verdict, text: text.into() }
}

fn socket_tables() -> Finding {
    match Tables::read(Path::new("/proc/net")) {
        Ok(tables) => {
            let rows = tables.tcp.len() + tables.udp.len();
            finding("socket tables", Verdict::Good, format!("{rows} sockets can be seen"))
        }
        Err(error) => finding("socket tables", Verdict::Bad, format!("{error}: TCP players cannot be seen")),
    }
}

fn packet_peers() -> Finding {
    match PacketTap::open(&[9]) {
        Ok(_) => finding("packet peers", Verdict::Good, "UDP players can be counted"),
        Err(error) => {
            let text = format!(
                "{error}: of UDP games only the datagrams of the whole machine can be seen, so that other traffic keeps \
                 worlds awake until their cap; run as root, or `setcap cap_net_raw+ep` the program"
            );
            finding("packet peers", Verdict::Weak, text)
        }
    }
}

fn data_dir(data: &Path) -> Finding {
    let name = "data directory";
    let closed = up::game_user(None).ok().flatten().and_then(|user| up::closed_to(data, user));
    match (closed, writable(data)) {
        (Some(closed), _) => {
            let text = format!(
                "games do not get through {0}: `chmod o+x {0}` or choose another --data",
                closed.display()
            );
            finding(name, Verdict::Bad, text)
        }
        (None, Err(error)) => finding(
            name,
            Verdict::Bad,
            format!("{} cannot be written ({error}): choose another --data", data.display()),
        ),
        (None, Ok(())) => finding(name, Verdict::Good, data.display().to_string()),
    }
}

/// Tells whether files can be made in `dir`, or in the nearest directory above it that is there.
fn writable(dir: &Path) -> io::Result<()> {
    let there = dir.ancestors().find(|step| step.exists()).unwrap_or(dir);
    tempfile::tempfile_in(there).map(drop)
}

fn room(data: &Path) -> Finding {
    let there = data.ancestors().find(|step| step.exists()).unwrap_or(data);
    match nix::sys::statvfs::statvfs(there) {
        Ok(disk) => {
            let free = disk.blocks_available() * disk.fragment_size();
            let verdict = if free < LITTLE_ROOM { Verdict::Weak } else { Verdict::Good };
            finding("room on the disk", verdict, domain::words::bytes(free))
        }
        Err(error) => finding("room on the disk", Verdict::Weak, format!("unknown: {error}")),
    }
}

fn database(path: &Path) -> Finding {
    if !path.exists() {
        return finding("database", Verdict::Good, "none yet; `dormouse up` makes it");
    }
    match adapters::store::sqlite::SqliteStore::open(path) {
        Ok(_) => finding("database", Verdict::Good, format!("{} is sound", path.display())),
        Err(error) => finding("database", Verdict::Bad, error.to_string()),
    }
}

/// Tells whether the game's own bootstrap script finds what it needs.
fn game(game: Game) -> Finding {
    let name = format!("game {}", game.id);
    let packages = game.scripts.as_ref().map_or(String::new(), |scripts| scripts.packages.join(" "));
    let needs = if packages.is_empty() { String::new() } else { format!(" (Debian packages: {packages})") };
    match try_bootstrap(game) {
        Ok(()) => finding(name, Verdict::Good, "can run here"),
        Err(error) => finding(name, Verdict::Weak, format!("{error:#}{needs}")),
    }
}

fn try_bootstrap(game: Game) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let files = scratch.path().join("files");
    fs::create_dir(&files)?;
    let user = up::game_user(None)?;
    if let Some((user, group)) = user {
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))?;
        chown(&files, Some(user), Some(group))?;
    }
    let console = Console::for_launch(&game)?;
    Stage { game, files, log: scratch.path().join("log"), user, console }.bootstrap(None, &mut || false)
}
