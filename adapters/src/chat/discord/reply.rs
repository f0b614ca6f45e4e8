//! What people read in answer to what they did, and when something happens by itself.

use domain::{
    access::{Action, Rules},
    commands::{
        self, Problem, ProblemKind, Reply, export::Link, import::Inbox, password::Secrets, spec::Shown,
    },
    effect::Notice,
    game::Game,
    vault::Kept,
    words,
    world::{Milestone, Session, State, World},
};

use crate::chat::discord::{
    Discord, card, limits,
    markup::{code, date, link, mention, plain, relative, sentence},
    message::{Block, Colour, Message, Seen},
};

impl Discord {
    /// Returns the message for the answer to a command.
    pub fn reply(&self, reply: &Reply, shown: Shown) -> Message {
        let seen = match shown {
            Shown::Everybody => Seen::ByAll,
            Shown::Asker => Seen::ByAsker,
        };
        match reply {
            Reply::World { world, text } => Message { seen, ..self.card(world, sentence(text)) },
            Reply::Games(games) => listing("Games", seen, game_lines(games)),
            Reply::Worlds(worlds) => listing("Worlds", seen, self.world_lines(worlds)),
            Reply::Sessions(world) => {
                listing(&format!("{} — the last times", world.name), seen, session_lines(world))
            }
            Reply::Link(link) => listing("Archive", Seen::ByAsker, link_lines(link)),
            Reply::Deleted { world, link, text } => {
                let link = link.iter().flat_map(link_lines);
                listing(
                    world.name.as_str(),
                    Seen::ByAsker,
                    [sentence(text)].into_iter().chain(link).collect(),
                )
            }
            Reply::Links(name, links) => {
                listing(&format!("Links to {name}"), Seen::ByAsker, links_lines(links))
            }
            Reply::Backups(world) => {
                listing(&format!("{} — archives", world.name), seen, backup_lines(world))
            }
            Reply::Inbox(inbox) => listing("Upload", Seen::ByAsker, inbox_lines(inbox)),
            Reply::Access(rules) => listing("Who may do what", seen, access_lines(rules)),
            Reply::Secrets(secrets) => {
                listing(&format!("{} — passwords", secrets.name), Seen::ByAsker, secret_lines(secrets))
            }
            Reply::Help => listing("Commands", seen, help_lines()),
        }
    }

    /// Returns the message that shows `notice` about `world`, for its card and for the answers that are followed.
    pub fn notice(&self, world: &World, notice: &Notice) -> Message {
        self.card(world, notice_text(world, notice))
    }

    fn card(&self, world: &World, content: String) -> Message {
        let game = self.games.get(&world.game);
        Message {
            content,
            block: Some(card::block(world, game, self.config.billed)),
            keys: card::keys(world),
            seen: Seen::ByAll,
        }
    }

    /// Returns a line for each world, those that are not asleep first.
    fn world_lines(&self, worlds: &[World]) -> Vec<String> {
        if worlds.is_empty() {
            return vec!["There are none yet; `/world create` makes one.".into()];
        }
        let (asleep, up): (Vec<&World>, Vec<&World>) =
            worlds.iter().partition(|world| matches!(world.state, State::Asleep));
        up.into_iter().chain(asleep).map(|world| self.world_line(world)).collect()
    }

    fn world_line(&self, world: &World) -> String {
        let game = self.games.get(&world.game).map_or(world.game.as_str(), |game| game.name.as_str());
        let at = world.awake().map_or(String::new(), |(at, _)| format!(" at {}", code(&at.to_string())));
        format!("`{}` — {}, {}{at}", world.name, plain(game), words::state(world))
    }
}

/// Returns the message for something that was not carried out. What is out of reach is told in plain words, and its
/// details go to the log: they are for whoever runs this.
pub fn problem(problem: &Problem) -> Message {
    let text = match problem.kind {
        ProblemKind::Unavailable => {
            tracing::error!(details = problem.text, "a command was not carried out");
            "Something that this needs is out of reach just now.".into()
        }
        ProblemKind::BadInput | ProblemKind::NotFound | ProblemKind::Refused => sentence(&problem.text),
        ProblemKind::Denied => match &problem.denied {
            Some(denied) => {
                let who = denied.allowed.iter().map(mention).chain(["those who manage the server".into()]);
                format!("`{}` is for {}.", denied.action.word(), joined(&who.collect::<Vec<_>>()))
            }
            None => sentence(&problem.text),
        },
    };
    Message::whisper(format!("{text}\n{}", sentence(&problem.hint)))
}

fn listing(title: &str, seen: Seen, lines: Vec<String>) -> Message {
    let block = Block { title: title.into(), lines, footer: String::new(), colour: Colour::Grey };
    Message { content: String::new(), block: Some(block), keys: Vec::new(), seen }
}

fn game_lines(games: &[Game]) -> Vec<String> {
    if games.is_empty() {
        return vec!["The catalogue is empty.".into()];
    }
    games.iter().map(|game| format!("`{}` — {}", game.id, plain(&game.name))).collect()
}

fn session_lines(world: &World) -> Vec<String> {
    let sessions: Vec<_> = world.last.iter().chain(&world.past).map(session_line).collect();
    if sessions.is_empty() { vec!["It was never played.".into()] } else { sessions }
}

