//! Images: made from a context, or pulled, and not made again while what they are made of stays the same.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use bollard::{
    body_full,
    errors::Error,
    models::{ErrorDetail, ImageInspect},
    query_parameters::{BuildImageOptionsBuilder, CreateImageOptionsBuilder, RemoveImageOptions},
};
use domain::ports::Unavailable;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::time;

use super::engine::{Engine, failed, is_status};
use crate::report::shortened;

/// The label of an image that says what it was made of.
const CONTEXT_LABEL: &str = "dormouse.context";

/// How long an image may take: some games have gigabytes.
const IMAGE_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);

/// How many of the last lines are told when it fails.
const LAST_LINES: usize = 15;

/// A file of a context.
#[derive(Debug, Clone, Copy)]
pub struct ContextFile<'a> {
    /// Its name, or its path below the context, of at most 100 bytes.
    pub name: &'a str,
    /// What is in it.
    pub content: &'a [u8],
    /// Its permissions.
    pub mode: u32,
}

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct Recipe<'a> {
    /// The context; one of its files is `Dockerfile`.
    pub files: Vec<ContextFile<'a>>,
    /// The values of the Dockerfile's `ARG`s.
    pub args: BTreeMap<String, String>,
}

/// Takes the lines that people read while an image is made or pulled.
pub type Progress<'a> = &'a mut (dyn FnMut(&str) + Send);

/// Why there is no image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImageError {
    /// It could not be made or pulled: the last that was said.
    #[error("image {image}: {why}")]
    Failed {
        /// The image.
        image: String,
        /// What the engine said.
        why: String,
    },
    /// The engine is out of reach.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Whether anything had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was made.
    Anew,
    /// It was there already, made of the same.
    Before,
}

