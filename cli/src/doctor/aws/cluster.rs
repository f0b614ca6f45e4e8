//! The cluster, and the task definition of each game and of the task that removes worlds.

use adapters::{aws::unavailable, runtime::ecs::WATCHDOG};
use aws_config::SdkConfig;
use aws_sdk_ecs::{
    Client,
    types::{Cluster, CpuArchitecture, TaskDefinition, TaskDefinitionStatus},
};
use domain::game::Game;
use futures_util::future::join_all;
use games::Capacity;

use super::{
    super::finding::{Finding, bad, good},
    Target, unseen,
};

/// What this is called in findings.
const NAME: &str = "cluster";

/// What the family of the task ends with that removes worlds (`adapters/src/runtime/ecs.rs`).
const ERASE: &str = "erase";

/// Says what is so, and returns the cluster's ARN.
pub(super) async fn check(aws: &SdkConfig, target: &Target) -> (Option<String>, Vec<Finding>) {
    let ecs = Client::new(aws);
    let erasure = definition(&ecs, target, ERASE, None);
    let games =
        join_all(target.games().iter().map(|game| definition(&ecs, target, game.id.as_str(), Some(game))));
    let (described, games, erasure) =
        tokio::join!(ecs.describe_clusters().clusters(&target.prefix).send(), games, erasure);
    let (arn, cluster) = match described {
        Ok(answer) => {
            let cluster = answer.clusters().first();
            let arn = cluster.and_then(Cluster::cluster_arn).map(str::to_owned);
            (arn, judge(target, cluster))
        }
        Err(error) => (None, unseen(NAME, &unavailable("ecs:DescribeClusters", &error))),
    };
    (arn, [vec![cluster], games, vec![erasure]].concat())
}

fn judge(target: &Target, cluster: Option<&Cluster>) -> Finding {
    let prefix = &target.prefix;
    let Some(cluster) = cluster.filter(|cluster| cluster.status() == Some("ACTIVE")) else {
        let text =
            format!("there is no cluster {prefix}: are region and prefix right? Else docs/aws.md, Deploy");
        return bad(NAME, text);
    };
    let needed: &[&str] = match target.chosen.as_ref().map(|chosen| chosen.capacity) {
        Some(Capacity::SpotFirst) => &["FARGATE_SPOT", "FARGATE"],
        Some(Capacity::Spot) => &["FARGATE_SPOT"],
        Some(Capacity::OnDemand) => &["FARGATE"],
        None => &[],
    };
    let has = |provider: &&&str| cluster.capacity_providers().iter().any(|has| has == **provider);
    let missing: Vec<_> = needed.iter().filter(|provider| !has(provider)).copied().collect();
    if missing.is_empty() {
        good(NAME, format!("{prefix} is active"))
    } else {
        bad(NAME, format!("{prefix} does not offer {}: deploy again", missing.join(" and ")))
    }
}

/// Says what is so of the task definition `<prefix>-<id>`.
async fn definition(ecs: &Client, target: &Target, id: &str, game: Option<&Game>) -> Finding {
    let family = format!("{}-{id}", target.prefix);
    let name = if game.is_some() { format!("game {id}") } else { "erasure".to_owned() };
    let described = ecs.describe_task_definition().task_definition(&family).send().await;
    match described {
        Ok(answer) => match answer.task_definition() {
            Some(found) => told(&name, &family, found, target, game),
            None => missing(&name, &family),
        },
        // ECS has one word for all that is wrong with a request.
        Err(error) if error.as_service_error().is_some_and(|e| e.is_client_exception()) => {
            missing(&name, &family)
        }
        Err(error) => unseen(&name, &unavailable("ecs:DescribeTaskDefinition", &error)),
    }
}

fn missing(name: &str, family: &str) -> Finding {
    bad(name, format!("there is no task definition {family}: deploy this configuration"))
}

fn told(name: &str, family: &str, found: &TaskDefinition, target: &Target, game: Option<&Game>) -> Finding {
    let revision = format!("{family}:{}", found.revision());
    let wrong = |what: String| bad(name, format!("{revision} {what}: deploy again"));
    if found.status() != Some(&TaskDefinitionStatus::Active) {
        return wrong("is not active".into());
    }
    let containers = found.container_definitions();
    let Some(watchdog) = containers.iter().find(|container| container.name() == Some(WATCHDOG)) else {
        return wrong(format!("has no container {WATCHDOG}"));
    };
    let image = watchdog.image().unwrap_or_default();
    if let Some(chosen) = &target.chosen {
        let registry = format!("{}.dkr.ecr.{}.", chosen.account, target.region);
        let strangers =
            containers.iter().filter_map(|c| c.image()).find(|image| !image.starts_with(&registry));
        if let Some(stranger) = strangers {
            return wrong(format!(
                "runs {stranger}, which is not of this account's registry in {}",
                target.region
            ));
        }
    }
    if let Some(game) = game
        && let Some(what) = differs(found, game)
    {
        return wrong(what);
    }
    let tag = image.rsplit(['/', ':']).next().unwrap_or_default();
    let size = format!("{} cores, {} MiB", cores(found), found.memory().unwrap_or("?"));
    good(name, format!("{revision}, {size}, image {}", tag.chars().take(12).collect::<String>()))
}

fn cores(found: &TaskDefinition) -> String {
    let cpu = found.cpu().and_then(|cpu| cpu.parse::<f64>().ok());
    cpu.map_or("?".into(), |cpu| format!("{}", cpu / 1024.0))
}

/// Returns what of a definition is not as its game is configured.
fn differs(found: &TaskDefinition, game: &Game) -> Option<String> {
    let wanted = if game.architectures.iter().any(|architecture| architecture == "arm64") {
        CpuArchitecture::Arm64
    } else {
        CpuArchitecture::X8664
    };
    let platform = found.runtime_platform().and_then(|platform| platform.cpu_architecture());
    let has = platform.unwrap_or(&CpuArchitecture::X8664);
    if *has != wanted {
        return Some(format!("is for {has}, and the game's image for {wanted}"));
    }
    let size = (found.cpu().unwrap_or_default(), found.memory().unwrap_or_default());
    let (cpu, memory) = (game.cpu.to_string(), game.memory_mib.to_string());
    let is_other = size != (cpu.as_str(), memory.as_str());
    is_other.then(|| {
        format!("has {} CPU units and {} MiB, and the configuration {cpu} and {memory}", size.0, size.1)
    })
}
