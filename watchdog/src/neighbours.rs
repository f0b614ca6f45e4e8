//! A game that has a container of its own, beside the watchdog's: both see the same processes and the same network.
//!
//! Whoever runs the containers starts the game when the watchdog is healthy, and the game is whatever runs as its user. The
//! watchdog never signals anything else. It cannot inherit its lock to the game, so there is a door: the world's directory is
//! open to the game's user only between the first sign of health and the end of the game. A game that comes too early or too
//! late finds it shut.
//!
//! ```text
//! door shut ─► claimed, filled, handed over ─► door open, healthy ─► appeared ─► … stop ─► nothing left ─► door shut ─► archive
//! ```

use std::{
    collections::BTreeSet,
    fs, mem, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use domain::game::Game;
use nix::{
    errno::Errno,
    sys::{
        signal::Signal as UnixSignal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
};

use self::process::{Process, can_hold, of_user, signal};
use crate::{
    console::Console,
    game::{End, Ended, Frozen, RunningGame, Teller, unix},
    secret_file,
    settings::Settings,
    world_dir::Door,
};

mod process;

/// How long the game may take to appear once it may: the health check's interval, and the pull of an image of some gigabytes.
const APPEAR_LIMIT: Duration = Duration::from_secs(4 * 60);

/// How long what started the server may still work when the server has ended, before it is told to end too.
const REST_LIMIT: Duration = Duration::from_secs(5);

/// How long it is waited for processes to stand still. One that is in the midst of a call to the disk stops behind it.
const FREEZE_LIMIT: Duration = Duration::from_millis(500);

/// How often the game's processes are looked at while it stops.
const GLANCE_EVERY: Duration = Duration::from_millis(50);

/// The right to signal processes of other users, by its number in `/proc/PID/status`.
const CAP_KILL: u32 = 5;

/// The place beside the watchdog in which a game will run.
pub struct Neighbourhood {
    user: u32,
    group: u32,
}

impl Neighbourhood {
    /// Returns the place in which whatever runs as `user` is the game, or why that cannot be.
    pub fn of(user: Option<(u32, u32)>) -> Result<Self> {
        let (user, group) = user
            .context("a game in a container of its own needs DORMOUSE_GAME_USER, the user that it runs as")?;
        let own = nix::unistd::getresuid().context("asking for the watchdog's own user")?;
        let owns = [own.real, own.effective, own.saved].map(|id| id.as_raw());
        ensure!(
            user != 0 && !owns.contains(&user),
            "the game may not run as user {user}, which is the watchdog's own or root: the two could not be told apart"
        );
        may_signal()?;
        can_hold()?;
        Ok(Self { user, group })
    }

    /// Makes everything ready for the game; `welcome` is called when it may come.
    pub fn let_in(
        self,
        game: &Game,
        door: Door,
        console: Option<&Console>,
        settings: &Settings,
        welcome: impl FnOnce(),
    ) -> Result<Neighbours> {
        let there = of_user(self.user)?;
        if let Some(process) = there.first() {
            bail!(
                "process {} (`{}`) runs as the game's user {} before the game may start",
                process.pid,
                process.name,
                self.user
            );
        }
        if let Some(console) = console {
            let leave = console.leave_password(&door.console_password(), (self.user, self.group));
            leave.context("leaving the console's password for the game")?;
        }
        settings.leave(&door.settings(), (self.user, self.group))?;
        door.open()?;
        welcome();
        Ok(Neighbours {
            user: self.user,
            name: game.name.clone(),
            signal: unix(game.stop.signal),
            grace: game.stop.grace,
            door,
            appear_by: Instant::now() + APPEAR_LIMIT,
            has_appeared: false,
            is_over: false,
            is_unseen: false,
        })
    }
}

/// An error if this process may not signal those of other users.
fn may_signal() -> Result<()> {
    let status = fs::read_to_string("/proc/self/status").context("asking for the watchdog's own rights")?;
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    let set = u64::from_str_radix(set.trim(), 16).context("reading the watchdog's own rights")?;
    ensure!(
        set >> CAP_KILL & 1 == 1,
        "the watchdog may not signal processes of other users, so it could never stop the game: give it CAP_KILL"
    );
    Ok(())
}

/// The game's processes, which are nobody's children here.
pub struct Neighbours {
    user: u32,
    name: String,
    signal: UnixSignal,
    grace: Duration,
    door: Door,
    appear_by: Instant,
    has_appeared: bool,
    is_over: bool,
    /// Whether the last look failed.
    is_unseen: bool,
}

impl Neighbours {
    fn look(&self) -> Result<Vec<Process>> {
        reap()?;
        of_user(self.user)
    }

    /// Sends `with` to each of them. One that cannot be signalled keeps no other from it; it is missed when it stays.
    fn signal_each(&self, processes: &[Process], with: UnixSignal) {
        for process in processes {
            if let Err(error) = signal(process.pid, self.user, with) {
                tracing::warn!("{error:#}");
            }
        }
    }

    /// Tells the game to stop and waits until nothing of it is left; tells whether that came before `is_over` said so.
    ///
    /// The server is told first, since only it knows how to save. Who started it may end at once when told, and the container
    /// with it, and all that is in the container: so the rest is told when the server has ended, or does not heed it.
    fn tell_and_wait(&mut self, teller: Teller, is_over: &mut dyn FnMut() -> bool) -> Result<bool> {
        let rest_by = Instant::now() + self.grace / 2;
        let server = server(&self.look()?).cloned();
        let (mut told, mut alone_since) = (BTreeSet::new(), None);
        if let (Some(server), Teller::Watchdog) = (&server, teller) {
            tracing::info!("{} to `{}`, process {}", self.signal, server.name, server.pid);
            self.signal_each(std::slice::from_ref(server), self.signal);
            told.insert(server.pid);
        }
        loop {
            let there = self.look()?;
            if there.is_empty() {
                return Ok(true);
            }
            if is_over() {
                return Ok(false);
            }
            let now = Instant::now();
            if server.as_ref().is_none_or(|server| there.iter().all(|process| process.pid != server.pid)) {
                alone_since.get_or_insert(now);
            }
            if now >= rest_by || alone_since.is_some_and(|since| now >= since + REST_LIMIT) {
                let rest: Vec<_> = there.into_iter().filter(|process| told.insert(process.pid)).collect();
                self.signal_each(&rest, self.signal);
            }
            thread::sleep(GLANCE_EVERY);
        }
    }

    /// Kills what is left and waits until it is gone; tells whether there was anything.
    fn kill(&self) -> Result<bool> {
        /// Between SIGKILL and the end of a process lies at most the I/O that it is waiting for.
        const TRIES: u32 = 200;
        for tried in 0..TRIES {
            let there = self.look()?;
            if there.is_empty() {
                return Ok(tried > 0);
            }
            self.signal_each(&there, UnixSignal::SIGKILL);
            thread::sleep(GLANCE_EVERY);
        }
        bail!("processes of the game cannot be killed: {:?}", self.look()?)
    }

    /// Waits until what was told to stand still does. What a call to the disk that was begun before leaves is what a loss of
    /// power would leave, and a copy may have that; so nobody waits for a slow disk.
    fn wait_until_still(&self) -> Result<()> {
        let deadline = Instant::now() + FREEZE_LIMIT;
        while !self.look()?.iter().all(|process| process.is_stopped) {
            if Instant::now() >= deadline {
                tracing::warn!("the game is copied while it waits for its disk");
                break;
            }
            thread::sleep(GLANCE_EVERY / 10);
        }
        Ok(())
    }
}

impl RunningGame for Neighbours {
    fn has_appeared(&self) -> bool {
        self.has_appeared
    }

    fn ended(&mut self) -> Result<Option<Ended>> {
        if self.is_over {
            return Ok(Some(Ended::Unseen));
        }
        let there = match self.look() {
            Ok(there) => {
                self.is_unseen = false;
                Some(there)
            }
            // What cannot be seen may be there.
            Err(error) => {
                if !mem::replace(&mut self.is_unseen, true) {
                    tracing::warn!("the game's processes cannot be looked at: {error:#}");
                }
                None
            }
        };
        if let (Some(server), false) = (there.as_deref().and_then(server), self.has_appeared) {
            tracing::info!("{} has appeared: `{}`, process {}", self.name, server.name, server.pid);
            self.has_appeared = true;
        }
        self.is_over = self.has_appeared && there.is_some_and(|there| there.is_empty());
        if !self.has_appeared && Instant::now() >= self.appear_by {
            self.door.shut()?;
            bail!(
                "no process of {} has appeared in {} min: its container did not start, or ended at once, or does not share \
                 process ids with the watchdog's, or does not run as user {}",
                self.name,
                APPEAR_LIMIT.as_secs() / 60,
                self.user
            );
        }
        Ok(self.is_over.then_some(Ended::Unseen))
    }

    /// The game's files are not here, so no script of its own can be run: bound ports are enough.
    fn is_healthy(&self) -> Result<bool> {
        Ok(true)
    }

    fn tend(&self) -> Result<()> {
        reap()
    }

    /// Its log is its container's.
    fn last_words(&self) -> String {
        String::new()
    }

    fn stop(&mut self, teller: Teller, is_over: &mut dyn FnMut() -> bool) -> Result<End> {
        let is_gone = self.tell_and_wait(teller, is_over)?;
        // A door that does not shut must not keep what came in the meantime, and may write, from being killed.
        let shut = self.door.shut();
        let is_killed = self.kill()?;
        shut?;
        if let Err(error) = forget_secrets(&self.door) {
            tracing::warn!("{error:#}");
        }
        Ok(if is_gone && !is_killed { End::Exited(Ended::Unseen) } else { End::Killed })
    }

    fn freeze(&mut self) -> Result<Frozen> {
        let user = self.user;
        let go_on = move |stopped: Vec<Process>| {
            move || {
                for process in &stopped {
                    if let Err(error) = signal(process.pid, user, UnixSignal::SIGCONT) {
                        tracing::error!("process {} stands still: {error:#}", process.pid);
                    }
                }
            }
        };
        let first = self.look()?;
        let frozen = Frozen::by(go_on(first.clone()));
        self.signal_each(&first, UnixSignal::SIGSTOP);
        // What began meanwhile is a child of one that still ran.
        let is_new = |process: &Process| first.iter().all(|known| known.pid != process.pid);
        let new: Vec<_> = self.look()?.into_iter().filter(is_new).collect();
        let frozen = frozen.and(go_on(new.clone()));
        self.signal_each(&new, UnixSignal::SIGSTOP);
        self.wait_until_still()?;
        Ok(frozen)
    }

    fn kill_all(&mut self) -> Result<()> {
        let shut = self.door.shut();
        self.kill()?;
        shut?;
        forget_secrets(&self.door)
    }
}

/// Returns which of the game's processes is the server: the one that has most in memory. Shells, inits and other launchers are
/// small beside any server. Who holds the game's socket would be surer, and the kernel tells only those who may trace it.
fn server(processes: &[Process]) -> Option<&Process> {
    processes.iter().max_by_key(|process| (process.memory_kib, process.pid))
}

/// Removes what was left for the game alone: of the two files neither keeps the other.
fn forget_secrets(door: &Door) -> Result<()> {
    let password = secret_file::forget(&door.console_password()).context("removing the console's password");
    secret_file::forget(&door.settings()).context("removing the settings").and(password)
}

/// Takes note of children that have ended, where the watchdog is process 1: it starts none here, but whatever loses its parent
/// becomes its child.
fn reap() -> Result<()> {
    if std::process::id() != 1 {
        return Ok(());
    }
    /// More come again.
    const MOST: u32 = 1000;
    for _ in 0..MOST {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("asking for children that have ended"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world_dir;
    use domain::{ports::Directory, world::WorldId};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_server_is_the_largest_process_whoever_started_it() {
        let alone = [process(5, 0, "valheim_server.", 2_800_000)];
        let by_shell = [process(5, 0, "sh", 1_600), process(9, 5, "minetestserver", 60_000)];
        let by_init = [
            process(5, 0, "tini", 700),
            process(9, 5, "start.sh", 3_000),
            process(12, 9, "java", 900_000),
            process(13, 9, "tail", 1_000),
        ];
        let found = [&alone[..], &by_shell, &by_init].map(|all| server(all).map(|one| one.name.as_str()));
        assert_eq!(found, [Some("valheim_server."), Some("minetestserver"), Some("java")]);
        assert_eq!(server(&[]), None);
    }

    #[test]
    fn of_two_alike_the_later_one_is_taken_always() {
        let both = [process(5, 0, "a", 0), process(9, 5, "b", 0)];
        let turned = [both[1].clone(), both[0].clone()];
        assert_eq!(server(&both), server(&turned));
    }

    #[test]
    fn a_game_that_does_not_appear_in_time_is_given_up_and_shut_out() {
        let dir = tempfile::tempdir().unwrap();
        let mode = || fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777;
        let world = WorldId::parse("w1").unwrap();
        let door = world_dir::take(dir.path(), &world, Directory::MayBeNew).unwrap().door();
        let mut game = awaited(door.clone(), Instant::now() + Duration::from_secs(600));
        door.open().unwrap();
        assert_eq!((game.ended().unwrap(), game.has_appeared(), mode()), (None, false, 0o755));
        game.appear_by = Instant::now();
        let error = game.ended().unwrap_err().to_string();
        assert!(error.starts_with("no process of Valheim has appeared in 4 min"), "{error}");
        assert_eq!(mode(), 0o700);
    }

    #[test]
    fn a_game_that_never_came_is_stopped_at_once_and_shut_out() {
        let dir = tempfile::tempdir().unwrap();
        let world = WorldId::parse("w1").unwrap();
        let door = world_dir::take(dir.path(), &world, Directory::MayBeNew).unwrap().door();
        fs::write(door.console_password(), "secret").unwrap();
        fs::write(door.settings(), "export SETTING_PASSWORD='secret'").unwrap();
        let mut game = awaited(door.clone(), Instant::now() + Duration::from_secs(600));
        door.open().unwrap();
        assert_eq!(game.stop(Teller::Watchdog, &mut || false).unwrap(), End::Exited(Ended::Unseen));
        assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!door.console_password().exists());
        assert!(!door.settings().exists());
    }

    /// Returns a game of a user that nobody is.
    fn awaited(door: Door, appear_by: Instant) -> Neighbours {
        Neighbours {
            user: 4_294_900_001,
            name: "Valheim".into(),
            signal: UnixSignal::SIGINT,
            grace: Duration::from_secs(60),
            door,
            appear_by,
            has_appeared: false,
            is_over: false,
            is_unseen: false,
        }
    }

    #[test]
    fn a_game_that_could_not_be_told_from_the_watchdog_is_refused() {
        let own = nix::unistd::getuid().as_raw();
        let refused = |user| Neighbourhood::of(user).map(drop).unwrap_err().to_string();
        assert!(refused(None).contains("needs DORMOUSE_GAME_USER"));
        for user in [0, own] {
            assert!(refused(Some((user, 10_001))).contains("could not be told apart"), "{user}");
        }
    }

    fn process(pid: i32, parent: i32, name: &str, memory_kib: u64) -> Process {
        Process { pid, parent, name: name.into(), memory_kib, is_stopped: false }
    }
}
