//! A stand-in for Fargate: when ECS is told to run a task, starts the real watchdog for it, which starts a real game, on a
//! machine of its own; and tells ECS how that goes.
//!
//! A task has a network of its own (a namespace of the lab), process ids of its own, the environment of its task definition and
//! of the overrides, the metadata endpoint, and `/worlds`, which all tasks share and which outlives them. A stop is SIGTERM, then
//! the definition's `stopTimeout`, then SIGKILL; so is Spot's reclaim.
//!
//! Each container has a root directory of its own. Where the definition has one for the game, that one starts when the watchdog's
//! is healthy, as the user that games run as; and is stopped before it. A container that is killed ends alone; when it is the
//! watchdog's, which is essential, the game's is then stopped like any other.
//!
//! The spool directory is the one of `emulators::Options::fargate_directory`.

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::{Json, Router, routing::get};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::clocks::{self, Clocks};
use crate::netns::{Lab, Namespace};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a task stays in a state on its way. On Fargate these add up to 20 to 60 s.
const STAGE: Duration = Duration::from_millis(100);

/// Where a task finds the metadata of itself.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);

/// The containers of a task.
const WATCHDOG: &str = "watchdog";
const GAME: &str = "game";

/// What a container's image sets beside what Fargate does.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games";

/// Makes a root directory in a mount namespace of its own and runs `$6…` in it.
const CONTAINER: &str = r#"
set -e
root=$1 worlds=$2 task=$3 catalogue=$4 program=$5
shift 5
mount -t tmpfs none "$root"
cd "$root"
mkdir usr etc proc sys dev tmp var var/tmp run root worlds task catalogue
chmod 1777 tmp var/tmp
for top in bin sbin lib lib64; do
  if [ -L "/$top" ]; then cp -P "/$top" .; elif [ -d "/$top" ]; then mkdir "$top"; mount --rbind "/$top" "$top"; fi
done
for top in usr etc dev sys; do mount --rbind "/$top" "$top"; done
mount -t proc none proc
mount --bind "$worlds" worlds
mount --bind "$task" task
mount --bind "$catalogue" catalogue
touch watchdog
mount --bind "$program" watchdog
cd /
exec chroot "$root" "$@"
"#;

/// The first process of a task, as Fargate has one where containers share process ids: it waits for whoever nobody else waits
/// for. A container that is killed therefore ends alone.
const PAUSE: &str = "sleep infinity & while :; do wait; done";

/// How long that may take to be there.
const PAUSE_LIMIT: Duration = Duration::from_secs(20);

/// What a stand-in is made of.
pub struct Setup {
    /// The lab.
    pub lab: Arc<Lab>,
    /// Which of its clients are machines for tasks.
    pub machines: std::ops::Range<usize>,
    /// The spool directory.
    pub spool: PathBuf,
    /// The worlds' file system.
    pub worlds: PathBuf,
    /// The catalogue in the image.
    pub catalogue: PathBuf,
    /// The program in the image.
    pub program: PathBuf,
    /// What the game's own image, where it has a container of its own, has as its entrypoint.
    pub entrypoint: String,
    /// A directory for what tasks leave behind.
    pub scratch: PathBuf,
    /// S3, which every machine reaches at this address of its own.
    pub s3: SocketAddr,
    /// What lets the clocks of watchdogs jump, if they are to.
    pub clocks: Option<Clocks>,
}

/// What goes wrong with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its image cannot be pulled.
    NoImage,
    /// Its host breaks down before anything has run.
    HostBroken,
    /// Its watchdog's container is killed before the watchdog has said anything.
    OutOfMemory,
}

/// A task.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// What RunTask was given.
    pub asked: Value,
    /// Its machine's address.
    pub address: Option<Ipv4Addr>,
    /// Its own directory, `/task` inside.
    pub dir: PathBuf,
    /// When it was to stop.
    pub told_at: Option<Instant>,
    /// When it had ended, and its exit code.
    pub ended: Option<(Instant, Option<i32>)>,
    /// Its machine.
    machine: Option<PathBuf>,
    /// The process outside each of its containers, the watchdog's first.
    outside: [Option<u32>; 2],
}

