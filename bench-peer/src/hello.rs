//! The least that a Lambda function on `lambda_runtime` can be: what the functions are measured against.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let hello = async |_: LambdaEvent<Value>| -> Result<Value, Error> {
        Ok(json!({ "statusCode": 200, "body": "hello" }))
    };
    lambda_runtime::run(service_fn(hello)).await
}
