//! A TCP connection to this machine on which every wait ends.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

/// A connection to a server on this machine. What is sent and received until [`Wire::allow`] is called again has to be
/// over by one moment, however the other end dawdles.
pub(super) struct Wire {
    stream: TcpStream,
    until: Instant,
}

impl Wire {
    /// Connects to `port`. Until it is told otherwise, the rest of `limit` is for what comes next.
    pub(super) fn connect(port: u16, limit: Duration) -> Result<Self> {
        let until = Instant::now() + limit;
        ensure!(!limit.is_zero(), NO_TIME);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, limit)
            .with_context(|| format!("connecting to the console at port {port}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, until })
    }

    /// Gives `limit` to all that comes next.
    pub(super) fn allow(&mut self, limit: Duration) {
        self.until = Instant::now() + limit;
    }

    /// Sends all of `bytes`.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(self.left()?))?;
            match self.stream.write(bytes) {
                Ok(0) => bail!(CLOSED),
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if is_no_end(error.kind()) => {}
                Err(error) => return Err(error).context("writing to the console"),
            }
        }
        Ok(())
    }

    /// Receives as many bytes as `into` has.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> Result<()> {
        let mut received = 0;
        while let Some(rest) = into.get_mut(received..).filter(|rest| !rest.is_empty()) {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(rest) {
                Ok(0) => bail!(CLOSED),
                Ok(n) => received += n,
                Err(error) if is_no_end(error.kind()) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => bail!(CLOSED),
                Err(error) => return Err(error).context("reading from the console"),
            }
        }
        Ok(())
    }

    fn left(&self) -> Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), NO_TIME);
        Ok(left)
    }
}

const NO_TIME: &str = "the console did not answer in time";

const CLOSED: &str = "the console closed the connection";

fn is_no_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::{net::TcpListener, thread};

    /// Lets a client meet a server that has one connection, and returns what came of either.
    pub(in crate::console) fn meeting<Said, Heard: Send>(
        serve: impl FnOnce(TcpStream) -> Heard + Send,
        client: impl FnOnce(u16) -> Said,
    ) -> (Said, Heard) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::scope(|scope| {
            let server = scope.spawn(move || serve(listener.accept().unwrap().0));
            (client(port), server.join().unwrap())
        })
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let mut wire = Wire::connect(port, Duration::from_secs(60)).unwrap();
        wire.allow(Duration::from_millis(10));
        assert_eq!(wire.receive(&mut [0; 4]).unwrap_err().to_string(), NO_TIME);
    }

    #[test]
    fn a_server_that_takes_nothing_is_given_up() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut wire = Wire::connect(server.local_addr().unwrap().port(), Duration::from_secs(60)).unwrap();
        wire.allow(Duration::from_millis(100));
        // More than the kernel takes on itself.
        assert_eq!(wire.send(&vec![0; 64 << 20]).unwrap_err().to_string(), NO_TIME);
    }

    #[test]
    fn a_server_that_dribbles_gets_no_more_time_for_it() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut wire = Wire::connect(server.local_addr().unwrap().port(), Duration::from_secs(60)).unwrap();
        let (mut other, _) = server.accept().unwrap();
        other.write_all(&[7; 3]).unwrap();
        wire.allow(Duration::ZERO);
        assert_eq!(wire.receive(&mut [0; 4]).unwrap_err().to_string(), NO_TIME);
        wire.allow(Duration::from_secs(60));
        let mut got = [0; 3];
        wire.receive(&mut got).unwrap();
        assert_eq!(got, [7; 3]);
    }

    #[test]
    fn a_server_that_ends_the_connection_or_is_not_there_is_told() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let mut wire = Wire::connect(port, Duration::from_secs(60)).unwrap();
        drop(server.accept().unwrap());
        assert_eq!(wire.receive(&mut [0; 4]).unwrap_err().to_string(), CLOSED);
        drop(server);
        let error = Wire::connect(port, Duration::from_secs(60)).err().unwrap().to_string();
        assert_eq!(error, format!("connecting to the console at port {port}"));
    }
}