/// A container of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The watchdog's.
    Watchdog,
    /// The game's.
    Game,
}

impl Task {
    /// Returns what a file in the task's directory holds, such as `game.log`.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    /// Returns the first process of a container, by the number that it has here, if it runs.
    pub fn process(&self, which: Which) -> Option<Pid> {
        let outside = match which {
            Which::Watchdog => self.outside[0],
            Which::Game => self.outside[1],
        };
        let first = first_child(outside?)?;
        // Numbers are used again; nobody else is on that machine.
        let place = fs::metadata(format!("/proc/{first}/ns/net")).ok()?.ino();
        let is_there = fs::metadata(self.machine.as_ref()?).is_ok_and(|machine| machine.ino() == place);
        (self.ended.is_none() && is_there).then_some(first)
    }

    /// Has its watchdog's clock jump: it shows the true time and so many seconds more.
    pub fn set_clock(&self, ahead_s: i64) -> Result<()> {
        clocks::set(&self.dir.join("clock"), ahead_s)
    }

    /// Returns the world that it is for.
    pub fn world(&self) -> String {
        let tags = self.asked["tags"].as_array().into_iter().flatten();
        let world = tags.filter(|tag| tag["key"] == "dormouse:world").find_map(|tag| tag["value"].as_str());
        world.unwrap_or_default().to_owned()
    }
}

/// The stand-in. Dropping it kills what still runs.
pub struct Fargate {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    setup: Setup,
    ended: AtomicBool,
    state: Mutex<State>,
}

struct State {
    machines: Vec<Machine>,
    tasks: Vec<Task>,
    faults: VecDeque<Fault>,
}

/// A machine that tasks run on, one at a time.
struct Machine {
    client: usize,
    /// What the metadata endpoint says.
    metadata: Arc<Mutex<Value>>,
}

impl Fargate {
    /// Starts it.
    pub fn start(runtime: &Runtime, setup: Setup) -> Result<Self> {
        let mut machines = Vec::new();
        for client in setup.machines.clone() {
            machines.push(prepare(runtime, setup.lab.client(client), client, setup.s3)?);
        }
        let state = State { machines, tasks: Vec::new(), faults: VecDeque::new() };
        let shared = Arc::new(Shared { setup, ended: AtomicBool::new(false), state: Mutex::new(state) });
        let watched = shared.clone();
        let thread = thread::spawn(move || watch(&watched));
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has the next task meet `fault`.
    pub fn fault(&self, fault: Fault) {
        self.shared.lock().faults.push_back(fault);
    }

    /// Returns the tasks, oldest first.
    pub fn tasks(&self) -> Vec<Task> {
        self.shared.lock().tasks.clone()
    }

    /// Returns the tasks that have not ended, oldest first.
    pub fn running(&self) -> Vec<Task> {
        self.shared.lock().tasks.iter().filter(|task| task.ended.is_none()).cloned().collect()
    }

    /// Returns the tasks of a world, oldest first.
    pub fn tasks_of(&self, world: &str) -> Vec<Task> {
        self.tasks().into_iter().filter(|task| task.world() == world).collect()
    }
}

impl Drop for Fargate {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A panic there was shown there.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.lock().tasks.iter_mut().find(|task| task.id == id) {
            change(task);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives a machine its metadata endpoint and its way to S3.
fn prepare(runtime: &Runtime, machine: &Namespace, client: usize, s3: SocketAddr) -> Result<Machine> {
    machine.add_local(METADATA)?;
    let metadata = Arc::new(Mutex::new(Value::Null));
    let (endpoint, storage) = machine.within(|| {
        let (endpoint, storage) = (TcpListener::bind((METADATA, 80))?, TcpListener::bind(s3)?);
        endpoint.set_nonblocking(true)?;
        storage.set_nonblocking(true)?;
        Ok((endpoint, storage))
    })?;
    let shown = metadata.clone();
    let router = Router::new().route("/v4/{container}/task", get(async move || Json(lock(&shown).clone())));
    runtime.spawn(async move {
        if let Ok(listener) = tokio::net::TcpListener::from_std(endpoint) {
            let _ = axum::serve(listener, router).await;
        }
    });
    runtime.spawn(lead_to(storage, s3));
    Ok(Machine { client, metadata })
}

/// Leads each connection on to `target`.
async fn lead_to(listener: TcpListener, target: SocketAddr) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (mut near, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut far = tokio::net::TcpStream::connect(target).await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        });
    }
}

