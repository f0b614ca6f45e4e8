//! Tasks: what runs a launch.

#[cfg(test)]
pub(crate) mod contract;

pub mod process;
