//! Against an account that is as strict as ECS, on which tasks go through their states by a clock.

use std::{fmt::Write as _, sync::LazyLock};

use aws_sdk_ecs::types::{Compatibility, ContainerDefinition, HealthCheck, NetworkMode};
use domain::{
    game::{Console, ConsoleProtocol, Players, Port, Protocol, Ready, Save, Signal, Stop},
    idle::Timers,
    settings::{Change, Kind, Need, Setting},
    world::SettingName,
};
use emulators::{Moto, When};
use expect_test::expect;
use tokio::sync::{Mutex, MutexGuard};

use super::*;
use crate::{
    aws::tests::config_at,
    runtime::contract::{self, end, gone, of, order, until},
};

#[tokio::test]
async fn fargate_keeps_the_contract() {
    let bench = Bench::new("contract").await;
    let erasing = bench.erasures_end_with(0);
    let restarted = EcsRuntime { ..bench.runtime.clone() };
    contract::all(&bench.runtime, &restarted).await;
    erasing.abort();
}

// Launching.

#[tokio::test]
async fn a_task_is_told_what_it_needs_and_its_tags_tell_no_secret() {
    let bench = Bench::new("told").await;
    let task = bench.runtime.launch(&order("w1", 3)).await.unwrap();
    let found = bench.described(&task).await;
    let mut said = format!(
        "{} {}\n",
        found.started_by().unwrap(),
        found.task_definition_arn().unwrap().rsplit_once('/').unwrap().1.split(':').next().unwrap()
    );
    for container in found.overrides().unwrap().container_overrides() {
        writeln!(said, "{}", container.name().unwrap()).unwrap();
        for pair in container.environment() {
            let (name, value) = (pair.name().unwrap(), pair.value().unwrap());
            let value = if name == "DORMOUSE_TOKEN" { &value[..8] } else { value };
            writeln!(said, "    {name}={value}").unwrap();
        }
    }
    for tag in found.tags() {
        writeln!(said, "{} = {}", tag.key().unwrap(), tag.value().unwrap()).unwrap();
    }
    expect![[r#"
        dormouse/w1/3 dormouse-tiny
        watchdog
            DORMOUSE_WORLD=w1
            DORMOUSE_GENERATION=3
            DORMOUSE_GAME_FILE=/catalogue/tiny.toml
            DORMOUSE_PORT=30000
            DORMOUSE_WORLD_DIR=/worlds/w1
            DORMOUSE_DIRECTORY=may-be-new
            DORMOUSE_TASK_DIR=/task
            DORMOUSE_CONTROL_URL=https://control.example.org
            DORMOUSE_TOKEN=1c540863
            DORMOUSE_NEVER_JOINED_S=900
            DORMOUSE_LAST_LEFT_S=600
            DORMOUSE_WARNING_S=120
            DORMOUSE_AFK_S=0
            DORMOUSE_CAP_S=43200
            DORMOUSE_REPORT_EVERY_S=5
            DORMOUSE_GAME_USER=1000:1000
            DORMOUSE_GAME_START=by-container
        game
            WORLD=/worlds/w1/files
            PORT=30000
            PORT_GAME=30000
            DORMOUSE_CONSOLE_PORT=30001
            DORMOUSE_CONSOLE_PASSWORD_FILE=/worlds/w1/.dormouse/console
            DORMOUSE_SETTINGS_FILE=/worlds/w1/.dormouse/settings
        dormouse:world = w1
        dormouse:generation = 3
        dormouse:game = tiny
    "#]]
    .assert_eq(&said);
    bench.ended(&task).await;
}

#[tokio::test]
async fn a_launch_that_is_asked_for_again_before_ecs_shows_it_is_one_task() {
    let bench = Bench::new("again").await;
    bench.moto.set_visible_after(Duration::from_secs(60)).unwrap();
    let first = bench.runtime.launch(&order("w1", 1)).await.unwrap();
    assert_eq!(bench.runtime.launch(&order("w1", 1)).await, Ok(first.clone()));
    // As after a deployment: the same launch reads a little differently.
    let changed = LaunchOrder { directory: domain::ports::Directory::MustExist, ..order("w1", 1) };
    assert_eq!(bench.runtime.launch(&changed).await, Ok(first.clone()));
    assert_eq!(bench.calls("RunTask"), 3, "the client token tells");
    bench.moto.set_visible_after(Duration::ZERO).unwrap();
    assert_eq!(of(&bench.runtime, "w1").await, [(first.clone(), 1)]);
    bench.ended(&first).await;
}

#[tokio::test]
async fn the_longest_names_there_are_can_be_launched() {
    let bench = Bench::new("longest").await;
    let task = bench.runtime.launch(&order(&"w".repeat(40), u32::MAX)).await.unwrap();
    bench.ended(&task).await;
}

#[tokio::test]
async fn a_launch_that_took_effect_though_it_failed_is_one_task_on_one_provider() {
    let bench = Bench::new("effect").await;
    bench.moto.fault("ecs", "RunTask", 1, When::After, "ServerException", 500).unwrap();
    let error = bench.runtime.launch(&order("w1", 1)).await.unwrap_err();
    expect!["Unavailable(Unavailable(\"ecs:RunTask failed: ServerException\"))"]
        .assert_eq(&format!("{error:?}"));
    assert_eq!(bench.calls("RunTask"), 1, "no other provider is asked");
    let task = bench.runtime.launch(&order("w1", 1)).await.unwrap();
    assert_eq!(of(&bench.runtime, "w1").await, [(task.clone(), 1)]);
    assert_eq!(bench.calls("RunTask"), 1, "it was found");
    assert_eq!(bench.described(&task).await.capacity_provider_name(), Some("FARGATE_SPOT"));
    bench.ended(&task).await;
}

#[tokio::test]
async fn without_room_on_spot_it_runs_on_demand_and_stays_one_task() {
    let bench = Bench::new("on-demand").await;
    bench.moto.no_capacity(1).unwrap();
    let task = bench.runtime.launch(&order("w1", 1)).await.unwrap();
    assert_eq!(bench.described(&task).await.capacity_provider_name(), Some("FARGATE"));
    // Spot has room again.
    assert_eq!(bench.runtime.launch(&order("w1", 1)).await, Ok(task.clone()));
    let how = end(&bench.runtime, &task, Force::Gentle).await;
    assert_eq!(bench.runtime.launch(&order("w1", 1)).await, Ok(task.clone()), "also when it has ended");
    assert_eq!(bench.runtime.observe(&task).await, Ok(Seen::Gone(how)));
    assert_eq!(of(&bench.runtime, "w1").await, []);
}

#[tokio::test]
async fn what_spot_took_on_without_room_runs_on_demand_when_it_is_started_again() {
    let bench = Bench::new("spot-later").await;
    bench.moto.set_stage(Duration::from_secs(1)).unwrap();
    let first = bench.runtime.launch(&order("w1", 1)).await.unwrap();
    let why =
        "Capacity is unavailable at this time. Please try again later or in a different availability zone";
    bench.moto.end_task(first.as_str(), "TaskFailedToStart", why, &[]).unwrap();
    bench.moto.set_stage(STAGE).unwrap();
    let how = gone(&bench.runtime, &first).await;
    assert_eq!(how, Gone::Crashed("Fargate Spot had no room for it; start it again".into()));
    assert_eq!(bench.runtime.launch(&order("w1", 1)).await, Ok(first), "it is the same launch");
    for (world, generation, provider) in [("w1", 2, "FARGATE"), ("w2", 1, "FARGATE_SPOT")] {
        let task = bench.runtime.launch(&order(world, generation)).await.unwrap();
        assert_eq!(bench.described(&task).await.capacity_provider_name(), Some(provider), "{world}");
        bench.ended(&task).await;
    }
}

#[tokio::test]
async fn a_task_that_spot_runs_though_it_had_no_room_is_found_before_another_provider_is_asked() {
    let bench = Bench::new("though").await;
    let run = bench.runtime.run_of(&order("w1", 1)).unwrap();
    let spot = bench.runtime.run_on(CapacityProvider::Spot, &run).await.unwrap();
    // Neither of the first two lists shows it yet.
    bench.moto.answer("ecs", "ListTasks", 2, &serde_json::json!({ "taskArns": [] })).unwrap();
    bench.moto.no_capacity(1).unwrap();
    assert_eq!(bench.runtime.launch(&order("w1", 1)).await, Ok(spot.clone()));
    assert_eq!(bench.calls("RunTask"), 2);
    bench.ended(&spot).await;
}

#[tokio::test]
async fn why_nothing_was_launched_is_told_apart() {
    let bench = Bench::new("apart").await;
    let quota = "You've reached the limit on the number of vCPUs you can run concurrently";
    let failures = |reason: &str| serde_json::json!({ "tasks": [], "failures": [{ "reason": reason }] });
    let mut said = String::new();
    let mut tried = async |what: &str| {
        let before = bench.calls("RunTask");
        let launched = bench.runtime.launch(&order("w1", 1)).await;
        let asked = bench.calls("RunTask") - before;
        let (kind, words) = match launched.unwrap_err() {
            LaunchError::Refused(why) => ("refused", why),
            LaunchError::Unavailable(why) => ("unavailable", why.to_string()),
        };
        writeln!(said, "{what}: {kind} after {asked}: {words}").unwrap();
        assert_eq!(bench.moto.clear_faults().unwrap(), 0);
    };
    bench.moto.no_capacity(2).unwrap();
    tried("no room anywhere").await;
    bench.moto.answer("ecs", "RunTask", 2, &failures(quota)).unwrap();
    tried("no quota").await;
    bench.moto.answer("ecs", "RunTask", 1, &failures("AGENT")).unwrap();
    tried("an unknown failure").await;
    for (code, status) in [
        ("ThrottlingException", 400),
        ("ServerException", 500),
        ("AccessDeniedException", 400),
        ("ClusterNotFoundException", 400),
        ("PlatformUnknownException", 400),
        ("BlockedException", 400),
    ] {
        bench.moto.fault("ecs", "RunTask", 1, When::Before, code, status).unwrap();
        tried(code).await;
    }
    expect![[r#"
        no room anywhere: refused after 2: AWS has no room for another task in this region at the moment; try again in a few minutes
        no quota: refused after 2: the AWS account runs as many tasks as its quota for Fargate allows: put another world to sleep, or ask AWS for more
        an unknown failure: unavailable after 1: ecs:RunTask started nothing
        ThrottlingException: unavailable after 1: ecs:RunTask failed: ThrottlingException
        ServerException: unavailable after 1: ecs:RunTask failed: ServerException
        AccessDeniedException: refused after 1: the control plane may not start tasks: deploy it again
        ClusterNotFoundException: refused after 1: the cluster is gone: deploy the control plane again
        PlatformUnknownException: refused after 1: ECS does not accept the task (PlatformUnknownException): the control plane's log says why
        BlockedException: refused after 1: AWS has blocked the account: AWS Support says why
    "#]].assert_eq(&said);
    bench.moto.answer("ecs", "RunTask", 1, &failures(quota)).unwrap();
    let task = bench.runtime.launch(&order("w1", 1)).await.unwrap();
    assert_eq!(
        bench.described(&task).await.capacity_provider_name(),
        Some("FARGATE"),
        "its quota is another"
    );
    bench.ended(&task).await;
}

#[tokio::test]
async fn what_can_never_be_launched_is_refused_before_ecs_is_asked() {
    let bench = Bench::new("never").await;
    let unknown = LaunchOrder { game: GameId::parse("gone").unwrap(), ..order("w1", 1) };
    let elsewhere = LaunchOrder { port: Some(30_005), ..order("w1", 1) };
    let mut said = String::new();
    for order in [unknown, elsewhere] {
        writeln!(said, "{:?}", bench.runtime.launch(&order).await.unwrap_err()).unwrap();
    }
    expect![[r#"
        Refused("game `gone` is no longer in the catalogue")
        Refused("on Fargate every world has an address and all ports of its own, so Tiny is always at port 30000: create the world without a port")
    "#]].assert_eq(&said);
    assert_eq!(bench.calls("RunTask"), 0);
    let undefined =
        EcsRuntime::new(&bench.aws, Config { prefix: "other".into(), ..bench.runtime.config.clone() });
    expect![[r#"Refused("there is no task definition for this game: deploy the control plane again")"#]]
        .assert_eq(&format!("{:?}", undefined.launch(&order("w1", 1)).await.unwrap_err()));
}

// Observing.

#[tokio::test]
async fn a_task_that_ecs_does_not_show_yet_is_not_gone() {
    let bench = Bench::new("settles").await;
    bench.moto.set_visible_after(Duration::from_millis(700)).unwrap();
    let task = bench.runtime.launch(&order("w1", 1)).await.unwrap();
    assert_eq!(bench.runtime.observe(&task).await, Ok(Seen::There));
    bench.moto.set_visible_after(Duration::ZERO).unwrap();
    bench.ended(&task).await;
}

#[tokio::test]
async fn how_tasks_ended_is_told_until_ecs_forgets_them() {
    let bench = Bench::new("ended").await;
    let mut said = String::new();
    let mut last = None;
    for (n, (code, reason, exit)) in (1..).zip([
        ("EssentialContainerExited", "Essential container in task exited", 0),
        ("EssentialContainerExited", "Essential container in task exited", 1),
        ("SpotInterruption", "Your Spot Task was interrupted.", 137),
        ("TerminationNotice", "Your task received a termination notice.", 0),
        ("ServiceSchedulerInitiated", "Scaling activity", 143),
        ("UserInitiated", "Task stopped by user", 137),
    ]) {
        let task = bench.runtime.launch(&order("w1", n)).await.unwrap();
        bench.is_running(&task).await;
        bench.moto.end_task(task.as_str(), code, reason, &[(WATCHDOG, exit)]).unwrap();
        // Between its end and its last state it is still there.
        writeln!(said, "{code} {exit}: {:?}", gone(&bench.runtime, &task).await).unwrap();
        last = Some(task);
    }
    bench.moto.set_stage(Duration::from_secs(1)).unwrap();
    let task = bench.runtime.launch(&order("w2", 1)).await.unwrap();
    let why = "CannotPullContainerError: pull image manifest has been retried: 111122223333.dkr.ecr.example";
    bench.moto.end_task(task.as_str(), "TaskFailedToStart", why, &[]).unwrap();
    bench.moto.set_stage(STAGE).unwrap();
    writeln!(said, "TaskFailedToStart: {:?}", gone(&bench.runtime, &task).await).unwrap();
    expect![[r#"
        EssentialContainerExited 0: Exited
        EssentialContainerExited 1: Crashed("its watchdog ended with exit code 1")
        SpotInterruption 137: Reclaimed
        TerminationNotice 0: Reclaimed
        ServiceSchedulerInitiated 143: Crashed("its watchdog ended with exit code 143")
        UserInitiated 137: Crashed("it did not end in time and was killed")
        TaskFailedToStart: Crashed("its image could not be pulled")
    "#]]
    .assert_eq(&said);

    bench.moto.forget_stopped_tasks().unwrap();
    let forgotten = EcsRuntime {
        config: Config { settles_in: Duration::ZERO, ..bench.runtime.config.clone() },
        ..bench.runtime.clone()
    };
    assert_eq!(forgotten.observe(&last.unwrap()).await, Ok(Seen::Gone(Gone::NeverExisted)));
}

#[tokio::test]
async fn a_task_that_stops_between_two_calls_is_there_until_it_is_gone() {
    let bench = Bench::new("between").await;
    let task = bench.runtime.launch(&order("w1", 1)).await.unwrap();
    bench.is_running(&task).await;
    bench.moto.set_stage(Duration::from_secs(2)).unwrap();
    bench.runtime.end(&task, Force::Gentle).await.unwrap();
    assert_eq!(bench.runtime.observe(&task).await, Ok(Seen::There), "it saves");
    assert_eq!(of(&bench.runtime, "w1").await, [(task.clone(), 1)]);
    assert_eq!(bench.runtime.end(&task, Force::Gentle).await, Ok(()));
    bench.moto.set_stage(STAGE).unwrap();
    gone(&bench.runtime, &task).await;
    assert_eq!(bench.runtime.end(&task, Force::Kill).await, Ok(()));
    bench.moto.forget_stopped_tasks().unwrap();
    assert_eq!(bench.runtime.end(&task, Force::Kill).await, Ok(()), "nobody knows it any more");
}

#[tokio::test]
async fn errors_name_the_call_and_no_account() {
    let bench = Bench::new("errors").await;
    let task = bench.runtime.launch(&order("w1", 1)).await.unwrap();
    let mut said = String::new();
    for (call, code, status) in [
        ("DescribeTasks", "ThrottlingException", 400),
        ("StopTask", "AccessDeniedException", 400),
        ("ListTasks", "ServerException", 500),
    ] {
        bench.moto.fault("ecs", call, 1, When::Before, code, status).unwrap();
        let error = match call {
            "DescribeTasks" => bench.runtime.observe(&task).await.unwrap_err(),
            "StopTask" => bench.runtime.end(&task, Force::Gentle).await.unwrap_err(),
            _ => bench.runtime.list().await.unwrap_err(),
        };
        writeln!(said, "{error}").unwrap();
    }
    expect![[r#"
        ecs:DescribeTasks failed: ThrottlingException
        ecs:StopTask failed: AccessDeniedException
        ecs:ListTasks failed: ServerException
    "#]]
    .assert_eq(&said);
    bench.ended(&task).await;
}

// Listing.

#[tokio::test]
async fn all_of_ours_are_listed_over_many_pages_and_none_of_others() {
    let bench = Bench::new("pages").await;
    let mut ours = 0;
    for started_by in [
        "dormouse/w1/1",
        "dormouse/w2/7",
        "dormouse-erase/w1",
        "dormouse/w1",
        "another/w1/1",
        "dormouse/W_1/1",
    ] {
        let is_ours = ["dormouse/w1/1", "dormouse/w2/7"].contains(&started_by);
        // 120 of ours, and 40 of others in between.
        for _ in 0..if is_ours { 6 } else { 1 } {
            bench.run_ten(started_by).await;
            ours += if is_ours { 10 } else { 0 };
        }
    }
    bench.run_ten("").await;
    let listed = bench.runtime.list().await.unwrap();
    assert_eq!(listed.len(), ours);
    let of_second =
        listed.iter().filter(|task| task.world.as_str() == "w2" && task.generation == Generation(7));
    assert_eq!(of_second.count(), 60);
    let mut names: Vec<_> = listed.iter().map(|running| running.task.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ours, "each once");
}

// Erasing.

#[tokio::test]
async fn a_world_is_erased_when_the_task_that_does_so_has_ended_well() {
    let bench = Bench::new("erasing").await;
    let world = WorldId::parse("w1").unwrap();
    expect!["world w1 is being erased"]
        .assert_eq(&bench.runtime.erase(&world).await.unwrap_err().to_string());
    expect!["world w1 is being erased"]
        .assert_eq(&bench.runtime.erase(&world).await.unwrap_err().to_string());
    let tasks = bench.erasures().await;
    assert_eq!((tasks.len(), bench.runtime.list().await), (1, Ok(vec![])), "it is no launch of the world");
    let command = tasks[0].overrides().unwrap().container_overrides()[0].command();
    expect!["erase --root /worlds --world w1"].assert_eq(&command.join(" "));
    // What StopTask ends has erased nothing.
    bench.runtime.ecs.stop_task().cluster("erasing").task(tasks[0].task_arn().unwrap()).send().await.unwrap();
    until("stopped", async || bench.erasures().await.iter().all(is_stopped).then_some(())).await;
    assert!(bench.runtime.erase(&world).await.is_err());
    assert_eq!(bench.erasures().await.len(), 2);
    let erasing = bench.erasures_end_with(0);
    until("erased", async || bench.runtime.erase(&world).await.ok()).await;
    erasing.abort();
    assert_eq!(bench.erasures().await.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_erased_is_not_tried_for_ever() {
    let bench = Bench::new("in-vain").await;
    let world = WorldId::parse("w1").unwrap();
    let erasing = bench.erasures_end_with(1);
    let given_up = until("given up", async || {
        let why = bench.runtime.erase(&world).await.unwrap_err().to_string();
        (!why.contains("is being")).then_some(why)
    });
    expect!["world w1 could not be erased in 5 attempts: the control plane's log says why"]
        .assert_eq(&given_up.await);
    erasing.abort();
    assert_eq!(bench.erasures().await.len(), MOST_ERASURES);
}

/// How long a task of a test stays in each state.
const STAGE: Duration = Duration::from_millis(10);

/// One test at a time: what one makes ECS do, all would see.
static ALONE: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

/// A cluster of a test's own.
struct Bench {
    runtime: EcsRuntime,
    aws: SdkConfig,
    moto: &'static Moto,
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    async fn new(cluster: &str) -> Self {
        let alone = ALONE.lock().await;
        let moto = tokio::task::spawn_blocking(|| Moto::shared().unwrap()).await.unwrap();
        moto.set_stage(STAGE).unwrap();
        moto.set_visible_after(Duration::ZERO).unwrap();
        moto.clear_faults().unwrap();
        moto.clear_calls().unwrap();
        let aws = config_at(moto.url(), "key", "secret").await;
        let runtime = EcsRuntime::new(&aws, config(cluster));
        let made = runtime.ecs.create_cluster().cluster_name(cluster);
        made.capacity_providers("FARGATE").capacity_providers("FARGATE_SPOT").send().await.unwrap();
        for (family, containers) in
            [("dormouse-tiny", &[WATCHDOG, "game"][..]), ("dormouse-erase", &[WATCHDOG])]
        {
            define(&runtime.ecs, family, containers).await;
        }
        Self { runtime, aws, moto, _alone: alone }
    }

    fn calls(&self, action: &str) -> usize {
        self.moto.calls().unwrap().iter().filter(|call| call.action == action).count()
    }

    async fn described(&self, task: &TaskId) -> Task {
        self.runtime.describe(&[task.to_string()]).await.unwrap().remove(0)
    }

    async fn is_running(&self, task: &TaskId) {
        let look = async || (self.described(task).await.last_status() == Some("RUNNING")).then_some(());
        until("running", look).await;
    }

    async fn ended(&self, task: &TaskId) {
        end(&self.runtime, task, Force::Gentle).await;
    }

    /// Runs ten tasks of somebody's, or of nobody's.
    async fn run_ten(&self, started_by: &str) {
        let run = self.runtime.erasure_of(&WorldId::parse("w1").unwrap());
        let network = self.runtime.network(&run).unwrap_or_else(|_| panic!("no network"));
        let ran =
            self.runtime.ecs.run_task().cluster(&self.runtime.config.cluster).task_definition(&run.family);
        let ran =
            ran.count(10).network_configuration(network).launch_type(aws_sdk_ecs::types::LaunchType::Fargate);
        let started_by = Some(started_by.to_owned()).filter(|by| !by.is_empty());
        assert_eq!(ran.set_started_by(started_by).send().await.unwrap().tasks().len(), 10);
    }

    /// Returns the tasks that erase, or have.
    async fn erasures(&self) -> Vec<Task> {
        self.runtime.tasks_of(&self.runtime.erasure_of(&WorldId::parse("w1").unwrap())).await.unwrap()
    }

    /// Lets every task that erases end with this exit code.
    fn erasures_end_with(&self, code: i32) -> tokio::task::JoinHandle<()> {
        let (runtime, moto) = (self.runtime.clone(), self.moto);
        tokio::spawn(async move {
            loop {
                let erasing = runtime.list_by(|list| list.family("dormouse-erase")).await.unwrap();
                for task in runtime.describe(&erasing).await.unwrap() {
                    if task.last_status() == Some("RUNNING") {
                        let (arn, why) = (task.task_arn().unwrap(), "Essential container in task exited");
                        moto.end_task(arn, "EssentialContainerExited", why, &[(WATCHDOG, code)]).unwrap();
                    }
                }
                tokio::time::sleep(STAGE).await;
            }
        })
    }
}

fn config(cluster: &str) -> Config {
    Config {
        cluster: cluster.into(),
        prefix: "dormouse".into(),
        games: [(tiny().id, tiny())].into(),
        subnets: vec!["subnet-1".into(), "subnet-2".into()],
        security_groups: vec!["sg-1".into()],
        game_security_groups: [(tiny().id, vec!["sg-2".into()])].into(),
        capacity_providers: vec![CapacityProvider::Spot, CapacityProvider::OnDemand],
        control_url: "https://control.example.org".into(),
        report_every: Duration::from_secs(5),
        secret: Secret::new([7; 32]),
        worlds_dir: "/worlds".into(),
        task_dir: "/task".into(),
        catalogue_dir: "/catalogue".into(),
        game_user: Some((1000, 1000)),
        game_container: Some("game".into()),
        settles_in: Config::SETTLES_IN,
    }
}

async fn define(ecs: &Client, family: &str, containers: &[&str]) {
    let containers = containers.iter().map(|name| {
        let check = HealthCheck::builder().command("CMD").command("watchdog").build().unwrap();
        ContainerDefinition::builder().name(*name).image("example.org/image").health_check(check).build()
    });
    let defined = ecs.register_task_definition().family(family).network_mode(NetworkMode::Awsvpc);
    let defined = defined.requires_compatibilities(Compatibility::Fargate).cpu("256").memory("512");
    defined.set_container_definitions(Some(containers.collect())).send().await.unwrap();
}

fn tiny() -> Game {
    Game {
        id: GameId::parse("tiny").unwrap(),
        name: "Tiny".into(),
        image: "dormouse/tiny".into(),
        architectures: vec!["arm64".into()],
        cpu: 256,
        memory_mib: 512,
        ports: vec![Port { name: "game".into(), number: 30000, protocol: Protocol::Udp }],
        save: Save { paths: vec!["world".into()], exclude: vec![] },
        stop: Stop { signal: Signal::Term, grace: Duration::from_secs(5) },
        ready: Ready { typical: Duration::from_secs(40), limit: Duration::from_secs(60) },
        timers: Timers::DEFAULT,
        import: None,
        settings: vec![Setting {
            name: SettingName::parse("seed").unwrap(),
            title: "Seed".into(),
            about: None,
            kind: Kind::Number(0..=9),
            default: None,
            need: Need::Optional,
            change: Change::Create,
        }],
        console: Some(Console {
            protocol: ConsoleProtocol::Rcon,
            port: 30001,
            save: vec![],
            say: None,
            before_copy: vec![],
            after_copy: vec![],
        }),
        players: Players::default(),
        query: None,
        scripts: None,
    }
}
