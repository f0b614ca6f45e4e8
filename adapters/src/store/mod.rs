//! World records.

pub mod record;

#[cfg(test)]
pub(crate) mod contract;

#[cfg(feature = "local")]
pub mod sqlite;
