//! Whether a save can be trusted: the game is gone as it should be, and the files tell that it wrote.

use std::{fs, io, os::unix::process::ExitStatusExt, path::Path, time::SystemTime};

use domain::world::Proof;

use crate::game::{End, Ended, how};

/// How many files are looked at for the newest; beyond that the newest so far counts.
const MOST_FILES: usize = 1_000_000;

/// What is known when the game is gone.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// When the stop began, by the clock of the files; nothing if that could not be asked.
    pub stop_began: Option<SystemTime>,
    /// When a player was last seen on, if ever in this launch.
    pub last_played: Option<SystemTime>,
    /// When the newest save file was written, if there is one.
    pub newest_save: Option<SystemTime>,
}

/// Judges the save of a game that ended as `end` after it was told to.
pub fn prove(end: End, facts: Facts) -> Proof {
    let fresh = facts.newest_save.zip(facts.stop_began).is_some_and(|(saved, began)| saved >= began);
    let untouched = match (facts.last_played, facts.newest_save) {
        (None, _) => true,
        (Some(played), Some(saved)) => saved >= played,
        (Some(_), None) => false,
    };
    match end {
        End::Killed => Proof::Missing("the game did not end in time and had to be killed".into()),
        End::Exited(ended) if fresh && was_cut_off(ended) => {
            Proof::Missing(format!("the game ended ({}) while it wrote its save", how(ended)))
        }
        End::Exited(_) if fresh => Proof::Fresh,
        End::Exited(_) if untouched => Proof::Untouched,
        End::Exited(ended) => {
            Proof::Missing(format!("the game ended ({}) but wrote no save file after the stop", how(ended)))
        }
    }
}

/// Tells whether something else than a stop signal ended the game: it crashed, or the kernel was out of memory. A game may
/// well end by its stop signal when it has saved. What was not seen is not held against it: then the files alone speak.
fn was_cut_off(ended: Ended) -> bool {
    use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    let Ended::With(status) = ended else { return false };
    status.signal().is_some_and(|signal| ![SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&signal))
}

/// Returns the present time by the clock of the file system that `marker` is on: the kernel's coarse one for a local disk,
/// the server's for a network disk. Only that clock can be compared with the times of files.
pub fn file_clock(marker: &Path) -> io::Result<SystemTime> {
    fs::write(marker, b"")?;
    fs::File::open(marker)?.sync_all()?;
    fs::metadata(marker)?.modified()
}

/// Returns when the newest file below `paths` (relative to `files`) was written. Symbolic links are not followed.
pub fn newest(files: &Path, paths: &[String]) -> io::Result<Option<SystemTime>> {
    let mut newest = None;
    let mut todo: Vec<_> = paths.iter().map(|path| files.join(path)).collect();
    let mut seen = 0;
    while let Some(path) = todo.pop() {
        seen += 1;
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if found.is_dir() && seen < MOST_FILES {
            for entry in fs::read_dir(&path)? {
                todo.push(entry?.path());
            }
        } else if found.is_file() {
            newest = newest.max(Some(found.modified()?));
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::{process::ExitStatus, time::Duration};

    #[test]
    fn a_file_newer_than_the_stop_proves_the_save() {
        check(exited(), Some(90), Some(101), expect!["Fresh"]);
    }

    #[test]
    fn an_old_save_is_enough_when_nobody_played_since() {
        check(exited(), None, Some(10), expect!["Untouched"]);
        check(exited(), Some(40), Some(50), expect!["Untouched"]);
    }

    #[test]
    fn an_old_save_is_not_enough_when_somebody_played_since() {
        let expected =
            expect![[r#"Missing("the game ended (exit code 0) but wrote no save file after the stop")"#]];
        check(exited(), Some(60), Some(50), expected);
    }

    #[test]
    fn a_killed_game_proves_nothing() {
        let expected = expect![[r#"Missing("the game did not end in time and had to be killed")"#]];
        check(End::Killed, Some(90), Some(101), expected);
    }

    #[test]
    fn a_new_file_of_a_game_that_was_cut_off_proves_nothing() {
        let by = |signal| End::Exited(Ended::With(ExitStatus::from_raw(signal)));
        let expected = expect![[r#"Missing("the game ended (SIGKILL) while it wrote its save")"#]];
        check(by(9), Some(90), Some(101), expected);
        check(by(9), None, Some(10), expect!["Untouched"]);
        check(by(2), Some(90), Some(101), expect!["Fresh"]);
    }

    #[test]
    fn a_game_whose_end_was_not_seen_is_judged_by_its_files() {
        let unseen = || End::Exited(Ended::Unseen);
        check(unseen(), Some(90), Some(101), expect!["Fresh"]);
        check(unseen(), None, Some(10), expect!["Untouched"]);
        let expected = expect![[
            r#"Missing("the game ended (exit code unknown) but wrote no save file after the stop")"#
        ]];
        check(unseen(), Some(60), Some(50), expected);
    }

    #[test]
    fn the_newest_file_is_found_below_directories_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("world/deep")).unwrap();
        fs::write(dir.path().join("world/deep/map"), "x").unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("world/root")).unwrap();
        let found = newest(dir.path(), &["world".into(), "missing".into()]).unwrap();
        assert_eq!(found, Some(fs::metadata(dir.path().join("world/deep/map")).unwrap().modified().unwrap()));
    }

    fn exited() -> End {
        End::Exited(Ended::With(ExitStatus::from_raw(0)))
    }

    fn check(end: End, last_played: Option<u64>, newest_save: Option<u64>, expected: Expect) {
        let at = |s: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        let facts = Facts {
            stop_began: Some(at(100)),
            last_played: last_played.map(at),
            newest_save: newest_save.map(at),
        };
        expected.assert_eq(&format!("{:?}", prove(end, facts)));
    }
}
