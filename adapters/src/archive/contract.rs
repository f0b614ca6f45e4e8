//! What every [`ArchiveStore`] promises: one test body per promise, which each implementation's tests call by [`all`].

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    ports::{ArchiveStore, Checked, LinkError, PART_SIZE, Part, PartPlace, Ticket, Upload},
    sim::Memory,
    world::{Archive, ArchiveId, Generation, ImportId, Sha256, WorldId},
};
use jiff::Timestamp;
use sha2::Digest;

/// What anybody can do with a URL alone.
#[async_trait]
pub(crate) trait Web: Send + Sync {
    /// Puts `part` there and tells whether it was taken.
    async fn put(&self, url: &str, part: &[u8]) -> bool;

    /// Returns what is there, unless that is refused.
    async fn get(&self, url: &str) -> Option<Vec<u8>>;
}

/// An archive of one part.
const SMALL: &[u8] = b"PK, a world\n";

/// The launch that uploads.
const LAUNCH: Generation = Generation(3);

/// Holds `store` to every promise that needs no signatures. Nothing may be in it of the worlds that the contract uses.
pub(crate) async fn all(store: &dyn ArchiveStore, web: &dyn Web) {
    uploads_of_a_launch_differ_and_sort_by_age(store).await;
    uploads_of_later_launches_sort_later(store).await;
    what_was_uploaded_is_whole_and_can_be_downloaded(store, web).await;
    parts_may_come_in_any_order_and_twice(store, web).await;
    what_differs_from_the_claim_is_not_whole(store, web).await;
    a_part_that_is_missing_is_waited_for(store, web).await;
    what_was_never_uploaded_is_not_whole_and_has_no_link(store).await;
    what_is_removed_is_gone_and_nothing_else_is(store, web).await;
    a_file_to_import_is_received_until_it_is_discarded(store, web).await;
}

