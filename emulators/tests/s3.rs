//! What the S3 server is trusted with: signatures, their expiry, and checksums.

use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use emulators::S3;
use expect_test::expect;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

const BUCKET: &str = "archives";

#[test]
fn a_presigned_url_works_as_signed_and_not_otherwise() -> Result<()> {
    let s3 = S3::start(&[BUCKET], "key-id", "secret")?;
    let put = presign(&s3, "PUT", "valhalla.zip", 60, &[])?;
    expect!["200"].assert_eq(&send("PUT", &put, b"world", None)?);
    assert_eq!(std::fs::read(s3.dir().join(BUCKET).join("valhalla.zip"))?, b"world");
    let get = presign(&s3, "GET", "valhalla.zip", 60, &[])?;
    expect!["200 world"].assert_eq(&send("GET", &get, b"", None)?);

    expect!["403 SignatureDoesNotMatch"].assert_eq(&send(
        "PUT",
        &put.replace("valhalla", "other"),
        b"world",
        None,
    )?);
    expect!["403 SignatureDoesNotMatch"].assert_eq(&send(
        "PUT",
        &put.replace("Expires=60", "Expires=61"),
        b"world",
        None,
    )?);
    expect!["403 SignatureDoesNotMatch"].assert_eq(&send("GET", &put, b"", None)?);
    expect!["403 AccessDenied"].assert_eq(&send(
        "GET",
        &format!("{}/{BUCKET}/valhalla.zip", s3.url()),
        b"",
        None,
    )?);
    Ok(())
}

#[test]
fn a_presigned_url_expires() -> Result<()> {
    let s3 = S3::start(&[BUCKET], "key-id", "secret")?;
    let put = presign(&s3, "PUT", "valhalla.zip", 1, &[])?;
    thread::sleep(Duration::from_millis(2100));
    expect!["403 AccessDenied"].assert_eq(&send("PUT", &put, b"world", None)?);
    Ok(())
}

#[test]
fn a_body_of_another_digest_is_refused() -> Result<()> {
    let s3 = S3::start(&[BUCKET], "key-id", "secret")?;
    // SHA-256 of "world" in base 64.
    let digest = "SG6kYiTRu0+2gPNPfJrZao8k7Ii+c+qOWmxlJg6cuKc=";
    let header = [("x-amz-checksum-sha256", digest)];
    let put = presign(&s3, "PUT", "valhalla.zip", 60, &header)?;
    expect!["400 BadDigest"].assert_eq(&send("PUT", &put, b"dworl", Some(digest))?);
    // Unlike S3, which keeps nothing of a refused upload.
    assert_eq!(std::fs::read(s3.dir().join(BUCKET).join("valhalla.zip"))?, b"dworl");
    expect!["403 SignatureDoesNotMatch"].assert_eq(&send("PUT", &put, b"world", None)?);
    expect!["200"].assert_eq(&send("PUT", &put, b"world", Some(digest))?);
    Ok(())
}

/// Returns a URL as Signature Version 4 signs it in the query, with `headers` that the sender must send.
fn presign(s3: &S3, method: &str, key: &str, expires: u32, headers: &[(&str, &str)]) -> Result<String> {
    let now =
        jiff::Timestamp::from_second(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().cast_signed())?;
    let (day, time) = (now.strftime("%Y%m%d").to_string(), now.strftime("%Y%m%dT%H%M%SZ").to_string());
    let host = s3.url().trim_start_matches("http://");
    let names: Vec<_> = ["host"].into_iter().chain(headers.iter().map(|(name, _)| *name)).collect();
    let scope = format!("{day}/us-east-1/s3/aws4_request");
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={time}&X-Amz-Expires={expires}&X-Amz-SignedHeaders={}",
        format!("{}/{scope}", s3.access_key()).replace('/', "%2F"),
        names.join("%3B"),
    );
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!(
        "{method}\n/{BUCKET}/{key}\n{query}\nhost:{host}\n{lines}\n{}\nUNSIGNED-PAYLOAD",
        names.join(";")
    );
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let secret = format!("AWS4{}", s3.secret_key()).into_bytes();
    let key_of_the_day = [day.as_str(), "us-east-1", "s3", "aws4_request"]
        .iter()
        .try_fold(secret, |key, part| mac(&key, part))?;
    let signature = hex(&mac(&key_of_the_day, &to_sign)?);
    Ok(format!("{}/{BUCKET}/{key}?{query}&X-Amz-Signature={signature}", s3.url()))
}

fn mac(key: &[u8], text: &str) -> Result<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends a request and returns the status with the code of the error, or the body.
fn send(method: &str, url: &str, body: &[u8], digest: Option<&str>) -> Result<String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some(digest) = digest {
        request = request.header("x-amz-checksum-sha256", digest);
    }
    let mut answer =
        if method == "GET" { agent.run(request.body(())?)? } else { agent.run(request.body(body)?)? };
    let text = answer.body_mut().read_to_string()?;
    let code = text.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next()).unwrap_or(&text);
    Ok(format!("{} {code}", answer.status().as_u16()).trim_end().to_owned())
}
