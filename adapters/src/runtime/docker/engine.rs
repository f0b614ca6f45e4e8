//! The engine that runs containers: Docker or Podman, spoken to over its Unix socket, by the Docker Engine API.
//!
//! An engine is root on its machine, or acts as whoever runs it. It is never spoken to over a network.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error};
use domain::ports::Unavailable;
use thiserror::Error;
use tokio::time;

use crate::report::shortened;

/// How long an engine may take to say which version it is. One that somebody has just woken, on a busy machine, takes seconds.
const GREETING_LIMIT: Duration = Duration::from_secs(30);

/// How long an engine may take to begin its answer, in seconds: creating a container can take a while on a busy disk.
const ANSWER_LIMIT_S: u64 = 120;

/// Where engines listen that nobody names.
const USUAL_PLACES: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// An engine that answered.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) docker: Docker,
    /// Its name and version, such as "Podman Engine 4.3.1".
    pub name: String,
    /// Where it listens.
    pub socket: PathBuf,
    /// Its processor architecture, as Dockerfiles call it: `amd64`, `arm64`.
    pub architecture: String,
    /// Who its containers' root is on this machine.
    pub root: Root,
    /// What it can keep containers to.
    pub limits: Limits,
    /// How many cores its machine has.
    pub(super) cores: Option<i64>,
    pub(super) has_selinux: bool,
}

/// What an engine can keep containers to; without a right to the machine's control groups, to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How much memory they take.
    pub memory: bool,
    /// How much of the processor.
    pub cpu: bool,
    /// How many processes and threads.
    pub threads: bool,
}

/// Who the root of an engine's containers is on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// Root.
    Root,
    /// Whoever runs the engine; other users of its containers are users of this machine that nobody else is.
    Runner,
}

/// Why there is no engine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoEngine {
    /// None is at any place where one would be.
    #[error("no engine answers: none listens at {}", places(.0))]
    Nowhere(Vec<PathBuf>),
    /// One is named that is not on this machine.
    #[error(
        "DOCKER_HOST is `{0}`: only an engine on this machine can be used, such as unix:///var/run/docker.sock"
    )]
    Elsewhere(String),
    /// There is something, and it does not answer as an engine does.
    #[error("the engine at {socket} does not answer: {why}")]
    Silent {
        /// Where it should listen.
        socket: PathBuf,
        /// What it did instead.
        why: String,
    },
}

fn places(places: &[PathBuf]) -> String {
    places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl Engine {
    /// Finds the engine of this machine: the one that DOCKER_HOST names, or Docker's, or the user's or the machine's Podman.
    pub async fn connect() -> Result<Self, NoEngine> {
        let get = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let places = sockets(get)?;
        let mut silent = None;
        for place in places.iter().filter(|place| place.exists()) {
            match Self::at(place).await {
                Ok(engine) => return Ok(engine),
                Err(error) => silent = silent.or(Some(error)),
            }
        }
        Err(silent.unwrap_or(NoEngine::Nowhere(places)))
    }

    /// Returns the engine that listens at this socket.
    pub async fn at(socket: &Path) -> Result<Self, NoEngine> {
        let silent = |why: String| NoEngine::Silent { socket: socket.to_owned(), why: shortened(&why) };
        let greet = async {
            let path = socket.to_string_lossy();
            let docker = Docker::connect_with_unix(&path, ANSWER_LIMIT_S, API_DEFAULT_VERSION)?;
            let docker = docker.negotiate_version().await?;
            let (version, info) = (docker.version().await?, docker.info().await?);
            Ok::<_, Error>((docker, version, info))
        };
        let (docker, version, info) = time::timeout(GREETING_LIMIT, greet)
            .await
            .map_err(|_| silent(format!("it said nothing for {} s", GREETING_LIMIT.as_secs())))?
            .map_err(|error| silent(error.to_string()))?;
        let component = version.components.unwrap_or_default().into_iter().next();
        let name = component.map_or_else(|| "Engine".into(), |component| component.name);
        let security = info.security_options.unwrap_or_default();
        let has = |what: &str| security.iter().any(|option| option.contains(&format!("name={what}")));
        let can = |what: Option<bool>| what.unwrap_or(true);
        Ok(Self {
            docker,
            name: shortened(format!("{name} {}", version.version.unwrap_or_default()).trim()),
            socket: socket.to_owned(),
            architecture: version.arch.unwrap_or_default(),
            root: if has("rootless") { Root::Runner } else { Root::Root },
            limits: Limits {
                memory: can(info.memory_limit),
                cpu: can(info.cpu_cfs_quota),
                threads: can(info.pids_limit),
            },
            cores: info.ncpu.filter(|cores| *cores > 0),
            has_selinux: has("selinux"),
        })
    }
}

/// Returns where an engine may listen.
fn sockets(get: impl Fn(&str) -> Option<String>) -> Result<Vec<PathBuf>, NoEngine> {
    if let Some(host) = get("DOCKER_HOST") {
        let path = host.strip_prefix("unix://").filter(|path| path.starts_with('/'));
        return path.map(|path| vec![path.into()]).ok_or(NoEngine::Elsewhere(host));
    }
    let [docker, podman] = USUAL_PLACES.map(PathBuf::from);
    let users = get("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let users = users.iter().flat_map(|dir| [dir.join("docker.sock"), dir.join("podman/podman.sock")]);
    Ok(std::iter::once(docker).chain(users).chain([podman]).collect())
}

/// Says what an engine did not do.
pub(super) fn failed(what: &str, error: &Error) -> Unavailable {
    Unavailable(shortened(&format!("the engine cannot {what}: {error}")))
}

/// Tells whether an engine's answer has this status.
pub(super) fn is_status(error: &Error, status: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_at(environment: &[(&str, &str)]) -> Result<Vec<String>, NoEngine> {
        let get =
            |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
        Ok(sockets(get)?.iter().map(|path| path.display().to_string()).collect())
    }

    #[test]
    fn the_engine_that_is_named_is_the_only_one_looked_for() {
        assert_eq!(looked_at(&[("DOCKER_HOST", "unix:///a.sock")]).unwrap(), ["/a.sock"]);
        for elsewhere in ["tcp://192.0.2.1:2375", "ssh://host", "unix://a.sock", "/a.sock"] {
            let error = looked_at(&[("DOCKER_HOST", elsewhere)]).unwrap_err();
            assert_eq!(error, NoEngine::Elsewhere(elsewhere.into()));
        }
        assert_eq!(looked_at(&[]).unwrap(), ["/var/run/docker.sock", "/run/podman/podman.sock"]);
        assert_eq!(
            looked_at(&[("XDG_RUNTIME_DIR", "/run/user/1000")]).unwrap(),
            [
                "/var/run/docker.sock",
                "/run/user/1000/docker.sock",
                "/run/user/1000/podman/podman.sock",
                "/run/podman/podman.sock",
            ]
        );
    }

    #[tokio::test]
    async fn what_is_no_engine_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        drop(listener);
        let error = Engine::at(&socket).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("the engine at {} does not answer: ", socket.display())),
            "{error}"
        );
    }
}
