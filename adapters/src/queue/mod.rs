//! Messages to the worker.

pub mod message;

pub mod dead;

#[cfg(test)]
pub(crate) mod contract;

#[cfg(feature = "local")]
pub mod sqlite;

#[cfg(feature = "aws")]
pub mod sqs;
