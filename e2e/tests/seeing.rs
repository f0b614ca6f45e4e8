//! Who is seen: real servers of five games with real players and with strangers, looked at by the real watchdog, with the
//! right to see packets and without. `cargo run -p e2e --example table` measures more of it, for docs/seeing.md.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    netns::Lab,
    seeing::{
        games::{Game, Player, Server},
        observer::{NetRaw, Observer, Seen},
        strangers::{AtWork, Stranger, half_open_at},
    },
};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long it may take until it is seen that somebody came or went. Most takes half of it; machines are busy.
const SIGHT_LIMIT: Duration = s(90);

/// For how long strangers knock.
const KNOCKING: Duration = s(40);

#[test]
fn players_of_luanti_are_counted_as_they_come_and_go() -> Result<()> {
    players_are_counted(Game::Luanti)
}

#[test]
fn players_of_openttd_are_counted_as_they_come_and_go() -> Result<()> {
    players_are_counted(Game::OpenTtd)
}

#[test]
fn players_of_minecraft_java_are_counted_as_they_come_and_go() -> Result<()> {
    players_are_counted(Game::Java)
}

#[test]
fn players_of_minecraft_bedrock_are_counted_as_they_come_and_go() -> Result<()> {
    players_are_counted(Game::Bedrock)
}

#[test]
fn players_of_teeworlds_are_counted_as_they_come_and_go() -> Result<()> {
    players_are_counted(Game::Teeworlds)
}

#[test]
fn strangers_are_no_players_of_luanti() -> Result<()> {
    strangers_are_no_players(Game::Luanti)
}

#[test]
fn strangers_are_no_players_of_openttd() -> Result<()> {
    strangers_are_no_players(Game::OpenTtd)
}

#[test]
fn strangers_are_no_players_of_minecraft_java() -> Result<()> {
    strangers_are_no_players(Game::Java)
}

#[test]
fn strangers_are_no_players_of_minecraft_bedrock() -> Result<()> {
    strangers_are_no_players(Game::Bedrock)
}

#[test]
fn strangers_are_no_players_of_teeworlds() -> Result<()> {
    strangers_are_no_players(Game::Teeworlds)
}

fn players_are_counted(game: Game) -> Result<()> {
    let lab = Lab::new(&format!("{}players", game.word()), 2)?;
    let server = Server::start(game, lab.server())?;
    let watch = Watch::start(game, &lab)?;
    watch.sees(0, "the start")?;
    let join = |i: usize, name: &str| -> Result<Player> {
        let player = server.join(lab.client(i), name)?;
        // The real game sends twenty packets a second. What RakNet sends by itself can be too little, see docs/seeing.md.
        if game == Game::Bedrock {
            player.act()?;
        }
        Ok(player)
    };
    let mut ann = join(0, "ann")?;
    watch.sees(1, "ann came")?;
    let ann_is_on = Instant::now();
    let mut bob = join(1, "bob")?;
    watch.sees(2, "bob came")?;
    bob.kill()?;
    watch.sees(1, "bob was killed")?;
    // The same person, from another port; the server may still wait for the old one.
    let mut rob = join(1, "rob")?;
    watch.sees(2, "bob came again")?;
    ann.act()?;
    ann.leave()?;
    watch.never(ann_is_on, "nobody, or more than two, while people play", |seen| match seen {
        Seen::Players(n) => *n == 0 || *n > 2,
        Seen::Unknown(_) => false,
    })?;
    watch.sees(1, "ann left")?;
    rob.leave()?;
    watch.sees(0, "bob left")
}

