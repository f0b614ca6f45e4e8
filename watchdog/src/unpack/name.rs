//! The names of entries: what is a path inside, and which two names some system takes for one.

use std::{collections::HashMap, ffi::OsStr, os::unix::ffi::OsStrExt};

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use super::{Limits, fault::Why};

/// The longest single name that file systems take, in bytes.
const LONGEST_NAME: usize = 255;

/// A path below the directory, one or more plain names with `/` between them; without any for the directory itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inner(Vec<u8>);

impl Inner {
    /// Reads a path of an archive of ours, where names may be of any bytes that the kernel allows.
    pub(super) fn ours(raw: &[u8], limits: &Limits) -> Result<Self, Why> {
        let raw = raw.strip_suffix(b"/").unwrap_or(raw);
        if raw.is_empty() {
            return Err(Why::NoName);
        }
        if raw.contains(&0) {
            return Err(Why::Nul);
        }
        if raw.starts_with(b"/") {
            return Err(Why::Absolute);
        }
        if raw.len() > limits.path {
            return Err(Why::TooLong { most: limits.path });
        }
        let parts: Vec<_> = raw.split(|b| *b == b'/').filter(|part| !matches!(part, [] | [b'.'])).collect();
        if parts.contains(&&b".."[..]) {
            return Err(Why::Upwards);
        }
        if parts.iter().any(|part| part.len() > LONGEST_NAME) {
            return Err(Why::TooLong { most: LONGEST_NAME });
        }
        if parts.len() > limits.depth {
            return Err(Why::TooDeep { most: limits.depth });
        }
        Ok(Self(parts.join(&b'/')))
    }

    /// Reads a path of an upload, where what means something else to another system is refused too.
    pub(super) fn import(raw: &[u8], limits: &Limits) -> Result<Self, Why> {
        if raw.contains(&b'\\') {
            return Err(Why::Backslash);
        }
        if let [letter, b':', ..] = raw
            && letter.is_ascii_alphabetic()
        {
            return Err(Why::Absolute);
        }
        Self::ours(raw, limits)
    }

    /// Returns the path's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Tells whether it is the directory itself.
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns its names.
    pub(super) fn parts(&self) -> impl Iterator<Item = &OsStr> {
        self.0.split(|b| *b == b'/').filter(|part| !part.is_empty()).map(OsStr::from_bytes)
    }

    /// Tells whether a link at this path to `target` leads to something inside: then every link of the tree does,
    /// whichever way they are chained, for `..` stands only where no link comes before it.
    pub(super) fn keeps_inside(&self, target: &[u8]) -> bool {
        if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
            return false;
        }
        let mut parts = target.split(|b| *b == b'/').filter(|part| !matches!(part, [] | [b'.'])).peekable();
        let mut up = 0;
        while parts.next_if(|part| *part == b"..").is_some() {
            up += 1;
        }
        up < self.parts().count() && parts.all(|part| part != b"..")
    }
}

/// The names that were seen, as a system sees them that does not tell `A` from `a`, nor `é` from `e` with an accent.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<u128, u128>);

impl Seen {
    /// Notes a path and all that it leads through. Returns how many of these are new.
    pub(super) fn note(&mut self, path: &Inner) -> Result<u64, Why> {
        let (mut exact, mut folded) = (Sha256::new(), Sha256::new());
        let mut new = 0;
        for part in path.parts() {
            for (hash, name) in [(&mut exact, part.as_bytes()), (&mut folded, &fold(part.as_bytes()))] {
                hash.update(name);
                hash.update(b"/");
            }
            let (exact, folded) = (short(&exact), short(&folded));
            match self.0.insert(folded, exact) {
                None => new += 1,
                Some(before) if before == exact => {}
                Some(_) => return Err(Why::SameButForCase),
            }
        }
        Ok(new)
    }
}

/// Half a SHA-256: still nobody can find two names with the same.
fn short(hash: &Sha256) -> u128 {
    hash.clone().finalize().iter().take(16).fold(0, |n, byte| n << 8 | u128::from(*byte))
}

/// Returns a name without what case-blind or normalising systems do not see.
fn fold(name: &[u8]) -> Vec<u8> {
    let Ok(text) = str::from_utf8(name) else { return name.to_ascii_lowercase() };
    if text.is_ascii() {
        return name.to_ascii_lowercase();
    }
    // Capitals first: several small letters have the same one.
    let folded = text.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    folded.nfd().collect::<String>().into_bytes()
}
