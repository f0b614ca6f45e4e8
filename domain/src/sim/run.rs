//! One seed, one run: an evening in bad weather, the calm after it, and one more evening to see that every world can be
//! played again.

use std::time::Duration;

use super::{
    chance::Chance,
    clockwork::{MOST_STEPS, Of, Sim, Stage},
    fate,
    outside::{MINUTE, Outside, SECOND, Tally, Weather},
    people::{self, PEOPLE, Somebody, TIMERS},
    ports::{self, CALLS},
};
use crate::{
    commands::Command,
    effect,
    game::{self, Protocol},
    lifecycle::{NewWorld, create},
    ports::Store,
    settings::Chosen,
    talk,
    vault::{Care, Storage},
    world::*,
};

/// How long everything may take to come to rest once nothing fails any more: the longest that a world waits for a watchdog
/// that hangs is while it archives or fills.
const REST_WITHIN: u64 = 16 * 60 * MINUTE;

/// How long a wake may take in good weather.
const AWAKE_WITHIN: u64 = 12 * MINUTE;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Played {
    /// How many steps it took: polls of somebody who acts.
    pub steps: u64,
    /// How many port calls failed, or were somebody's last.
    pub faults: u64,
    /// How many tasks fate struck.
    pub strikes: u64,
    /// How many buttons were pressed.
    pub presses: u64,
    /// How many launches the runtime accepted.
    pub launches: u64,
    /// Which law was broken, if one was.
    pub broken: Option<String>,
    /// The law that held besides.
    pub also: Option<AlsoLaw>,
    /// Every choice that was made.
    pub choices: Vec<u32>,
    /// What happened, if it was to be told.
    pub story: Vec<String>,
}

/// A law besides the others, looked at for every record that is saved: it says what is wrong.
pub type AlsoLaw = fn(&World) -> Option<String>;

/// Whether the story is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Only what came of it.
    Brief,
    /// All of it.
    Story,
}

/// Plays the run of the seed.
pub fn play(seed: u64, telling: Telling) -> Played {
    played(Chance::of_seed(seed), telling, None, MOST_STEPS)
}

/// Plays the run of the seed with one law more.
pub fn play_with(seed: u64, also: AlsoLaw) -> Played {
    played(Chance::of_seed(seed), Telling::Brief, Some(also), MOST_STEPS)
}

/// Plays the run in which these choices are made, and the dullest ones after them.
pub fn replay(choices: Vec<u32>, telling: Telling) -> Played {
    played(Chance::again(choices), telling, None, MOST_STEPS)
}

/// Plays that run for so many steps at the most, and breaks one off that takes more.
pub(super) fn replay_within(choices: Vec<u32>, also: Option<AlsoLaw>, most: u64) -> Played {
    played(Chance::again(choices), Telling::Brief, also, most.min(MOST_STEPS))
}

fn played(chance: Chance, telling: Telling, also: Option<AlsoLaw>, most: u64) -> Played {
    let sim = Sim::new(Outside::new(chance, telling == Telling::Story));
    (sim.lock().clock.most, sim.lock().also) = (most, also);
    let mut stage = Stage::default();
    evening(&sim, &mut stage);
    // Everybody holds on to everything: let go, so that nothing stays.
    drop(stage);
    let driver = sim.lock().driver.take();
    drop(driver);
    let begun = std::mem::take(&mut sim.lock().clock);
    let mut o = sim.lock();
    let Tally { faults, strikes, presses } = o.tally;
    Played {
        steps: begun.steps,
        faults,
        strikes,
        presses,
        launches: o.tasks.len() as u64,
        broken: o.broken.take(),
        also,
        choices: std::mem::take(&mut o.chance.made),
        story: o.story.take().unwrap_or_default(),
    }
}

fn evening(sim: &Sim, stage: &mut Stage) {
    let driver = super::driver_of(sim, [game()]);
    sim.lock().driver = Some(driver);
    make_worlds(sim, stage);
    let long = sim.lock().chance.millis(50 * MINUTE, 200 * MINUTE);
    sim.begin(Of::All, u64::MAX, ports::sweeps(sim.clone()));
    sim.begin(Of::All, u64::MAX, fate::strikes(sim.clone()));
    sim.begin(Of::All, u64::MAX, fate::clocks(sim.clone()));
    sim.begin(Of::All, u64::MAX, fate::outages(sim.clone()));
    for who in PEOPLE {
        sim.begin(Of::All, u64::MAX, people::lives(sim.clone(), who));
    }
    let dusk = sim.now() + long;
    sim.run(stage, dusk, |_| false);
    {
        let mut o = sim.lock();
        o.say(|_| "the weather clears, and people go to bed".into());
        (o.weather, o.is_night, o.is_over, o.jumped) = (Weather::default(), true, true, [0; 3]);
        (o.out, o.in_reach_at) = ([0; CALLS], o.in_reach_at.min(o.clock.now));
    }
    rest(sim, stage);
    // Who looked at a clock that was wrong may still be about.
    let calm = sim.now() + 10 * MINUTE;
    sim.run(stage, calm, |_| false);
    let places = sim.lock().places.len();
    for place in 0..places {
        if sim.lock().broken.is_none() {
            another_evening(sim, stage, place);
        }
    }
}

