//! The watchdog's command line, shared by its own program and by `dormouse watchdog`.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use adapters::task_env::TaskEnv;
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use domain::{
    idle::{Evidence, Listening},
    world::WorldId,
};

use crate::{
    erase,
    judge::Begun,
    peers::Standing,
    run,
    senses::{Look, Senses},
};

/// How old the sign of health may be.
const HEALTHY_FOR: Duration = Duration::from_secs(60);

/// What the watchdog can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Live the life of one task, as its environment says
    Run,
    /// Succeed if the watchdog of this task owns the world and is well (for a container's health check)
    Healthy {
        /// The task's directory
        #[arg(long, env = "DORMOUSE_TASK_DIR", value_name = "DIR")]
        task_dir: PathBuf,
    },
    /// Remove the files of a deleted world; succeeds if they are gone
    Erase {
        /// The directory of the worlds
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
        /// The world's id
        #[arg(long, value_name = "ID")]
        world: WorldId,
    },
    /// Show who is connected to a game server on this machine, and how that is known
    #[command(after_help = "Examples:\n  watchdog peers --game games/catalog/luanti.toml\n  \
        watchdog peers --game my-game.toml --json --interval 500ms --count 20")]
    Peers(Peers),
}

/// How to show peers.
#[derive(Debug, clap::Args)]
pub struct Peers {
    /// The game's catalogue entry
    #[arg(long, value_name = "FILE")]
    game: PathBuf,
    /// The game's first port, if it is not the entry's
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// The time between two looks: 200ms, 1s, 5s
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// How many looks to take; without it, until Ctrl-C
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Does what `command` says.
pub fn main(command: Command) -> Result<()> {
    match command {
        Command::Run => run::run(TaskEnv::from_vars(|name| std::env::var(name).ok())?),
        Command::Healthy { task_dir } => healthy(&task_dir),
        Command::Erase { root, world } => Ok(erase::erase(&root, &world)?),
        Command::Peers(peers) => show_peers(&peers),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time between 100ms and 1h");
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    let interval = Duration::try_from(span).map_err(|_| wrong())?;
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    if range.contains(&interval) { Ok(interval) } else { Err(wrong()) }
}

fn healthy(task_dir: &Path) -> Result<()> {
    let sign = task_dir.join(run::HEALTHY_FILE);
    let touched = std::fs::metadata(&sign)
        .and_then(|found| found.modified())
        .with_context(|| format!("not healthy: no sign of it at {}", sign.display()))?;
    let age = SystemTime::now().duration_since(touched).unwrap_or_default();
    if age > HEALTHY_FOR {
        bail!("not healthy: the last sign is {} s old", age.as_secs());
    }
    Ok(())
}

fn show_peers(peers: &Peers) -> Result<()> {
    let game = games::Catalogue::read_file(&peers.game)?.game;
    let port = peers.port.unwrap_or(game.main_port());
    let game = game.at_port(port).context("the game's ports do not fit at this port")?;
    let mut senses = Senses::open(&game, Begun::MidGame);
    if !peers.json {
        writeln!(io::stdout(), "{}: {}", game.name, senses.describe())?;
    }
    for _ in 0..peers.count.unwrap_or(u64::MAX) {
        let next = Instant::now() + peers.interval;
        let look = senses.look();
        let text = if peers.json { json(&look) } else { human(&look) };
        // A reader that has seen enough (`| head`) is no error.
        if writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush()).is_err() {
            return Ok(());
        }
        while Instant::now() < next {
            senses.listen();
            thread::sleep(next.saturating_duration_since(Instant::now()).min(Duration::from_millis(100)));
        }
    }
    Ok(())
}

fn human(look: &Look) -> String {
    let listening = match look.listening {
        Listening::Yes => "listening",
        Listening::No => "not listening",
        Listening::Unknown => "listening unknown",
    };
    let mut text = format!("{listening}; {}", look.players);
    for sighting in &look.sightings {
        let (source, protocol) = (sighting.source.name(), sighting.protocol);
        text.push_str(&format!("\n  {source} ({protocol}): {}", sighting.evidence));
    }
    for peer in &look.peers {
        text.push_str(&format!("\n  {peer}"));
    }
    text
}

fn json(look: &Look) -> String {
    let evidence = |evidence: &Evidence| match evidence {
        Evidence::Players(n) => serde_json::json!({ "players": n }),
        Evidence::Empty => serde_json::json!({ "players": 0 }),
        Evidence::Unknown(why) => serde_json::json!({ "unknown": why }),
    };
    let sources: Vec<_> = look
        .sightings
        .iter()
        .map(|s| {
            let (source, protocol) = (s.source.name(), s.protocol.to_string());
            serde_json::json!({ "source": source, "protocol": protocol, "says": evidence(&s.evidence) })
        })
        .collect();
    let peers: Vec<_> = look
        .peers
        .iter()
        .map(|p| {
            serde_json::json!({
                "protocol": p.protocol.to_string(),
                "address": p.row.peer.to_string(),
                "seconds_seen_of_30": p.row.seconds_seen,
                "last_seen_s_ago": p.row.last_seen_ago,
                "is_player": p.row.standing == Standing::Player,
                "taken_for": p.row.standing.to_string(),
            })
        })
        .collect();
    let listening = match look.listening {
        Listening::Yes => Some(true),
        Listening::No => Some(false),
        Listening::Unknown => None,
    };
    let verdict = evidence(&look.players);
    serde_json::json!({ "listening": listening, "verdict": verdict, "sources": sources, "peers": peers })
        .to_string()
}