/// Starts what appears in the spool directory, until the stand-in ends.
fn watch(shared: &Arc<Shared>) {
    let (mut seen, mut threads) = (BTreeSet::new(), Vec::new());
    while !shared.is_over() {
        for entry in fs::read_dir(&shared.setup.spool).into_iter().flatten().flatten() {
            let spool = entry.path();
            if !spool.join("task.json").exists() || !seen.insert(spool.clone()) {
                continue;
            }
            let shared = shared.clone();
            threads.push(thread::spawn(move || {
                if let Err(error) = serve(&shared, &spool) {
                    eprintln!("task {}: {error:#}", spool.display());
                }
            }));
        }
        thread::sleep(LOOK_EVERY);
    }
    threads.into_iter().for_each(|thread| _ = thread.join());
}

/// Runs one task from its beginning to its end.
fn serve(shared: &Shared, spool: &Path) -> Result<()> {
    let asked: Value = serde_json::from_slice(&fs::read(spool.join("task.json"))?)?;
    let id = spool.file_name().and_then(|name| name.to_str()).context("a task without id")?.to_owned();
    let dir = shared.setup.scratch.join(&id);
    fs::create_dir_all(dir.join("task"))?;
    fs::create_dir_all(dir.join("root"))?;
    fs::create_dir_all(dir.join("game"))?;
    let fault = {
        let mut state = shared.lock();
        let task = Task {
            id: id.clone(),
            asked: asked.clone(),
            address: None,
            dir: dir.join("task"),
            told_at: None,
            ended: None,
            machine: None,
            outside: [None; 2],
        };
        state.tasks.push(task);
        state.faults.pop_front()
    };
    let status = Status { spool, container: WATCHDOG };
    status.say("PENDING", json!({}))?;
    thread::sleep(STAGE);
    let ended = |code| shared.change(&id, |task| task.ended = Some((Instant::now(), code)));
    if let Some(fault) = fault {
        ended(None);
        return fault.strike(&status);
    }
    let machine = take_machine(shared)?;
    *lock(&machine.metadata) = metadata(&asked);
    let result = run(shared, &status, &asked, &id, &machine, &dir);
    if let Ok(code) = &result {
        ended(Some(*code));
    }
    shared.lock().machines.push(machine);
    let code = result?;
    status.say("DEPROVISIONING", json!({ "exitCode": code }))?;
    thread::sleep(STAGE);
    status.say("STOPPED", json!({ "exitCode": code }))
}

impl Fault {
    /// Ends a task that is only just there.
    fn strike(self, status: &Status<'_>) -> Result<()> {
        match self {
            Self::NoImage => {
                let reason = "CannotPullContainerError: pull image manifest has been retried 1 time(s): \
                    123456789012.dkr.ecr.us-east-1.amazonaws.com/dormouse/luanti:1: not found";
                status.say("STOPPED", json!({ "stopCode": "TaskFailedToStart", "stoppedReason": reason }))
            }
            Self::HostBroken => {
                let reason = "InternalError: unable to start the task";
                status.say("STOPPED", json!({ "stopCode": "TaskFailedToStart", "stoppedReason": reason }))
            }
            Self::OutOfMemory => {
                status.say("RUNNING", json!({}))?;
                thread::sleep(STAGE);
                let reason = "OutOfMemoryError: Container killed due to memory usage";
                status.say("STOPPED", json!({ "exitCode": 137, "reason": reason }))
            }
        }
    }
}

