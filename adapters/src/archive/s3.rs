//! Archives in an S3 bucket.
//!
//! ```text
//! worlds/<world>/<archive>.zip    a complete archive
//! uploads/<world>/<archive>       the id that S3 gave to its upload, until the archive was found whole
//! imports/<world>/<import>        a file that somebody sent to be imported
//! ```
//!
//! Who uploads or downloads has nothing but a URL, presigned for one act on one key. Every archive is a multipart upload,
//! small ones too, which [`ArchiveStore::check`] completes when as many bytes as were claimed are there: what is complete
//! cannot be written to by whoever still holds a URL. The parts' lengths are signed too: a ticket for so many bytes takes
//! exactly those. A link to send a file to import takes what S3 takes at a time, which is 5 GiB.
//!
//! Nothing is believed about the content that was not computed here: the digest that S3 has of an object is one of its
//! parts, or one that the sender gave, so the object is read through and digested, in constant memory. That cannot be
//! divided among several readers, so a check takes as long as one download does, and the look that checks must go on for
//! that long: at 50 MB/s, which one connection to S3 gives in general, 12 GB in the four minutes that a sweep has. A larger
//! archive is never confirmed: after 15 minutes it is removed, people are told, and the world's files stay where they are.
//!
//! A URL dies with the credentials that signed it. Those of a role live for hours and do not say how many, so no link is
//! said to last longer than [`S3Archive`] is told that they do, and a watchdog whose URL has died asks for another ticket.
//!
//! The bucket has to keep versions: what is removed here is gone for whoever asks, and can be had back until a lifecycle
//! rule expires old versions. Lifecycle rules also end multipart uploads that were never completed, and clear `uploads/`
//! and `imports/` after some days: what a crash left there.
//!
//! The upload's id is kept in an object of its own because the claim does not carry it, rather than looked up by
//! ListMultipartUploads: that permission cannot be had for a part of a bucket, and not every server that speaks S3's
//! language has that call.
//!
//! # Permissions
//!
//! | action | on | for |
//! | --- | --- | --- |
//! | `s3:PutObject` | `<bucket>/worlds/*`, `<bucket>/uploads/*` | tickets (the front door), completing (the worker) |
//! | `s3:PutObject` | `<bucket>/imports/*` | links to send a file to import (the front door) |
//! | `s3:GetObject` | `<bucket>/worlds/*`, `<bucket>/uploads/*` | checks (the worker), links (the front door) |
//! | `s3:GetObject` | `<bucket>/imports/*` | links to fetch a file to import (whoever gives them to a watchdog) |
//! | `s3:DeleteObject` | `<bucket>/worlds/*`, `<bucket>/uploads/*`, `<bucket>/imports/*` | removing archives, what an upload leaves, and imports (the worker). Never `s3:DeleteObjectVersion` |
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
    types::{CompletedMultipartUpload, CompletedPart, Part as Arrived},
};
use domain::{
    lifecycle::ARCHIVE_LIMIT,
    ports::{ArchiveStore, Checked, Link, LinkError, Part, Ticket, Unavailable, Upload},
    world::{Archive, ArchiveId, Generation, ImportId, Sha256, WorldId},
};
use jiff::Timestamp;
use sha2::Digest;

use super::{archive_id, refuse_too_large, require_own};
use crate::aws::unavailable;

