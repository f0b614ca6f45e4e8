//! Talking to the control plane: reports out, orders in, and tickets for uploads.
//!
//! Reports go out from a thread of their own, so that a control plane that is slow or gone never keeps the watchdog from
//! watching. Only the newest report counts: it says everything that has happened so far.

use std::{
    io::Read,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use adapters::report::{
    Answer, OrdersRecord, Report, SettingsRecord, SourceRecord, TicketRecord, TicketRequest,
};
use anyhow::{Context, Result};
use ureq::{Agent, http::StatusCode};

use crate::{
    upload::{refused, without_url},
    way::Way,
};

/// How long one report may take.
const REPORT_LIMIT: Duration = Duration::from_secs(10);

/// How long a server may take until it begins to send a file.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// How long a download may take, however short it is.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How much longer it may take for each byte: this many in a second.
const SLOWEST: u64 = 1_000_000;

/// The first and the longest wait after a report that failed.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// The most bytes of an answer that are read.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// The most bytes of settings that are read: more than the longest of all can have.
const LONGEST_SETTINGS: u64 = 512 * 1024;

/// The control plane as one launch sees it.
#[derive(Clone)]
pub struct Control {
    agent: Agent,
    way: Way,
    url: String,
    token: String,
}

impl Control {
    /// Returns the control plane at `url`, spoken to with the launch's `token`.
    pub fn new(way: Way, url: &str, token: &str) -> Self {
        let agent = way.agent(Agent::config_builder().timeout_global(Some(REPORT_LIMIT)).build());
        Self { agent, way, url: url.trim_end_matches('/').to_owned(), token: token.to_owned() }
    }

    /// Returns the way to it.
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// Sends `report` and returns the orders.
    pub fn report(&self, report: &Report) -> Result<OrdersRecord> {
        let answer = self
            .agent
            .post(format!("{}/v1/reports", self.url))
            .header("authorization", format!("Bearer {}", self.token))
            .send_json(report)
            .context("reporting")?;
        let answer: Answer = answer.into_body().into_with_config().limit(LONGEST_ANSWER).read_json()?;
        Ok(answer.orders)
    }

    /// Gets what is at `path`, of at most so many bytes, whatever its status.
    fn get(&self, path: &str, most: u64) -> Result<(StatusCode, String)> {
        let asked = self.agent.get(format!("{}{path}", self.url));
        let asked = asked.config().http_status_as_error(false).build();
        let answer = asked.header("authorization", format!("Bearer {}", self.token)).call()?;
        let status = answer.status();
        Ok((status, answer.into_body().into_with_config().limit(most).read_to_string()?))
    }

    /// Asks what is to be put into the world's directory.
    pub fn source(&self, world: &str, generation: u32) -> Result<SourceRecord> {
        let asked = self.get(&format!("/v1/sources/{world}/{generation}"), LONGEST_ANSWER);
        let (status, said) = asked.context("asking what to put in place")?;
        if status.is_success() { Ok(serde_json::from_str(&said)?) } else { Err(refused(status, &said)) }
    }

    /// Asks what was chosen for the world's game; nothing from a control plane of before there were settings.
    pub fn settings(&self, world: &str, generation: u32) -> Result<Option<SettingsRecord>, NoSettings> {
        let asked = self.get(&format!("/v1/settings/{world}/{generation}"), LONGEST_SETTINGS);
        let (status, said) = asked.context("asking what was chosen").map_err(NoSettings::ForNow)?;
        if status.is_success() {
            // Not what it says: that may be a secret.
            let unread = |_| NoSettings::Never(anyhow::anyhow!("what was chosen cannot be read"));
            return serde_json::from_str(&said).map(Some).map_err(unread);
        }
        match status.as_u16() {
            404 => Ok(None),
            400 | 401 | 409 => Err(NoSettings::Never(refused(status, &said))),
            _ => Err(NoSettings::ForNow(refused(status, &said))),
        }
    }

    /// Begins to download what is at `url`, of at most so many bytes. The URL is a secret as long as it holds.
    pub fn download(&self, url: &str, most: u64) -> Result<impl Read + use<>> {
        let asked = self
            .agent
            .get(url)
            .config()
            .http_status_as_error(false)
            .timeout_global(None)
            .timeout_connect(Some(REPORT_LIMIT))
            .timeout_recv_response(Some(SILENCE_LIMIT))
            .timeout_recv_body(Some(DOWNLOAD_LIMIT + Duration::from_secs(most / SLOWEST)))
            .build()
            .call();
        let answer = asked.map_err(without_url).context("downloading")?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body().into_reader());
        }
        let said = answer.into_body().into_with_config().limit(LONGEST_ANSWER).read_to_string();
        Err(refused(status, &said.unwrap_or_default()).context("downloading"))
    }

    /// Asks for a ticket to upload a part of an archive of the launch.
    pub fn ticket(
        &self,
        world: &str,
        generation: u32,
        part: &TicketRequest,
    ) -> Result<TicketRecord, NoTicket> {
        let asked = self
            .agent
            .post(format!("{}/v1/tickets/{world}/{generation}", self.url))
            .config()
            .http_status_as_error(false)
            .build()
            .header("authorization", format!("Bearer {}", self.token))
            .send_json(part);
        let answer = asked.map_err(|error| NoTicket::ForNow(error.into()))?;
        let status = answer.status();
        let said = answer.into_body().into_with_config().limit(LONGEST_ANSWER).read_to_string();
        if status.is_success() {
            let ticket = said.map_err(anyhow::Error::from).and_then(|text| Ok(serde_json::from_str(&text)?));
            return ticket.map_err(NoTicket::ForNow);
        }
        let error = refused(status, &said.unwrap_or_default());
        Err(match status.as_u16() {
            401 | 404 | 409 => NoTicket::Unwanted(error),
            400 | 413 | 422 => NoTicket::Never(error),
            _ => NoTicket::ForNow(error),
        })
    }
}

