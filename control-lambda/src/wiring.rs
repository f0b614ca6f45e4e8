//! Which adapters each function is made of.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use adapters::{
    archive::s3::S3Archive,
    chat::discord::{Billed, Discord, DiscordConfig},
    exports::{FrontDoorLinks, fresh_id},
    front_door::{Access, FrontDoor, GameHost, interactions},
    queue::sqs::SqsQueue,
    runtime::ecs::{Config as EcsConfig, EcsRuntime},
    secret::Secret,
    store::dynamodb::DynamoStore,
};
use anyhow::{Context, Result};
use async_trait::async_trait;
use aws_config::SdkConfig;
use axum::Router;
use domain::{
    Timestamp,
    driver::Driver,
    game::Game,
    ports::{LaunchError, LaunchOrder, RunningTask, Runtime, Seen, Unavailable},
    world::{Force, GameId, GuildId, TaskId, WorldId},
};
use games::Catalogue;

use crate::config::{Config, Secrets, Tasks};

/// Where a container has the worlds' file system.
const WORLDS_DIR: &str = "/worlds";

/// Where the watchdog's container has a directory of the task's own.
const TASK_DIR: &str = "/task";

/// Where the watchdog's image has the catalogue.
const CATALOGUE_DIR: &str = "/catalogue";

/// Returns the front door as a router.
pub fn front_door(aws: &SdkConfig, config: &Config, secrets: &Secrets) -> Result<Router> {
    let games = config.offer.of(&Catalogue::embedded()?)?;
    let (driver, discord) = driver(aws, config, secrets, games, Arc::new(NoTasks));
    let clock: fn() -> Timestamp = Timestamp::now;
    let guild = config.discord.guilds.first().context("DORMOUSE_DISCORD_GUILDS names no guild")?;
    let door = FrontDoor {
        driver: driver.clone(),
        secret: secrets.launch.clone(),
        guild: GuildId::parse(&guild.to_string())?,
        game_host: GameHost::Reporter,
        access: secrets.api_token.clone().map_or(Access::Nobody, Access::Token),
        clock,
        fresh_id,
    };
    Ok(door.router(interactions::routes(discord, driver, clock, fresh_id)))
}

/// Returns the driver that performs what worlds ask for.
pub fn worker(aws: &SdkConfig, config: &Config, tasks: Tasks, secrets: &Secrets) -> Result<Driver> {
    let games = config.offer.of(&Catalogue::embedded()?)?;
    let runtime = EcsRuntime::new(aws, ecs(tasks, secrets.launch.clone(), games.clone()));
    Ok(driver(aws, config, secrets, games, Arc::new(runtime)).0)
}

fn ecs(tasks: Tasks, secret: Secret, games: BTreeMap<GameId, Game>) -> EcsConfig {
    EcsConfig {
        cluster: tasks.cluster,
        prefix: tasks.prefix,
        games,
        subnets: tasks.subnets,
        security_groups: tasks.security_groups,
        game_security_groups: tasks.game_security_groups,
        capacity_providers: tasks.capacity_providers,
        control_url: tasks.control_url,
        report_every: tasks.report_every,
        secret,
        worlds_dir: Path::new(WORLDS_DIR).into(),
        task_dir: Path::new(TASK_DIR).into(),
        catalogue_dir: Path::new(CATALOGUE_DIR).into(),
        game_user: Some(tasks.game_user),
        game_container: Some("game".into()),
        settles_in: EcsConfig::SETTLES_IN,
    }
}

fn driver(
    aws: &SdkConfig,
    config: &Config,
    secrets: &Secrets,
    games: BTreeMap<GameId, Game>,
    runtime: Arc<dyn Runtime>,
) -> (Driver, Arc<Discord>) {
    let games = Arc::new(games);
    let discord = DiscordConfig {
        application: config.discord.application,
        public_key: Some(config.discord.public_key),
        guilds: config.discord.guilds.clone(),
        bot_token: secrets.discord_token.clone(),
        api_base: config.discord.api_base.clone(),
        billed: Billed::Yes,
    };
    let discord = Arc::new(Discord::new(discord, games.clone(), Timestamp::now));
    let driver = Driver {
        store: Arc::new(DynamoStore::new(aws, &config.table)),
        queue: Arc::new(SqsQueue::new(aws, &config.queue_url)),
        runtime,
        archives: Arc::new(S3Archive::new(aws, &config.bucket, config.longest_link)),
        exports: Arc::new(FrontDoorLinks {
            url: secrets.control_url.clone(),
            secret: secrets.launch.clone(),
        }),
        chat: discord.clone(),
        games,
    };
    (driver, discord)
}

/// The front door has no tasks: its role does not let it touch ECS, and nothing that it does asks for one.
struct NoTasks;

fn not_here<T>() -> Result<T, Unavailable> {
    Err(Unavailable("the front door runs no tasks; the worker does".into()))
}

#[async_trait]
impl Runtime for NoTasks {
    async fn launch(&self, _order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        Ok(not_here()?)
    }

    async fn observe(&self, _task: &TaskId) -> Result<Seen, Unavailable> {
        not_here()
    }

    async fn end(&self, _task: &TaskId, _force: Force) -> Result<(), Unavailable> {
        not_here()
    }

    async fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
        not_here()
    }

    async fn erase(&self, _world: &WorldId) -> Result<(), Unavailable> {
        not_here()
    }
}
