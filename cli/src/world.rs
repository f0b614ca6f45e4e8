//! `dormouse games` and `dormouse world …`: commands sent to a control plane, and their answers for people and programs.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use adapters::front_door::view::{
    Answer, CommandRequest, CreateRequest, ForRequest, GivenRequest, LaunchView, SettingView, TimersRequest,
    WorldView,
};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use domain::{commands::spec::GIVEN, words};

use crate::{
    Reach,
    choose::{Choosing, Terminal},
    client::Client,
    output::say,
    transfer,
};

/// How often `--wait` looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the control plane may be away: it may be restarted meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// Commands about worlds.
#[derive(Debug, Subcommand)]
pub(crate) enum World {
    /// Make a world, asleep
    #[command(after_help = "Examples:\n  dormouse world create valhalla --game luanti\n  \
        dormouse world create rails --game openttd --last-left 5m --cap 6h --port 3990\n  \
        dormouse world create home --game valheim --set name=Home --set password=-")]
    Create(Create),
    /// Show which worlds there are
    List(Reach),
    /// Show what a world is doing
    Status(Named),
    /// Wake a world
    #[command(
        after_help = "Examples:\n  dormouse world start valhalla --wait    show each milestone until players can join"
    )]
    Start(Waiting),
    /// Save a world and put it to sleep, whoever is on
    Stop(Waiting),
    /// Keep a world awake for a while with nobody on
    Keep(Lasting),
    /// Make an archive of a world now; an awake one stays awake
    #[command(after_help = "Examples:\n  dormouse world backup valhalla --wait")]
    Backup(Waiting),
    /// Show the archives of a world
    Backups(Named),
    /// Put an archive of a sleeping world back; what is there is archived first
    #[command(after_help = "Examples:\n  dormouse world backups valhalla\n  \
        dormouse world restore valhalla 20261121-203000-123-g7 --wait")]
    Restore(Restore),
    /// Make a link that downloads a world, or download it; an awake one is archived first and stays awake
    #[command(after_help = "Examples:\n  dormouse world export valhalla --for 3d\n  \
        dormouse world export valhalla --to valhalla.zip")]
    Export(Export),
    /// Put a .zip, .tar.gz or .tar.zst in the place of a sleeping world's files, which are archived first
    #[command(after_help = "Examples:\n  dormouse world import valhalla old-world.zip --wait")]
    Import(Import),
    /// Show the links that download a world, and how often they were followed
    Links(Named),
    /// Make links that download a world stop working
    Withdraw(Withdraw),
    /// Show what a world's game lets you choose, or choose it; that counts from its next start
    #[command(after_help = "Examples:\n  dormouse world set valhalla\n  \
        dormouse world set valhalla --set difficulty=hard --set password=-\n  \
        dormouse world set valhalla --unset password")]
    Set(Set),
    /// Show a world's passwords
    Password(Named),
    /// Show a world's settings, or change them while it sleeps
    #[command(after_help = "Examples:\n  dormouse world settings valhalla\n  \
        dormouse world settings valhalla --sleep-after 5m --longest-run 6h")]
    Settings(Settings),
    /// Show the last times a world was awake, and how they ended
    Sessions(Named),
    /// Delete a sleeping world; its last archive is kept for 30 days
    Delete(Delete),
}

/// A world by its name.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The world's name
    name: String,
    #[command(flatten)]
    reach: Reach,
}

/// A world, and whether to wait for it.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    #[command(flatten)]
    named: Named,
    /// Wait until it is done, showing each milestone
    #[arg(long)]
    wait: bool,
}

/// A world, and a length of time.
#[derive(Debug, Args)]
pub(crate) struct Lasting {
    #[command(flatten)]
    named: Named,
    /// For how long: 30m, 2h, 7d [default: 2h]
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    length: Option<Length>,
}

