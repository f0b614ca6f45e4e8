//! Function URLs: HTTP requests as events in payload format 2.0, and answers as HTTP.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::lambda::{
    Function, InvokeError, MOST_PAYLOAD_BYTES,
    instance::{request_id, since_1970},
    runtime,
};

/// A function's URL. It is gone when this is dropped.
#[derive(Debug)]
pub struct FunctionUrl {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl FunctionUrl {
    /// Serves the function at `listen`; port 0 is a free one. Unlike on AWS it is plain HTTP, and `domainName` is what
    /// the client sent as host.
    pub fn start(function: &Function, listen: SocketAddr) -> Result<Self> {
        let listener = runtime()?
            .block_on(TcpListener::bind(listen))
            .with_context(|| format!("listening on {listen}"))?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(serve).with_state(function.clone());
        let server = runtime()?.spawn(async move {
            let _ = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await;
        });
        Ok(Self { address, server })
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for FunctionUrl {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    State(function): State<Function>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST_PAYLOAD_BYTES).await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let event = event(&head.method, &head.uri, &head.headers, &body, peer.ip());
    let answer = tokio::task::spawn_blocking(move || function.invoke(&event)).await;
    match answer {
        Ok(Ok(answer)) => {
            answered(answer).unwrap_or_else(|| message(StatusCode::BAD_GATEWAY, "Internal Server Error"))
        }
        Ok(Err(InvokeError::TooLarge(_))) => {
            message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
        }
        Ok(Err(InvokeError::Throttled)) => message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
        Ok(Err(InvokeError::Failed { .. } | InvokeError::TimedOut(_) | InvokeError::Exited(_))) | Err(_) => {
            message(StatusCode::BAD_GATEWAY, "Internal Server Error")
        }
    }
}

fn message(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({"Message": text}))).into_response()
}

/// Returns the event of a request.
fn event(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes, peer: IpAddr) -> Value {
    let query = uri.query().unwrap_or_default();
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = text(header::HOST);
    let time = Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": uri.path(),
        "rawQueryString": query,
        "headers": joined(headers, peer),
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "emulated",
            "domainName": host,
            "domainPrefix": host.split('.').next(),
            "http": {
                "method": method.as_str(),
                "path": uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": peer.to_string(),
                "userAgent": text(header::USER_AGENT),
            },
            "requestId": request_id(),
            "routeKey": "$default",
            "stage": "$default",
            "time": time,
            "timeEpoch": since_1970().as_millis() as u64,
        },
        "isBase64Encoded": false,
    });
    let cookies: Vec<&str> = text(header::COOKIE).split("; ").filter(|cookie| !cookie.is_empty()).collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = parameters(query);
    }
    if !body.is_empty() {
        let as_text = is_text(text(header::CONTENT_TYPE)).then(|| std::str::from_utf8(body).ok()).flatten();
        event["isBase64Encoded"] = json!(as_text.is_none());
        event["body"] = as_text.map_or_else(|| json!(BASE64_STANDARD.encode(body)), |text| json!(text));
    }
    event
}

/// Returns the headers with lower-case names, those of one name joined by commas, and what the URL's front adds.
fn joined(headers: &HeaderMap, peer: IpAddr) -> Map<String, Value> {
    let mut all = Map::new();
    for name in headers.keys().filter(|name| *name != header::COOKIE) {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        all.insert(name.as_str().to_owned(), json!(values.join(",")));
    }
    let forwarded =
        all.get("x-forwarded-for").and_then(Value::as_str).map(|before| format!("{before}, {peer}"));
    all.insert("x-forwarded-for".to_owned(), json!(forwarded.unwrap_or_else(|| peer.to_string())));
    all.insert("x-forwarded-proto".to_owned(), json!("https"));
    all.insert("x-forwarded-port".to_owned(), json!("443"));
    all
}

/// Returns the parameters of a query, those of one name joined by commas.
fn parameters(query: &str) -> Value {
    let mut all = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (unescaped(name), unescaped(value));
        let value = match all.get(&name).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value,
        };
        all.insert(name, json!(value));
    }
    Value::Object(all)
}

/// Returns `text` without percent-encoding; what is not well formed stays.
fn unescaped(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut rest = text.as_bytes();
    let mut plain = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped =
            digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.starts_with("text/")
        || ["application/json", "application/javascript", "application/xml"].contains(&kind)
}

/// Returns the HTTP answer that a function's answer stands for; none if it stands for nothing.
fn answered(answer: Value) -> Option<Response> {
    let Some(status) = answer.get("statusCode") else {
        return Some(([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response());
    };
    let status = StatusCode::from_u16(u16::try_from(status.as_u64()?).ok()?).ok()?;
    let mut body = answer["body"].as_str().unwrap_or_default().as_bytes().to_vec();
    if answer["isBase64Encoded"] == json!(true) {
        body = BASE64_STANDARD.decode(body).ok()?;
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        headers.insert(name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?);
    }
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    for cookie in answer["cookies"].as_array().into_iter().flatten() {
        headers.append(header::SET_COOKIE, cookie.as_str()?.parse().ok()?);
    }
    Some(response)
}
