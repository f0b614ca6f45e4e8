//! The watchdog as a model, step by step what `watchdog::run` does: the lock, the claim, the game, the watch, the save, the
//! archive. What it decides about idleness is the real [`Watch`] and [`combine`].

use super::{
    clockwork::{Of, Sim},
    desk::{Desk, reports},
    fate,
    outside::{Game, MINUTE, Outside, SECOND},
};
use crate::{
    effect::Orders,
    event::Gone,
    game::{Count, Protocol},
    idle::{Answering, Evidence, Held, Listening, Sample, Sighting, Source, Verdict, Watch, combine},
    ports::Directory,
    world::{Proof, StopWhy},
};

const LOCK_LIMIT: u64 = 150 * SECOND;
const HEARD_LIMIT: u64 = 10 * MINUTE;
const READY_LIMIT: u64 = 10 * MINUTE;
const TERM_LIMIT: u64 = 110 * SECOND;
pub(super) const LAST_WORD_LIMIT: u64 = 20 * SECOND;
pub(super) const GRACE: u64 = MINUTE;
const SAMPLE_EVERY: u64 = 10 * SECOND;

/// Why the awake part is over.
#[derive(Debug, Clone)]
pub(super) enum Leave {
    Stop(StopWhy),
    Abandon,
}

pub(super) struct Watchdog {
    pub(super) sim: Sim,
    pub(super) task: usize,
    pub(super) place: usize,
    pub(super) desk: Desk,
    pub(super) end_by: Option<u64>,
    was_ready: bool,
    looked_at: u64,
    seeing_since: Option<u64>,
    pub(super) last_wish: Option<jiff::Timestamp>,
}

/// Lives the life of the task.
pub(super) async fn watchdog(sim: Sim, task: usize) {
    let (place, now) = {
        let mut o = sim.lock();
        let me = o.clock.current;
        o.tasks[task].watchers.push(me);
        (o.tasks[task].place, o.clock.now)
    };
    let desk = Desk::default();
    sim.begin(Of::Task(task), u64::MAX, reports(sim.clone(), task, desk.clone()));
    let mut own = Watchdog {
        sim: sim.clone(),
        task,
        place,
        desk,
        end_by: None,
        was_ready: false,
        looked_at: now,
        seeing_since: None,
        last_wish: None,
    };
    let lived = own.live().await;
    let how = lived.map_or_else(Gone::Crashed, |()| Gone::Exited);
    sim.lock().end_task(task, how);
}

impl Watchdog {
    async fn live(&mut self) -> Result<(), String> {
        let done = self.start_and_stay().await;
        if let (Err(why), false) = (&done, self.was_ready) {
            let why = why.clone();
            self.say(|report| report.start_failed = Some(why));
            self.wait_for_the_end(LAST_WORD_LIMIT).await;
        }
        done
    }

    async fn start_and_stay(&mut self) -> Result<(), String> {
        if !self.take_world().await? {
            return Ok(());
        }
        let done = match self.start().await {
            Ok(true) => self.stay().await,
            Ok(false) => Ok(()),
            Err(why) => Err(why),
        };
        self.clear_if_told();
        done
    }

    async fn take_world(&mut self) -> Result<bool, String> {
        let deadline = self.sim.now() + LOCK_LIMIT;
        loop {
            {
                let mut o = self.sim.lock();
                let must = o.tasks[self.task].order.directory;
                let dir = &mut o.places[self.place].dir;
                if must == Directory::MustExist && !dir.is_made {
                    return Err("this is not the world's directory".into());
                }
                dir.is_made = true;
                if dir.holder.is_none() {
                    dir.holder = Some(self.task);
                    o.say(|o| format!("{} has the lock", o.tasks[self.task].id));
                    return Ok(true);
                }
            }
            if self.sim.now() >= deadline {
                return Err("the world's directory is in use by another task".into());
            }
            if self.leaving().is_some() {
                return Ok(false);
            }
            self.sim.sleep(3 * SECOND).await;
        }
    }

