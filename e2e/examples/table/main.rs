//! `cargo run -p e2e --example table`: plays everything that players and strangers do on real servers, and writes what the
//! watchdog saw into docs/seeing.md. With `--record DIRECTORY` it also keeps what came over the wire, for fast tests to
//! replay (watchdog/tests/seeing). Takes root, the games, and about a quarter of an hour.

use std::{
    collections::VecDeque,
    env, fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use e2e::{
    netns::Lab,
    seeing::{
        games::{Game, Server},
        observer::{NetRaw, Observer, Seen, summary},
        strangers::{Stranger, Tries, half_open_at},
    },
};
use record::Recorder;

mod record;

/// The page with the tables.
const PAGE: &str = "docs/seeing.md";

const BEGIN: &str = "<!-- table -->\n";
const END: &str = "<!-- /table -->\n";

/// How many servers are watched at a time.
const LANES: usize = 12;

/// How long it is waited until it is seen that somebody came or went.
const SIGHT_LIMIT: Duration = Duration::from_secs(150);

/// How long players stand still, and strangers knock: longer than any window of the watchdog.
const LONG: Duration = Duration::from_secs(40);

/// What is done to a server of its own, and stands in the table in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Players,
    Knocks,
    PingsFromOne,
    PingsFromMany,
}

impl Part {
    const ALL: [Self; 4] = [Self::Players, Self::Knocks, Self::PingsFromOne, Self::PingsFromMany];

    fn word(self) -> &'static str {
        match self {
            Self::Players => "players",
            Self::Knocks => "knocks",
            Self::PingsFromOne => "pings",
            Self::PingsFromMany => "manypings",
        }
    }
}

fn main() -> Result<()> {
    let record = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => None,
        [flag, directory] if flag == "--record" => Some(PathBuf::from(directory)),
        other => bail!("unknown arguments {other:?}: use --record DIRECTORY, or none"),
    };
    let jobs = Part::ALL.into_iter().flat_map(|part| Game::ALL.map(|game| (game, part)));
    let waiting = Mutex::new(jobs.collect::<VecDeque<_>>());
    let played = Mutex::new(Vec::new());
    let lane = || {
        // Not in the loop's own line, which would keep the queue locked for as long as the job takes.
        let next = || locked(&waiting).pop_front();
        while let Some((game, part)) = next() {
            let rows = play(game, part, record.as_deref());
            if let Err(error) = &rows {
                eprintln!("{}, {part:?}: {error:#}", game.name());
            }
            locked(&played).push((game, part, rows));
        }
    };
    thread::scope(|scope| (0..LANES).for_each(|_| _ = scope.spawn(lane)));
    let mut played = played.into_inner().map_err(|_| anyhow!("a lane panicked"))?;
    played.sort_by_key(|(_, part, _)| *part);
    let mut columns = Game::ALL.map(|game| (game, Vec::new()));
    for (game, part, rows) in played {
        let rows = rows.with_context(|| format!("{}, {part:?}", game.name()))?;
        columns.iter_mut().filter(|(g, _)| *g == game).for_each(|(_, all)| all.extend(rows.clone()));
    }
    write_page(&columns)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was seen when something happened.
#[derive(Debug, Clone)]
struct Row {
    what: String,
    with: String,
    without: String,
}

/// A game being played and watched.
struct Stage<'a> {
    game: Game,
    lab: &'a Lab,
    with: Observer,
    without: Observer,
    recorder: Option<Recorder>,
    rows: Vec<Row>,
}

/// Does `part` to a new server of `game`.
fn play(game: Game, part: Part, record: Option<&Path>) -> Result<Vec<Row>> {
    let name = format!("{}{}", game.word(), part.word());
    let lab = Lab::new(&name, 4)?;
    let recorder = record.map(|directory| Recorder::start(game, lab.server(), directory.join(name)));
    let recorder = recorder.transpose()?;
    let server = Server::start(game, lab.server())?;
    let start = |net_raw| Observer::start(lab.server(), &game.entry(), net_raw);
    let (with, without) = (start(NetRaw::With)?, start(NetRaw::Without)?);
    let mut stage = Stage { game, lab: &lab, with, without, recorder, rows: Vec::new() };
    stage.with.wait(Instant::now(), SIGHT_LIMIT, "a server", |look| look.json["listening"] == true)?;
    match part {
        Part::Players => stage.players(&server)?,
        Part::Knocks => stage.knocking()?,
        Part::PingsFromOne => stage.pings("one address", &[lab.client(3).address])?,
        Part::PingsFromMany => {
            let many: Vec<_> = (101..=120).map(|host| Ipv4Addr::new(10, 77, 0, host)).collect();
            many.iter().try_for_each(|address| lab.client(3).add_address(*address))?;
            stage.pings("20 addresses", &many)?;
        }
    }
    if let Some(recorder) = stage.recorder {
        recorder.end()?;
    }
    Ok(stage.rows)
}