/// How many pages of parts are read: S3 takes 10,000 parts, and names 1,000 at a time.
const MOST_PAGES: u32 = 11;

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
        Self { s3, bucket: bucket.into(), longest_link: longest_link.min(LONGEST_LINK) }
    }

    /// Begins an upload, and keeps its id until the archive was found whole.
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

    /// Returns what the bucket has of the archive, once its parts, if they have that size altogether, are put together.
    async fn arrived(&self, place: &Place, size: u64) -> Result<Option<Object>, Unavailable> {
        let key = &place.archive;
        if let Some(object) = self.head(key).await? {
            return Ok(Some(object));
        }
        // Where an upload is not there any more, somebody else may have completed it meanwhile.
        let Some(upload) = self.upload_of(place).await? else { return self.head(key).await };
        let Some(mut parts) = self.parts(key, &upload).await? else { return self.head(key).await };
        if parts.iter().map(length).sum::<u64>() != size {
            return Ok(None);
        }
        parts.sort_by_key(Arrived::part_number);
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

    /// Returns the id of the archive's upload, if it has begun and is not over.
    async fn upload_of(&self, place: &Place) -> Result<Option<String>, Unavailable> {
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
    async fn parts(&self, key: &str, upload: &str) -> Result<Option<Vec<Arrived>>, Unavailable> {
        let (mut parts, mut after) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let list = self.s3.list_parts().bucket(&self.bucket).key(key).upload_id(upload);
            let page = match list.set_part_number_marker(after).send().await {
                Ok(page) => page,
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(unavailable("s3:ListParts", &error)),
            };
            let is_last = !page.is_truncated().unwrap_or_default();
            after = page.next_part_number_marker;
            parts.extend(page.parts.unwrap_or_default());
            if is_last {
                break;
            }
        }
        Ok(Some(parts))
    }

    /// Puts the parts together, unless there is something under the key already. No error if somebody else did so, or if
    /// S3 finds that they do not make an object.
    async fn complete(&self, key: &str, upload: &str, parts: &[Arrived]) -> Result<(), Unavailable> {
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

    /// Removes the object, for whoever does not ask for old versions. No error if there is none.
    async fn delete(&self, key: &str) -> Result<(), Unavailable> {
        let deleted = self.s3.delete_object().bucket(&self.bucket).key(key).send().await;
        deleted.map(drop).or_else(|error| match error {
            error if is_missing(&error) => Ok(()),
            error => Err(unavailable("s3:DeleteObject", &error)),
        })
    }
}

#[async_trait]
impl ArchiveStore for S3Archive {
    /// The URL holds for as long as a stop waits for its archive, by the clock of this machine.
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
            None => {
                let id = archive_id(launch, now)?;
                Upload { key: self.begin_upload(&Place::of(world, &id)).await?, id }
            }
        };
        require_own(&upload, launch)?;
        let request = self.s3.upload_part().bucket(&self.bucket).key(Place::of(world, &upload.id).archive);
        let request = request.upload_id(&upload.key).content_length(signed(part.length));
        let request = request.part_number(i32::try_from(part.number).unwrap_or(i32::MAX));
        Ok(Ticket { url: url(request.presigned(lasting(ARCHIVE_LIMIT)?).await)?, upload })
    }

    async fn check(&self, world: &WorldId, claim: &Archive) -> Result<Checked, Unavailable> {
        let place = Place::of(world, &claim.id);
        let whole = match self.arrived(&place, claim.size).await? {
            Some(Object { size, version }) if size == claim.size => {
                self.digest(&place.archive, &version).await? == (claim.size, claim.sha256)
            }
            Some(_) | None => false,
        };
        if !whole {
            return Ok(Checked::NotWhole);
        }
        if let Err(error) = self.delete(&place.upload).await {
            // It has served, and a lifecycle rule clears it away.
            tracing::warn!("what is left of an upload stays for now: {error}");
        }
        Ok(Checked::Whole)
    }

    async fn link(&self, world: &WorldId, id: &ArchiveId, expires: Timestamp) -> Result<Link, LinkError> {
        let key = Place::of(world, id).archive;
        self.head(&key).await?.ok_or(LinkError::NotFound)?;
        let (lasting, expires) = until(expires, Timestamp::now(), self.longest_link)?;
        Ok(Link { url: self.download_url(&key, id, lasting).await?, expires })
    }

    async fn remove(&self, world: &WorldId, id: &ArchiveId) -> Result<(), Unavailable> {
        let place = Place::of(world, id);
        self.delete(&place.archive).await?;
        self.delete(&place.upload).await
    }

    async fn inbox(&self, world: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, Unavailable> {
        let (lasting, expires) = until(expires, Timestamp::now(), self.longest_link)?;
        let put = self.s3.put_object().bucket(&self.bucket).key(import(world, id));
        Ok(Link { url: url(put.presigned(lasting).await)?, expires })
    }

    async fn received(&self, world: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, LinkError> {
        let key = import(world, id);
        self.head(&key).await?.ok_or(LinkError::NotFound)?;
        let (lasting, expires) = until(expires, Timestamp::now(), self.longest_link)?;
        let get = self.s3.get_object().bucket(&self.bucket).key(key);
        Ok(Link { url: url(get.presigned(lasting).await)?, expires })
    }

    async fn discard(&self, world: &WorldId, id: &ImportId) -> Result<(), Unavailable> {
        self.delete(&import(world, id)).await
    }
}

fn import(world: &WorldId, id: &ImportId) -> String {
    format!("imports/{world}/{id}")
}

/// Returns a length as S3's interface has it; none that is let in comes near what does not fit.
fn signed(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn length(part: &Arrived) -> u64 {
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