    /// Has the game start; not if the launch was called off first, or is an errand.
    async fn start(&mut self) -> Result<bool, String> {
        self.say(|report| report.claimed = true);
        loop {
            if let Some(leave) = self.wait_until_heard().await? {
                self.leave_unplayed(leave).await?;
                return Ok(false);
            }
            if self.desk.orders() != Some(Orders::Fill) {
                break;
            }
            self.fill().await?;
        }
        let mut o = self.sim.lock();
        o.law_of_opening(self.place);
        let memory = o.places[self.place].dir.content;
        o.places[self.place].dir.open.push(self.task);
        let rate = o.weather.runtime;
        let ignores_signal = rate > 0 && o.chance.one_in(rate);
        o.tasks[self.task].game = Some(Game { memory, ignores_signal, ..Game::default() });
        Ok(true)
    }

    pub(super) async fn wait_until_heard(&mut self) -> Result<Option<Leave>, String> {
        let deadline = self.sim.now() + HEARD_LIMIT;
        while !self.desk.is_heard() {
            if self.sim.now() >= deadline {
                return Err("the control plane does not answer".into());
            }
            if let Some(leave) = self.leaving() {
                return Ok(Some(leave));
            }
            self.glance(deadline, |desk| desk.is_heard()).await;
        }
        Ok(self.leaving())
    }

    /// Ends a launch in which the game never ran: what is there is what was there.
    async fn leave_unplayed(&mut self, leave: Leave) -> Result<(), String> {
        let orders = self.desk.orders();
        match (leave, orders) {
            (Leave::Stop(_), Some(Orders::Fill) | None) => {
                Err("the host ended the task before the world was there".into())
            }
            (Leave::Stop(_), Some(Orders::End(_))) | (Leave::Abandon, _) => Ok(()),
            (
                Leave::Stop(why),
                Some(Orders::Run { .. } | Orders::Stop(_) | Orders::UploadAgain(_) | Orders::Abandon),
            ) => {
                self.say(|report| {
                    (report.stopping, report.saved) = (Some(why), Some(Proof::Untouched));
                });
                self.archive().await?;
                if self.desk.orders() == Some(Orders::Fill) {
                    self.fill().await?;
                    self.wait_until_heard().await?;
                    self.wait_for_the_end(LAST_WORD_LIMIT).await;
                }
                Ok(())
            }
        }
    }

    async fn stay(&mut self) -> Result<(), String> {
        let leave = match self.wait_until_ready().await {
            Ok(Some(leave)) => leave,
            Ok(None) => self.watch().await,
            Err(why) => {
                self.close_game();
                return Err(why);
            }
        };
        if let Leave::Stop(why) = &leave {
            let why = why.clone();
            self.say(|report| (report.seen, report.stopping) = (None, Some(why)));
        }
        let proof = self.stop(&leave).await;
        match leave {
            Leave::Abandon => Ok(()),
            Leave::Stop(_) => {
                self.say(|report| report.saved = Some(proof));
                self.archive().await
            }
        }
    }

    async fn wait_until_ready(&mut self) -> Result<Option<Leave>, String> {
        let (ready_at, deadline) = {
            let mut o = self.sim.lock();
            let rate = o.weather.runtime;
            let takes = o.chance.millis(10 * SECOND, 90 * SECOND);
            let takes = if rate > 0 && o.chance.one_in(rate) { u64::MAX / 2 } else { takes };
            (o.clock.now + takes, o.clock.now + READY_LIMIT)
        };
        loop {
            if self.has_ended() {
                return Err("the game ended before it was ready".into());
            }
            if let Some(leave) = self.leaving() {
                return Ok(Some(leave));
            }
            let now = self.sim.now();
            if now >= deadline {
                return Ok(Some(Leave::Stop(StopWhy::NeverReady)));
            }
            if now >= ready_at {
                break;
            }
            self.glance(ready_at.min(deadline), |_| false).await;
        }
        {
            let mut o = self.sim.lock();
            let (now, new) = (o.clock.now, o.new_content());
            if let Some(game) = &mut o.tasks[self.task].game {
                game.ready_at = Some(now);
                if game.memory == 0 {
                    // A new world is written when it is made.
                    game.memory = new;
                    o.places[self.place].dir.content = new;
                }
            }
            let players = fate::players(self.sim.clone(), self.task);
            o.clock.begin(Of::All, u64::MAX, Box::pin(players));
        }
        self.was_ready = true;
        self.say(|report| report.ready = true);
        Ok(None)
    }