impl Stage<'_> {
    fn players(&mut self, server: &Server<'_>) -> Result<()> {
        self.reaches("nobody has come yet", 0);
        let mut ann = server.join(self.lab.client(0), "ann")?;
        self.reaches("1st player joins", 1);
        let mut bob = server.join(self.lab.client(1), "bob")?;
        self.reaches("2nd player joins", 2);
        let mut cid = server.join(self.lab.client(2), "cid")?;
        self.reaches("3rd player joins", 3);
        cid.leave()?;
        self.reaches("one leaves", 2);
        self.goes_on("two stand still for 40 s", LONG)?;
        self.note("they act");
        let acting = Instant::now();
        ann.act()?;
        bob.act()?;
        self.with.look_for(acting, LONG / 2)?;
        self.tell("they act, for 20 s", acting);
        bob.kill()?;
        self.reaches("one is killed (SIGKILL)", 1);
        let mut rob = server.join(self.lab.client(1), "rob")?;
        self.reaches("and joins again from a new port", 2);
        rob.kill()?;
        let killed = Instant::now();
        let _ron = server.join(self.lab.client(1), "ron")?;
        self.note("killed and back at once");
        self.with.look_for(killed, LONG)?;
        self.tell("killed and back at once, for 40 s", killed);
        self.lab.cut_link(1)?;
        self.reaches("one's link is cut", 1);
        ann.leave()?;
        self.reaches("the last one leaves", 0);
        self.lab.mend_link(1)
    }

    fn knocking(&mut self) -> Result<()> {
        self.knocks("scans of all TCP and UDP ports", Stranger::Scans)?;
        self.knocks("TCP: five connections held without a word; UDP: nonsense every 1 s", Stranger::Babbles)?;
        if self.game.is_tcp() {
            self.lab.server().answer_nobody(self.lab.client(3).address)?;
            self.knocks("half-open TCP", Stranger::HalfOpens)
        } else {
            self.row("half-open TCP", "–".into(), "–".into());
            Ok(())
        }
    }

    fn pings(&mut self, whence: &str, from: &[Ipv4Addr]) -> Result<()> {
        for seconds in [1, 2, 5] {
            let pings = Stranger::Pings { every: Duration::from_secs(seconds), from: from.to_vec() };
            self.knocks(&format!("list pings every {seconds} s from {whence}"), pings)?;
        }
        Ok(())
    }

    /// Waits until `n` players are seen, as well as each can, and notes how long that took.
    fn reaches(&mut self, what: &str, n: u64) {
        self.note(what);
        let since = Instant::now();
        let told = if self.game.is_tcp() { n } else { n.min(1) };
        let [with, without] = [(&self.with, n), (&self.without, told)].map(|(observer, n)| {
            match observer.wait_for(n, since, SIGHT_LIMIT) {
                Ok(after) => {
                    let looks = observer.since(since);
                    let look = looks.iter().find(|look| look.seen == Seen::Players(n));
                    look.map_or_else(String::new, |look| format!("{look}, {:.0} s", after.as_secs_f32()))
                }
                Err(_) => format!("**not in {} s**: {}", SIGHT_LIMIT.as_secs(), observer.course(since)),
            }
        });
        self.row(what, with, without);
    }

    /// Notes what is seen for `time`.
    fn goes_on(&mut self, what: &str, time: Duration) -> Result<()> {
        self.note(what);
        let since = Instant::now();
        self.with.look_for(since, time)?;
        self.tell(what, since);
        Ok(())
    }

    /// Has a stranger knock, and notes what is seen meanwhile.
    fn knocks(&mut self, what: &str, stranger: Stranger) -> Result<()> {
        // What the one before left behind is not this one's.
        let since = Instant::now();
        let is_quiet = |seen: &Seen| *seen == Seen::Players(0);
        for observer in [&self.with, &self.without] {
            observer.wait(since, SIGHT_LIMIT, "nobody", |look| is_quiet(&look.seen))?;
        }
        self.note(what);
        let since = Instant::now();
        let is_ping = matches!(stranger, Stranger::Pings { .. });
        let half_opens = matches!(stranger, Stranger::HalfOpens);
        let at_work = stranger.begin(self.lab.client(3), self.game, self.lab.server().address);
        self.with.look_for(since, LONG)?;
        let half_open = half_open_at(self.lab.server(), self.game.port())?;
        let Tries { made, answered } = at_work.end()?;
        if made == 0 || (is_ping && answered == 0) || (half_opens && half_open == 0) {
            bail!("{what}: {made} tries, {answered} answered, {half_open} half open");
        }
        self.tell(what, since);
        Ok(())
    }

    fn tell(&mut self, what: &str, since: Instant) {
        let [with, without] =
            [&self.with, &self.without].map(|observer| summary(&observer.since(since), since));
        self.row(what, with, without);
    }

    fn row(&mut self, what: &str, with: String, without: String) {
        println!("{}: {what}: {with} | {without}", self.game.name());
        self.rows.push(Row { what: what.to_owned(), with, without });
    }

    fn note(&self, what: &str) {
        if let Some(recorder) = &self.recorder {
            recorder.note(what);
        }
    }
}

fn write_page(columns: &[(Game, Vec<Row>)]) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE);
    let text = fs::read_to_string(&file).with_context(|| format!("reading {PAGE}"))?;
    let [with, without] =
        [|row: &Row| row.with.clone(), |row: &Row| row.without.clone()].map(|of| table(columns, of));
    let tables = format!("\n### With NET_RAW\n\n{with}\n### Without NET_RAW\n\n{without}\n");
    let lost = || format!("{PAGE} has lost its markers");
    let (before, rest) = text.split_once(BEGIN).with_context(lost)?;
    let (_, after) = rest.split_once(END).with_context(lost)?;
    fs::write(&file, format!("{before}{BEGIN}{tables}{END}{after}"))
        .with_context(|| format!("writing {PAGE}"))
}

fn table(columns: &[(Game, Vec<Row>)], of: fn(&Row) -> String) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let head = columns.iter().map(|(game, _)| game.name().to_owned());
    let mut text = line([String::new()].into_iter().chain(head).collect());
    text.push_str(&line(vec!["---".to_owned(); columns.len() + 1]));
    let rows = columns.first().map_or(0, |(_, rows)| rows.len());
    for i in 0..rows {
        let what = columns.first().map_or_else(String::new, |(_, rows)| rows[i].what.clone());
        let cells = columns.iter().map(|(_, rows)| rows.get(i).map_or_else(String::new, of));
        text.push_str(&line([what].into_iter().chain(cells).collect()));
    }
    text
}
