//! `dormouse up`: the whole control plane in one process: front door, worker, sweep, and the embedded parts behind them.
//!
//! Worlds do not depend on it: their watchdogs go on when it ends, and are found again when it is back.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use adapters::{
    archive::directory::DirectoryArchive,
    chat::{discord::Discord, terminal::Terminal},
    exports::{FrontDoorLinks, fresh_id},
    front_door::{Access, FrontDoor, GameHost, files, interactions},
    queue::sqlite::SqliteQueue,
    runtime::process::{Config, GameSource, ProcessRuntime},
    secret::{Secret, random_hex},
    store::sqlite::SqliteStore,
};
use anyhow::{Context, Result, bail};
use clap::Args;
use domain::{
    Timestamp,
    driver::Driver,
    ports::{Delivery, Queue, Unavailable},
    world::GameId,
};
use futures_util::future::join_all;
use games::{Catalogue, Entry};
use tokio::{sync::watch, time};

use crate::{
    bot::{Bot, Told},
    output::note,
    serving::{self, Limits},
};

use containers::{Boxes, Common};
pub(crate) use containers::{RuntimeChoice, build_arg};

mod containers;

mod program;

/// How often worlds that are not at rest are looked at, and tasks that no world knows are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How long one look at a world may take before its message is given out again.
const LOOK_LIMIT: Duration = Duration::from_secs(120);

/// How often a watchdog reports when nothing changes.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// How many messages are taken at a time.
const BATCH: usize = 10;

/// How to run the control plane.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dormouse up                                          for players on this machine
  dormouse up --game-host games.example.org            what players type
  dormouse up --listen 0.0.0.0:7733                    others may reach it, with the token it names
  dormouse up --games my-games/                        games of your own
  dormouse up --runtime process                        without containers, though an engine answers
  dormouse up --discord-application 1234 --discord-guild 5678 --discord-gateway    with the bot's token in
                                                       DORMOUSE_DISCORD_TOKEN; no open web port needed")]
pub(crate) struct Up {
    /// Where everything is kept [default: /var/lib/dormouse for root, else ~/.local/share/dormouse]
    #[arg(long, env = "DORMOUSE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the front door listens; anything but loopback needs a token
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7733")]
    listen: SocketAddr,
    /// How people's browsers reach this, for links [default: the address it listens on]
    #[arg(long, value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// The host name or address that players type
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    game_host: String,
    /// A directory of catalogue entries beside those that are built in
    #[arg(long, env = "DORMOUSE_GAMES", value_name = "DIR")]
    games: Option<PathBuf>,
    /// The user that games run as; only root can choose [default: nobody for root]
    #[arg(long, value_name = "USER")]
    game_user: Option<String>,
    /// End when standard input does: a program that needs this only while it lives lets it end so
    #[arg(long, hide = true)]
    end_with_input: bool,
    #[command(flatten)]
    boxes: Boxes,
    #[command(flatten)]
    bot: Bot,
}

/// Runs the control plane until it is told to end.
pub(crate) fn run(up: Up) -> Result<()> {
    tokio::runtime::Runtime::new().context("starting")?.block_on(serve(up))
}

async fn serve(up: Up) -> Result<()> {
    let data = data_dir(up.data.as_deref())?;
    let game_user = game_user(up.game_user.as_deref())?;
    prepare(&data, game_user)?;
    let _only_one = lock(&data)?;
    let listener = serving::listen(up.listen).with_context(|| {
        format!("cannot listen on {}: choose another address with --listen, or stop what uses it", up.listen)
    })?;
    let Parts { door, files, queue, discord } =
        assemble(&up, &data, game_user, listener.local_addr()?).await?;
    let driver = door.driver.clone();
    let (end, ended) = watch::channel(());
    let worker = tokio::spawn(work(driver.clone(), queue, ended.clone()));
    let bot = up.bot.listen(discord.clone(), driver.clone(), fresh_id, ended.clone());
    let mut more = files::routes(files, Timestamp::now);
    if let Some(discord) = discord {
        more = more.merge(interactions::routes(discord, driver, Timestamp::now, fresh_id));
    }
    let serving = serving::serve(listener, door.router(more), Limits::DEFAULT, ended.clone());
    let serving = tokio::spawn(serving);
    tokio::select! {
        told = told_to_end() => told?,
        () = input_ended(), if up.end_with_input => {}
    }
    note!(
        "ending; worlds that are awake go on, and are found again by the next `dormouse up` at the same address"
    );
    drop(end);
    // A download that somebody is slow to take does not hold up the end.
    let _ = time::timeout(Duration::from_secs(5), serving).await;
    if let Some(bot) = bot {
        bot.await.context("the connection to Discord broke down")?;
    }
    worker.await.context("the worker broke down")
}

/// What the control plane on one machine is made of.
struct Parts {
    door: FrontDoor,
    files: Arc<DirectoryArchive>,
    queue: SqliteQueue,
    discord: Option<Arc<Discord>>,
}

