//! Somebody who looks all the time at which processes work on worlds: no world may ever have two of them that write.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use nix::unistd::Pid;

/// Between two looks.
const SAMPLE_EVERY: Duration = Duration::from_millis(15);

/// Looks all the time at who works on worlds, and remembers what must never be.
pub struct Onlooker {
    /// What the kernel calls games.
    servers: &'static [&'static str],
    is_over: AtomicBool,
    samples: AtomicUsize,
    complaints: Mutex<Vec<String>>,
}

impl Onlooker {
    /// Returns one who knows games by their processes' names.
    pub fn of(servers: &'static [&'static str]) -> Self {
        Self {
            servers,
            is_over: AtomicBool::new(false),
            samples: AtomicUsize::new(0),
            complaints: Mutex::default(),
        }
    }

    /// Does `act` while somebody looks at the worlds below `data`.
    pub fn watching<T>(&self, data: &Path, act: impl FnOnce() -> Result<T>) -> Result<T> {
        thread::scope(|scope| {
            scope.spawn(|| {
                while !self.is_over.load(Ordering::Relaxed) {
                    self.look(data);
                    thread::sleep(SAMPLE_EVERY);
                }
            });
            let _over = SetOnDrop(&self.is_over);
            act()
        })
    }

    fn look(&self, data: &Path) {
        let mut worlds: BTreeMap<String, Vec<Process>> = BTreeMap::new();
        for process in processes(data) {
            worlds.entry(process.world.clone()).or_default().push(process);
        }
        for processes in worlds.into_values().filter(|processes| self.is_wrong(processes)) {
            // A look takes its time. Who is still there after it was there while the others were seen, and may have been of
            // another group until it led its own.
            let again = |p: &Process| process(data, p.pid.as_raw()).filter(|now| now.begun == p.begun);
            let still: Vec<_> = processes.iter().filter_map(again).collect();
            if self.is_wrong(&still) {
                self.complaints.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{still:?}"));
            }
        }
        self.samples.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells whether processes of one world are of two tasks, or two of them are games.
    fn is_wrong(&self, processes: &[Process]) -> bool {
        let tasks: BTreeSet<_> = processes.iter().map(|p| &p.group).collect();
        tasks.len() > 1 || processes.iter().filter(|p| self.servers.contains(&p.name.as_str())).count() > 1
    }

    /// Returns how often it has looked.
    pub fn samples(&self) -> usize {
        self.samples.load(Ordering::Relaxed)
    }

    /// Fails if anything was seen that must never be.
    pub fn verdict(&self) -> Result<()> {
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(complaints.is_empty(), "two tasks or two games on one world:\n{}", complaints.join("\n"));
        Ok(())
    }
}

/// Sets a flag however a function is left: somebody waits for it.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A live process that works in a world's files or in the directory of one of its tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: Pid,
    /// When it began, in ticks of the kernel: no two processes of one id share it.
    begun: String,
    group: String,
    /// What the kernel calls it.
    pub name: String,
    /// Where it works.
    pub cwd: PathBuf,
    /// The world that it is for.
    pub world: String,
}

/// Returns the live processes below `data`.
pub fn processes(data: &Path) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| process(data, entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Reads a process; nothing if it has ended or works elsewhere.
fn process(data: &Path, pid: i32) -> Option<Process> {
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    let mut way = cwd.strip_prefix(data).ok()?.iter().map(|part| part.to_string_lossy());
    let world = match (way.next()?.as_ref(), way.next()?) {
        ("worlds", world) => world.into_owned(),
        ("tasks", task) => task.rsplit_once('.')?.0.to_owned(),
        _ => return None,
    };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses; the fields begin after the last one.
    let (name, fields) = stat.split_once(" (")?.1.rsplit_once(") ")?;
    let fields: Vec<_> = fields.split(' ').collect();
    let (group, begun) = (fields.get(2)?.to_string(), fields.get(19)?.to_string());
    let is_live = !matches!(fields[0], "Z" | "X");
    is_live.then(|| Process { pid: Pid::from_raw(pid), begun, group, name: name.to_owned(), cwd, world })
}
