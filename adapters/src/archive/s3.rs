//! Archives in an S3 bucket.
//!
//! ```text
//! worlds/<world>/<archive>.zip    a complete archive
//! uploads/<world>/<archive>       the id that S3 gave to an upload in parts
//! ```
//!
//! Who uploads or downloads has nothing but a URL, presigned for one act on one key. A small archive is one PUT; a large
//! one is a multipart upload, which [`ArchiveStore::check`] completes when everything that was claimed is there. The
//! parts' lengths are signed too: a ticket for so many bytes takes exactly those.
//!
//! Nothing is believed about the content that was not computed here: the digest that S3 has of an object is one of its
//! parts, or one that the sender gave, so the object is read through and digested, in constant memory.
//!
//! A URL dies with the credentials that signed it. Those of a role live for hours and do not say how many, so no link is
//! said to last longer than [`S3Archive`] is told that they do, and a watchdog whose URLs have died asks for another ticket. Whoever holds the URL of a small archive could
//! put another one over it while it lives, which is the launch's own watchdog alone; the bucket has to keep versions.
//! Nothing is ever removed here: multipart uploads that were never completed, and `uploads/` after some days, are for
//! lifecycle rules of the bucket.
//!
//! The upload's id is kept in an object of its own rather than looked up by ListMultipartUploads: that permission cannot
//! be had for a part of a bucket, and not every server that speaks S3's language has that call.
//!
//! # Permissions
//!
//! | action | on | for |
//! | --- | --- | --- |
//! | `s3:PutObject` | `<bucket>/worlds/*`, `<bucket>/uploads/*` | tickets (the front door), completing (the worker) |
//! | `s3:GetObject` | `<bucket>/worlds/*`, `<bucket>/uploads/*` | checks (the worker), links (the front door) |
//! | `s3:ListBucket` | the bucket | to be told that an object is absent, rather than forbidden |
//! | `s3:ListMultipartUploadParts` | `<bucket>/worlds/*` | checks (the worker) |

use std::time::Duration;

use async_trait::async_trait;
use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{
    Client, config,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    presigning::{PresignedRequest, PresigningConfig},
    types::{CompletedMultipartUpload, CompletedPart, Part},
};
use domain::{
    lifecycle::ARCHIVE_LIMIT,
    ports::{ArchiveStore, Checked, Link, LinkError, Ticket, Unavailable},
    world::{Archive, ArchiveId, Generation, Sha256, WorldId},
};
use jiff::Timestamp;
use sha2::Digest;

use super::{archive_id, refuse_too_large};
use crate::aws::unavailable;

/// The smallest part of an archive that has several: a part that breaks off is sent again, so smaller than what takes a
/// minute, and larger than the 5 MiB that S3 asks for.
const SMALLEST_PART: u64 = 64 << 20;

/// The most parts: their URLs have to fit in the answer to a watchdog.
const MOST_PARTS: u64 = 64;

/// What the size of a part is a multiple of.
const MIB: u64 = 1 << 20;

/// The longest that S3 lets a link last, whoever signs it.
const LONGEST_LINK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The longest id of an upload that is read; S3's have some hundred characters.
const LONGEST_UPLOAD_ID: usize = 4096;

/// How long S3 may take to put parts together. It answers while it does so.
const COMPLETE_LIMIT: Duration = Duration::from_secs(120);

/// Archives in a bucket.
#[derive(Debug, Clone)]
pub struct S3Archive {
    s3: Client,
    bucket: String,
    smallest_part: u64,
    longest_link: Duration,
}

/// Where the bucket has an archive, and the id of its upload.
struct Place {
    archive: String,
    upload: String,
}

impl Place {
    fn of(world: &WorldId, id: &ArchiveId) -> Self {
        Self { archive: format!("worlds/{world}/{id}.zip"), upload: format!("uploads/{world}/{id}") }
    }
}

/// What the bucket has of an archive.
struct Object {
    size: u64,
    version: String,
}

impl S3Archive {
    /// Returns the archives in the bucket, as [`crate::aws::config`] reaches it, with links that last for `longest_link`
    /// at most: as long as the credentials that sign them, and in whole seconds.
    pub fn new(aws: &SdkConfig, bucket: impl Into<String>, longest_link: Duration) -> Self {
        let s3 = Client::from_conf(config::Builder::from(aws).build());
        Self {
            s3,
            bucket: bucket.into(),
            smallest_part: SMALLEST_PART,
            longest_link: longest_link.min(LONGEST_LINK),
        }
    }

