//! Who sits at the game's console: tells players what is coming, and lets the game save before it is stopped or copied.
//!
//! A console may dawdle or not answer at all. So whatever is done there is done by a thread with a limit of time, one after
//! the other, while the watch goes on; and the stop goes on after a part of its grace. What fails is logged. What a copy
//! has made the game stop writing is let go on again and again until the game has taken it.

use std::{
    fmt,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use domain::{idle::Verdict, world::StopWhy};

use super::Task;
use crate::{
    console::{Connection, Console},
    game::RunningGame,
};

/// How long an announcement may take.
const SAY_LIMIT: Duration = Duration::from_secs(3);

/// How long a game may take to save before it is copied, and how long to go on after that.
const COPY_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take to save before it is stopped, if a third of its grace is more.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// After this long a game that could not be let go on writing is told again.
const AGAIN: Duration = Duration::from_secs(60);

/// How often a stop looks whether the save is done.
const GLANCE_EVERY: Duration = Duration::from_millis(50);

/// How much of an answer is logged, in characters.
const LONGEST_LOGGED: usize = 200;

/// What players are told when the stop begins.
const FAREWELL: &str = "The world is saved and goes to sleep now.";

/// What is going on at the game's console.
pub(super) struct Operator {
    console: Option<Console>,
    at_work: Option<(Work, JoinHandle<Result<()>>)>,
    saves: Saves,
    is_warned: bool,
    to_say: Option<String>,
    say_limit: Duration,
    copy_limit: Duration,
}

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Say,
    BeforeCopy,
    AfterCopy,
    BeforeStop(Order),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Say => "the announcement",
            Self::BeforeCopy => "the save before a copy",
            Self::AfterCopy => "going on after a copy",
            Self::BeforeStop(_) => "the save before the stop",
        })
    }
}

/// What comes first when the world goes to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Players hear of it before anything happens.
    Say,
    /// There may be time for no more than the save.
    Save,
}

/// Whether the game may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saves {
    /// As it likes.
    Free,
    /// It was told to save and, perhaps, to write no more, for a copy that is to come.
    Held,
    /// The copy is over; from this moment on it is to be told to go on.
    Due(Instant),
}

impl Operator {
    pub(super) fn new(console: Option<Console>) -> Self {
        Self {
            console,
            at_work: None,
            saves: Saves::Free,
            is_warned: false,
            to_say: None,
            say_limit: SAY_LIMIT,
            copy_limit: COPY_LIMIT,
        }
    }

    /// Returns the game's console, if it has one.
    pub(super) fn console(&self) -> Option<&Console> {
        self.console.as_ref()
    }

    /// Has `warning` announced, but once for as long as there is one.
    pub(super) fn heed(&mut self, warning: Option<String>) {
        let is_warned = warning.is_some();
        if !(self.is_warned && is_warned) {
            self.to_say = warning.filter(|_| self.console.as_ref().is_some_and(|c| c.access().say.is_some()));
        }
        self.is_warned = is_warned;
    }

    /// Begins what is at hand, if nothing is going on. To be called again and again.
    pub(super) fn tend(&mut self) {
        if self.is_busy() {
            return;
        }
        if let Some(message) = self.to_say.take() {
            self.begin(Work::Say, self.say_limit, &message);
        } else if matches!(self.saves, Saves::Due(at) if Instant::now() >= at) {
            self.begin(Work::AfterCopy, self.copy_limit, "");
        }
    }

    /// Tells whether the game's files may be copied now. If not, the game is told to save first, and it is to be asked
    /// again; a game that does not answer is copied all the same. [`Operator::copy_is_over`] has to follow.
    pub(super) fn is_ready_for_copy(&mut self) -> bool {
        if self.console.is_none() {
            return true;
        }
        let is_busy = self.is_busy();
        match self.saves {
            Saves::Held => !is_busy,
            Saves::Free | Saves::Due(_) => {
                if !is_busy {
                    self.saves = Saves::Held;
                    self.begin(Work::BeforeCopy, self.copy_limit, "");
                }
                false
            }
        }
    }