/// Why what was chosen is not known.
#[derive(Debug)]
pub enum NoSettings {
    /// It may be when it is asked for again.
    ForNow(anyhow::Error),
    /// The control plane has none for this launch.
    Never(anyhow::Error),
}

/// Why there is no ticket.
#[derive(Debug)]
pub enum NoTicket {
    /// There may be one when it is asked for again.
    ForNow(anyhow::Error),
    /// The control plane wants no archive of this launch.
    Unwanted(anyhow::Error),
    /// There will be none for this part.
    Never(anyhow::Error),
}

/// Sends reports from a thread of its own.
#[derive(Clone)]
pub struct Reporter {
    desk: Arc<Desk>,
}

struct Desk {
    tray: Mutex<Tray>,
    changed: Condvar,
    answered: Condvar,
}

struct Tray {
    report: Report,
    is_new: bool,
    /// Counts the changes that somebody wants heard; and which of them an answer was given to.
    said: u64,
    heard: u64,
    every: Duration,
    orders: Option<OrdersRecord>,
    keep_until: Option<Instant>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter {
    /// Begins to send `report` at once, whenever it changes, and `every` so often.
    pub fn start(control: Control, report: Report, every: Duration) -> Self {
        let tray = Tray { report, is_new: true, said: 1, heard: 0, every, orders: None, keep_until: None };
        let desk =
            Arc::new(Desk { tray: Mutex::new(tray), changed: Condvar::new(), answered: Condvar::new() });
        let own = Arc::clone(&desk);
        thread::spawn(move || send_reports(&control, &own));
        Self { desk }
    }

    /// Changes the report.
    pub fn update(&self, change: impl FnOnce(&mut Report)) {
        let mut tray = self.desk.lock();
        let before = tray.report.clone();
        change(&mut tray.report);
        if tray.report != before {
            tray.is_new = true;
            tray.said += 1;
            self.desk.changed.notify_all();
        }
    }

    /// Reports at once, and waits up to `limit` for the answer; tells whether it came.
    pub fn ask(&self, limit: Duration) -> bool {
        let mut tray = self.desk.lock();
        tray.is_new = true;
        tray.said += 1;
        let wanted = tray.said;
        self.desk.changed.notify_all();
        let waited = self.desk.answered.wait_timeout_while(tray, limit, |tray| tray.heard < wanted);
        let (tray, _) = waited.unwrap_or_else(PoisonError::into_inner);
        tray.heard >= wanted
    }

    /// Tells whether everything that was said so far has been answered.
    pub fn is_heard(&self) -> bool {
        let tray = self.desk.lock();
        tray.heard >= tray.said
    }

    /// Changes the report without haste: the next regular one will say so.
    pub fn note(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.desk.lock().report);
    }

