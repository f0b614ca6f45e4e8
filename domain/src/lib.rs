//! What is true in Dormouse: worlds, their lifecycle, and what it takes to call a server empty.
//!
//! No I/O, clock, environment, randomness or vendor name stands here (`clippy.toml` bans them). Read
//! [`lifecycle`] first: every change of a world's state goes through its one function.

pub mod access;

pub mod talk;

pub mod vault;

pub mod world;

pub mod lifecycle;

pub mod event;

pub mod refusal;

pub mod effect;

pub mod idle;

pub mod settings;

pub mod game;

pub mod commands;

pub mod ports;

pub mod driver;

pub mod words;

#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub use jiff::Timestamp;