/// Takes a machine that no task has, waiting for one if there must be.
fn take_machine(shared: &Shared) -> Result<Machine> {
    let begun = Instant::now();
    loop {
        if let Some(machine) = shared.lock().machines.pop() {
            return Ok(machine);
        }
        ensure!(begun.elapsed() < Duration::from_secs(60) && !shared.is_over(), "no machine is free");
        thread::sleep(LOOK_EVERY);
    }
}

/// Runs the task's containers and returns the exit code of the watchdog's.
fn run(
    shared: &Shared,
    status: &Status<'_>,
    asked: &Value,
    id: &str,
    machine: &Machine,
    dir: &Path,
) -> Result<i32> {
    let namespace = shared.setup.lab.client(machine.client);
    let address = namespace.address;
    shared.change(id, |task| (task.address, task.machine) = (Some(address), Some(namespace.path())));
    let ip = json!({ "privateIp": address.to_string() });
    status.say("ACTIVATING", ip.clone())?;
    thread::sleep(STAGE);
    let mut pause = namespace.command("unshare");
    pause.args(["--pid", "--fork", "--kill-child=KILL", "sh", "-c", PAUSE]).stdin(Stdio::null());
    let pause = Container::new(pause.spawn()?);
    let mut watchdog = Container::new(command(&shared.setup, asked, id, namespace, &pause, dir)?.spawn()?);
    shared.change(id, |task| task.outside[0] = Some(watchdog.child.id()));
    status.say("RUNNING", ip)?;
    let mut game = Game::of(asked);
    let stop_timeout = asked["taskDefinition"]["containerDefinitions"][0]["stopTimeout"].as_u64();
    let stop_timeout = Duration::from_secs(stop_timeout.unwrap_or(30));
    let (mut told_at, mut ended): (Option<Instant>, Option<i32>) = (None, None);
    loop {
        if ended.is_none()
            && let Some(status_of_it) = watchdog.child.try_wait()?
        {
            ended = Some(code(status_of_it));
            if told_at.is_none() {
                status.say("DEACTIVATING", json!({ "exitCode": ended }))?;
            }
        }
        if let Some(code) = ended {
            // It is essential, so that the others are told to end.
            if game.stop(stop_timeout)? || shared.is_over() {
                return Ok(code);
            }
            thread::sleep(LOOK_EVERY);
            continue;
        }
        if told_at.is_none() && status.spool.join("stop.json").exists() {
            told_at = Some(Instant::now());
            shared.change(id, |task| task.told_at = told_at);
            status.say("STOPPING", json!({}))?;
            lock(&machine.metadata)["DesiredStatus"] = json!("STOPPED");
        }
        if told_at.is_some() || shared.is_over() {
            // One after the other, in the reverse of the order in which they were started.
            if game.stop(stop_timeout)? {
                watchdog.stop(stop_timeout);
            }
        } else if game.may_start() && is_healthy(asked, &watchdog)? {
            let outside = game.start(&mut game_command(&shared.setup, asked, &pause, namespace, dir)?)?;
            shared.change(id, |task| task.outside[1] = Some(outside));
        }
        game.tend()?;
        if shared.is_over() {
            watchdog.signal(Signal::SIGKILL);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// The container of a game, if the task has one.
enum Game {
    None,
    Awaited,
    Running(Container),
    Ended,
}

impl Game {
    fn of(asked: &Value) -> Self {
        if asked["taskDefinition"]["containerDefinitions"][1]["name"] == GAME {
            Self::Awaited
        } else {
            Self::None
        }
    }

    fn may_start(&self) -> bool {
        matches!(self, Self::Awaited)
    }

    fn start(&mut self, command: &mut Command) -> Result<u32> {
        let container = Container::new(command.spawn()?);
        let outside = container.child.id();
        *self = Self::Running(container);
        Ok(outside)
    }

    /// Takes note of its end.
    fn tend(&mut self) -> Result<()> {
        if let Self::Running(container) = self
            && container.child.try_wait()?.is_some()
        {
            *self = Self::Ended;
        }
        Ok(())
    }

    /// Stops it, if it runs; tells whether it is gone.
    fn stop(&mut self, timeout: Duration) -> Result<bool> {
        self.tend()?;
        Ok(match self {
            Self::Running(container) => {
                container.stop(timeout);
                false
            }
            Self::Awaited | Self::Ended | Self::None => {
                *self = Self::Ended;
                true
            }
        })
    }
}

/// A running container: a process whose one child is the container's first.
struct Container {
    child: Child,
    told_at: Option<Instant>,
}

impl Container {
    fn new(child: Child) -> Self {
        Self { child, told_at: None }
    }

    /// Tells it to end; kills it when it was told long enough ago.
    fn stop(&mut self, timeout: Duration) {
        match self.told_at {
            None => {
                self.told_at = Some(Instant::now());
                self.signal(Signal::SIGTERM);
            }
            Some(at) if at.elapsed() > timeout => self.signal(Signal::SIGKILL),
            Some(_) => {}
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.first() {
            // It may end by itself in between.
            let _ = kill(pid, signal);
        }
    }

    /// Returns its first process, by the number that it has here.
    fn first(&self) -> Option<Pid> {
        first_child(self.child.id())
    }
}

fn first_child(of: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}

impl Drop for Container {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes the health check of the watchdog's container.
fn is_healthy(asked: &Value, watchdog: &Container) -> Result<bool> {
    let Some(first) = watchdog.first() else { return Ok(false) };
    let words = asked["taskDefinition"]["containerDefinitions"][0]["healthCheck"]["command"].as_array();
    let words = words.into_iter().flatten().skip(1).filter_map(Value::as_str);
    let mut check = Command::new("nsenter");
    check.arg(format!("--target={first}")).args(["--mount", "--pid", "--root"]);
    check.args(words);
    Ok(check.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
}

/// Returns the beginning of a command that starts a container of the task whose first process `pause` is.
fn container(pause: &Container, machine: &Namespace) -> Result<Command> {
    let begun = Instant::now();
    let first = loop {
        if let Some(first) = pause.first() {
            break first;
        }
        ensure!(begun.elapsed() < PAUSE_LIMIT, "the task's first process has ended");
        thread::sleep(LOOK_EVERY);
    };
    let mut command = machine.command("nsenter");
    // `unshare` waits for what it has started, and goes on waiting when that stands still.
    command.arg("--no-fork").arg(format!("--pid=/proc/{first}/ns/pid"));
    command.args(["unshare", "--mount", "--fork", "--kill-child=KILL", "--propagation", "private"]);
    command.args(["sh", "-c", CONTAINER, "container"]);
    Ok(command)
}

/// Returns the command that starts the game's container beside the watchdog's.
fn game_command(
    setup: &Setup,
    asked: &Value,
    pause: &Container,
    machine: &Namespace,
    dir: &Path,
) -> Result<Command> {
    let mut command = container(pause, machine)?;
    // Of what it is given besides, it sees the worlds alone.
    let nothing = dir.join("game/nothing");
    fs::create_dir_all(&nothing)?;
    fs::create_dir_all(dir.join("game/root"))?;
    command.arg(dir.join("game/root")).arg(&setup.worlds).arg(&nothing).arg(&nothing).arg(&setup.program);
    command.args(["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--bounding-set=-all"]);
    command.args(["--inh-caps=-all", "sh", "-c", &setup.entrypoint]);
    command.env_clear().env("PATH", PATH);
    set_environment(&mut command, asked, GAME)?;
    let log = File::options().create(true).append(true).open(dir.join("task/game.log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// Sets what the container's definition and the overrides set.
fn set_environment(command: &mut Command, asked: &Value, name: &str) -> Result<()> {
    for of in [&asked["taskDefinition"]["containerDefinitions"], &asked["overrides"]["containerOverrides"]] {
        let container = of.as_array().into_iter().flatten().find(|container| container["name"] == name);
        for variable in container.and_then(|one| one["environment"].as_array()).into_iter().flatten() {
            let text = |name: &str| variable[name].as_str().context("a variable without name or value");
            command.env(text("name")?, text("value")?);
        }
    }
    Ok(())
}

fn code(ended: ExitStatus) -> i32 {
    ended.code().or_else(|| ended.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// Returns the command that starts the container of `asked` on `machine`.
fn command(
    setup: &Setup,
    asked: &Value,
    id: &str,
    machine: &Namespace,
    pause: &Container,
    dir: &Path,
) -> Result<Command> {
    let definition = &asked["taskDefinition"]["containerDefinitions"][0];
    let overrides = &asked["overrides"]["containerOverrides"][0];
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let chosen = if overrides["command"].is_array() { &overrides["command"] } else { &definition["command"] };
    let mut command = container(pause, machine)?;
    command.arg(dir.join("root")).arg(&setup.worlds).arg(dir.join("task")).arg(&setup.catalogue);
    command.arg(&setup.program);
    if let Some(clocks) = &setup.clocks {
        let vars = clocks.give(&dir.join("task"), Path::new("/task"))?;
        command.arg("env").args(vars.map(|(name, value)| format!("{name}={value}")));
    }
    command.args(words(&definition["entryPoint"])).args(words(chosen));
    command.env_clear().envs([
        ("PATH", PATH),
        ("HOME", "/root"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"),
    ]);
    command.env("ECS_CONTAINER_METADATA_URI_V4", format!("http://{METADATA}/v4/{id}-0001"));
    set_environment(&mut command, asked, WATCHDOG)?;
    let log = File::options().create(true).append(true).open(dir.join("task/container.log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// Returns what the metadata endpoint says of a task.
fn metadata(asked: &Value) -> Value {
    json!({
        "Cluster": asked["clusterArn"],
        "TaskARN": asked["taskArn"],
        "Family": asked["family"],
        "Revision": asked["revision"].to_string(),
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": { "CPU": 0.5, "Memory": 1024 },
        "LaunchType": "FARGATE",
        "AvailabilityZone": "us-east-1a",
        "Containers": [{ "Name": WATCHDOG, "KnownStatus": "RUNNING", "Type": "NORMAL" }],
    })
}

/// Tells ECS about one task.
struct Status<'a> {
    spool: &'a Path,
    container: &'a str,
}

impl Status<'_> {
    /// Says that the task is in the state `last`; `more` may hold `exitCode` and `reason` of its
    /// container, `privateIp`, `stopCode`, `stoppedReason`.
    fn say(&self, last: &str, mut more: Value) -> Result<()> {
        let container_state = match last {
            "RUNNING" | "DEACTIVATING" | "STOPPING" => "RUNNING",
            "DEPROVISIONING" | "STOPPED" => "STOPPED",
            _ => "PENDING",
        };
        let mut container = json!({ "name": self.container, "lastStatus": container_state });
        if let Some(code) = more.as_object_mut().and_then(|more| more.remove("exitCode")) {
            container["exitCode"] = code;
            container["lastStatus"] = json!("STOPPED");
            container["reason"] = more["reason"].take();
        }
        more["lastStatus"] = json!(last);
        more["containers"] = json!([container]);
        let draft = self.spool.join("status.draft");
        fs::write(&draft, more.to_string())?;
        Ok(fs::rename(draft, self.spool.join("status.json"))?)
    }
}
