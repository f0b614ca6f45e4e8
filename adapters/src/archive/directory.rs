//! Archives in a directory: `<root>/<world>/<archive>.zip`, each with its size and digest, as computed here, beside it in
//! `<archive>.json`; and what was sent to be imported in `<root>/<world>/<import>.import`.
//!
//! An archive is complete when its .zip has its name; everything before that is in a `.part`, into which its parts are
//! written in any order, and which is digested when the archive is checked. A complete archive is never written to again.
//! What was never completed or imported is cleared away after a week, when another upload of its world begins.
//!
//! Uploads and downloads are allowed by signed, expiring links, which the front door lets in through
//! [`DirectoryArchive::receive_part`], [`DirectoryArchive::open_signed`], [`DirectoryArchive::receive_import`] and
//! [`DirectoryArchive::open_import`].

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    lifecycle::ARCHIVE_LIMIT,
    ports::{ArchiveStore, Checked, LARGEST_IMPORT, Link, LinkError, Part, Ticket, Unavailable, Upload},
    world::{Archive, ArchiveId, Generation, ImportId, WorldId},
};
use jiff::Timestamp;
use serde::Deserialize;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{archive_id, refuse_too_large, require_own, start_of};

use self::place::{Facts, Inbox, Place, Written, unless_missing};
use crate::secret::Secret;

mod place;

/// How much is received at a time.
const CHUNK: usize = 256 << 10;

/// How long a sender may stand still before it counts as gone.
const STALL_LIMIT: Duration = Duration::from_secs(60);

const UPLOAD: &str = "upload a part of an archive";
const DOWNLOAD: &str = "download an archive";
const SEND: &str = "send a file to import";
const FETCH: &str = "fetch a file to import";

/// What the key of every upload is: the id of the archive tells all.
const KEY: &str = "directory";

/// What a signed link says for itself: its query.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Grant {
    /// Until when it holds, in milliseconds since the epoch.
    pub expires: i64,
    /// What shows that it is one of ours.
    pub signature: String,
}

/// What the link of one part of an archive says for itself: its query.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PartGrant {
    /// How many bytes the part has.
    pub length: u64,
    /// Until when it holds, in milliseconds since the epoch.
    pub expires: i64,
    /// What shows that it is one of ours.
    pub signature: String,
}

/// Why a link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Denied {
    /// It is not one of ours, or not for this.
    #[error("the link is not valid")]
    BadSignature,
    /// It was one of ours.
    #[error("the link has expired")]
    Expired,
}

/// Why a part, or a file to import, was not received.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ReceiveError {
    /// The link does not hold.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The part is longer or shorter than the ticket says; how long that is.
    #[error("the part does not have {0} bytes")]
    WrongLength(u64),
    /// There is more of the file than is ever received.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// The archive is complete.
    #[error("the archive is complete")]
    Complete,
    /// The archive is being checked, or somebody else sends the file to import, just now.
    #[error("it is in use just now")]
    Busy,
    /// The sender did not come to an end; how.
    #[error("the upload broke off: {0}")]
    BrokeOff(String),
    /// The directory is out of reach.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why an archive, or a file to import, was not opened.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The link does not hold.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no such archive or file.
    #[error("there is no such file")]
    NotFound,
    /// The directory is out of reach.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Archives in a directory.
#[derive(Debug, Clone)]
pub struct DirectoryArchive {
    /// Where they are.
    pub root: PathBuf,
    /// How watchdogs reach the front door: scheme, host and port, without a slash at the end.
    pub upload_url: String,
    /// How people reach it, likewise.
    pub download_url: String,
    /// What links are signed with.
    pub secret: Secret,
}

impl DirectoryArchive {
    /// Receives the part of the archive that the ticket is for. A part may come again for as long as the archive is not
    /// complete; of one that broke off, or was longer, something may be written that [`ArchiveStore::check`] finds.
    pub async fn receive_part(
        &self,
        world: &WorldId,
        id: &ArchiveId,
        number: u32,
        ticket: &PartGrant,
        now: Timestamp,
        mut body: impl AsyncRead + Unpin + Send,
    ) -> Result<(), ReceiveError> {
        let PartGrant { length, expires, signature } = ticket.clone();
        let of = [world.as_str(), id.as_str(), &number.to_string(), &length.to_string()];
        self.require(UPLOAD, &of, &Grant { expires, signature }, now)?;
        let (mut received, mut chunk) = (0, vec![0; CHUNK]);
        loop {
            let read = fill(&mut body, &mut chunk).await?;
            if received + read as u64 > length {
                return Err(ReceiveError::WrongLength(length));
            }
            if read == 0 {
                break;
            }
            chunk = self.write(self.place(world, id), start_of(number) + received, chunk, read).await?;
            received += read as u64;
        }
        if received == length { Ok(()) } else { Err(ReceiveError::WrongLength(length)) }
    }

