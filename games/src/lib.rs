//! The catalogue of games: `catalog/<id>.toml`, one file a game, read by these programs and by cdk; and `dormouse.toml`,
//! which chooses among them and says where a deployment is.
//!
//! Everything in an entry is checked when it is read: what comes out is a [`domain::game::Game`] that nothing needs to
//! check again. Everything that is wrong with an entry is said at once, with file, line, key and what is allowed. What
//! the keys mean, and their rules, is in `entry.rs`.

mod catalogue;

mod entry;

mod image;

mod setting;

mod configuration;

mod section;

mod rule;

mod problem;

pub use catalogue::{Catalogue, LoadError};
pub use configuration::{Budget, Capacity, Configuration};
pub use entry::{Entry, parse};
pub use image::{ACCEPTED_LICENCE, ContextFile, NoContext, dockerfile_name, licence};
pub use problem::{BadEntry, Problem};
