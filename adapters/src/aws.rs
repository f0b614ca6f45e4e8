//! What all AWS adapters share: one configuration of the SDK, and words for what it says when something fails.

use std::{error::Error, time::Duration};

use aws_config::{
    BehaviorVersion, ConfigLoader, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_ecs::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use domain::ports::Unavailable;

/// How long connecting may take: within a region it takes some milliseconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// How long one attempt of a call may take.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);

/// How long a call may take with all its attempts: far below what a worker's Lambda function may run.
const CALL_LIMIT: Duration = Duration::from_secs(14);

/// How often a call is made, the first time included. What fails then is tried again by the next message or the sweep.
const ATTEMPTS: u32 = 3;

/// The longest error code that is passed on.
const LONGEST_CODE: usize = 64;

/// Returns the configuration for every client: region, credentials and endpoints as the environment says, TLS on ring,
/// and bounds on attempts and time that fit in a Lambda function.
pub async fn config() -> SdkConfig {
    loader().load().await
}

/// Returns the same configuration for another region than the environment's.
pub async fn config_in(region: &str) -> SdkConfig {
    loader().region(Region::new(region.to_owned())).load().await
}

fn loader() -> ConfigLoader {
    let tls = Provider::Rustls(CryptoMode::Ring);
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_LIMIT)
        .operation_attempt_timeout(ATTEMPT_LIMIT)
        .operation_timeout(CALL_LIMIT)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(Builder::new().tls_provider(tls).build_https())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts)
}

/// Returns what `operation` of a service failed with: its name and the service's error code, and nothing of its message,
/// which may hold ARNs and account numbers.
pub fn unavailable<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Unavailable
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let what = match error {
        SdkError::ServiceError(service) => format!("failed: {}", code(service.err())),
        SdkError::TimeoutError(_) => "took too long".into(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "took too long".into(),
        SdkError::DispatchFailure(_) => "failed: the service is out of reach".into(),
        SdkError::ConstructionFailure(_) => "failed: the request could not be made".into(),
        SdkError::ResponseError(_) => "failed: the answer makes no sense".into(),
        _ => "failed".into(),
    };
    Unavailable(format!("{operation} {what}"))
}

/// Returns the service's name for the error. What is in it came over the network.
fn code(error: &impl ProvideErrorMetadata) -> String {
    let code = error.code().unwrap_or("an error without a name");
    code.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(LONGEST_CODE).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use aws_sdk_ecs::config::Credentials;
    use expect_test::expect;

    /// Returns the configuration for an emulator. Nothing is tried twice, so that a test sees every answer.
    pub(crate) async fn config_at(url: &str, key: &str, secret: &str) -> SdkConfig {
        loader()
            .endpoint_url(url)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(key, secret, None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .load()
            .await
    }

    #[tokio::test]
    async fn a_service_that_is_out_of_reach_is_named_without_its_address() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let ecs = aws_sdk_ecs::Client::new(&config_at(&format!("http://{nobody}"), "key", "secret").await);
        let error = ecs.list_tasks().send().await.unwrap_err();
        expect!["ecs:ListTasks failed: the service is out of reach"]
            .assert_eq(&unavailable("ecs:ListTasks", &error).to_string());
    }
}
