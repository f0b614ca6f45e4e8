//! The executor: one thread, manual time, and actors that are futures. Each poll is a step of the simulation; which actor
//! is next follows from the times that they wait for.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::outside::Outside;

/// The most steps of a run: an evening takes some ten thousand.
pub(super) const MOST_STEPS: u64 = 200_000;

/// Somebody who acts.
pub(super) type Actor = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whom an actor belongs to: the control plane, people and fate, or the task of that number, with which it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    All,
    Task(usize),
}

/// What actors wait for and begin.
#[derive(Default)]
pub(super) struct Clock {
    /// Milliseconds since the beginning.
    pub(super) now: u64,
    /// The polls so far.
    pub(super) steps: u64,
    /// How many there may be.
    pub(super) most: u64,
    pub(super) current: usize,
    woken: u64,
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    begun: Vec<(usize, Of, u64, Actor)>,
    actors: usize,
    /// The actor that is being polled has died.
    died: bool,
}

impl Clock {
    /// Lets the actor be polled at `when`.
    pub(super) fn wake(&mut self, actor: usize, when: u64) {
        self.woken += 1;
        self.heap.push(Reverse((when.max(self.now), self.woken, actor)));
    }

    /// Begins an actor, which is ended after `most` milliseconds.
    pub(super) fn begin(&mut self, of: Of, most: u64, actor: Actor) {
        let (id, ends) = (self.actors, self.now.saturating_add(most));
        self.actors += 1;
        self.begun.push((id, of, ends, actor));
        self.wake(id, self.now);
    }
}

/// The whole: shared by all actors and ports, used by one thread.
#[derive(Clone)]
pub(super) struct Sim(Arc<Mutex<Outside>>);

impl Sim {
    pub(super) fn new(outside: Outside) -> Self {
        Self(Arc::new(Mutex::new(outside)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Outside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> u64 {
        self.lock().clock.now
    }

    pub(super) fn begin(&self, of: Of, most: u64, actor: impl Future<Output = ()> + Send + 'static) {
        self.lock().clock.begin(of, most, Box::pin(actor));
    }

    /// Waits so many milliseconds.
    pub(super) async fn sleep(&self, millis: u64) {
        Wait { sim: self, until: None, millis, is_over: |_: &mut Outside| false }.await;
    }

    /// Waits until `is_over`, which is looked at whenever the actor is woken, or for so many milliseconds.
    pub(super) async fn wait(&self, millis: u64, is_over: impl FnMut(&mut Outside) -> bool + Send + Unpin) {
        Wait { sim: self, until: None, millis, is_over }.await;
    }

    /// Never comes back: whoever waits here is dead.
    pub(super) async fn die(&self) {
        {
            let mut outside = self.lock();
            let now = outside.clock.now;
            outside.clock.died = true;
            outside.deaths.push(now);
        }
        std::future::pending().await
    }

    /// Lets `work` be done by somebody else, for `most` milliseconds at the most, and returns what came of it, or nothing
    /// if that died or took longer than `patience`. Then it may still go on.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        patience: u64,
        most: u64,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let desk: Arc<Mutex<(Option<T>, bool)>> = Arc::new(Mutex::new((None, false)));
        let asker = self.lock().clock.current;
        let answer = Answer { sim: self.clone(), asker, desk: Arc::clone(&desk) };
        self.begin(Of::All, most, async move {
            let found = work.await;
            lock(&answer.desk).0 = Some(found);
        });
        let waited = Arc::clone(&desk);
        self.wait(patience, move |_| lock(&waited).1).await;
        lock(&desk).0.take()
    }

    /// Runs until `until`, or until something is broken or `is_over`, which is looked at once in a minute.
    pub(super) fn run(&self, stage: &mut Stage, until: u64, mut is_over: impl FnMut(&mut Outside) -> bool) {
        let mut look = self.now() + 60_000;
        loop {
            let next = {
                let mut outside = self.lock();
                if outside.broken.is_some() {
                    return;
                }
                for (id, of, ends, actor) in std::mem::take(&mut outside.clock.begun) {
                    if stage.actors.len() <= id {
                        stage.actors.resize_with(id + 1, || None);
                    }
                    stage.actors[id] = Some((of, ends, actor));
                }
                match outside.clock.heap.peek() {
                    Some(Reverse((when, ..))) if *when <= until => {}
                    Some(_) | None => {
                        outside.clock.now = until;
                        return;
                    }
                }
                let Some(Reverse((when, _, actor))) = outside.clock.heap.pop() else { return };
                outside.clock.now = when;
                if when >= look {
                    look = when + 60_000;
                    if is_over(&mut outside) {
                        outside.clock.wake(actor, when);
                        return;
                    }
                }
                (when, actor)
            };
            self.step(stage, next);
        }
    }

    fn step(&self, stage: &mut Stage, (when, id): (u64, usize)) {
        let Some((of, ends, _)) = stage.actors.get(id).and_then(Option::as_ref) else { return };
        let (of, is_late) = (*of, when > *ends);
        if let Of::Task(task) = of {
            let mut outside = self.lock();
            if outside.is_dead(task) {
                drop(outside);
                stage.actors[id] = None;
                return;
            }
            if let Some(until) = outside.paused_until(task) {
                if until != u64::MAX {
                    outside.clock.wake(id, until);
                }
                return;
            }
        }
        if is_late {
            self.lock().deaths.push(when);
            stage.actors[id] = None;
            return;
        }
        self.lock().clock.current = id;
        let Some((_, _, actor)) = stage.actors[id].as_mut() else { return };
        let polled = actor.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let is_dead = {
            let mut outside = self.lock();
            outside.clock.steps += 1;
            outside.watch_the_laws();
            if outside.clock.steps > outside.clock.most {
                outside.breaks(|| "it goes round in circles".into());
            }
            std::mem::take(&mut outside.clock.died)
        };
        if polled.is_ready() || is_dead {
            stage.actors[id] = None;
        }
    }
}

/// The actors.
#[derive(Default)]
pub(super) struct Stage {
    actors: Vec<Option<(Of, u64, Actor)>>,
}

fn lock<T>(desk: &Mutex<T>) -> MutexGuard<'_, T> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells who asked that the work is over, whatever became of it.
struct Answer<T> {
    sim: Sim,
    asker: usize,
    desk: Arc<Mutex<(Option<T>, bool)>>,
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        lock(&self.desk).1 = true;
        let mut outside = self.sim.lock();
        let now = outside.clock.now;
        outside.clock.wake(self.asker, now);
    }
}

struct Wait<'a, F> {
    sim: &'a Sim,
    until: Option<u64>,
    millis: u64,
    is_over: F,
}

impl<F: FnMut(&mut Outside) -> bool + Unpin> Future for Wait<'_, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut outside = this.sim.lock();
        if (this.is_over)(&mut outside) {
            return Poll::Ready(());
        }
        match this.until {
            Some(until) if outside.clock.now >= until => Poll::Ready(()),
            Some(_) => Poll::Pending,
            None => {
                let until = outside.clock.now.saturating_add(this.millis);
                this.until = Some(until);
                let actor = outside.clock.current;
                outside.clock.wake(actor, until);
                Poll::Pending
            }
        }
    }
}
