//! Lambda's Runtime API for one program: hands it one event at a time and takes the time until the answer is there.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::http::{Answer, Request, Server};

/// How long a start, or an answer, may take. They take milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The Runtime API of one program.
pub(super) struct RuntimeApi {
    server: Server,
    events: SyncSender<Vec<u8>>,
    seen: Receiver<Seen>,
}

/// What the program did.
enum Seen {
    /// It asked for an event.
    Polled(Instant),
    /// It answered one, which took so long.
    Answered(Duration, Vec<u8>),
    /// It said that something failed.
    Failed(String),
}

impl RuntimeApi {
    /// Waits for a program.
    pub(super) fn start() -> Result<Self> {
        let (events, given) = sync_channel(1);
        let (tell, seen) = channel();
        let side = Side { given: Mutex::new(given), since: Mutex::new(Instant::now()), tell };
        let side = Arc::new(side);
        Ok(Self { server: Server::start(move |request| side.handle(request))?, events, seen })
    }

    /// Returns where it listens, for `AWS_LAMBDA_RUNTIME_API`.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Waits until the program asks for an event, and returns when that was.
    pub(super) fn first_poll(&self) -> Result<Instant> {
        match self.next()? {
            Seen::Polled(at) => Ok(at),
            Seen::Answered(..) => bail!("it answers before it was asked"),
            Seen::Failed(why) => bail!("it cannot start: {why}"),
        }
    }

    /// Gives the program an event. Returns its answer, and the time from the first byte of the event to the last of the
    /// answer.
    pub(super) fn invoke(&self, event: &Value) -> Result<(Value, Duration)> {
        self.events.send(serde_json::to_vec(event)?)?;
        loop {
            match self.next()? {
                Seen::Polled(_) => {}
                Seen::Answered(took, answer) => return Ok((serde_json::from_slice(&answer)?, took)),
                Seen::Failed(why) => bail!("it failed: {why}"),
            }
        }
    }

    fn next(&self) -> Result<Seen> {
        self.seen.recv_timeout(PATIENCE).with_context(|| format!("nothing is heard of it for {PATIENCE:?}"))
    }
}

/// The side that the program sees.
struct Side {
    given: Mutex<Receiver<Vec<u8>>>,
    /// When the event that is being worked on was handed out.
    since: Mutex<Instant>,
    tell: Sender<Seen>,
}

impl Side {
    fn handle(&self, request: Request) -> Option<Answer> {
        let now = Instant::now();
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/2018-06-01/runtime/invocation/next") => {
                self.tell.send(Seen::Polled(now)).ok()?;
                let event = self.given.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()?;
                let answer = Answer { status: 200, headers: headers(), body: event };
                *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                Some(answer)
            }
            ("POST", path) if path.ends_with("/response") => {
                let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
                self.tell.send(Seen::Answered(now.duration_since(since), request.body)).ok()?;
                Some(Answer { status: 202, headers: vec![], body: vec![] })
            }
            _ => {
                let why = String::from_utf8_lossy(&request.body);
                self.tell.send(Seen::Failed(format!("{} {why}", request.path))).ok()?;
                Some(Answer { status: 202, headers: vec![], body: vec![] })
            }
        }
    }
}

/// Returns the headers of an event, whose deadline is far.
fn headers() -> Vec<(&'static str, String)> {
    let deadline = SystemTime::now() + 6 * PATIENCE;
    let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
    vec![
        ("Content-Type", "application/json".to_owned()),
        ("Lambda-Runtime-Aws-Request-Id", "00000000-0000-4000-8000-000000000000".to_owned()),
        ("Lambda-Runtime-Deadline-Ms", deadline.as_millis().to_string()),
        (
            "Lambda-Runtime-Invoked-Function-Arn",
            "arn:aws:lambda:us-east-1:123456789012:function:bench".to_owned(),
        ),
        ("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0".to_owned()),
    ]
}
