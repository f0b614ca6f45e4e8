//! Ports that pause before each call, so that a test can let others act between any two calls, or let a worker die there.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use domain::{
    Timestamp, access::Rules, driver::Driver, effect::Notice, ports::*, sim::Memory, talk::CardId, world::*,
};
use tokio::task::yield_now;

/// A memory whose every call is preceded by a pause.
pub(crate) struct Slow(Memory);

/// Returns `driver` with every port of `memory` slow.
pub(crate) fn slow(memory: &Memory, driver: &Driver) -> Driver {
    let port = Arc::new(Slow(memory.clone()));
    Driver {
        store: port.clone(),
        queue: port.clone(),
        runtime: port.clone(),
        archives: port.clone(),
        exports: Arc::new(memory.clone()),
        chat: port,
        games: driver.games.clone(),
    }
}

/// Lets `work` go on past that many pauses, and returns what came of it if it has come to its end.
pub(crate) fn advance<F: Future>(work: &mut Pin<Box<F>>, pauses: usize) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    (0..=pauses).find_map(|_| match work.as_mut().poll(&mut context) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    })
}

#[async_trait]
impl Store for Slow {
    async fn create(&self, world: &World) -> Result<(), CreateError> {
        yield_now().await;
        self.0.create(world).await
    }

    async fn load(&self, id: &WorldId) -> Result<(World, Version), LoadError> {
        yield_now().await;
        self.0.load(id).await
    }

    async fn find(&self, guild: &GuildId, name: &WorldName) -> Result<Found, LoadError> {
        yield_now().await;
        self.0.find(guild, name).await
    }

    async fn list(&self, guild: &GuildId) -> Result<Listed, Unavailable> {
        yield_now().await;
        Store::list(&self.0, guild).await
    }

    async fn save(&self, world: &World, read: Version) -> Result<Version, SaveError> {
        yield_now().await;
        self.0.save(world, read).await
    }

    async fn unsettled(&self) -> Result<Vec<WorldId>, Unavailable> {
        yield_now().await;
        self.0.unsettled().await
    }

    async fn rules(&self, guild: &GuildId) -> Result<(Rules, Version), Unavailable> {
        yield_now().await;
        self.0.rules(guild).await
    }

    async fn save_rules(&self, guild: &GuildId, rules: &Rules, read: Version) -> Result<Version, SaveError> {
        yield_now().await;
        self.0.save_rules(guild, rules, read).await
    }
}

#[async_trait]
impl Queue for Slow {
    async fn send(&self, look: &Look) -> Result<(), Unavailable> {
        yield_now().await;
        self.0.send(look).await
    }

    async fn receive(&self, most: usize, invisible: Duration) -> Result<Vec<Delivery>, Unavailable> {
        yield_now().await;
        self.0.receive(most, invisible).await
    }

    async fn done(&self, receipt: &str) -> Result<(), Unavailable> {
        yield_now().await;
        self.0.done(receipt).await
    }
}

#[async_trait]
impl Runtime for Slow {
    async fn launch(&self, order: &LaunchOrder) -> Result<TaskId, LaunchError> {
        yield_now().await;
        self.0.launch(order).await
    }

    async fn observe(&self, task: &TaskId) -> Result<Seen, Unavailable> {
        yield_now().await;
        self.0.observe(task).await
    }

    async fn end(&self, task: &TaskId, force: Force) -> Result<(), Unavailable> {
        yield_now().await;
        self.0.end(task, force).await
    }

    async fn list(&self) -> Result<Vec<RunningTask>, Unavailable> {
        yield_now().await;
        Runtime::list(&self.0).await
    }

    async fn erase(&self, world: &WorldId) -> Result<(), Unavailable> {
        yield_now().await;
        self.0.erase(world).await
    }
}

#[async_trait]
impl ArchiveStore for Slow {
    async fn ticket(
        &self,
        world: &WorldId,
        launch: Generation,
        part: &Part,
        now: Timestamp,
    ) -> Result<Ticket, Unavailable> {
        yield_now().await;
        self.0.ticket(world, launch, part, now).await
    }

    async fn check(&self, world: &WorldId, claim: &Archive) -> Result<Checked, Unavailable> {
        yield_now().await;
        self.0.check(world, claim).await
    }

    async fn link(&self, world: &WorldId, id: &ArchiveId, expires: Timestamp) -> Result<Link, LinkError> {
        yield_now().await;
        self.0.link(world, id, expires).await
    }

    async fn remove(&self, world: &WorldId, id: &ArchiveId) -> Result<(), Unavailable> {
        yield_now().await;
        self.0.remove(world, id).await
    }

    async fn inbox(&self, world: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, Unavailable> {
        yield_now().await;
        self.0.inbox(world, id, expires).await
    }

    async fn received(&self, world: &WorldId, id: &ImportId, expires: Timestamp) -> Result<Link, LinkError> {
        yield_now().await;
        self.0.received(world, id, expires).await
    }

    async fn discard(&self, world: &WorldId, id: &ImportId) -> Result<(), Unavailable> {
        yield_now().await;
        self.0.discard(world, id).await
    }
}

#[async_trait]
impl Chat for Slow {
    async fn tell(&self, world: &World, notice: &Notice) -> Result<Option<CardId>, Unavailable> {
        yield_now().await;
        self.0.tell(world, notice).await
    }
}