fn session_line(Session { launch, outcome }: &Session) -> String {
    let ready = launch.passed_at(Milestone::Ready);
    let awake = ready.zip(launch.passed_at(Milestone::Stopping).or(launch.passed_at(Milestone::Ended)));
    let awake = awake.map_or(String::new(), |(from, to)| {
        format!(", awake for {}", words::length(words::between(from, to)))
    });
    let by = plain(launch.asked.by.as_str());
    let attended = card::attended(launch).map_or(String::new(), |line| format!("\n{line}"));
    format!("{} — for {by}{awake}. {}{attended}", date(launch.asked.at), sentence(&words::outcome(outcome)))
}

fn link_lines(Link { url, expires, archive, text, .. }: &Link) -> Vec<String> {
    let name = archive.as_ref().map_or("world.zip".into(), |archive| format!("{}.zip", archive.id));
    // A cut link leads nowhere: one that does not fit is not shown.
    let room = limits::EMBED_DESCRIPTION - 600;
    let line = link(&name, url)
        .filter(|line| limits::length(line) <= room)
        .or_else(|| Some(code(url)).filter(|_| limits::length(url) <= 300))
        .unwrap_or_else(|| "The link is too long for Discord; `dormouse world export` prints it.".into());
    let digest = archive.as_ref().map(|archive| format!("SHA-256: {}", code(&archive.sha256.to_string())));
    let lines = [
        sentence(text),
        line,
        format!("It works until {}, {}, for whoever has it.", date(*expires), relative(*expires)),
    ];
    lines.into_iter().chain(digest).collect()
}

fn links_lines(links: &[Link]) -> Vec<String> {
    if links.is_empty() {
        return vec!["There are none; `/world export` makes one.".into()];
    }
    let line = |Link { id, text, downloads, .. }: &Link| {
        format!("`{id}` — followed {downloads} times. {}", sentence(text))
    };
    links.iter().map(line).collect()
}

fn backup_lines(world: &World) -> Vec<String> {
    if world.vault.kept.is_empty() {
        return vec!["There are none yet; one is made whenever it goes to sleep.".into()];
    }
    let line = |Kept { archive, at, why }: &Kept| {
        let (size, why) = (words::bytes(archive.size), plain(&words::kept_why(why)));
        format!("`{}` — {size}, {}, {why}", archive.id, relative(*at))
    };
    let all = format!("Together they have {}.", words::bytes(world.vault.size()));
    world.vault.kept.iter().map(line).chain([all]).collect()
}

fn inbox_lines(Inbox { name, id, url, expires }: &Inbox) -> Vec<String> {
    let command = format!("curl --fail -T world.zip '{url}'");
    let shown = if limits::length(&command) <= limits::EMBED_DESCRIPTION - 800 {
        format!("```\n{command}\n```")
    } else {
        "The link is too long for Discord; use `dormouse world import` on the command line.".into()
    };
    vec![
        format!("Upload a .zip, .tar.gz or .tar.zst for `{name}`, for example by:"),
        shown,
        format!("The link works until {}, {}, for whoever has it.", date(*expires), relative(*expires)),
        format!(
            "Then `/world import name:{name} upload:{id}` puts it in place; what is there is archived first."
        ),
    ]
}

fn secret_lines(secrets: &Secrets) -> Vec<String> {
    if secrets.all.is_empty() {
        return vec!["There are none.".into()];
    }
    secrets.all.iter().map(|(title, value)| format!("{}: {}", plain(title), code(value.as_str()))).collect()
}

fn access_lines(rules: &Rules) -> Vec<String> {
    let line = |action: Action| {
        let who: Vec<_> = rules.allowed(action).iter().map(mention).collect();
        let who = if who.is_empty() { "only those who manage the server".into() } else { joined(&who) };
        format!("`{}` — {who}", action.word())
    };
    let all = "Those who manage the server may do everything, and everybody may look.".into();
    Action::ALL.into_iter().map(line).chain([all]).collect()
}

fn help_lines() -> Vec<String> {
    let begin = "`/world start` wakes a world; it goes to sleep by itself once everybody has left.".into();
    let line = |spec: &commands::spec::Spec| format!("`/{}` — {}", spec.path, plain(spec.about));
    [begin].into_iter().chain(commands::LIST.iter().map(line)).collect()
}

fn notice_text(world: &World, notice: &Notice) -> String {
    let name = &world.name;
    match notice {
        Notice::Waking(asked) => format!("{} wakes `{name}`.", plain(asked.by.as_str())),
        Notice::Working(errand, asked) => {
            format!("`{name}` is {}, for {}.", plain(&words::doing(errand)), plain(asked.by.as_str()))
        }
        Notice::Awake(address) => {
            format!("`{name}` is awake: join at {}.", code(&address.to_string()))
        }
        Notice::Warned(at) => format!("Nobody is on `{name}`: it goes to sleep {}.", relative(*at)),
        Notice::CapNear(at) => {
            format!("`{name}` has run for its longest time and goes to sleep {}.", relative(*at))
        }
        Notice::AllAway(at) => {
            format!("Nobody who is on `{name}` moves: it goes to sleep {}.", relative(*at))
        }
        Notice::Stopping(why) => format!("`{name}` is going to sleep, {}.", plain(&words::stop_why(why))),
        Notice::Asleep(None) => format!("`{name}` is asleep."),
        Notice::Asleep(Some(last)) => format!("`{name}` is asleep. {}", sentence(&words::outcome(last))),
        Notice::Deleted if world.vault.newest().is_some() => {
            format!("`{name}` is deleted. Its last archive is kept for 30 days.")
        }
        Notice::Deleted => format!("`{name}` is deleted."),
    }
}

/// Returns `a, b and c`.
fn joined(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
