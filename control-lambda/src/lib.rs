//! Dormouse's control plane on AWS Lambda: two functions with separate roles, wired from the same parts as `dormouse up`.
//!
//! - `interactions`, behind a function URL, is the front door: people's commands, watchdogs' reports. It cannot touch ECS.
//! - `worker` takes messages from SQS, among them ECS's word of tasks that ended, and the schedule of the sweep.
//!
//! Only here are environment and secrets read. Nothing is decided here.

pub mod config;

pub mod wiring;

pub mod work;

pub mod telemetry;
