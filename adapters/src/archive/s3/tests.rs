//! Against s3s-fs, which checks signatures, times and lengths as S3 does.

use std::sync::OnceLock;

use emulators::S3;
use expect_test::{Expect, expect};

use super::*;
use crate::{
    archive::contract::{self, Upload, Web, at, world},
    aws::tests::config_at,
};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn s3_keeps_the_contract() {
    let archives = bench("contract").await;
    contract::all(&archives, &archives).await;
    contract::an_archive_belongs_to_its_world(&archives, &archives).await;
    contract::signed(&archives, &archives).await;
}

#[tokio::test]
async fn tickets_and_links_are_addresses_in_the_bucket() {
    let archives = bench("addresses").await;
    let small = archives.ticket(&world("w"), Generation(12), 3, at(7)).await.unwrap();
    let large = archives.ticket(&world("w"), Generation(12), (10 << 20) + 1, at(8)).await.unwrap();
    let put = Web::put(&archives, &small.urls[0], b"zip").await;
    assert!(put);
    let link = archives.link(&world("w"), &small.id, at(60_000)).await.unwrap().url;
    check(
        [small.urls, large.urls, vec![link]].concat(),
        expect![[r#"
        http://s3/addresses/worlds/w/20261121-093000-007-g12.zip
            x-id=PutObject X-Amz-Algorithm=AWS4-HMAC-SHA256 X-Amz-Expires=10800 X-Amz-SignedHeaders=content-length%3Bhost
        http://s3/addresses/worlds/w/20261121-093000-008-g12.zip
            x-id=UploadPart partNumber=1 uploadId=… X-Amz-Algorithm=AWS4-HMAC-SHA256 X-Amz-Expires=10800 X-Amz-SignedHeaders=content-length%3Bhost
        http://s3/addresses/worlds/w/20261121-093000-008-g12.zip
            x-id=UploadPart partNumber=2 uploadId=… X-Amz-Algorithm=AWS4-HMAC-SHA256 X-Amz-Expires=10800 X-Amz-SignedHeaders=content-length%3Bhost
        http://s3/addresses/worlds/w/20261121-093000-008-g12.zip
            x-id=UploadPart partNumber=3 uploadId=… X-Amz-Algorithm=AWS4-HMAC-SHA256 X-Amz-Expires=10800 X-Amz-SignedHeaders=content-length%3Bhost
        http://s3/addresses/worlds/w/20261121-093000-007-g12.zip
            x-id=GetObject response-content-disposition=attachment%3B%20filename%3D%2220261121-093000-007-g12.zip%22 response-content-type=application%2Fzip X-Amz-Algorithm=AWS4-HMAC-SHA256 X-Amz-Expires=1 X-Amz-SignedHeaders=host
    "#]],
    );
}

#[tokio::test]
async fn a_url_takes_exactly_the_bytes_that_it_was_signed_for() {
    let archives = bench("lengths").await;
    let ticket = archives.ticket(&world("w"), Generation(1), 3, Timestamp::now()).await.unwrap();
    assert!(!Web::put(&archives, &ticket.urls[0], b"zi").await);
    assert!(!Web::put(&archives, &ticket.urls[0], b"zipp").await);
    assert!(Web::put(&archives, &ticket.urls[0], b"zip").await);
}

#[tokio::test]
async fn of_two_checks_at_once_both_find_the_parts_put_together() {
    let archives = bench("two-checks").await;
    let content = vec![7; (5 << 20) + 1];
    let ticket =
        archives.ticket(&world("w"), Generation(1), content.len() as u64, Timestamp::now()).await.unwrap();
    for (url, part) in ticket.urls.iter().zip(content.chunks(5 << 20)) {
        assert!(Web::put(&archives, url, part).await);
    }
    let sha256 = Sha256(sha2::Sha256::digest(&content).into());
    let claim = Archive { id: ticket.id, generation: Generation(1), size: content.len() as u64, sha256 };
    // The one that comes second may find the upload gone and the object not there yet: then nobody knows.
    let w = world("w");
    let (first, second) = tokio::join!(archives.check(&w, &claim), archives.check(&w, &claim));
    assert!(first == Ok(Checked::Whole) || second == Ok(Checked::Whole), "{first:?} {second:?}");
    assert_eq!(archives.check(&world("w"), &claim).await, Ok(Checked::Whole));
}

#[tokio::test]
async fn what_is_out_of_reach_says_nothing_about_archives() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let archives =
        S3Archive::new(&config_at(&format!("http://{nobody}"), "key", "secret").await, "bucket", HOUR);
    let ticket = archives.ticket(&world("w"), Generation(1), 3, at(1)).await.unwrap();
    let claim = Archive { id: ticket.id, generation: Generation(1), size: 3, sha256: Sha256([7; 32]) };
    let checked = archives.check(&world("w"), &claim).await.unwrap_err();
    let linked = archives.link(&world("w"), &claim.id, at(60_000)).await.unwrap_err();
    let in_parts = archives.ticket(&world("w"), Generation(1), SMALLEST_PART + 1, at(1)).await.unwrap_err();
    expect![[r#"
        s3:HeadObject failed: the service is out of reach
        s3:HeadObject failed: the service is out of reach
        s3:CreateMultipartUpload failed: the service is out of reach"#]]
    .assert_eq(&format!("{checked}\n{linked}\n{in_parts}"));
}

#[tokio::test]
async fn more_than_is_ever_received_gets_no_ticket() {
    let archives = bench("too-large").await;
    let error = archives.ticket(&world("w"), Generation(1), u64::MAX, at(1)).await.unwrap_err().to_string();
    expect!["an archive of 18446744073709551615 bytes is larger than the 107374182400 that are received"]
        .assert_eq(&error);
}

#[test]
fn parts_are_whole_mib_and_no_more_than_64() {
    let mut said = String::new();
    for size in [1, SMALLEST_PART, SMALLEST_PART + 1, 4 << 30, (4 << 30) + 1, super::super::LARGEST] {
        let part = part_size(size, SMALLEST_PART);
        assert!(part.is_multiple_of(MIB) && part <= 5 << 30, "S3's limit");
        said += &format!("{size} bytes: {} of {} MiB\n", size.div_ceil(part), part / MIB);
    }
    expect![[r#"
        1 bytes: 1 of 64 MiB
        67108864 bytes: 1 of 64 MiB
        67108865 bytes: 2 of 64 MiB
        4294967296 bytes: 64 of 64 MiB
        4294967297 bytes: 64 of 65 MiB
        107374182400 bytes: 64 of 1600 MiB
    "#]]
    .assert_eq(&said);
}

#[test]
fn a_link_lasts_no_longer_than_its_credentials_and_may_be_over_already() {
    let now = at(300);
    let lasts = |expires: Timestamp, longest| {
        let (signing, end) = until(expires, now, Duration::from_secs(longest)).unwrap();
        let signed = Timestamp::try_from(signing.start_time()).unwrap() + signing.expires();
        assert_eq!(signed, end, "what is said is what is signed");
        (signing.expires().as_secs(), end.as_second() - now.as_second())
    };
    let day = 24 * 60 * 60;
    assert_eq!(lasts(now + Duration::from_secs(60), 3600), (60, 60));
    assert_eq!(lasts(now + Duration::from_secs(7 * day), 3600), (3600, 3600));
    assert_eq!(lasts(now - Duration::from_secs(60), 3600), (1, -60));
}

#[tokio::test]
async fn a_link_says_when_it_really_ends_which_is_within_seven_days() {
    let archives = bench("real-end").await;
    let ticket = archives.ticket(&world("w"), Generation(1), 3, Timestamp::now()).await.unwrap();
    assert!(Web::put(&archives, &ticket.urls[0], b"zip").await);
    let week = 7 * 24 * 60 * 60;
    for (longest, expected) in [(3600, 3600), (10 * week, week)] {
        let aws = config_at(server().url(), server().access_key(), server().secret_key()).await;
        let archives = S3Archive::new(&aws, "real-end", Duration::from_secs(longest));
        let before = Timestamp::now();
        let asked = before + Duration::from_secs(30 * 24 * 60 * 60);
        let link = archives.link(&world("w"), &ticket.id, asked).await.unwrap();
        let works_for = link.expires.as_second() - before.as_second();
        assert!((expected..=expected + 60).contains(&works_for.unsigned_abs()), "{works_for}");
        assert!(link.url.contains(&format!("X-Amz-Expires={expected}&")), "{}", link.url);
    }
}

#[async_trait]
impl Upload for S3Archive {
    async fn put(&self, _world: &WorldId, ticket: &Ticket, content: &'static [u8], _claim: &Archive) {
        assert!(Web::put(self, &ticket.urls[0], content).await);
    }
}

#[async_trait]
impl Web for S3Archive {
    async fn put(&self, url: &str, part: &[u8]) -> bool {
        let (url, part) = (url.to_owned(), part.to_owned());
        on_the_web(move |agent| agent.put(&url).send(&part[..]).ok().map(drop)).await.is_some()
    }

    async fn get(&self, url: &str) -> Option<Vec<u8>> {
        let url = url.to_owned();
        on_the_web(move |agent| agent.get(&url).call().ok()?.into_body().read_to_vec().ok()).await
    }
}

async fn on_the_web<T: Send + 'static>(ask: impl FnOnce(&ureq::Agent) -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(move || ask(&ureq::Agent::new_with_defaults())).await.unwrap()
}

/// Returns archives in a bucket of the test's own, in parts as small as S3 allows.
async fn bench(bucket: &str) -> S3Archive {
    let server = tokio::task::spawn_blocking(server).await.unwrap();
    let bucket = bucket.to_owned();
    std::fs::create_dir_all(server.dir().join(&bucket)).unwrap();
    let aws = config_at(server.url(), server.access_key(), server.secret_key()).await;
    S3Archive { smallest_part: 5 << 20, ..S3Archive::new(&aws, bucket, HOUR) }
}

fn server() -> &'static S3 {
    static SERVER: OnceLock<S3> = OnceLock::new();
    SERVER.get_or_init(|| S3::start(&["contract"], "key", "secret").unwrap())
}

/// Shows URLs without what is different each time.
fn check(urls: Vec<String>, expected: Expect) {
    let mut said = String::new();
    for url in urls {
        let url = url.replace(server().url(), "http://s3");
        let (path, query) = url.split_once('?').unwrap();
        let fields = query.split('&').filter(|field| {
            !["X-Amz-Signature", "X-Amz-Date", "X-Amz-Credential"].iter().any(|name| field.starts_with(name))
        });
        let fields = fields.map(|field| if field.starts_with("uploadId=") { "uploadId=…" } else { field });
        said += &format!("{path}\n    {}\n", fields.collect::<Vec<_>>().join(" "));
    }
    expected.assert_eq(&said);
}
