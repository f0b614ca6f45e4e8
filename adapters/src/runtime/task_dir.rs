//! The directory that a task has on this machine, whatever it runs as: `<data>/tasks/<world>.<generation>/`.
//!
//! ```text
//! ports      the ports that the game was given
//! pid        written by the watchdog, first of all
//! outcome    written by the watchdog at its end: empty, or what went wrong
//! engine     there if the task is containers: where the engine listens that has them
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use domain::{
    event::Gone,
    game::Game,
    ports::{RunningTask, Unavailable},
    world::{Generation, TaskId, WorldId},
};

use crate::report::shortened;

/// How many ended tasks of a world are kept, for their logs.
pub(super) const KEPT_TASKS: u32 = 5;

/// The file that says that a task is containers.
pub(super) const ENGINE_FILE: &str = "engine";

/// Reads the name of a task, which is also that of its directory.
pub(super) fn task_of(name: &str) -> Option<RunningTask> {
    let (world, generation) = name.rsplit_once('.')?;
    Some(RunningTask {
        task: TaskId::parse(name).ok()?,
        world: WorldId::parse(world).ok()?,
        generation: Generation(generation.parse().ok()?),
    })
}

/// Returns the directory of a task below `data`. A name that leads elsewhere is none of ours and finds nothing.
pub(super) fn of(data: &Path, task: &TaskId) -> PathBuf {
    let name = if task_of(task.as_str()).is_some() { task.as_str() } else { "unknown" };
    data.join("tasks").join(name)
}

/// Returns the tasks that have a directory below `data`, whether they run or not.
pub(super) fn all(data: &Path) -> Result<Vec<RunningTask>, Unavailable> {
    let root = data.join("tasks");
    let entries = fs::read_dir(&root).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| unavailable(&root, &error))?;
    Ok(entries.iter().filter_map(|entry| task_of(entry.file_name().to_str()?)).collect())
}

/// Tells whether the task of this directory was launched as containers, which an engine has until it is told to remove them.
pub(super) fn is_boxed(dir: &Path) -> bool {
    dir.join(ENGINE_FILE).exists()
}

/// Removes the directory. No error if it is gone.
pub(super) fn remove(dir: &Path) -> Result<(), Unavailable> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unavailable(dir, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Notes the ports that the game of a task was given.
pub(super) fn note_ports(dir: &Path, game: &Game) -> io::Result<()> {
    let ports: Vec<_> = game.bound().map(|(number, _)| number.to_string()).collect();
    fs::write(dir.join("ports"), ports.join("\n"))
}

/// Returns the ports that the game of a task was given. A task that is only coming up may not have noted them yet.
pub(super) fn ports(dir: &Path) -> Vec<u16> {
    let noted = fs::read_to_string(dir.join("ports")).unwrap_or_default();
    noted.lines().filter_map(|port| port.parse().ok()).collect()
}

/// Returns how a task ended, by what its watchdog noted.
pub(super) fn how_it_ended(dir: &Path) -> Gone {
    let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
    match (read("pid"), read("outcome")) {
        (None, _) => Gone::NeverExisted,
        (Some(_), None) => Gone::Crashed("its watchdog was killed, or could not note how it ended".into()),
        (Some(_), Some(outcome)) if outcome.is_empty() => Gone::Exited,
        (Some(_), Some(outcome)) => Gone::Crashed(shortened(&outcome)),
    }
}

/// Returns how a task ended whose watchdog noted its end, the last that it does; nothing if it did not, or has not yet.
pub(super) fn noted_end(dir: &Path) -> Option<Gone> {
    dir.join("outcome").exists().then(|| how_it_ended(dir))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the kernel's errors are not ours to list")]
pub(super) fn unavailable(path: &Path, error: &io::Error) -> Unavailable {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": make room on the disk",
        io::ErrorKind::ReadOnlyFilesystem => ": the disk is read-only",
        io::ErrorKind::PermissionDenied => ": check who owns it",
        _ => "",
    };
    Unavailable(format!("cannot use {} ({error}){hint}", path.display()))
}
