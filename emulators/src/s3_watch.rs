//! A watch in front of [`S3`](crate::S3): passes everything on as it is, and notes what each request needs to be allowed, after
//! the list of actions in the S3 user guide.
//!
//! A presigned URL is a request of whoever signed it, so it needs what that one is allowed. Whoever asks for an object that
//! is not there needs `s3:ListBucket` too, or is told that it is forbidden.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Result;

use crate::Needed;

/// The largest head of a request that is read.
const MOST_HEAD_BYTES: usize = 64 * 1024;

/// How much is passed on at a time.
const CHUNK: usize = 64 * 1024;

/// The watch, until it is dropped.
#[derive(Debug)]
pub struct S3Watch {
    address: SocketAddr,
    desk: Arc<Desk>,
    ended: Arc<AtomicBool>,
}

/// What all connections share.
#[derive(Debug, Default)]
struct Desk {
    needed: Mutex<BTreeSet<Needed>>,
    faults: Mutex<VecDeque<S3Fault>>,
}

/// What a request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Fault {
    /// 503 `SlowDown`; nothing is done.
    SlowDown,
    /// 500 `InternalError`; nothing is done.
    InternalError,
    /// The connection breaks off before the request arrives.
    CutBefore,
    /// The connection breaks off when the request has arrived: it takes effect, and nobody hears of that.
    CutAfter,
}

impl S3Fault {
    /// Returns the answer that it is; none where there is no answer.
    fn answer(self) -> Option<String> {
        let (status, code) = match self {
            Self::SlowDown => ("503 Slow Down", "SlowDown"),
            Self::InternalError => ("500 Internal Server Error", "InternalError"),
            Self::CutBefore | Self::CutAfter => return None,
        };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>injected by a test</Message></Error>"
        );
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nConnection: close\r\n");
        Some(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    }
}

impl S3Watch {
    /// Starts a watch on loopback in front of the server at `target`.
    pub fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, desk, ended) =
            (listener.local_addr()?, Arc::<Desk>::default(), Arc::new(AtomicBool::new(false)));
        let watch = Self { address, desk: desk.clone(), ended: ended.clone() };
        thread::Builder::new().name("s3-watch".into()).spawn(move || {
            for near in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let desk = desk.clone();
                // A connection that breaks off is the business of its two ends.
                thread::spawn(move || near.and_then(|near| join(near, target, &desk)));
            }
        })?;
        Ok(watch)
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what was needed for the requests with a session token, whose name the caller's is.
    pub fn needed(&self) -> BTreeSet<Needed> {
        lock(&self.desk.needed).clone()
    }

    /// Has the next requests meet `faults`, whoever they are from.
    pub fn fault(&self, faults: impl IntoIterator<Item = S3Fault>) {
        lock(&self.desk.faults).extend(faults);
    }

    /// Forgets the faults that have not struck, and returns how many there were.
    pub fn clear_faults(&self) -> usize {
        std::mem::take(&mut *lock(&self.desk.faults)).len()
    }
}

impl Drop for S3Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // It waits for a connection, and this is one.
        drop(TcpStream::connect(self.address));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is needed besides if the answer to a request is that there is no such object.
type Absence = Arc<Mutex<Option<Needed>>>;

fn join(near: TcpStream, target: SocketAddr, desk: &Arc<Desk>) -> io::Result<()> {
    let far = TcpStream::connect(target)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (absence, cut) = (Absence::default(), Arc::new(AtomicBool::new(false)));
    let (from_far, to_near) = (far.try_clone()?, near.try_clone()?);
    let (noted, awaited, is_cut) = (desk.clone(), absence.clone(), cut.clone());
    thread::spawn(move || {
        let passed = answers(from_far, &to_near, &awaited, &noted.needed, &is_cut);
        // Whoever waits for more is told that there is none.
        to_near.shutdown(Shutdown::Both).and(passed)
    });
    let passed = requests(near, &far, &absence, desk, &cut);
    far.shutdown(Shutdown::Write).and(passed)
}

