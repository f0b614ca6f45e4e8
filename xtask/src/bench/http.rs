//! A small HTTP server and client by hand, with one thread and one write for each request: so little that what they add
//! to a time is known. They read what our own programs and the emulator send, and no more of HTTP than that.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// Lambda's own limit for an answer.
const LARGEST_BODY: usize = 6 * 1024 * 1024;

/// The longest line and the most headers that are read.
const LONGEST_LINE: u64 = 16 * 1024;
const MOST_HEADERS: usize = 100;

/// A request.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    /// Such as `GET`.
    pub(super) method: String,
    /// With the query, if there is one.
    pub(super) path: String,
    /// Empty if there is none.
    pub(super) body: Vec<u8>,
}

/// An answer.
pub(super) struct Answer {
    /// Such as 200.
    pub(super) status: u16,
    /// Beside the length.
    pub(super) headers: Vec<(&'static str, String)>,
    /// Empty if there is none.
    pub(super) body: Vec<u8>,
}

/// A server on a free port of this machine. It takes no more connections once this is dropped.
pub(super) struct Server {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Server {
    /// Answers every request with what `handler` returns; where that is nothing, the connection is closed.
    pub(super) fn start(handler: impl Fn(Request) -> Option<Answer> + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let (handler, is_ended) = (Arc::new(handler), ended.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_ended.load(Ordering::Relaxed) {
                    return;
                }
                let handler = handler.clone();
                // A connection that breaks belongs to a program that was killed, or is missed by whoever waits for it.
                thread::spawn(move || _ = converse(stream, &*handler));
            }
        });
        Ok(Self { address, ended })
    }

    /// Returns where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

fn converse(stream: TcpStream, handler: &impl Fn(Request) -> Option<Answer>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut requests = BufReader::new(stream.try_clone()?);
    let mut answers = stream;
    while let Some(request) = read(&mut requests)? {
        let Some(answer) = handler(request) else { return Ok(()) };
        answers.write_all(&answer.bytes())?;
    }
    Ok(())
}

impl Answer {
    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} -\r\nContent-Length: {}\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// A client of one server. Each request has a connection of its own, since the emulator keeps none.
pub(super) struct Client {
    address: String,
}

/// How long a server may be silent. It takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

impl Client {
    /// Returns a client of the server at `url`, which is `http://HOST:PORT`.
    pub(super) fn new(url: &str) -> Result<Self> {
        let address = url.strip_prefix("http://").with_context(|| format!("{url} is not plain HTTP"))?;
        Ok(Self { address: address.trim_end_matches('/').to_owned() })
    }

    /// Posts `body` and returns the status and the body of the answer.
    pub(super) fn post(&self, headers: &[(&str, &str)], body: &str) -> Result<(u16, Vec<u8>)> {
        let mut request =
            format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n", self.address, body.len());
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        request += body;
        let mut stream = connect(&self.address)?;
        stream.write_all(request.as_bytes())?;
        read_answer(&mut BufReader::new(stream))
    }
}

/// Reads an answer and returns its status and its body.
pub(super) fn read_answer(from: &mut impl BufRead) -> Result<(u16, Vec<u8>)> {
    let first = line(from)?.context("the server closes the connection without an answer")?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.context("an answer without status")?, read_body(from)?))
}

/// Connects to a server, which may then be silent for so long.
pub(super) fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Reads a request; nothing when the other side has no more.
fn read(from: &mut impl BufRead) -> io::Result<Option<Request>> {
    let Some(first) = line(from)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(bad("no request line"));
    };
    Ok(Some(Request { method: method.to_owned(), path: path.to_owned(), body: read_body(from)? }))
}

/// How a body ends.
enum Length {
    /// After so many bytes.
    Bytes(usize),
    /// With an empty chunk.
    Chunks,
}

/// Reads the headers and the body behind them.
fn read_body(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    match length(from)? {
        Length::Bytes(length) => bytes(from, length),
        Length::Chunks => chunks(from),
    }
}

fn bytes(from: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let head = line(from)?.ok_or_else(|| bad("a body that breaks off"))?;
        let length = usize::from_str_radix(&head, 16).map_err(|_| bad("no length"))?;
        if length > LARGEST_BODY - body.len() {
            return Err(bad("too large"));
        }
        body.extend(bytes(from, length)?);
        if line(from)? != Some(String::new()) {
            return Err(bad("a chunk that does not end"));
        }
        if length == 0 {
            return Ok(body);
        }
    }
}

/// Reads the headers and returns how the body behind them ends.
fn length(from: &mut impl BufRead) -> io::Result<Length> {
    let mut length = Length::Bytes(0);
    for _ in 0..MOST_HEADERS {
        let header = line(from)?.ok_or_else(|| bad("a head that breaks off"))?;
        if header.is_empty() {
            return Ok(length);
        }
        let (name, value) = header.split_once(':').ok_or_else(|| bad("a header without value"))?;
        if name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunks;
        }
        if name.eq_ignore_ascii_case("content-length") {
            let value: usize = value.trim().parse().map_err(|_| bad("no length"))?;
            let value = Some(value).filter(|l| *l <= LARGEST_BODY).ok_or_else(|| bad("too large"))?;
            length = Length::Bytes(value);
        }
    }
    Err(bad("too many headers"))
}

fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    from.take(LONGEST_LINE).read_line(&mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    let whole = text.strip_suffix("\r\n").ok_or_else(|| bad("a line that does not end"))?;
    Ok(Some(whole.to_owned()))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_one_after_the_other() {
        let mut wire: &[u8] =
            b"POST /a HTTP/1.1\r\ncontent-length: 2\r\nX: y\r\n\r\nhiGET /b HTTP/1.1\r\n\r\n";
        let mut next = || read(&mut wire).unwrap().map(|r| (r.method, r.path, r.body));
        assert_eq!(next(), Some(("POST".into(), "/a".into(), b"hi".to_vec())));
        assert_eq!(next(), Some(("GET".into(), "/b".into(), vec![])));
        assert_eq!(next(), None);
    }

    #[test]
    fn a_body_may_come_in_chunks() {
        let mut wire: &[u8] = b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\na\r\nllo, world\r\n0\r\n\r\n";
        assert_eq!(read_body(&mut wire).unwrap(), b"hello, world");
        for cut in 0..30 {
            let mut wire: &[u8] =
                b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n".get(..cut).unwrap();
            assert!(read_body(&mut wire).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_client_gets_the_answer_to_what_it_posted() {
        let server = Server::start(|request| {
            let body = [request.path.as_bytes(), b" ", &request.body].concat();
            Some(Answer { status: 418, headers: vec![("X", "y".into())], body })
        });
        let server = server.unwrap();
        let client = Client::new(&format!("http://{}", server.address())).unwrap();
        for _ in 0..2 {
            assert_eq!(client.post(&[("A", "b")], "hello").unwrap(), (418, b"/ hello".to_vec()));
        }
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        let endless = "x".repeat(1_000_000);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS));
        let large = "GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n";
        let chunked = "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n";
        for wire in [
            &endless,
            &many,
            large,
            chunked,
            "GET\r\n\r\n",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nx\r\n\r\n",
        ] {
            assert!(read(&mut wire.as_bytes()).is_err(), "{wire:.40}");
        }
    }
}
