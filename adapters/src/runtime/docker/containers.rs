//! The containers of a task: what each one is given, and what it may. They are those of the task definition on Fargate
//! (`cdk/lib/tasks/containers.ts`).

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, PortBinding, PortMap,
    RestartPolicy, RestartPolicyNameEnum,
};
use domain::{game::Game, world::WorldId};

use super::engine::Engine;
use crate::task_env::{TaskEnv, container_vars};

/// Where a container has the worlds.
pub(super) const WORLDS_DIR: &str = "/worlds";

/// Where the watchdog's container has the task's own directory.
pub(super) const TASK_DIR: &str = "/task";

/// Where the watchdog's container has the directory with the control plane's socket.
pub(super) const CONTROL_DIR: &str = "/control";

/// The user and group that games run as.
pub(super) const GAME_USER: (u32, u32) = (10001, 10001);

/// Removing what belongs to another user.
const ERASE_NEEDS: [&str; 2] = ["DAC_OVERRIDE", "FOWNER"];

/// Besides: giving files to the game's user, ending the game, seeing packets.
const WATCH_NEEDS: [&str; 5] = ["DAC_OVERRIDE", "FOWNER", "CHOWN", "KILL", "NET_RAW"];

/// How long an engine that is told to stop a container waits before it kills: the save of a world needs it.
const STOP_TIMEOUT_S: i64 = 120;

/// The largest log of a container.
const LOG_SIZE: &str = "10m";

/// How much memory a watchdog may have: two parts of an archive, and room.
const WATCHDOG_MEMORY_MIB: i64 = 512;

/// How many processes and threads a watchdog and a game may have.
const MOST_THREADS: (i64, i64) = (256, 8192);

/// CPU units are thousandths of a core, nearly.
const CPU_UNITS: i64 = 1024;

const MIB: i64 = 1 << 20;

/// What the containers of one task are made of.
pub(super) struct Parts<'a> {
    pub(super) engine: &'a Engine,
    /// The directory of the worlds on this machine.
    pub(super) worlds: PathBuf,
    /// The labels of all of them.
    pub(super) labels: HashMap<String, String>,
}

impl Parts<'_> {
    /// Returns the watchdog's container. Its image's entrypoint is the watchdog.
    pub(super) fn watchdog(
        &self,
        image: &str,
        env: &TaskEnv,
        game: &Game,
        dirs: (&Path, &Path),
    ) -> ContainerCreateBody {
        let (task_dir, control_dir) = dirs;
        let bindings = game.ports.iter().map(|port| {
            let number = port.number.to_string();
            let binding = PortBinding { host_ip: None, host_port: Some(number.clone()) };
            (format!("{number}/{}", port.protocol), Some(vec![binding]))
        });
        let bindings: PortMap = bindings.collect();
        ContainerCreateBody {
            image: Some(image.into()),
            cmd: Some(vec!["run".into()]),
            user: Some("0:0".into()),
            env: Some(env.to_vars().into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
            exposed_ports: Some(bindings.keys().cloned().collect()),
            host_config: Some(HostConfig {
                port_bindings: Some(bindings),
                readonly_rootfs: Some(true),
                memory: self.memory(WATCHDOG_MEMORY_MIB),
                memory_swap: self.memory(WATCHDOG_MEMORY_MIB),
                pids_limit: self.threads(MOST_THREADS.0),
                mounts: Some(vec![
                    mount(&self.worlds, WORLDS_DIR, Access::Write),
                    mount(task_dir, TASK_DIR, Access::Write),
                    mount(control_dir, CONTROL_DIR, Access::Read),
                ]),
                ..self.host(&WATCH_NEEDS)
            }),
            ..self.container()
        }
    }

    /// Returns the game's container, which joins the watchdog's and sees of all worlds only its own.
    pub(super) fn game(
        &self,
        image: &str,
        game: &Game,
        world: &WorldId,
        watchdog: &str,
    ) -> ContainerCreateBody {
        let inside = Path::new(WORLDS_DIR).join(world.as_str());
        let vars = container_vars(game, &inside);
        let (user, group) = GAME_USER;
        let memory = i64::from(game.memory_mib);
        ContainerCreateBody {
            image: Some(image.into()),
            user: Some(format!("{user}:{group}")),
            env: Some(vars.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
            stop_signal: Some(game.stop.signal.name().into()),
            host_config: Some(HostConfig {
                network_mode: Some(format!("container:{watchdog}")),
                pid_mode: Some(format!("container:{watchdog}")),
                memory: self.memory(memory),
                memory_swap: self.memory(memory),
                nano_cpus: self.cpus(game.cpu),
                pids_limit: self.threads(MOST_THREADS.1),
                mounts: Some(vec![mount(
                    &self.worlds.join(world.as_str()),
                    &inside.to_string_lossy(),
                    Access::Write,
                )]),
                ..self.host(&[])
            }),
            ..self.container()
        }
    }

    /// Returns the container that removes a world's files.
    pub(super) fn erasure(&self, image: &str, world: &WorldId) -> ContainerCreateBody {
        let words = ["erase", "--root", WORLDS_DIR, "--world", world.as_str()];
        ContainerCreateBody {
            image: Some(image.into()),
            cmd: Some(words.map(str::to_owned).into()),
            user: Some("0:0".into()),
            host_config: Some(HostConfig {
                network_mode: Some("none".into()),
                readonly_rootfs: Some(true),
                memory: self.memory(WATCHDOG_MEMORY_MIB),
                memory_swap: self.memory(WATCHDOG_MEMORY_MIB),
                pids_limit: self.threads(MOST_THREADS.0),
                mounts: Some(vec![mount(&self.worlds, WORLDS_DIR, Access::Write)]),
                ..self.host(&ERASE_NEEDS)
            }),
            ..self.container()
        }
    }

    fn container(&self) -> ContainerCreateBody {
        ContainerCreateBody {
            labels: Some(self.labels.clone()),
            stop_timeout: Some(STOP_TIMEOUT_S),
            ..ContainerCreateBody::default()
        }
    }

    /// Returns what holds for every container: no right but those that it needs, no new ones, no start by the engine, and a log
    /// that ends somewhere.
    fn host(&self, needs: &[&str]) -> HostConfig {
        let mut security = vec!["no-new-privileges".to_owned()];
        // The worlds' directories are nobody's but ours to label.
        security.extend(self.engine.has_selinux.then(|| "label=disable".to_owned()));
        HostConfig {
            cap_drop: Some(vec!["ALL".into()]),
            cap_add: Some(needs.iter().map(|need| (*need).to_owned()).collect()),
            security_opt: Some(security),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".into()),
                config: Some(HashMap::from([("max-size".to_owned(), LOG_SIZE.to_owned())])),
            }),
            ..HostConfig::default()
        }
    }

    fn memory(&self, mib: i64) -> Option<i64> {
        self.engine.limits.memory.then_some(mib * MIB)
    }

    fn threads(&self, most: i64) -> Option<i64> {
        self.engine.limits.threads.then_some(most)
    }

    /// Returns billionths of cores: an engine refuses more than there are.
    fn cpus(&self, units: u32) -> Option<i64> {
        let wanted = i64::from(units) * 1_000_000_000 / CPU_UNITS;
        let most = self.engine.cores.map_or(wanted, |cores| cores * 1_000_000_000);
        self.engine.limits.cpu.then_some(wanted.min(most))
    }
}

/// What a container may do with what is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn mount(from: &Path, to: &str, access: Access) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(from.to_string_lossy().into_owned()),
        target: Some(to.to_owned()),
        read_only: Some(access == Access::Read),
        ..Mount::default()
    }
}
