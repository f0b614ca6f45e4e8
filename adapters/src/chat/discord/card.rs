//! The card of a world: what is so and why, what comes next, whether it costs money, and what can be done about it.

use domain::{
    Timestamp, effect,
    game::Game,
    idle::Evidence,
    lifecycle::CAP_MARGIN,
    sight::weakness,
    vault::Kept,
    words,
    world::{
        Asked, Backup, BackupStep, Errand, Heard, Launch, Milestone, Session, StartStep, State, StopStep,
        Then, World,
    },
};

use crate::chat::discord::{
    Billed,
    custom_id::{CustomId, Press},
    markup::{code, plain, relative, sentence, time},
    message::{Block, Colour, Key, Weight},
};

/// Returns the block that shows `world`.
pub fn block(world: &World, game: Option<&Game>, billed: Billed) -> Block {
    let mut lines = lines(world, game);
    lines.extend(cost(world, billed).map(str::to_owned));
    Block {
        title: format!("{} — {}", world.name, words::state(world)),
        lines,
        footer: game.map_or_else(|| world.game.to_string(), |game| game.name.clone()),
        colour: colour(world),
    }
}

/// Returns the buttons that make sense in the world's state.
pub fn keys(world: &World) -> Vec<Key> {
    use Weight::{Grave, Main, Usual};
    let key =
        |label, weight, press| Some(Key { label, weight, id: CustomId { press, world: world.name.clone() } });
    let export = || key("Export", Usual, Press::Export).filter(|_| world.vault.newest().is_some());
    let refresh = || key("Refresh", Usual, Press::Refresh);
    let keys = match &world.state {
        State::Asleep => vec![key("Start", Main, Press::Start), export(), refresh()],
        State::Starting { .. } => vec![key("Stop", Grave, Press::Stop), refresh()],
        State::Awake { heard, .. } => {
            let weight = if heard.stops_at.is_some() { Main } else { Usual };
            let export = key("Export", Usual, Press::Export);
            vec![key("Stay 1 h", weight, Press::Stay), key("Stop", Grave, Press::Stop), export, refresh()]
        }
        State::Stopping { then: Then::Sleep, .. } | State::Ending { then: Then::Sleep, .. } => {
            vec![key("Start", Main, Press::Start), refresh()]
        }
        State::Stopping { then: Then::Start(_), .. } | State::Ending { then: Then::Start(_), .. } => {
            vec![key("Stop", Grave, Press::Stop), refresh()]
        }
        State::Deleting { .. } | State::Deleted { .. } => vec![],
    };
    keys.into_iter().flatten().collect()
}

fn colour(world: &World) -> Colour {
    match &world.state {
        State::Asleep if world.last.as_ref().is_some_and(|last| !last.outcome.is_well()) => Colour::Red,
        State::Asleep | State::Deleting { .. } | State::Deleted { .. } => Colour::Grey,
        State::Awake { heard: Heard { stops_at: None, .. }, .. } => Colour::Green,
        State::Awake { .. } | State::Starting { .. } | State::Stopping { .. } | State::Ending { .. } => {
            Colour::Yellow
        }
    }
}

/// Returns whether the world costs money as it is, where somebody is sent a bill.
fn cost(world: &World, billed: Billed) -> Option<&'static str> {
    let line = match &world.state {
        State::Asleep => "Asleep, it costs no more than its storage.",
        State::Deleting { .. } | State::Deleted { .. } if world.vault.newest().is_none() => {
            "It costs nothing any more."
        }
        State::Starting { .. } | State::Awake { .. } | State::Stopping { .. } | State::Ending { .. } => {
            "It costs money by the second until it sleeps."
        }
        State::Deleting { .. } | State::Deleted { .. } => "Its archives go on costing their storage.",
    };
    match billed {
        Billed::Yes => Some(line),
        Billed::No => None,
    }
}

fn lines(world: &World, game: Option<&Game>) -> Vec<String> {
    match &world.state {
        State::Asleep => asleep(world),
        State::Starting { launch: Launch { errand: Some(errand), asked, .. }, .. } => {
            vec![on_errand(errand, asked), "Its task is coming up.".into()]
        }
        State::Stopping { launch: Launch { errand: Some(errand), asked, .. }, step, then, .. } => {
            vec![on_errand(errand, asked), sentence(words::errand_step(errand, step)), follows(then)]
        }
        State::Starting { launch, step, .. } => starting(world, game, launch, step),
        State::Awake { launch, address, heard, keep, backup, deadline, .. } => {
            let mut lines = vec![format!("Join at {}.", code(&address.to_string()))];
            lines.push(seen(launch, heard));
            lines.extend(attended(launch));
            lines.extend(weakness(&launch.sources).map(|weak| sentence(&weak)));
            lines.extend(next(world, heard, keep.as_ref()));
            lines.extend(backup.as_ref().map(archived));
            let cap = *deadline - CAP_MARGIN;
            lines.push(format!("It runs until {} at the longest, {}.", time(cap), relative(cap)));
            lines
        }
        State::Stopping { why, step, then, .. } => {
            let mut lines = vec![sentence(&words::stop_why(why)), stopping(step).into()];
            lines.push(follows(then));
            lines
        }
        State::Ending { then, .. } => vec!["Its task is ending.".into(), follows(then)],
        State::Deleting { asked, .. } => vec![format!("Its files are being removed: {}.", wanted(asked))],
        State::Deleted { asked, at } => {
            vec![format!("{} deleted it {}.", plain(asked.by.as_str()), relative(*at))]
        }
    }
}

