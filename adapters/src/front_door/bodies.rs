//! Reading what a request brings, as far as it is short, into one piece of memory.
//!
//! A body comes in pieces whose size is its sender's choice. Whoever keeps them keeps some dozens of bytes for each: a stranger's
//! body in pieces of one byte would take sixty times its length. So only their content is kept, and of bodies that are not short
//! only so many are read at a time: what all strangers together can make this hold is little, and nobody whose body is short
//! ever waits for them.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::commands::{Problem, ProblemKind};
use futures_util::StreamExt;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Refused;

/// The longest body that is always read: a report is below 4 KiB, and Discord's interactions are of that size.
const SHORT: usize = 16 * 1024;

/// How many longer ones are read at a time.
const LONG_ONES: usize = 64;

/// How long bodies may be, and how many long ones there are.
#[derive(Clone)]
pub(super) struct Bodies {
    most: usize,
    long: Arc<Semaphore>,
}

/// A body, and its place among the long ones if it is one.
type Whole = (Bytes, Option<OwnedSemaphorePermit>);

/// Why a body is not read.
#[derive(Debug, Error)]
enum Unread {
    #[error("a body of more than {} KiB", .0 / 1024)]
    TooLarge(usize),
    #[error("the body breaks off, or is none")]
    Broken,
    #[error("too many long bodies come at the same time")]
    TooMany,
}

/// Reads a request's body before anybody asks for it, and refuses one that is too long.
pub(super) async fn whole(State(bodies): State<Bodies>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match bodies.read(body).await {
        Ok((body, _place)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Err(why) => refused(&why).into_response(),
    }
}

impl Bodies {
    /// Returns bodies of at most `most` bytes each.
    pub(super) fn of_at_most(most: usize) -> Self {
        Self { most, long: Arc::new(Semaphore::new(LONG_ONES)) }
    }

    /// One that says that it is too long is refused by its word.
    async fn read(&self, body: Body) -> Result<Whole, Unread> {
        let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if told > self.most {
            return Err(Unread::TooLarge(self.most));
        }
        let (mut whole, mut place) = (Vec::with_capacity(told.min(SHORT)), None);
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| Unread::Broken)?;
            let length = whole.len() + piece.len();
            if length > self.most {
                return Err(Unread::TooLarge(self.most));
            }
            if length > SHORT && place.is_none() {
                place = Some(self.long.clone().try_acquire_owned().map_err(|_| Unread::TooMany)?);
            }
            whole.extend_from_slice(&piece);
        }
        Ok((whole.into(), place))
    }
}

fn refused(why: &Unread) -> Refused {
    let (status, kind, hint) = match why {
        Unread::TooLarge(_) => {
            (StatusCode::PAYLOAD_TOO_LARGE, ProblemKind::BadInput, "send what docs/api.md says")
        }
        Unread::Broken => (StatusCode::BAD_REQUEST, ProblemKind::BadInput, "send what docs/api.md says"),
        Unread::TooMany => {
            (StatusCode::SERVICE_UNAVAILABLE, ProblemKind::Unavailable, "try again in a moment")
        }
    };
    Refused(status, Problem::new(kind, why.to_string(), hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    /// A body in pieces of one byte, of which it does not say how many there are.
    fn crumbs(many: usize) -> Body {
        Body::from_stream(stream::iter((0..many).map(|_| Ok::<_, Infallible>(Bytes::from_static(b"x")))))
    }

    async fn read(body: Body, most: usize) -> Result<Bytes, Unread> {
        Bodies::of_at_most(most).read(body).await.map(|(body, _)| body)
    }

    #[tokio::test]
    async fn a_body_is_read_into_one_piece_up_to_its_limit() {
        assert_eq!(read(Body::empty(), 0).await.unwrap(), "");
        assert_eq!(read(Body::from("abc"), 3).await.unwrap(), "abc");
        assert_eq!(read(crumbs(1000), 1000).await.unwrap(), "x".repeat(1000));
        assert_eq!(read(crumbs(SHORT + 1), 2 * SHORT).await.unwrap().len(), SHORT + 1);
        assert!(matches!(read(Body::from("abcd"), 3).await, Err(Unread::TooLarge(3))));
        assert!(matches!(read(crumbs(1001), 1000).await, Err(Unread::TooLarge(1000))));
    }

    #[tokio::test]
    async fn of_a_body_without_end_no_more_is_read_than_its_limit() {
        let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[0; 1000])));
        assert!(matches!(read(Body::from_stream(endless), 64 * 1024).await, Err(Unread::TooLarge(_))));
    }

    #[tokio::test]
    async fn only_so_many_long_bodies_are_read_at_a_time_and_short_ones_always() {
        let bodies = Bodies::of_at_most(2 * SHORT);
        let mut held = Vec::new();
        for _ in 0..LONG_ONES {
            held.push(bodies.read(Body::from(vec![0; SHORT + 1])).await.unwrap());
        }
        let one_more = || bodies.read(Body::from(vec![0; SHORT + 1]));
        assert!(matches!(one_more().await, Err(Unread::TooMany)));
        assert!(bodies.read(Body::from(vec![0; SHORT])).await.is_ok());
        held.pop();
        assert!(one_more().await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_none() {
        let broken = stream::iter([Ok(Bytes::from_static(b"x")), Err("gone")]);
        assert!(matches!(read(Body::from_stream(broken), 1000).await, Err(Unread::Broken)));
    }
}