/// A world, and the archive to put back.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    waiting: Waiting,
    /// The archive (see `dormouse world backups`)
    #[arg(value_name = "ARCHIVE")]
    archive: String,
}

/// A world to copy.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    named: Named,
    /// For how long the link shall work: 30m, 2h, 7d [default: 7d]
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    length: Option<Length>,
    /// Which archive (see `dormouse world backups`) [default: the newest state]
    #[arg(long, value_name = "ARCHIVE")]
    backup: Option<String>,
    /// Download it into this file
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// A world, and a file to put in its place.
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    waiting: Waiting,
    /// The .zip, .tar.gz or .tar.zst
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A world, and a link to it.
#[derive(Debug, Args)]
pub(crate) struct Withdraw {
    #[command(flatten)]
    named: Named,
    /// Which link (see `dormouse world links`) [default: all]
    #[arg(value_name = "LINK")]
    link: Option<String>,
}

/// A world to make.
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    named: Named,
    /// The game (see `dormouse games`)
    #[arg(long)]
    game: String,
    #[command(flatten)]
    choosing: Choosing,
    /// How long to wait for the first player
    #[arg(long, value_name = "TIME", value_parser = length)]
    never_joined: Option<Length>,
    /// How long to wait after the last player has left
    #[arg(long, value_name = "TIME", value_parser = length)]
    last_left: Option<Length>,
    /// How long before the stop to warn
    #[arg(long, value_name = "TIME", value_parser = length)]
    warning: Option<Length>,
    /// How long players may be on of whom nobody moves; 0s for ever
    #[arg(long, value_name = "TIME", value_parser = length)]
    afk: Option<Length>,
    /// The longest run, whoever is on
    #[arg(long, value_name = "TIME", value_parser = length)]
    cap: Option<Length>,
    /// Where it lives asleep: directory, or archive (in its newest archive alone) [default: directory]
    #[arg(long, value_name = "WHERE")]
    storage: Option<String>,
    /// The game's first port; without it a free one is chosen at each start
    #[arg(long)]
    port: Option<u16>,
}

/// What to choose for a world.
#[derive(Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    choosing: Choosing,
    /// Have it as the game does by itself again
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
}

/// A world's settings.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[command(flatten)]
    named: Named,
    /// How long after the last player left it goes to sleep
    #[arg(long, value_name = "TIME", value_parser = length)]
    sleep_after: Option<Length>,
    /// How long it waits for the first player
    #[arg(long, value_name = "TIME", value_parser = length)]
    join_within: Option<Length>,
    /// How long players may be on of whom nobody moves; 0s for ever
    #[arg(long, value_name = "TIME", value_parser = length)]
    afk: Option<Length>,
    /// The longest run, whoever is on
    #[arg(long, value_name = "TIME", value_parser = length)]
    longest_run: Option<Length>,
    /// Where it lives asleep: directory, or archive (in its newest archive alone)
    #[arg(long, value_name = "WHERE")]
    storage: Option<String>,
    /// How often it is archived while somebody plays; 0s for never
    #[arg(long, value_name = "TIME", value_parser = length)]
    backup_every: Option<Length>,
    /// How many of its newest archives are kept
    #[arg(long, value_name = "N")]
    keep_newest: Option<u8>,
    /// For how many days the last archive of each is kept
    #[arg(long, value_name = "N")]
    keep_daily: Option<u8>,
    /// For how many weeks the last archive of each is kept
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u8>,
}

/// A world to delete.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    named: Named,
    /// The world's name once more
    #[arg(long, value_name = "NAME", default_value = "")]
    confirm: String,
}

/// A length of time as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Length(pub(crate) Duration);

impl Length {
    const fn hours(hours: u64) -> Self {
        Self(Duration::from_secs(hours * 60 * 60))
    }
}

