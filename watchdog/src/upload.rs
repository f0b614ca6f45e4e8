//! Uploading an archive while it is being made: what is written to an [`Uploader`] goes out part by part.
//!
//! One part is filled while a thread of its own sends the one before, so that at most two are in memory, however large the
//! archive is. Each part has its own ticket. A part that breaks off is sent again, for as long as there is patience: the
//! network or the control plane may be away for minutes. A URL that is refused has expired or was never good, and another
//! ticket is asked for. When the control plane says that it wants no archive of this launch, nothing is tried again.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use adapters::report::{TicketRecord, TicketRequest, UploadRecord};
use anyhow::{Context, Result, anyhow, bail, ensure};
use domain::{ports::PART_SIZE, world::ArchiveId};
use ureq::{Agent, SendBody, http::StatusCode};

use crate::{archive::Checked, control::NoTicket, way::Way};

/// How many bytes each part has, but the last one. Tests have small ones.
const PART: usize = if cfg!(test) { 8 } else { PART_SIZE as usize };

/// How long one try to send a part may take: at that speed nobody would wait for an archive.
const PART_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// How many tickets are asked for because the one before was refused, for each part. A good one holds for hours.
const MOST_TICKETS: u32 = 3;

/// The first and the longest wait before something is tried again; each one is twice as long as the one before.
const WAITS: (Duration, Duration) =
    (Duration::from_millis(if cfg!(test) { 1 } else { 500 }), Duration::from_secs(20));

/// How often it is asked while waiting whether to go on.
const GLANCE_EVERY: Duration = Duration::from_millis(100);

/// The most bytes of an answer that are read.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Asks the control plane for the ticket of a part.
pub type Ask = Box<dyn FnMut(&TicketRequest) -> Result<TicketRecord, NoTicket> + Send>;

/// Tells whether to go on. It is asked again and again, and an error ends the upload.
pub type MayGoOn = Box<dyn Fn() -> Result<()> + Send + Sync>;

/// What an upload depends on.
pub struct Terms {
    /// How the control plane is reached, which may take the parts itself.
    pub way: Way,
    /// Where tickets come from.
    pub ticket: Ask,
    /// Whether there is time, and reason, to go on.
    pub check: MayGoOn,
    /// How long each part is tried again.
    pub patience: Duration,
}

/// Uploads what is written to it. Dropped before it is finished, it uploads nothing more.
pub struct Uploader {
    filling: Vec<u8>,
    size: u64,
    /// The thread that sends, until it was waited for.
    sender: Option<Sender>,
    /// Why that failed.
    failed: Option<String>,
    is_dropped: Arc<AtomicBool>,
}

struct Sender {
    parts: SyncSender<Filled>,
    thread: JoinHandle<Result<ArchiveId>>,
}

/// A part that is to be sent.
struct Filled {
    bytes: Vec<u8>,
    is_last: bool,
}

impl Uploader {
    /// Begins the upload of an archive.
    pub fn start(terms: Terms) -> Result<Self> {
        let is_dropped = Arc::new(AtomicBool::new(false));
        // Without room in it: a part that waits is the one that the writer holds.
        let (parts, filled) = sync_channel(0);
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_global(Some(PART_LIMIT))
            .build();
        let agent = terms.way.agent(agent);
        let courier = Courier { terms, agent, upload: None, is_dropped: Arc::clone(&is_dropped) };
        let thread = thread::Builder::new().name("upload".into()).spawn(move || courier.send_all(&filled));
        let sender = Sender { parts, thread: thread.context("starting the upload")? };
        Ok(Self {
            filling: Vec::with_capacity(PART),
            size: 0,
            sender: Some(sender),
            failed: None,
            is_dropped,
        })
    }

    /// Sends what is left, and returns the archive's id and its size in bytes once all of it was taken.
    pub fn finish(mut self) -> Result<(ArchiveId, u64)> {
        ensure!(self.size > 0, "there is nothing to upload");
        let bytes = mem::take(&mut self.filling);
        let id = match self.hand_over(Filled { bytes, is_last: true })? {
            Some(id) => id,
            None => self.wait()?,
        };
        Ok((id, self.size))
    }

