//! Tasks on AWS Fargate, by way of ECS: a watchdog and its game in one task of the game's task definition.
//!
//! ```text
//! task definition  <prefix>-<game>            containers `watchdog` and, where there is one, the game's own
//!                  <prefix>-erase             container `watchdog`, without a game
//! startedBy        <prefix>/<world>/<launch>  which tasks are ours, and whose
//!                  <prefix>-erase/<world>
//! clientToken      <world>/<launch>/<capacity provider>
//! ```
//!
//! Nothing is remembered here: ECS is asked. Asking twice for one launch gives one task. ECS promises that for the same
//! client token, and since the token names the capacity provider, tasks of the launch are looked for before any provider
//! is asked, and again before the next one. ECS shows what it did only after a moment, so two workers that launch at
//! once, one on each provider, could still start two tasks: the lock on the world's directory holds the second one off,
//! and the sweep ends it.
//!
//! # Permissions
//!
//! | action | on |
//! | --- | --- |
//! | `ecs:RunTask` | `task-definition/<prefix>-*`, condition `ecs:cluster` |
//! | `ecs:TagResource` | `task/<cluster>/*`, condition `ecs:CreateAction` = `RunTask` |
//! | `iam:PassRole` | the task definitions' execution role and task role, condition `iam:PassedToService` = `ecs-tasks.amazonaws.com` |
//! | `ecs:DescribeTasks`, `ecs:StopTask` | `task/<cluster>/*`, condition `ecs:cluster` |
//! | `ecs:ListTasks` | `*`, condition `ecs:cluster` |

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_ecs::{
    Client,
    types::{ContainerOverride, DesiredStatus, Failure, KeyValuePair, Tag, Task, TaskField, TaskOverride},
};
use domain::{
    event::Gone,
    game::Game,
    ports::{LaunchError, LaunchOrder, RunningTask, Runtime, Seen, Unavailable},
    world::{Force, GameId, Generation, TaskId, WorldId},
};

use tracing::Instrument;

use self::{gone::how_it_ended, run::Run};
use crate::{
    aws::unavailable,
    secret::Secret,
    task_env::{self, GameStart, TaskEnv},
};

mod gone;

mod run;

/// The container of the watchdog, in every task definition.
pub const WATCHDOG: &str = "watchdog";

/// How many tasks are asked about at once: as many as ECS allows.
const BATCH: usize = 100;

/// How many pages of tasks are read: far more tasks than a group of friends can pay for.
const MOST_PAGES: usize = 50;

/// How often a task that ECS does not know is asked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How many attempts to erase a world may fail before the next one waits until ECS has forgotten the oldest, after an hour.
const MOST_ERASURES: usize = 5;

/// What a task runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapacityProvider {
    /// Fargate Spot: cheaper, and taken back with two minutes' notice.
    Spot,
    /// Fargate.
    OnDemand,
}

impl CapacityProvider {
    /// Returns the name that ECS has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spot => "FARGATE_SPOT",
            Self::OnDemand => "FARGATE",
        }
    }
}

/// What this runtime is made of. `cluster` and `prefix` are ECS names: letters, digits, hyphens and underscores.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cluster's name.
    pub cluster: String,
    /// What the names of our task definitions begin with, at most 64 characters: `dormouse` → `dormouse-valheim`. Two
    /// installations in one cluster need two of them, or each ends the other's tasks.
    pub prefix: String,
    /// The games.
    pub games: BTreeMap<GameId, Game>,
    /// The public subnets, 1 to 16.
    pub subnets: Vec<String>,
    /// The security groups of every task: to the files, and out.
    pub security_groups: Vec<String>,
    /// The security groups that open a game's ports to players. ECS allows a task five in all.
    pub game_security_groups: BTreeMap<GameId, Vec<String>>,
    /// What to run on, the first choice first.
    pub capacity_providers: Vec<CapacityProvider>,
    /// Where watchdogs reach the control plane.
    pub control_url: String,
    /// How often watchdogs report.
    pub report_every: Duration,
    /// What launch tokens are derived from.
    pub secret: Secret,
    /// Where the worlds' file system is mounted in the containers.
    pub worlds_dir: PathBuf,
    /// The task's own directory in the watchdog's container: logs, health, scratch.
    pub task_dir: PathBuf,
    /// Where the watchdog's image has the catalogue's files.
    pub catalogue_dir: PathBuf,
    /// The user and group to run games as, where they are not the watchdog's own.
    pub game_user: Option<(u32, u32)>,
    /// The container that runs the game and is told where its world is; none where the watchdog starts the game.
    pub game_container: Option<String>,
    /// How long a task that ECS does not know may be one that it does not show yet. See [`Config::SETTLES_IN`].
    pub settles_in: Duration,
}

