//! What a watchdog has to say and what it was told: its cumulative report, sent from a thread of its own, as
//! `watchdog::control` does it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::{
    clockwork::Sim,
    outside::{SECOND, since},
    ports::{Call, DOOR_LIMIT},
};
use crate::{
    attendance::Attendance,
    driver::Driver,
    effect::Orders,
    event::Event,
    idle::Evidence,
    world::{Address, Archive, ArchiveId, Generation, Proof, StopWhy, TaskId, WorldId},
};

/// How often a watchdog reports when there is nothing new.
const EVERY: u64 = 20 * SECOND;

/// How long one report may take.
const REPORT_LIMIT: u64 = 10 * SECOND;

/// All that has happened in a launch.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Report {
    pub(super) claimed: bool,
    pub(super) filled: Option<String>,
    pub(super) fill_failed: Option<String>,
    pub(super) ready: bool,
    pub(super) start_failed: Option<String>,
    pub(super) seen: Option<(Evidence, Option<u64>)>,
    pub(super) attendance: Attendance,
    pub(super) backup: Option<(Timestamp, Result<Archive, String>)>,
    pub(super) stopping: Option<StopWhy>,
    pub(super) saved: Option<Proof>,
    pub(super) unchanged: Option<ArchiveId>,
    pub(super) uploaded: Option<Archive>,
    pub(super) archive_failed: Option<String>,
}

impl Report {
    /// Returns the events that the control plane makes of it, in its order (`adapters::report`).
    fn events(self, generation: Generation, task: TaskId, now: Timestamp) -> Vec<Event> {
        let address = Address { host: "203.0.113.7".into(), port: 2456 };
        let seen = self.seen.map(|(players, left)| {
            let stops_at = left.map(|left| now + std::time::Duration::from_millis(left));
            Event::Seen { generation, players, stops_at }
        });
        let backup = self.backup.map(|(wish, made)| match made {
            Ok(archive) => Event::BackedUp { generation, wish, archive },
            Err(why) => Event::BackupFailed { generation, wish, why },
        });
        let attended = (!self.attendance.is_empty()).then_some(Event::Attended {
            generation,
            attendance: self.attendance,
            sources: vec![],
        });
        let events = [
            Some(Event::Heard { generation, task: task.clone() }),
            self.claimed.then_some(Event::Claimed { generation, task }),
            self.filled.map(|found| Event::Filled { generation, found }),
            self.fill_failed.map(|why| Event::FillFailed { generation, why }),
            self.ready.then_some(Event::Ready { generation, address }),
            self.start_failed.map(|why| Event::StartFailed { generation, why }),
            seen,
            attended,
            backup,
            self.stopping.map(|why| Event::StopBegan { generation, why }),
            self.saved.map(|proof| Event::Saved { generation, proof }),
            self.unchanged.map(|archive| Event::Unchanged { generation, archive }),
            self.uploaded.map(|archive| Event::Uploaded { generation, archive }),
            self.archive_failed.map(|why| Event::ArchiveFailed { generation, why }),
        ];
        events.into_iter().flatten().collect()
    }
}

/// Where report and orders lie.
#[derive(Debug, Clone, Default)]
pub(super) struct Desk(Arc<Mutex<Tray>>);

#[derive(Debug, Default)]
pub(super) struct Tray {
    pub(super) report: Report,
    pub(super) is_new: bool,
    pub(super) said: u64,
    pub(super) heard: u64,
    pub(super) orders: Option<Orders>,
    pub(super) keep_until: u64,
}

