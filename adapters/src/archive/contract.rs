//! What every [`ArchiveStore`] promises: one test body per promise, which each implementation's tests call by [`all`].

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ports::{ArchiveStore, Checked, LinkError, Ticket},
    world::{Archive, Generation, Sha256, WorldId},
};
use jiff::Timestamp;

/// Uploads as a watchdog does, with nothing but the ticket.
#[async_trait]
pub(crate) trait Upload {
    /// Puts `content` where the ticket says, as the archive that `claim` describes.
    async fn put(&self, world: &WorldId, ticket: &Ticket, content: &'static [u8], claim: &Archive);
}

/// An upload and its SHA-256, as `sha256sum` gives it.
const CONTENT: &[u8] = b"PK, a world\n";
const DIGEST: &str = "3fa0ca77ddf50b9633a60fed3b5e6adecac16bcfb62acaaebfb8a9e1a71ce384";

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
        ids.push(store.ticket(&world("tickets"), Generation(3), at(ms)).await.unwrap().id);
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
    let claim = claim(store.ticket(&world, Generation(3), at(1)).await.unwrap());
    assert_eq!(store.check(&world, &claim).await, Ok(Checked::NotWhole));
    assert_eq!(store.link(&world, &claim.id, at(60_000)).await, Err(LinkError::NotFound));
}

pub(crate) async fn a_link_names_the_archive(store: &dyn ArchiveStore, upload: &dyn Upload) {
    let claim = uploaded(store, upload, "linked").await;
    let link = store.link(&world("linked"), &claim.id, at(60_000)).await.unwrap();
    assert!(link.contains("linked") && link.contains(claim.id.as_str()), "{link}");
}

pub(crate) async fn tickets_of_later_launches_sort_later(store: &dyn ArchiveStore) {
    let first = store.ticket(&world("tickets"), Generation(9), at(1)).await.unwrap().id;
    let second = store.ticket(&world("tickets"), Generation(10), at(2)).await.unwrap().id;
    assert!(first < second, "{first} {second}");
}

/// Not in [`all`]: `domain::sim::Memory` keeps the archives of all worlds under one roof.
pub(crate) async fn an_archive_belongs_to_its_world(store: &dyn ArchiveStore, upload: &dyn Upload) {
    let claim = uploaded(store, upload, "mine").await;
    assert_eq!(store.check(&world("yours"), &claim).await, Ok(Checked::NotWhole));
    assert_eq!(store.link(&world("yours"), &claim.id, at(60_000)).await, Err(LinkError::NotFound));
}

async fn uploaded(store: &dyn ArchiveStore, upload: &dyn Upload, name: &str) -> Archive {
    let ticket = store.ticket(&world(name), Generation(3), at(0)).await.unwrap();
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
