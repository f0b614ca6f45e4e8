//! World records.

pub mod record;

pub mod rules;

#[cfg(test)]
pub(crate) mod contract;

#[cfg(feature = "local")]
pub mod sqlite;

#[cfg(feature = "aws")]
pub mod dynamodb;