    async fn watch(&mut self) -> Leave {
        let (ready, timers) = {
            let o = self.sim.lock();
            (o.clock.now, o.tasks[self.task].order.timers)
        };
        let mut watch = Watch::default();
        loop {
            let (players, listening, now) = self.look();
            let held = if self.desk.lock().keep_until > now { Held::Yes } else { Held::No };
            let at = std::time::Duration::from_millis(now - ready);
            // The game is not asked, and shows nobody's moves.
            let (still_for, answering) = (None, Answering::Unknown);
            let sample = Sample { at, players: players.clone(), still_for, listening, answering, held };
            let verdict = watch.sample(&sample, &timers);
            self.desk.lock().report.attendance.note(at, &players);
            self.tell(&players, &verdict);
            match verdict {
                Verdict::Stop(why @ (StopWhy::LastLeft | StopWhy::NeverJoined)) => {
                    let asked = self.desk.ask(&self.sim, self.task).await;
                    let is_kept = self.desk.lock().keep_until > self.sim.now();
                    if !(asked && is_kept || self.look().0 != Evidence::Empty) {
                        self.sim.lock().law_of_idleness(self.task, &why, asked);
                        return Leave::Stop(why);
                    }
                }
                Verdict::Stop(why) => return Leave::Stop(why),
                Verdict::Keep | Verdict::Warn { .. } => {}
            }
            let next = self.sim.now() + SAMPLE_EVERY;
            while self.sim.now() < next {
                if self.has_ended() {
                    return Leave::Stop(StopWhy::GameEnded("it crashed".into()));
                }
                if let Some(leave) = self.leaving() {
                    return leave;
                }
                self.tend_backup();
                self.glance(next, |_| false).await;
            }
        }
    }

    /// Looks at who is on.
    fn look(&mut self) -> (Evidence, Listening, u64) {
        let mut o = self.sim.lock();
        let now = o.clock.now;
        // What was not watched was not seen. Connections are there to be looked at all the same.
        let (has_connections, is_dark) = (self.task.is_multiple_of(3), !self.task.is_multiple_of(2));
        if now > self.looked_at + 15 * SECOND && !has_connections {
            self.seeing_since = Some(now);
        }
        self.looked_at = now;
        let blind = o.weather.blind;
        let blind = o.chance.one_in(blind);
        let Some(game) = &o.tasks[self.task].game else {
            return (Evidence::Unknown("no game".into()), Listening::Unknown, now);
        };
        let is_early = self.seeing_since.is_some_and(|since| now < since + 30 * SECOND);
        let unknown = |why: &str| Evidence::Unknown(why.into());
        let count = Evidence::count(game.players);
        let peers = if blind || (is_early && game.players == 0) { unknown("not seen") } else { count };
        let rate = if game.players > 0 && !(blind && is_dark) {
            Evidence::Players(1)
        } else {
            unknown("not counted")
        };
        let sighting = |source, evidence| Sighting { source, protocol: Protocol::Udp, evidence };
        let sightings = [sighting(Source::PacketPeers, peers), sighting(Source::DatagramRate, rate)];
        let listening = if game.is_deaf { Listening::No } else { Listening::Yes };
        let seen = combine(&[Protocol::Udp], Count::Partial, &sightings);
        if let (Evidence::Players(_), Some(game)) = (&seen, &mut o.tasks[self.task].game) {
            game.was_seen = true;
        }
        (seen, listening, now)
    }

    fn tell(&self, players: &Evidence, verdict: &Verdict) {
        let left = match verdict {
            Verdict::Warn { left, .. } => Some(u64::try_from(left.as_millis()).unwrap_or(0)),
            Verdict::Stop(_) => Some(0),
            Verdict::Keep => None,
        };
        let seen = Some((players.clone(), left));
        let is_news = self
            .desk
            .lock()
            .report
            .seen
            .as_ref()
            .is_none_or(|(before, was_left)| before != players || was_left.is_some() != left.is_some());
        if is_news {
            self.say(|report| report.seen = seen);
        } else {
            self.desk.lock().report.seen = seen;
        }
    }

