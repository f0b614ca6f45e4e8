//! Tasks on this machine: containers where an engine answers and the game has an image, else plain processes.
//!
//! Both keep worlds and tasks in the same places, under the same locks, so that a world goes from the one to the other without
//! being moved. Which of them a task is was noted when it was launched: it is never looked for in the other.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use domain::{
    ports::{LaunchError, LaunchOrder, RunningTask, Runtime, Seen, Unavailable},
    world::{Force, GameId, TaskId, WorldId},
};
use tokio::sync::Mutex;

use super::{docker::DockerRuntime, process::ProcessRuntime, task_dir};

/// Containers and processes.
#[derive(Clone)]
pub struct LocalRuntime {
    /// Containers, if an engine answers.
    pub containers: Option<DockerRuntime>,
    /// The games that run in them.
    pub boxed: BTreeSet<GameId>,
    /// Processes.
    pub processes: ProcessRuntime,
    /// Held while a task is launched: what the one promises, the other has to know.
    launching: Arc<Mutex<()>>,
}

impl LocalRuntime {
    /// Puts the two together.
    pub fn new(
        containers: Option<DockerRuntime>,
        boxed: BTreeSet<GameId>,
        processes: ProcessRuntime,
    ) -> Self {
        Self { containers, boxed, processes, launching: Arc::default() }
    }

    async fn launch_boxed(
        &self,
        containers: &DockerRuntime,
        order: &LaunchOrder,
    ) -> Result<TaskId, LaunchError> {
        let promised = self.processes.ports(&self.processes.list().await?);
        containers.launch_beside(order, &promised).await
    }

    /// Containers that no engine tells of may be there, and hold up nobody: their ports are passed over.
    async fn launch_unboxed(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        let told = match &self.containers {
            Some(containers) => containers.list().await.ok(),
            None => None,
        };
        let mut there = told.map_or_else(|| self.processes.unended_boxed(), Ok)?;
        // The world's own task before this one has ended, or this one would not have been ordered.
        there.retain(|running| running.world != order.world);
        self.processes.launch_beside(order, self.processes.ports(&there)).await
    }

    /// Returns what runs a task that was launched as containers; an error if no engine answers that could tell.
    fn engine(&self, task: &TaskId) -> Result<&DockerRuntime, Unavailable> {
        self.containers.as_ref().ok_or_else(|| {
            Unavailable(format!(
                "task {task} was started in containers, and `dormouse up` runs without an engine: start the engine, then `dormouse up` again"
            ))
        })
    }

    /// Tells whether watchdogs in containers are or will be there, which have their own way to the control plane.
    pub fn has_boxed_tasks(&self) -> Result<bool, Unavailable> {
        Ok(self.containers.is_some() || !self.processes.unended_boxed()?.is_empty())
    }

    fn is_boxed(&self, task: &TaskId) -> bool {
        task_dir::task_of(task.as_str()).is_some() && self.processes.is_boxed(task)
    }
}

#[async_trait]
impl Runtime for LocalRuntime {
    async fn launch(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        let task = TaskId::parse(&format!("{}.{}", order.world, order.generation));
        let task = task.map_err(|e| LaunchError::Refused(e.to_string()))?;
        let _guard = self.launching.lock().await;
        if self.is_boxed(&task) {
            return self.launch_boxed(self.engine(&task)?, order).await;
        }
        match &self.containers {
            Some(containers) if self.boxed.contains(&order.game) && !self.processes.has(&task) => {
                self.launch_boxed(containers, order).await
            }
            Some(_) | None => self.launch_unboxed(order).await,
        }
    }

    async fn observe(&self, task: &TaskId) -> Result<Seen, Unavailable> {
        if !self.is_boxed(task) {
            return self.processes.observe(task).await;
        }
        match self.engine(task) {
            Ok(engine) => engine.observe(task).await,
            Err(without) => self.processes.noted_end(task).map(Seen::Gone).ok_or(without),
        }
    }

    async fn end(&self, task: &TaskId, force: Force) -> Result<(), Unavailable> {
        if self.is_boxed(task) {
            self.engine(task)?.end(task, force).await
        } else {
            self.processes.end(task, force).await
        }
    }

    /// A list that lacks containers which may be there would be taken for all there is.
    async fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
        let mut tasks = self.processes.list().await?;
        match &self.containers {
            Some(containers) => tasks.extend(containers.list().await?),
            None => {
                if let Some(unseen) = self.processes.unended_boxed()?.first() {
                    self.engine(&unseen.task)?;
                }
            }
        }
        Ok(tasks)
    }

    /// An engine's root removes what belongs to whichever user. What is left of the tasks is removed by each.
    async fn erase(&self, world: &WorldId) -> Result<(), Unavailable> {
        if let Some(containers) = &self.containers {
            containers.erase(world).await?;
        }
        self.processes.erase(world).await
    }
}

#[cfg(test)]
mod tests;
