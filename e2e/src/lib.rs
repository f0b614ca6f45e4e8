//! What the end-to-end tests and the demo are played on: machines of their own for servers and players, real clients of
//! real games, and the real `dormouse`.

pub mod netns;

pub mod clients;

pub mod clocks;

pub mod dormouse;

pub mod disk;

pub mod cloud;

pub mod control;

pub mod image;

pub mod pod;

pub mod engine;

pub mod seeing;

pub mod onlooker;

pub mod soak;
