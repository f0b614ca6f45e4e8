//! S3 on a directory: `s3s-fs`, which checks presigned URLs, their expiry, signed lengths, and the MD5 and SHA-256 of a
//! single upload as S3 does.
//!
//! Where it falls short of S3, so that a test which passes here proves nothing there:
//!
//! - An upload that is refused with `BadDigest` is stored all the same.
//! - UploadPart checks neither MD5 nor SHA-256, and no part or multipart object has a checksum: CreateMultipartUpload
//!   ignores the algorithm, and HeadObject shows none.
//! - CompleteMultipartUpload does not compare the ETags of parts. (It does refuse small parts.)
//! - ListParts is in no order. An upload that is completed or aborted answers `AccessDenied`, not `NoSuchUpload`.
//! - ListMultipartUploads, GetObjectAttributes, tags, versions and lifecycle are not implemented.

use std::{
    fmt, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{
    install::{self, install},
    moto::scratch,
    process::{Environment, Guarded},
};

const START_LIMIT: Duration = Duration::from_secs(30);

/// How often another free port is tried when somebody took the last one first.
const PORT_ATTEMPTS: u32 = 5;

/// Buckets in a directory of their own, with one pair of keys that may do everything.
pub struct S3 {
    url: String,
    access_key: String,
    secret_key: String,
    directory: TempDir,
    _process: Guarded,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("url", &self.url).finish_non_exhaustive()
    }
}

impl S3 {
    /// Starts a server with empty `buckets`, whose names have 3 to 63 characters as in S3. Requests name the bucket
    /// in the path (`force_path_style`); any region will do.
    pub fn start(buckets: &[&str], access_key: &str, secret_key: &str) -> Result<Self> {
        install()?;
        let directory = scratch()?;
        for bucket in buckets {
            fs::create_dir_all(directory.path().join("data").join(bucket))?;
        }
        let (process, port) = (1..=PORT_ATTEMPTS)
            .map(|_| serve(directory.path(), access_key, secret_key))
            .find(|attempt| attempt.is_ok())
            .unwrap_or_else(|| serve(directory.path(), access_key, secret_key))
            .context("starting s3s-fs")?;
        Ok(Self {
            url: format!("http://127.0.0.1:{port}"),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            directory,
            _process: process,
        })
    }

    /// Returns the endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the access key's id.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Returns the secret access key.
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// Returns the directory that holds the buckets; an object is the file `<bucket>/<key>` in it.
    pub fn dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Returns the file in which the server notes what it refused.
    pub fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

/// Starts a server on a port that is free now and waits until it says that it listens.
fn serve(directory: &Path, access_key: &str, secret_key: &str) -> Result<(Guarded, u16)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new(install::s3s_program());
    command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--access-key", access_key, "--secret-key", secret_key]).arg(directory.join("data"));
    command.env("RUST_LOG", "s3s_fs=info,s3s=error");
    let mut process = Guarded::start(&command, Environment::Inherited, &directory.join("log"))?;
    let sign = format!("running at http://127.0.0.1:{port}");
    process.wait_until(START_LIMIT, |process| process.log().contains(&sign).then_some(()))?;
    Ok((process, port))
}