impl Config {
    /// After this time ECS shows what it did, as a rule; it promises none.
    pub const SETTLES_IN: Duration = Duration::from_secs(3);
}

/// Tasks on Fargate.
#[derive(Debug, Clone)]
pub struct EcsRuntime {
    ecs: Client,
    config: Config,
}

impl EcsRuntime {
    /// Returns a runtime in the configured cluster, as [`crate::aws::config`] reaches it.
    pub fn new(aws: &SdkConfig, config: Config) -> Self {
        Self { ecs: Client::new(aws), config }
    }
}

#[async_trait]
impl Runtime for EcsRuntime {
    async fn launch(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        let LaunchOrder { world, generation, .. } = order;
        let span = tracing::info_span!("launch", world = world.as_str(), generation = generation.0);
        self.launch_once(order).instrument(span).await
    }

    /// Asks ECS, which knows a task for an hour after its end. One that it does not know is asked for again until it would
    /// be shown if it had only just been started.
    async fn observe(&self, task: &TaskId) -> Result<Seen, Unavailable> {
        if !self.may_be_ours(task) {
            return Ok(Seen::Gone(Gone::NeverExisted));
        }
        let mut waited = Duration::ZERO;
        loop {
            match self.describe(&[task.to_string()]).await?.pop() {
                Some(found) if !is_stopped(&found) => return Ok(Seen::There),
                Some(found) => return Ok(Seen::Gone(self.noted(task, &found))),
                None if waited >= self.config.settles_in => return Ok(Seen::Gone(Gone::NeverExisted)),
                None => {}
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            waited += LOOK_AGAIN;
        }
    }

    /// Asks ECS to stop the task, which sends it SIGTERM and after at most 120 s SIGKILL. ECS has nothing harder, so
    /// [`Force::Kill`] is the same.
    async fn end(&self, task: &TaskId, force: Force) -> Result<(), Unavailable> {
        if !self.may_be_ours(task) {
            return Ok(());
        }
        let reason = match force {
            Force::Gentle => "dormouse: the launch is over",
            Force::Kill => "dormouse: the launch is overdue",
        };
        let stopped = self.ecs.stop_task().cluster(&self.config.cluster).task(task.as_str()).reason(reason);
        match stopped.send().await {
            Ok(_) => Ok(()),
            // ECS's word for a task that it does not know.
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_invalid_parameter_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(unavailable("ecs:StopTask", &error)),
        }
    }

    /// Asks for tasks that shall run and for those that shall stop: of the latter, some are still there.
    async fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
        let mut arns = self.list_by(|list| list.desired_status(DesiredStatus::Running)).await?;
        arns.extend(self.list_by(|list| list.desired_status(DesiredStatus::Stopped)).await?);
        // A task may have been told to stop between the two.
        arns.sort();
        arns.dedup();
        let tasks = self.describe(&arns).await?;
        Ok(tasks.iter().filter(|task| !is_stopped(task)).filter_map(|task| self.running(task)).collect())
    }

    /// Runs a task that removes the world's files, and is done when that task has ended well: until then the world is
    /// being erased, and whoever wants it gone comes again.
    async fn erase(&self, world: &WorldId) -> Result<(), Unavailable> {
        let mut run = self.erasure_of(world);
        let mut failed = Vec::new();
        for task in self.tasks_of(&run).await? {
            if !is_stopped(&task) {
                return Err(being_erased(world));
            }
            // Whoever told it to end: if it ended well, its work was done.
            if gone::exit_code(&task) == Some(0) {
                return Ok(());
            }
            failed.push(task);
        }
        failed.sort_by_key(|task| task.created_at().map(|at| at.as_nanos()));
        if let Some(last) = failed.last() {
            let task = task_id(last.task_arn())?;
            self.noted(&task, last);
            if failed.len() >= MOST_ERASURES {
                return Err(Unavailable(format!(
                    "world {world} could not be erased in {MOST_ERASURES} attempts: the control plane's log says why"
                )));
            }
            // The next attempt is the one after this one, whoever makes it.
            let id = task.as_str().rsplit('/').next().unwrap_or_default();
            run.token = format!("erase-after-{id}");
        }
        match self.run(&run, &self.config.capacity_providers).await {
            Ok(_) => Err(being_erased(world)),
            Err(LaunchError::Refused(why)) => Err(Unavailable(why)),
            Err(LaunchError::Unavailable(why)) => Err(why),
        }
    }
}

fn being_erased(world: &WorldId) -> Unavailable {
    Unavailable(format!("world {world} is being erased"))
}

