//! What every [`ArchiveStore`] promises: one test body per promise, which each implementation's tests call by [`all`].

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ports::{ArchiveStore, Checked, LinkError, Ticket},
    world::{Archive, Generation, Sha256, WorldId},
};
use jiff::Timestamp;
use sha2::Digest;

/// Uploads as a watchdog does, with nothing but the ticket.
#[async_trait]
pub(crate) trait Upload {
    /// Puts `content` where the ticket says, as the archive that `claim` describes.
    async fn put(&self, world: &WorldId, ticket: &Ticket, content: &'static [u8], claim: &Archive);
}

/// What anybody can do with a URL alone.
#[async_trait]
pub(crate) trait Web {
    /// Puts `part` there and tells whether it was taken.
    async fn put(&self, url: &str, part: &[u8]) -> bool;

    /// Returns what is there, unless that is refused.
    async fn get(&self, url: &str) -> Option<Vec<u8>>;
}

/// An upload and its SHA-256, as `sha256sum` gives it.
const CONTENT: &[u8] = b"PK, a world\n";
const DIGEST: &str = "3fa0ca77ddf50b9633a60fed3b5e6adecac16bcfb62acaaebfb8a9e1a71ce384";

/// More than S3 takes as one part but the last: two parts where there are parts of 5 MiB.
const LARGE: usize = (5 << 20) + 17;

/// Holds `store` to every promise. Nothing may be in it of the worlds that the contract uses.
pub(crate) async fn all(store: &dyn ArchiveStore, upload: &dyn Upload) {
    tickets_of_a_launch_differ_and_sort_by_age(store).await;
    tickets_of_later_launches_sort_later(store).await;
    what_was_uploaded_is_whole(store, upload).await;
    what_differs_from_the_claim_is_not_whole(store, upload).await;
    what_was_never_uploaded_is_not_whole_and_has_no_link(store).await;
    a_link_names_the_archive(store, upload).await;
}

pub(crate) async fn tickets_of_a_launch_differ_and_sort_by_age(store: &dyn ArchiveStore) {
    let mut ids = Vec::new();
    for ms in [0, 1, 7, 999, 1_000, 59_999, 3_600_000] {
        ids.push(store.ticket(&world("tickets"), Generation(3), 12, at(ms)).await.unwrap().id);
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

pub(crate) async fn what_was_uploaded_is_whole(store: &dyn ArchiveStore, upload: &dyn Upload) {
    let claim = uploaded(store, upload, "whole").await;
    assert_eq!(store.check(&world("whole"), &claim).await, Ok(Checked::Whole));
    assert_eq!(store.check(&world("whole"), &claim).await, Ok(Checked::Whole), "looking changes nothing");
}

pub(crate) async fn what_differs_from_the_claim_is_not_whole(store: &dyn ArchiveStore, upload: &dyn Upload) {
    let claim = uploaded(store, upload, "differs").await;
    let longer = Archive { size: claim.size + 1, ..claim.clone() };
    let other = Archive { sha256: Sha256([7; 32]), ..claim };
    for claim in [longer, other] {
        assert_eq!(store.check(&world("differs"), &claim).await, Ok(Checked::NotWhole));
    }
}

pub(crate) async fn what_was_never_uploaded_is_not_whole_and_has_no_link(store: &dyn ArchiveStore) {
    let world = world("never");
    let claim = claim(store.ticket(&world, Generation(3), 12, at(1)).await.unwrap());
    assert_eq!(store.check(&world, &claim).await, Ok(Checked::NotWhole));
    assert_eq!(store.link(&world, &claim.id, at(60_000)).await, Err(LinkError::NotFound));
}

pub(crate) async fn a_link_names_the_archive(store: &dyn ArchiveStore, upload: &dyn Upload) {
    let claim = uploaded(store, upload, "linked").await;
    let link = store.link(&world("linked"), &claim.id, at(60_000)).await.unwrap().url;
    assert!(link.contains("linked") && link.contains(claim.id.as_str()), "{link}");
}

pub(crate) async fn tickets_of_later_launches_sort_later(store: &dyn ArchiveStore) {
    let first = store.ticket(&world("tickets"), Generation(9), 12, at(1)).await.unwrap().id;
    let second = store.ticket(&world("tickets"), Generation(10), 12, at(2)).await.unwrap().id;
    assert!(first < second, "{first} {second}");
}

/// Not in [`all`]: `domain::sim::Memory` keeps the archives of all worlds under one roof.
pub(crate) async fn an_archive_belongs_to_its_world(store: &dyn ArchiveStore, upload: &dyn Upload) {
    let claim = uploaded(store, upload, "mine").await;
    assert_eq!(store.check(&world("yours"), &claim).await, Ok(Checked::NotWhole));
    assert_eq!(store.link(&world("yours"), &claim.id, at(60_000)).await, Err(LinkError::NotFound));
}

/// Holds a store whose URLs are signed to what that is for. `domain::sim::Memory` has none.
pub(crate) async fn signed(store: &dyn ArchiveStore, web: &dyn Web) {
    what_goes_where_the_ticket_says_arrives(store, web).await;
    what_is_not_what_was_claimed_is_not_whole(store, web).await;
    a_part_that_is_missing_is_waited_for(store, web).await;
    a_ticket_is_for_one_place(store, web).await;
    a_link_downloads_the_archive_until_it_expires(store, web).await;
}

pub(crate) async fn what_goes_where_the_ticket_says_arrives(store: &dyn ArchiveStore, web: &dyn Web) {
    for content in [CONTENT.to_vec(), large()] {
        let ticket = ticket(store, "arrives", content.len()).await;
        put_all(web, &ticket, &content).await;
        let claim = claim_of(&ticket, &content);
        assert_eq!(store.check(&world("arrives"), &claim).await, Ok(Checked::Whole));
        assert_eq!(
            store.check(&world("arrives"), &claim).await,
            Ok(Checked::Whole),
            "looking changes nothing"
        );
        assert_eq!(downloaded(store, web, "arrives", &ticket).await, Some(content));
    }
}

pub(crate) async fn what_is_not_what_was_claimed_is_not_whole(store: &dyn ArchiveStore, web: &dyn Web) {
    for content in [CONTENT.to_vec(), large()] {
        let mut other = content.clone();
        *other.last_mut().unwrap() ^= 1;
        let ticket = ticket(store, "wrong", content.len()).await;
        put_all(web, &ticket, &other).await;
        assert_eq!(store.check(&world("wrong"), &claim_of(&ticket, &content)).await, Ok(Checked::NotWhole));
        let shorter = claim_of(&ticket, &content[1..]);
        assert_eq!(store.check(&world("wrong"), &shorter).await, Ok(Checked::NotWhole));
    }
}

pub(crate) async fn a_part_that_is_missing_is_waited_for(store: &dyn ArchiveStore, web: &dyn Web) {
    let content = large();
    let ticket = ticket(store, "missing", content.len()).await;
    let claim = claim_of(&ticket, &content);
    for (url, part) in ticket.urls.iter().zip(parts(&ticket, &content)).rev() {
        assert_eq!(store.check(&world("missing"), &claim).await, Ok(Checked::NotWhole));
        assert!(web.put(url, part).await);
    }
    assert_eq!(store.check(&world("missing"), &claim).await, Ok(Checked::Whole));
}

pub(crate) async fn a_ticket_is_for_one_place(store: &dyn ArchiveStore, web: &dyn Web) {
    for content in [CONTENT.to_vec(), large()] {
        let ticket = ticket(store, "mine", content.len()).await;
        let part = parts(&ticket, &content).next().unwrap();
        let (url, id) = (ticket.urls.first().unwrap(), ticket.id.as_str());
        for tampered in [url.replace("mine", "yours"), url.replace(id, "another"), later(url), unsigned(url)]
        {
            assert_ne!(&tampered, url);
            assert!(!web.put(&tampered, part).await, "{tampered}");
        }
        assert_eq!(web.get(url).await, None, "a ticket is no link");
        assert_eq!(store.check(&world("mine"), &claim_of(&ticket, &content)).await, Ok(Checked::NotWhole));
        assert!(web.put(url, part).await, "{url}");
    }
}

pub(crate) async fn a_link_downloads_the_archive_until_it_expires(store: &dyn ArchiveStore, web: &dyn Web) {
    let ticket = ticket(store, "for-a-while", CONTENT.len()).await;
    put_all(web, &ticket, CONTENT).await;
    let link = async |expires| store.link(&world("for-a-while"), &ticket.id, expires).await.unwrap().url;
    let good = link(Timestamp::now() + Duration::from_secs(60)).await;
    assert_eq!(web.get(&good).await.as_deref(), Some(CONTENT));
    assert_eq!(
        web.get(&link(Timestamp::now() - Duration::from_secs(60)).await).await,
        None,
        "it has expired"
    );
    for tampered in [good.replace("for-a-while", "yours"), later(&good), unsigned(&good)] {
        assert_ne!(tampered, good);
        assert_eq!(web.get(&tampered).await, None, "{tampered}");
    }
    assert!(!web.put(&good, CONTENT).await, "a link is no ticket");
}

/// Returns a ticket that holds now.
async fn ticket(store: &dyn ArchiveStore, name: &str, size: usize) -> Ticket {
    store.ticket(&world(name), Generation(3), size as u64, Timestamp::now()).await.unwrap()
}

async fn put_all(web: &dyn Web, ticket: &Ticket, content: &[u8]) {
    for (url, part) in ticket.urls.iter().zip(parts(ticket, content)) {
        assert!(web.put(url, part).await, "{url}");
    }
}

fn parts<'c>(ticket: &Ticket, content: &'c [u8]) -> std::slice::Chunks<'c, u8> {
    let parts = content.chunks(ticket.part_size.try_into().unwrap());
    assert_eq!(parts.len(), ticket.urls.len());
    parts
}

async fn downloaded(store: &dyn ArchiveStore, web: &dyn Web, name: &str, ticket: &Ticket) -> Option<Vec<u8>> {
    let expires = Timestamp::now() + Duration::from_secs(60);
    web.get(&store.link(&world(name), &ticket.id, expires).await.unwrap().url).await
}

fn claim_of(ticket: &Ticket, content: &[u8]) -> Archive {
    let sha256 = Sha256(sha2::Sha256::digest(content).into());
    Archive { id: ticket.id.clone(), generation: Generation(3), size: content.len() as u64, sha256 }
}

/// Returns the URL with another time in it: a year is nothing to whoever changes it.
fn later(url: &str) -> String {
    let name = if url.contains("X-Amz-Expires=") { "X-Amz-Expires=" } else { "expires=" };
    let (before, after) = url.split_once(name).unwrap();
    format!("{before}{name}9{}", after.split_at(1).1)
}

/// Returns the URL with another signature.
fn unsigned(url: &str) -> String {
    let name = if url.contains("X-Amz-Signature=") { "X-Amz-Signature=" } else { "signature=" };
    let (before, after) = url.split_once(name).unwrap();
    let (first, rest) = after.split_at(1);
    format!("{before}{name}{}{rest}", if first == "0" { "1" } else { "0" })
}

fn large() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..LARGE).map(|_| next()).collect()
}