    /// Writes the first `read` bytes of the chunk, and gives it back.
    async fn write(
        &self,
        place: Place,
        from: u64,
        chunk: Vec<u8>,
        read: usize,
    ) -> Result<Vec<u8>, ReceiveError> {
        let root = self.root.clone();
        let written = blocking_any(&self.root, move || {
            let written = place.write(&root, from, &chunk[..read])?;
            Ok((written, chunk))
        });
        match written.await? {
            (Written::Yes, chunk) => Ok(chunk),
            (Written::Busy, _) => Err(ReceiveError::Busy),
            (Written::Complete, _) => Err(ReceiveError::Complete),
        }
    }

    /// Opens the archive that the link is for, and returns its size too.
    pub async fn open_signed(
        &self,
        world: &WorldId,
        id: &ArchiveId,
        link: &Grant,
        now: Timestamp,
    ) -> Result<(tokio::fs::File, u64), OpenError> {
        self.require(DOWNLOAD, &[world.as_str(), id.as_str()], link, now)?;
        self.open(self.place(world, id).zip).await
    }

    /// Receives the file to import that the link is for, of at most [`LARGEST_IMPORT`] bytes, in the place of one that was
    /// sent before, and returns its size when all of it is safely on the disk.
    pub async fn receive_import(
        &self,
        world: &WorldId,
        id: &ImportId,
        link: &Grant,
        now: Timestamp,
        body: impl AsyncRead + Unpin + Send,
    ) -> Result<u64, ReceiveError> {
        self.require(SEND, &[world.as_str(), id.as_str()], link, now)?;
        self.receive_at_most(LARGEST_IMPORT, self.inbox_of(world, id), body).await
    }

    async fn receive_at_most(
        &self,
        most: u64,
        inbox: Inbox,
        body: impl AsyncRead + Unpin,
    ) -> Result<u64, ReceiveError> {
        let (root, begun) = (self.root.clone(), inbox.clone());
        let receiving = blocking_any(&self.root, move || begun.begin(&root)).await?;
        let mut file = tokio::fs::File::from_std(receiving.ok_or(ReceiveError::Busy)?);
        let received = self.copy(body, &mut file, most).await;
        let (file, root) = (file.into_std().await, self.root.clone());
        let settled = blocking_any(&self.root, move || {
            let complete = |size| inbox.complete(&file).map(|()| size);
            let kept =
                received.and_then(|size| complete(size).map_err(|error| unavailable(&root, &error).into()));
            if kept.is_err() {
                // While its lock is held. What cannot be removed now is overwritten, or cleared away in the end.
                let _ = fs::remove_file(&inbox.receiving);
            }
            Ok(kept)
        });
        settled.await?
    }

    /// Copies all of `body` and returns its size.
    async fn copy(
        &self,
        mut body: impl AsyncRead + Unpin,
        to: &mut tokio::fs::File,
        most: u64,
    ) -> Result<u64, ReceiveError> {
        let lost = |error| ReceiveError::Unavailable(unavailable(&self.root, &error));
        let (mut size, mut chunk) = (0, vec![0; CHUNK]);
        loop {
            let read = fill(&mut body, &mut chunk).await?;
            if read == 0 {
                to.flush().await.map_err(lost)?;
                return Ok(size);
            }
            size += read as u64;
            if size > most {
                return Err(ReceiveError::TooLarge(most));
            }
            to.write_all(&chunk[..read]).await.map_err(lost)?;
        }
    }

    /// Opens the file to import that the link is for, and returns its size too.
    pub async fn open_import(
        &self,
        world: &WorldId,
        id: &ImportId,
        link: &Grant,
        now: Timestamp,
    ) -> Result<(tokio::fs::File, u64), OpenError> {
        self.require(FETCH, &[world.as_str(), id.as_str()], link, now)?;
        self.open(self.inbox_of(world, id).file).await
    }

    async fn open(&self, path: PathBuf) -> Result<(tokio::fs::File, u64), OpenError> {
        let opened = blocking(&self.root, move || {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        });
        let (file, size) = opened.await?.ok_or(OpenError::NotFound)?;
        Ok((tokio::fs::File::from_std(file), size))
    }

    fn place(&self, world: &WorldId, id: &ArchiveId) -> Place {
        Place::new(&self.root.join(world.as_str()), id)
    }

    fn inbox_of(&self, world: &WorldId, id: &ImportId) -> Inbox {
        Inbox::new(&self.root.join(world.as_str()), id)
    }

    /// Returns the query that lets somebody do `act` with what `of` names.
    fn query(&self, act: &str, of: &[&str], expires: Timestamp) -> String {
        let expires = expires.as_millisecond().to_string();
        let signature = self.secret.sign(act, &[of, &[&expires]].concat());
        format!("expires={expires}&signature={signature}")
    }