/// Puts the embedded parts together.
async fn assemble(up: &Up, data: &Path, game_user: Option<(u32, u32)>, address: SocketAddr) -> Result<Parts> {
    let catalogue = catalogue(up.games.as_deref())?;
    let url = format!("http://{}", reachable(address));
    let secret = Secret::load_or_create(data.join("secret"))?;
    let access = access(data, address)?;
    let public_url = up.public_url.clone().unwrap_or_else(|| url.clone());
    let files = Arc::new(DirectoryArchive {
        root: data.join("archives"),
        upload_url: url.clone(),
        download_url: public_url.clone(),
        secret: secret.clone(),
    });
    let database = data.join("dormouse.db");
    let queue = SqliteQueue::open(&database, Timestamp::now)?;
    let runtime = ProcessRuntime::new(Config {
        data: data.to_owned(),
        watchdog: vec![std::env::current_exe().context("finding the watchdog's program")?, "watchdog".into()],
        control_url: url.clone(),
        secret: secret.clone(),
        game_user,
        report_every: REPORT_EVERY,
        games: sources(&catalogue),
    })
    .with_context(|| format!("cannot use {}", data.display()))?;
    let common = Common { data, catalogue: &catalogue, control_url: &url, secret: &secret };
    let runtime = up.boxes.runtime(&common, runtime).await?;
    let has_boxed_tasks = runtime.has_boxed_tasks()?;
    let games = Arc::new(catalogue.games());
    let discord = up.bot.connect(&games)?;
    let driver = Driver {
        store: Arc::new(SqliteStore::open(&database)?),
        queue: Arc::new(queue.clone()),
        runtime: Arc::new(runtime),
        archives: files.clone(),
        exports: Arc::new(FrontDoorLinks { url: Some(public_url), secret: secret.clone() }),
        chat: Arc::new(Told { terminal: Terminal::new(std::io::stdout()), discord: discord.clone() }),
        games,
    };
    greet(&url, data, &access);
    let door = FrontDoor {
        driver,
        secret,
        guild: up.bot.guild()?,
        game_host: GameHost::Fixed(up.game_host.clone()),
        access,
        clock: Timestamp::now,
        fresh_id,
    };
    if has_boxed_tasks {
        containers::serve_watchdogs(data, door.clone(), files.clone())?;
    }
    Ok(Parts { door, files, queue, discord })
}

/// Takes messages and sweeps until `ended` changes or its sender is gone. The one does not wait for the other: a world
/// whose notice has to wait for a chat out of reach holds up nobody's start.
async fn work(driver: Driver, queue: SqliteQueue, ended: watch::Receiver<()>) {
    tokio::join!(take(&driver, &queue, ended.clone()), sweep(&driver, ended));
}

async fn take(driver: &Driver, queue: &SqliteQueue, mut ended: watch::Receiver<()>) {
    // Messages that were given out and failed come again without one that arrives.
    let mut again = time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = ended.changed() => return,
            () = queue.arrived() => take_messages(driver, queue).await,
            _ = again.tick() => take_messages(driver, queue).await,
        }
    }
}

async fn sweep(driver: &Driver, mut ended: watch::Receiver<()>) {
    let mut sweep = time::interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ended.changed() => return,
            _ = sweep.tick() => sweep_once(driver).await,
        }
    }
}

async fn take_messages(driver: &Driver, queue: &SqliteQueue) {
    if let Err(Unavailable(why)) = try_take_messages(driver, queue).await {
        tracing::error!("the queue is out of reach: {why}");
    }
}

async fn try_take_messages(driver: &Driver, queue: &SqliteQueue) -> Result<(), Unavailable> {
    loop {
        let deliveries = queue.receive(BATCH, LOOK_LIMIT).await?;
        if deliveries.is_empty() {
            return Ok(());
        }
        let taken = deliveries.iter().map(|delivery| take_one(driver, queue, delivery));
        join_all(taken).await.into_iter().collect::<Result<(), _>>()?;
    }
}

/// Looks at the world of a message. A look that failed is given out again, and the sweep looks in the meantime.
async fn take_one(driver: &Driver, queue: &SqliteQueue, delivery: &Delivery) -> Result<(), Unavailable> {
    match driver.look(&delivery.look.world, Timestamp::now()).await {
        Ok(()) => queue.done(&delivery.receipt).await,
        Err(error) => {
            tracing::warn!("world {}: {error}", delivery.look.world);
            Ok(())
        }
    }
}

async fn sweep_once(driver: &Driver) {
    match driver.sweep(Timestamp::now()).await {
        Ok(failed) => failed.iter().for_each(|(world, error)| tracing::warn!("world {world}: {error}")),
        Err(Unavailable(why)) => tracing::error!("the sweep failed: {why}"),
    }
}

async fn told_to_end() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("waiting for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

/// Waits until standard input has ended. Nothing waits for the thread that reads it.
async fn input_ended() {
    let (end, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        end.send(())
    });
    // A thread that is gone without a word has nothing to read any more either.
    let _ = ended.await;
}

