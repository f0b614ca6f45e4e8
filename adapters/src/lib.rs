//! What stands behind the ports: one file per technology, each held to the contract of its port.
//!
//! An adapter translates between the domain's words and one technology's, and decides nothing.

pub mod report;

pub mod attendance;

pub mod task_env;

pub mod store;

pub mod queue;

#[cfg(any(feature = "local", feature = "aws"))]
pub mod runtime;

#[cfg(any(feature = "local", feature = "aws"))]
pub mod archive;

pub mod chat;

#[cfg(any(feature = "local", feature = "aws"))]
pub mod front_door;

#[cfg(any(feature = "local", feature = "aws"))]
pub mod secret;

#[cfg(any(feature = "local", feature = "aws"))]
pub mod exports;

#[cfg(feature = "aws")]
pub mod aws;

#[cfg(feature = "local")]
pub mod sqlite;
