//! Where every entry goes, whatever it was packed by: counted, compared with what was before, made, marked.

use std::io::{self, Read, Write};

use anyhow::Result as AnyResult;

use super::{
    FREE_OF_RATIO, Limits, Unpacked,
    fault::{self, Shown, TooMuch, UnpackError, Why},
    name::{Inner, Seen},
    tree::{self, Marks, NotMade, Tree},
};
use crate::archive::manifest::Manifest;

/// How much is unpacked at once; `check` is asked as often.
const CHUNK: usize = 1 << 16;

/// The most bytes of paths of directories that their owner may not enter; they are marked last.
const MOST_CLOSED: usize = 4 << 20;

/// How many of the links that were left out are named.
const MOST_LEFT_OUT: usize = 20;

/// What an upload's files may do: be run where they could be before, and nothing else that is special.
const IMPORTED: u32 = 0o644;
const IMPORTED_PROGRAM: u32 = 0o755;

/// Times of an upload that are kept: from 1970 to 9999. Others stand for nothing.
const TIMES: std::ops::Range<i64> = 0..253_402_300_800;

/// Counts what comes out, and says when it is too much.
pub(super) struct Meter<'m> {
    /// What is allowed.
    pub(super) limits: &'m Limits,
    packed: u64,
    check: &'m mut dyn FnMut() -> AnyResult<()>,
    entries: u64,
    bytes: u64,
}

impl<'m> Meter<'m> {
    /// Begins to count what an archive of `packed` bytes becomes.
    pub(super) fn new(limits: &'m Limits, packed: u64, check: &'m mut dyn FnMut() -> AnyResult<()>) -> Self {
        Self { limits, packed, check, entries: 0, bytes: 0 }
    }

    /// Fails if there is no more time.
    pub(super) fn go_on(&mut self) -> Result<(), UnpackError> {
        (self.check)().map_err(UnpackError::Stopped)
    }

    /// Fails if so many entries are too many.
    pub(super) fn may_have_entries(&self, entries: u64, at: Option<&[u8]>) -> Result<(), UnpackError> {
        let most = self.limits.entries;
        if entries > most { Err(too_much(at, TooMuch::Entries(most))) } else { Ok(()) }
    }

    /// Fails if so many bytes are too many, for their own sake or for an archive of this size.
    pub(super) fn may_have_bytes(&self, bytes: u64, at: Option<&[u8]>) -> Result<(), UnpackError> {
        let Limits { bytes: most, ratio, .. } = *self.limits;
        if bytes > most {
            return Err(too_much(at, TooMuch::Bytes(most)));
        }
        if bytes > self.packed.saturating_mul(ratio).saturating_add(FREE_OF_RATIO) {
            return Err(too_much(at, TooMuch::Ratio(ratio)));
        }
        Ok(())
    }

    /// Counts entries.
    pub(super) fn entries(&mut self, new: u64, at: &[u8]) -> Result<(), UnpackError> {
        self.entries = self.entries.saturating_add(new);
        self.may_have_entries(self.entries, Some(at))
    }

    /// Counts bytes that came out.
    pub(super) fn bytes(&mut self, new: u64, at: Option<&[u8]>) -> Result<(), UnpackError> {
        self.bytes = self.bytes.saturating_add(new);
        self.may_have_bytes(self.bytes, at)
    }
}

/// Where every entry goes.
pub(super) struct Sink<'m> {
    /// What was counted.
    pub(super) meter: Meter<'m>,
    tree: Tree,
    seen: Seen,
    buffer: Vec<u8>,
    files: u64,
    bytes: u64,
    left_out: Vec<Shown>,
    closed: Vec<(Inner, Marks)>,
}

