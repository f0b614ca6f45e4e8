//! What every [`Queue`] promises: one test body per promise, which each implementation's tests call by [`all`].

use std::{collections::BTreeSet, time::Duration};

use domain::{
    ports::{Delivery, Look, Queue},
    world::WorldId,
};

/// How long a delivered message is kept from others here.
pub(crate) const INVISIBLE: Duration = Duration::from_secs(30);

/// Holds `queue`, which is empty, to the promises that do not need [`INVISIBLE`] to hide anything. `pass` lets time pass.
pub(crate) async fn all(queue: &dyn Queue, pass: &dyn Fn(Duration)) {
    an_empty_queue_gives_nothing_at_once(queue).await;
    what_was_sent_is_given_until_it_is_done(queue, pass).await;
    every_world_is_looked_at(queue).await;
    no_more_is_given_than_was_asked_for(queue, pass).await;
    done_twice_is_no_error(queue).await;
    what_is_sent_after_a_delivery_is_delivered_too(queue).await;
    assert_eq!(queue.receive(10, INVISIBLE).await, Ok(vec![]), "the contract leaves nothing behind");
}

pub(crate) async fn an_empty_queue_gives_nothing_at_once(queue: &dyn Queue) {
    assert_eq!(queue.receive(10, INVISIBLE).await, Ok(vec![]));
}

pub(crate) async fn what_was_sent_is_given_until_it_is_done(queue: &dyn Queue, pass: &dyn Fn(Duration)) {
    queue.send(&look("again")).await.unwrap();
    let first = only(queue).await;
    assert_eq!((&first.look, first.attempt), (&look("again"), 1));
    pass(INVISIBLE);
    let second = only(queue).await;
    assert_eq!((&second.look, second.attempt), (&look("again"), 2));
    queue.done(&second.receipt).await.unwrap();
    pass(INVISIBLE);
    assert_eq!(queue.receive(10, INVISIBLE).await, Ok(vec![]));
}

pub(crate) async fn every_world_is_looked_at(queue: &dyn Queue) {
    let worlds: BTreeSet<_> = (0..25).map(|n| format!("every-{n}")).collect();
    for world in &worlds {
        queue.send(&look(world)).await.unwrap();
    }
    let mut seen = BTreeSet::new();
    while seen.len() < worlds.len() {
        let given = queue.receive(10, INVISIBLE).await.unwrap();
        assert!(!given.is_empty(), "only {seen:?} came");
        for delivery in given {
            queue.done(&delivery.receipt).await.unwrap();
            seen.insert(delivery.look.world.to_string());
        }
    }
    assert_eq!(seen, worlds);
}

pub(crate) async fn no_more_is_given_than_was_asked_for(queue: &dyn Queue, pass: &dyn Fn(Duration)) {
    for world in ["most-1", "most-2", "most-3"] {
        queue.send(&look(world)).await.unwrap();
    }
    assert_eq!(queue.receive(2, INVISIBLE).await.unwrap().len(), 2);
    pass(INVISIBLE);
    for delivery in queue.receive(10, INVISIBLE).await.unwrap() {
        queue.done(&delivery.receipt).await.unwrap();
    }
}

pub(crate) async fn done_twice_is_no_error(queue: &dyn Queue) {
    queue.send(&look("twice")).await.unwrap();
    let delivery = only(queue).await;
    queue.done(&delivery.receipt).await.unwrap();
    queue.done(&delivery.receipt).await.unwrap();
}

/// Whoever sends after a delivery has changed the world since it was looked at.
pub(crate) async fn what_is_sent_after_a_delivery_is_delivered_too(queue: &dyn Queue) {
    queue.send(&look("meanwhile")).await.unwrap();
    let first = only(queue).await;
    queue.send(&look("meanwhile")).await.unwrap();
    queue.done(&first.receipt).await.unwrap();
    let second = only(queue).await;
    assert_eq!(second.look, look("meanwhile"));
    queue.done(&second.receipt).await.unwrap();
}

/// Not in [`all`]: `domain::sim::Memory` hides nothing from anybody.
pub(crate) async fn a_delivered_message_is_hidden_for_a_while(queue: &dyn Queue, pass: &dyn Fn(Duration)) {
    queue.send(&look("hidden")).await.unwrap();
    only(queue).await;
    pass(INVISIBLE - Duration::from_millis(1));
    assert_eq!(queue.receive(10, INVISIBLE).await, Ok(vec![]));
    pass(Duration::from_millis(1));
    let second = only(queue).await;
    queue.done(&second.receipt).await.unwrap();
}

/// A worker that was too slow has not seen what made others send meanwhile.
///
/// Not in [`all`], for the same reason.
pub(crate) async fn a_late_done_takes_nothing_from_others(queue: &dyn Queue, pass: &dyn Fn(Duration)) {
    queue.send(&look("late")).await.unwrap();
    let slow = only(queue).await;
    pass(INVISIBLE);
    queue.send(&look("late")).await.unwrap();
    queue.done(&slow.receipt).await.unwrap();
    let given = queue.receive(10, INVISIBLE).await.unwrap();
    assert!(!given.is_empty());
    for delivery in given {
        queue.done(&delivery.receipt).await.unwrap();
    }
}

pub(crate) async fn only(queue: &dyn Queue) -> Delivery {
    let mut given = queue.receive(10, INVISIBLE).await.unwrap();
    assert_eq!(given.len(), 1, "{given:?}");
    given.remove(0)
}

pub(crate) fn look(world: &str) -> Look {
    Look { world: WorldId::parse(world).unwrap() }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    all(&domain::sim::Memory::default(), &|_| {}).await;
}
