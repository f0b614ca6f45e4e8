//! Worlds as files: downloads by a link and uploads to one, with their progress on the terminal.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Read, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use domain::{ports::LARGEST_IMPORT, words};
use ureq::{Agent, Body, SendBody, http::Response};

/// How long a server may take to answer, or to send something more.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// How long an archive may take that is still being made.
const MAKING_LIMIT: Duration = Duration::from_secs(60 * 60);

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// The most bytes of a refusal that are read.
const LONGEST_REFUSAL: u64 = 64 * 1024;

/// How much is copied at a time.
const CHUNK: usize = 1 << 16;

/// A file to upload.
pub(crate) struct Upload {
    file: File,
    size: u64,
}

/// Opens a file to upload, or says why it cannot be.
pub(crate) fn open(path: &Path) -> Result<Upload> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let about = file.metadata()?;
    ensure!(about.is_file(), "{} is no file: pack the world into a .zip first", path.display());
    let size = about.len();
    ensure!(size > 0, "{} is empty", path.display());
    ensure!(
        size <= LARGEST_IMPORT,
        "{} has {}: at most {} can be uploaded",
        path.display(),
        words::bytes(size),
        words::bytes(LARGEST_IMPORT)
    );
    Ok(Upload { file, size })
}

/// Sends the file to `url`; nothing if Ctrl-C came first.
pub(crate) fn upload(
    Upload { file, size }: Upload,
    url: &str,
    interrupted: &AtomicBool,
) -> Result<Option<()>> {
    let mut body = Shown::new("uploading", file, Some(size), interrupted);
    let sent =
        agent().put(url).header("content-length", size.to_string()).send(SendBody::from_reader(&mut body));
    body.progress.end();
    if interrupted.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let answer = sent.map_err(|error| anyhow!("the upload broke off ({error}); try again"))?;
    ensure!(answer.status().is_success(), "the upload was refused: {}", refusal(answer));
    Ok(Some(()))
}

/// Downloads what the link leads to into the file, waiting for it while it is being made, and returns its size; nothing if
/// Ctrl-C came first. The file is there when it is whole, and not before.
pub(crate) fn download(url: &str, to: &Path, interrupted: &AtomicBool) -> Result<Option<u64>> {
    let Some(answer) = wait_for(url, interrupted)? else { return Ok(None) };
    ensure!(answer.status().is_success(), "the download was refused: {}", refusal(answer));
    let size = answer.headers().get("content-length").and_then(|size| size.to_str().ok()?.parse().ok());
    let draft = to.with_added_extension("part");
    let mut file = File::create(&draft).with_context(|| format!("cannot write {}", draft.display()))?;
    let mut body = Shown::new("downloading", answer.into_body().into_reader(), size, interrupted);
    let copied = io::copy(&mut body, &mut file);
    body.progress.end();
    let kept = copied.and_then(|copied| file.sync_all().map(|()| copied)).map_err(anyhow::Error::from);
    let kept = kept.and_then(|copied| {
        ensure!(size.is_none_or(|size| size == copied), "the download broke off; try again");
        fs::rename(&draft, to)?;
        Ok(copied)
    });
    if kept.is_err() {
        // What is not whole is nobody's; that it cannot be removed is no news beside why.
        let _ = fs::remove_file(&draft);
    }
    if interrupted.load(Ordering::Relaxed) {
        return Ok(None);
    }
    kept.map(Some).with_context(|| format!("downloading into {}", to.display()))
}

/// Follows the link until it leads somewhere.
fn wait_for(url: &str, interrupted: &AtomicBool) -> Result<Option<Response<Body>>> {
    let begun = Instant::now();
    while !interrupted.load(Ordering::Relaxed) {
        let answer =
            agent().get(url).call().map_err(|error| anyhow!("the link cannot be followed ({error})"))?;
        let is_being_made = answer.headers().contains_key("retry-after");
        if !is_being_made {
            return Ok(Some(answer));
        }
        if begun.elapsed() > MAKING_LIMIT {
            bail!("the archive takes too long; the link goes on working: {url}");
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(None)
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(SILENCE_LIMIT))
        .timeout_recv_response(Some(SILENCE_LIMIT));
    config.build().new_agent()
}

/// Returns what a server says of a refusal, for people: our own front door says it in JSON, and others name a code.
fn refusal(answer: Response<Body>) -> String {
    let status = answer.status();
    let text =
        answer.into_body().into_with_config().limit(LONGEST_REFUSAL).read_to_string().unwrap_or_default();
    if let Ok(ours) = serde_json::from_str::<adapters::front_door::view::ErrorView>(&text) {
        return format!("{}\n  hint: {}", ours.error, ours.hint);
    }
    // A page for people says it in its one paragraph.
    let said = text.split_once("<p>").and_then(|(_, rest)| rest.split_once("</p>")).map(|(said, _)| said);
    match said.filter(|said| !said.contains('<')) {
        Some(said) => said.chars().take(300).flat_map(char::escape_debug).collect(),
        None => status.to_string(),
    }
}

/// A reader that shows how far it is, and ends at Ctrl-C.
struct Shown<'a, R> {
    inner: R,
    progress: Progress,
    interrupted: &'a AtomicBool,
}

impl<'a, R> Shown<'a, R> {
    fn new(what: &'static str, inner: R, of: Option<u64>, interrupted: &'a AtomicBool) -> Self {
        Self { inner, progress: Progress { what, done: 0, of, shown: None }, interrupted }
    }
}

impl<R: Read> Read for Shown<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(io::Error::other("interrupted"));
        }
        let most = buffer.len().min(CHUNK);
        let read = self.inner.read(&mut buffer[..most])?;
        self.progress.add(read as u64);
        Ok(read)
    }
}

/// How far something is, shown in a line of the terminal that is written over; not where nobody looks.
struct Progress {
    what: &'static str,
    done: u64,
    of: Option<u64>,
    shown: Option<Instant>,
}

impl Progress {
    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if io::stderr().is_terminal() && self.shown.is_none_or(|shown| shown.elapsed() > SHOW_EVERY) {
            self.shown = Some(Instant::now());
            eprint!("\r{}", line(self.what, self.done, self.of));
            let _ = io::stderr().flush();
        }
    }

    fn end(&self) {
        if self.shown.is_some() {
            eprintln!("\r{}", line(self.what, self.done, self.of));
        }
    }
}

fn line(what: &str, done: u64, of: Option<u64>) -> String {
    const WIDTH: u64 = 30;
    let Some(of) = of.filter(|of| *of > 0) else { return format!("{what} {}", words::bytes(done)) };
    let full = usize::try_from(done.min(of) * WIDTH / of).unwrap_or(0);
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(30 - full));
    format!("{what} [{bar}] {:>3} %, {} of {}", done.min(of) * 100 / of, words::bytes(done), words::bytes(of))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn progress_reads_well() {
        let lines = [
            line("uploading", 0, Some(1000)),
            line("uploading", 1_500_000, Some(3_000_000)),
            line("x", 7, None),
        ];
        expect![[r#"
            uploading [..............................]   0 %, 0 B of 1.0 kB
            uploading [###############...............]  50 %, 1.5 MB of 3.0 MB
            x 7 B"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn what_cannot_be_uploaded_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |path: &Path| open(path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused(dir.path()).ends_with("is no file: pack the world into a .zip first"));
        let empty = dir.path().join("empty.zip");
        File::create(&empty).unwrap();
        assert!(refused(&empty).ends_with("is empty"));
        assert!(refused(&dir.path().join("none")).starts_with("cannot read"));
    }
}