fn asleep(world: &World) -> Vec<String> {
    let mut lines = vec![match &world.last {
        None => "It was never played.".into(),
        Some(Session { launch, outcome }) => {
            let since = launch.passed_at(Milestone::Ended).unwrap_or(launch.asked.at);
            format!("{} ({})", sentence(&words::outcome(outcome)), relative(since))
        }
    }];
    if let Some(Kept { archive, .. }) = world.vault.newest() {
        let (size, all) = (words::bytes(archive.size), words::bytes(world.vault.size()));
        let number = world.vault.kept.len();
        let more = if number > 1 { format!("; all {number} have {all}") } else { String::new() };
        lines.push(format!("Its newest archive is `{}`, {size}{more}.", archive.id));
    }
    lines.push("**Start** wakes it.".into());
    lines
}

fn starting(world: &World, game: Option<&Game>, launch: &Launch, step: &StartStep) -> Vec<String> {
    let step = match step {
        StartStep::Launching => "A task is being asked for.",
        StartStep::Launched { .. } => "Its task is coming up.",
        StartStep::Filling { .. } => "Its newest archive is being unpacked.",
        StartStep::Claimed { .. } => "The game is loading.",
    };
    let typical = world.last_start_took().or(game.map(|game| game.ready.typical));
    let ready = typical.and_then(|typical| launch.asked.at.checked_add(typical).ok());
    let next = ready.map(|ready| format!("Going by other times, players can join {}.", relative(ready)));
    let first = format!("It is waking: {}.", wanted(&launch.asked));
    [Some(first), Some(step.to_owned()), next].into_iter().flatten().collect()
}

/// Returns who is on, once somebody looked, and how it came to be awake.
fn seen(launch: &Launch, heard: &Heard) -> String {
    let ready = launch.passed_at(Milestone::Ready);
    let woke = format!("It woke {}: {}.", relative(ready.unwrap_or(launch.asked.at)), wanted(&launch.asked));
    let players = match &heard.players {
        Evidence::Players(1) => "1 player is on".into(),
        Evidence::Players(n) => format!("{n} players are on"),
        Evidence::Empty => "Nobody is on".into(),
        // The game has just become ready: nobody looked yet.
        Evidence::Unknown(_) if ready == Some(heard.at) => return woke,
        Evidence::Unknown(why) => format!("Who is on is not known ({})", plain(why)),
    };
    format!("{players}, seen {}. {woke}", relative(heard.at))
}

/// Returns who was on in the course of the launch, drawn and in words, if anybody was.
pub(super) fn attended(Launch { attendance, .. }: &Launch) -> Option<String> {
    /// The widest drawing: many of them stand in one message.
    const WIDEST: usize = 24;
    let drawn = || code(&attendance.drawn(WIDEST));
    (attendance.peak() > 0).then(|| format!("{} {}", drawn(), sentence(&attendance.to_string())))
}

/// Returns what will happen by itself.
fn next(world: &World, heard: &Heard, keep: Option<&(Asked, Timestamp)>) -> Option<String> {
    let kept = keep.filter(|(_, until)| *until > heard.at);
    let left = words::length(world.timers.last_left);
    Some(match (heard.stops_at, kept, &heard.players) {
        (Some(at), _, Evidence::Players(_)) if !effect::is_of_cap(world, at) => {
            format!(
                "Nobody moves. It goes to sleep {}, unless somebody does or presses **Stay**.",
                relative(at)
            )
        }
        (Some(at), _, Evidence::Players(_)) => {
            format!("It has run for its longest time and goes to sleep {}.", relative(at))
        }
        (Some(at), _, Evidence::Empty | Evidence::Unknown(_)) => {
            format!("It goes to sleep {}, unless somebody joins or presses **Stay**.", relative(at))
        }
        (None, Some((by, until)), _) => {
            format!("{} keeps it awake until {}.", plain(by.by.as_str()), time(*until))
        }
        (None, None, Evidence::Players(_) | Evidence::Empty) => {
            format!("With nobody on for {left}, it goes to sleep by itself.")
        }
        (None, None, Evidence::Unknown(_)) => return None,
    })
}

fn stopping(step: &StopStep) -> &'static str {
    match step {
        StopStep::Asked => "Its watchdog is being told.",
        StopStep::Saving => "The game is saving.",
        StopStep::Saved(_) => "It is saved and being archived.",
        StopStep::Uploaded(..) => "It is archived, and the archive is being checked.",
        StopStep::Rejected(..) => "The archive was not whole; another one is being made.",
        StopStep::Filling => "Its directory is being filled.",
    }
}

/// Returns how far the archive is that was made last while it is awake.
fn archived(backup: &Backup) -> String {
    let at = relative(backup.at);
    match &backup.step {
        BackupStep::Wanted | BackupStep::Uploaded(_) => "It is being archived while it is played.".into(),
        BackupStep::Done(_) => format!("It was archived {at}."),
        BackupStep::Failed(why) => format!("It could not be archived {at}: {}.", plain(why)),
    }
}

fn on_errand(errand: &Errand, asked: &Asked) -> String {
    format!("It is {}: {}.", plain(&words::doing(errand)), wanted(asked))
}

fn follows(then: &Then) -> String {
    match then {
        Then::Sleep => "Then it sleeps.".into(),
        Then::Start(asked) => format!("Then it wakes again: {}.", wanted(asked)),
    }
}

fn wanted(asked: &Asked) -> String {
    format!("{} wanted it {}", plain(asked.by.as_str()), relative(asked.at))
}