/// Passes requests on, noting what each needs before it goes.
fn requests(
    mut near: TcpStream,
    mut far: &TcpStream,
    absence: &Absence,
    desk: &Desk,
    cut: &AtomicBool,
) -> io::Result<()> {
    let (mut held, mut buffer) = (Vec::new(), vec![0; CHUNK]);
    loop {
        let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
            if held.len() > MOST_HEAD_BYTES {
                return Err(io::Error::other("the head of a request is too large"));
            }
            let n = near.read(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            held.extend_from_slice(&buffer[..n]);
            continue;
        };
        let head = Head::read(&held[..end]).ok_or_else(|| io::Error::other("no request of S3"))?;
        *lock(absence) = head.absence();
        lock(&desk.needed).extend(head.needed());
        match lock(&desk.faults).pop_front() {
            None => {}
            Some(S3Fault::CutAfter) => cut.store(true, Ordering::SeqCst),
            Some(fault) => return refuse(near, head.length, (held.len() - end) as u64, fault),
        }
        far.write_all(&held[..end])?;
        let mut left = head.length;
        let here = held.len() - end;
        let of_body = usize::try_from(left).unwrap_or(usize::MAX).min(here);
        far.write_all(&held[end..end + of_body])?;
        left -= of_body as u64;
        held.drain(..end + of_body);
        let passed = io::copy(&mut (&mut near).take(left), &mut far)?;
        if passed < left {
            return Ok(());
        }
    }
}

/// Answers a request, of whose body `here` bytes of `length` have come, as `fault` does; the connection ends with it.
fn refuse(mut near: TcpStream, length: u64, here: u64, fault: S3Fault) -> io::Result<()> {
    let Some(answer) = fault.answer() else { return near.shutdown(Shutdown::Both) };
    // Whoever still sends would not read it.
    io::copy(&mut (&near).take(length.saturating_sub(here)), &mut io::sink())?;
    near.write_all(answer.as_bytes())?;
    near.shutdown(Shutdown::Both)
}

/// Passes answers on, unless they are `cut`, and notes which say that there is no such object.
fn answers(
    mut far: TcpStream,
    mut near: &TcpStream,
    absence: &Absence,
    needed: &Mutex<BTreeSet<Needed>>,
    cut: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = far.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        if cut.load(Ordering::SeqCst) {
            return far.shutdown(Shutdown::Both);
        }
        // Nobody asks again before the answer is there, so this begins with the status of what was asked last.
        if let Some(absent) = lock(absence).take()
            && buffer[..n].starts_with(b"HTTP/1.1 404")
        {
            lock(needed).insert(absent);
        }
        near.write_all(&buffer[..n])?;
    }
}

