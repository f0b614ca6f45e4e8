//! The whole of Dormouse on AWS, on one machine: both Lambda functions as deployed, and everything around them.
//!
//! ```text
//!  people ─signed─► function URL ─► interactions ─► DynamoDB, SQS
//!  (Discord) ◄──────────────────────────── worker ◄─ SQS, ECS's events, the schedule
//!                                            │ RunTask, StopTask
//!  players ─► 10.77.0.n: watchdog and game ◄─┘ Fargate
//!                  │ reports to 10.77.0.1, the function URL as tasks see it; uploads to S3
//! ```
//!
//! Functions, emulators and Discord listen on loopback. Tasks and players are in namespaces of the lab; the lab's server is
//! "the internet" in which the function URL is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use emulators::{
    Moto, Needed, Options, S3, S3Watch,
    lambda::{Delivery, Function, FunctionUrl, Schedule, Settings, SqsPoller},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::{
    account::{Account, REGION, Secrets},
    discord::Discord,
    fargate::{Fargate, Setup, Task},
    patient::Patient,
    people::{ANN, Friend, People},
    tap::Tap,
    template::Template,
};
use crate::{clocks::Clocks, image::Image, netns::Lab};

pub mod template;

pub mod account;

pub mod discord;

pub mod people;

pub mod fargate;

pub mod tap;

pub mod patient;

/// Discord's rules for payloads, as the adapter's own tests have them.
#[path = "../../../adapters/src/chat/discord/tests/validate.rs"]
#[expect(dead_code, reason = "here nobody fills in a form")]
mod validate;

/// How long a message that was received stays out of sight: longer than a look takes here, and short enough to wait for.
const VISIBILITY: Duration = Duration::from_secs(4);

/// How often the sweep comes. On AWS it is every few minutes.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// How often the tests look.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// How long a request of a person's program may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// The functions, by their logical ids, which are their callers' names too.
const FRONT_DOOR: &str = "FrontDoorFunction";
const WORKER: &str = "WorkerFunction";

/// What a cloud is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name, a word.
    pub name: String,
    /// How many players have machines.
    pub players: usize,
    /// How many tasks can run at once.
    pub machines: usize,
    /// How messages reach the worker.
    pub delivery: Delivery,
    /// What is changed in Luanti's catalogue entry in the image: a text and what stands there instead.
    pub catalogue: Vec<(&'static str, &'static str)>,
    /// What stands in the image in place of Luanti's entry, before anything of it is changed.
    pub entry: Option<String>,
    /// What lets clocks jump, if they are to.
    pub clocks: Option<Clocks>,
}

impl Plan {
    /// Returns a plan for one player and one task.
    pub fn new(name: impl Into<String>) -> Self {
        let (name, catalogue) = (name.into(), Vec::new());
        Self {
            name,
            players: 1,
            machines: 1,
            delivery: Delivery::Exact,
            catalogue,
            entry: None,
            clocks: None,
        }
    }
}

/// Everything. What has to end first stands first.
pub struct Cloud {
    poller: Option<SqsPoller>,
    sweep: Option<Schedule>,
    /// The tasks.
    pub fargate: Fargate,
    /// The front door.
    pub interactions: Function,
    /// The worker.
    pub worker: Function,
    /// What counts the worker's calls.
    pub tap: Tap,
    /// The guild.
    pub people: People,
    /// Discord.
    pub discord: Discord,
    /// The account.
    pub moto: Moto,
    /// The bucket.
    pub s3: S3,
    /// What sees all that is asked of the bucket, and can make trouble.
    pub watch: S3Watch,
    template: Template,
    /// What must not be seen anywhere.
    pub secrets: Secrets,
    /// The machines.
    pub lab: Arc<Lab>,
    url: String,
    begun: Instant,
    name: String,
    clocks: Option<Clocks>,
    /// The function URL as people see it, and as tasks do.
    _doors: [FunctionUrl; 2],
    _runtime: Runtime,
    scratch: Scratch,
}

