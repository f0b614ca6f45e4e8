//! Against s3s-fs, which checks signatures, times and lengths as S3 does.

use std::sync::OnceLock;

use emulators::S3;
use expect_test::{Expect, expect};

use super::*;
use crate::{
    archive::contract::{self, Web, at, claim, large, only, uploaded, world},
    aws::tests::config_at,
};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn s3_keeps_the_contract() {
    let archives = bench("contract").await;
    contract::all(&archives, &archives).await;
    contract::signed(&archives, &archives).await;
}

#[tokio::test]
async fn tickets_and_links_are_addresses_in_the_bucket() {
    let archives = bench("addresses").await;
    let Ticket { upload, url } = archives.ticket(&world("w"), Generation(12), &only(3), at(7)).await.unwrap();
    assert!(Web::put(&archives, &url, b"zip").await);
    let sent = contract::Sent { upload: upload.clone(), urls: vec![] };
    assert_eq!(archives.check(&world("w"), &claim(&sent, b"zip")).await, Ok(Checked::Whole));
    let second = Part { of: Some(upload.clone()), number: 2, ..only(17) };
    let second = archives.ticket(&world("w"), Generation(12), &second, at(8)).await.unwrap().url;
    let link = archives.link(&world("w"), &upload.id, at(60_000)).await.unwrap().url;
    let save = contract::import("save");
    let inbox = archives.inbox(&world("w"), &save, Timestamp::now() + HOUR).await.unwrap().url;
    assert!(Web::put(&archives, &inbox, b"zip").await);
    let received = archives.received(&world("w"), &save, at(60_000)).await.unwrap().url;
    check(
        vec![url, second, link, inbox, received],
        expect![[r#"
        http://s3/addresses/worlds/w/20261121-093000-007-g12.zip
            x-id=UploadPart partNumber=1 uploadId=… X-Amz-Algorithm=AWS4-HMAC-SHA256 X-Amz-Expires=10800 X-Amz-SignedHeaders=content-length%3Bhost
        http://s3/addresses/worlds/w/20261121-093000-007-g12.zip
            x-id=UploadPart partNumber=2 uploadId=… X-Amz-Algorithm=AWS4-HMAC-SHA256 X-Amz-Expires=10800 X-Amz-SignedHeaders=content-length%3Bhost
        http://s3/addresses/worlds/w/20261121-093000-007-g12.zip
            x-id=GetObject response-content-disposition=attachment%3B%20filename%3D%2220261121-093000-007-g12.zip%22 response-content-type=application%2Fzip X-Amz-Algorithm=AWS4-HMAC-SHA256 X-Amz-Expires=1 X-Amz-SignedHeaders=host
        http://s3/addresses/imports/w/save
            x-id=PutObject X-Amz-Algorithm=AWS4-HMAC-SHA256 X-Amz-Expires=3600 X-Amz-SignedHeaders=host
        http://s3/addresses/imports/w/save
            x-id=GetObject X-Amz-Algorithm=AWS4-HMAC-SHA256 X-Amz-Expires=1 X-Amz-SignedHeaders=host
    "#]],
    );
}

#[tokio::test]
async fn of_an_upload_nothing_is_left_but_the_archive() {
    let archives = bench("left").await;
    let content = large();
    let sent = uploaded(&archives, &archives, "w", &content).await;
    let left = || {
        let uploads = server().dir().join("left/uploads/w");
        std::fs::read_dir(uploads).map(|all| all.count()).unwrap_or_default()
    };
    assert_eq!(left(), 1);
    let other = Archive { sha256: Sha256([7; 32]), ..claim(&sent, &content) };
    assert_eq!(archives.check(&world("w"), &other).await, Ok(Checked::NotWhole));
    assert_eq!(archives.check(&world("w"), &claim(&sent, &content)).await, Ok(Checked::Whole));
    assert_eq!(left(), 0);
}

#[tokio::test]
async fn of_two_checks_at_once_both_find_the_parts_put_together() {
    let archives = bench("two-checks").await;
    let content = large();
    let claim = claim(&uploaded(&archives, &archives, "w", &content).await, &content);
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
    let (w, save) = (world("w"), contract::import("save"));
    let upload = Upload { id: archive_id(Generation(3), at(1)).unwrap(), key: "key".into() };
    let second = Part { of: Some(upload.clone()), number: 2, ..only(3) };
    archives.ticket(&w, Generation(3), &second, at(1)).await.unwrap();
    let sent = contract::Sent { upload, urls: vec![] };
    let claim = claim(&sent, b"zip");
    let failed = [
        archives.check(&w, &claim).await.unwrap_err().to_string(),
        archives.link(&w, &claim.id, at(60_000)).await.unwrap_err().to_string(),
        archives.ticket(&w, Generation(3), &only(3), at(1)).await.unwrap_err().to_string(),
        archives.remove(&w, &claim.id).await.unwrap_err().to_string(),
        archives.received(&w, &save, at(60_000)).await.unwrap_err().to_string(),
        archives.discard(&w, &save).await.unwrap_err().to_string(),
    ];
    expect![[r#"
        s3:HeadObject failed: the service is out of reach
        s3:HeadObject failed: the service is out of reach
        s3:CreateMultipartUpload failed: the service is out of reach
        s3:DeleteObject failed: the service is out of reach
        s3:HeadObject failed: the service is out of reach
        s3:DeleteObject failed: the service is out of reach"#]]
    .assert_eq(&failed.join("\n"));
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
    let sent = uploaded(&archives, &archives, "w", b"zip").await;
    assert_eq!(archives.check(&world("w"), &claim(&sent, b"zip")).await, Ok(Checked::Whole));
    let week = 7 * 24 * 60 * 60;
    for (longest, expected) in [(3600, 3600), (10 * week, week)] {
        let aws = config_at(server().url(), server().access_key(), server().secret_key()).await;
        let archives = S3Archive::new(&aws, "real-end", Duration::from_secs(longest));
        let before = Timestamp::now();
        let asked = before + Duration::from_secs(30 * 24 * 60 * 60);
        let link = archives.link(&world("w"), &sent.upload.id, asked).await.unwrap();
        let works_for = link.expires.as_second() - before.as_second();
        assert!((expected..=expected + 60).contains(&works_for.unsigned_abs()), "{works_for}");
        assert!(link.url.contains(&format!("X-Amz-Expires={expected}&")), "{}", link.url);
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
        on_the_web(move |agent| {
            let body = agent.get(&url).call().ok()?.into_body();
            body.into_with_config().limit(1 << 30).read_to_vec().ok()
        })
        .await
    }
}

async fn on_the_web<T: Send + 'static>(ask: impl FnOnce(&ureq::Agent) -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(move || ask(&ureq::Agent::new_with_defaults())).await.unwrap()
}

/// Returns archives in a bucket of the test's own.
async fn bench(bucket: &str) -> S3Archive {
    let server = tokio::task::spawn_blocking(server).await.unwrap();
    let bucket = bucket.to_owned();
    std::fs::create_dir_all(server.dir().join(&bucket)).unwrap();
    let aws = config_at(server.url(), server.access_key(), server.secret_key()).await;
    S3Archive::new(&aws, bucket, HOUR)
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
