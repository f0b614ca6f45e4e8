//! The world in containers, as it is seen beside the control plane: the game's processes, what they bind, and what was said.
//!
//! Processes are known by their parents, which everybody may see: those of the game are the first of its container and what
//! descends from that or, once it is orphaned, from the watchdog. Of an engine whose processes this machine's kernel does not show,
//! less is known.

use std::{collections::BTreeSet, future::Future, path::PathBuf};

use adapters::{
    runtime::docker::{Beside, Engine, FirstProcesses, NoEngine, Role},
    secret::Secret,
};
use anyhow::{Context, Result};
use domain::{game::Protocol, world::TaskId};
use nix::unistd::Pid;
use watchdog::procnet::Tables;

use super::processes::{self, Process};

/// An engine that answered, and what drives the talk with it.
pub(super) struct Talk {
    pub(super) engine: Engine,
    runtime: tokio::runtime::Runtime,
}

impl Talk {
    /// Looks for an engine on this machine.
    pub(super) fn begin() -> Result<Result<Box<Self>, NoEngine>> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.context("starting")?;
        let engine = runtime.block_on(Engine::connect());
        Ok(engine.map(|engine| Box::new(Self { engine, runtime })))
    }

    /// Waits for what is asked of the engine.
    pub(super) fn wait<T>(&self, asked: impl Future<Output = T>) -> T {
        self.runtime.block_on(asked)
    }
}

/// The containers of the check.
pub(super) struct Containers {
    talk: Box<Talk>,
    beside: Beside,
}

impl Containers {
    /// Returns those of the control plane that has this secret.
    pub(super) fn new(talk: Box<Talk>, secret: &Secret) -> Self {
        let beside = Beside::new(talk.engine.clone(), secret);
        Self { talk, beside }
    }

    /// Returns the processes of the game.
    pub(super) fn game(&self) -> Vec<Process> {
        let FirstProcesses { watchdogs, games } = self.first_processes();
        let roots: Vec<_> = games.iter().chain(&watchdogs).map(|pid| Pid::from_raw(*pid)).collect();
        let mut all: BTreeSet<_> = games.into_iter().map(Pid::from_raw).collect();
        all.extend(processes::descendants(&roots));
        all.into_iter().filter_map(Process::read).collect()
    }

    /// Returns the socket tables of the network that the game shares with its watchdog, and with nobody else.
    pub(super) fn sockets(&self) -> Option<Tables> {
        let FirstProcesses { watchdogs, games } = self.first_processes();
        let nets = watchdogs.iter().chain(&games).map(|pid| PathBuf::from(format!("/proc/{pid}/net")));
        nets.filter_map(|net| Tables::read(&net).ok()).next()
    }

    /// Returns the numbers on which the game waits for players.
    pub(super) fn bound(&self) -> BTreeSet<(u16, Protocol)> {
        self.sockets().map_or_else(BTreeSet::new, |tables| processes::waiting(&tables, |_| true))
    }

    /// Returns the last that a container of `task` has said.
    pub(super) fn said(&self, task: &str, role: Role) -> String {
        let Ok(task) = TaskId::parse(task) else { return String::new() };
        self.talk.wait(self.beside.said(&task, role))
    }

    /// Ends and removes all of them.
    pub(super) fn remove(&self) {
        if let Err(error) = self.talk.wait(self.beside.remove_all()) {
            eprintln!("dormouse: containers of the check stay behind: {error}");
        }
    }

    /// An engine that does not answer for a moment shows nothing: what matters is asked for again.
    fn first_processes(&self) -> FirstProcesses {
        self.talk.wait(self.beside.first_processes()).unwrap_or_default()
    }
}
