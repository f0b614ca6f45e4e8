//! Against a directory, called as the front door calls.

use std::{sync::Arc, time::SystemTime};

use expect_test::{Expect, expect};
use tokio::io::duplex;

use super::*;
use crate::archive::contract::{self, Web, at, claim, large, only, part_size, world};

#[tokio::test]
async fn a_directory_keeps_the_contract() {
    let (_dir, archives) = bench();
    contract::all(&archives, &archives).await;
    contract::signed(&archives, &archives).await;
}

/// Does what the front door does with a request.
#[async_trait]
impl Web for DirectoryArchive {
    async fn put(&self, url: &str, part: &[u8]) -> bool {
        if let Some(path) = url.strip_prefix("http://127.0.0.1:7878/v1/uploads/") {
            let (path, query) = path.split_once('?').unwrap();
            let [world, id, number] = path.split('/').collect::<Vec<_>>()[..] else { return false };
            let (world, id) = (WorldId::parse(world).unwrap(), ArchiveId::parse(id).unwrap());
            let (number, now) = (number.parse().unwrap(), Timestamp::now());
            return self.receive_part(&world, &id, number, &part_grant(query), now, part).await.is_ok();
        }
        let Some((world, id, link)) = imported(url, "https://worlds.example.org") else { return false };
        self.receive_import(&world, &id, &link, Timestamp::now(), part).await.is_ok()
    }

    async fn get(&self, url: &str) -> Option<Vec<u8>> {
        let opened = if let Some((world, id, link)) = imported(url, "http://127.0.0.1:7878") {
            self.open_import(&world, &id, &link, Timestamp::now()).await
        } else {
            let path = url.strip_prefix("https://worlds.example.org/archives/")?;
            let (world, id) = path.split_once(".zip?")?.0.split_once('/')?;
            let (world, id) = (WorldId::parse(world).unwrap(), ArchiveId::parse(id).unwrap());
            self.open_signed(&world, &id, &grant(url), Timestamp::now()).await
        };
        let (mut file, size) = opened.ok()?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).await.unwrap();
        assert_eq!(content.len() as u64, size);
        Some(content)
    }
}