    /// Hands a part over as soon as the one before was taken. What came of the upload is returned if it is over.
    fn hand_over(&mut self, part: Filled) -> Result<Option<ArchiveId>> {
        match &self.sender {
            Some(sender) if sender.parts.send(part).is_ok() => Ok(None),
            Some(_) | None => self.wait().map(Some),
        }
    }

    /// Waits until the thread has come to its end, and returns what came of it.
    fn wait(&mut self) -> Result<ArchiveId> {
        if let Some(Sender { parts, thread }) = self.sender.take() {
            drop(parts);
            match thread.join() {
                Ok(Ok(id)) => return Ok(id),
                Ok(Err(error)) => self.failed = Some(format!("{error:#}")),
                Err(_) => {}
            }
        }
        Err(anyhow!(self.failed.clone().unwrap_or_else(|| "the upload has failed".into())))
    }
}

impl Write for Uploader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Not before there is more: a part that is full may be the last one.
        if self.filling.len() == PART && !bytes.is_empty() {
            let full = mem::replace(&mut self.filling, Vec::with_capacity(PART));
            let handed = self.hand_over(Filled { bytes: full, is_last: false });
            handed.map_err(|error| io::Error::other(error.to_string()))?;
        }
        let taken = bytes.len().min(PART - self.filling.len());
        self.filling.extend_from_slice(&bytes[..taken]);
        self.size += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Relaxed);
    }
}

/// The way of the parts, in a thread of its own.
struct Courier {
    terms: Terms,
    agent: Agent,
    /// The upload, once a ticket has named it.
    upload: Option<UploadRecord>,
    is_dropped: Arc<AtomicBool>,
}

/// Why a part was not taken.
enum Failed {
    /// It may be taken when it is sent again.
    ForNow(anyhow::Error),
    /// It may be taken under another ticket.
    Ticket(anyhow::Error),
    /// It will not be taken.
    ForGood(anyhow::Error),
}

impl Courier {
    fn send_all(mut self, filled: &Receiver<Filled>) -> Result<ArchiveId> {
        for number in 1.. {
            let Ok(Filled { bytes, is_last }) = filled.recv() else { break };
            let length = bytes.len() as u64;
            self.send(number, &bytes, is_last).with_context(|| format!("uploading part {number}"))?;
            tracing::debug!("part {number} of {length} bytes is uploaded");
            if is_last {
                let upload = self.upload.context("no ticket named the upload")?;
                return Ok(ArchiveId::parse(&upload.id)?);
            }
        }
        bail!("the upload was broken off")
    }

