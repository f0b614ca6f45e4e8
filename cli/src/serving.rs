//! Serving the front door to whoever connects: so many connections at once, and none of them for nothing.
//!
//! A connection takes a seat. When all are taken, the one that has gone longest without an answer is sent away for the one that
//! comes: who sends a request is answered within milliseconds, so those who go first are those who send slowly, or nothing. Who
//! has sent all of a request is not sent away before the answer. An upload or a download ([`files::lasts`]) keeps its seat, since
//! its link was checked before the first byte, as long as they have no more than half of all seats.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use adapters::front_door::files;
use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request},
    http::StatusCode,
    response::Response,
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, watch},
    task::{self, JoinSet},
    time::{self, Instant},
};
use tower_service::Service;

/// What one program bears.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many connections there are at once.
    pub(crate) seats: usize,
    /// How long a request's head may take, and how long a connection may wait for the next request.
    pub(crate) head: Duration,
}

impl Limits {
    /// Half of the descriptors that a program has by default. A watchdog reports every two seconds, and Discord sends all that it
    /// has to say at once.
    pub(crate) const DEFAULT: Self = Self { seats: 512, head: Duration::from_secs(15) };
}

/// The most bytes of a request that are read ahead, and so the longest head.
const READ_AHEAD: usize = 64 * 1024;

/// How long to wait when no connection can be taken: this program has too many files open, as a rule.
const NO_ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections wait to be taken; the kernel has a limit of its own, which is as high as a rule. Whoever comes when all
/// of these are there tries again after a second.
const WAITING: u32 = 4096;

/// How many connections are taken at once. Then first is heard what there is to hear: a crowd that comes faster than that waits
/// outside, where nobody who has a seat is sent away for it.
const AT_ONCE: u32 = 16;