    /// Lets the game write again when it was told to stop that.
    pub(super) fn copy_is_over(&mut self) {
        if self.saves == Saves::Held {
            let is_held =
                self.console.as_ref().is_some_and(|console| !console.access().after_copy.is_empty());
            self.saves = if is_held { Saves::Due(Instant::now()) } else { Saves::Free };
        }
    }

    /// Begins the save before the stop, after what is going on.
    fn begin_stop(&mut self, order: Order, limit: Duration) {
        self.copy_is_over();
        self.begin(Work::BeforeStop(order), limit, FAREWELL);
    }

    /// Starts a thread for `work`, which waits for the one before.
    fn begin(&mut self, work: Work, limit: Duration, message: &str) {
        let Some(console) = self.console.clone() else { return };
        let before = self.at_work.take().map(|(_, thread)| thread);
        let (message, is_held) = (message.to_owned(), self.saves != Saves::Free);
        let run = move || {
            let until = Instant::now() + limit;
            if let Some(Err(error)) = before.map(join) {
                tracing::warn!("the game's console: {error:#}");
            }
            let mut talk = Talk { connection: console.connect(left(until))?, until };
            talk.work(work, console.access(), is_held, console.saying(&message).as_deref())
        };
        match thread::Builder::new().name("console".into()).spawn(run) {
            Ok(thread) => self.at_work = Some((work, thread)),
            Err(error) => tracing::warn!("no thread for {work}: {error}"),
        }
    }

    /// Takes note of what is done, and tells whether something is going on.
    fn is_busy(&mut self) -> bool {
        let Some((work, thread)) = self.at_work.take_if(|(_, thread)| thread.is_finished()) else {
            return self.at_work.is_some();
        };
        let done = join(thread);
        if let Err(error) = &done {
            tracing::warn!("{work} failed at the game's console: {error:#}");
        }
        if let (Work::AfterCopy, Saves::Due(_)) = (work, self.saves) {
            self.saves = if done.is_ok() { Saves::Free } else { Saves::Due(Instant::now() + AGAIN) };
        }
        false
    }
}

impl Task {
    /// Lets players know that the world goes to sleep, and the game save. It takes at most a third of what is left before
    /// `stop_by`, so that enough is left for the stop itself. When the host ends the task the save comes first.
    pub(super) fn save_at_console(&mut self, game: &mut dyn RunningGame, stop_by: Instant) {
        self.heed_signal();
        let began = Instant::now();
        let order = if self.end_by.is_some() { Order::Save } else { Order::Say };
        let share = |by: Instant| (by.saturating_duration_since(began) / 3).min(STOP_LIMIT);
        let by = |end_by: Option<Instant>| began + share(end_by.map_or(stop_by, |by| by.min(stop_by)));
        self.operator.begin_stop(order, by(self.end_by) - began);
        while self.operator.is_busy() {
            self.heed_signal();
            if Instant::now() >= by(self.end_by) || !matches!(game.ended(), Ok(None)) {
                tracing::warn!("the stop does not wait for the game's console any longer");
                return;
            }
            thread::sleep(GLANCE_EVERY);
        }
    }
}

/// Returns what players are to be told about `verdict`, if it is a warning.
pub(super) fn warning(verdict: &Verdict) -> Option<String> {
    let Verdict::Warn { left, why } = verdict else { return None };
    let left = match left.as_millis().div_ceil(1000) {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds + 30) / 60),
    };
    let but = match why {
        StopWhy::NeverJoined | StopWhy::LastLeft => " unless somebody stays.",
        StopWhy::AllAway => " unless somebody moves.",
        StopWhy::Cap => ": it was awake for as long as it may be.",
        StopWhy::Asked(_)
        | StopWhy::NeverReady
        | StopWhy::Deaf
        | StopWhy::Unresponsive
        | StopWhy::GameEnded(_)
        | StopWhy::Reclaimed => ".",
    };
    Some(format!("This world goes to sleep in {left}{but}"))
}

