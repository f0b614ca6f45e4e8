//! Reading and compressing, by several threads at once.
//!
//! A file of more than [`BLOCK`] bytes is compressed in blocks that know nothing of each other, so that one large file
//! keeps all threads busy: each block ends at a byte (a *sync flush*), hence all of them together are one deflate stream.
//! A block that would not become smaller goes in as deflate's own stored blocks. What is packed depends on the bytes
//! alone, never on which thread did what when.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};

use super::tree::Found;

/// How much of a file is packed at a time. Each thread has two of them, and each part that waits for its turn one.
pub(super) const BLOCK: usize = 256 * 1024;

/// The fewest threads: also a single processor is kept busy while a network's disk is waited for.
const FEWEST_THREADS: usize = 4;

/// The most threads, since each takes about 0.8 MiB, and [`PARTS_PER_THREAD`] blocks.
const MOST_THREADS: usize = 8;

/// How many parts of the archive may be in the making or wait for their turn, for each thread.
const PARTS_PER_THREAD: usize = 4;

/// Enough for a thread that only reads and compresses into buffers on the heap.
const STACK: usize = 256 * 1024;

/// How often it is asked whether to go on while a thread is waited for.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The level of deflate: a sixth less than at level 1 on worlds of databases and text, and still faster than most networks.
const LEVEL: Compression = Compression::new(2);

/// How many bytes are tried, and from how many places of a block, before all of it is compressed.
const TRIED: usize = 2 * 1024;
const TRIED_PLACES: usize = 4;

/// Endings of what is compressed already; compressing it again costs time and saves nothing.
const COMPRESSED: [&str; 14] =
    ["7z", "bz2", "gz", "jar", "jpeg", "jpg", "lz4", "mp3", "ogg", "png", "webp", "xz", "zip", "zst"];

/// What a deflate stream of blocks ends with: a last, empty one.
pub(super) const DEFLATE_END: [u8; 2] = [3, 0];

/// The most that one of deflate's stored blocks holds.
const MOST_STORED: usize = 0xffff;

/// How an entry's bytes stand in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// As they are.
    Stored,
    /// As a deflate stream.
    Deflated,
}

/// Whether it may be worthwhile to compress something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gain {
    Likely,
    Unlikely,
}

impl Gain {
    /// Guesses by the ending of a file's name.
    pub(super) fn of(path: &Path) -> Self {
        let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        if ending.is_some_and(|e| COMPRESSED.contains(&e.as_str())) { Self::Unlikely } else { Self::Likely }
    }
}

/// What a file, or a block of one, was packed into.
pub(super) struct Packed {
    pub(super) method: Method,
    pub(super) data: Vec<u8>,
    /// The CRC-32 and the length of what was packed.
    pub(super) crc: Hasher,
}

impl Packed {
    /// Returns bytes as they are.
    pub(super) fn stored(data: Vec<u8>) -> Self {
        let mut crc = Hasher::new();
        crc.update(&data);
        Self { method: Method::Stored, data, crc }
    }
}

/// Compresses, into memory that it keeps.
pub(super) struct Packer {
    deflate: Compress,
    output: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Self {
        Self { deflate: Compress::new(LEVEL, false), output: vec![0; room(BLOCK)] }
    }

    /// Packs the whole of a file, of at most [`BLOCK`] bytes.
    pub(super) fn whole(&mut self, data: &[u8], gain: Gain) -> Packed {
        match self.try_to_deflate(data, gain, FlushCompress::Finish) {
            Some(deflated) => packed(data, deflated.to_vec()),
            None => Packed::stored(data.to_vec()),
        }
    }

    /// Packs a block of a file into a piece of a deflate stream.
    pub(super) fn block(&mut self, data: &[u8], gain: Gain) -> Packed {
        match self.try_to_deflate(data, gain, FlushCompress::Sync) {
            Some(deflated) => packed(data, deflated.to_vec()),
            None => packed(data, stored_blocks(data)),
        }
    }

    /// Returns `data` deflated, unless that makes it no smaller.
    fn try_to_deflate(&mut self, data: &[u8], gain: Gain, flush: FlushCompress) -> Option<&[u8]> {
        if gain == Gain::Unlikely || !self.seems_worthwhile(data) {
            return None;
        }
        self.deflate(data, flush)
    }

    /// Tries some of a large block. A small one is compressed as quickly as tried.
    fn seems_worthwhile(&mut self, data: &[u8]) -> bool {
        if data.len() < 8 * TRIED * TRIED_PLACES {
            return true;
        }
        let places = (0..TRIED_PLACES).map(|place| &data[place * data.len() / TRIED_PLACES..][..TRIED]);
        let sample: Vec<u8> = places.flatten().copied().collect();
        let most = sample.len() - sample.len() / 32;
        self.deflate(&sample, FlushCompress::Finish).is_some_and(|deflated| deflated.len() < most)
    }

    fn deflate(&mut self, data: &[u8], flush: FlushCompress) -> Option<&[u8]> {
        let status = self.deflate.compress(data, self.output.get_mut(..room(data.len()))?, flush);
        let length = usize::try_from(self.deflate.total_out()).ok()?;
        let is_all = if flush == FlushCompress::Finish {
            matches!(status, Ok(Status::StreamEnd))
        } else {
            status.is_ok() && self.deflate.total_in() == data.len() as u64 && length < room(data.len())
        };
        if is_all {
            self.deflate.reset();
        } else {
            // zlib-rs 0.6.8 panics if it is reset while it has output that found no room, and goes on.
            self.deflate = Compress::new(LEVEL, false);
        }
        if is_all && length < data.len() { self.output.get(..length) } else { None }
    }
}