    async fn urls(&self, place: &Place, size: u64, part_size: u64) -> Result<Vec<String>, Unavailable> {
        let (key, lasting) = (&place.archive, lasting(ARCHIVE_LIMIT)?);
        if size <= part_size {
            let put = self.s3.put_object().bucket(&self.bucket).key(key).content_length(signed(size));
            return Ok(vec![url(put.presigned(lasting).await)?]);
        }
        let upload = self.begin_upload(place).await?;
        let mut urls = Vec::new();
        for (number, from) in (1..).zip((0..size).step_by(usize::try_from(part_size).unwrap_or(usize::MAX))) {
            let length = part_size.min(size - from);
            let part = self.s3.upload_part().bucket(&self.bucket).key(key).upload_id(&upload);
            let part = part.part_number(number).content_length(signed(length));
            urls.push(url(part.presigned(lasting.clone()).await)?);
        }
        Ok(urls)
    }

    /// Begins an upload in parts, and keeps its id until the parts are put together.
    async fn begin_upload(&self, place: &Place) -> Result<String, Unavailable> {
        let begun = self.s3.create_multipart_upload().bucket(&self.bucket).key(&place.archive).send().await;
        let begun = begun.map_err(|error| unavailable("s3:CreateMultipartUpload", &error))?;
        let none = || Unavailable("s3:CreateMultipartUpload named no upload".into());
        let upload = begun.upload_id.ok_or_else(none)?;
        let kept = self.s3.put_object().bucket(&self.bucket).key(&place.upload);
        let kept = kept.body(upload.clone().into_bytes().into()).send().await;
        kept.map_err(|error| unavailable("s3:PutObject", &error))?;
        Ok(upload)
    }

    /// Returns what the bucket has of the archive, once its parts, if it came in parts of that size altogether, are put
    /// together.
    async fn arrived(&self, place: &Place, size: u64) -> Result<Option<Object>, Unavailable> {
        let key = &place.archive;
        if let Some(object) = self.head(key).await? {
            return Ok(Some(object));
        }
        let Some(upload) = self.upload_in_parts(place).await? else { return Ok(None) };
        let Some(mut parts) = self.parts(key, &upload).await? else { return self.head(key).await };
        if parts.iter().map(length).sum::<u64>() != size {
            return Ok(None);
        }
        parts.sort_by_key(Part::part_number);
        self.complete(key, &upload, &parts).await?;
        self.head(key).await
    }

    async fn head(&self, key: &str) -> Result<Option<Object>, Unavailable> {
        match self.s3.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(head) => Ok(Some(Object {
                size: head.content_length().and_then(|n| n.try_into().ok()).unwrap_or_default(),
                version: head.e_tag.unwrap_or_default(),
            })),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(unavailable("s3:HeadObject", &error)),
        }
    }

    /// Returns the id of the archive's upload in parts, if it was one.
    async fn upload_in_parts(&self, place: &Place) -> Result<Option<String>, Unavailable> {
        let broke_off = || Unavailable("s3:GetObject broke off".into());
        let mut kept = match self.s3.get_object().bucket(&self.bucket).key(&place.upload).send().await {
            Ok(kept) => kept.body,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(unavailable("s3:GetObject", &error)),
        };
        let mut id = Vec::new();
        while let Some(chunk) = kept.next().await {
            id.extend_from_slice(&chunk.map_err(|_| broke_off())?);
            if id.len() > LONGEST_UPLOAD_ID {
                return Ok(None);
            }
        }
        Ok(String::from_utf8(id).ok())
    }

    /// Returns the parts that came; nothing if the upload is over.
    async fn parts(&self, key: &str, upload: &str) -> Result<Option<Vec<Part>>, Unavailable> {
        let list = self.s3.list_parts().bucket(&self.bucket).key(key).upload_id(upload).send().await;
        match list {
            Ok(list) => Ok(Some(list.parts.unwrap_or_default())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(unavailable("s3:ListParts", &error)),
        }
    }

    /// Puts the parts together, unless there is something under the key already. No error if somebody else did so, or if
    /// S3 finds that they do not make an object.
    async fn complete(&self, key: &str, upload: &str, parts: &[Part]) -> Result<(), Unavailable> {
        let completed = parts.iter().map(|part| {
            let number = part.part_number().unwrap_or_default();
            CompletedPart::builder().part_number(number).set_e_tag(part.e_tag.clone()).build()
        });
        let completed = CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build();
        let complete = self.s3.complete_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
        let limits = TimeoutConfig::builder()
            .operation_attempt_timeout(COMPLETE_LIMIT)
            .operation_timeout(COMPLETE_LIMIT)
            .build();
        let complete = complete
            .if_none_match("*")
            .multipart_upload(completed)
            .customize()
            .config_override(config::Builder::new().timeout_config(limits));
        match complete.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) || is_unfit(&error) => Ok(()),
            Err(error) => Err(unavailable("s3:CompleteMultipartUpload", &error)),
        }
    }

    /// Reads the object through, and returns its digest and how long it was.
    async fn digest(&self, key: &str, version: &str) -> Result<(u64, Sha256), Unavailable> {
        let get = self.s3.get_object().bucket(&self.bucket).key(key).if_match(version).send().await;
        let mut body = get.map_err(|error| unavailable("s3:GetObject", &error))?.body;
        let (mut size, mut digest) = (0, sha2::Sha256::new());
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| Unavailable("s3:GetObject broke off".into()))?;
            size += chunk.len() as u64;
            digest.update(&chunk);
        }
        Ok((size, Sha256(digest.finalize().into())))
    }

    async fn download_url(
        &self,
        key: &str,
        id: &ArchiveId,
        lasting: PresigningConfig,
    ) -> Result<String, Unavailable> {
        let get = self.s3.get_object().bucket(&self.bucket).key(key);
        let get = get
            .response_content_type("application/zip")
            .response_content_disposition(format!("attachment; filename=\"{id}.zip\""));
        url(get.presigned(lasting).await)
    }
}