impl Cloud {
    /// Builds a cloud by `plan`.
    pub fn start(plan: &Plan) -> Result<Self> {
        let begun = Instant::now();
        let scratch = Scratch::new(plan)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let secrets = secrets()?;
        let lab = Arc::new(Lab::new(&plan.name, plan.players + plan.machines)?);
        let template = account::named()?;
        let moto = Moto::start_with(&Options {
            task_events_queue: Some(account::queue().into()),
            task_events_rule: Some(template.properties("LooksTaskEvents")?["EventPattern"].clone()),
            fargate_directory: Some(scratch.path("spool")),
            ..Options::default()
        })?;
        let s3 =
            S3::start(&[&account::bucket()], "AKIADORMOUSEEXAMPLE1", "wJalrXUtnFEMIexamplekeyofthebucket")?;
        let watch = S3Watch::start(address(s3.url())?)?;
        let mut deployed_to = Account::deploy(&moto, template, &secrets, VISIBILITY)?;
        let discord = Discord::start(&runtime, &secrets.bot)?;
        let mut people = People::new(discord.clone())?;
        let deployed = Deployed {
            account: address(moto.url())?,
            bucket: watch.address(),
            keys: [s3.access_key().to_owned(), s3.secret_key().to_owned()],
            discord: discord.address,
            public_key: people.public_key(),
            clocks: plan.clocks.clone(),
        };
        let (interactions, [outside, inside]) = deployed.interactions(&lab, &deployed_to.template)?;
        people.send_to(&outside.url());
        deployed_to.set_control_url(&outside.url())?;
        let template = deployed_to.template;
        let (worker, tap) = deployed.worker(&runtime, &template, &inside.url())?;
        let machines = plan.players..plan.players + plan.machines;
        let fargate = Fargate::start(&runtime, scratch.fargate(&deployed, lab.clone(), machines)?)?;
        let batch =
            template.properties("WorkerMessages")?["BatchSize"].as_u64().context("no size of a batch")?;
        let queue = account::queue_url(&moto);
        let poller = SqsPoller::start(&queue, moto.url(), &worker, usize::try_from(batch)?, plan.delivery)?;
        let event = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
        let sweep = Schedule::start(&worker, SWEEP_EVERY, event)?;
        let cloud = Self {
            poller: Some(poller),
            sweep: Some(sweep),
            fargate,
            interactions,
            worker,
            tap,
            people,
            discord,
            moto,
            s3,
            watch,
            template,
            secrets,
            lab,
            url: outside.url(),
            begun,
            name: plan.name.clone(),
            clocks: plan.clocks.clone(),
            _doors: [outside, inside],
            _runtime: runtime,
            scratch,
        };
        cloud.story("the cloud is up");
        Ok(cloud)
    }

    /// Prints a milestone.
    pub fn story(&self, what: &str) {
        println!("{:>8} {:>5.1} s  {what}", self.name, self.begun.elapsed().as_secs_f32());
    }

    /// Makes a world of Luanti by Discord, and returns its id. Its timers are for the first player and after the last one.
    pub fn create(&self, name: &str, [join_within, sleep_after]: [&str; 2]) -> Result<String> {
        let options =
            [("name", name), ("game", "luanti"), ("join-within", join_within), ("sleep-after", sleep_after)];
        let answered = self.people.command(ANN, "world create", &options)?;
        ensure!(answered.text().contains("is made"), "it said: {}", answered.text());
        let world = self.world(name)?;
        world["id"].as_str().map(str::to_owned).context("a world without id")
    }

    /// Does something about one world as `who` and returns what it was answered.
    pub fn on(&self, who: Friend, command: &str, world: &str) -> Result<people::Answered> {
        let answered = self.people.command(who, &format!("world {command}"), &[("name", world)])?;
        let first = answered.text().lines().next().unwrap_or_default().to_owned();
        self.story(&format!("{}: /world {command} -> \"{first}\" in {:.0?}", who.name, answered.took));
        Ok(answered)
    }

