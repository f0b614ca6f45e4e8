//! What is remembered of a world for telling people about it: where, by which message, who waits for an answer, and what
//! was told last. The texts are the chat's own and opaque here.

use std::fmt;

use jiff::Timestamp;

use crate::world::{BadName, Generation};

/// How many answers are followed at a time; the oldest gives way. Each is one more message to change at every notice.
pub const MOST_FOLLOWERS: usize = 10;

/// Declares a newtype over a text that only the chat understands.
macro_rules! opaque {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $most:literal, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Takes `text`, or says what is allowed.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                let ok = (1..=$most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
                if ok { Ok(Self(text.to_owned())) } else { Err(BadName::unseen($kind, $allowed)) }
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

opaque!(
    /// Where a world is spoken of: a channel.
    Place, "place", 128, "1 to 128 printable ASCII characters"
);
opaque!(
    /// The message that shows a world, and is changed as the world changes.
    CardId, "card", 128, "1 to 128 printable ASCII characters"
);
opaque!(
    /// An answer that somebody was given and that can be changed for a while. Whoever has it can change it: a secret.
    ReplyId, "reply", 512, "1 to 512 printable ASCII characters"
);

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.0)
    }
}

impl fmt::Debug for CardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CardId({})", self.0)
    }
}

impl fmt::Debug for ReplyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyId(…)")
    }
}

/// Somebody's answer that goes on being changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// The answer.
    pub reply: ReplyId,
    /// Until when it can be changed.
    pub until: Timestamp,
}

/// What people were told last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The newest launch at that time.
    pub generation: Generation,
    /// The sentence, as [`crate::words::notice`] makes it.
    pub sentence: String,
}

/// What is remembered for telling people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Talk {
    /// Where the world's card is shown, if anywhere.
    pub place: Option<Place>,
    /// The card, once there is one.
    pub card: Option<CardId>,
    /// The answers that are followed, oldest first.
    pub followers: Vec<Follower>,
    /// What was told last.
    pub told: Option<Told>,
}

impl Talk {
    /// Returns the talk with one more follower, without those whose time is over at `now`.
    pub(crate) fn followed_by(&self, follower: Follower, now: Timestamp) -> Self {
        let mut followers: Vec<_> =
            self.followers.iter().filter(|f| f.until > now && f.reply != follower.reply).cloned().collect();
        followers.push(follower);
        let superfluous = followers.len().saturating_sub(MOST_FOLLOWERS);
        followers.drain(..superfluous);
        Self { followers, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn follower(name: &str, until: i64) -> Follower {
        Follower { reply: ReplyId::parse(name).unwrap(), until: at(until) }
    }

    #[test]
    fn followers_are_few_and_those_whose_time_is_over_go() {
        let mut talk = Talk::default();
        for n in 0..30 {
            talk = talk.followed_by(follower(&format!("r{n}"), 100), at(0));
        }
        assert_eq!(talk.followers.len(), MOST_FOLLOWERS);
        assert_eq!(talk.followers.last(), Some(&follower("r29", 100)));
        talk = talk.followed_by(follower("late", 200), at(150));
        assert_eq!(talk.followers, [follower("late", 200)]);
    }

    #[test]
    fn a_reply_is_not_shown() {
        let follower = format!("{:?}", follower("token", 5));
        assert!(!follower.contains("token"), "{follower}");
        let bad = ReplyId::parse("a token").unwrap_err().to_string();
        assert!(!bad.contains("a token"), "{bad}");
    }
}