/// What the head of a request says.
struct Head {
    caller: Option<String>,
    method: String,
    bucket: String,
    /// Nothing where the bucket itself is asked.
    key: Option<String>,
    query: BTreeMap<String, String>,
    copies: bool,
    /// The length of the body.
    length: u64,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?, first.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: BTreeMap<_, _> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
            .collect();
        let query: BTreeMap<_, _> = query
            .split('&')
            .map(|one| one.split_once('=').unwrap_or((one, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if headers.contains_key("transfer-encoding") {
            return None;
        }
        let (bucket, key) =
            path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        Some(Self {
            caller: headers.get("x-amz-security-token").or(query.get("X-Amz-Security-Token")).cloned(),
            method: method.to_owned(),
            bucket: bucket.to_owned(),
            key: Some(key.to_owned()).filter(|key| !key.is_empty()),
            copies: headers.contains_key("x-amz-copy-source"),
            length: headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?,
            query,
        })
    }

    fn needed(&self) -> Option<Needed> {
        let has = |name: &str| self.query.contains_key(name);
        let action = match (self.method.as_str(), &self.key) {
            ("GET" | "HEAD", None) => "s3:ListBucket",
            ("GET", Some(_)) if has("uploadId") => "s3:ListMultipartUploadParts",
            ("GET" | "HEAD", Some(_)) if has("versionId") => "s3:GetObjectVersion",
            ("GET" | "HEAD", Some(_)) => "s3:GetObject",
            // A copy also reads, elsewhere; nobody here copies.
            ("PUT" | "POST", Some(_)) if !self.copies => "s3:PutObject",
            ("DELETE", Some(_)) if has("uploadId") => "s3:AbortMultipartUpload",
            ("DELETE", Some(_)) if has("versionId") => "s3:DeleteObjectVersion",
            ("DELETE", Some(_)) => "s3:DeleteObject",
            _ => "s3:SomethingElse",
        };
        // Objects are named after worlds; what is known before is the beginning.
        let key = self.key.as_deref().map(|key| match key.split_once('/') {
            Some((prefix, _)) => format!("/{prefix}/*"),
            None => format!("/{key}"),
        });
        self.need(action, &key.unwrap_or_default())
    }

    fn absence(&self) -> Option<Needed> {
        let reads = self.key.is_some() && !self.query.contains_key("uploadId");
        if reads && matches!(self.method.as_str(), "GET" | "HEAD") {
            self.need("s3:ListBucket", "")
        } else {
            None
        }
    }

    fn need(&self, action: &str, rest: &str) -> Option<Needed> {
        Some(Needed {
            caller: self.caller.clone()?,
            action: action.to_owned(),
            resource: format!("arn:aws:s3:::{}{rest}", self.bucket),
            context: BTreeMap::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[test]
    fn a_request_needs_what_s3_asks_for() {
        check(
            "GET /b/worlds/w/1.zip?x-id=GetObject",
            expect!["s3:GetObject arn:aws:s3:::b/worlds/*, if absent s3:ListBucket arn:aws:s3:::b"],
        );
        check(
            "HEAD /b/imports/w/1",
            expect!["s3:GetObject arn:aws:s3:::b/imports/*, if absent s3:ListBucket arn:aws:s3:::b"],
        );
        check(
            "GET /b/worlds/w/1.zip?uploadId=u&x-id=ListParts",
            expect!["s3:ListMultipartUploadParts arn:aws:s3:::b/worlds/*"],
        );
        check(
            "PUT /b/worlds/w/1.zip?partNumber=1&uploadId=u",
            expect!["s3:PutObject arn:aws:s3:::b/worlds/*"],
        );
        check("POST /b/worlds/w/1.zip?uploads", expect!["s3:PutObject arn:aws:s3:::b/worlds/*"]);
        check("DELETE /b/uploads/w/1", expect!["s3:DeleteObject arn:aws:s3:::b/uploads/*"]);
        check(
            "DELETE /b/worlds/w/1.zip?versionId=3",
            expect!["s3:DeleteObjectVersion arn:aws:s3:::b/worlds/*"],
        );
        check("DELETE /b", expect!["s3:SomethingElse arn:aws:s3:::b"]);
    }

    #[test]
    fn a_presigned_url_is_used_with_the_permissions_of_whoever_signed_it() {
        let head = "PUT /b/imports/w/1?X-Amz-Security-Token=front-door HTTP/1.1\r\ncontent-length: 7\r\n\r\n";
        let head = Head::read(head.as_bytes()).unwrap();
        assert_eq!((head.length, head.needed().unwrap().caller.as_str()), (7, "front-door"));
        let nobody = Head::read(b"GET /b/worlds/w HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(nobody.needed(), None);
    }

    #[test]
    fn a_request_meets_the_fault_that_waits_for_it_and_the_next_one_none() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let watch = S3Watch::start(server.local_addr().unwrap()).unwrap();
        let served = Arc::new(Mutex::new(0));
        let count = served.clone();
        thread::spawn(move || {
            for mut stream in server.incoming().flatten() {
                // One that breaks off has sent nothing.
                if stream.read(&mut [0; 1000]).is_ok_and(|n| n > 0) {
                    *lock(&count) += 1;
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                }
            }
        });
        let ask = || {
            let mut stream = TcpStream::connect(watch.address()).unwrap();
            stream.write_all(b"GET /b/k HTTP/1.1\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            // What is cut may be reset.
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8(answer).unwrap().lines().next().unwrap_or_default().to_owned()
        };
        watch.fault([S3Fault::SlowDown, S3Fault::InternalError, S3Fault::CutBefore]);
        assert_eq!(
            [ask(), ask(), ask()],
            ["HTTP/1.1 503 Slow Down", "HTTP/1.1 500 Internal Server Error", ""]
        );
        assert_eq!(*lock(&served), 0);
        watch.fault([S3Fault::CutAfter]);
        assert_eq!(ask(), "");
        assert_eq!(*lock(&served), 1);
        assert_eq!(ask(), "HTTP/1.1 200 OK");
        watch.fault([S3Fault::SlowDown]);
        assert_eq!(watch.clear_faults(), 1);
    }

    fn check(request: &str, expected: Expect) {
        let head = format!("{request} HTTP/1.1\r\nX-Amz-Security-Token: worker\r\n\r\n");
        let head = Head::read(head.as_bytes()).unwrap();
        let told = |needed: Option<Needed>| needed.map(|one| format!("{} {}", one.action, one.resource));
        let absent = told(head.absence()).map_or(String::new(), |absent| format!(", if absent {absent}"));
        expected.assert_eq(&(told(head.needed()).unwrap() + &absent));
    }
}