    /// Sends one part again and again until it is taken, or will not be.
    fn send(&mut self, number: u32, bytes: &[u8], is_last: bool) -> Result<()> {
        let deadline = Instant::now() + self.terms.patience;
        let (mut wait, mut url, mut tickets) = (WAITS.0, None, 0);
        loop {
            self.may_go_on()?;
            let error = match self.try_to_send(number, bytes, is_last, &mut url) {
                Ok(()) => return Ok(()),
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::Ticket(error)) => {
                    (url, tickets) = (None, tickets + 1);
                    if tickets >= MOST_TICKETS {
                        return Err(error);
                    }
                    error
                }
                Err(Failed::ForNow(error)) => error,
            };
            if Instant::now() >= deadline {
                return Err(error);
            }
            self.may_go_on()?;
            tracing::warn!("sending part {number} again in {wait:?}: {error:#}");
            self.pause(wait)?;
            wait = (wait * 2).min(WAITS.1);
        }
    }

    /// Sends one part to `url`, which a ticket names first if there is none.
    fn try_to_send(
        &mut self,
        number: u32,
        bytes: &[u8],
        is_last: bool,
        url: &mut Option<String>,
    ) -> Result<(), Failed> {
        let url = match url {
            Some(url) => url,
            None => url.insert(self.ask_for_ticket(number, bytes.len() as u64, is_last)?),
        };
        self.put(url, bytes)
    }

    fn ask_for_ticket(&mut self, number: u32, length: u64, last: bool) -> Result<String, Failed> {
        let part = TicketRequest { upload: self.upload.clone(), number, length, last };
        let TicketRecord { upload, url } = (self.terms.ticket)(&part).map_err(|none| match none {
            NoTicket::ForNow(error) => Failed::ForNow(error.context("asking for a ticket")),
            NoTicket::Unwanted(error) => {
                Failed::ForGood(error.context("the control plane wants no archive of this launch"))
            }
            NoTicket::Never(error) => Failed::ForGood(error.context("asking for a ticket")),
        })?;
        self.upload = Some(upload);
        Ok(url)
    }

    fn put(&self, url: &str, bytes: &[u8]) -> Result<(), Failed> {
        let mut check = || self.may_go_on();
        let mut part = Checked { inner: bytes, check: &mut check };
        let request = self.agent.put(url).header("content-length", bytes.len().to_string());
        let answer = request.send(SendBody::from_reader(&mut part));
        let answer = answer.map_err(|error| Failed::ForNow(without_url(error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text =
            answer.into_body().into_with_config().limit(LONGEST_ANSWER).read_to_string().unwrap_or_default();
        let error = refused(status, &text);
        Err(match status.as_u16() {
            // Not in time, and too often.
            408 | 429 => Failed::ForNow(error),
            // What signed the URL has expired, or the URL itself; S3 says 400 of a session and of a body that broke off.
            400 | 403 | 410 => Failed::Ticket(error),
            _ if status.is_server_error() => Failed::ForNow(error),
            _ => Failed::ForGood(error),
        })
    }

    /// Waits, for as long as there is reason to go on.
    fn pause(&self, wait: Duration) -> Result<()> {
        let until = Instant::now() + wait;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            thread::sleep(left.min(GLANCE_EVERY));
            self.may_go_on()?;
        }
        Ok(())
    }

    fn may_go_on(&self) -> Result<()> {
        ensure!(!self.is_dropped.load(Ordering::Relaxed), "the upload was broken off");
        (self.terms.check)()
    }
}

/// Returns the refusal for people. What our own front door says is made for them; of S3's answers, which name keys and
/// what was signed, they are shown the code at most, and the log gets what S3 says in words besides.
pub(crate) fn refused(status: StatusCode, answer: &str) -> anyhow::Error {
    let ours = serde_json::from_str::<serde_json::Value>(answer).ok();
    if let Some(error) = ours.as_ref().and_then(|said| said.get("error")).and_then(serde_json::Value::as_str)
    {
        let error: String = error.chars().take(300).flat_map(char::escape_debug).collect();
        return anyhow!("refused ({status}): {error}");
    }
    if let Some(message) = element(answer, "Message") {
        let message: String = message.chars().take(200).flat_map(char::escape_debug).collect();
        tracing::warn!(%status, message, "the upload of a part was refused");
    }
    let is_code = |code: &&str| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    match element(answer, "Code").filter(is_code) {
        Some(code) => anyhow!("refused ({status}): {code}"),
        None => anyhow!("refused ({status})"),
    }
}

/// Returns what the first XML element of that name holds, if it is plain text.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, behind) = xml.split_once(&format!("<{name}>"))?;
    let (inside, _) = behind.split_once(&format!("</{name}>"))?;
    Some(inside.trim()).filter(|text| !text.is_empty() && !text.contains('<'))
}

