//! What ECS tells a container about its own task: the task's name, which nobody knows before the task is there, and whether
//! the task is to stop. Of that a watchdog whose game has a container of its own would hear last: ECS stops containers in the
//! reverse of the order in which it starts them, each when the one before is gone.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use domain::world::TaskId;
use serde::Deserialize;

/// The variable in which ECS gives every container the address of its task's metadata.
const URI: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// How long one try may take. The endpoint is on the same host.
const LIMIT: Duration = Duration::from_secs(2);

/// How often it is tried: the endpoint may come up a moment after the container.
const TRIES: u32 = 8;

/// The wait before the second try; each one after it is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });

/// How often it is asked whether the task is to stop.
const WATCH_EVERY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1000 });

/// When two looks are farther apart than this, what came in between is not dated.
const LONGEST_BLINK: Duration = Duration::from_secs(10);

/// What ECS calls the state of a task that is to stop.
const STOPPED: &str = "STOPPED";

/// The most bytes of an answer that are read. It describes at most ten containers.
const LONGEST_ANSWER: u64 = 256 * 1024;

#[derive(Deserialize)]
struct Task {
    #[serde(rename = "TaskARN")]
    arn: String,
    #[serde(rename = "DesiredStatus", default)]
    desired_status: String,
}

/// Returns the name of the task that this container is in, or why it cannot be had.
pub fn task(get: impl Fn(&str) -> Option<String>) -> Result<TaskId> {
    let Some(url) = url(get) else {
        bail!("the task has no name: set DORMOUSE_TASK, or run this on ECS, which sets {URI}");
    };
    let agent = agent();
    let mut wait = FIRST_WAIT;
    for _ in 1..TRIES {
        match ask(&agent, &url) {
            Ok(task) => return Ok(TaskId::parse(&task.arn)?),
            Err(error) => tracing::warn!("asking again in {wait:?}: {error:#}"),
        }
        thread::sleep(wait);
        wait *= 2;
    }
    Ok(TaskId::parse(&ask(&agent, &url)?.arn)?)
}

/// Whether the host stops the task, as a thread of its own finds out.
#[derive(Debug, Clone)]
pub struct HostWatch(Arc<Mutex<Host>>);

#[derive(Debug, Clone, Copy)]
enum Host {
    /// Nothing is known of an end.
    Runs,
    /// The task is to stop, not before this time, if that is known.
    Stops(Option<Instant>),
}

impl HostWatch {
    /// Begins to ask, if there is somebody to ask. `told` is set when the task is to stop.
    pub fn start(get: impl Fn(&str) -> Option<String>, told: Arc<AtomicBool>) -> Option<Self> {
        let url = url(get)?;
        let watch = Self(Arc::new(Mutex::new(Host::Runs)));
        let own = watch.clone();
        thread::spawn(move || own.watch(&url, &told));
        Some(watch)
    }

    /// Tells whether the host has begun to stop the task.
    pub fn stops(&self) -> bool {
        matches!(*self.lock(), Host::Stops(_))
    }

    /// Returns since when, at the earliest, the host may have stopped the task, if that is known.
    pub fn stops_since(&self) -> Option<Instant> {
        match *self.lock() {
            Host::Runs => None,
            Host::Stops(since) => since,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Host> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, url: &str, told: &AtomicBool) {
        let (agent, mut ran_at) = (agent(), Instant::now());
        loop {
            let asked_at = Instant::now();
            match ask(&agent, url) {
                Ok(task) if task.desired_status == STOPPED => {
                    tracing::info!("the host stops the task");
                    *self.lock() = Host::Stops(Some(ran_at).filter(|at| at.elapsed() <= LONGEST_BLINK));
                    told.store(true, Ordering::Relaxed);
                    return;
                }
                Ok(_) => ran_at = asked_at,
                Err(error) => tracing::debug!("{error:#}"),
            }
            thread::sleep(WATCH_EVERY);
        }
    }
}

fn url(get: impl Fn(&str) -> Option<String>) -> Option<String> {
    get(URI).map(|uri| format!("{}/task", uri.trim_end_matches('/')))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(LIMIT)).build().new_agent()
}

fn ask(agent: &ureq::Agent, url: &str) -> Result<Task> {
    let answer = agent.get(url).call().context("asking ECS about the task")?;
    Ok(answer.into_body().into_with_config().limit(LONGEST_ANSWER).read_json()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    #[test]
    fn the_task_is_named_by_ecs_even_if_the_endpoint_comes_up_late() {
        let arn = "arn:aws:ecs:eu-central-1:111122223333:task/dormouse/0123456789abcdef0123456789abcdef";
        let good = format!(r#"{{"Cluster":"dormouse","TaskARN":"{arn}","Containers":[]}}"#);
        let uri = serve(vec![(503, String::new()), (200, good)]);
        assert_eq!(task(|name| (name == URI).then(|| uri.clone())).unwrap().as_str(), arn);
    }

    #[test]
    fn a_task_that_nobody_names_is_an_error_that_says_what_to_do() {
        let error = task(|_| None).unwrap_err().to_string();
        expect_test::expect![
            "the task has no name: set DORMOUSE_TASK, or run this on ECS, which sets ECS_CONTAINER_METADATA_URI_V4"
        ]
        .assert_eq(&error);
    }

    #[test]
    fn a_task_that_the_host_stops_is_noticed_whatever_came_before() {
        let said = |status: &str| (200, format!(r#"{{"TaskARN":"arn","DesiredStatus":"{status}"}}"#));
        let uri = serve(vec![said("RUNNING"), (500, String::new()), (200, "[]".into()), said("STOPPED")]);
        let (told, begun) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let watch = HostWatch::start(|name| (name == URI).then(|| uri.clone()), told.clone()).unwrap();
        while !told.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        assert!(watch.stops() && watch.stops_since().is_none_or(|since| since >= begun));
    }

    #[test]
    fn where_nobody_is_to_be_asked_nothing_is_watched() {
        assert!(HostWatch::start(|_| None, Arc::default()).is_none());
    }

    fn serve(answers: Vec<(u16, String)>) -> String {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}/v4/abc", server.local_addr().unwrap());
        std::thread::spawn(move || {
            for (status, body) in answers {
                let (mut stream, _) = server.accept().unwrap();
                let mut head = [0; 4096];
                let read = stream.read(&mut head).unwrap();
                assert!(head[..read].starts_with(b"GET /v4/abc/task HTTP/1.1\r\n"));
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} \r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
        });
        uri
    }
}
