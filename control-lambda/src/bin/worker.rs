//! The worker: performs what worlds ask for.

use anyhow::Context;
use control_lambda::{
    config::{Config, Secrets, Tasks},
    telemetry, wiring,
    work::{Wake, work},
};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let get = |name: &str| std::env::var(name).ok();
    let (config, tasks) = (Config::read(&get)?, Tasks::read(&get)?);
    let aws = adapters::aws::config().await;
    let secrets = Secrets::load(&aws, &config.parameters).await?;
    let prefix = tasks.prefix.clone();
    let driver = wiring::worker(&aws, &config, tasks, &secrets)?;
    let handle = async |event: LambdaEvent<Value>| -> Result<Value, Error> {
        let wake = Wake::read(event.payload, &prefix).context("the event is not one of ours")?;
        Ok(work(wake, &driver).await)
    };
    lambda_runtime::run(service_fn(handle)).await
}
