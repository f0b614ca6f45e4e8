//! Archives in a directory: `<root>/<world>/<archive>.zip`, each with what was computed while it was received beside
//! it in `<archive>.json`.
//!
//! An archive is complete when its .zip has its name; everything before that is in a `.part` that only the holder of
//! its lock touches. A complete archive is never written to again. Uploads and downloads are allowed by signed, expiring
//! links, which the front door lets in through [`DirectoryArchive::receive`] and [`DirectoryArchive::open_signed`].

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use domain::{
    lifecycle::ARCHIVE_LIMIT,
    ports::{ArchiveStore, Checked, Link, LinkError, Ticket, Unavailable},
    world::{Archive, ArchiveId, Generation, Sha256, WorldId},
};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::Digest;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{LARGEST, archive_id, refuse_too_large};

use self::place::{Begun, Place, list, unless_missing};
use crate::secret::Secret;

mod place;

/// How much is received at a time.
const CHUNK: usize = 256 << 10;

const UPLOAD: &str = "upload an archive";
const DOWNLOAD: &str = "download an archive";

/// What a signed link says for itself: its query.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Grant {
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

/// Why an archive was not received.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ReceiveError {
    /// The ticket does not hold.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is more of it than is ever received.
    #[error("the archive is larger than {0} bytes")]
    TooLarge(u64),
    /// Another archive of this id is complete.
    #[error("another archive has this id")]
    Exists,
    /// Somebody else uploads it just now.
    #[error("it is being uploaded already")]
    Busy,
    /// The sender did not come to an end; how.
    #[error("the upload broke off: {0}")]
    BrokeOff(String),
    /// The directory is out of reach.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why an archive was not opened.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The link does not hold.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no such archive.
    #[error("no such archive")]
    NotFound,
    /// The directory is out of reach.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What is known of a complete archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its id.
    pub id: ArchiveId,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of the whole file, computed while it was received.
    pub sha256: Sha256,
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
    /// Receives the archive that the ticket is for, and returns what it has when all of it is safely on the disk.
    ///
    /// What is complete stays as it is: the same content again is received and dropped, another is an error.
    pub async fn receive(
        &self,
        world: &WorldId,
        id: &ArchiveId,
        ticket: &Grant,
        now: Timestamp,
        body: impl AsyncRead + Unpin + Send,
    ) -> Result<Facts, ReceiveError> {
        self.require(UPLOAD, world, id, ticket, now)?;
        self.receive_at_most(LARGEST, world, id, body).await
    }

    /// Opens the archive that the link is for, and returns its size too.
    pub async fn open_signed(
        &self,
        world: &WorldId,
        id: &ArchiveId,
        link: &Grant,
        now: Timestamp,
    ) -> Result<(tokio::fs::File, u64), OpenError> {
        self.require(DOWNLOAD, world, id, link, now)?;
        let place = self.place(world, id);
        let opened = blocking(&self.root, move || {
            let file = File::open(&place.zip)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        });
        let (file, size) = opened.await?.ok_or(OpenError::NotFound)?;
        Ok((tokio::fs::File::from_std(file), size))
    }

    /// Returns the world's complete archives, the oldest first.
    pub async fn list(&self, world: &WorldId) -> Result<Vec<Facts>, Unavailable> {
        let directory = self.root.join(world.as_str());
        Ok(blocking(&self.root, move || list(&directory)).await?.unwrap_or_default())
    }

    async fn facts(&self, world: &WorldId, id: &ArchiveId) -> Result<Option<Facts>, Unavailable> {
        let place = self.place(world, id);
        Ok(blocking(&self.root, move || place.facts()).await?.flatten())
    }

    async fn receive_at_most(
        &self,
        most: u64,
        world: &WorldId,
        id: &ArchiveId,
        body: impl AsyncRead + Unpin + Send,
    ) -> Result<Facts, ReceiveError> {
        let (root, place) = (self.root.clone(), self.place(world, id));
        match blocking_any(&self.root, move || place.begin(&root)).await? {
            Begun::Busy => Err(ReceiveError::Busy),
            Begun::Complete(facts) => self.compare(facts, most, body).await,
            Begun::Part(part) => self.fill(self.place(world, id), part, most, body).await,
        }
    }

    async fn compare(
        &self,
        facts: Option<Facts>,
        most: u64,
        body: impl AsyncRead + Unpin,
    ) -> Result<Facts, ReceiveError> {
        let received = self.copy(body, &mut tokio::io::sink(), most).await?;
        facts.filter(|facts| (facts.size, facts.sha256) == received).ok_or(ReceiveError::Exists)
    }

    async fn fill(
        &self,
        place: Place,
        part: File,
        most: u64,
        body: impl AsyncRead + Unpin,
    ) -> Result<Facts, ReceiveError> {
        let mut part = tokio::fs::File::from_std(part);
        let received = self.copy(body, &mut part, most).await;
        let part = part.into_std().await;
        let root = self.root.clone();
        let settled = blocking_any(&self.root, move || {
            let complete = |(size, sha256)| place.complete(&part, size, sha256);
            let kept =
                received.and_then(|facts| complete(facts).map_err(|error| unavailable(&root, &error).into()));
            if kept.is_err() {
                // While its lock is held. What cannot be removed now, the next upload clears away.
                let _ = fs::remove_file(&place.part);
            }
            Ok(kept)
        });
        settled.await?
    }

    /// Copies all of `body` and returns its size and digest.
    async fn copy(
        &self,
        mut body: impl AsyncRead + Unpin,
        to: &mut (impl AsyncWrite + Unpin),
        most: u64,
    ) -> Result<(u64, Sha256), ReceiveError> {
        let lost = |error| ReceiveError::Unavailable(unavailable(&self.root, &error));
        let (mut size, mut digest, mut chunk) = (0, sha2::Sha256::new(), vec![0; CHUNK]);
        loop {
            let read =
                body.read(&mut chunk).await.map_err(|error| ReceiveError::BrokeOff(error.to_string()))?;
            if read == 0 {
                to.flush().await.map_err(lost)?;
                return Ok((size, Sha256(digest.finalize().into())));
            }
            size += read as u64;
            if size > most {
                return Err(ReceiveError::TooLarge(most));
            }
            digest.update(&chunk[..read]);
            to.write_all(&chunk[..read]).await.map_err(lost)?;
        }
    }

    fn place(&self, world: &WorldId, id: &ArchiveId) -> Place {
        Place::new(&self.root.join(world.as_str()), id)
    }

    fn query(&self, act: &str, world: &WorldId, id: &ArchiveId, expires: i64) -> String {
        let signature = self.secret.sign(act, &[world.as_str(), id.as_str(), &expires.to_string()]);
        format!("expires={expires}&signature={signature}")
    }

    fn require(
        &self,
        act: &str,
        world: &WorldId,
        id: &ArchiveId,
        grant: &Grant,
        now: Timestamp,
    ) -> Result<(), Denied> {
        let parts = [world.as_str(), id.as_str(), &grant.expires.to_string()];
        if !self.secret.verify(act, &parts, &grant.signature) {
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
        size: u64,
        now: Timestamp,
    ) -> Result<Ticket, Unavailable> {
        refuse_too_large(size)?;
        let id = archive_id(launch, now)?;
        let query = self.query(UPLOAD, world, &id, (now + ARCHIVE_LIMIT).as_millisecond());
        let url = format!("{}/v1/uploads/{world}/{id}?{query}", self.upload_url);
        Ok(Ticket { id, part_size: size, urls: vec![url] })
    }

    async fn check(&self, world: &WorldId, claim: &Archive) -> Result<Checked, Unavailable> {
        let facts = self.facts(world, &claim.id).await?;
        let whole = facts.is_some_and(|facts| (facts.size, facts.sha256) == (claim.size, claim.sha256));
        Ok(if whole { Checked::Whole } else { Checked::NotWhole })
    }

    async fn link(&self, world: &WorldId, id: &ArchiveId, expires: Timestamp) -> Result<Link, LinkError> {
        self.facts(world, id).await?.ok_or(LinkError::NotFound)?;
        let query = self.query(DOWNLOAD, world, id, expires.as_millisecond());
        Ok(Link { url: format!("{}/archives/{world}/{id}.zip?{query}", self.download_url), expires })
    }
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
mod tests {
    use super::*;
    use crate::archive::contract::{self, Upload, Web, at, world};
    use expect_test::{Expect, expect};
    use std::sync::Arc;
    use tokio::io::duplex;

    #[tokio::test]
    async fn a_directory_keeps_the_contract() {
        let (_dir, archives) = bench();
        contract::all(&archives, &archives).await;
        contract::an_archive_belongs_to_its_world(&archives, &archives).await;
        contract::signed(&archives, &archives).await;
    }

    /// Does what the front door does with a request.
    #[async_trait]
    impl Web for DirectoryArchive {
        async fn put(&self, url: &str, part: &[u8]) -> bool {
            let Some(path) = url.strip_prefix("http://127.0.0.1:7878/v1/uploads/") else { return false };
            let (world, id) = path.split_once('?').unwrap().0.split_once('/').unwrap();
            let (world, id) = (WorldId::parse(world).unwrap(), ArchiveId::parse(id).unwrap());
            self.receive(&world, &id, &grant(url), Timestamp::now(), part).await.is_ok()
        }

        async fn get(&self, url: &str) -> Option<Vec<u8>> {
            let path = url.strip_prefix("https://worlds.example.org/archives/")?;
            let (world, id) = path.split_once(".zip?")?.0.split_once('/')?;
            let (world, id) = (WorldId::parse(world).unwrap(), ArchiveId::parse(id).unwrap());
            let (mut file, _) = self.open_signed(&world, &id, &grant(url), Timestamp::now()).await.ok()?;
            let mut content = Vec::new();
            file.read_to_end(&mut content).await.unwrap();
            Some(content)
        }
    }

    #[async_trait]
    impl Upload for DirectoryArchive {
        async fn put(&self, world: &WorldId, ticket: &Ticket, content: &'static [u8], _claim: &Archive) {
            self.receive(world, &ticket.id, &grant(&ticket.urls[0]), at(1), content).await.unwrap();
        }
    }

    #[tokio::test]
    async fn tickets_and_links_are_addresses_of_the_front_door() {
        let (_dir, archives) = bench();
        let ticket = archives.ticket(&world("w"), Generation(12), 3, at(7)).await.unwrap();
        expect!["http://127.0.0.1:7878/v1/uploads/w/20261121-093000-007-g12?expires=1795264200007&signature=dccbc98c2900f6557a4bfa45f7464d95f4a60c16ffe673047092e3090aafb211"].assert_eq(&ticket.urls[0]);
        send(&archives, b"zip").await.unwrap();
        let link = archives.link(&world("w"), &id(), at(60_000)).await.unwrap().url;
        expect!["https://worlds.example.org/archives/w/one.zip?expires=1795253460000&signature=b9c5a8302fd45ce5a063f4c88e013f4c9d3ed21f842f49bcda37b22a4429f874"].assert_eq(&link);
    }

    #[tokio::test]
    async fn what_is_received_lies_on_the_disk_as_a_zip_with_its_facts() {
        let (dir, archives) = bench();
        let facts = send(&archives, b"zip").await.unwrap();
        assert_eq!(fs::read(dir.path().join("archives/w/one.zip")).unwrap(), b"zip");
        expect![[
            r#"{"v":1,"size":3,"sha256":"4a70fe9aa6436e02c2dea340fbd1e352e4ef2d8ce6ca52ad25d4b95471fc8bf2"}"#
        ]]
        .assert_eq(&fs::read_to_string(dir.path().join("archives/w/one.json")).unwrap());
        assert_eq!(files(&dir), ["one.json", "one.zip"]);
        assert_eq!(archives.list(&world("w")).await, Ok(vec![facts]));
        assert_eq!(archives.list(&world("other")).await, Ok(vec![]));
    }

    #[tokio::test]
    async fn the_same_again_is_done_and_another_is_refused() {
        let (dir, archives) = bench();
        let facts = send(&archives, b"zip").await.unwrap();
        assert_eq!(send(&archives, b"zip").await, Ok(facts));
        assert_eq!(send(&archives, b"zap").await, Err(ReceiveError::Exists));
        assert_eq!(fs::read(dir.path().join("archives/w/one.zip")).unwrap(), b"zip");
        assert_eq!(files(&dir), ["one.json", "one.zip"]);
    }

    #[tokio::test]
    async fn an_upload_that_broke_off_leaves_nothing_and_is_made_again() {
        let (dir, archives) = bench();
        let broken = (&b"half"[..]).chain(Broken);
        let error = archives.receive_at_most(LARGEST, &world("w"), &id(), broken).await.unwrap_err();
        expect!["the upload broke off: connection reset"].assert_eq(&error.to_string());
        assert_eq!(files(&dir), [""; 0]);
        send(&archives, b"zip").await.unwrap();
        assert_eq!(files(&dir), ["one.json", "one.zip"]);
    }

    #[tokio::test]
    async fn what_a_crash_left_behind_is_overwritten_or_cleared() {
        let (dir, archives) = bench();
        let directory = dir.path().join("archives/w");
        fs::create_dir_all(&directory).unwrap();
        for name in ["one.part", "older.part", "one.json"] {
            fs::write(directory.join(name), "left behind by a crash").unwrap();
        }
        assert_eq!(archives.list(&world("w")).await, Ok(vec![]));
        send(&archives, b"zip").await.unwrap();
        assert_eq!(files(&dir), ["one.json", "one.zip"]);
        assert_eq!(fs::read(directory.join("one.zip")).unwrap(), b"zip");
    }

    #[tokio::test]
    async fn what_is_not_all_there_any_more_is_not_whole() {
        let (dir, archives) = bench();
        let Facts { id, size, sha256 } = send(&archives, b"zip").await.unwrap();
        let claim = Archive { id, generation: Generation(1), size, sha256 };
        let checked = async || archives.check(&world("w"), &claim).await.unwrap();
        assert_eq!(checked().await, Checked::Whole);
        fs::write(dir.path().join("archives/w/one.zip"), "zi").unwrap();
        assert_eq!(checked().await, Checked::NotWhole);
        fs::write(dir.path().join("archives/w/one.zip"), "zip").unwrap();
        fs::write(dir.path().join("archives/w/one.json"), "{").unwrap();
        assert_eq!(checked().await, Checked::NotWhole);
        assert_eq!(send(&archives, b"zip").await, Err(ReceiveError::Exists));
    }

    #[tokio::test]
    async fn more_than_the_bound_is_refused_and_removed() {
        let (dir, archives) = bench();
        let receive =
            async |content: &'static [u8]| archives.receive_at_most(3, &world("w"), &id(), content).await;
        assert_eq!(receive(b"zipp").await, Err(ReceiveError::TooLarge(3)));
        assert_eq!(files(&dir), [""; 0]);
        receive(b"zip").await.unwrap();
    }

    #[tokio::test]
    async fn of_two_uploads_at_once_the_second_is_told_to_wait() {
        let (dir, archives) = bench();
        let (mut sender, body) = duplex(64);
        let first = tokio::spawn({
            let archives = archives.clone();
            async move { archives.receive_at_most(LARGEST, &world("w"), &id(), body).await }
        });
        sender.write_all(&[7; 65]).await.unwrap(); // One byte more than fits: the first has begun to read.
        assert_eq!(send(&archives, b"zip").await, Err(ReceiveError::Busy));
        let other = ArchiveId::parse("two").unwrap();
        archives.receive_at_most(LARGEST, &world("w"), &other, &b"zip"[..]).await.unwrap();
        drop(sender);
        assert_eq!(first.await.unwrap().unwrap().size, 65);
        assert_eq!(files(&dir), ["one.json", "one.zip", "two.json", "two.zip"]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_uploads_of_one_id_exactly_one_is_kept() {
        let (dir, archives) = bench();
        let archives = Arc::new(archives);
        let sent: Vec<_> = (0..16_u8)
            .map(|n| {
                let archives = archives.clone();
                tokio::spawn(async move {
                    let content = vec![n; 300_000];
                    archives.receive_at_most(LARGEST, &world("w"), &id(), &content[..]).await.is_ok()
                })
            })
            .collect();
        let mut kept = 0;
        for upload in sent {
            kept += u32::from(upload.await.unwrap());
        }
        assert_eq!((kept, files(&dir)), (1, vec!["one.json".into(), "one.zip".into()]));
        let stored = fs::read(dir.path().join("archives/w/one.zip")).unwrap();
        let facts = &archives.list(&world("w")).await.unwrap()[0];
        assert_eq!(facts.sha256, Sha256(sha2::Sha256::digest(stored).into()));
    }

    #[tokio::test]
    async fn a_link_downloads_its_archive_until_it_expires() {
        let (_dir, archives) = bench();
        send(&archives, b"zip").await.unwrap();
        let link = grant(&archives.link(&world("w"), &id(), at(60_000)).await.unwrap().url);
        let (mut file, size) = archives.open_signed(&world("w"), &id(), &link, at(59_999)).await.unwrap();
        let mut content = String::new();
        file.read_to_string(&mut content).await.unwrap();
        assert_eq!((content.as_str(), size), ("zip", 3));
        let error = archives.open_signed(&world("w"), &id(), &link, at(60_000)).await.unwrap_err();
        assert_eq!(error, OpenError::Denied(Denied::Expired));
    }

    #[tokio::test]
    async fn a_grant_is_for_one_act_one_world_one_archive_and_one_time() {
        let (dir, archives) = bench();
        let ticket = archives.ticket(&world("w"), Generation(1), 3, at(0)).await.unwrap();
        let other = archives.ticket(&world("w"), Generation(1), 3, at(1)).await.unwrap();
        let good = grant(&ticket.urls[0]);
        let later = Grant { expires: good.expires + 1, ..good.clone() };
        let refused = async |name, id, grant: &Grant| {
            let received = archives.receive(&world(name), id, grant, at(1), &b"zip"[..]).await;
            assert_eq!(received, Err(ReceiveError::Denied(Denied::BadSignature)));
        };
        refused("other", &ticket.id, &good).await;
        refused("w", &other.id, &good).await;
        refused("w", &ticket.id, &later).await;
        let download = archives.open_signed(&world("w"), &ticket.id, &good, at(1)).await.unwrap_err();
        assert_eq!(download, OpenError::Denied(Denied::BadSignature));
        let late = at(0) + ARCHIVE_LIMIT;
        let expired = archives.receive(&world("w"), &ticket.id, &good, late, &b"zip"[..]).await;
        assert_eq!(expired, Err(ReceiveError::Denied(Denied::Expired)));
        assert!(!dir.path().join("archives").exists(), "nothing was written");
        archives.receive(&world("w"), &ticket.id, &good, at(1), &b"zip"[..]).await.unwrap();
    }

    #[tokio::test]
    async fn a_signed_link_to_what_is_gone_finds_nothing() {
        let (dir, archives) = bench();
        send(&archives, b"zip").await.unwrap();
        let link = grant(&archives.link(&world("w"), &id(), at(60_000)).await.unwrap().url);
        fs::remove_dir_all(dir.path().join("archives")).unwrap();
        let error = archives.open_signed(&world("w"), &id(), &link, at(0)).await.unwrap_err();
        assert_eq!(error, OpenError::NotFound);
    }

    #[tokio::test]
    async fn a_full_disk_says_so_and_leaves_nothing() {
        let (dir, archives) = bench();
        fs::create_dir_all(dir.path().join("archives/w")).unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("archives/w/one.part")).unwrap();
        check(
            &dir,
            send(&archives, b"zip").await,
            expect!["the disk of the archives `/data/archives` is full: make room on it and try again"],
        );
        assert_eq!(files(&dir), [""; 0]);
    }

    #[tokio::test]
    async fn a_root_that_is_no_directory_says_so() {
        let (dir, archives) = bench();
        fs::write(dir.path().join("archives"), "").unwrap();
        check(
            &dir,
            send(&archives, b"zip").await,
            expect!["the archives `/data/archives` are out of reach: Not a directory (os error 20)"],
        );
        let read_only = unavailable(&archives.root, &io::ErrorKind::ReadOnlyFilesystem.into());
        check(
            &dir,
            Err(read_only.into()),
            expect![
                "the archives `/data/archives` cannot be written or read: give this user access to the directory (read-only filesystem or storage medium)"
            ],
        );
    }

    fn check(dir: &tempfile::TempDir, received: Result<Facts, ReceiveError>, expected: Expect) {
        let error = received.unwrap_err().to_string();
        expected.assert_eq(&error.replace(&dir.path().display().to_string(), "/data"));
    }

    fn bench() -> (tempfile::TempDir, DirectoryArchive) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("archives");
        let (upload_url, download_url) =
            ("http://127.0.0.1:7878".into(), "https://worlds.example.org".into());
        (dir, DirectoryArchive { root, upload_url, download_url, secret: Secret::new([7; 32]) })
    }

    fn id() -> ArchiveId {
        ArchiveId::parse("one").unwrap()
    }

    async fn send(archives: &DirectoryArchive, content: &'static [u8]) -> Result<Facts, ReceiveError> {
        archives.receive_at_most(LARGEST, &world("w"), &id(), content).await
    }

    fn files(dir: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(dir.path().join("archives/w")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Reads the query of a ticket or link.
    fn grant(url: &str) -> Grant {
        let query = url.split_once("?expires=").unwrap().1;
        let (expires, signature) = query.split_once("&signature=").unwrap();
        Grant { expires: expires.parse().unwrap(), signature: signature.into() }
    }

    /// A connection that is lost.
    struct Broken;

    impl AsyncRead for Broken {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }
}
