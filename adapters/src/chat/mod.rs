//! Where people are told what happens without asking.

pub mod terminal;
