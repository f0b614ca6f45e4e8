//! Messages to the worker.

#[cfg(test)]
pub(crate) mod contract;

#[cfg(feature = "local")]
pub mod sqlite;