    fn require(&self, act: &str, of: &[&str], grant: &Grant, now: Timestamp) -> Result<(), Denied> {
        let expires = grant.expires.to_string();
        if !self.secret.verify(act, &[of, &[&expires]].concat(), &grant.signature) {
            Err(Denied::BadSignature)
        } else if grant.expires <= now.as_millisecond() {
            Err(Denied::Expired)
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl ArchiveStore for DirectoryArchive {
    async fn ticket(
        &self,
        world: &WorldId,
        launch: Generation,
        part: &Part,
        now: Timestamp,
    ) -> Result<Ticket, Unavailable> {
        refuse_too_large(part)?;
        let upload = match &part.of {
            Some(upload) => upload.clone(),
            None => Upload { id: archive_id(launch, now)?, key: KEY.into() },
        };
        require_own(&upload, launch)?;
        let (id, number, length) = (&upload.id, part.number, part.length);
        let of = [world.as_str(), id.as_str(), &number.to_string(), &length.to_string()];
        let query = self.query(UPLOAD, &of, now + ARCHIVE_LIMIT);
        let url = format!("{}/v1/uploads/{world}/{id}/{number}?length={length}&{query}", self.upload_url);
        Ok(Ticket { upload, url })
    }

    async fn check(&self, world: &WorldId, claim: &Archive) -> Result<Checked, Unavailable> {
        let (place, claimed) =
            (self.place(world, &claim.id), Facts { size: claim.size, sha256: claim.sha256 });
        let whole = blocking_any(&self.root, move || place.settle(claimed)).await?;
        Ok(if whole { Checked::Whole } else { Checked::NotWhole })
    }

    async fn link(&self, world: &WorldId, id: &ArchiveId, expires: Timestamp) -> Result<Link, LinkError> {
        let place = self.place(world, id);
        blocking(&self.root, move || place.facts()).await?.flatten().ok_or(LinkError::NotFound)?;
        let query = self.query(DOWNLOAD, &[world.as_str(), id.as_str()], expires);
        Ok(Link { url: format!("{}/archives/{world}/{id}.zip?{query}", self.download_url), expires })
    }

    async fn remove(&self, world: &WorldId, id: &ArchiveId) -> Result<(), Unavailable> {
        let place = self.place(world, id);
        blocking_any(&self.root, move || place.remove()).await
    }

    /// The link is for people: it leads to where they reach the front door.
    async fn inbox(&self, world: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, Unavailable> {
        let query = self.query(SEND, &[world.as_str(), id.as_str()], expires);
        Ok(Link { url: format!("{}/v1/imports/{world}/{id}?{query}", self.download_url), expires })
    }

    /// The link is for watchdogs: it leads to where they reach the front door.
    async fn received(&self, world: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, LinkError> {
        let file = self.inbox_of(world, id).file;
        blocking(&self.root, move || fs::metadata(file)).await?.ok_or(LinkError::NotFound)?;
        let query = self.query(FETCH, &[world.as_str(), id.as_str()], expires);
        Ok(Link { url: format!("{}/v1/imports/{world}/{id}?{query}", self.upload_url), expires })
    }

    async fn discard(&self, world: &WorldId, id: &ImportId) -> Result<(), Unavailable> {
        let inbox = self.inbox_of(world, id);
        blocking_any(&self.root, move || inbox.discard()).await
    }
}

/// Reads until the chunk is full or the body is over, and returns how much came.
async fn fill(body: &mut (impl AsyncRead + Unpin), chunk: &mut [u8]) -> Result<usize, ReceiveError> {
    let broke_off = |error: &dyn std::fmt::Display| ReceiveError::BrokeOff(error.to_string());
    let mut filled = 0;
    while filled < chunk.len() {
        let read = tokio::time::timeout(STALL_LIMIT, body.read(&mut chunk[filled..])).await;
        let read = read.map_err(|_| broke_off(&format!("nothing came for {} s", STALL_LIMIT.as_secs())))?;
        let read = read.map_err(|error| broke_off(&error))?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    Ok(filled)
}

/// Performs `act` on a thread that may wait for the disk; what is not there is `None`.
async fn blocking<T: Send + 'static>(
    root: &Path,
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<Option<T>, Unavailable> {
    blocking_any(root, || unless_missing(act())).await
}

/// Performs `act` on a thread that may wait for the disk.
async fn blocking_any<T: Send + 'static>(
    root: &Path,
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Unavailable> {
    let done = tokio::task::spawn_blocking(act).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| unavailable(root, &error))
}

/// Returns what is wrong and what to do about it.
fn unavailable(root: &Path, error: &io::Error) -> Unavailable {
    let shown = root.display();
    let kind = error.kind();
    Unavailable(if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        format!("the disk of the archives `{shown}` is full: make room on it and try again")
    } else if matches!(kind, io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied) {
        format!(
            "the archives `{shown}` cannot be written or read: give this user access to the directory ({error})"
        )
    } else {
        format!("the archives `{shown}` are out of reach: {error}")
    })
}

#[cfg(test)]
mod tests;
