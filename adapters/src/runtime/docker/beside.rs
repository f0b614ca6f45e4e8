//! What a program beside the control plane may do with its containers: look at their processes, read what they have said, and
//! take all of them away.

use bollard::query_parameters::RemoveContainerOptionsBuilder;
use domain::{ports::Unavailable, world::TaskId};

use super::{
    ROLE, Role,
    asking::{Life, last_said, listed, listed_life},
    engine::{Engine, failed, is_status},
    installation, prefix,
};
use crate::secret::Secret;

/// The most that is read of what a container has said: lines, and bytes.
const MOST_SAID: (u32, usize) = (10_000, 1 << 20);

/// How often all containers are gone through to remove them: one whose network another has joined is removed after that one.
const MOST_TURNS: u32 = 4;

/// The containers of one control plane.
#[derive(Debug, Clone)]
pub struct Beside {
    engine: Engine,
    installation: String,
}

/// The first processes of the containers that run, by their ids on the engine's machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirstProcesses {
    /// Of watchdogs. What a game has left behind is a child of one.
    pub watchdogs: Vec<i32>,
    /// Of games.
    pub games: Vec<i32>,
}

impl Beside {
    /// Returns those of the control plane that has this secret.
    pub fn new(engine: Engine, secret: &Secret) -> Self {
        Self { engine, installation: installation(secret) }
    }

    /// Looks for the processes.
    pub async fn first_processes(&self) -> Result<FirstProcesses, Unavailable> {
        let mut found = FirstProcesses::default();
        for container in listed(&self.engine, &self.installation).await? {
            let role = container.labels.as_ref().and_then(|labels| labels.get(ROLE));
            let role =
                [Role::Watchdog, Role::Game].into_iter().find(|one| role.is_some_and(|r| r == one.name()));
            let runs = container.state.map(listed_life) == Some(Life::Runs);
            let (Some(role), Some(id), true) = (role, container.id, runs) else { continue };
            // One that cannot be looked at has just ended, or is about to be gone.
            let Ok(inspected) = self.engine.docker.inspect_container(&id, None).await else { continue };
            let pid = inspected.state.and_then(|state| state.pid).and_then(|pid| i32::try_from(pid).ok());
            let those = match role {
                Role::Watchdog => &mut found.watchdogs,
                Role::Game => &mut found.games,
            };
            those.extend(pid.filter(|pid| *pid > 0));
        }
        Ok(found)
    }

    /// Returns the last that a container of a task has said; nothing if there is none.
    pub async fn said(&self, task: &TaskId, role: Role) -> String {
        let name = format!("{}-{}", prefix(&self.installation, task.as_str()), role.name());
        last_said(&self.engine, &name, MOST_SAID.0, MOST_SAID.1).await
    }

    /// Ends and removes all of them.
    pub async fn remove_all(&self) -> Result<(), Unavailable> {
        let options = RemoveContainerOptionsBuilder::new().v(true).force(true).build();
        let mut last = Ok(());
        for _ in 0..MOST_TURNS {
            let left = listed(&self.engine, &self.installation).await?;
            if left.is_empty() {
                return Ok(());
            }
            for id in left.into_iter().filter_map(|container| container.id) {
                match self.engine.docker.remove_container(&id, Some(options.clone())).await {
                    Ok(()) => {}
                    Err(error) if is_status(&error, 404) => {}
                    Err(error) => last = Err(failed("remove a container", &error)),
                }
            }
        }
        if listed(&self.engine, &self.installation).await?.is_empty() { Ok(()) } else { last }
    }
}
