//! The front door: people's commands and watchdogs' reports, behind a function URL.

use std::{net::IpAddr, time::Instant};

use adapters::front_door::Reporter;
use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use control_lambda::{
    config::{Config, Secrets},
    telemetry::{self, Figure, count},
    wiring,
};
use lambda_http::{Error, RequestExt, request::RequestContext};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::start();
    let config = Config::read(&|name: &str| std::env::var(name).ok())?;
    let aws = adapters::aws::config().await;
    let secrets = Secrets::load(&aws, &config.parameters).await?;
    let door: Router = wiring::front_door(&aws, &config, &secrets)?;
    lambda_http::run(door.layer(middleware::from_fn(measured))).await
}

/// Tells the router who calls, and CloudWatch how it went.
async fn measured(mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    if let Some(ip) = caller(&request) {
        request.extensions_mut().insert(Reporter(ip));
    }
    let response = next.run(request).await;
    match response.status().as_u16() {
        401 => count(Figure::Unauthorized),
        500.. => count(Figure::AnswerFailed),
        _ => {}
    }
    count(Figure::AnswerMs(begun.elapsed().as_secs_f64() * 1000.0));
    response
}

/// Returns the address that Lambda saw the request come from. A header that says otherwise counts for nothing.
fn caller(request: &Request) -> Option<IpAddr> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => context.http.source_ip.as_deref()?.parse().ok(),
        _ => None,
    }
}
