//! Where people are told what happens without asking, and asked what they want.

pub mod terminal;

#[cfg(feature = "discord")]
pub mod discord;
