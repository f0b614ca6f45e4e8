//! The way to the control plane: over the network, or through a Unix socket where the control plane is on the same machine and
//! the watchdog in a container.
//!
//! Only what has the control plane's own address goes through the socket: an upload or a download from elsewhere takes the
//! network as before.

use std::{
    fmt,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use ureq::{
    Agent, Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::DefaultResolver,
        transport::{
            Buffers, ConnectionDetails, Connector, DefaultConnector, LazyBuffers, NextTimeout, Transport,
        },
    },
};

/// How to reach the control plane.
#[derive(Debug, Clone, Default)]
pub struct Way {
    socket: Option<Socket>,
}

/// A socket that stands for an address.
#[derive(Debug, Clone)]
struct Socket {
    authority: String,
    path: PathBuf,
}

impl Way {
    /// Returns the way to the control plane at `url`, through `socket` if there is one.
    pub fn to(url: &str, socket: Option<&Path>) -> Self {
        let authority = url.parse().ok().as_ref().and_then(authority);
        let socket = socket.map(Path::to_owned);
        Self { socket: authority.zip(socket).map(|(authority, path)| Socket { authority, path }) }
    }

    /// Returns an agent that takes this way.
    pub fn agent(&self, config: Config) -> Agent {
        match self.socket.clone() {
            Some(socket) => {
                let connector = SocketOrNetwork { socket, network: DefaultConnector::default() };
                Agent::with_parts(config, connector, DefaultResolver::default())
            }
            None => config.new_agent(),
        }
    }
}

/// Returns the host and port of a URL that is not encrypted.
fn authority(url: &Uri) -> Option<String> {
    let authority = url.authority().filter(|_| url.scheme_str() == Some("http"))?;
    Some(format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)))
}

#[derive(Debug)]
struct SocketOrNetwork {
    socket: Socket,
    network: DefaultConnector,
}

impl Connector for SocketOrNetwork {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<()>) -> Result<Option<Self::Out>, Error> {
        if authority(details.uri).as_deref() != Some(&self.socket.authority) {
            return self.network.connect(details, chained);
        }
        let stream = UnixStream::connect(&self.socket.path)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Box::new(Connection { stream, buffers })))
    }
}

/// A connection through the socket.
struct Connection {
    stream: UnixStream,
    buffers: LazyBuffers,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection(..)")
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|left| *left))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| in_time(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(timeout.not_zero().map(|left| *left))?;
        let room = self.buffers.input_append_buf();
        let amount = loop {
            match self.stream.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|error| in_time(error, timeout))?,
            }
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// A server that has closed it, or that says something unasked, is of no use for another request.
    fn is_open(&mut self) -> bool {
        let glance = |stream: &mut UnixStream| {
            stream.set_nonblocking(true)?;
            let glanced = stream.read(&mut [0]);
            stream.set_nonblocking(false)?;
            glanced
        };
        glance(&mut self.stream).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Returns what a socket's error means: the kernel has two names for a time that is over.
fn in_time(error: io::Error, timeout: NextTimeout) -> Error {
    let is_over = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    if is_over { Error::Timeout(timeout.reason) } else { error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::TcpListener,
        os::unix::net::UnixListener,
        thread::{self, JoinHandle},
        time::Duration,
    };

    /// Answers one request with `answer`, and returns its head.
    fn answer(mut stream: impl Read + Write, answer: &str) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap() == 0 {
                break;
            }
            head.extend(byte);
        }
        let length = answer.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{answer}").unwrap();
        String::from_utf8(head).unwrap()
    }

    fn at_socket(dir: &Path) -> (PathBuf, JoinHandle<String>) {
        let path = dir.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        (path, thread::spawn(move || answer(listener.accept().unwrap().0, "by socket")))
    }

    fn get(way: &Way, url: &str) -> Result<String, Error> {
        let config = Agent::config_builder().timeout_global(Some(Duration::from_secs(20))).build();
        way.agent(config).get(url).call()?.into_body().read_to_string()
    }

    #[test]
    fn what_has_the_control_planes_address_goes_through_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, served) = at_socket(dir.path());
        // Nobody listens at that port.
        let way = Way::to("http://127.0.0.1:9", Some(&socket));
        assert_eq!(get(&way, "http://127.0.0.1:9/v1/x?y=z").unwrap(), "by socket");
        let head = served.join().unwrap();
        assert!(head.starts_with("GET /v1/x?y=z HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("host: 127.0.0.1:9\r\n"), "{head}");
    }

    #[test]
    fn what_is_elsewhere_goes_over_the_network() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, served) = at_socket(dir.path());
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = elsewhere.local_addr().unwrap();
        let there = thread::spawn(move || answer(elsewhere.accept().unwrap().0, "by network"));
        let way = Way::to("http://127.0.0.1:9", Some(&socket));
        assert_eq!(get(&way, &format!("http://{address}/")).unwrap(), "by network");
        there.join().unwrap();
        assert_eq!(get(&way, "http://127.0.0.1:9/").unwrap(), "by socket");
        served.join().unwrap();
    }

    #[test]
    fn a_socket_at_which_nobody_answers_is_an_error_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let way = Way::to("http://127.0.0.1:9", Some(&socket));
        assert!(get(&way, "http://127.0.0.1:9/").is_err(), "nobody listens");
        let _silent = UnixListener::bind(&socket).unwrap();
        let config = Agent::config_builder().timeout_global(Some(Duration::from_millis(50))).build();
        let error = way.agent(config).get("http://127.0.0.1:9/").call().unwrap_err();
        assert!(matches!(error, Error::Timeout(_)), "{error}");
    }
}
