//! A tap on the wires between the worker and everything that it calls: counts the calls that change something, and kills
//! the worker at one of them: before it arrives anywhere, or when it has taken effect and its answer is on the way.
//!
//! Calls that only read are not counted. A worker that dies at one of them leaves behind what one leaves that dies before
//! the next that changes something.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Result;
use emulators::{When, lambda::Function};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Runtime,
};

/// The end of the first line of a request, which stands nowhere else: bodies here are JSON.
const REQUEST_LINE_END: &[u8] = b" HTTP/1.1\r\n";

/// The calls that only read, as they name themselves in lower case.
const READS: [&str; 8] = [
    ".getitem",
    ".batchgetitem",
    ".query",
    ".listtasks",
    ".describetasks",
    ".getparameters",
    "head /",
    "get /",
];

/// The tap. Clones are the same one.
#[derive(Clone, Default)]
pub struct Tap(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    worker: Option<Function>,
    calls: Vec<String>,
    kill_at: Option<(usize, When)>,
    killed_at: Option<String>,
}

impl Tap {
    /// Names the function that is killed.
    pub fn watch(&self, worker: Function) {
        self.lock().worker = Some(worker);
    }

    /// Returns an address that leads to `target` by way of the tap.
    pub fn front(&self, runtime: &Runtime, target: SocketAddr) -> Result<SocketAddr> {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let tap = self.clone();
        runtime.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let tap = tap.clone();
                tokio::spawn(async move {
                    // A connection that breaks off is the worker's or the service's business.
                    let _ = tap.join(near, target).await;
                });
            }
        });
        Ok(address)
    }

    /// Kills the worker at its `n`th call from now on, counted from 1. What it calls after that is not counted.
    pub fn kill_at(&self, n: usize, when: When) {
        let mut state = self.lock();
        state.kill_at = Some((n, when));
        state.killed_at = None;
        state.calls.clear();
    }

    /// Returns the call at which the worker was killed, if that has happened.
    pub fn killed_at(&self) -> Option<String> {
        self.lock().killed_at.clone()
    }

    /// Returns the calls since the beginning, or since [`Self::kill_at`].
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn join(&self, near: TcpStream, target: SocketAddr) -> Result<()> {
        let far = TcpStream::connect(target).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
        let is_last = Arc::new(AtomicBool::new(false));
        let up = tokio::spawn(self.clone().up(near_read, far_write, is_last.clone()));
        self.down(far_read, near_write, &is_last).await?;
        up.abort();
        Ok(())
    }

    /// Passes requests on and counts them.
    async fn up(
        self,
        mut near: OwnedReadHalf,
        mut far: OwnedWriteHalf,
        is_last: Arc<AtomicBool>,
    ) -> Result<()> {
        let (mut buffer, mut tail) = (vec![0; 64 * 1024], Vec::new());
        loop {
            let n = near.read(&mut buffer).await?;
            if n == 0 {
                return Ok(far.shutdown().await?);
            }
            tail.extend_from_slice(&buffer[..n]);
            while let Some(at) = tail.windows(REQUEST_LINE_END.len()).position(|w| w == REQUEST_LINE_END) {
                match self.count(&tail, at) {
                    Some(When::Before) => {
                        self.kill();
                        return Ok(());
                    }
                    Some(When::After) => is_last.store(true, Ordering::SeqCst),
                    None => {}
                }
                tail.drain(..at + REQUEST_LINE_END.len());
            }
            tail.drain(..tail.len().saturating_sub(4096));
            far.write_all(&buffer[..n]).await?;
        }
    }

    /// Notes the call whose first line ends at `at`, and says when to kill the worker if it is the one.
    fn count(&self, bytes: &[u8], at: usize) -> Option<When> {
        let call = name(bytes, at);
        let mut state = self.lock();
        if state.killed_at.is_some() || READS.iter().any(|read| call.to_lowercase().contains(read)) {
            return None;
        }
        state.calls.push(call);
        state.kill_at.filter(|(n, _)| state.calls.len() == *n).map(|(_, when)| when)
    }

    /// Passes answers on, but not that of the last call.
    async fn down(
        &self,
        mut far: OwnedReadHalf,
        mut near: OwnedWriteHalf,
        is_last: &AtomicBool,
    ) -> Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = far.read(&mut buffer).await?;
            if n == 0 {
                return Ok(near.shutdown().await?);
            }
            if is_last.load(Ordering::SeqCst) {
                self.kill();
                return Ok(());
            }
            near.write_all(&buffer[..n]).await?;
        }
    }

    fn kill(&self) {
        let mut state = self.lock();
        state.kill_at = None;
        state.killed_at = state.calls.last().cloned();
        if let Some(worker) = &state.worker {
            worker.kill();
        }
    }
}

/// Returns what a request whose first line ends at `at` is called: `amazonsqs.sendmessage`, `PATCH …/@original`.
fn name(bytes: &[u8], at: usize) -> String {
    let head = String::from_utf8_lossy(&bytes[at..]).to_lowercase();
    let target = head.split("x-amz-target: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    if let Some(target) = target {
        return target
            .replace("amazonec2containerservicev20141113", "ecs")
            .replace("dynamodb_20120810", "dynamodb");
    }
    // A path holds what only Discord and we may know, so its end is shown alone.
    let line = String::from_utf8_lossy(&bytes[..at]);
    let line = line.rsplit("\r\n").next().unwrap_or_default();
    let method = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]
        .into_iter()
        .find(|method| line.rfind(&format!("{method} /")).is_some());
    let end = line.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    format!("{} /…/{end}", method.unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_without_what_is_secret() {
        let check = |request: &str, expected: &str| {
            let at = request.find(" HTTP/1.1").unwrap();
            assert_eq!(name(request.as_bytes(), at), expected);
        };
        check("POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.SendMessage\r\n\r\n", "amazonsqs.sendmessage");
        check("PATCH /webhooks/1/secret/messages/@original HTTP/1.1\r\n", "PATCH /…/@original");
        check("{\"a\":1}HEAD /bucket/worlds/w/1.zip?x-id=2 HTTP/1.1\r\nhost: a\r\n", "HEAD /…/1.zip");
    }
}
