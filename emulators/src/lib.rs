//! What stands in for AWS in tests, on loopback, for the real SDKs to talk to.
//!
//! | emulator | is | strict about | not emulated |
//! | --- | --- | --- | --- |
//! | [`Moto`]: DynamoDB, SQS, SSM, STS | moto's server (`plugin/main.py`) | every request, against botocore's model of the service; placeholders of expressions; one request at a time for each service; DynamoDB's `ClientRequestToken` | permissions (they are noted: [`Moto::needed`]), quotas, TTL, prices |
//! | [`Moto`]: ECS | our own tasks over moto's clusters and task definitions (`plugin/ecs.py`) | client tokens, Fargate's sizes, staged states on a clock, what is asynchronous, what is forgotten; see below | services, EC2, deployments |
//! | [`S3`] | `s3s-fs` | signatures, expiry, lengths, digests of single uploads | see `s3.rs`: much of what multipart uploads promise; permissions (they are noted: [`S3Watch`]) |
//! | [`lambda`] | the Runtime API, function URLs, SQS event sources and schedules, by hand | one event at a time for each instance, an environment of its own, nothing runs between events, payload sizes | extensions, response streaming, memory limits, permissions |
//!
//! The rules of ECS come from the Amazon ECS API reference (RunTask, StopTask, DescribeTasks, ListTasks, and the page
//! "Ensuring idempotency"), from the developer guide ("Task lifecycle", "Task state change events", "Fargate task
//! sizes") and from botocore's model of the service. Where they are silent the stricter reading is taken: what passes
//! here should pass there, while what is refused here might pass there.
//!
//! Those of Lambda come from the Lambda developer guide ("Custom runtimes", "Runtime API", "Environment variables",
//! "Function URLs", "Using Lambda with Amazon SQS").
//!
//! [`Engine`] stands in for nothing: it is a container engine, with storage of its own, in the network that a test names.
//!
//! [`install()`] puts everything under `target/emulators`; each `start` calls it. An emulator ends when its value is
//! dropped, and also when the process that started it ends, however that comes about (`process.rs`).

pub use engine::{BASE, Engine, Network, install_engine};
pub use install::install;
pub use moto::{Call, Moto, Options, When};
pub use needed::Needed;
pub use s3::S3;
pub use s3_watch::{S3Fault, S3Watch};

mod install;

mod engine;

mod process;

mod moto;

mod s3;

mod s3_watch;

mod needed;

pub mod lambda;