    /// Stops the game and judges its save.
    async fn stop(&mut self, leave: &Leave) -> Proof {
        let takes = {
            let mut o = self.sim.lock();
            o.say(|o| format!("the watchdog of {} stops its game: {leave:?}", o.tasks[self.task].id));
            o.players_go(self.task, &format!("{leave:?}"));
            let takes = o.chance.millis(SECOND, 40 * SECOND);
            let Some(game) = &mut o.tasks[self.task].game else { return Proof::Missing("no game".into()) };
            game.is_stopping = true;
            if game.has_ended { None } else { Some(if game.ignores_signal { GRACE } else { takes }) }
        };
        let Some(takes) = takes else {
            self.close_game();
            return Proof::Missing("the game ended by itself".into());
        };
        let (now, done) = (self.sim.now(), self.sim.now() + takes);
        while self.sim.now() < done && self.end_by.is_none_or(|by| self.sim.now() < by) {
            let _ = self.leaving();
            let until = self.end_by.map_or(done, |by| by.min(done)).max(now + 1);
            self.glance(until, |_| false).await;
        }
        let proof = {
            let mut o = self.sim.lock();
            let was_in_time = o.clock.now >= done;
            let Some(game) = &o.tasks[self.task].game else { return Proof::Missing("no game".into()) };
            let (memory, was_played) = (game.memory, game.was_played);
            if was_in_time && !game.ignores_signal && !game.has_ended {
                o.places[self.place].dir.content = memory;
                if was_played { Proof::Fresh } else { Proof::Untouched }
            } else {
                Proof::Missing("the game did not end in time and had to be killed".into())
            }
        };
        self.close_game();
        proof
    }

    fn close_game(&self) {
        let mut o = self.sim.lock();
        let task = self.task;
        o.players_go(task, "the game is killed");
        o.places[self.place].dir.open.retain(|open| *open != task);
        o.tasks[task].game = None;
    }

    fn has_ended(&self) -> bool {
        self.sim.lock().tasks[self.task].game.as_ref().is_none_or(|game| game.has_ended)
    }

    /// Returns why the task should leave, if the host or the control plane wants it to.
    pub(super) fn leaving(&mut self) -> Option<Leave> {
        let (now, is_told) = {
            let o = self.sim.lock();
            (o.clock.now, o.tasks[self.task].sigterm.is_some())
        };
        if is_told {
            self.end_by.get_or_insert(now + TERM_LIMIT);
        }
        match self.desk.orders() {
            // The control plane that told it has its own reason on record.
            Some(Orders::Stop(_) | Orders::End(_)) => Some(Leave::Stop(StopWhy::Reclaimed)),
            Some(Orders::Abandon) => Some(Leave::Abandon),
            Some(Orders::Run { .. } | Orders::Fill | Orders::UploadAgain(_)) | None => {
                self.end_by.map(|_| Leave::Stop(StopWhy::Reclaimed))
            }
        }
    }

    /// Waits until that time, or until something changes that may be of interest.
    pub(super) async fn glance(&self, until: u64, is_over: impl Fn(&Desk) -> bool + Send + Unpin) {
        let (orders, desk, task) = (self.desk.orders(), self.desk.clone(), self.task);
        let had = (self.end_by.is_some(), self.has_ended());
        let millis = until.saturating_sub(self.sim.now()).max(1);
        let has_changed = move |o: &mut Outside| {
            let of = &o.tasks[task];
            let has_ended = of.game.as_ref().is_none_or(|game| game.has_ended);
            (of.sigterm.is_some(), has_ended) != had || desk.orders() != orders || is_over(&desk)
        };
        self.sim.wait(millis, has_changed).await;
    }

    pub(super) async fn wait_for_the_end(&mut self, limit: u64) {
        let deadline = self.sim.now() + limit;
        while self.sim.now() < deadline
            && !matches!(self.desk.orders(), Some(Orders::End(_) | Orders::Abandon))
        {
            let _ = self.leaving();
            self.glance(deadline, |_| false).await;
        }
    }

    pub(super) fn say(&self, change: impl FnOnce(&mut super::desk::Report)) {
        self.desk.update(&self.sim, self.task, change);
    }
}
