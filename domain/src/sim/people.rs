//! The people of two guilds, who press every button, often twice, and what they may count on when they get an answer.

use std::time::Duration;

use super::{
    chat::{Known, TOKEN},
    clockwork::{Of, Sim},
    outside::{MINUTE, Outside, SECOND, since},
    ports::DOOR_LIMIT,
};
use crate::{
    access::Asker,
    commands::{
        self, Command, Context, Problem, Reply,
        create::Create,
        delete::Delete,
        export::{Export, Withdraw},
        import::Import,
        keep::Keep,
        restore::Restore,
        settings::Settings,
    },
    idle::{TimerChoices, Timers},
    settings::Typed,
    talk::{Follower, Place, ReplyId},
    vault::{CareChoices, Storage},
    world::*,
};

/// How long somebody waits for an answer: then the chat says that there is none.
const PATIENCE: u64 = 3 * SECOND;

/// One of the people.
#[derive(Debug, Clone)]
pub(super) struct Somebody {
    pub(super) name: &'static str,
    pub(super) guild: &'static str,
}

pub(super) const PEOPLE: [Somebody; 3] = [
    Somebody { name: "ann", guild: "g1" },
    Somebody { name: "bob", guild: "g1" },
    Somebody { name: "cyd", guild: "g2" },
];

/// The timers of the simulation's games: short ones, so that much happens in an evening.
pub(super) const TIMERS: Timers = {
    let mut timers = Timers::DEFAULT;
    timers.never_joined = Duration::from_secs(4 * 60);
    timers.last_left = Duration::from_secs(3 * 60);
    timers.warning = Duration::from_secs(60);
    timers.cap = Duration::from_secs(40 * 60);
    timers
};

/// Presses buttons until the evening is over.
pub(super) async fn lives(sim: Sim, who: Somebody) {
    loop {
        let wait = sim.lock().chance.millis(20 * SECOND, 12 * MINUTE);
        sim.sleep(wait).await;
        let (command, twice) = {
            let mut o = sim.lock();
            if o.is_night {
                return;
            }
            let Some(command) = wish(&mut o, &who) else { continue };
            (command, o.chance.one_in(3))
        };
        if twice {
            let (sim, who, command) = (sim.clone(), who.clone(), command.clone());
            sim.clone().begin(Of::All, MINUTE, async move { _ = press(&sim, &who, command).await });
        }
        let mut answer = press(&sim, &who, command.clone()).await;
        if answer.is_none() && sim.lock().chance.one_in(2) {
            answer = press(&sim, &who, command).await;
        }
        if let Some(Ok(Reply::Inbox(inbox))) = answer {
            sim.sleep(20 * SECOND).await;
            {
                let mut o = sim.lock();
                let content = o.new_content();
                let of = |place: &super::outside::Place| {
                    place.record.name == inbox.name && place.record.guild.as_str() == who.guild
                };
                let Some(place) = o.places.iter().rposition(of) else { continue };
                o.inboxes.push((place, inbox.id.clone(), content));
            }
            press(&sim, &who, Command::Import(Import { name: inbox.name, upload: Some(inbox.id) })).await;
        }
    }
}

