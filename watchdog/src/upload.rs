//! Uploading an archive: each part of the file to its own URL, with its length said beforehand.
//!
//! A part that breaks off is sent again, from the file. A URL that is refused is not tried again: it has expired or was
//! never good, and whoever wants to go on asks for another ticket.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    thread,
    time::Duration,
};

use adapters::report::TicketRecord;
use anyhow::{Context, Result, anyhow, bail, ensure};
use ureq::{Agent, SendBody, http::StatusCode};

use crate::archive::Checked;

/// How long the upload of one part may take, however short it is.
const PART_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How much longer it may take for each byte: this many in a second.
const SLOWEST: u64 = 1_000_000;

/// How often a part is sent before the upload is given up.
const TRIES: u32 = 5;

/// The first wait after a part that broke off; each one after it is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 500 });

/// The most bytes of an answer that are read.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Why a part was not taken.
enum Failed {
    /// It may be taken when it is sent again.
    ForNow(anyhow::Error),
    /// This URL will not take it.
    ForGood(anyhow::Error),
}

/// Uploads the file at `path` as the ticket says. `check` is asked again and again whether to go on.
pub fn upload(ticket: &TicketRecord, path: &Path, check: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let lengths = lengths(ticket, file.metadata()?.len())?;
    let agent = Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut from = 0;
    for ((number, url), length) in (1..).zip(&ticket.urls).zip(lengths) {
        let of = ticket.urls.len();
        send(&agent, url, &file, from, length, check)
            .with_context(|| format!("uploading part {number} of {of}"))?;
        from += length;
    }
    Ok(())
}

/// Returns the length of each part, if there is one URL for each.
fn lengths(ticket: &TicketRecord, size: u64) -> Result<Vec<u64>> {
    let TicketRecord { part_size, urls, .. } = ticket;
    let parts = if *part_size > 0 { size.div_ceil(*part_size).max(1) } else { 0 };
    ensure!(
        parts > 0 && urls.len() as u64 == parts,
        "the ticket has {} URLs for parts of {part_size} bytes, which do not fit {size} bytes",
        urls.len()
    );
    Ok((0..parts).map(|part| (*part_size).min(size - part * part_size)).collect())
}

/// Sends one part again and again until it is taken, or will not be.
fn send(
    agent: &Agent,
    url: &str,
    file: &File,
    from: u64,
    length: u64,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let mut wait = FIRST_WAIT;
    for left in (0..TRIES).rev() {
        match put(agent, url, file, from, length, check) {
            Ok(()) => return Ok(()),
            Err(Failed::ForNow(error)) if left > 0 => {
                check()?;
                tracing::warn!("sending it again in {wait:?}: {error:#}");
                thread::sleep(wait);
                wait *= 2;
            }
            Err(Failed::ForNow(error) | Failed::ForGood(error)) => return Err(error),
        }
    }
    bail!("it was never sent")
}

fn put(
    agent: &Agent,
    url: &str,
    mut file: &File,
    from: u64,
    length: u64,
    check: &mut dyn FnMut() -> Result<()>,
) -> Result<(), Failed> {
    file.seek(SeekFrom::Start(from)).map_err(|error| Failed::ForGood(error.into()))?;
    let mut part = Checked { inner: file.take(length), check };
    let answer = agent
        .put(url)
        .config()
        .timeout_global(Some(PART_LIMIT + Duration::from_secs(length / SLOWEST)))
        .build()
        .header("content-length", length.to_string())
        .send(SendBody::from_reader(&mut part));
    let answer = answer.map_err(|error| Failed::ForNow(without_url(error)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text =
        answer.into_body().into_with_config().limit(LONGEST_ANSWER).read_to_string().unwrap_or_default();
    let error = refused(status, &text);
    // Not in time, too often, and whatever is wrong over there.
    let is_for_now = matches!(status.as_u16(), 408 | 429) || status.is_server_error();
    Err(if is_for_now { Failed::ForNow(error) } else { Failed::ForGood(error) })
}

/// Returns the refusal for people. What our own front door says is made for them; of S3's answers, which name keys and
/// what was signed, they are shown the code at most, and the log gets what S3 says in words besides.
fn refused(status: StatusCode, answer: &str) -> anyhow::Error {
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
fn without_url(error: ureq::Error) -> anyhow::Error {
    if matches!(error, ureq::Error::BadUri(_)) { anyhow!("the ticket's URL is none") } else { error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
    };

    #[test]
    fn each_part_goes_to_its_own_url_with_its_length() {
        check(
            4,
            "/1 /2 /3",
            &[200, 200, 200],
            expect![[r#"
                /1 4 "PK, "
                /2 4 "a wo"
                /3 3 "rld"
                uploaded"#]],
        );
    }

    #[test]
    fn a_part_that_broke_off_is_sent_again_alone() {
        check(
            8,
            "/1 /2",
            &[200, 503, 0, 200],
            expect![[r#"
                /1 8 "PK, a wo"
                /2 3 "rld"
                /2 3 "rld"
                /2 3 "rld"
                uploaded"#]],
        );
    }

    #[test]
    fn a_url_that_has_expired_is_not_tried_again() {
        check(
            8,
            "/1 /2",
            &[403],
            expect![[r#"
                /1 8 "PK, a wo"
                uploading part 1 of 2: refused (403 Forbidden)"#]],
        );
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

    #[test]
    fn a_ticket_that_does_not_fit_the_archive_is_refused() {
        check(8, "/1", &[], expect!["the ticket has 1 URLs for parts of 8 bytes, which do not fit 11 bytes"]);
        check(0, "/1", &[], expect!["the ticket has 1 URLs for parts of 0 bytes, which do not fit 11 bytes"]);
    }

    #[test]
    fn it_stops_when_told_to() {
        let file = file();
        let urls = vec!["http://127.0.0.1:1/1".into()];
        let ticket = TicketRecord { id: "a".into(), part_size: 11, urls, url: None };
        let error = upload(&ticket, file.path(), &mut || bail!("out of time")).unwrap_err();
        assert_eq!(format!("{error:#}"), "uploading part 1 of 1: out of time");
    }

    /// Uploads eleven bytes to a server that answers with these statuses, one connection each; 0 hangs up.
    fn check(part_size: u64, paths: &str, statuses: &'static [u16], expected: Expect) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", server.local_addr().unwrap());
        let urls = paths.split(' ').map(|path| format!("{base}{path}")).collect();
        let serving =
            std::thread::spawn(move || statuses.iter().map(|s| answer(&server, *s)).collect::<String>());
        let ticket = TicketRecord { id: "a".into(), part_size, urls, url: None };
        let result = upload(&ticket, file().path(), &mut || Ok(()));
        let result = result.map_or_else(|error| format!("{error:#}"), |()| "uploaded".into());
        expected.assert_eq(&format!("{}{result}", serving.join().unwrap()));
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

    fn file() -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"PK, a world").unwrap();
        file
    }
}
