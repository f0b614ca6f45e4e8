//! Those whom the front door is for: interactions that Discord signed, each of which has to be answered.

use std::{
    io::{BufReader, Write},
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::super::{
    discord::{Discord, Interaction, Signed},
    http,
};

/// How long somebody waited for the right answer; nothing if there was none.
pub(super) type Waited = Option<Duration>;

/// How often somebody asks: 200 interactions a second.
const EVERY: Duration = Duration::from_millis(5);

/// Over how many connections interactions come as fast as they are answered.
const CONNECTIONS: u64 = 8;

/// How many interactions may go before anybody's numbers meet another's.
pub(super) const NUMBERS: u64 = 1_000_000_000;

/// Asks over a connection of its own, as a proxy may do it, and fails unless the answer is right.
pub(super) fn ask(address: SocketAddr, signed: &Signed, interaction: Interaction) -> Result<()> {
    let mut stream = http::connect(&address.to_string())?;
    stream.write_all(&signed.request())?;
    is_right(http::read_answer(&mut BufReader::new(stream))?, interaction)
}

fn is_right((status, body): (u16, Vec<u8>), interaction: Interaction) -> Result<()> {
    ensure!(status == 200, "{} is answered with {status}", interaction.name());
    interaction.expect(&serde_json::from_slice(&body)?)
}

/// Asks at a steady pace until the time is over, which is then said to all. Nobody waits for the one before, and how long
/// somebody waited counts from when it was their turn. Interactions are numbered from `first` on.
pub(super) fn ask_steadily(
    address: SocketAddr,
    first: u64,
    each: Duration,
    over: &AtomicBool,
) -> Result<Vec<Waited>> {
    let begun = Instant::now();
    let asked = thread::scope(|scope| {
        let turns = (0..).map(|turn| (turn, begun + EVERY * turn));
        let asking = turns.take_while(|(_, due)| *due < begun + each).map(|(turn, due)| {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            scope.spawn(move || ask_in_turn(address, first, turn, due))
        });
        // All are asked before the first is waited for.
        let asking: Vec<_> = asking.collect();
        let asked = asking.into_iter().map(|one| one.join().ok().context("one who asks broke down")?);
        asked.collect()
    });
    over.store(true, Ordering::Relaxed);
    asked
}

fn ask_in_turn(address: SocketAddr, first: u64, turn: u32, due: Instant) -> Result<Waited> {
    let interaction = in_turn(turn);
    let signed = Discord::after(first + u64::from(turn))?.says(interaction);
    Ok(ask(address, &signed, interaction).is_ok().then(|| due.elapsed()))
}

/// Of ten interactions, one is a ping, two write, and the others read.
fn in_turn(turn: u32) -> Interaction {
    match turn % 10 {
        0 => Interaction::Ping,
        3 => Interaction::Settings(15),
        7 => Interaction::Settings(16),
        _ => Interaction::Status,
    }
}

/// Sends the interaction again and again over some connections, and returns how long each took, and all together.
pub(super) fn as_fast_as_they_can(
    address: SocketAddr,
    interaction: Interaction,
    each: Duration,
) -> Result<(Vec<Duration>, Duration)> {
    let begun = Instant::now();
    let waited = thread::scope(|scope| {
        let hurry = |asker| scope.spawn(move || hurry(address, interaction, asker, begun, each));
        let hurrying: Vec<_> = (0..connections(interaction)).map(hurry).collect();
        let waited = hurrying.into_iter().map(|one| one.join().ok().context("one who asks broke down")?);
        waited.collect::<Result<Vec<_>>>()
    });
    Ok((waited?.concat(), begun.elapsed()))
}

/// Those who change the same world at the same moment are in each other's way.
fn connections(interaction: Interaction) -> u64 {
    match interaction {
        Interaction::Ping | Interaction::Status => CONNECTIONS,
        Interaction::Start | Interaction::Create | Interaction::Settings(_) => 1,
    }
}

fn hurry(
    address: SocketAddr,
    interaction: Interaction,
    asker: u64,
    begun: Instant,
    each: Duration,
) -> Result<Vec<Duration>> {
    // Every kind of interaction has numbers of its own.
    let kind = interaction.name().len() as u64;
    let discord = Discord::after((100 * kind + asker) * NUMBERS)?;
    let mut stream = http::connect(&address.to_string())?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut waited = Vec::new();
    while begun.elapsed() < each {
        let interaction = in_other_words(interaction, waited.len())?;
        let signed = discord.says(interaction).request();
        let sent = Instant::now();
        stream.write_all(&signed)?;
        is_right(http::read_answer(&mut answers)?, interaction)?;
        waited.push(sent.elapsed());
    }
    Ok(waited)
}

/// Returns the same interaction with another choice where it makes one: what is chosen already is not written.
fn in_other_words(interaction: Interaction, turn: usize) -> Result<Interaction> {
    match interaction {
        Interaction::Settings(_) => Ok(Interaction::Settings(15 + u8::try_from(turn % 2)?)),
        Interaction::Ping | Interaction::Status | Interaction::Start | Interaction::Create => Ok(interaction),
    }
}
