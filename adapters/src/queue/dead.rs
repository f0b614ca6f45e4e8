//! Dead letters: messages that were put aside because looking at their worlds failed too often.
//!
//! Nothing hangs on them, since the sweep looks at every world that is not at rest. They tell that something is wrong.

use async_trait::async_trait;
use domain::{Timestamp, ports::Unavailable, world::WorldId};

use crate::queue::message::DecodeError;

/// A message that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The world to look at, or why the message names none.
    pub world: Result<WorldId, DecodeError>,
    /// How often it was given out, by [`DeadLetters::inspect`] too where the queue counts that.
    pub attempts: u32,
    /// When it was put aside or, where the queue does not tell, when it was sent.
    pub since: Timestamp,
}

/// The dead letters of a queue.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Returns up to `most` of them and leaves them there.
    async fn inspect(&self, most: usize) -> Result<Vec<DeadLetter>, Unavailable>;

    /// Sends up to `most` of them again, and returns how many. Those that name no world stay. Each is sent at least once:
    /// after a failure some may have been sent that are still there.
    async fn redrive(&self, most: usize) -> Result<usize, Unavailable>;
}

#[cfg(test)]
pub(crate) mod contract {
    //! What all [`DeadLetters`] promise, of a queue with dead letters about `worlds`, in any order, and no messages.

    use super::*;
    use crate::queue::contract::INVISIBLE;
    use domain::ports::Queue;

    pub(crate) async fn all(letters: &dyn DeadLetters, queue: &dyn Queue, worlds: &[&str]) {
        what_is_inspected_stays(letters, worlds).await;
        no_more_is_shown_than_was_asked_for(letters, worlds).await;
        what_is_redriven_is_given_again(letters, queue, worlds).await;
    }

    async fn what_is_inspected_stays(letters: &dyn DeadLetters, worlds: &[&str]) {
        for _ in 0..2 {
            assert_eq!(shown(letters, 100).await, worlds);
        }
    }

    async fn no_more_is_shown_than_was_asked_for(letters: &dyn DeadLetters, worlds: &[&str]) {
        assert_eq!(letters.inspect(0).await, Ok(vec![]));
        assert_eq!(shown(letters, 1).await.len(), 1);
        assert_eq!(shown(letters, 100).await, worlds);
    }

    async fn what_is_redriven_is_given_again(letters: &dyn DeadLetters, queue: &dyn Queue, worlds: &[&str]) {
        assert_eq!(letters.redrive(0).await, Ok(0));
        assert_eq!(letters.redrive(1).await, Ok(1));
        assert_eq!(shown(letters, 100).await.len(), worlds.len() - 1);
        assert_eq!(letters.redrive(100).await, Ok(worlds.len() - 1));
        assert_eq!(letters.redrive(100).await, Ok(0));
        assert_eq!(letters.inspect(100).await, Ok(vec![]));
        let mut given = Vec::new();
        loop {
            let batch = queue.receive(10, INVISIBLE).await.unwrap();
            if batch.is_empty() {
                break;
            }
            for delivery in batch {
                assert_eq!(delivery.attempt, 1);
                queue.done(&delivery.receipt).await.unwrap();
                given.push(delivery.look.world.to_string());
            }
        }
        given.sort();
        assert_eq!(given, worlds);
    }

    async fn shown(letters: &dyn DeadLetters, most: usize) -> Vec<String> {
        let letters = letters.inspect(most).await.unwrap();
        assert!(letters.iter().all(|letter| letter.attempts >= 1));
        let mut worlds: Vec<_> =
            letters.into_iter().map(|letter| letter.world.unwrap().to_string()).collect();
        worlds.sort();
        worlds
    }
}