/// Reads a length of time as people write it.
pub(crate) fn length(text: &str) -> Result<Length, String> {
    let wrong = || format!("`{text}` is no length of time: write 90s, 15m, 2h or 7d");
    let (days, rest) = match text.strip_suffix('d').map(str::parse::<u64>) {
        Some(Ok(days)) if days <= 366 => (days, "0s"),
        Some(_) => return Err(wrong()),
        None => (0, text),
    };
    let span: jiff::SignedDuration = rest.parse().map_err(|_| wrong())?;
    let length = Duration::try_from(span).map_err(|_| wrong())? + Duration::from_secs(days * 24 * 60 * 60);
    Ok(Length(length))
}

/// Shows the games.
pub(crate) fn games(reach: &Reach) -> Result<()> {
    let answer = Client::new(reach)?.get("/v1/games")?;
    if reach.json {
        return print_json(&answer.games);
    }
    for game in answer.games.unwrap_or_default() {
        let here = if game.runs_as_processes { "" } else { ", in containers only" };
        say!("{:<12} {}, {}, {} MiB{here}", game.id, game.name, game.ports.join(" "), game.memory_mib);
        game.settings.iter().for_each(|setting| say!("  {}", described(setting)));
    }
    Ok(())
}

/// Says of a setting what it takes, in a line.
fn described(setting: &SettingView) -> String {
    let SettingView { name, title, allowed, default, url, required, until_woken, .. } = setting;
    let notes = [
        url.clone(),
        required.then(|| "required".to_owned()),
        default.as_ref().map(|default| format!("{default} unless chosen")),
        until_woken.then(|| "until it is first woken".to_owned()),
    ];
    let notes: String = notes.into_iter().flatten().map(|note| format!("; {note}")).collect();
    format!("{name:<16} {title}: {allowed}{notes}")
}