impl<'m> Sink<'m> {
    /// Begins to fill `tree`.
    pub(super) fn new(tree: Tree, meter: Meter<'m>) -> Self {
        Self {
            meter,
            tree,
            seen: Seen::default(),
            buffer: vec![0; CHUNK],
            files: 0,
            bytes: 0,
            left_out: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Returns what was unpacked.
    pub(super) fn finish(self, manifest: Option<Manifest>) -> Unpacked {
        Unpacked { manifest, files: self.files, bytes: self.bytes, left_out: self.left_out }
    }

    /// Fails if the disk cannot hold so many bytes more.
    pub(super) fn needs(&self, needed: u64) -> Result<(), UnpackError> {
        let free = self.tree.free().map_err(UnpackError::Target)?;
        if needed > free { Err(UnpackError::NoRoom { needed, free }) } else { Ok(()) }
    }

    /// Takes a directory of an upload.
    pub(super) fn import_dir(&mut self, name: &[u8]) -> Result<(), UnpackError> {
        let path = self.note(name)?;
        self.tree.make_dir(&path).map_err(|error| not_made(error, name))
    }

    /// Takes a file of an upload: all that `content` gives, which fails by itself if that is not what it should be.
    pub(super) fn import_file(
        &mut self,
        name: &[u8],
        mode: u32,
        mtime: Option<(i64, u32)>,
        content: &mut dyn Read,
    ) -> Result<(), UnpackError> {
        let path = self.note(name)?;
        if path.is_root() {
            return Err(fault::refused(name, Why::NoName));
        }
        let mode = if mode & 0o111 == 0 { IMPORTED } else { IMPORTED_PROGRAM };
        let mtime = mtime.filter(|(s, ns)| TIMES.contains(s) && *ns < 1_000_000_000);
        self.file(&path, name, Marks { mode, mtime }, content)
    }

    fn note(&mut self, name: &[u8]) -> Result<Inner, UnpackError> {
        let refused = |why| fault::refused(name, why);
        self.meter.go_on()?;
        let path = Inner::import(name, self.meter.limits).map_err(refused)?;
        let new = self.seen.note(&path).map_err(refused)?;
        self.meter.entries(new, name)?;
        Ok(path)
    }

    /// Takes a directory of an archive of ours. It is marked when all is in it.
    pub(super) fn our_dir(&mut self, path: &Inner) -> Result<(), UnpackError> {
        self.tree.make_dir(path).map_err(|error| not_made(error, path.bytes()))
    }

    /// Takes a file of an archive of ours.
    pub(super) fn our_file(
        &mut self,
        path: &Inner,
        marks: Marks,
        content: &mut dyn Read,
    ) -> Result<(), UnpackError> {
        self.file(path, path.bytes(), marks, content)
    }

    /// Takes a link of an archive of ours, if it stays inside.
    pub(super) fn our_link(&mut self, path: &Inner, target: &[u8], marks: Marks) -> Result<(), UnpackError> {
        if path.keeps_inside(target) {
            return self.tree.make_link(path, target, marks).map_err(|error| not_made(error, path.bytes()));
        }
        if self.left_out.len() < MOST_LEFT_OUT {
            self.left_out.push(Shown::new(path.bytes()));
        }
        Ok(())
    }

    /// Marks a directory of an archive of ours, once everything is made: one that its owner could not enter then, later.
    pub(super) fn mark_dir(&mut self, path: Inner, marks: Marks) -> Result<(), UnpackError> {
        if !self.tree.is_dir(&path).map_err(|error| not_made(error, path.bytes()))? {
            return Err(fault::not_as_listed(Some(path.bytes()), "the directory is missing"));
        }
        if marks.mode & 0o700 == 0o700 {
            return self.tree.mark_dir(&path, marks).map_err(|error| not_made(error, path.bytes()));
        }
        self.closed.push((path, marks));
        let held: usize =
            self.closed.iter().map(|(path, _)| path.bytes().len() + size_of::<(Inner, Marks)>()).sum();
        if held > MOST_CLOSED {
            let what = TooMuch::Memory("too many directories that nobody may enter");
            return Err(UnpackError::TooMuch { entry: None, what });
        }
        Ok(())
    }

    /// Marks the directories that are left, the deepest first.
    pub(super) fn mark_closed(&mut self) -> Result<(), UnpackError> {
        let mut closed = std::mem::take(&mut self.closed);
        closed.sort_by_key(|(path, _)| std::cmp::Reverse(path.parts().count()));
        for (path, marks) in closed {
            self.tree.mark_dir(&path, marks).map_err(|error| not_made(error, path.bytes()))?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: &Inner,
        name: &[u8],
        marks: Marks,
        content: &mut dyn Read,
    ) -> Result<(), UnpackError> {
        let mut file = self.tree.make_file(path).map_err(|error| not_made(error, name))?;
        let write = |error| UnpackError::Write { entry: Shown::new(name), error };
        loop {
            self.meter.go_on()?;
            let n = read(content, &mut self.buffer).map_err(|error| fault::reading(error, Some(name)))?;
            if n == 0 {
                break;
            }
            self.meter.bytes(n as u64, Some(name))?;
            file.write_all(&self.buffer[..n]).map_err(write)?;
            self.bytes += n as u64;
        }
        self.files += 1;
        tree::mark(&file, marks).map_err(write)
    }
}

fn read(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn not_made(error: NotMade, entry: &[u8]) -> UnpackError {
    match error {
        NotMade::Twice => fault::refused(entry, Why::Twice),
        NotMade::BelowNoDirectory => fault::refused(entry, Why::BelowNoDirectory),
        NotMade::Io(error) => UnpackError::Write { entry: Shown::new(entry), error },
    }
}

fn too_much(at: Option<&[u8]>, what: TooMuch) -> UnpackError {
    UnpackError::TooMuch { entry: at.map(Shown::new), what }
}