impl Desk {
    pub(super) fn lock(&self) -> MutexGuard<'_, Tray> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn orders(&self) -> Option<Orders> {
        self.lock().orders.clone()
    }

    pub(super) fn is_heard(&self) -> bool {
        let tray = self.lock();
        tray.heard >= tray.said
    }

    /// Changes the report, which is sent at once if that makes it another one.
    pub(super) fn update(&self, sim: &Sim, task: usize, change: impl FnOnce(&mut Report)) {
        let mut tray = self.lock();
        let before = tray.report.clone();
        change(&mut tray.report);
        if tray.report != before {
            (tray.is_new, tray.said) = (true, tray.said + 1);
            drop(tray);
            sim.lock().rouse(task);
        }
    }

    /// Reports at once and waits a moment for the answer.
    pub(super) async fn ask(&self, sim: &Sim, task: usize) -> bool {
        {
            let mut tray = self.lock();
            (tray.is_new, tray.said) = (true, tray.said + 1);
        }
        sim.lock().rouse(task);
        let desk = self.clone();
        sim.wait(3 * SECOND, move |_| desk.is_heard()).await;
        self.is_heard()
    }
}

/// Sends the report for as long as the watchdog lives.
pub(super) async fn reports(sim: Sim, task: usize, desk: Desk) {
    {
        let mut o = sim.lock();
        let me = o.clock.current;
        o.tasks[task].watchers.push(me);
    }
    let mut wait = SECOND;
    loop {
        let (report, said) = {
            let mut tray = desk.lock();
            tray.is_new = false;
            (tray.report.clone(), tray.said)
        };
        let pause = match send(&sim, task, report).await {
            Some((orders, kept)) => {
                let now = sim.now();
                let mut tray = desk.lock();
                tray.heard = said;
                if let Orders::Run { .. } = &orders {
                    tray.keep_until = now + kept;
                }
                tray.orders = Some(orders);
                drop(tray);
                let mut o = sim.lock();
                let of = &mut o.tasks[task];
                // Until the game is ready nobody is thrown out.
                let silence = if of.game.is_some() { now - of.heard_at } else { 0 };
                (of.heard_at, of.longest_silence) = (now, of.longest_silence.max(silence));
                o.rouse(task);
                drop(o);
                wait = SECOND;
                EVERY
            }
            None => {
                let pause = wait;
                wait = (wait * 2).min(10 * SECOND);
                desk.lock().is_new = false;
                pause
            }
        };
        let tray = desk.clone();
        sim.wait(pause, move |_| tray.lock().is_new).await;
    }
}

/// Sends one report over the network and returns the orders, with how long the world is kept awake.
async fn send(sim: &Sim, task: usize, report: Report) -> Option<(Orders, u64)> {
    let Some(Door { driver, now, world, generation }) = door_for(sim, task) else {
        sim.sleep(REPORT_LIMIT).await;
        return None;
    };
    let id = sim.lock().tasks[task].id.clone();
    let events = report.events(generation, id, now);
    let report = async move { driver.report(&world, generation, &events, now).await.ok() };
    let orders = sim.ask(REPORT_LIMIT, DOOR_LIMIT, report).await??;
    if !reaches(sim, task) {
        return None;
    }
    let kept = match &orders {
        Orders::Run { keep_until: Some(until), .. } => since(*until).saturating_sub(since(now)),
        Orders::Run { .. }
        | Orders::Fill
        | Orders::Stop(_)
        | Orders::UploadAgain(_)
        | Orders::End(_)
        | Orders::Abandon => 0,
    };
    Some((orders, kept))
}

/// The front door as a task comes to it.
pub(super) struct Door {
    pub(super) driver: Driver,
    /// The time by the clock of whoever answers.
    pub(super) now: Timestamp,
    pub(super) world: WorldId,
    pub(super) generation: Generation,
}

/// Returns the front door, if the task reaches it.
pub(super) fn door_for(sim: &Sim, task: usize) -> Option<Door> {
    if !reaches(sim, task) {
        return None;
    }
    let mut o = sim.lock();
    let (now, driver) = (o.some_clock(), o.driver.clone()?);
    let order = &o.tasks[task].order;
    Some(Door { driver, now, world: order.world.clone(), generation: order.generation })
}

/// Tells whether something that the task sends, or is sent, arrives.
fn reaches(sim: &Sim, task: usize) -> bool {
    let mut o = sim.lock();
    let rate = o.weather.network;
    let cut_until = o.tasks[task].cut_until.max(o.out[Call::Network as usize]);
    o.clock.now >= cut_until && !o.chance.one_in(rate)
}