/// Carries out a command about worlds.
pub(crate) fn run(command: World) -> ExitCode {
    let done = match command {
        World::Create(create) => make(&create),
        World::List(reach) => list(&reach),
        World::Status(named) => status(&named),
        World::Start(waiting) => act(&waiting, "start", "awake", is_awake),
        World::Stop(waiting) => act(&waiting, "stop", "asleep", is_asleep),
        World::Keep(lasting) => keep(&lasting),
        World::Backup(waiting) => backup(&waiting),
        World::Backups(named) => backups(&named),
        World::Restore(restore) => put_back(&restore),
        World::Export(export) => copy(&export),
        World::Import(import) => take(&import),
        World::Links(named) => links(&named),
        World::Withdraw(withdraw) => undo(&withdraw),
        World::Set(set) => choose(&set),
        World::Password(named) => password(&named),
        World::Settings(settings) => change(&settings),
        World::Sessions(named) => sessions(&named),
        World::Delete(delete) => remove(&delete),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dormouse: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make(create: &Create) -> Result<ExitCode> {
    let client = Client::new(&create.named.reach)?;
    let settings = create.choosing.for_new(&settings_of(&client, &create.game)?, &mut Terminal)?;
    let seconds = |length: Option<Length>| length.map(|l| l.0.as_secs());
    let request = CreateRequest {
        name: create.named.name.clone(),
        game: create.game.clone(),
        settings: GivenRequest(settings),
        timers: TimersRequest {
            never_joined_s: seconds(create.never_joined),
            last_left_s: seconds(create.last_left),
            warning_s: seconds(create.warning),
            afk_s: seconds(create.afk),
            cap_s: seconds(create.cap),
        },
        port: create.port,
        storage: create.storage.clone(),
    };
    show(&client.post("/v1/worlds", &request)?, &create.named.reach)
}

/// Returns what the game lets people choose; nothing if there is no such game, which the control plane says in its own words.
pub(crate) fn settings_of(client: &Client, game: &str) -> Result<Vec<SettingView>> {
    let games = client.get("/v1/games")?.games.unwrap_or_default();
    Ok(games.into_iter().find(|known| known.id == game).map(|game| game.settings).unwrap_or_default())
}

fn choose(Set { named, choosing, unset }: &Set) -> Result<ExitCode> {
    let mut chosen = BTreeMap::new();
    if !choosing.is_empty() {
        let client = Client::new(&named.reach)?;
        let world = client.get(&path(&named.name, "")?)?.world;
        let game = world.context("the control plane's answer holds no world")?.game;
        chosen = choosing.given(&settings_of(&client, &game)?, &mut Terminal)?;
    }
    chosen.extend(unset.iter().map(|name| (name.clone(), String::new())));
    let options: Vec<_> =
        chosen.into_iter().map(|(name, value)| (format!("{GIVEN}{name}"), Some(value))).collect();
    let options: Vec<_> = options.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    show(&ask(named, "world set", &options)?, &named.reach)
}

fn password(named: &Named) -> Result<ExitCode> {
    let answer = ask(named, "world password", &[])?;
    if named.reach.json {
        print_json(&answer.secrets)?;
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", answer.text.as_deref().unwrap_or_default());
    for (title, value) in answer.secrets.map(|secrets| secrets.0).unwrap_or_default() {
        say!("  {title}: {value}");
    }
    Ok(ExitCode::SUCCESS)
}

fn list(reach: &Reach) -> Result<ExitCode> {
    let answer = Client::new(reach)?.get("/v1/worlds")?;
    if reach.json {
        print_json(&answer.worlds)?;
        return Ok(ExitCode::SUCCESS);
    }
    let worlds = answer.worlds.unwrap_or_default();
    if worlds.is_empty() {
        say!("there are no worlds yet; `dormouse world create NAME --game GAME` makes one");
    }
    for world in worlds {
        say!("{:<20} {:<10} {}", world.name, world.game, world.status);
    }
    Ok(ExitCode::SUCCESS)
}

fn status(named: &Named) -> Result<ExitCode> {
    let answer = Client::new(&named.reach)?.get(&path(&named.name, "")?)?;
    show(&answer, &named.reach)?;
    let Some(world) = answer.world.filter(|_| !named.reach.json) else { return Ok(ExitCode::SUCCESS) };
    for launch in world.launch.iter().chain(&world.last) {
        say!("  launch {}, asked for by {} at {}", launch.generation, launch.asked_by, launch.asked_at);
        launch.milestones.iter().for_each(|m| say!("    {}", milestone(&m.name, m.after_ms)));
        attended(launch, "    ");
    }
    if let Some(sight) = world.weak_sight {
        say!("  {sight}");
    }
    if let Some(archive) = world.archive {
        say!("  newest archive: {} ({}), SHA-256 {}", archive.id, words::bytes(archive.size), archive.sha256);
        say!("  archives: {}, {} together", world.archives, words::bytes(world.archived_bytes));
    }
    Ok(ExitCode::SUCCESS)
}

fn keep(Lasting { named, length }: &Lasting) -> Result<ExitCode> {
    let body = ForRequest { for_s: length.unwrap_or(Length::hours(2)).0.as_secs() };
    let answer = Client::new(&named.reach)?.post(&path(&named.name, "keep")?, &body)?;
    show(&answer, &named.reach)
}

/// Asks for a command about a world by its words and options.
fn ask(named: &Named, command: &str, options: &[(&str, Option<String>)]) -> Result<Answer> {
    let given = options.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
    let name = ("name".to_owned(), named.name.clone());
    let request = CommandRequest { command: command.into(), options: given.chain([name]).collect() };
    Client::new(&named.reach)?.post("/v1/commands", &request)
}

fn change(settings: &Settings) -> Result<ExitCode> {
    let length = |length: &Option<Length>| length.map(|length| format!("{}s", length.0.as_secs()));
    let number = |n: &Option<u8>| n.map(|n| n.to_string());
    let answer = ask(
        &settings.named,
        "world settings",
        &[
            ("sleep-after", length(&settings.sleep_after)),
            ("join-within", length(&settings.join_within)),
            ("afk", length(&settings.afk)),
            ("longest-run", length(&settings.longest_run)),
            ("storage", settings.storage.clone()),
            ("backup-every", length(&settings.backup_every)),
            ("keep-newest", number(&settings.keep_newest)),
            ("keep-daily", number(&settings.keep_daily)),
            ("keep-weekly", number(&settings.keep_weekly)),
        ],
    )?;
    show(&answer, &settings.named.reach)
}

fn backup(Waiting { named, wait }: &Waiting) -> Result<ExitCode> {
    let before = ask(named, "world backups", &[])?.backups.unwrap_or_default();
    let answer = ask(named, "world backup", &[])?;
    let begun = answer.world.as_ref().map(|world| world.state.clone()).unwrap_or_default();
    if !wait || begun == "asleep" {
        return show(&answer, &named.reach);
    }
    if begun == "busy" {
        return see_through(named, &answer);
    }
    if !named.reach.json {
        say!("{}", answer.text.as_deref().unwrap_or_default());
    }
    let newest = before.first().map(|backup| backup.archive.id.clone());
    let made = wait_until(named, |client| {
        let request = CommandRequest {
            command: "world backups".into(),
            options: [("name".to_owned(), named.name.clone())].into(),
        };
        let now = client.post("/v1/commands", &request)?;
        let first = now.backups.unwrap_or_default().into_iter().next();
        if let Some(made) = first.filter(|made| Some(&made.archive.id) != newest.as_ref()) {
            return Ok(Some(Ok(made)));
        }
        let is_over = now.world.as_ref().is_some_and(|world| world.state == "asleep");
        let status = now.world.map(|world| world.status).unwrap_or_default();
        if is_over {
            return Ok(Some(Err(status)));
        }
        // A failed archive of an awake world is told in its status; one that sleeps by now has its own.
        Ok(status.contains("not archived").then_some(Err(status)))
    })?;
    match made {
        None => Ok(interrupted(&named.name)),
        Some(Ok(made)) if named.reach.json => print_json(&made).map(|()| ExitCode::SUCCESS),
        Some(Ok(made)) => {
            say!("{}", made.text);
            Ok(ExitCode::SUCCESS)
        }
        Some(Err(status)) => bail!("{}: {status}", named.name),
    }
}

fn backups(named: &Named) -> Result<ExitCode> {
    let answer = ask(named, "world backups", &[])?;
    let (backups, world) = (answer.backups.unwrap_or_default(), answer.world);
    if named.reach.json {
        print_json(&backups)?;
        return Ok(ExitCode::SUCCESS);
    }
    if backups.is_empty() {
        say!("`{}` has no archives yet; one is made whenever it goes to sleep", named.name);
    }
    backups.iter().for_each(|backup| say!("{}", backup.text));
    if let Some(world) = world.filter(|_| !backups.is_empty()) {
        say!("{} archives, {} together", world.archives, words::bytes(world.archived_bytes));
    }
    Ok(ExitCode::SUCCESS)
}

fn put_back(Restore { waiting, archive }: &Restore) -> Result<ExitCode> {
    let answer = ask(&waiting.named, "world restore", &[("backup", Some(archive.clone()))])?;
    if waiting.wait { see_through(&waiting.named, &answer) } else { show(&answer, &waiting.named.reach) }
}

fn copy(Export { named, length, backup, to }: &Export) -> Result<ExitCode> {
    let length = length.map(|length| format!("{}s", length.0.as_secs()));
    let answer = ask(named, "world export", &[("for", length), ("backup", backup.clone())])?;
    let Some(link) = answer.link.as_ref() else { bail!("the control plane's answer holds no link") };
    let Some(to) = to else {
        show(&answer, &named.reach)?;
        if !named.reach.json {
            say!("{}", link.url);
        }
        return Ok(ExitCode::SUCCESS);
    };
    if !named.reach.json {
        say!("{}", link.text);
    }
    match transfer::download(&link.url, to, interrupt()?.as_ref())? {
        Some(size) if named.reach.json => {
            print_json(&serde_json::json!({ "file": to, "size": size }))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(size) => {
            say!("{} has all of it, {}", to.display(), words::bytes(size));
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(ExitCode::from(130)),
    }
}

fn take(Import { waiting, file }: &Import) -> Result<ExitCode> {
    let named = &waiting.named;
    let upload = transfer::open(file)?;
    let answer = ask(named, "world import", &[])?;
    let Some(inbox) = answer.inbox else { bail!("the control plane's answer holds no link for the upload") };
    if transfer::upload(upload, &inbox.url, interrupt()?.as_ref())?.is_none() {
        eprintln!("\ninterrupted; nothing was changed");
        return Ok(ExitCode::from(130));
    }
    let answer = ask(named, "world import", &[("upload", Some(inbox.id))])?;
    if waiting.wait { see_through(named, &answer) } else { show(&answer, &named.reach) }
}

fn links(named: &Named) -> Result<ExitCode> {
    let links = ask(named, "world links", &[])?.links.unwrap_or_default();
    if named.reach.json {
        print_json(&links)?;
        return Ok(ExitCode::SUCCESS);
    }
    if links.is_empty() {
        say!("`{}` has no links; `dormouse world export {}` makes one", named.name, named.name);
    }
    for link in links {
        say!("{}: followed {} times; {}\n  {}", link.id, link.downloads, link.text, link.url);
    }
    Ok(ExitCode::SUCCESS)
}

fn undo(Withdraw { named, link }: &Withdraw) -> Result<ExitCode> {
    show(&ask(named, "world withdraw", &[("link", link.clone())])?, &named.reach)
}

/// Waits until the errand that `answer` begins is over, showing its milestones.
fn see_through(named: &Named, answer: &Answer) -> Result<ExitCode> {
    let generation = answer.world.as_ref().map_or(0, |world| world.generation);
    if !named.reach.json {
        say!("{}", answer.text.as_deref().unwrap_or_default());
    }
    let client = Client::new(&named.reach)?;
    let Some((world, done)) = wait_for(&client, &named.name, &named.reach, generation, is_asleep)? else {
        return Ok(interrupted(&named.name));
    };
    let came_to = [world.last.as_ref(), world.launch.as_ref()].into_iter().flatten();
    let came_to = came_to.filter(|launch| launch.generation == generation);
    let came_to = came_to.filter_map(|launch| launch.outcome.clone()).next();
    if named.reach.json {
        print_json(&world)?;
    } else if done {
        say!("{}: {}", named.name, came_to.clone().unwrap_or(world.status.clone()));
    }
    if !done {
        bail!("{}: {}", named.name, came_to.unwrap_or(world.status));
    }
    Ok(ExitCode::SUCCESS)
}

fn interrupted(name: &str) -> ExitCode {
    eprintln!("\ninterrupted; it goes on without you: `dormouse world status {name}` shows how far it is");
    ExitCode::from(130)
}

/// Returns what Ctrl-C sets.
pub(crate) fn interrupt() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    // The second one ends the program at once: the first may find it waiting for a network that is gone.
    signal_hook::flag::register_conditional_shutdown(
        signal_hook::consts::SIGINT,
        130,
        Arc::clone(&interrupted),
    )?;
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))?;
    Ok(interrupted)
}

/// Looks until `look` has an answer; nothing if Ctrl-C came first. The control plane's own deadlines bound this.
fn wait_until<T>(named: &Named, look: impl Fn(&Client) -> Result<Option<T>>) -> Result<Option<T>> {
    let (client, interrupted) = (Client::new(&named.reach)?, interrupt()?);
    let mut heard = Instant::now();
    while !interrupted.load(Ordering::Relaxed) {
        match look(&client) {
            Ok(Some(answer)) => return Ok(Some(answer)),
            Ok(None) => heard = Instant::now(),
            Err(error) if heard.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(None)
}

fn sessions(named @ Named { name, reach }: &Named) -> Result<ExitCode> {
    let sessions = ask(named, "world sessions", &[])?.sessions.unwrap_or_default();
    if reach.json {
        print_json(&sessions)?;
        return Ok(ExitCode::SUCCESS);
    }
    if sessions.is_empty() {
        say!("`{name}` was never awake");
    }
    for session in sessions {
        let lasted = session.milestones.last().map_or(0, |last| last.after_ms);
        let lasted = words::length(Duration::from_millis(lasted));
        say!(
            "launch {}, asked for by {} at {}, {lasted}",
            session.generation,
            session.asked_by,
            session.asked_at
        );
        say!("  {}", session.outcome.as_deref().unwrap_or_default());
        attended(&session, "  ");
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows who was on.
fn attended(launch: &LaunchView, indent: &str) {
    if let Some(attendance) = &launch.attendance {
        say!("{indent}{}\n{indent}{}", attendance.text, attendance.drawn);
    }
}

fn remove(delete: &Delete) -> Result<ExitCode> {
    // A name has nothing in it that a query would need to escape; what is none is refused before it is sent.
    let confirm = if delete.confirm.is_empty() { String::new() } else { valid(&delete.confirm)?.to_owned() };
    let path = format!("{}?confirm={confirm}", path(&delete.named.name, "")?);
    let answer = Client::new(&delete.named.reach)?.delete(&path)?;
    if delete.named.reach.json {
        print_json(&serde_json::json!({ "world": answer.world, "link": answer.link }))?;
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", answer.text.unwrap_or_default());
    if let Some(link) = answer.link {
        say!("  to get it back, download it: {}", link.url);
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for something that ends in the state `wanted` and, if it is not so already and the person wants it, waits until
/// `is_done` has an answer.
fn act(
    waiting: &Waiting,
    what: &str,
    wanted: &str,
    is_done: fn(&WorldView, u32) -> Option<bool>,
) -> Result<ExitCode> {
    let Waiting { named: Named { name, reach }, wait } = waiting;
    let client = Client::new(reach)?;
    let answer = client.post(&path(name, what)?, &serde_json::json!({}))?;
    let is_so = answer.world.as_ref().is_some_and(|w| w.state == wanted);
    if !wait || is_so {
        return show(&answer, reach);
    }
    if !reach.json {
        say!("{}", answer.text.as_deref().unwrap_or_default());
    }
    // A start while the world goes to sleep is the start of the next launch.
    let is_next = |w: &WorldView| wanted == "awake" && w.state == "going to sleep";
    let generation = answer.world.map_or(0, |w| w.generation + u32::from(is_next(&w)));
    let outcome = wait_for(&client, name, reach, generation, is_done)?;
    let Some((world, done)) = outcome else { return Ok(interrupted(name)) };
    if reach.json {
        print_json(&world)?;
    } else if done {
        say!("{name}: {}", world.status);
    }
    if !done {
        bail!("{name}: {}\n  hint: `dormouse world status {name}` shows how far it came", world.status);
    }
    Ok(ExitCode::SUCCESS)
}

/// Looks at the world until `is_done` has an answer, showing the milestones of the launch as they are passed; nothing if
/// Ctrl-C came first. The control plane's own deadlines bound this.
fn wait_for(
    client: &Client,
    name: &str,
    reach: &Reach,
    generation: u32,
    is_done: fn(&WorldView, u32) -> Option<bool>,
) -> Result<Option<(WorldView, bool)>> {
    let interrupted = interrupt()?;
    let (mut shown, mut heard) = ((generation, 0), Instant::now());
    loop {
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match client.get(&path(name, "")?) {
            Err(error) if heard.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
            Ok(answer) => {
                heard = Instant::now();
                let world = answer.world.context("the control plane's answer holds no world")?;
                let launch = world.launch.iter().chain(&world.last).find(|l| l.generation >= generation);
                if let Some(launch) = launch.filter(|_| !reach.json) {
                    shown = show_milestones(launch, shown);
                }
                if let Some(done) = is_done(&world, generation) {
                    return Ok(Some((world, done)));
                }
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Shows the milestones that were passed since `shown`: a launch, and how many of its milestones.
fn show_milestones(launch: &LaunchView, shown: (u32, usize)) -> (u32, usize) {
    let skip = if launch.generation == shown.0 { shown.1 } else { 0 };
    launch.milestones.iter().skip(skip).for_each(|m| say!("  {}", milestone(&m.name, m.after_ms)));
    (launch.generation, launch.milestones.len())
}

#[expect(clippy::cast_precision_loss, reason = "tenths of a second are shown")]
fn milestone(name: &str, after_ms: u64) -> String {
    format!("{name:<9} {:>7.1} s", after_ms as f64 / 1000.0)
}

/// Tells whether a start has come to an end, and whether well.
fn is_awake(world: &WorldView, _generation: u32) -> Option<bool> {
    match world.state.as_str() {
        "awake" => Some(true),
        "asleep" | "deleted" => Some(false),
        _ => None,
    }
}

/// Tells whether the stop of launch `generation` has come to an end, and whether well: the world sleeps, or somebody has
/// woken it again since. A world that was never started sleeps well.
fn is_asleep(world: &WorldView, generation: u32) -> Option<bool> {
    let is_well = world.last.as_ref().and_then(|last| last.is_well);
    let is_over = matches!(world.state.as_str(), "asleep" | "deleted") || world.generation > generation;
    is_over.then_some(is_well.unwrap_or(true))
}

fn show(answer: &Answer, reach: &Reach) -> Result<ExitCode> {
    match (&answer.world, &answer.link) {
        (_, Some(link)) if reach.json => print_json(link)?,
        (Some(world), _) if reach.json => print_json(world)?,
        (_, _) => say!("{}", answer.text.as_deref().unwrap_or_default()),
    }
    Ok(ExitCode::SUCCESS)
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn path(name: &str, what: &str) -> Result<String> {
    let name = valid(name)?;
    Ok(if what.is_empty() { format!("/v1/worlds/{name}") } else { format!("/v1/worlds/{name}/{what}") })
}

/// Refuses what is no name before it becomes part of an address.
fn valid(name: &str) -> Result<&str> {
    match domain::world::WorldName::parse(name) {
        Ok(_) => Ok(name),
        Err(error) => bail!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn lengths_are_read_as_people_write_them() {
        let read = |text: &str| length(text).map(|l| l.0.as_secs());
        for (text, seconds) in
            [("0s", 0), ("90s", 90), ("15m", 900), ("2h", 7200), ("1h30m", 5400), ("7d", 604_800)]
        {
            assert_eq!(read(text), Ok(seconds), "{text}");
        }
        for bad in ["", "7", "-5m", "5 parsecs", "400d", "d", "99999999999999999999h"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        expect!["`soon` is no length of time: write 90s, 15m, 2h or 7d"]
            .assert_eq(&read("soon").unwrap_err());
    }

    #[test]
    fn a_name_that_is_none_never_becomes_part_of_an_address() {
        for bad in ["../secret", "a/b", "a?x=1", "", "A", "a%2fb"] {
            assert!(path(bad, "start").is_err(), "{bad}");
        }
        assert_eq!(path("valhalla", "start").unwrap(), "/v1/worlds/valhalla/start");
    }

    #[test]
    fn milestones_stand_in_columns() {
        let lines = [("launched", 3), ("ready", 12_345)].map(|(name, ms)| milestone(name, ms));
        expect![[r"
            launched      0.0 s
            ready        12.3 s"]]
        .assert_eq(&lines.join("\n"));
    }
}