impl EcsRuntime {
    /// Returns the task that was started for the launch, if ECS shows one: rather one that is there. Else starts one.
    async fn launch_once(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        let run = self.run_of(order)?;
        let mut tasks = self.shown(&run).await?;
        let providers = self.providers(&order.world, &tasks);
        tasks.retain(|task| task.started_by() == Some(&run.started_by));
        tasks.sort_by_key(is_stopped);
        match tasks.first() {
            Some(task) => Ok(task_id(task.task_arn())?),
            None => self.run(&run, &providers).await,
        }
    }

    /// Returns what to run a launch of the world on, the first choice first: Spot last if it took on an earlier launch of
    /// the world in the last hour and then found no room for it, which would only happen again.
    fn providers(&self, world: &WorldId, shown: &[Task]) -> Vec<CapacityProvider> {
        let is_of_world = |task: &Task| self.running(task).is_some_and(|of| of.world == *world);
        let is_short = shown.iter().any(|task| is_of_world(task) && gone::spot_had_no_room(task));
        let mut providers = self.config.capacity_providers.clone();
        providers.sort_by_key(|provider| is_short && *provider == CapacityProvider::Spot);
        providers
    }

    /// Returns what to run for the launch, or why that is never possible.
    fn run_of(&self, order: &LaunchOrder) -> Result<Run, LaunchError> {
        let LaunchOrder { world, generation, game, .. } = order;
        let refuse = |why: String| Err(LaunchError::Refused(why));
        let Some(entry) = self.config.games.get(game) else {
            return refuse(format!("game `{game}` is no longer in the catalogue"));
        };
        if order.port.is_some_and(|port| port != entry.main_port()) {
            return refuse(format!(
                "on Fargate every world has an address and all ports of its own, so {} is always at port {}: create the \
                 world without a port",
                entry.name,
                entry.main_port()
            ));
        }
        let own_groups = self.config.game_security_groups.get(game).into_iter().flatten();
        Ok(Run {
            family: self.family(game.as_str()),
            started_by: format!("{}/{world}/{generation}", self.config.prefix),
            token: format!("{world}/{generation}"),
            security_groups: self.config.security_groups.iter().chain(own_groups).cloned().collect(),
            overrides: self.overrides(order, entry),
            tags: vec![
                tag("dormouse:world", world.as_str()),
                tag("dormouse:generation", &generation.to_string()),
                tag("dormouse:game", game.as_str()),
            ],
        })
    }

    fn overrides(&self, order: &LaunchOrder, entry: &Game) -> TaskOverride {
        let world_dir = self.config.worlds_dir.join(order.world.as_str());
        let env = TaskEnv {
            world: order.world.clone(),
            generation: order.generation,
            task: None,
            game_file: self.config.catalogue_dir.join(format!("{}.toml", order.game)),
            port: entry.main_port(),
            world_dir: world_dir.clone(),
            directory: order.directory,
            task_dir: self.config.task_dir.clone(),
            control_url: self.config.control_url.clone(),
            control_socket: None,
            token: self.config.secret.launch_token(&order.world, order.generation),
            timers: order.timers,
            report_every: self.config.report_every,
            game_user: self.config.game_user,
            game_start: match self.config.game_container {
                Some(_) => GameStart::ByContainer,
                None => GameStart::ByWatchdog,
            },
        };
        let watchdog = container(WATCHDOG, env.to_vars());
        let game = self.config.game_container.as_ref();
        let game = game.map(|name| container(name, task_env::container_vars(entry, &world_dir)));
        let all = std::iter::once(watchdog).chain(game);
        TaskOverride::builder().set_container_overrides(Some(all.collect())).build()
    }

    fn erasure_of(&self, world: &WorldId) -> Run {
        let root = self.config.worlds_dir.to_string_lossy().into_owned();
        let command = ["erase".into(), "--root".into(), root, "--world".into(), world.to_string()];
        let watchdog = ContainerOverride::builder().name(WATCHDOG).set_command(Some(command.into())).build();
        Run {
            family: self.family("erase"),
            started_by: format!("{}-erase/{world}", self.config.prefix),
            token: format!("erase/{world}"),
            security_groups: self.config.security_groups.clone(),
            overrides: TaskOverride::builder().container_overrides(watchdog).build(),
            tags: vec![tag("dormouse:world", world.as_str())],
        }
    }

    fn family(&self, name: &str) -> String {
        format!("{}-{name}", self.config.prefix)
    }

    /// Returns the tasks that ECS shows with this `startedBy`, ended ones too.
    async fn tasks_of(&self, run: &Run) -> Result<Vec<Task>, Unavailable> {
        let mut tasks = self.shown(run).await?;
        tasks.retain(|task| task.started_by() == Some(&run.started_by));
        Ok(tasks)
    }