/// A connection for one work.
struct Talk {
    connection: Connection,
    until: Instant,
}

impl Talk {
    fn work(
        &mut self,
        work: Work,
        access: &domain::game::Console,
        is_held: bool,
        saying: Option<&str>,
    ) -> Result<()> {
        match work {
            Work::Say => self.run(saying),
            Work::BeforeCopy => self.run(access.before_copy.iter().chain(&access.save)),
            Work::AfterCopy => self.run(&access.after_copy),
            Work::BeforeStop(order) => {
                if order == Order::Say {
                    self.say(saying);
                }
                let go_on = is_held.then_some(&access.after_copy).into_iter().flatten();
                self.run(go_on.chain(&access.save))?;
                if order == Order::Save {
                    self.say(saying);
                }
                Ok(())
            }
        }
    }

    /// Says something that nothing depends on.
    fn say(&mut self, saying: Option<&str>) {
        let limit = left(self.until).min(SAY_LIMIT);
        if let Some(command) = saying
            && let Err(error) = self.connection.command(command, limit)
        {
            tracing::warn!("{} failed at the game's console: {error:#}", Work::Say);
        }
    }

    fn run(&mut self, commands: impl IntoIterator<Item = impl AsRef<str>>) -> Result<()> {
        for command in commands {
            let command = command.as_ref();
            let answer =
                self.connection.command(command, left(self.until)).with_context(|| format!("`{command}`"))?;
            let answer: String = answer.chars().filter(|c| !c.is_control()).take(LONGEST_LOGGED).collect();
            tracing::info!("the game's console: `{command}`: {answer}");
        }
        Ok(())
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn join(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("its thread broke down")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::game;
    use std::{
        io::{Read, Write},
        net::{Ipv4Addr, TcpListener, TcpStream},
        sync::{Arc, Mutex},
    };

    #[test]
    fn a_warning_says_when_and_what_helps() {
        let said = |why, left: u64| {
            warning(&Verdict::Warn { left: Duration::from_millis(left * 1000 - 400), why }).unwrap()
        };
        let stay = "This world goes to sleep in 2 min unless somebody stays.";
        let cap = "This world goes to sleep in 45 s: it was awake for as long as it may be.";
        let away = "This world goes to sleep in 99 s unless somebody moves.";
        assert_eq!(said(StopWhy::LastLeft, 120), stay);
        assert_eq!(said(StopWhy::NeverJoined, 120), stay);
        assert_eq!(said(StopWhy::AllAway, 99), away);
        assert_eq!(said(StopWhy::Cap, 45), cap);
        assert_eq!(warning(&Verdict::Keep), None);
    }

    #[test]
    fn a_warning_is_announced_once_until_it_is_taken_back() {
        let (mut operator, said) = operator();
        let warning = |minutes: u32| Some(format!("{minutes} min"));
        for heard in [None, warning(2), warning(1), None, warning(3)] {
            operator.heed(heard);
            operator.tend();
            settle(&mut operator);
        }
        assert_eq!(*said.lock().unwrap(), ["say 2 min", "say 3 min"]);
    }

    #[test]
    fn a_warning_that_is_taken_back_in_time_is_not_announced() {
        let (mut operator, said) = operator();
        operator.heed(Some("2 min".into()));
        operator.heed(None);
        operator.tend();
        settle(&mut operator);
        assert_eq!(said.lock().unwrap().len(), 0);
    }

    #[test]
    fn a_copy_waits_for_the_save_and_the_game_goes_on_after_it() {
        let (mut operator, said) = operator();
        operator.copy_is_over();
        assert!(!operator.is_ready_for_copy());
        settle(&mut operator);
        assert!(operator.is_ready_for_copy());
        operator.tend();
        settle(&mut operator);
        assert_eq!(*said.lock().unwrap(), ["save-off", "save-all"]);
        operator.copy_is_over();
        operator.tend();
        settle(&mut operator);
        operator.tend();
        settle(&mut operator);
        assert_eq!(*said.lock().unwrap(), ["save-off", "save-all", "save-on"]);
        assert_eq!(operator.saves, Saves::Free);
    }

    #[test]
    fn a_game_that_does_not_answer_is_copied_all_the_same_and_told_to_go_on_again_and_again() {
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut operator = at(nobody);
        assert!(!operator.is_ready_for_copy());
        settle(&mut operator);
        assert!(operator.is_ready_for_copy());
        operator.copy_is_over();
        let before = Instant::now();
        operator.tend();
        settle(&mut operator);
        assert!(matches!(operator.saves, Saves::Due(at) if at >= before + AGAIN), "{:?}", operator.saves);
        // The next copy does not wait for that.
        assert!(!operator.is_ready_for_copy());
        settle(&mut operator);
        assert!(operator.is_ready_for_copy());
    }

    #[test]
    fn without_a_console_nothing_waits_and_nothing_is_said() {
        let mut operator = Operator::new(None);
        operator.heed(Some("2 min".into()));
        operator.tend();
        assert!(operator.is_ready_for_copy());
        operator.copy_is_over();
        operator.begin_stop(Order::Say, LONG);
        assert!(!operator.is_busy());
    }

    #[test]
    fn players_hear_of_the_stop_before_the_save_unless_time_is_short() {
        let (mut operator, said) = operator();
        operator.begin_stop(Order::Say, LONG);
        settle(&mut operator);
        let farewell = format!("say {FAREWELL}");
        assert_eq!(*said.lock().unwrap(), [&farewell, "save-all"]);
        operator.begin_stop(Order::Save, LONG);
        settle(&mut operator);
        assert_eq!(said.lock().unwrap()[2..], ["save-all", &farewell]);
    }

    #[test]
    fn a_stop_in_the_midst_of_a_copy_comes_after_it_and_lets_the_game_write() {
        let (mut operator, said) = operator();
        assert!(!operator.is_ready_for_copy());
        operator.begin_stop(Order::Save, LONG);
        settle(&mut operator);
        let farewell = format!("say {FAREWELL}");
        assert_eq!(*said.lock().unwrap(), ["save-off", "save-all", "save-on", "save-all", &farewell]);
    }

    const LONG: Duration = Duration::from_secs(600);

    fn settle(operator: &mut Operator) {
        while operator.is_busy() {
            thread::yield_now();
        }
    }

    /// Returns an operator at the console of a game, and what the game is told.
    fn operator() -> (Operator, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let operator = at(listener.local_addr().unwrap().port());
        let said = Arc::new(Mutex::new(vec![]));
        let hears = Arc::clone(&said);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &hears);
            }
        });
        (operator, said)
    }

    fn at(port: u16) -> Operator {
        let mut game = games::Catalogue::embedded().unwrap().games().into_values().next().unwrap();
        game.console = Some(game::Console {
            protocol: game::ConsoleProtocol::Rcon,
            port,
            save: vec!["save-all".into()],
            say: Some("say {message}".into()),
            before_copy: vec!["save-off".into()],
            after_copy: vec!["save-on".into()],
        });
        let console = Console::for_launch(&game).unwrap();
        Operator { say_limit: LONG, copy_limit: LONG, ..Operator::new(console) }
    }

    /// Answers over RCON until the other end goes away; the first packet brings the password.
    fn serve(mut stream: TcpStream, hears: &Mutex<Vec<String>>) {
        const AUTH: [u8; 4] = 3_i32.to_le_bytes();
        let mut length = [0; 4];
        while stream.read_exact(&mut length).is_ok() {
            let mut rest = vec![0; u32::from_le_bytes(length) as usize];
            stream.read_exact(&mut rest).unwrap();
            let (id, kind, text) = (&rest[..4], &rest[4..8], &rest[8..rest.len() - 2]);
            let answer = if kind == AUTH {
                2
            } else {
                hears.lock().unwrap().push(String::from_utf8(text.to_vec()).unwrap());
                0
            };
            let _ = stream.write_all(&[&[10, 0, 0, 0], id, &[answer, 0, 0, 0, 0, 0]].concat());
        }
    }
}
