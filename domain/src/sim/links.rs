//! The links that people were given: each leads to a whole archive until it expires, is withdrawn, or its world is deleted.

use super::{
    clockwork::{Of, Sim},
    outside::{MINUTE, Outside, since},
    ports,
};
use crate::{
    commands::{self, export::Withdraw},
    driver::Download,
    vault::LinkOf,
    world::{LinkId, State, World, WorldId},
};

/// A link that somebody was given.
#[derive(Debug)]
pub(super) struct Given {
    place: usize,
    id: LinkId,
    expires: u64,
    given_at: u64,
    /// What the world's directory held when it was asked for, unless it was asked for an archive that there was.
    held: u64,
    is_withdrawn: bool,
}

impl Sim {
    /// Follows the link now and then until it has expired.
    pub(super) async fn follow(self, world: WorldId, link: LinkId, expires: u64) {
        while self.now() < expires {
            let (wait, driver) = {
                let mut o = self.lock();
                (o.chance.millis(MINUTE, 40 * MINUTE), o.driver.clone())
            };
            self.sleep(wait).await;
            let (Some(driver), now) = (driver, self.lock().some_clock()) else { return };
            let (id, of) = (link.clone(), world.clone());
            let asked = async move { driver.download(&of, &id, now).await };
            let found = self.ask(ports::DOOR_LIMIT, ports::DOOR_LIMIT, asked).await;
            if let Some(Ok(found)) = found {
                self.lock().law_of_downloads(&world, &link, &found);
            }
        }
    }
}

impl Outside {
    /// Somebody was given the link, for which they asked when the worlds' directories held `held`.
    pub(super) fn is_given(&mut self, sim: &Sim, link: &commands::export::Link, held: &[u64]) {
        let Some(world) = link.url.strip_prefix("sim://").and_then(|path| path.split('/').next()) else {
            return;
        };
        let Some(place) = self.places.iter().position(|place| place.id.as_str() == world) else { return };
        let (id, expires, given_at) = (link.id.clone(), since(link.expires), self.clock.now);
        // Somebody else may have withdrawn it while it was on its way.
        let is_withdrawn = self.places[place].withdrawn.is_some_and(|at| given_at < at + MINUTE);
        // What was put in its place meanwhile may be older.
        let held = held.get(place).copied().filter(|held| *held > self.places[place].dir.filled);
        // Until its task has ended there is the newest archive to be had, and people are told so.
        let held = held.filter(|_| !is_passing(&self.places[place].record)).unwrap_or(0);
        self.links.push(Given { place, id: id.clone(), expires, given_at, held, is_withdrawn });
        let following = sim.clone().follow(self.places[place].id.clone(), id, expires);
        self.clock.begin(Of::All, u64::MAX, Box::pin(following));
    }

    /// Somebody wants links of the world to work no more.
    pub(super) fn withdraws(&mut self, place: usize, wanted: &Withdraw) {
        self.places[place].withdrawn = Some(self.clock.now);
        let is_meant = |given: &&mut Given| {
            given.place == place && wanted.link.as_ref().is_none_or(|link| *link == given.id)
        };
        self.links.iter_mut().filter(is_meant).for_each(|given| given.is_withdrawn = true);
    }

    /// A record takes the place of another one: every link in it that was given leads to a whole archive, or to one that is
    /// being made.
    pub(super) fn law_of_links(&mut self, place: usize, next: &World) {
        for number in 0..self.links.len() {
            if self.links[number].place == place && self.holds(number) && !is_deleted(next) {
                self.law_of_link(number, next);
            }
        }
    }

    fn law_of_link(&mut self, number: usize, next: &World) {
        let Given { place, id, held, .. } = &self.links[number];
        let world = &self.places[*place].id;
        let law = match next.vault.link(id).map(|link| &link.of) {
            None => format!("the link {id} of {world} was given and is forgotten"),
            Some(LinkOf::Archive(archive)) => {
                let stored = self.archive(*place, archive).filter(|stored| stored.is_whole);
                match stored.filter(|_| next.vault.find(archive).is_some()) {
                    Some(stored) if stored.content >= *held => return,
                    Some(stored) => format!(
                        "the link {id} of {world} leads to {}, and {held} was there when it was asked for",
                        stored.content
                    ),
                    None => format!("the link {id} of {world} leads to archive {archive}, which is not kept"),
                }
            }
            Some(LinkOf::Next | LinkOf::AfterNext) if next.state == State::Asleep => {
                format!("the link {id} of {world} leads to an archive that nobody makes")
            }
            Some(LinkOf::Next | LinkOf::AfterNext | LinkOf::Nothing(_)) => return,
        };
        self.breaks(|| law);
    }

    /// Somebody has followed the link.
    fn law_of_downloads(&mut self, world: &WorldId, link: &LinkId, found: &Download) {
        let Some(number) = self.links.iter().position(|given| given.id == *link) else { return };
        let place = self.links[number].place;
        if !self.holds(number) || is_deleted(&self.places[place].record) {
            return;
        }
        let is_so = match found {
            Download::At(to) => {
                let archive = to.url.strip_prefix("sim://").unwrap_or_default();
                self.archives.iter().any(|a| a.place == place && a.id.as_str() == archive && a.is_whole)
            }
            Download::NotYet | Download::Nothing(_) => true,
            Download::Gone => false,
        };
        if !is_so {
            self.breaks(|| format!("the link {link} of {world} was followed and leads to {found:?}"));
        }
    }

    /// Tells whether the link must work.
    fn holds(&self, number: usize) -> bool {
        let Given { expires, given_at, is_withdrawn, .. } = &self.links[number];
        let (now, clocks) = (self.clock.now, self.clocks());
        !is_withdrawn && now + clocks < *expires && now >= *given_at
    }
}

fn is_passing(world: &World) -> bool {
    match &world.state {
        State::Starting { .. } | State::Ending { .. } => true,
        State::Asleep
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Deleting { .. }
        | State::Deleted { .. } => false,
    }
}

fn is_deleted(world: &World) -> bool {
    match &world.state {
        State::Deleting { .. } | State::Deleted { .. } => true,
        State::Asleep
        | State::Starting { .. }
        | State::Awake { .. }
        | State::Stopping { .. }
        | State::Ending { .. } => false,
    }
}
