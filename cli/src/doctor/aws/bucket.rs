//! The bucket of archives.

use adapters::aws::unavailable;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;

use super::{
    super::finding::{Finding, bad, good},
    named,
    outputs::{Output, Outputs},
    unseen,
};

/// What this is called in findings.
const NAME: &str = "bucket";

/// Says whether the bucket can be reached.
pub(super) async fn check(aws: &SdkConfig, outputs: &Outputs) -> Vec<Finding> {
    let name = match named(outputs, Output::BucketName, NAME) {
        Ok(name) => name,
        Err(finding) => return vec![finding],
    };
    match Client::new(aws).head_bucket().bucket(name).send().await {
        Ok(_) => vec![good(NAME, format!("{name} can be reached"))],
        Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => {
            let text =
                format!("{name} is not there: are region and outputs right? Archives cannot be written");
            vec![bad(NAME, text)]
        }
        // An answer without a body has no words for what is wrong.
        Err(error) => {
            let status = error.raw_response().map(|response| response.status().as_u16());
            match status {
                Some(403) => vec![bad(
                    NAME,
                    format!(
                        "{name} lets these credentials not look; docs/aws-deployer.json has what is needed"
                    ),
                )],
                Some(301) => {
                    vec![bad(NAME, format!("{name} is in another region than this deployment: deploy again"))]
                }
                Some(_) | None => vec![unseen(NAME, &unavailable("s3:HeadBucket", &error))],
            }
        }
    }
}
