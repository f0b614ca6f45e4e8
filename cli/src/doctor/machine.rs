//! What this machine has for `dormouse up`.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use anyhow::Result;
use domain::game::Game;
use watchdog::{console::Console, packet::PacketTap, procnet::Tables, settings::Settings, spawned::Stage};

use super::finding::{Finding, bad, good, weak};
use crate::up;

/// Below this much room an archive of a usual world may not fit.
const LITTLE_ROOM: u64 = 2_000_000_000;

/// Looks at what the control plane in `data` and the games need, those of the directory `games` among them.
pub(super) fn findings(data: Option<&Path>, games: Option<&Path>) -> Result<Vec<Finding>> {
    let mut findings = vec![socket_tables(), packet_peers()];
    let data = up::data_dir(data)?;
    findings.extend([data_dir(&data), room(&data), database(&data.join("dormouse.db"))]);
    match up::catalogue(games) {
        Ok(catalogue) => {
            let runnable: Vec<_> = catalogue.iter().map(|(_, entry)| entry.game.clone()).collect();
            findings.extend(runnable.into_iter().filter(|game| game.scripts.is_some()).map(game));
        }
        Err(error) => findings.push(bad("catalogue", format!("{error:#}"))),
    }
    Ok(findings)
}

fn socket_tables() -> Finding {
    match Tables::read(Path::new("/proc/net")) {
        Ok(tables) => {
            let rows = tables.tcp.len() + tables.udp.len();
            good("socket tables", format!("{rows} sockets can be seen"))
        }
        Err(error) => bad("socket tables", format!("{error}: TCP players cannot be seen")),
    }
}

fn packet_peers() -> Finding {
    match PacketTap::open(&[9]) {
        Ok(_) => good("packet peers", "UDP players can be counted"),
        Err(error) => {
            let text = format!(
                "{error}: of UDP games only the datagrams of the whole machine can be seen, so that other traffic keeps \
                 worlds awake until their cap; run as root, or `setcap cap_net_raw+ep` the program"
            );
            weak("packet peers", text)
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
            bad(name, text)
        }
        (None, Err(error)) => {
            bad(name, format!("{} cannot be written ({error}): choose another --data", data.display()))
        }
        (None, Ok(())) => good(name, data.display().to_string()),
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
            let told = if free < LITTLE_ROOM { weak } else { good };
            told("room on the disk", domain::words::bytes(free))
        }
        Err(error) => weak("room on the disk", format!("unknown: {error}")),
    }
}

fn database(path: &Path) -> Finding {
    if !path.exists() {
        return good("database", "none yet; `dormouse up` makes it");
    }
    match adapters::store::sqlite::SqliteStore::open(path) {
        Ok(_) => good("database", format!("{} is sound", path.display())),
        Err(error) => bad("database", error.to_string()),
    }
}

/// Tells whether the game's own bootstrap script finds what it needs.
fn game(game: Game) -> Finding {
    let name = format!("game {}", game.id);
    let packages = game.scripts.as_ref().map_or(String::new(), |scripts| scripts.packages.join(" "));
    let needs = if packages.is_empty() { String::new() } else { format!(" (Debian packages: {packages})") };
    match try_bootstrap(game) {
        Ok(()) => good(name, "can run here"),
        Err(error) => weak(name, format!("{error:#}{needs}")),
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
    let settings = Settings::unchosen(&game);
    Stage { game, files, log: scratch.path().join("log"), user, console, settings }
        .bootstrap(None, &mut || false)
}