async fn uploaded(store: &dyn ArchiveStore, upload: &dyn Upload, name: &str) -> Archive {
    let ticket = store.ticket(&world(name), Generation(3), CONTENT.len() as u64, at(0)).await.unwrap();
    let claim = claim(ticket.clone());
    upload.put(&world(name), &ticket, CONTENT, &claim).await;
    claim
}

fn claim(ticket: Ticket) -> Archive {
    let sha256 = Sha256::parse(DIGEST).unwrap();
    Archive { id: ticket.id, generation: Generation(3), size: CONTENT.len() as u64, sha256 }
}

pub(crate) fn world(name: &str) -> WorldId {
    WorldId::parse(name).unwrap()
}

/// Returns a time shortly after a whole second, and `ms` later.
pub(crate) fn at(ms: u64) -> Timestamp {
    Timestamp::from_millisecond(1_795_253_400_000).unwrap() + Duration::from_millis(ms)
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let memory = domain::sim::Memory::default();
    all(&memory, &memory).await;
}

#[async_trait]
impl Upload for domain::sim::Memory {
    async fn put(&self, _world: &WorldId, _ticket: &Ticket, _content: &'static [u8], claim: &Archive) {
        self.lock().archives.insert(claim.id.to_string(), claim.clone());
    }
}