/// Returns the directory of everything that is kept.
pub(crate) fn data_dir(chosen: Option<&Path>) -> Result<PathBuf> {
    let dir = match chosen {
        Some(dir) => dir.to_owned(),
        None if nix::unistd::geteuid().is_root() => "/var/lib/dormouse".into(),
        None => {
            let home = std::env::var_os("HOME").context("HOME is not set: choose a directory with --data")?;
            std::env::var_os("XDG_DATA_HOME")
                .map_or_else(|| Path::new(&home).join(".local/share"), PathBuf::from)
                .join("dormouse")
        }
    };
    std::path::absolute(&dir).with_context(|| format!("{} is no directory", dir.display()))
}

/// Returns the user and group that games run as, where they are not our own. Games run strangers' mods: never as root
/// unless somebody says so.
pub(crate) fn game_user(chosen: Option<&str>) -> Result<Option<(u32, u32)>> {
    let is_root = nix::unistd::geteuid().is_root();
    let name = match (chosen, is_root) {
        (Some("root"), true) | (None, false) => return Ok(None),
        (Some(name), true) => name,
        (None, true) => "nobody",
        (Some(_), false) => bail!("only root can run games as another user: leave out --game-user"),
    };
    let user = nix::unistd::User::from_name(name)?
        .with_context(|| format!("there is no user `{name}`: choose another one with --game-user"))?;
    Ok(Some((user.uid.as_raw(), user.gid.as_raw())))
}

/// Makes the directory and checks that the game's user gets through to the worlds in it.
fn prepare(data: &Path, game_user: Option<(u32, u32)>) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(data);
    made.with_context(|| format!("cannot make {}: choose another directory with --data", data.display()))?;
    // Games run on this machine; records and archives are none of their business.
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(data.join("dormouse.db"))
        .and_then(|_| fs::DirBuilder::new().recursive(true).mode(0o700).create(data.join("archives")))
        .with_context(|| {
            format!("cannot write to {}: choose another directory with --data", data.display())
        })?;
    match game_user.and_then(|user| closed_to(data, user)) {
        Some(closed) => bail!(
            "games run as another user, who does not get through {0}: choose another --data, `chmod o+x {0}`, or --game-user",
            closed.display()
        ),
        None => Ok(()),
    }
}

/// Returns the first directory on the way to `dir` that `user` may not pass.
pub(crate) fn closed_to(dir: &Path, (user, group): (u32, u32)) -> Option<PathBuf> {
    let mut way: Vec<_> = dir.ancestors().collect();
    way.reverse();
    let passes = |found: &fs::Metadata| {
        let mode = found.mode();
        mode & 0o001 != 0
            || (found.uid() == user && mode & 0o100 != 0)
            || (found.gid() == group && mode & 0o010 != 0)
    };
    way.into_iter().find(|step| fs::metadata(step).is_ok_and(|found| !passes(&found))).map(Path::to_owned)
}

fn lock(data: &Path) -> Result<File> {
    let path = data.join("up.lock");
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| {
        format!("cannot write to {}: choose another directory with --data", data.display())
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            bail!("another `dormouse up` uses {}: stop it first, or choose another --data", data.display())
        }
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// Returns the games that are built in and those of `dir`.
pub(crate) fn catalogue(dir: Option<&Path>) -> Result<Catalogue> {
    let built_in = Catalogue::embedded()?;
    Ok(match dir {
        Some(dir) => built_in.with_directory(dir)?,
        None => built_in,
    })
}

fn sources(catalogue: &Catalogue) -> BTreeMap<GameId, GameSource> {
    catalogue.iter().map(|(id, entry)| (id.clone(), source(entry))).collect()
}

fn source(entry: &Entry) -> GameSource {
    GameSource { game: entry.game.clone(), toml: entry.source.clone() }
}

/// Returns the address under which programs on this machine reach a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        SocketAddr::V4(_) | SocketAddr::V6(_) => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}

/// Returns who may come in: on loopback every program of this machine, elsewhere whoever knows the token.
fn access(data: &Path, address: SocketAddr) -> Result<Access> {
    if address.ip().is_loopback() {
        return Ok(Access::ThisMachine);
    }
    let path = token_path(data);
    if !path.exists() {
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
        file.write_all(random_hex::<24>().as_bytes())?;
    }
    let token = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    if token.trim().len() < 32 {
        bail!("{} holds no token of 32 characters or more: remove it, and a new one is made", path.display());
    }
    Ok(Access::Token(token.trim().to_owned()))
}

fn public_url(text: &str) -> Result<String, String> {
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    let plain = text.len() <= 200 && text.bytes().all(|b| b.is_ascii_graphic());
    if is_url && plain {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("use http://… or https://…".into())
    }
}

fn token_path(data: &Path) -> PathBuf {
    data.join("api-token")
}

fn greet(url: &str, data: &Path, access: &Access) {
    note!("dormouse is up at {url}; worlds and archives are in {}", data.display());
    match access {
        Access::ThisMachine => {
            note!("`dormouse world create NAME --game GAME` makes a world; Ctrl-C ends this")
        }
        Access::Nobody => {}
        Access::Token(_) => note!("clients need --url {url} --token-file {}", token_path(data).display()),
    }
}
