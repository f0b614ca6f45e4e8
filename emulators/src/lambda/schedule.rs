//! An EventBridge schedule: one event, again and again.

use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;
use serde_json::Value;

use crate::lambda::Function;

/// Invokes a function at intervals until it is dropped. A failure is noted on standard error, and that is all.
#[derive(Debug)]
pub struct Schedule {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Schedule {
    /// Gives `event` to `function` now and then `every` so often after it was done with the last.
    pub fn start(function: &Function, every: Duration, event: Value) -> Result<Self> {
        let (stop, stopped) = channel();
        let function = function.clone();
        let thread = thread::Builder::new().name("schedule".to_owned()).spawn(move || {
            loop {
                if let Err(error) = function.invoke(&event) {
                    eprintln!("{}: {error}", function.settings().name);
                }
                if stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
