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

/// How many ask at a time.
const ASKERS: u64 = 4;

/// How often each of them does: 200 interactions a second in all.
const EVERY: Duration = Duration::from_millis(20);

/// How many connections there are where interactions come as fast as they are answered.
const CONNECTIONS: u64 = 8;

/// How many interactions may go before anybody's numbers meet another's.
const NUMBERS: u64 = 1_000_000_000;

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

/// Asks at a steady pace until the time is over, which is then said to all. How long somebody waited counts from when it was
/// their turn: who comes late because the one before waited long, has waited as well.
pub(super) fn ask_steadily(address: SocketAddr, each: Duration, over: &AtomicBool) -> Result<Vec<Waited>> {
    let begun = Instant::now();
    let asked = side_by_side(ASKERS, |asker| ask_in_turn(address, asker, begun, each));
    over.store(true, Ordering::Relaxed);
    asked
}

/// Lets so many do the same at a time, each with a number of its own, and returns what came of it.
fn side_by_side<T: Clone + Send>(many: u64, act: impl Fn(u64) -> Result<Vec<T>> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let act = &act;
        let acting: Vec<_> = (0..many).map(|number| scope.spawn(move || act(number))).collect();
        let done = acting.into_iter().map(|one| one.join().ok().context("an asker broke down")?);
        Ok(done.collect::<Result<Vec<_>>>()?.concat())
    })
}

fn ask_in_turn(address: SocketAddr, asker: u64, begun: Instant, each: Duration) -> Result<Vec<Waited>> {
    let discord = Discord::after((asker + 1) * NUMBERS + u64::from(begun.elapsed().subsec_nanos()))?;
    let mut waited = Vec::new();
    for turn in 0.. {
        let due = begun + EVERY * turn + EVERY * u32::try_from(asker)? / u32::try_from(ASKERS)?;
        if due >= begun + each {
            break;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let interaction = in_turn(turn);
        let signed = discord.says(interaction);
        let answer = ask(address, &signed, interaction);
        waited.push(answer.is_ok().then(|| due.elapsed()));
    }
    Ok(waited)
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
    let waited = side_by_side(CONNECTIONS, |asker| hurry(address, interaction, asker, begun, each));
    Ok((waited?, begun.elapsed()))
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
        let signed = discord.says(interaction).request();
        let sent = Instant::now();
        stream.write_all(&signed)?;
        is_right(http::read_answer(&mut answers)?, interaction)?;
        waited.push(sent.elapsed());
    }
    Ok(waited)
}
