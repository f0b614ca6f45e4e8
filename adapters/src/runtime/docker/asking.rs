//! What is asked of the engine about containers, in the few words that this runtime has for it.

use std::{collections::HashMap, path::Path, time::Duration};

use bollard::{
    errors::Error,
    models::{
        ContainerCreateBody, ContainerState, ContainerStateStatusEnum, ContainerSummary,
        ContainerSummaryStateEnum,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
        LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use domain::{
    event::Gone,
    ports::{RunningTask, Unavailable},
    world::TaskId,
};
use futures_util::StreamExt;
use tokio::time;

use super::{
    INSTALLATION, Inner, ROLE, Role, TASK,
    engine::{Engine, failed, is_status},
};
use crate::runtime::task_dir::{self, task_of};

/// How often, and how many times, containers are listed when the answer is in words that are not Docker's.
const TRY_EVERY: Duration = Duration::from_millis(100);
const MOST_TRIES: u32 = 50;

/// The exit code of a first process that SIGTERM ended.
const TERMINATED: i64 = 128 + 15;

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// It was never started.
    Made,
    /// It runs, or is on its way up or down.
    Runs,
    /// It has ended.
    Over,
}

/// A container of ours.
pub(super) struct Container {
    pub(super) task: RunningTask,
    pub(super) role: String,
    pub(super) life: Life,
}

impl Inner {
    /// Returns the state of a container of the task; nothing if there is none.
    pub(super) async fn state(
        &self,
        task: &TaskId,
        role: Role,
    ) -> Result<Option<ContainerState>, Unavailable> {
        self.state_of(&self.name(task, role)).await
    }

    pub(super) async fn state_of(&self, name: &str) -> Result<Option<ContainerState>, Unavailable> {
        match self.engine.docker.inspect_container(name, None).await {
            Ok(found) => Ok(Some(found.state.unwrap_or_default())),
            Err(error) if is_status(&error, 404) => Ok(None),
            // For a moment after its end Podman calls a container `stopped`, which is no word of Docker's.
            Err(Error::JsonDataError { .. }) => Ok(Some(ContainerState {
                status: Some(ContainerStateStatusEnum::STOPPING),
                ..ContainerState::default()
            })),
            Err(error) => Err(failed("look at a container", &error)),
        }
    }

    /// Returns the labels of a container.
    pub(super) async fn labels_of(&self, name: &str) -> Result<HashMap<String, String>, Unavailable> {
        let found = self.engine.docker.inspect_container(name, None).await;
        let found = found.map_err(|error| failed("look at a container", &error))?;
        Ok(found.config.and_then(|config| config.labels).unwrap_or_default())
    }

    /// Returns where a container of the task is in its life; nothing if there is none.
    pub(super) async fn life(&self, task: &TaskId, role: Role) -> Result<Option<Life>, Unavailable> {
        Ok(self.state(task, role).await?.as_ref().map(life))
    }

    /// Makes a container. One of this name that is there already is left as it is.
    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<(), Unavailable> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        match self.engine.docker.create_container(Some(options), body).await {
            Ok(_) => Ok(()),
            Err(error) if is_status(&error, 409) => Ok(()),
            // Podman says so in words of its own.
            Err(error) if error.to_string().contains("already in use") => Ok(()),
            Err(error) => Err(failed("make a container", &error)),
        }
    }

    /// Starts a container that was made. No error if it runs.
    pub(super) async fn start(&self, name: &str) -> Result<(), Unavailable> {
        match self.engine.docker.start_container(name, None).await {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, 304) => Ok(()),
            Err(error) => Err(failed("start a container", &error)),
        }
    }

    /// Sends a signal to the first process of a container. No error if it has ended.
    pub(super) async fn signal(&self, name: &str, signal: &str) -> Result<(), Unavailable> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        match self.engine.docker.kill_container(name, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, 404) || is_status(&error, 409) => Ok(()),
            Err(error) => {
                // Podman has no status of its own for one that has just ended.
                match self.state_of(name).await?.as_ref().map(life) {
                    Some(Life::Made | Life::Over) | None => Ok(()),
                    Some(Life::Runs) => Err(failed("signal a container", &error)),
                }
            }
        }
    }

    /// Removes a container that does not run. No error if it is gone.
    pub(super) async fn remove(&self, name: &str) -> Result<(), Unavailable> {
        let options = RemoveContainerOptionsBuilder::new().v(true).build();
        match self.engine.docker.remove_container(name, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if is_status(&error, 404) => Ok(()),
            Err(error) => Err(failed("remove a container", &error)),
        }
    }

    /// Returns the containers of this installation's tasks.
    pub(super) async fn containers(&self) -> Result<Vec<Container>, Unavailable> {
        let found = listed(&self.engine, &self.installation).await?;
        let ours = found.into_iter().filter_map(|container| {
            let labels = container.labels.unwrap_or_default();
            let role = labels.get(ROLE)?.clone();
            let life = container.state.map_or(Life::Over, listed_life);
            Some(Container { task: task_of(labels.get(TASK)?)?, role, life })
        });
        Ok(ours.collect())
    }
}