impl Recipe<'_> {
    /// Returns a digest of everything in it, in hexadecimal.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        };
        for (name, value) in &self.args {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        add(b"files");
        for file in &self.files {
            add(file.name.as_bytes());
            add(&file.mode.to_le_bytes());
            add(file.content);
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Engine {
    /// Tells whether the image is there.
    pub async fn has(&self, image: &str) -> Result<bool, Unavailable> {
        Ok(self.image(image).await?.is_some())
    }

    /// Looks for an image.
    async fn image(&self, name: &str) -> Result<Option<ImageInspect>, Unavailable> {
        match self.docker.inspect_image(name).await {
            Ok(image) => Ok(Some(image)),
            Err(error) if is_status(&error, 404) => Ok(None),
            Err(error) => Err(failed("look for an image", &error)),
        }
    }

    /// Makes the image `tag`, unless it is there and was made of the same. That its base has changed is not noticed.
    pub async fn build(
        &self,
        recipe: &Recipe<'_>,
        tag: &str,
        progress: Progress<'_>,
    ) -> Result<Made, ImageError> {
        let (found, digest) = (self.image(tag).await?, recipe.digest());
        if found.as_ref().is_some_and(|image| is_of(image, &digest)) {
            return Ok(Made::Before);
        }
        let before = found.and_then(|image| image.id);
        let options = BuildImageOptionsBuilder::new()
            .dockerfile("Dockerfile")
            .t(tag)
            .rm(true)
            .forcerm(true)
            .buildargs(&recipe.args.clone().into_iter().collect::<HashMap<_, _>>())
            .labels(&HashMap::from([(CONTEXT_LABEL.to_owned(), digest)]))
            .build();
        let context = archive(&recipe.files);
        let said = self.docker.build_image(options, None, Some(body_full(context.into())));
        let said = said.map(|step| {
            step.map(|step| Step {
                line: step.stream.or(step.status).unwrap_or_default(),
                error: step.error_detail.map(reason),
            })
        });
        follow(tag, said, progress).await?;
        if let Some(before) = before {
            self.remove_nameless(&before).await;
        }
        Ok(Made::Anew)
    }

    /// Removes an image that has lost its last name to another, unless a container is made of it: then it has to stay.
    async fn remove_nameless(&self, id: &str) {
        let found = self.docker.inspect_image(id).await;
        let is_nameless = found.is_ok_and(|image| image.repo_tags.unwrap_or_default().is_empty());
        if is_nameless
            && let Err(error) = self.docker.remove_image(id, None::<RemoveImageOptions>, None).await
        {
            tracing::debug!("image {id} stays: {error}");
        }
    }

    /// Pulls the image, whether it is there or not.
    pub async fn pull(&self, image: &str, progress: Progress<'_>) -> Result<(), ImageError> {
        let options = CreateImageOptionsBuilder::new().from_image(&with_tag(image)).build();
        let said = self.docker.create_image(Some(options), None, None);
        let said = said.map(|step| {
            step.map(|step| {
                let part = step.id.map_or_else(String::new, |id| format!("{id}: "));
                let line = step.status.map_or_else(String::new, |status| format!("{part}{status}"));
                Step { line, error: step.error_detail.map(reason) }
            })
        });
        follow(image, said, progress).await
    }

    /// Tells whether the image is there and was made of the same.
    pub async fn is_made_of(&self, tag: &str, recipe: &Recipe<'_>) -> Result<bool, Unavailable> {
        let found = self.image(tag).await?;
        Ok(found.is_some_and(|image| is_of(&image, &recipe.digest())))
    }
}

/// Tells whether the image was made of what has this digest.
fn is_of(image: &ImageInspect, digest: &str) -> bool {
    let labels = image.config.as_ref().and_then(|config| config.labels.as_ref());
    labels.and_then(|labels| labels.get(CONTEXT_LABEL)).is_some_and(|label| label == digest)
}

/// Something that an engine says while it makes or pulls an image.
struct Step {
    line: String,
    error: Option<String>,
}

fn reason(detail: ErrorDetail) -> String {
    detail.message.unwrap_or_else(|| "it does not say why".into())
}

/// Tells what an engine says, until it is done.
async fn follow(
    image: &str,
    said: impl Stream<Item = Result<Step, Error>>,
    progress: Progress<'_>,
) -> Result<(), ImageError> {
    let mut last = VecDeque::new();
    let failed = |why: &str, last: &VecDeque<String>| {
        let lines: Vec<_> = last.iter().map(String::as_str).chain([why]).collect();
        ImageError::Failed { image: image.to_owned(), why: lines.join("\n") }
    };
    let mut said = std::pin::pin!(said);
    let mut before = String::new();
    let all = async {
        while let Some(step) = said.next().await {
            let step = step.map_err(|error| failed(&shortened(&error.to_string()), &last))?;
            for line in step.line.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
                let line = shortened(line);
                // A pull says "Downloading" of a layer again and again.
                if line == before {
                    continue;
                }
                progress(&line);
                last.push_back(line.clone());
                before = line;
                if last.len() > LAST_LINES {
                    last.pop_front();
                }
            }
            if let Some(why) = step.error {
                return Err(failed(&shortened(&why), &last));
            }
        }
        Ok(())
    };
    time::timeout(IMAGE_LIMIT, all).await.unwrap_or_else(|_| {
        let why = format!("it was not done in {} hours", IMAGE_LIMIT.as_secs() / 3600);
        Err(ImageError::Failed { image: image.to_owned(), why })
    })
}

/// Returns the image's name with a tag: without one, every tag of it would be pulled.
fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// Returns a tar archive (POSIX ustar) of plain files: root's, and of no time, so that the same files give the same archive.
fn archive(files: &[ContextFile<'_>]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut archive = Vec::new();
    for file in files {
        let mut head = [0; BLOCK];
        let mut put = |at: usize, text: &[u8]| head[at..at + text.len()].copy_from_slice(text);
        let name = &file.name.as_bytes()[..file.name.len().min(100)];
        put(0, name);
        put(100, format!("{:07o}", file.mode & 0o7777).as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{:011o}", file.content.len()).as_bytes());
        put(136, b"00000000000");
        // The checksum is taken with blanks in its place.
        put(148, b"        ");
        put(156, b"0");
        put(257, b"ustar\x0000");
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend_from_slice(&head);
        archive.extend_from_slice(file.content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    const FILE: ContextFile<'static> =
        ContextFile { name: "Dockerfile", content: b"FROM scratch\n", mode: 0o644 };

    fn recipe(files: &[ContextFile<'static>], args: &[(&str, &str)]) -> String {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Recipe { files: files.to_vec(), args }.digest()
    }

    #[test]
    fn whatever_differs_makes_another_image() {
        let all = [
            recipe(&[FILE], &[]),
            recipe(&[ContextFile { name: "other", ..FILE }], &[]),
            recipe(&[ContextFile { mode: 0o755, ..FILE }], &[]),
            recipe(&[ContextFile { content: b"FROM other\n", ..FILE }], &[]),
            recipe(&[FILE, FILE], &[]),
            recipe(&[FILE], &[("BASE", "a")]),
            recipe(&[FILE], &[("BAS", "Ea")]),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(all[n + 1..].iter().all(|other| other != one), "{n}");
        }
        assert_eq!(recipe(&[FILE], &[]), all[0]);
    }

    #[test]
    fn an_archive_is_read_by_tar() {
        let dir = tempfile::tempdir().unwrap();
        let long = vec![b'x'; 700];
        let files = [FILE, ContextFile { name: "lib/a.so", content: &long, mode: 0o755 }];
        let path = dir.path().join("a.tar");
        std::fs::write(&path, archive(&files)).unwrap();
        let out = std::process::Command::new("tar").arg("xf").arg(&path).arg("-C").arg(dir.path()).output();
        let out = out.unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(std::fs::read(dir.path().join("Dockerfile")).unwrap(), FILE.content);
        assert_eq!(std::fs::read(dir.path().join("lib/a.so")).unwrap(), long);
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(dir.path().join("lib/a.so")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        assert_eq!(with_tag("itzg/minecraft-server"), "itzg/minecraft-server:latest");
        for named in ["a/b:1", "localhost:5000/a@sha256:0a"] {
            assert_eq!(with_tag(named), named);
        }
        assert_eq!(with_tag("localhost:5000/a"), "localhost:5000/a:latest");
    }

    #[tokio::test]
    async fn what_an_engine_says_is_told_once_and_at_the_end_with_the_reason() {
        let step = |line: &str| Ok(Step { line: line.into(), error: None });
        let failing = Ok(Step { line: String::new(), error: Some("no room".into()) });
        let said = stream::iter([step("one\ntwo\n"), step("two"), step(" \n"), failing, step("late")]);
        let mut told = Vec::new();
        let error = follow("i", said, &mut |line| told.push(line.to_owned())).await.unwrap_err();
        assert_eq!(told, ["one", "two"]);
        assert_eq!(error.to_string(), "image i: one\ntwo\nno room");
    }
}
