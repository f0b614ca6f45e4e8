//! What stands behind the ports: one file per technology, each held to the contract of its port.
//!
//! An adapter translates between the domain's words and one technology's, and decides nothing.

pub mod report;

pub mod task_env;

pub mod store;

#[cfg(feature = "local")]
pub mod queue;

#[cfg(feature = "local")]
pub mod runtime;

#[cfg(feature = "local")]
pub mod archive;

pub mod chat;

#[cfg(feature = "local")]
pub mod front_door;

#[cfg(feature = "local")]
pub mod secret;

#[cfg(feature = "local")]
pub mod sqlite;