/// Returns enough room for `length` bytes that compressing makes larger: the fastest way takes up to nine bits for eight.
const fn room(length: usize) -> usize {
    length + length / 4 + 64
}

fn packed(raw: &[u8], data: Vec<u8>) -> Packed {
    let mut crc = Hasher::new();
    crc.update(raw);
    Packed { method: Method::Deflated, data, crc }
}

/// Returns bytes as they are, framed as a deflate stream wants it.
fn stored_blocks(data: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(data.len() + 5 * data.len().div_ceil(MOST_STORED));
    for block in data.chunks(MOST_STORED) {
        let length = block.len() as u16;
        framed.push(0);
        framed.extend(length.to_le_bytes());
        framed.extend((!length).to_le_bytes());
        framed.extend(block);
    }
    framed
}

/// The threads that pack.
pub(super) struct Packers {
    jobs: mpsc::Sender<Job>,
    /// How many parts of the archive may be in the making at a time.
    pub(super) most_parts: usize,
}

/// What a thread is to read and pack.
struct Job {
    found: Arc<Found>,
    what: What,
    answer: mpsc::SyncSender<Result<Packed>>,
}

enum What {
    Whole,
    Block { file: Arc<File>, offset: u64, length: usize },
}

/// Something that is packed, or will be.
pub(super) enum Coming {
    Here(Packed),
    Later(mpsc::Receiver<Result<Packed>>),
}

impl Coming {
    /// Waits for it.
    pub(super) fn wait(self, check: &mut dyn FnMut() -> Result<()>) -> Result<Packed> {
        let answer = match self {
            Self::Here(packed) => return Ok(packed),
            Self::Later(answer) => answer,
        };
        loop {
            match answer.recv_timeout(ASK_EVERY) {
                Ok(packed) => return packed,
                Err(mpsc::RecvTimeoutError::Timeout) => check()?,
                Err(error) => return Err(error).context("a thread that packs has ended"),
            }
        }
    }
}

impl Packers {
    /// Has a file of at most [`BLOCK`] bytes packed.
    pub(super) fn whole(&self, found: &Arc<Found>) -> Result<Coming> {
        self.ask(found, What::Whole)
    }

    /// Has a block of a file packed.
    pub(super) fn block(
        &self,
        found: &Arc<Found>,
        file: &Arc<File>,
        offset: u64,
        length: usize,
    ) -> Result<Coming> {
        self.ask(found, What::Block { file: Arc::clone(file), offset, length })
    }

    fn ask(&self, found: &Arc<Found>, what: What) -> Result<Coming> {
        let (answer, later) = mpsc::sync_channel(1);
        self.jobs
            .send(Job { found: Arc::clone(found), what, answer })
            .ok()
            .context("the threads that pack have ended")?;
        Ok(Coming::Later(later))
    }
}

/// How many threads this machine should pack with.
pub(super) fn usual_threads() -> usize {
    thread::available_parallelism().map_or(FEWEST_THREADS, usize::from).clamp(FEWEST_THREADS, MOST_THREADS)
}

/// Calls `work` with `threads` threads that pack. All of them have ended when it returns.
pub(super) fn with_packers<T>(threads: usize, work: impl FnOnce(&Packers) -> Result<T>) -> Result<T> {
    let (jobs, queue) = mpsc::channel();
    let (queue, given_up) = (Mutex::new(queue), AtomicBool::new(false));
    thread::scope(|scope| {
        let packers = Packers { jobs, most_parts: threads * PARTS_PER_THREAD };
        for _ in 0..threads {
            let packer = thread::Builder::new().name("packer".to_owned()).stack_size(STACK);
            packer
                .spawn_scoped(scope, || pack_all(&queue, &given_up))
                .context("starting a thread that packs")?;
        }
        let done = work(&packers);
        given_up.store(true, Ordering::Relaxed);
        done
    })
}

/// Packs what is asked for until nobody can ask any more.
fn pack_all(queue: &Mutex<mpsc::Receiver<Job>>, given_up: &AtomicBool) {
    let (mut packer, mut input) = (Packer::new(), vec![0; BLOCK]);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(Job { found, what, answer }) = next() {
        if given_up.load(Ordering::Relaxed) {
            return;
        }
        // Nobody waits for the answer if the archive has failed already.
        let _ = answer.send(pack(&mut packer, &mut input, &found, what));
    }
}

fn pack(packer: &mut Packer, input: &mut [u8], found: &Found, what: What) -> Result<Packed> {
    let gain = Gain::of(&found.path);
    match what {
        What::Whole => {
            let file = found.open()?;
            let data = read(found, &file, 0, usize::try_from(found.entry.size)?, input)?;
            Ok(packer.whole(data, gain))
        }
        What::Block { file, offset, length } => {
            Ok(packer.block(read(found, &file, offset, length, input)?, gain))
        }
    }
}

fn read<'i>(found: &Found, file: &File, offset: u64, length: usize, input: &'i mut [u8]) -> Result<&'i [u8]> {
    let data = input.get_mut(..length).context("more than a block")?;
    let read = file.read_exact_at(data, offset);
    // A file that became shorter is told as such.
    found.expect_unchanged(file)?;
    read.map(|()| &*data).map_err(|error: io::Error| error.into())
}