    /// Downloads what the link leads to, waiting for it while it is being made.
    pub fn download(&self, link: &str) -> Result<Vec<u8>> {
        let begun = Instant::now();
        loop {
            match self.follow(link)? {
                Followed::Archive(archive) => return Ok(archive),
                Followed::NotYet => {}
                Followed::Elsewhere(status, said) => bail!("the link leads to {status}: {said}"),
            }
            ensure!(begun.elapsed() < Duration::from_secs(60), "it is still being made");
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Follows a link that downloads a world.
    pub fn follow(&self, link: &str) -> Result<Followed> {
        let mut answer = account::agent(REQUEST_LIMIT).get(link).call()?;
        if answer.headers().contains_key("retry-after") {
            return Ok(Followed::NotYet);
        }
        let (status, body) = (answer.status().as_u16(), answer.body_mut().read_to_vec()?);
        Ok(match status {
            200 => Followed::Archive(body),
            _ => Followed::Elsewhere(status, String::from_utf8_lossy(&body).into_owned()),
        })
    }

    /// Returns the world as the API shows it.
    pub fn world(&self, name: &str) -> Result<Value> {
        let mut answer = account::agent(REQUEST_LIMIT)
            .get(format!("{}/v1/worlds/{name}", self.url))
            .header("Authorization", format!("Bearer {}", self.secrets.api))
            .call()?;
        let text = answer.body_mut().read_to_string()?;
        ensure!(answer.status() == 200, "{}: {text}", answer.status());
        let answer: Value = serde_json::from_str(&text)?;
        Ok(answer.get("world").cloned().unwrap_or(answer))
    }

    /// Deletes a sleeping world, by the API.
    pub fn delete(&self, name: &str) -> Result<()> {
        let mut answer = account::agent(REQUEST_LIMIT)
            .delete(format!("{}/v1/worlds/{name}?confirm={name}", self.url))
            .header("Authorization", format!("Bearer {}", self.secrets.api))
            .call()?;
        let text = answer.body_mut().read_to_string()?;
        ensure!(answer.status() == 200, "{}: {text}", answer.status());
        self.story(&format!("{name} is deleted"));
        Ok(())
    }

    /// Looks at the world until `is_so`.
    pub fn wait(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let begun = Instant::now();
        let mut last = Value::Null;
        while begun.elapsed() < limit {
            // The account may be told to fail.
            if let Ok(world) = self.world(name) {
                if is_so(&world) {
                    self.story(&format!("{name} is {what}"));
                    return Ok(world);
                }
                last = world;
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("{name}: not {what} after {} s: {last:#}", limit.as_secs())
    }

    /// Waits until the world is in `state`.
    pub fn wait_for(&self, name: &str, state: &str, limit: Duration) -> Result<Value> {
        self.wait(name, state, limit, |world| world["state"] == state)
    }

    /// Waits until `is_so`, about anything else.
    pub fn until(&self, what: &str, limit: Duration, is_so: impl Fn() -> bool) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if is_so() {
                self.story(what);
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("not after {} s: {what}", limit.as_secs())
    }

    /// Checks for `time` that `is_so` goes on being so of the world.
    pub fn stays(
        &self,
        name: &str,
        what: &str,
        time: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            if let Ok(world) = self.world(name) {
                ensure!(is_so(&world), "{name}: no longer {what}: {world:#}");
            }
            thread::sleep(LOOK_EVERY);
        }
        self.story(&format!("{name} stayed {what} for {} s", time.as_secs()));
        Ok(())
    }

    /// Returns the world's only task; an error if there is none or more than one.
    pub fn only_task(&self, world_id: &str) -> Result<Task> {
        let mut tasks = self.fargate.tasks_of(world_id);
        ensure!(tasks.len() == 1, "{} tasks were started for one launch", tasks.len());
        tasks.pop().context("no task")
    }

    /// Returns the file that S3 keeps the world's newest archive in.
    pub fn archive(&self, world: &Value) -> Result<PathBuf> {
        let part = |value: &Value| value.as_str().map(str::to_owned).context("the world has no archive");
        Ok(self.archive_file(&part(&world["id"])?, &part(&world["archive"]["id"])?))
    }

    /// Returns the file that S3 keeps an archive in.
    pub fn archive_file(&self, world_id: &str, archive: &str) -> PathBuf {
        self.s3.dir().join(account::bucket()).join(format!("worlds/{world_id}/{archive}.zip"))
    }

    /// Returns where the files of a world are, on the file system that all tasks share.
    pub fn files(&self, world_id: &str) -> PathBuf {
        self.scratch.path("worlds").join(world_id).join("files")
    }

    /// Has the clock of a function jump: it shows the true time and so many seconds more.
    pub fn set_clock(&self, function: Caller, ahead_s: i64) -> Result<()> {
        let clocks = self.clocks.as_ref().context("these clocks do not jump")?;
        clocks.set(function.id(), ahead_s)
    }

    /// Returns what `dormouse doctor --aws` is to look at.
    pub fn patient(&self) -> Result<Patient<'_>> {
        Patient::new(&self.moto, &self.s3, &self.discord, &self.url)
    }

    /// Returns how many messages could not be worked on.
    pub fn dead_letters(&self) -> Result<u64> {
        account::dead_letters(&self.moto)
    }

    /// Returns what a function had to be allowed so far, a line each, in the words of the template:
    /// `action resource [condition key=value]`.
    pub fn needed(&self, function: Caller) -> Result<BTreeSet<String>> {
        let line = |Needed { action, resource, context, .. }: &Needed| {
            let when: Vec<_> = context
                .iter()
                .map(|(key, value)| format!(" [{key}={}]", self.template.referring(value)))
                .collect();
            format!("{action} {}{}", self.template.referring(resource), when.concat())
        };
        let all = self.moto.needed()?.into_iter().chain(self.watch.needed());
        let lines = all.filter(|one| one.caller == function.id()).map(|one| line(&one));
        Ok(lines.map(|line| line.replace(account::ACCOUNT, account::TEMPLATES_ACCOUNT)).collect())
    }

    /// Returns everything that the two functions have printed.
    pub fn logs(&self) -> String {
        format!("{}{}", self.interactions.logs(), self.worker.logs())
    }

    /// Returns what tells why something failed.
    pub fn evidence(&self) -> String {
        let mut said = format!("--- interactions\n{}\n", end(&self.interactions.logs(), 25));
        said += &format!("--- worker\n{}\n", end(&self.worker.logs(), 50));
        said += &of_tasks(&self.fargate.tasks());
        said += "--- Discord\n";
        for request in self.discord.requests().iter().rev().take(12).rev() {
            let text = discord::read(&request.body);
            said += &format!("{} {}: {}\n", request.what, request.status, text.lines().next().unwrap_or(""));
        }
        said
    }

    /// Returns what tells why something happened to one world.
    pub fn evidence_of(&self, world_id: &str) -> String {
        let of_it = |text: String| {
            let lines: Vec<_> = text.lines().filter(|line| line.contains(world_id)).collect();
            end(&lines.join("\n"), 40)
        };
        let mut said = format!("--- interactions\n{}\n", of_it(self.interactions.logs()));
        said += &format!("--- worker\n{}\n", of_it(self.worker.logs()));
        said + &of_tasks(&self.fargate.tasks_of(world_id))
    }
}

/// Returns the end of what the last of `tasks` have printed.
fn of_tasks(tasks: &[Task]) -> String {
    let one = |task: &Task| {
        let [watchdog, game] =
            [("container.log", 30), ("game.log", 10)].map(|(file, lines)| end(&task.file(file), lines));
        let ended = task.ended.map(|(_, code)| code);
        format!("--- task {} ({ended:?})\n{watchdog}\n--- its game\n{game}\n", task.id)
    };
    tasks.iter().rev().take(2).map(one).collect()
}

/// Returns the last lines that are no numbers for a metric.
fn end(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().filter(|line| !line.contains("CloudWatchMetrics")).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // Whoever waits for an answer of theirs waits no longer.
        self.worker.kill();
        self.interactions.kill();
        drop((self.poller.take(), self.sweep.take()));
    }
}

/// What a link that downloads a world leads to.
#[derive(Debug)]
pub enum Followed {
    /// The archive.
    Archive(Vec<u8>),
    /// It is still being made.
    NotYet,
    /// Something else: its HTTP status, and what it said.
    Elsewhere(u16, String),
}

/// One of the two functions, each of which has a role of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The front door.
    FrontDoor,
    /// The worker.
    Worker,
}