/// Returns what somebody wants now.
fn wish(o: &mut Outside, who: &Somebody) -> Option<Command> {
    let own: Vec<_> =
        (0..o.places.len()).filter(|p| o.places[*p].record.guild.as_str() == who.guild).collect();
    let place = own[o.chance.below(u32::try_from(own.len()).ok()?) as usize];
    let name = o.places[place].record.name.clone();
    let choice = o.chance.below(23);
    Some(match choice {
        0..=6 => Command::Start(name),
        7 | 8 => Command::Stop(name),
        9 => {
            let length = Duration::from_millis(o.chance.millis(2 * MINUTE, 50 * MINUTE));
            Command::Keep(Keep { name, length })
        }
        10 => Command::Backup(name),
        11 | 12 => {
            let kept: Vec<_> =
                o.places[place].record.vault.kept.iter().map(|kept| kept.archive.id.clone()).collect();
            let which = o.chance.below(u32::try_from(kept.len().max(1)).ok()?) as usize;
            Command::Restore(Restore { name, archive: kept.get(which)?.clone() })
        }
        13 => Command::Import(Import { name, upload: None }),
        14 | 15 => {
            let length = Duration::from_millis(o.chance.millis(5 * MINUTE, 155 * MINUTE));
            let archive = o.places[place].record.vault.kept.last().map(|kept| kept.archive.id.clone());
            let archive = archive.filter(|_| o.chance.one_in(2));
            Command::Export(Export { name, length, archive })
        }
        16 => {
            let link = o.places[place].record.vault.links.first().map(|link| link.id.clone());
            Command::Withdraw(Withdraw { name, link: link.filter(|_| o.chance.one_in(2)) })
        }
        17 | 18 => {
            let storage = [Storage::Directory, Storage::Archive][o.chance.below(2) as usize];
            let newest = [None, Some(1)][o.chance.below(2) as usize];
            let none = newest.map(|_| 0);
            let care = CareChoices {
                storage: Some(storage),
                newest,
                daily: none,
                weekly: none,
                ..CareChoices::default()
            };
            Command::Settings(Settings { name, timers: TimerChoices::default(), care })
        }
        19 => Command::Delete(Delete { name, typed: "another".into() }),
        20 => Command::Delete(Delete { typed: name.to_string(), name }),
        21 => {
            o.delete_card(place);
            return None;
        }
        _ => {
            let game = o.places[place].record.game.clone();
            let (settings, timers) = (Typed::default(), TimerChoices::default());
            Command::Create(Create { name, game, settings, timers, storage: None, port: None })
        }
    })
}

/// Asks the front door for something, and holds it to its answer.
pub(super) async fn press(sim: &Sim, who: &Somebody, command: Command) -> Option<Result<Reply, Problem>> {
    let (driver, context, held) = {
        let mut o = sim.lock();
        o.tally.presses += 1;
        let wants_newest = matches!(&command, Command::Export(Export { archive: None, .. }));
        let places = if wants_newest { &o.places[..] } else { &[] };
        let held: Vec<_> = places.iter().map(|place| place.dir.content).collect();
        let (now, id, reply) = (o.some_clock(), o.new_name('w'), o.new_name('r'));
        o.say(|_| format!("{}: {}", who.name, shown(&command)));
        let follower =
            Follower { reply: ReplyId::parse(&reply).ok()?, until: now + Duration::from_millis(TOKEN) };
        o.awaits(&follower.reply);
        let context = Context {
            guild: GuildId::parse(who.guild).ok()?,
            by: Person::parse(who.name).ok()?,
            asker: Asker::Owner,
            place: Place::parse("channel").ok(),
            follower: Some(follower),
            now,
            fresh_id: WorldId::parse(&id).ok()?,
        };
        let is_it = |p: &super::outside::Place, name: &WorldName| {
            p.record.name == *name && p.record.guild == context.guild
        };
        let named = |o: &Outside, name: &WorldName| -> Vec<_> {
            (0..o.places.len()).filter(|place| is_it(&o.places[*place], name)).collect()
        };
        if let Command::Stop(name) = &command {
            let now = o.clock.now;
            named(&o, name).into_iter().for_each(|place| o.places[place].stop_pressed = Some(now));
        }
        if let Command::Withdraw(wanted) = &command {
            named(&o, &wanted.name).into_iter().for_each(|place| o.withdraws(place, wanted));
        }
        (o.driver.clone()?, context, held)
    };
    let reply = context.follower.as_ref().map(|follower| follower.reply.clone())?;
    let (asked, by) = (command.clone(), Asked { by: context.by.clone(), at: context.now });
    let run = async move { commands::run(asked, &context, &driver).await };
    let answer = sim.ask(PATIENCE, DOOR_LIMIT, run).await;
    let mut o = sim.lock();
    match &answer {
        Some(Ok(Reply::World { text, .. })) => o.say(|_| format!("    {}: {text}", who.name)),
        Some(Err(problem)) => o.say(|_| format!("    {}: {}", who.name, problem.text)),
        None => o.say(|_| format!("    {} gets no answer", who.name)),
        Some(Ok(_)) => {}
    }
    let known = if answer.is_some() { Known::Yes } else { Known::Never };
    let follows = match (&command, &answer) {
        (Command::Start(_) | Command::Stop(_), Some(Ok(Reply::World { world, .. }))) => o.place_of(&world.id),
        _ => None,
    };
    o.is_answered(&reply, known, follows);
    o.hold_to(sim, &command, answer.as_ref()?.as_ref().ok()?, (&by, &held));
    drop(o);
    answer
}