/// Returns what went wrong, without the URL: that is a secret as long as it holds.
pub(crate) fn without_url(error: ureq::Error) -> anyhow::Error {
    if matches!(error, ureq::Error::BadUri(_)) { anyhow!("the ticket's URL is none") } else { error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::{
        io::{BufRead, BufReader, Read},
        net::TcpListener,
        sync::mpsc::channel,
    };

    #[test]
    fn each_part_goes_to_the_url_of_its_own_ticket_with_its_length() {
        check(
            b"PK, a large world",
            &[],
            &[200, 200, 200],
            expect![[r#"
            {"upload":null,"number":1,"length":8,"last":false}
            {"upload":{"id":"a-g1","key":"key"},"number":2,"length":8,"last":false}
            {"upload":{"id":"a-g1","key":"key"},"number":3,"length":1,"last":true}
            /1?ticket=1 8 "PK, a la"
            /2?ticket=2 8 "rge worl"
            /3?ticket=3 1 "d"
            a-g1 of 17 bytes is uploaded"#]],
        );
    }

    #[test]
    fn a_full_part_may_be_the_last_one() {
        check(
            b"PK, a wo",
            &[],
            &[200],
            expect![[r#"
            {"upload":null,"number":1,"length":8,"last":true}
            /1?ticket=1 8 "PK, a wo"
            a-g1 of 8 bytes is uploaded"#]],
        );
        check(
            b"PK, a world, all",
            &[],
            &[200, 200],
            expect![[r#"
            {"upload":null,"number":1,"length":8,"last":false}
            {"upload":{"id":"a-g1","key":"key"},"number":2,"length":8,"last":true}
            /1?ticket=1 8 "PK, a wo"
            /2?ticket=2 8 "rld, all"
            a-g1 of 16 bytes is uploaded"#]],
        );
    }

    #[test]
    fn a_part_that_broke_off_is_sent_again_alone() {
        check(
            b"PK, a world",
            &[],
            &[200, 503, 0, 429, 200],
            expect![[r#"
            {"upload":null,"number":1,"length":8,"last":false}
            {"upload":{"id":"a-g1","key":"key"},"number":2,"length":3,"last":true}
            /1?ticket=1 8 "PK, a wo"
            /2?ticket=2 3 "rld"
            /2?ticket=2 3 "rld"
            /2?ticket=2 3 "rld"
            /2?ticket=2 3 "rld"
            a-g1 of 11 bytes is uploaded"#]],
        );
    }

    #[test]
    fn a_url_that_is_refused_is_not_tried_again_but_another_ticket_is() {
        check(
            b"PK, a world",
            &[],
            &[200, 403, 410, 200],
            expect![[r#"
            {"upload":null,"number":1,"length":8,"last":false}
            {"upload":{"id":"a-g1","key":"key"},"number":2,"length":3,"last":true}
            {"upload":{"id":"a-g1","key":"key"},"number":2,"length":3,"last":true}
            {"upload":{"id":"a-g1","key":"key"},"number":2,"length":3,"last":true}
            /1?ticket=1 8 "PK, a wo"
            /2?ticket=2 3 "rld"
            /2?ticket=3 3 "rld"
            /2?ticket=4 3 "rld"
            a-g1 of 11 bytes is uploaded"#]],
        );
        check(
            b"PK, a world",
            &[],
            &[403, 403, 403],
            expect![[r#"
            {"upload":null,"number":1,"length":8,"last":false}
            {"upload":{"id":"a-g1","key":"key"},"number":1,"length":8,"last":false}
            {"upload":{"id":"a-g1","key":"key"},"number":1,"length":8,"last":false}
            /1?ticket=1 8 "PK, a wo"
            /1?ticket=2 8 "PK, a wo"
            /1?ticket=3 8 "PK, a wo"
            uploading part 1: refused (403 Forbidden)"#]],
        );
    }

    #[test]
    fn what_will_never_be_taken_is_not_tried_again() {
        check(
            b"PK, a world",
            &[],
            &[200, 409],
            expect![[r#"
            {"upload":null,"number":1,"length":8,"last":false}
            {"upload":{"id":"a-g1","key":"key"},"number":2,"length":3,"last":true}
            /1?ticket=1 8 "PK, a wo"
            /2?ticket=2 3 "rld"
            uploading part 2: refused (409 Conflict)"#]],
        );
    }

    #[test]
    fn a_ticket_that_is_not_there_for_now_is_asked_for_again() {
        check(
            b"PK, a world",
            &[503, 0, 200, 429],
            &[200, 200],
            expect![[r#"
            {"upload":null,"number":1,"length":8,"last":false}
            {"upload":null,"number":1,"length":8,"last":false}
            {"upload":null,"number":1,"length":8,"last":false}
            {"upload":{"id":"a-g1","key":"key"},"number":2,"length":3,"last":true}
            {"upload":{"id":"a-g1","key":"key"},"number":2,"length":3,"last":true}
            /1?ticket=3 8 "PK, a wo"
            /2?ticket=5 3 "rld"
            a-g1 of 11 bytes is uploaded"#]],
        );
    }

    #[test]
    fn nothing_is_tried_again_when_no_archive_is_wanted() {
        check(
            b"PK, a world",
            &[200, 409],
            &[200],
            expect![[r#"
            {"upload":null,"number":1,"length":8,"last":false}
            {"upload":{"id":"a-g1","key":"key"},"number":2,"length":3,"last":true}
            /1?ticket=1 8 "PK, a wo"
            uploading part 2: the control plane wants no archive of this launch: it is not the current launch"#]],
        );
        check(
            b"PK, a world",
            &[413],
            &[],
            expect![[r#"
            {"upload":null,"number":1,"length":8,"last":false}
            uploading part 1: asking for a ticket: it is too large"#]],
        );
    }

    #[test]
    fn patience_ends_with_what_went_wrong_last() {
        let uploader = start(Duration::ZERO, || Ok(()), |_| Err(NoTicket::ForNow(anyhow!("it is away"))));
        expect!["uploading part 1: asking for a ticket: it is away"].assert_eq(&written(uploader, b"PK"));
    }

    #[test]
    fn it_stops_when_told_to() {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, tell) = (Arc::clone(&stop), Arc::clone(&stop));
        let is_over = move || if told.load(Ordering::Relaxed) { bail!("out of time") } else { Ok(()) };
        let uploader = start(PATIENCE, is_over, move |_| {
            tell.store(true, Ordering::Relaxed);
            Err(NoTicket::ForNow(anyhow!("it is away")))
        });
        expect!["uploading part 1: out of time"].assert_eq(&written(uploader, b"PK, a large world"));
    }

    #[test]
    fn what_failed_is_said_to_the_writer_and_stays_so() {
        let mut uploader = start(PATIENCE, || Ok(()), |_| Err(NoTicket::Never(anyhow!("too large"))));
        let error = uploader.write_all(b"PK, a world that is larger than three parts").unwrap_err();
        let again = uploader.write_all(b"PK, a large world").unwrap_err();
        let finished = uploader.finish().unwrap_err();
        expect![[r#"
            uploading part 1: asking for a ticket: too large
            uploading part 1: asking for a ticket: too large
            uploading part 1: asking for a ticket: too large"#]]
        .assert_eq(&format!("{error}\n{again}\n{finished:#}"));
    }

    #[test]
    fn dropped_before_it_is_finished_it_ends_its_thread() {
        for content in [&b""[..], b"PK", b"PK, a large world"] {
            let (alive, ended) = channel::<()>();
            let mut uploader = start(
                PATIENCE,
                || Ok(()),
                move |_| {
                    let _belongs_to_the_thread = &alive;
                    Err(NoTicket::ForNow(anyhow!("it is away")))
                },
            );
            // Of three parts the second is filled when the first cannot be sent; the third would have to wait.
            uploader.write_all(&content[..content.len().min(2 * PART)]).unwrap();
            drop(uploader);
            ended.recv().unwrap_err();
        }
    }

    #[test]
    fn nothing_is_no_archive() {
        let uploader = start(PATIENCE, || Ok(()), |_| Err(NoTicket::Never(anyhow!("it is not asked"))));
        expect!["there is nothing to upload"].assert_eq(&written(uploader, b""));
    }

    #[test]
    fn a_refusal_tells_people_its_code_and_none_of_the_keys_that_s3_names() {
        let mut said = String::new();
        for answer in [
            "<?xml version=\"1.0\"?><Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist</Message>\
             <AWSAccessKeyId>AKIAIOSFODNN7EXAMPLE</AWSAccessKeyId></Error>",
            "<Error><Code>SignatureDoesNotMatch</Code><StringToSign>AWS4 20261121 abc</StringToSign></Error>",
            "<Error><Code>AKIA IOSFODNN7EXAMPLE</Code></Error>",
            "<Error><Code><AWSAccessKeyId>AKIAIOSFODNN7EXAMPLE</AWSAccessKeyId></Code></Error>",
            "<Code>Unfinished",
            "{\"text\":\"the link has expired\"}",
            "{\"error\":\"the disk is full: make room on it and try again\",\"hint\":\"\"}",
            "",
        ] {
            said += &format!("{:#}\n", refused(StatusCode::FORBIDDEN, answer));
        }
        assert!(!said.contains("AKIA") && !said.contains("AWS4"), "{said}");
        expect![[r#"
            refused (403 Forbidden): InvalidAccessKeyId
            refused (403 Forbidden): SignatureDoesNotMatch
            refused (403 Forbidden)
            refused (403 Forbidden)
            refused (403 Forbidden)
            refused (403 Forbidden)
            refused (403 Forbidden): the disk is full: make room on it and try again
            refused (403 Forbidden)
        "#]]
        .assert_eq(&said);
    }

    const PATIENCE: Duration = Duration::from_secs(600);

    fn start(
        patience: Duration,
        check: impl Fn() -> Result<()> + Send + Sync + 'static,
        ticket: impl FnMut(&TicketRequest) -> Result<TicketRecord, NoTicket> + Send + 'static,
    ) -> Uploader {
        Uploader::start(Terms {
            way: Way::default(),
            ticket: Box::new(ticket),
            check: Box::new(check),
            patience,
        })
        .unwrap()
    }

    fn written(mut uploader: Uploader, content: &[u8]) -> String {
        let written = uploader.write_all(content).map_err(anyhow::Error::from);
        let done = written.and_then(|()| uploader.finish());
        done.map_or_else(
            |error| format!("{error:#}"),
            |(id, size)| format!("{id} of {size} bytes is uploaded"),
        )
    }

    /// Uploads `content` in parts of eight bytes to a server that answers with these statuses, one connection each; 0 hangs
    /// up. The wishes for a ticket are answered with `tickets` first, where 0 is no answer, and then all granted.
    fn check(content: &[u8], tickets: &'static [u16], statuses: &'static [u16], expected: Expect) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", server.local_addr().unwrap());
        let serving =
            std::thread::spawn(move || statuses.iter().map(|s| answer(&server, *s)).collect::<String>());
        let (say, said) = channel();
        let mut statuses = tickets.iter().copied().chain(std::iter::repeat(200));
        let mut count = 0;
        let uploader = start(
            PATIENCE,
            || Ok(()),
            move |part| {
                say.send(format!("{}\n", serde_json::to_string(part).unwrap())).unwrap();
                count += 1;
                let upload = UploadRecord { id: "a-g1".into(), key: "key".into() };
                match statuses.next().unwrap() {
                    200 => Ok(TicketRecord { upload, url: format!("{base}/{}?ticket={count}", part.number) }),
                    409 => Err(NoTicket::Unwanted(anyhow!("it is not the current launch"))),
                    413 => Err(NoTicket::Never(anyhow!("it is too large"))),
                    status => Err(NoTicket::ForNow(anyhow!("it says {status}"))),
                }
            },
        );
        let result = written(uploader, content);
        let wishes: String = said.iter().collect();
        expected.assert_eq(&format!("{wishes}{}{result}", serving.join().unwrap()));
    }

    fn answer(server: &TcpListener, status: u16) -> String {
        let (mut stream, _) = server.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut path, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(target) = line.strip_prefix("PUT ") {
                path = target.split(' ').next().unwrap().to_owned();
            }
            if let Some(n) = line.to_lowercase().strip_prefix("content-length: ") {
                length = n.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        if status != 0 {
            let head = format!("HTTP/1.1 {status} \r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
            stream.write_all(head.as_bytes()).unwrap();
        }
        format!("{path} {length} {:?}\n", String::from_utf8(body).unwrap())
    }
}
