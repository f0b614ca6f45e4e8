//! Discord's ids.

use std::{fmt, num::NonZeroU64, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};
use thiserror::Error;

/// An id of Discord's: of an application, a guild, a channel, a message, a member, a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Snowflake(NonZeroU64);

/// Not an id of Discord's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("an id of Discord's is a number of up to 20 digits, such as 1154785432109876543")]
pub struct BadSnowflake;

impl FromStr for Snowflake {
    type Err = BadSnowflake;

    fn from_str(text: &str) -> Result<Self, BadSnowflake> {
        let is_number = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|_| is_number).map(Self).ok_or(BadSnowflake)
    }
}

impl fmt::Display for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Snowflake {
    /// Reads a text: Discord sends ids as texts, since not every language has numbers that large.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_number_above_zero() {
        let good = "1154785432109876543";
        assert_eq!(good.parse::<Snowflake>().unwrap().to_string(), good);
        for bad in ["", "0", "-1", "+1", "1x", "99999999999999999999", "000000000000000000000001", "１"] {
            assert!(bad.parse::<Snowflake>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_is_sent_as_a_text() {
        assert!(serde_json::from_str::<Snowflake>("\"7\"").is_ok());
        for bad in ["7", "null", "\"x\"", "[]", "{}"] {
            assert!(serde_json::from_str::<Snowflake>(bad).is_err(), "{bad}");
        }
    }
}