fn shown(command: &Command) -> String {
    let words = [
        if let Command::Start(name) = command { Some(format!("start {name}")) } else { None },
        if let Command::Stop(name) = command { Some(format!("stop {name}")) } else { None },
        if let Command::Backup(name) = command { Some(format!("backup {name}")) } else { None },
        if let Command::Keep(Keep { name, length }) = command {
            Some(format!("keep {name} for {} s", length.as_secs()))
        } else {
            None
        },
        if let Command::Delete(Delete { name, typed }) = command {
            Some(format!("delete {name}, typed `{typed}`"))
        } else {
            None
        },
    ];
    words.into_iter().flatten().next().unwrap_or_else(|| format!("{command:?}"))
}

impl Outside {
    /// Holds the control plane to what it has answered.
    fn hold_to(&mut self, sim: &Sim, command: &Command, reply: &Reply, (asked, held): (&Asked, &[u64])) {
        let now = self.clock.now;
        match (command, reply) {
            (Command::Keep(_), Reply::World { world, .. }) => match &world.state {
                State::Awake { keep: Some((_, until)), .. } => {
                    let (generation, until) = (world.generation, since(*until));
                    if let Some(place) = self.place_of(&world.id) {
                        let kept = &mut self.places[place].kept;
                        // Whoever is told of a later time is told no less than others were.
                        if kept.is_none_or(|(known, before, _)| known < generation || before < until) {
                            *kept = Some((generation, until, now));
                        }
                    }
                }
                State::Awake { keep: None, .. }
                | State::Asleep
                | State::Starting { .. }
                | State::Stopping { .. }
                | State::Ending { .. }
                | State::Deleting { .. }
                | State::Deleted { .. } => {
                    self.breaks(|| {
                        format!("somebody was told that {} is kept awake, and it is not", world.id)
                    });
                }
            },
            (Command::Start(_), Reply::World { world, .. }) => {
                let due = match &world.state {
                    State::Starting { .. } | State::Awake { .. } => world.generation,
                    State::Stopping { then: Then::Start(_), .. }
                    | State::Ending { then: Then::Start(_), .. } => world.generation.next(),
                    State::Stopping { .. }
                    | State::Ending { .. }
                    | State::Asleep
                    | State::Deleting { .. }
                    | State::Deleted { .. } => {
                        return self.breaks(|| format!("a start of {} was answered and forgotten", world.id));
                    }
                };
                if let Some(place) = self.place_of(&world.id) {
                    let of = &mut self.places[place];
                    // What somebody else has stopped meanwhile is stopped.
                    if of.stop_pressed.is_none_or(|pressed| now > pressed + MINUTE) {
                        of.start_due = of.start_due.max(Some(due));
                    }
                }
            }
            (Command::Stop(_), Reply::World { world, .. }) => {
                let Some(place) = self.place_of(&world.id) else { return };
                let record = &self.places[place].record;
                let goes_on = match &record.state {
                    State::Starting { .. } | State::Awake { .. } => record.generation == world.generation,
                    State::Asleep
                    | State::Stopping { .. }
                    | State::Ending { .. }
                    | State::Deleting { .. }
                    | State::Deleted { .. } => false,
                };
                if goes_on {
                    self.breaks(|| format!("a stop of {} was answered and not done", world.id));
                }
            }
            (Command::Export(_), Reply::Link(link)) => self.is_given(sim, link, held),
            (Command::Delete(Delete { name, typed }), Reply::Deleted { world, .. }) => {
                let deleted_by_this = match &world.state {
                    State::Deleting { asked: by, .. } | State::Deleted { asked: by, .. } => by == asked,
                    State::Asleep
                    | State::Starting { .. }
                    | State::Awake { .. }
                    | State::Stopping { .. }
                    | State::Ending { .. } => false,
                };
                if name.as_str() != typed && deleted_by_this {
                    self.breaks(|| format!("{name} is deleted though its name was not typed"));
                }
            }
            _ => {}
        }
    }
}