fn strangers_are_no_players(game: Game) -> Result<()> {
    let lab = Lab::new(&format!("{}strangers", game.word()), 6)?;
    let _server = Server::start(game, lab.server())?;
    let watch = Watch::start(game, &lab)?;
    watch.sees(0, "the start")?;
    lab.server().answer_nobody(lab.client(5).address)?;
    let begun = Instant::now();
    let begin = |i: usize, stranger: Stranger| stranger.begin(lab.client(i), game, lab.server().address);
    let pings = |i: usize, every| begin(i, Stranger::Pings { every, from: vec![lab.client(i).address] });
    let many: Vec<_> = (101..=120).map(|host| Ipv4Addr::new(10, 77, 0, host)).collect();
    many.iter().try_for_each(|address| lab.client(4).add_address(*address))?;
    let mut answered =
        vec![pings(0, s(1)), pings(1, s(5)), begin(4, Stranger::Pings { every: s(2), from: many })];
    let mut others = vec![begin(2, Stranger::Scans), begin(3, Stranger::Babbles)];
    if game.is_tcp() {
        answered.push(begin(3, Stranger::Babbles));
        others.push(begin(5, Stranger::HalfOpens));
    }
    watch.looks_for(begun, KNOCKING)?;
    if game.is_tcp() {
        ensure!(half_open_at(lab.server(), game.port())? > 0, "{}: nothing is half open", game.name());
    }
    for (i, stranger) in answered.into_iter().map(AtWork::end).enumerate() {
        let tries = stranger?;
        ensure!(tries.answered > 0, "{}: stranger {i} was never answered: {tries:?}", game.name());
    }
    for stranger in others.into_iter().map(AtWork::end) {
        ensure!(stranger?.made > 0, "{}: a stranger did nothing", game.name());
    }
    let seen = watch.with.course(begun);
    println!("{}: strangers: {seen}; without NET_RAW: {}", game.name(), watch.without.course(begun));
    let is_player = |seen: &Seen| matches!(seen, Seen::Players(1..));
    let looks = watch.with.since(begun);
    ensure!(!looks.iter().any(|look| is_player(&look.seen)), "{}: strangers count: {seen}", game.name());
    let known = looks.iter().any(|look| look.at > begun + KNOCKING / 2 && look.seen == Seen::Players(0));
    ensure!(known, "{}: it is not seen that nobody plays: {seen}", game.name());
    if game.is_tcp() {
        let looks = watch.without.since(begun);
        ensure!(!looks.iter().any(|look| is_player(&look.seen)), "{}: strangers count", game.name());
    }
    Ok(())
}

/// The watchdog at one server, with the right to see packets and without.
struct Watch {
    game: Game,
    with: Observer,
    without: Observer,
}

impl Watch {
    /// Starts both, and waits until the server listens.
    fn start(game: Game, lab: &Lab) -> Result<Self> {
        let start = |net_raw| Observer::start(lab.server(), &game.entry(), net_raw);
        let watch = Self { game, with: start(NetRaw::With)?, without: start(NetRaw::Without)? };
        watch
            .with
            .wait(Instant::now(), SIGHT_LIMIT, "a listening server", |look| look.json["listening"] == true)?;
        Ok(watch)
    }

    /// Waits until both see `n` players as well as they can, after `what` has just happened.
    fn sees(&self, n: u64, what: &str) -> Result<()> {
        let since = Instant::now();
        let about = || format!("{}: after {what}", self.game.name());
        let after = self.with.wait_for(n, since, SIGHT_LIMIT).with_context(about)?;
        // The datagram rate tells that somebody is there, not how many.
        let told = if self.game.is_tcp() { n } else { n.min(1) };
        let without = self.without.wait_for(told, since, SIGHT_LIMIT).with_context(about)?;
        println!(
            "{}: {what}: {n} seen after {after:.0?}; without NET_RAW {told} after {without:.0?}",
            self.game.name()
        );
        Ok(())
    }

    /// Waits until both have looked at all of the `time` that began with `since`.
    fn looks_for(&self, since: Instant, time: Duration) -> Result<()> {
        self.with.look_for(since, time)?;
        self.without.look_for(since, time)
    }

    /// Checks that neither saw from `since` on what must not be seen.
    fn never(&self, since: Instant, what: &str, is_wrong: impl Fn(&Seen) -> bool) -> Result<()> {
        for observer in [&self.with, &self.without] {
            let looks = observer.since(since);
            ensure!(
                !looks.iter().any(|look| is_wrong(&look.seen)),
                "{}: {what}: {}",
                self.game.name(),
                observer.course(since)
            );
        }
        Ok(())
    }
}
