//! Certificates are verified unless a datasource's own configuration says otherwise.

use std::sync::Arc;

use congress_plugins::{ConfigError, HostConfig};
use congress_table::Value;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::*;

/// A TLS service of one answer per connection: its URL and its certificate.
async fn service() -> (String, String) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the test's runtime.
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Clients that trust nobody break off here.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    (format!("https://localhost:{port}/"), cert.pem())
}

async fn fetch(config: HostConfig, url: &str, more: Json) -> Result<Value, String> {
    let mut settings = json!({"mode": "fetch", "target": url});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let outcome = poll(config, settings).await.map_err(|error| error.to_string())?;
    Ok(reported(&outcome, "text"))
}

#[tokio::test]
async fn each_datasource_says_whom_it_trusts() {
    let (url, pem) = service().await;
    let ok = Ok(Value::text("ok"));
    let unknown = fetch(local_config(), &url, json!({})).await.unwrap_err();
    assert!(unknown.contains("certificate"), "{unknown}");
    for insecure in [json!("false"), json!(false)] {
        let verified = fetch(local_config(), &url, json!({"insecure": insecure})).await;
        assert!(verified.unwrap_err().contains("certificate"));
    }
    assert_eq!(fetch(local_config(), &url, json!({"cacert": pem})).await, ok);
    assert_eq!(fetch(local_config(), &url, json!({"insecure": "True"})).await, ok);
    // The others still verify.
    assert!(fetch(local_config(), &url, json!({})).await.is_err());
}

#[tokio::test]
async fn a_file_of_certificates_needs_the_operator() {
    let (url, pem) = service().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let granting = HostConfig { allowed_files: vec![file.clone()], ..local_config() };
    let settings = json!({"cacert": file});
    assert_eq!(fetch(granting, &url, settings).await, Ok(Value::text("ok")));
    let settings = json!({"mode": "fetch", "target": url, "cacert": file});
    let error = source(local_config(), settings).await.unwrap_err();
    assert!(matches!(&error, ConfigError::Invalid { field, .. } if field == "cacert"), "{error}");
    assert!(error.to_string().contains("`allowed_files`"), "{error}");
}