#[async_trait]
impl ArchiveStore for S3Archive {
    /// The URLs hold for as long as a stop waits for its archive, by the clock of this machine.
    async fn ticket(
        &self,
        world: &WorldId,
        launch: Generation,
        size: u64,
        now: Timestamp,
    ) -> Result<Ticket, Unavailable> {
        refuse_too_large(size)?;
        let id = archive_id(launch, now)?;
        let part_size = part_size(size, self.smallest_part);
        let urls = self.urls(&Place::of(world, &id), size, part_size).await?;
        Ok(Ticket { id, part_size, urls })
    }

    async fn check(&self, world: &WorldId, claim: &Archive) -> Result<Checked, Unavailable> {
        let place = Place::of(world, &claim.id);
        let whole = match self.arrived(&place, claim.size).await? {
            Some(Object { size, version }) if size == claim.size => {
                self.digest(&place.archive, &version).await? == (claim.size, claim.sha256)
            }
            Some(_) | None => false,
        };
        Ok(if whole { Checked::Whole } else { Checked::NotWhole })
    }

    async fn link(&self, world: &WorldId, id: &ArchiveId, expires: Timestamp) -> Result<Link, LinkError> {
        let key = Place::of(world, id).archive;
        self.head(&key).await?.ok_or(LinkError::NotFound)?;
        let (lasting, expires) = until(expires, Timestamp::now(), self.longest_link)?;
        Ok(Link { url: self.download_url(&key, id, lasting).await?, expires })
    }
}

/// Returns the size of the parts of an archive: whole MiB, and no more parts than [`MOST_PARTS`].
fn part_size(size: u64, smallest: u64) -> u64 {
    smallest.max(size.div_ceil(MOST_PARTS)).next_multiple_of(MIB)
}

/// Returns a length as S3's interface has it; none that is let in comes near what does not fit.
fn signed(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn length(part: &Part) -> u64 {
    part.size().and_then(|n| n.try_into().ok()).unwrap_or_default()
}

/// Signs from now on.
fn lasting(time: Duration) -> Result<PresigningConfig, Unavailable> {
    PresigningConfig::expires_in(time).map_err(|error| Unavailable(format!("cannot sign: {error}")))
}

/// Signs until `expires`, which may be over already, or for `longest` from now, and returns until when that is: S3 counts
/// whole seconds.
fn until(
    expires: Timestamp,
    now: Timestamp,
    longest: Duration,
) -> Result<(PresigningConfig, Timestamp), Unavailable> {
    let cannot_sign = |why: &dyn std::fmt::Display| Unavailable(format!("cannot sign: {why}"));
    let longest = i64::try_from(longest.as_secs()).unwrap_or(i64::MAX);
    let end = expires.as_second().min(now.as_second().saturating_add(longest));
    let end = Timestamp::from_second(end).map_err(|error| cannot_sign(&error))?;
    // A second is the shortest that can be signed.
    let start = Timestamp::from_second(now.as_second().min(end.as_second().saturating_sub(1)));
    let start = start.map_err(|error| cannot_sign(&error))?;
    let lasts = Duration::from_secs(end.as_second().abs_diff(start.as_second()));
    let signing = PresigningConfig::builder().start_time(start.into()).expires_in(lasts).build();
    Ok((signing.map_err(|error| cannot_sign(&error))?, end))
}

fn url<E>(signed: Result<PresignedRequest, SdkError<E, HttpResponse>>) -> Result<String, Unavailable>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    signed.map(|request| request.uri().to_owned()).map_err(|error| unavailable("signing for S3", &error))
}

/// Tells whether S3 says that there is no such object or upload. The answer to HEAD has no body to name an error.
fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(service) = error else { return false };
    matches!(service.err().code(), Some("NoSuchKey" | "NoSuchUpload" | "NotFound"))
}

/// Tells whether S3 says that the parts make no object, or that there is one already.
fn is_unfit<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(service) = error else { return false };
    let unfit = ["EntityTooSmall", "InvalidPart", "InvalidPartOrder", "PreconditionFailed"];
    service.err().code().is_some_and(|code| unfit.contains(&code))
}

#[cfg(test)]
mod tests;
