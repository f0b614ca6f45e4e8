//! Conversations with everything behind the chat in memory, hostile ones among them, and a stand-in for Discord.

mod validate;

mod table;

mod conversations;

mod choosing;

mod hostile;

mod registration;

#[cfg(any(feature = "local", feature = "aws"))]
mod over_http;

mod twilight;

mod standin;

mod telling;

#[cfg(feature = "gateway")]
mod over_the_gateway;