pub(crate) async fn uploads_of_a_launch_differ_and_sort_by_age(store: &dyn ArchiveStore) {
    let mut ids = Vec::new();
    for ms in [0, 1, 7, 999, 1_000, 59_999, 3_600_000] {
        ids.push(store.ticket(&world("tickets"), LAUNCH, &only(12), at(ms)).await.unwrap().upload.id);
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

pub(crate) async fn uploads_of_later_launches_sort_later(store: &dyn ArchiveStore) {
    let first = store.ticket(&world("tickets"), Generation(9), &only(12), at(1)).await.unwrap();
    let second = store.ticket(&world("tickets"), Generation(10), &only(12), at(2)).await.unwrap();
    assert!(first.upload.id < second.upload.id, "{first:?} {second:?}");
}

pub(crate) async fn what_was_uploaded_is_whole_and_can_be_downloaded(
    store: &dyn ArchiveStore,
    web: &dyn Web,
) {
    for content in [SMALL.to_vec(), large()] {
        let sent = uploaded(store, web, "whole", &content).await;
        let claim = claim(&sent, &content);
        assert_eq!(store.check(&world("whole"), &claim).await, Ok(Checked::Whole));
        assert_eq!(store.check(&world("whole"), &claim).await, Ok(Checked::Whole), "looking changes nothing");
        let link = store.link(&world("whole"), &claim.id, soon()).await.unwrap().url;
        assert!(link.contains("whole") && link.contains(claim.id.as_str()), "{link}");
        assert!(web.get(&link).await == Some(content), "{link}");
    }
}

pub(crate) async fn parts_may_come_in_any_order_and_twice(store: &dyn ArchiveStore, web: &dyn Web) {
    let content = large();
    let sent = tickets(store, "any-order", &content).await;
    let (first, last) = content.split_at(part_size());
    let other = vec![7; first.len()];
    for (number, part) in [(1, last), (0, &other[..]), (1, last), (0, first)] {
        assert!(web.put(&sent.urls[number], part).await, "{}", sent.urls[number]);
    }
    let claim = claim(&sent, &content);
    assert_eq!(store.check(&world("any-order"), &claim).await, Ok(Checked::Whole));
}

pub(crate) async fn what_differs_from_the_claim_is_not_whole(store: &dyn ArchiveStore, web: &dyn Web) {
    for content in [SMALL.to_vec(), large()] {
        let mut other = content.clone();
        *other.last_mut().unwrap() ^= 1;
        let sent = uploaded(store, web, "differs", &other).await;
        for claim in [claim(&sent, &content), claim(&sent, &content[1..])] {
            assert_eq!(store.check(&world("differs"), &claim).await, Ok(Checked::NotWhole));
        }
    }
}

pub(crate) async fn a_part_that_is_missing_is_waited_for(store: &dyn ArchiveStore, web: &dyn Web) {
    let content = large();
    let sent = tickets(store, "missing", &content).await;
    let claim = claim(&sent, &content);
    for (url, part) in sent.urls.iter().zip(content.chunks(part_size())).rev() {
        assert_eq!(store.check(&world("missing"), &claim).await, Ok(Checked::NotWhole));
        assert!(web.put(url, part).await, "{url}");
    }
    assert_eq!(store.check(&world("missing"), &claim).await, Ok(Checked::Whole));
}

pub(crate) async fn what_was_never_uploaded_is_not_whole_and_has_no_link(store: &dyn ArchiveStore) {
    let sent = tickets(store, "never", SMALL).await;
    let claim = claim(&sent, SMALL);
    assert_eq!(store.check(&world("never"), &claim).await, Ok(Checked::NotWhole));
    assert_eq!(store.link(&world("never"), &claim.id, soon()).await, Err(LinkError::NotFound));
}

pub(crate) async fn what_is_removed_is_gone_and_nothing_else_is(store: &dyn ArchiveStore, web: &dyn Web) {
    let w = world("removed");
    let (one, other) =
        (uploaded(store, web, "removed", SMALL).await, uploaded(store, web, "removed", SMALL).await);
    for sent in [&one, &other] {
        assert_eq!(store.check(&w, &claim(sent, SMALL)).await, Ok(Checked::Whole));
    }
    for _ in ["once", "twice"] {
        assert_eq!(store.remove(&w, &one.upload.id).await, Ok(()));
        assert_eq!(store.link(&w, &one.upload.id, soon()).await, Err(LinkError::NotFound));
        assert_eq!(store.check(&w, &claim(&one, SMALL)).await, Ok(Checked::NotWhole));
    }
    assert_eq!(store.check(&w, &claim(&other, SMALL)).await, Ok(Checked::Whole));
    let never = tickets(store, "removed", SMALL).await.upload.id;
    assert_eq!(store.remove(&w, &never).await, Ok(()));
    assert_eq!(store.remove(&world("removed-never"), &never).await, Ok(()));
}

pub(crate) async fn a_file_to_import_is_received_until_it_is_discarded(
    store: &dyn ArchiveStore,
    web: &dyn Web,
) {
    let (w, id) = (world("imported"), import("save-1"));
    assert_eq!(store.discard(&w, &id).await, Ok(()));
    assert_eq!(store.received(&w, &id, soon()).await, Err(LinkError::NotFound));
    let inbox = store.inbox(&w, &id, soon()).await.unwrap().url;
    for content in [SMALL.to_vec(), b"another".to_vec()] {
        assert!(web.put(&inbox, &content).await, "{inbox}");
        let received = store.received(&w, &id, soon()).await.unwrap().url;
        assert_eq!(web.get(&received).await, Some(content), "what was sent last counts");
    }
    assert_eq!(store.received(&w, &import("save-2"), soon()).await, Err(LinkError::NotFound));
    for _ in ["once", "twice"] {
        assert_eq!(store.discard(&w, &id).await, Ok(()));
        assert_eq!(store.received(&w, &id, soon()).await, Err(LinkError::NotFound));
    }
}

/// Holds a store whose URLs are signed, and which keeps worlds apart, to what that is for. `domain::sim::Memory` does
/// neither.
pub(crate) async fn signed(store: &dyn ArchiveStore, web: &dyn Web) {
    an_archive_belongs_to_its_world(store, web).await;
    a_ticket_takes_exactly_the_bytes_that_it_is_for(store, web).await;
    a_ticket_is_for_one_part_of_one_archive(store, web).await;
    a_launch_gets_no_ticket_for_an_archive_of_another(store, web).await;
    more_than_is_ever_received_gets_no_ticket(store).await;
    what_is_whole_is_never_written_to_again(store, web).await;
    a_link_downloads_the_archive_until_it_expires(store, web).await;
    an_inbox_takes_one_file_until_it_expires(store, web).await;
}

pub(crate) async fn an_archive_belongs_to_its_world(store: &dyn ArchiveStore, web: &dyn Web) {
    let sent = uploaded(store, web, "mine", SMALL).await;
    assert_eq!(store.check(&world("yours"), &claim(&sent, SMALL)).await, Ok(Checked::NotWhole));
    assert_eq!(store.link(&world("yours"), &sent.upload.id, soon()).await, Err(LinkError::NotFound));
    assert_eq!(store.remove(&world("yours"), &sent.upload.id).await, Ok(()));
    assert_eq!(store.check(&world("mine"), &claim(&sent, SMALL)).await, Ok(Checked::Whole));
}

pub(crate) async fn a_ticket_takes_exactly_the_bytes_that_it_is_for(store: &dyn ArchiveStore, web: &dyn Web) {
    let content = large();
    let sent = tickets(store, "lengths", &content).await;
    let claim = claim(&sent, &content);
    let (first, last) = content.split_at(part_size());
    for (url, part) in [(&sent.urls[0], first), (&sent.urls[1], last)] {
        assert!(!web.put(url, &part[1..]).await, "too short: {url}");
        assert!(!web.put(url, &[part, b"!"].concat()).await, "too long: {url}");
    }
    // What a store has written of parts that do not count is its own affair, as long as the digest finds it.
    let shorter = Archive { size: claim.size - 1, ..claim.clone() };
    assert_eq!(store.check(&world("lengths"), &shorter).await, Ok(Checked::NotWhole));
    for (url, part) in sent.urls.iter().zip([first, last]) {
        assert!(web.put(url, part).await, "{url}");
    }
    assert_eq!(store.check(&world("lengths"), &claim).await, Ok(Checked::Whole));
}

pub(crate) async fn a_ticket_is_for_one_part_of_one_archive(store: &dyn ArchiveStore, web: &dyn Web) {
    let content = [vec![1; part_size()], vec![2; part_size()]].concat();
    let sent = tickets(store, "tampered", &content).await;
    let (url, id) = (&sent.urls[0], sent.upload.id.as_str());
    let part = &content[..part_size()];
    let other_number = url.replace(&format!("{id}/1?"), &format!("{id}/2?"));
    let other_number = other_number.replace("partNumber=1", "partNumber=2");
    let other_archive = url.replace(id, tickets(store, "tampered", &content).await.upload.id.as_str());
    for tampered in [url.replace("tampered", "yours"), other_archive, other_number, later(url), unsigned(url)]
    {
        assert_ne!(&tampered, url);
        assert!(!web.put(&tampered, part).await, "{tampered}");
    }
    assert_eq!(web.get(url).await, None, "a ticket is no link");
    for (url, part) in sent.urls.iter().zip(content.chunks(part_size())) {
        assert_eq!(store.check(&world("tampered"), &claim(&sent, &content)).await, Ok(Checked::NotWhole));
        assert!(web.put(url, part).await, "{url}");
    }
    assert_eq!(store.check(&world("tampered"), &claim(&sent, &content)).await, Ok(Checked::Whole));
}

pub(crate) async fn a_launch_gets_no_ticket_for_an_archive_of_another(
    store: &dyn ArchiveStore,
    web: &dyn Web,
) {
    let Upload { id, key } = uploaded(store, web, "own", SMALL).await.upload;
    let part = Part { of: Some(Upload { id, key }), ..only(12) };
    assert!(store.ticket(&world("own"), LAUNCH, &part, now()).await.is_ok());
    for launch in [Generation(4), Generation(33), Generation(0)] {
        assert!(store.ticket(&world("own"), launch, &part, now()).await.is_err(), "{launch}");
    }
}

pub(crate) async fn more_than_is_ever_received_gets_no_ticket(store: &dyn ArchiveStore) {
    let part = Part { number: 10_000, ..only(1) };
    let error = store.ticket(&world("too-large"), LAUNCH, &part, now()).await.unwrap_err().to_string();
    let expected = "an archive of 125816537089 bytes is larger than the 107374182400 that are received";
    assert!(error.contains(expected), "{error}");
}

pub(crate) async fn what_is_whole_is_never_written_to_again(store: &dyn ArchiveStore, web: &dyn Web) {
    for content in [SMALL.to_vec(), large()] {
        let sent = uploaded(store, web, "complete", &content).await;
        let claim = claim(&sent, &content);
        assert_eq!(store.check(&world("complete"), &claim).await, Ok(Checked::Whole));
        let other = vec![7; content.len()];
        for (url, part) in sent.urls.iter().zip(other.chunks(part_size())) {
            assert!(!web.put(url, part).await, "{url}");
        }
        assert_eq!(store.check(&world("complete"), &claim).await, Ok(Checked::Whole));
        let link = store.link(&world("complete"), &claim.id, soon()).await.unwrap().url;
        assert!(web.get(&link).await == Some(content), "{link}");
    }
}

pub(crate) async fn a_link_downloads_the_archive_until_it_expires(store: &dyn ArchiveStore, web: &dyn Web) {
    let sent = uploaded(store, web, "for-a-while", SMALL).await;
    assert_eq!(store.check(&world("for-a-while"), &claim(&sent, SMALL)).await, Ok(Checked::Whole));
    let link = async |expires| store.link(&world("for-a-while"), &sent.upload.id, expires).await.unwrap().url;
    let good = link(soon()).await;
    assert_eq!(web.get(&good).await.as_deref(), Some(SMALL));
    assert_eq!(web.get(&link(over()).await).await, None, "it has expired");
    for tampered in [good.replace("for-a-while", "yours"), later(&good), unsigned(&good)] {
        assert_ne!(tampered, good);
        assert_eq!(web.get(&tampered).await, None, "{tampered}");
    }
    assert!(!web.put(&good, SMALL).await, "a link is no ticket");
}

pub(crate) async fn an_inbox_takes_one_file_until_it_expires(store: &dyn ArchiveStore, web: &dyn Web) {
    let (w, id) = (world("inbox"), import("save"));
    let good = store.inbox(&w, &id, soon()).await.unwrap().url;
    let expired = store.inbox(&w, &id, over()).await.unwrap().url;
    let other = good.replace("/save?", "/other?");
    for refused in [expired, other, good.replace("inbox", "yours"), later(&good), unsigned(&good)] {
        assert_ne!(refused, good);
        assert!(!web.put(&refused, SMALL).await, "{refused}");
    }
    assert_eq!(store.received(&w, &id, soon()).await, Err(LinkError::NotFound));
    assert!(web.put(&good, SMALL).await, "{good}");
    assert_eq!(web.get(&good).await, None, "an inbox gives nothing away");
    let received = store.received(&w, &id, soon()).await.unwrap().url;
    let expired = store.received(&w, &id, over()).await.unwrap().url;
    assert_eq!(web.get(&received).await.as_deref(), Some(SMALL));
    for refused in [expired, received.replace("inbox", "yours"), later(&received), unsigned(&received)] {
        assert_ne!(refused, received);
        assert_eq!(web.get(&refused).await, None, "{refused}");
    }
    assert!(!web.put(&received, b"other").await, "what was received cannot be written by its link");
}

/// An upload with the tickets of all its parts.
pub(crate) struct Sent {
    pub(crate) upload: Upload,
    pub(crate) urls: Vec<String>,
}

/// Returns tickets that hold now for all parts of `content`.
pub(crate) async fn tickets(store: &dyn ArchiveStore, name: &str, content: &[u8]) -> Sent {
    let (now, mut of, mut urls) = (now(), None, Vec::new());
    let parts = content.chunks(part_size());
    let last = parts.len();
    for (number, bytes) in (1..).zip(parts) {
        let place = if number == last { PartPlace::Last } else { PartPlace::Inner };
        let part = Part { of, number: number.try_into().unwrap(), length: bytes.len() as u64, place };
        let Ticket { upload, url } = store.ticket(&world(name), LAUNCH, &part, now).await.unwrap();
        urls.push(url);
        of = Some(upload);
    }
    Sent { upload: of.unwrap(), urls }
}

/// Uploads `content` as a watchdog does, with nothing but the tickets.
pub(crate) async fn uploaded(store: &dyn ArchiveStore, web: &dyn Web, name: &str, content: &[u8]) -> Sent {
    let sent = tickets(store, name, content).await;
    for (url, part) in sent.urls.iter().zip(content.chunks(part_size())) {
        assert!(web.put(url, part).await, "{url}");
    }
    sent
}

pub(crate) fn claim(sent: &Sent, content: &[u8]) -> Archive {
    claimed(&sent.upload.id, content)
}

fn claimed(id: &ArchiveId, content: &[u8]) -> Archive {
    let sha256 = Sha256(sha2::Sha256::digest(content).into());
    Archive { id: id.clone(), generation: LAUNCH, size: content.len() as u64, sha256 }
}

/// Returns a part that is all of an archive.
pub(crate) fn only(length: u64) -> Part {
    Part { of: None, number: 1, length, place: PartPlace::Last }
}

pub(crate) fn part_size() -> usize {
    PART_SIZE.try_into().unwrap()
}

/// Returns an archive of two parts.
pub(crate) fn large() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..part_size() + 17).map(|_| next()).collect()
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

pub(crate) fn world(name: &str) -> WorldId {
    WorldId::parse(name).unwrap()
}

pub(crate) fn import(name: &str) -> ImportId {
    ImportId::parse(name).unwrap()
}

/// Returns a time shortly after a whole second, and `ms` later.
pub(crate) fn at(ms: u64) -> Timestamp {
    Timestamp::from_millisecond(1_795_253_400_000).unwrap() + Duration::from_millis(ms)
}

/// Returns about the real time, each time another one, so that no two uploads are called the same.
fn now() -> Timestamp {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    Timestamp::now() + Duration::from_millis(CALLS.fetch_add(1, Ordering::Relaxed))
}

fn soon() -> Timestamp {
    Timestamp::now() + Duration::from_secs(60)
}

fn over() -> Timestamp {
    Timestamp::now() - Duration::from_secs(60)
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let outside = MemoryWeb::default();
    all(&outside.memory, &outside).await;
}

/// What receives parts where archives are kept in memory.
#[derive(Default)]
struct MemoryWeb {
    memory: Memory,
    /// What came, by place and number.
    sent: Mutex<BTreeMap<String, BTreeMap<u32, Vec<u8>>>>,
}

#[async_trait]
impl Web for MemoryWeb {
    async fn put(&self, url: &str, part: &[u8]) -> bool {
        let (place, last) = url.rsplit_once('/').unwrap();
        if place.ends_with("/import") {
            self.sent.lock().unwrap().insert(url.into(), BTreeMap::from([(1, part.to_vec())]));
            self.memory.lock().received.insert(import(last));
            return true;
        }
        self.sent
            .lock()
            .unwrap()
            .entry(place.into())
            .or_default()
            .insert(last.parse().unwrap(), part.to_vec());
        let id = ArchiveId::parse(place.rsplit_once('/').unwrap().1).unwrap();
        let archive = claimed(&id, &self.get(place).await.unwrap());
        self.memory.lock().archives.insert(id.to_string(), archive);
        true
    }

    async fn get(&self, url: &str) -> Option<Vec<u8>> {
        let sent = self.sent.lock().unwrap();
        Some(sent.get(url)?.values().flatten().copied().collect())
    }
}