#[tokio::test]
async fn tickets_and_links_are_addresses_of_the_front_door() {
    let (_dir, archives) = bench();
    let ticket = archives.ticket(&world("w"), Generation(12), &only(3), at(7)).await.unwrap();
    let part = Part { of: Some(ticket.upload.clone()), number: 2, ..only(3) };
    let second = archives.ticket(&world("w"), Generation(12), &part, at(8)).await.unwrap();
    archived(&archives, b"zip").await;
    let link = archives.link(&world("w"), &id(), at(60_000)).await.unwrap().url;
    let inbox = archives.inbox(&world("w"), &contract::import("save"), at(60_000)).await.unwrap().url;
    archives
        .receive_import(&world("w"), &contract::import("save"), &grant(&inbox), at(0), &b"zip"[..])
        .await
        .unwrap();
    let received = archives.received(&world("w"), &contract::import("save"), at(60_000)).await.unwrap().url;
    let said = [ticket.url, second.url, link, inbox, received].map(|url| shown(&url)).join("\n");
    expect![[r#"
        http://127.0.0.1:7878/v1/uploads/w/20261121-093000-007-g12/1?length=3&expires=1795264200007&signature=f84fcec2…
        http://127.0.0.1:7878/v1/uploads/w/20261121-093000-007-g12/2?length=3&expires=1795264200008&signature=971d0e3b…
        https://worlds.example.org/archives/w/one-g1.zip?expires=1795253460000&signature=f41f2972…
        https://worlds.example.org/v1/imports/w/save?expires=1795253460000&signature=7777abdb…
        http://127.0.0.1:7878/v1/imports/w/save?expires=1795253460000&signature=58bd764b…"#]].assert_eq(&said);
}

#[tokio::test]
async fn what_is_whole_lies_on_the_disk_as_a_zip_with_its_facts() {
    let (dir, archives) = bench();
    send(&archives, 1, b"zip").await.unwrap();
    assert_eq!(files(&dir), ["one-g1.part"], "nothing counts that was not checked");
    assert_eq!(check(&archives, b"zap").await, Ok(Checked::NotWhole));
    assert_eq!(files(&dir), ["one-g1.part"]);
    assert_eq!(check(&archives, b"zip").await, Ok(Checked::Whole));
    assert_eq!(files(&dir), ["one-g1.json", "one-g1.zip"]);
    assert_eq!(fs::read(dir.path().join("archives/w/one-g1.zip")).unwrap(), b"zip");
    expect![[
        r#"{"v":1,"size":3,"sha256":"4a70fe9aa6436e02c2dea340fbd1e352e4ef2d8ce6ca52ad25d4b95471fc8bf2"}"#
    ]]
    .assert_eq(&fs::read_to_string(dir.path().join("archives/w/one-g1.json")).unwrap());
}

#[tokio::test]
async fn a_part_for_what_is_complete_is_refused_and_leaves_nothing() {
    let (dir, archives) = bench();
    archived(&archives, b"zip").await;
    for content in [b"zip", b"zap"] {
        assert_eq!(send(&archives, 1, content).await, Err(ReceiveError::Complete));
    }
    assert_eq!(fs::read(dir.path().join("archives/w/one-g1.zip")).unwrap(), b"zip");
    assert_eq!(files(&dir), ["one-g1.json", "one-g1.zip"]);
}

#[tokio::test]
async fn a_part_that_broke_off_is_sent_again() {
    let (_dir, archives) = bench();
    let grant = part_ticket(&archives, 1, 3).await;
    let broken = (&b"zi"[..]).chain(Broken);
    let error = archives.receive_part(&world("w"), &id(), 1, &grant, at(1), broken).await.unwrap_err();
    expect!["the upload broke off: connection reset"].assert_eq(&error.to_string());
    let short = archives.receive_part(&world("w"), &id(), 1, &grant, at(1), &b"zi"[..]).await;
    assert_eq!(short, Err(ReceiveError::WrongLength(3)));
    assert_eq!(check(&archives, b"zip").await, Ok(Checked::NotWhole));
    archived(&archives, b"zip").await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_who_stands_still_is_given_up() {
    let (_dir, archives) = bench();
    let (mut sender, body) = duplex(64);
    sender.write_all(b"zi").await.unwrap();
    let grant = part_ticket(&archives, 1, 3).await;
    let error = archives.receive_part(&world("w"), &id(), 1, &grant, at(1), body).await.unwrap_err();
    expect!["the upload broke off: nothing came for 60 s"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_part_that_is_slow_holds_up_neither_check_nor_part() {
    let (_dir, archives) = bench();
    let (mut sender, body) = duplex(64);
    let grant = part_ticket(&archives, 1, 3).await;
    let slow = tokio::spawn({
        let archives = archives.clone();
        async move { archives.receive_part(&world("w"), &id(), 1, &grant, at(1), body).await }
    });
    sender.write_all(b"za").await.unwrap();
    archived(&archives, b"zip").await;
    sender.write_all(b"p").await.unwrap();
    drop(sender);
    assert_eq!(slow.await.unwrap(), Err(ReceiveError::Complete));
    assert_eq!(check(&archives, b"zip").await, Ok(Checked::Whole));
}

#[tokio::test]
async fn what_a_crash_left_behind_is_taken_up_again() {
    let (dir, archives) = bench();
    let directory = dir.path().join("archives/w");
    fs::create_dir_all(&directory).unwrap();
    for name in ["one-g1.part", "one-g1.json", "save.receiving"] {
        fs::write(directory.join(name), "left behind by a crash").unwrap();
    }
    assert_eq!(check(&archives, b"left behind by a crash").await, Ok(Checked::Whole));
    fs::remove_file(directory.join("one-g1.json")).unwrap();
    assert_eq!(check(&archives, b"left behind by a crash").await, Ok(Checked::NotWhole));
    archives.remove(&world("w"), &id()).await.unwrap();
    archived(&archives, b"zip").await;
    assert_eq!(receive(&archives, b"zip").await, Ok(3));
    assert_eq!(files(&dir), ["one-g1.json", "one-g1.zip", "save.import"]);
    assert_eq!(fs::read(directory.join("save.import")).unwrap(), b"zip");
}

#[tokio::test]
async fn what_was_left_behind_is_cleared_after_a_week_when_an_upload_begins() {
    let (dir, archives) = bench();
    let directory = dir.path().join("archives/w");
    fs::create_dir_all(&directory).unwrap();
    let days = |n: u64| SystemTime::now() - Duration::from_secs(n * 24 * 60 * 60);
    for (name, age) in [("old", 8), ("new", 6)] {
        for ending in ["part", "receiving", "import", "zip", "json"] {
            let file = File::create(directory.join(format!("{name}.{ending}"))).unwrap();
            file.set_modified(days(age)).unwrap();
        }
    }
    send(&archives, 1, b"zip").await.unwrap();
    let left = ["new.import", "new.json", "new.part", "new.receiving", "new.zip", "old.json", "old.zip"];
    assert_eq!(files(&dir), [&left[..], &["one-g1.part"]].concat());
}

#[tokio::test]
async fn what_is_not_all_there_any_more_is_not_whole() {
    let (dir, archives) = bench();
    archived(&archives, b"zip").await;
    fs::write(dir.path().join("archives/w/one-g1.zip"), "zi").unwrap();
    assert_eq!(check(&archives, b"zip").await, Ok(Checked::NotWhole));
    fs::write(dir.path().join("archives/w/one-g1.zip"), "zip").unwrap();
    fs::write(dir.path().join("archives/w/one-g1.json"), "{").unwrap();
    assert_eq!(check(&archives, b"zip").await, Ok(Checked::NotWhole));
    assert_eq!(send(&archives, 1, b"zip").await, Err(ReceiveError::Complete));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_send_and_check_at_once_agree() {
    let (dir, archives) = bench();
    let archives = Arc::new(archives);
    let content: Arc<[u8]> = large().into();
    let mut done = Vec::new();
    for n in 0..8 {
        let (archives, content) = (archives.clone(), content.clone());
        done.push(tokio::spawn(async move {
            let (number, part) = [(1, &content[..part_size()]), (2, &content[part_size()..])][n % 2];
            let sent = send(&archives, number, part).await;
            assert!(matches!(sent, Ok(()) | Err(ReceiveError::Busy | ReceiveError::Complete)), "{sent:?}");
            check(&archives, &content).await.unwrap()
        }));
    }
    for each in done {
        each.await.unwrap();
    }
    for (number, part) in [(1, &content[..part_size()]), (2, &content[part_size()..])] {
        let sent = send(&archives, number, part).await;
        assert!(matches!(sent, Ok(()) | Err(ReceiveError::Complete)), "{sent:?}");
    }
    assert_eq!(check(&archives, &content).await, Ok(Checked::Whole));
    assert!(*fs::read(dir.path().join("archives/w/one-g1.zip")).unwrap() == *content);
}

#[tokio::test]
async fn a_link_downloads_its_archive_until_it_expires() {
    let (_dir, archives) = bench();
    archived(&archives, b"zip").await;
    let link = grant(&archives.link(&world("w"), &id(), at(60_000)).await.unwrap().url);
    let (mut file, size) = archives.open_signed(&world("w"), &id(), &link, at(59_999)).await.unwrap();
    let mut content = String::new();
    file.read_to_string(&mut content).await.unwrap();
    assert_eq!((content.as_str(), size), ("zip", 3));
    let error = archives.open_signed(&world("w"), &id(), &link, at(60_000)).await.unwrap_err();
    assert_eq!(error, OpenError::Denied(Denied::Expired));
}

#[tokio::test]
async fn a_grant_is_for_one_act_one_world_one_archive_one_part_and_one_time() {
    let (dir, archives) = bench();
    let good = part_ticket(&archives, 1, 3).await;
    let refused = async |name, id, number, grant: PartGrant| {
        let id = ArchiveId::parse(id).unwrap();
        let received = archives.receive_part(&world(name), &id, number, &grant, at(1), &b"zip"[..]).await;
        assert_eq!(received, Err(ReceiveError::Denied(Denied::BadSignature)));
    };
    refused("other", "one-g1", 1, good.clone()).await;
    refused("w", "two-g1", 1, good.clone()).await;
    refused("w", "one-g1", 2, good.clone()).await;
    refused("w", "one-g1", 1, PartGrant { expires: good.expires + 1, ..good.clone() }).await;
    refused("w", "one-g1", 1, PartGrant { length: 4, ..good.clone() }).await;
    let PartGrant { expires, signature, .. } = good.clone();
    let download = archives.open_signed(&world("w"), &id(), &Grant { expires, signature }, at(1)).await;
    assert_eq!(download.unwrap_err(), OpenError::Denied(Denied::BadSignature));
    let late = at(0) + ARCHIVE_LIMIT;
    let expired = archives.receive_part(&world("w"), &id(), 1, &good, late, &b"zip"[..]).await;
    assert_eq!(expired, Err(ReceiveError::Denied(Denied::Expired)));
    assert!(!dir.path().join("archives").exists(), "nothing was written");
    archives.receive_part(&world("w"), &id(), 1, &good, at(1), &b"zip"[..]).await.unwrap();
}

#[tokio::test]
async fn a_signed_link_to_what_is_gone_finds_nothing() {
    let (dir, archives) = bench();
    archived(&archives, b"zip").await;
    let link = grant(&archives.link(&world("w"), &id(), at(60_000)).await.unwrap().url);
    fs::remove_dir_all(dir.path().join("archives")).unwrap();
    let error = archives.open_signed(&world("w"), &id(), &link, at(0)).await.unwrap_err();
    assert_eq!(error, OpenError::NotFound);
}

#[tokio::test]
async fn a_file_to_import_that_is_too_large_or_broke_off_leaves_what_was_there() {
    let (dir, archives) = bench();
    assert_eq!(receive(&archives, b"zip").await, Ok(3));
    assert_eq!(receive(&archives, b"zipp").await, Err(ReceiveError::TooLarge(3)));
    let broken = archives.receive_at_most(3, inbox(&archives), (&b"zi"[..]).chain(Broken)).await;
    assert_eq!(broken, Err(ReceiveError::BrokeOff("connection reset".into())));
    assert_eq!(files(&dir), ["save.import"]);
    assert_eq!(fs::read(dir.path().join("archives/w/save.import")).unwrap(), b"zip");
}

#[tokio::test]
async fn of_two_who_send_one_file_to_import_at_once_the_second_is_told_to_wait() {
    let (dir, archives) = bench();
    let (mut sender, body) = duplex(1);
    let first = tokio::spawn({
        let archives = archives.clone();
        async move { archives.receive_at_most(3, inbox(&archives), body).await }
    });
    sender.write_all(b"zi").await.unwrap(); // One byte more than fits: the first has begun to read.
    assert_eq!(receive(&archives, b"zap").await, Err(ReceiveError::Busy));
    sender.write_all(b"p").await.unwrap();
    drop(sender);
    assert_eq!(first.await.unwrap(), Ok(3));
    assert_eq!(files(&dir), ["save.import"]);
}

#[tokio::test]
async fn a_full_disk_says_so() {
    let (dir, archives) = bench();
    fs::create_dir_all(dir.path().join("archives/w")).unwrap();
    for name in ["one-g1.part", "save.receiving"] {
        std::os::unix::fs::symlink("/dev/full", dir.path().join("archives/w").join(name)).unwrap();
    }
    let expected =
        expect!["the disk of the archives `/data/archives` is full: make room on it and try again"];
    failed(&dir, send(&archives, 1, b"zip").await.unwrap_err(), &expected);
    failed(&dir, receive(&archives, b"zip").await.unwrap_err(), &expected);
}

#[tokio::test]
async fn a_root_that_is_no_directory_says_so() {
    let (dir, archives) = bench();
    fs::write(dir.path().join("archives"), "").unwrap();
    failed(
        &dir,
        send(&archives, 1, b"zip").await.unwrap_err(),
        &expect!["the archives `/data/archives` are out of reach: Not a directory (os error 20)"],
    );
    let read_only = unavailable(&archives.root, &io::ErrorKind::ReadOnlyFilesystem.into());
    failed(
        &dir,
        read_only.into(),
        &expect![
            "the archives `/data/archives` cannot be written or read: give this user access to the directory (read-only filesystem or storage medium)"
        ],
    );
}

fn failed(dir: &tempfile::TempDir, error: ReceiveError, expected: &Expect) {
    expected.assert_eq(&error.to_string().replace(&dir.path().display().to_string(), "/data"));
}

fn bench() -> (tempfile::TempDir, DirectoryArchive) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archives");
    let (upload_url, download_url) = ("http://127.0.0.1:7878".into(), "https://worlds.example.org".into());
    (dir, DirectoryArchive { root, upload_url, download_url, secret: Secret::new([7; 32]) })
}

fn id() -> ArchiveId {
    ArchiveId::parse("one-g1").unwrap()
}

fn inbox(archives: &DirectoryArchive) -> Inbox {
    archives.inbox_of(&world("w"), &contract::import("save"))
}

/// Receives a file to import of at most three bytes.
async fn receive(archives: &DirectoryArchive, content: &[u8]) -> Result<u64, ReceiveError> {
    archives.receive_at_most(3, inbox(archives), content).await
}

async fn part_ticket(archives: &DirectoryArchive, number: u32, length: u64) -> PartGrant {
    let of = Some(Upload { id: id(), key: KEY.into() });
    let part = Part { of, number, ..only(length) };
    let url = archives.ticket(&world("w"), Generation(1), &part, at(0)).await.unwrap().url;
    part_grant(url.split_once('?').unwrap().1)
}

async fn send(archives: &DirectoryArchive, number: u32, part: &[u8]) -> Result<(), ReceiveError> {
    let ticket = part_ticket(archives, number, part.len() as u64).await;
    archives.receive_part(&world("w"), &id(), number, &ticket, at(1), part).await
}

async fn check(archives: &DirectoryArchive, content: &[u8]) -> Result<Checked, Unavailable> {
    let sent = contract::Sent { upload: Upload { id: id(), key: KEY.into() }, urls: vec![] };
    archives.check(&world("w"), &claim(&sent, content)).await
}

async fn archived(archives: &DirectoryArchive, content: &[u8]) {
    send(archives, 1, content).await.unwrap();
    assert_eq!(check(archives, content).await, Ok(Checked::Whole));
}

fn files(dir: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path().join("archives/w")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Reads the query of a link.
fn grant(url: &str) -> Grant {
    let query = url.split_once("?expires=").unwrap().1;
    let (expires, signature) = query.split_once("&signature=").unwrap();
    Grant { expires: expires.parse().unwrap(), signature: signature.into() }
}

/// Reads the query of a ticket.
fn part_grant(query: &str) -> PartGrant {
    let (length, _) = query.strip_prefix("length=").unwrap().split_once('&').unwrap();
    let Grant { expires, signature } = grant(&query.replace("&expires=", "?expires="));
    PartGrant { length: length.parse().unwrap(), expires, signature }
}

/// Reads a link to send or fetch a file to import.
fn imported(url: &str, host: &str) -> Option<(WorldId, ImportId, Grant)> {
    let path = url.strip_prefix(host)?.strip_prefix("/v1/imports/")?;
    let (world, id) = path.split_once('?')?.0.split_once('/')?;
    Some((WorldId::parse(world).unwrap(), ImportId::parse(id).unwrap(), grant(url)))
}

/// Returns the URL with the beginning of its signature.
fn shown(url: &str) -> String {
    let (before, signature) = url.split_once("signature=").unwrap();
    assert_eq!(signature.len(), 64);
    format!("{before}signature={}…", &signature[..8])
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