impl Caller {
    /// Returns its logical id, which its session token is.
    fn id(self) -> &'static str {
        match self {
            Self::FrontDoor => FRONT_DOOR,
            Self::Worker => WORKER,
        }
    }
}

/// What the functions are deployed with.
#[derive(Clone)]
struct Deployed {
    account: SocketAddr,
    bucket: SocketAddr,
    keys: [String; 2],
    discord: SocketAddr,
    public_key: String,
    clocks: Option<Clocks>,
}

impl Deployed {
    /// Returns the front door, and its URL as people and as tasks see it.
    fn interactions(&self, lab: &Lab, template: &Template) -> Result<(Function, [FunctionUrl; 2])> {
        let function = Function::new(self.settings(Caller::FrontDoor, template, &[])?)?;
        // First, since it starts the threads that serve both, and those must not be inside the lab.
        let outside = FunctionUrl::start(&function, SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listen = SocketAddr::from((lab.server().address, 0));
        let inside = lab.server().within(|| FunctionUrl::start(&function, listen))?;
        Ok((function, [outside, inside]))
    }

    /// Returns the worker, whose watchdogs report to `control_url`, and the tap on all its wires.
    fn worker(&self, runtime: &Runtime, template: &Template, control_url: &str) -> Result<(Function, Tap)> {
        let tap = Tap::default();
        let tapped = Self {
            account: tap.front(runtime, self.account)?,
            bucket: tap.front(runtime, self.bucket)?,
            discord: tap.front(runtime, self.discord)?,
            ..self.clone()
        };
        // Tasks are in the lab, and nobody has a day for a test.
        let own = [("DORMOUSE_CONTROL_URL", control_url), ("DORMOUSE_REPORT_EVERY_S", "1")];
        let function = Function::new(tapped.settings(Caller::Worker, template, &own)?)?;
        tap.watch(function.clone());
        Ok((function, tap))
    }

    /// Returns how a function is deployed: as the template says, but for `own` of its environment and for where everything is.
    fn settings(&self, caller: Caller, template: &Template, own: &[(&str, &str)]) -> Result<Settings> {
        let properties = template.properties(caller.id())?;
        let number = |name: &str| properties[name].as_u64().with_context(|| format!("no {name}"));
        let variables = properties["Environment"]["Variables"].as_object().context("no environment")?;
        let mut env: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in variables {
            env.insert(name.clone(), value.as_str().context("a variable is no text")?.to_owned());
        }
        let [access_key, secret_key] = &self.keys;
        let here = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.account)),
            ("AWS_ENDPOINT_URL_S3", format!("http://{}", self.bucket)),
            ("AWS_ACCESS_KEY_ID", access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", secret_key.clone()),
            ("AWS_SESSION_TOKEN", caller.id().to_owned()),
            ("DORMOUSE_DISCORD_PUBLIC_KEY", self.public_key.clone()),
            ("DORMOUSE_DISCORD_API", Discord::base(self.discord)),
        ];
        env.extend(here.map(|(name, value)| (name.to_owned(), value)));
        env.extend(own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        if let Some(clocks) = &self.clocks {
            clocks.set(caller.id(), 0)?;
            env.extend(clocks.vars(caller.id()));
        }
        let (name, program) = match caller {
            Caller::FrontDoor => ("dormouse-interactions", program("interactions")?),
            Caller::Worker => ("dormouse-worker", program("worker")?),
        };
        Ok(Settings {
            env: env.into_iter().collect(),
            region: REGION.into(),
            memory_mib: u32::try_from(number("MemorySize")?)?,
            timeout: Duration::from_secs(number("Timeout")?),
            concurrency: usize::try_from(number("ReservedConcurrentExecutions")?)?,
            ..Settings::new(name, program)
        })
    }
}