    /// Returns the tasks that ECS shows with this `startedBy`, and the ended ones of its family: ECS takes no other filter
    /// beside `startedBy`, so those that have ended have to be picked out.
    async fn shown(&self, run: &Run) -> Result<Vec<Task>, Unavailable> {
        let mut arns = self.there(run).await?;
        let ended = self.list_by(|list| list.family(&run.family).desired_status(DesiredStatus::Stopped));
        arns.extend(ended.await?);
        self.describe(&arns).await
    }

    /// Returns the tasks with this `startedBy` that shall run, as ECS shows it.
    async fn there(&self, run: &Run) -> Result<Vec<String>, Unavailable> {
        self.list_by(|list| list.started_by(&run.started_by)).await
    }

    /// Returns the ARNs of the tasks that `filter` asks for.
    async fn list_by(
        &self,
        filter: impl Fn(ListTasks) -> ListTasks + Send,
    ) -> Result<Vec<String>, Unavailable> {
        let (mut arns, mut next) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let list = filter(self.ecs.list_tasks().cluster(&self.config.cluster)).set_next_token(next);
            let page = list.send().await.map_err(|error| unavailable("ecs:ListTasks", &error))?;
            arns.extend(page.task_arns.unwrap_or_default());
            next = page.next_token;
            if next.is_none() {
                return Ok(arns);
            }
        }
        Err(Unavailable(format!("the cluster has more than {} tasks", MOST_PAGES * BATCH)))
    }

    /// Returns those of the tasks that ECS knows.
    async fn describe(&self, arns: &[String]) -> Result<Vec<Task>, Unavailable> {
        let mut tasks = Vec::with_capacity(arns.len());
        for batch in arns.chunks(BATCH) {
            let describe = self.ecs.describe_tasks().cluster(&self.config.cluster);
            let found = describe.set_tasks(Some(batch.to_vec())).include(TaskField::Tags).send().await;
            let found = found.map_err(|error| unavailable("ecs:DescribeTasks", &error))?;
            // What is not told for another reason may be there.
            let is_other = |failure: &&Failure| failure.reason() != Some("MISSING");
            if let Some(failure) = found.failures().iter().find(is_other) {
                let reason = failure.reason().unwrap_or("no reason given");
                return Err(Unavailable(format!("ecs:DescribeTasks does not tell of every task: {reason}")));
            }
            tasks.extend(found.tasks.unwrap_or_default());
        }
        Ok(tasks)
    }

    /// Reads whose task it is; nothing if it is none of ours.
    fn running(&self, task: &Task) -> Option<RunningTask> {
        let launch = task.started_by()?.strip_prefix(&self.config.prefix)?.strip_prefix('/')?;
        let (world, generation) = launch.split_once('/')?;
        Some(RunningTask {
            task: task_id(task.task_arn()).ok()?,
            world: WorldId::parse(world).ok()?,
            generation: Generation(generation.parse().ok()?),
        })
    }

    /// Tells whether this is the ARN of a task in our cluster. ECS takes anything else for a mistake.
    fn may_be_ours(&self, task: &TaskId) -> bool {
        let mut parts = task.as_str().rsplitn(3, '/');
        let id = parts.next().is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        let cluster = parts.next() == Some(&self.config.cluster);
        let service = parts.next().is_some_and(|arn| arn.starts_with("arn:") && arn.ends_with(":task"));
        id && cluster && service
    }

    /// Returns how the task ended, and leaves what ECS says of it in the log: people are not shown that much.
    fn noted(&self, task: &TaskId, found: &Task) -> Gone {
        let how = how_it_ended(found);
        if how != Gone::Exited {
            let (code, reason) = (found.stop_code().map(|c| c.as_str()), found.stopped_reason());
            let launch = self.running(found);
            let erased = found
                .started_by()
                .and_then(|by| by.strip_prefix(&self.config.prefix)?.strip_prefix("-erase/"));
            let world = launch.as_ref().map(|launch| launch.world.as_str()).or(erased);
            let generation = launch.as_ref().map(|launch| launch.generation.0);
            tracing::info!(world, generation, %task, code, reason, "the task broke down: {how:?}");
        }
        how
    }
}

type ListTasks = aws_sdk_ecs::operation::list_tasks::builders::ListTasksFluentBuilder;

fn is_stopped(task: &Task) -> bool {
    task.last_status() == Some("STOPPED")
}

fn task_id(arn: Option<&str>) -> Result<TaskId, Unavailable> {
    let bad = |_| Unavailable("ECS names a task in a way that cannot be kept".into());
    TaskId::parse(arn.unwrap_or_default()).map_err(bad)
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

fn container<N: Into<String>>(name: &str, vars: Vec<(N, String)>) -> ContainerOverride {
    let pair = |(name, value): (N, String)| KeyValuePair::builder().name(name).value(value).build();
    let vars = vars.into_iter().map(pair).collect();
    ContainerOverride::builder().name(name).set_environment(Some(vars)).build()
}

#[cfg(test)]
mod tests;