fn make_worlds(sim: &Sim, stage: &mut Stage) {
    let weather = std::mem::take(&mut sim.lock().weather);
    for (n, (name, guild)) in
        [("alfheim", "g1"), ("midgard", "g1"), ("alfheim", "g2")].into_iter().enumerate()
    {
        let storage = if sim.lock().chance.one_in(3) { Storage::Archive } else { Storage::Directory };
        let Some(world) = new_world(n, name, guild, storage) else { continue };
        let own = sim.clone();
        sim.begin(Of::All, MINUTE, async move { _ = Store::create(&own, &world).await });
    }
    sim.run(stage, SECOND, |_| false);
    sim.lock().weather = weather;
}

fn new_world(n: usize, name: &str, guild: &str, storage: Storage) -> Option<World> {
    let new = NewWorld {
        id: WorldId::parse(&format!("{name}-{n}")).ok()?,
        guild: GuildId::parse(guild).ok()?,
        name: WorldName::parse(name).ok()?,
        game: game().id,
        timers: TIMERS,
        care: Care { storage, backup_every: Duration::from_secs(600), ..Care::DEFAULT },
        settings: Chosen::default(),
        port: None,
        place: talk::Place::parse("channel").ok(),
    };
    Some(create(new, Person::parse("ann").ok()?, super::outside::at(0)))
}

/// Waits until everything has come to rest, and sees that it is as it should be.
fn rest(sim: &Sim, stage: &mut Stage) {
    let until = sim.now() + REST_WITHIN;
    sim.run(stage, until, |o| o.rests());
    let mut o = sim.lock();
    if !o.rests() && o.broken.is_none() {
        let why = o.unrest();
        return o.breaks(|| format!("it does not come to rest: {why}"));
    }
    o.say(|_| "everything rests".into());
    for place in 0..o.places.len() {
        o.law_of_rest(place);
    }
}

/// Wakes the world, lets somebody play, and waits until it sleeps again.
fn another_evening(sim: &Sim, stage: &mut Stage, place: usize) {
    let Some((who, name, generation)) = ({
        let mut o = sim.lock();
        o.is_over = false;
        let record = &o.places[place].record;
        let is_there = record.state == State::Asleep;
        let who = PEOPLE.into_iter().find(|who| who.guild == record.guild.as_str());
        who.filter(|_| is_there).map(|who| (who, record.name.clone(), record.generation))
    }) else {
        return;
    };
    start(sim, who, name);
    let until = sim.now() + AWAKE_WITHIN;
    let is_awake = move |o: &mut Outside| {
        let record = &o.places[place].record;
        record.generation > generation && record.awake().is_some()
    };
    sim.run(stage, until, is_awake);
    {
        let mut o = sim.lock();
        if !is_awake(&mut o) {
            let what = o.unrest();
            return o.breaks(|| format!("a world does not wake in good weather: {what}"));
        }
    }
    let later = sim.now() + 6 * MINUTE;
    sim.run(stage, later, |_| false);
    sim.lock().is_over = true;
    rest(sim, stage);
    let mut o = sim.lock();
    let record = &o.places[place].record;
    let is_well = record.last.as_ref().is_some_and(|last| matches!(last.outcome, Outcome::Slept(..)));
    if !is_well {
        let what = format!("{:?}", record.last);
        o.breaks(|| format!("an evening in good weather does not end well: {what}"));
    }
}

fn start(sim: &Sim, who: Somebody, name: WorldName) {
    let own = sim.clone();
    sim.begin(Of::All, MINUTE, async move {
        people::press(&own, &who, Command::Start(name)).await;
    });
}

impl Outside {
    fn rests(&self) -> bool {
        self.places.iter().all(|place| rests(&place.record)) && self.tasks.iter().all(|t| t.gone.is_some())
    }

    fn unrest(&self) -> String {
        let worlds = self.places.iter().filter(|place| !rests(&place.record));
        let worlds = worlds.map(|place| format!("{} is {:?}", place.id, place.record.state));
        let tasks = self.tasks.iter().filter(|task| task.gone.is_none());
        worlds.chain(tasks.map(|task| format!("task {} is there", task.id))).collect::<Vec<_>>().join("; ")
    }

    /// What must be so when everything rests.
    fn law_of_rest(&mut self, place: usize) {
        let of = &self.places[place];
        let (id, record) = (of.id.clone(), of.record.clone());
        if of.start_due.is_some_and(|due| record.generation < due) {
            return self.breaks(|| format!("somebody's start of {id} was answered and never done"));
        }
        self.law_of_reading(place);
    }
}

/// Tells whether nothing more is to be done about the world, but for the last archive of a deleted one, which stays for
/// its time.
fn rests(world: &World) -> bool {
    match &world.state {
        State::Deleted { .. } => {
            let told = effect::notice(world).map(|notice| effect::told(world, &notice));
            world.vault.litter.is_empty() && world.talk.told == told
        }
        State::Asleep
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { .. }
        | State::Deleting { .. } => effect::is_settled(world),
    }
}

fn game() -> game::Game {
    let id = "sim-game";
    game::Game {
        #[expect(clippy::unwrap_used, reason = "it is a game id as it stands there")]
        id: GameId::parse(id).unwrap(),
        name: "Simulated".into(),
        image: "none".into(),
        architectures: vec!["amd64".into()],
        cpu: 1024,
        memory_mib: 1024,
        ports: vec![game::Port { name: "game".into(), number: 2456, protocol: Protocol::Udp }],
        save: game::Save { paths: vec!["save".into()], exclude: vec![] },
        import: None,
        stop: game::Stop { signal: game::Signal::Int, grace: Duration::from_secs(60) },
        ready: game::Ready { typical: Duration::from_secs(60), limit: Duration::from_secs(600) },
        timers: TIMERS,
        players: game::Players::default(),
        query: None,
        console: None,
        settings: Vec::new(),
        scripts: None,
    }
}
