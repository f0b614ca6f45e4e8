//! Lambda: functions that are real programs, and what invokes them: a URL, a queue, a schedule.
//!
//! An instance is one process that gets one event at a time over the Runtime API, and stands still in between, as on
//! Lambda: what a function leaves to run after its answer runs with the next event, or never. A function has at most
//! as many instances as its concurrency allows; one that timed out or died is replaced at the next event.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::Value;
use tempfile::TempDir;
use thiserror::Error;
use tokio::runtime::Runtime;

use crate::moto::scratch;
use instance::Instance;
pub use schedule::Schedule;
pub use sqs::{Delivery, SqsPoller};
pub use url::FunctionUrl;

mod instance;

mod url;

mod sqs;

mod schedule;

/// Lambda's limit for an event, and for an answer.
const MOST_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// The account that functions and queues belong to.
const ACCOUNT: &str = "123456789012";

/// A function as it is deployed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Its program, as `provided.al2023` runs `bootstrap`.
    pub program: PathBuf,
    /// Its environment, beyond what Lambda sets. Credentials are among it, as `AWS_ACCESS_KEY_ID` and so on; a
    /// function whose environment has none, has none.
    pub env: Vec<(String, String)>,
    /// The region it believes to be in.
    pub region: String,
    /// The memory it believes to have.
    pub memory_mib: u32,
    /// How long one event may take. An instance that takes longer is killed.
    pub timeout: Duration,
    /// How many instances may run at once.
    pub concurrency: usize,
}

impl Settings {
    /// Returns settings for `program` with 128 MiB, 30 s and one instance.
    pub fn new(name: &str, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            env: Vec::new(),
            region: "us-east-1".to_owned(),
            memory_mib: 128,
            timeout: Duration::from_secs(30),
            concurrency: 1,
        }
    }
}

/// Why an event was not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvokeError {
    /// The function said that it failed.
    #[error("the function failed: {kind}: {message}")]
    Failed {
        /// `errorType`.
        kind: String,
        /// `errorMessage`.
        message: String,
    },
    /// The instance was killed for taking longer than it may.
    #[error("the function timed out after {0:?}")]
    TimedOut(Duration),
    /// The program ended before it answered, or could not be started.
    #[error("the function's program ended: {0}")]
    Exited(String),
    /// All instances were busy for all of the time.
    #[error("all instances are busy")]
    Throttled,
    /// The event is larger than Lambda accepts.
    #[error("the event has {0} bytes, which is too much")]
    TooLarge(usize),
}

/// A function. Clones are the same function.
#[derive(Debug, Clone)]
pub struct Function(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    directory: TempDir,
    pool: Mutex<Pool>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Arc<Instance>>,
    busy: Vec<Arc<Instance>>,
    /// How many instances are being started.
    starting: usize,
}

impl Function {
    /// Returns a function; its first instance starts with the first event.
    pub fn new(settings: Settings) -> Result<Self> {
        let directory = scratch()?;
        Ok(Self(Arc::new(Inner { settings, directory, pool: Mutex::default(), freed: Condvar::new() })))
    }

    /// Returns the function's settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Returns the token of the session of its role; nothing if its environment has none.
    fn session_token(&self) -> &str {
        let is_token = |(name, _): &&(String, String)| name == "AWS_SESSION_TOKEN";
        self.0.settings.env.iter().find(is_token).map_or("", |(_, token)| token)
    }

    /// Gives `event` to an instance and returns what it answers, within the function's time.
    pub fn invoke(&self, event: &Value) -> Result<Value, InvokeError> {
        self.invoke_within(event, self.0.settings.timeout)
    }

    /// Gives `event` to an instance and returns what it answers. An instance that takes longer than `timeout` is
    /// killed.
    pub fn invoke_within(&self, event: &Value, timeout: Duration) -> Result<Value, InvokeError> {
        let event = event.to_string();
        if event.len() > MOST_PAYLOAD_BYTES {
            return Err(InvokeError::TooLarge(event.len()));
        }
        let instance = self.take(timeout)?;
        let answer = instance.invoke(event, timeout);
        self.give_back(&instance);
        answer
    }

    /// Kills every instance with SIGKILL, in the middle of whatever it does. The next event starts a new one.
    pub fn kill(&self) {
        let pool = self.pool();
        pool.idle.iter().chain(&pool.busy).for_each(|instance| instance.kill());
    }

    /// Has every instance that works on an event stand still, in the middle of whatever it does.
    pub fn freeze(&self) {
        self.pool().busy.iter().for_each(|instance| instance.freeze());
    }

    /// Lets every instance that works on an event go on.
    pub fn thaw(&self) {
        self.pool().busy.iter().for_each(|instance| instance.thaw());
    }

    /// Returns what all instances have printed.
    pub fn logs(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// Returns the file to which all instances print.
    pub fn log_file(&self) -> PathBuf {
        self.0.directory.path().join("log")
    }

    /// Returns an instance that nobody else has, starting one if there may be one more.
    fn take(&self, limit: Duration) -> Result<Arc<Instance>, InvokeError> {
        let begun = Instant::now();
        let mut pool = self.pool();
        loop {
            while let Some(instance) = pool.idle.pop() {
                if instance.is_running() {
                    pool.busy.push(instance.clone());
                    return Ok(instance);
                }
            }
            if pool.busy.len() + pool.starting < self.0.settings.concurrency {
                pool.starting += 1;
                break;
            }
            let left = limit.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(InvokeError::Throttled);
            }
            pool = self.0.freed.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(pool);
        let started = Instance::start(&self.0.settings, &self.log_file());
        let mut pool = self.pool();
        pool.starting -= 1;
        match started {
            Ok(instance) => {
                let instance = Arc::new(instance);
                pool.busy.push(instance.clone());
                Ok(instance)
            }
            Err(error) => {
                self.0.freed.notify_one();
                Err(InvokeError::Exited(format!("{error:#}")))
            }
        }
    }

    fn give_back(&self, instance: &Arc<Instance>) {
        let mut pool = self.pool();
        pool.busy.retain(|busy| !Arc::ptr_eq(busy, instance));
        if instance.is_running() {
            pool.idle.push(instance.clone());
        }
        self.0.freed.notify_one();
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        lock(&self.0.pool)
    }
}

/// Locks `mutex`; a panic elsewhere leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the threads that serve HTTP for all functions of this process.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(2)
            .enable_all()
            .thread_name("lambda")
            .build()
            .map_err(|error| error.to_string())
    });
    made.as_ref().map_err(|error| anyhow::anyhow!("starting threads: {error}"))
}
