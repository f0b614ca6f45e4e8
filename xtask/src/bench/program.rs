//! The programs that are measured: how they are started, and what the kernel says of them.

use std::{
    fs,
    io::{Cursor, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use tempfile::NamedTempFile;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::runtime_api::RuntimeApi;

/// How much of what a program printed an error shows.
const SHOWN_CHARS: usize = 2000;

/// A program.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// What the report calls it.
    pub(super) name: &'static str,
    /// Where it is.
    pub(super) file: PathBuf,
}

/// What a program needs of memory, in KiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Memory {
    /// What it has resident.
    pub(super) resident_kib: u64,
    /// The most that it has had.
    pub(super) peak_kib: u64,
    /// What it has resident that is not a page of a file.
    pub(super) own_kib: u64,
}

/// How large a program is, in bytes.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Size {
    /// The program alone.
    pub(super) program: u64,
    /// As a Lambda bundle: a .zip with the one file `bootstrap`.
    pub(super) zipped: u64,
}

impl Program {
    /// Starts it and waits for its first poll. It sees no environment but `env` and what Lambda sets.
    pub(super) fn start(&self, env: &[(String, String)]) -> Result<Instance> {
        let api = RuntimeApi::start()?;
        let log = NamedTempFile::new()?;
        let output = log.reopen()?;
        let mut command = Command::new(&self.file);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_REGION", "us-east-1")
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let begun = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {}", self.file.display()))?;
        let running = Running(child);
        let mut instance = Instance { running, api, log, first_poll: Duration::ZERO };
        let polled = instance.api.first_poll();
        instance.first_poll = polled.with_context(|| instance.said(self.name))?.duration_since(begun);
        Ok(instance)
    }

    /// Returns how large it is.
    pub(super) fn size(&self) -> Result<Size> {
        let bytes = fs::read(&self.file)?;
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file("bootstrap", deflated.compression_level(Some(9)).unix_permissions(0o755))?;
        zip.write_all(&bytes)?;
        let zipped = zip.finish()?.into_inner().len();
        Ok(Size { program: bytes.len() as u64, zipped: zipped as u64 })
    }
}

/// A program that runs. It is killed when this is dropped.
pub(super) struct Instance {
    running: Running,
    api: RuntimeApi,
    log: NamedTempFile,
    /// The time from its start to its first poll.
    pub(super) first_poll: Duration,
}

impl Instance {
    /// Gives it an event; see [`RuntimeApi::invoke`].
    pub(super) fn invoke(&self, event: &Value) -> Result<(Value, Duration)> {
        self.api.invoke(event).with_context(|| self.said("the program"))
    }

    /// Returns what it has resident, and the most that it has had.
    pub(super) fn memory(&self) -> Result<Memory> {
        memory_of(self.running.0.id())
    }

    /// Returns the processor time of all its threads so far.
    pub(super) fn processor(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.running.0.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let on_cpu: u64 = text.split(' ').next().unwrap_or_default().parse()?;
            nanoseconds += on_cpu;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Returns the end of what it has printed.
    fn said(&self, name: &str) -> String {
        let log = String::from_utf8_lossy(&fs::read(self.log.path()).unwrap_or_default()).into_owned();
        let end: String = log.chars().skip(log.chars().count().saturating_sub(SHOWN_CHARS)).collect();
        format!("{name} (which printed: {})", end.trim())
    }
}

/// A program that is killed when this is dropped.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Not an error: it may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns what a process has resident, and the most that it has had.
pub(super) fn memory_of(process: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim_end_matches("kB").trim().parse().ok());
        number.with_context(|| format!("no {name} in /proc/PID/status"))
    };
    Ok(Memory { resident_kib: field("VmRSS:")?, peak_kib: field("VmHWM:")?, own_kib: field("RssAnon:")? })
}