/// Returns what the engine says of the containers of an installation, whatever their state.
pub(super) async fn listed(
    engine: &Engine,
    installation: &str,
) -> Result<Vec<ContainerSummary>, Unavailable> {
    let ours = format!("{INSTALLATION}={installation}");
    let filters = HashMap::from([("label", vec![ours])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let mut tries = 0;
    loop {
        tries += 1;
        match engine.docker.list_containers(Some(options.clone())).await {
            // One of them has just ended, as above.
            Err(Error::JsonDataError { .. }) if tries < MOST_TRIES => time::sleep(TRY_EVERY).await,
            found => return found.map_err(|error| failed("list containers", &error)),
        }
    }
}

/// Returns the last lines that a container has said, `most` bytes of them or little more.
pub(super) async fn last_said(engine: &Engine, name: &str, lines: u32, most: usize) -> String {
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&lines.to_string()).build();
    let mut said = std::pin::pin!(engine.docker.logs(name, Some(options)));
    let mut words = String::new();
    while let Some(Ok(line)) = said.next().await {
        words += &line.to_string();
        if words.len() > most {
            break;
        }
    }
    words
}

/// Returns where a container is in its life.
pub(super) fn life(state: &ContainerState) -> Life {
    use ContainerStateStatusEnum as Status;
    match state.status {
        Some(Status::CREATED) => Life::Made,
        Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::REMOVING | Status::STOPPING) => {
            Life::Runs
        }
        Some(Status::EXITED | Status::DEAD | Status::EMPTY) | None => Life::Over,
    }
}

pub(super) fn listed_life(state: ContainerSummaryStateEnum) -> Life {
    use ContainerSummaryStateEnum as Status;
    match state {
        Status::CREATED => Life::Made,
        Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::REMOVING | Status::STOPPING => {
            Life::Runs
        }
        Status::EXITED | Status::DEAD | Status::EMPTY => Life::Over,
    }
}

/// Returns how a task ended whose watchdog's container is still to be seen.
pub(super) fn how_it_ended(watchdog: &ContainerState, game: Option<&ContainerState>, dir: &Path) -> Gone {
    let out_of_memory = |state: &ContainerState| state.oom_killed == Some(true);
    match (watchdog.exit_code, task_dir::how_it_ended(dir)) {
        // The watchdog saw its work through, whatever became of the game.
        (Some(0), _) => Gone::Exited,
        (_, _) if out_of_memory(watchdog) || game.is_some_and(out_of_memory) => Gone::OutOfMemory,
        (_, told @ Gone::Crashed(_)) => told,
        // It was told to end before it could note anything.
        (Some(TERMINATED), _) | (_, Gone::Exited) => Gone::Exited,
        (Some(code), Gone::NeverExisted | Gone::OutOfMemory | Gone::Reclaimed) => {
            Gone::Crashed(format!("its watchdog ended with exit code {code}"))
        }
        (None, Gone::NeverExisted | Gone::OutOfMemory | Gone::Reclaimed) => {
            Gone::Crashed("its watchdog ended without an exit code".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn how_a_task_ended_is_told_by_its_containers_and_by_what_its_watchdog_noted() {
        let dir = tempfile::tempdir().unwrap();
        let state = |exit_code, oom_killed| ContainerState {
            exit_code,
            oom_killed: Some(oom_killed),
            ..ContainerState::default()
        };
        let ended = |code, oom, game_oom| {
            let game = state(Some(137), game_oom);
            how_it_ended(&state(code, oom), Some(&game), dir.path())
        };
        let crashed = |why: &str| Gone::Crashed(why.into());
        assert_eq!(ended(Some(125), false, false), crashed("its watchdog ended with exit code 125"));
        assert_eq!(ended(None, false, false), crashed("its watchdog ended without an exit code"));
        assert_eq!(ended(Some(143), false, false), Gone::Exited, "it was told to before it listened");
        fs::write(dir.path().join("pid"), "1").unwrap();
        let killed = crashed("its watchdog was killed, or could not note how it ended");
        assert_eq!(ended(Some(137), false, false), killed);
        assert_eq!(ended(Some(137), true, false), Gone::OutOfMemory);
        assert_eq!(ended(Some(1), false, true), Gone::OutOfMemory);
        assert_eq!(ended(Some(0), false, true), Gone::Exited, "the watchdog saw its work through");
        fs::write(dir.path().join("outcome"), "no room on the disk").unwrap();
        assert_eq!(ended(Some(1), false, false), crashed("no room on the disk"));
    }
}