/// Begins to take connections at `address`.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a program before this one may still be on their way out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// Serves `router` until `ended` changes or its sender is gone, and then finishes what was begun.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut ended: watch::Receiver<()>,
) {
    let seats = Arc::new(Seats::new(limits.seats));
    let mut conversations = JoinSet::new();
    let mut taken = 0;
    loop {
        let accepted = tokio::select! {
            _ = ended.changed() => break,
            accepted = listener.accept() => accepted,
        };
        while conversations.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let guest = Guest { seat: Arc::new(Seats::take(&seats)), peer, router: router.clone() };
                conversations.spawn(converse(stream, guest, limits, ended.clone()));
                taken = (taken + 1) % AT_ONCE;
                if taken == 0 {
                    task::yield_now().await;
                }
            }
            Err(error) => {
                tracing::warn!("a connection cannot be taken: {error}");
                time::sleep(NO_ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while conversations.join_next().await.is_some() {}
}

/// Somebody who is connected.
#[derive(Clone)]
struct Guest {
    seat: Arc<Seat>,
    peer: SocketAddr,
    router: Router,
}

/// Answers one connection until it ends, its seat is wanted for another, or everything ends.
async fn converse(stream: TcpStream, guest: Guest, limits: Limits, mut ended: watch::Receiver<()>) {
    // An answer is one small write. Not an error: where it cannot be set, answers are slower.
    let _ = stream.set_nodelay(true);
    let seat = guest.seat.clone();
    let service = service_fn(move |request| answer(guest.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(READ_AHEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut is_ending = false;
    loop {
        tokio::select! {
            // A connection that breaks is its client's business.
            _ = connection.as_mut() => return,
            () = seat.wanted.notified() => return,
            _ = ended.changed(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(mut guest: Guest, request: hyper::Request<Incoming>) -> Result<Response, Infallible> {
    guest.seat.asked(request.uri().path());
    let seat = guest.seat.clone();
    let mut request: Request = request.map(|body| Body::new(Arriving::new(body, seat)));
    request.extensions_mut().insert(ConnectInfo(guest.peer));
    let answer = guest.router.call(request).await?;
    guest.seat.answered(answer.status());
    Ok(answer)
}

/// The body of a request, which tells the seat when all of it is there.
struct Arriving {
    body: Incoming,
    seat: Arc<Seat>,
}

impl Arriving {
    fn new(body: Incoming, seat: Arc<Seat>) -> Self {
        let arriving = Self { body, seat };
        arriving.look();
        arriving
    }

    fn look(&self) {
        if self.body.is_end_stream() {
            self.seat.heard();
        }
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match frame {
            // Only this tells of the end of a body that comes in chunks.
            Poll::Ready(None) => self.seat.heard(),
            Poll::Ready(Some(_)) | Poll::Pending => self.look(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The seats that there are, and who has them.
struct Seats {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    guests: BTreeMap<u64, Taker>,
}

/// One who has a seat.
struct Taker {
    /// Since when there was no answer for them.
    waits_since: Instant,
    stay: Stay,
    wanted: Arc<Notify>,
}

/// Whether a guest may be sent away for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// For as long as nobody else wants the seat.
    WhileThereIsRoom,
    /// Until the answer to what they have asked, unless nobody else can be sent away.
    UntilAnswered,
    /// To the end of what they upload or download, unless there are too many such.
    ToTheEnd,
}

/// One guest's seat. It is free again once this is dropped.
struct Seat {
    number: u64,
    seats: Arc<Seats>,
    wanted: Arc<Notify>,
}

impl Seats {
    fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default() }
    }

    /// Returns a seat, which may have been another's.
    fn take(seats: &Arc<Self>) -> Seat {
        let mut taken = seats.lock();
        if taken.guests.len() >= seats.most {
            taken.send_one_away(seats.most);
        }
        taken.next += 1;
        let (number, wanted) = (taken.next, Arc::new(Notify::new()));
        let taker =
            Taker { waits_since: Instant::now(), stay: Stay::WhileThereIsRoom, wanted: wanted.clone() };
        taken.guests.insert(number, taker);
        Seat { number, seats: seats.clone(), wanted }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Sends away whoever waited longest: of those whose files last, if they have more than half of the seats, and of the others
    /// if not. A link that holds is enough to begin downloads that nobody takes.
    fn send_one_away(&mut self, most: usize) {
        let lasting = self.guests.values().filter(|guest| guest.stay == Stay::ToTheEnd).count();
        let first = if lasting > most / 2 { Stay::ToTheEnd } else { Stay::WhileThereIsRoom };
        let longest = [first, Stay::UntilAnswered].into_iter().find_map(|stay| self.longest(stay));
        if let Some(guest) = longest.and_then(|number| self.guests.remove(&number)) {
            guest.wanted.notify_one();
        }
    }

    fn longest(&self, stay: Stay) -> Option<u64> {
        let guests = self.guests.iter().filter(|(_, guest)| guest.stay == stay);
        guests.min_by_key(|(_, guest)| guest.waits_since).map(|(number, _)| *number)
    }
}

impl Seat {
    /// Takes note of a request, whose body may still be on its way. What lasts does so until the next request: a download goes on
    /// after its answer has begun.
    fn asked(&self, path: &str) {
        let stay = if files::lasts(path) { Stay::ToTheEnd } else { Stay::WhileThereIsRoom };
        self.change(|guest| guest.stay = stay);
    }

    /// Takes note that nothing is missing of a request.
    fn heard(&self) {
        self.change(|guest| {
            if guest.stay == Stay::WhileThereIsRoom {
                guest.stay = Stay::UntilAnswered;
            }
        });
    }

    /// Takes note of an answer. Who is refused has nothing to upload or download.
    fn answered(&self, status: StatusCode) {
        self.change(|guest| {
            guest.waits_since = Instant::now();
            if guest.stay == Stay::UntilAnswered || !status.is_success() {
                guest.stay = Stay::WhileThereIsRoom;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Taker)) {
        if let Some(guest) = self.seats.lock().guests.get_mut(&self.number) {
            change(guest);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::{get, put};
    use futures_util::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Longer than any test takes.
    const NEVER: Duration = Duration::from_secs(3600);

    struct Served {
        at: SocketAddr,
        end: watch::Sender<()>,
        serving: tokio::task::JoinHandle<()>,
    }

    fn served_by(router: Router, limits: Limits) -> Served {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let at = listener.local_addr().unwrap();
        let (end, ended) = watch::channel(());
        Served { at, end, serving: tokio::spawn(serve(listener, router, limits, ended)) }
    }

    fn served(limits: Limits) -> Served {
        let endless = || stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[0; 1024])));
        let router = Router::new()
            .route(
                "/healthz",
                get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
            )
            .route("/archives/{world}/{archive}", get(move || async move { Body::from_stream(endless()) }))
            .route("/v1/reports", put(|_: Bytes| async { "taken" }));
        served_by(router, limits)
    }

    async fn send(at: SocketAddr, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Asks and returns the first line of the answer, or nothing if the connection was closed instead.
    async fn ask(stream: &mut TcpStream, path: &str) -> Option<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        first_line(stream).await
    }

    async fn first_line(stream: &mut TcpStream) -> Option<String> {
        let mut line = String::new();
        while !line.ends_with('\n') {
            line.push(char::from(stream.read_u8().await.ok()?));
        }
        Some(line.trim_end().to_owned())
    }

    /// Waits until the other side has closed the connection.
    async fn is_closed(mut stream: TcpStream) {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = stream.read_to_end(&mut rest).await;
    }

    #[tokio::test]
    async fn who_asks_is_answered_and_known_by_their_address() {
        let Served { at, end: _end, .. } = served(Limits { seats: 1, head: NEVER });
        let mut stream = TcpStream::connect(at).await.unwrap();
        assert_eq!(ask(&mut stream, "/healthz").await.unwrap(), "HTTP/1.1 200 OK");
        let mut said = vec![0; 4096];
        let length = stream.read(&mut said).await.unwrap();
        let said = String::from_utf8_lossy(&said[..length]).into_owned();
        assert!(said.ends_with(&stream.local_addr().unwrap().to_string()), "{said}");
    }

    #[tokio::test]
    async fn who_sends_slowly_makes_room_for_who_asks() {
        let Served { at, end: _end, .. } = served(Limits { seats: 3, head: NEVER });
        let slow = [
            send(at, "").await,
            send(at, "GET /healthz HTTP/1.1\r\nHo").await,
            send(at, "PUT /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nh").await,
        ];
        let mut served = Vec::new();
        for _ in 0..3 {
            let mut quick = TcpStream::connect(at).await.unwrap();
            assert_eq!(ask(&mut quick, "/healthz").await.unwrap(), "HTTP/1.1 200 OK");
            served.push(quick);
        }
        for stream in slow {
            is_closed(stream).await;
        }
    }

    #[tokio::test]
    async fn who_has_sent_all_of_a_request_is_not_sent_away_before_the_answer() {
        let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (says, waits) = (arrived.clone(), go.clone());
        let take = |_: Bytes| async move {
            says.notify_one();
            waits.notified().await;
            "taken"
        };
        let router = Router::new().route("/v1/reports", put(take));
        let Served { at, end: _end, .. } = served_by(router, Limits { seats: 2, head: NEVER });
        let request = "PUT /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";
        let mut waiting = send(at, request).await;
        arrived.notified().await;
        // There is one more seat, which each takes from the one before.
        let mut silent = send(at, "").await;
        for _ in 0..5 {
            is_closed(std::mem::replace(&mut silent, send(at, "").await)).await;
        }
        go.notify_one();
        assert_eq!(first_line(&mut waiting).await.unwrap(), "HTTP/1.1 200 OK");
    }

    #[tokio::test]
    async fn where_all_wait_for_their_answers_the_one_who_waits_longest_makes_room() {
        let seats = Arc::new(Seats::new(2));
        let [first, second] = [Seats::take(&seats), Seats::take(&seats)];
        first.heard();
        second.heard();
        let third = Seats::take(&seats);
        first.wanted.notified().await;
        assert_eq!(seats.lock().guests.keys().collect::<Vec<_>>(), [&second.number, &third.number]);
    }

    #[tokio::test]
    async fn a_download_keeps_its_seat() {
        let Served { at, end: _end, .. } = served(Limits { seats: 2, head: NEVER });
        let mut download = TcpStream::connect(at).await.unwrap();
        assert_eq!(ask(&mut download, "/archives/w1/a1.zip").await.unwrap(), "HTTP/1.1 200 OK");
        let mut served = Vec::new();
        for _ in 0..5 {
            let mut quick = TcpStream::connect(at).await.unwrap();
            assert_eq!(ask(&mut quick, "/healthz").await.unwrap(), "HTTP/1.1 200 OK");
            served.push(quick);
        }
        let mut more = vec![0; 8 << 20];
        download.read_exact(&mut more).await.unwrap();
    }

    #[tokio::test]
    async fn downloads_never_have_more_than_half_of_the_seats() {
        let Served { at, end: _end, .. } = served(Limits { seats: 2, head: NEVER });
        let mut downloads = Vec::new();
        for _ in 0..2 {
            let mut download = TcpStream::connect(at).await.unwrap();
            assert_eq!(ask(&mut download, "/archives/w1/a1.zip").await.unwrap(), "HTTP/1.1 200 OK");
            downloads.push(download);
        }
        let mut quick = TcpStream::connect(at).await.unwrap();
        assert_eq!(ask(&mut quick, "/healthz").await.unwrap(), "HTTP/1.1 200 OK");
        is_closed(downloads.remove(0)).await;
    }

    #[tokio::test]
    async fn a_head_has_its_time() {
        let Served { at, end: _end, .. } = served(Limits { seats: 2, head: Duration::from_millis(50) });
        is_closed(send(at, "").await).await;
        is_closed(send(at, "GET /healthz HTTP/1.1\r\nHo").await).await;
    }

    #[tokio::test]
    async fn told_to_end_it_takes_nobody_more_and_finishes_what_was_begun() {
        let Served { at, end, serving } = served(Limits { seats: 2, head: NEVER });
        let begun =
            "PUT /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        let mut begun = send(at, begun).await;
        assert_eq!(first_line(&mut begun).await.unwrap(), "HTTP/1.1 100 Continue");
        end.send(()).unwrap();
        while TcpStream::connect(at).await.is_ok() {
            tokio::task::yield_now().await;
        }
        begun.write_all(b"hi").await.unwrap();
        assert_eq!(first_line(&mut begun).await.unwrap(), "");
        assert_eq!(first_line(&mut begun).await.unwrap(), "HTTP/1.1 200 OK");
        serving.await.unwrap();
    }
}