/// The directories of a cloud.
struct Scratch(TempDir);

impl Scratch {
    /// Returns directories, one of them with the catalogue as `plan` has it.
    fn new(plan: &Plan) -> Result<Self> {
        let scratch = Self(tempfile::tempdir()?);
        for name in ["spool", "worlds", "catalogue", "tasks"] {
            std::fs::create_dir(scratch.path(name))?;
        }
        write_catalogue(&scratch.path("catalogue"), plan)?;
        Ok(scratch)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn fargate(&self, deployed: &Deployed, lab: Arc<Lab>, machines: Range<usize>) -> Result<Setup> {
        Ok(Setup {
            lab,
            machines,
            spool: self.path("spool"),
            worlds: self.path("worlds"),
            catalogue: self.path("catalogue"),
            scratch: self.path("tasks"),
            program: built(crate::dormouse::program().with_file_name("watchdog"), "watchdog")?,
            entrypoint: Image::by(&self.path("catalogue/luanti.toml"))?.entrypoint,
            s3: deployed.bucket,
            clocks: deployed.clocks.clone(),
        })
    }
}

/// Returns where the function's program is.
fn program(name: &str) -> Result<PathBuf> {
    built(crate::dormouse::program().with_file_name(name), "control-lambda")
}

/// Returns `program`, which `cargo xtask test` has built from `package`.
fn built(program: PathBuf, package: &str) -> Result<PathBuf> {
    let missing = || format!("{} is missing: run `cargo build -p {package}`", program.display());
    program.canonicalize().with_context(missing)
}

/// Returns the address in a URL of an emulator.
fn address(url: &str) -> Result<SocketAddr> {
    url.trim_start_matches("http://").parse().with_context(|| format!("{url} is no address"))
}

/// Returns secrets that nobody has had before, and that no other text looks like.
fn secrets() -> Result<Secrets> {
    let random = |n: usize| -> Result<String> {
        let mut bytes = vec![0; n];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
            .map_err(|_| anyhow::anyhow!("no random numbers"))?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    let bot = format!("MTEwMDAwMDAwMDAwMDAwMDAwMQ.GabcDe.{}", random(16)?);
    Ok(Secrets { launch: random(32)?, api: random(24)?, bot })
}

/// Copies the catalogue as an image has it, with Luanti's entry as `plan` has it.
fn write_catalogue(to: &Path, plan: &Plan) -> Result<()> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../games/catalog");
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let mut text = std::fs::read_to_string(entry.path())?;
        if entry.file_name() == "luanti.toml" {
            text = plan.entry.clone().unwrap_or(text);
            for (before, after) in &plan.catalogue {
                ensure!(text.contains(before), "Luanti's entry has no `{before}`");
                text = text.replace(before, after);
            }
        }
        std::fs::write(to.join(entry.file_name()), text)?;
    }
    Ok(())
}