    /// Reports often from now on: the answer to the last word is waited for.
    pub fn hurry(&self) {
        const HURRIED: Duration = Duration::from_millis(250);
        let mut tray = self.desk.lock();
        tray.every = tray.every.min(HURRIED);
        tray.is_new = true;
        self.desk.changed.notify_all();
    }

    /// Returns the newest orders, if any came yet.
    pub fn orders(&self) -> Option<OrdersRecord> {
        self.desk.lock().orders.clone()
    }

    /// Returns which archive is to be made while the game goes on, if one is.
    pub fn wished_backup(&self) -> Option<i64> {
        match self.orders() {
            Some(OrdersRecord::Run { backup, .. }) => backup,
            Some(
                OrdersRecord::Fill
                | OrdersRecord::Stop
                | OrdersRecord::UploadAgain { .. }
                | OrdersRecord::End { .. }
                | OrdersRecord::Abandon,
            )
            | None => None,
        }
    }

    /// Tells whether a person wants the world awake whoever is on.
    pub fn is_kept(&self) -> bool {
        self.desk.lock().keep_until.is_some_and(|until| Instant::now() < until)
    }
}

/// Sends the report for as long as the watchdog lives.
fn send_reports(control: &Control, desk: &Desk) {
    let mut wait = RETRY.0;
    loop {
        let (report, said) = {
            let mut tray = desk.lock();
            tray.is_new = false;
            (tray.report.clone(), tray.said)
        };
        let pause = match control.report(&report) {
            Ok(orders) => {
                take_orders(desk, orders, said);
                wait = RETRY.0;
                desk.lock().every
            }
            Err(error) => {
                tracing::warn!("the control plane did not take a report: {error:#}");
                let pause = wait;
                wait = (wait * 2).min(RETRY.1);
                desk.lock().is_new = false;
                pause
            }
        };
        let tray = desk.lock();
        let _ = desk.changed.wait_timeout_while(tray, pause, |tray| !tray.is_new);
    }
}

fn take_orders(desk: &Desk, orders: OrdersRecord, said: u64) {
    let mut tray = desk.lock();
    tray.heard = said;
    desk.answered.notify_all();
    if let OrdersRecord::Run { keep_for_s, .. } = orders {
        tray.keep_until = Instant::now().checked_add(Duration::from_secs(keep_for_s));
    }
    if tray.orders.as_ref() != Some(&orders) && !matches!(orders, OrdersRecord::Run { .. }) {
        tracing::info!("orders: {orders:?}");
    }
    tray.orders = Some(orders);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
    };

    #[test]
    fn what_was_chosen_is_had_or_not_yet_or_never() {
        let chosen = r#"{"settings":{"password":"hunter22"}}"#;
        let had = asked("200 OK", chosen).unwrap().unwrap();
        assert_eq!(had.settings.get("password").map(String::as_str), Some("hunter22"));
        assert!(matches!(asked("404 Not Found", r#"{"error":"there is no such page"}"#), Ok(None)));
        assert!(matches!(asked("409 Conflict", r#"{"error":"not current"}"#), Err(NoSettings::Never(_))));
        assert!(matches!(asked("401 Unauthorized", ""), Err(NoSettings::Never(_))));
        assert!(matches!(asked("503 Service Unavailable", ""), Err(NoSettings::ForNow(_))));
        assert!(matches!(asked("200 OK", &"x".repeat(600 * 1024)), Err(NoSettings::ForNow(_))));
    }

    #[test]
    fn what_cannot_be_read_is_not_told() {
        let Err(NoSettings::Never(error)) = asked("200 OK", r#"{"settings":["hunter22"]}"#) else { panic!() };
        assert_eq!(format!("{error:#}"), "what was chosen cannot be read");
    }

    /// Asks a control plane that answers so.
    fn asked(status: &'static str, body: &str) -> Result<Option<SettingsRecord>, NoSettings> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let body = body.to_owned();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let head =
                BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
            let head: Vec<_> = head.collect();
            let length = body.len();
            // Whoever reads no further than it needs is gone by then.
            let _ = write!(
                &stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            head
        });
        let answer = Control::new(Way::default(), &url, "token").settings("w1", 7);
        let head = server.join().unwrap();
        assert_eq!(head[0], "GET /v1/settings/w1/7 HTTP/1.1");
        assert!(head.iter().any(|line| line.eq_ignore_ascii_case("authorization: bearer token")), "{head:?}");
        answer
    }
}
