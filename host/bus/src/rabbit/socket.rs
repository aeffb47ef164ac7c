//! Connections to a broker that can be cut at any moment.
//!
//! The library's own thread of a connection that hangs (a broker that is stopped, a network that
//! swallows everything) would wait for ever. Here every connection's socket is at hand a second
//! time, and shutting that down ends the thread whatever it waits for.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_rs::traits::Reactor as _;
use async_rs::{Runtime, TokioRuntime};
use lapin::tcp::RustlsConnector;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::options::{RabbitHost, RabbitOptions, RabbitTls};

/// The longest frame, in bytes. The library holds 64 of them for each connection, which with the
/// broker's own 128 KiB would be 8 MiB.
const FRAME: u32 = 32 << 10;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// A connection; dropping it cuts it.
pub(super) struct Socket {
    pub(super) connection: Connection,
    _cut: Cut,
}

/// Shuts a socket down when dropped.
struct Cut(TcpStream);

impl Drop for Cut {
    fn drop(&mut self) {
        // An error means that it is down already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// What a failure to connect is called for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{host}:{port}: {reason}")]
pub(super) struct ConnectError {
    host: String,
    port: u16,
    reason: String,
}

/// Connects, for one `purpose`, shown in the broker's list of connections.
pub(super) async fn connect(
    options: &RabbitOptions,
    host: &RabbitHost,
    tls: Option<&RustlsConnector>,
    purpose: &str,
) -> Result<Socket, ConnectError> {
    let fail = |reason: String| ConnectError { host: host.host.clone(), port: host.port, reason };
    match tokio::time::timeout(CONNECT, open(options, host, tls, purpose)).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(reason)) => Err(fail(reason)),
        Err(_) => Err(fail(format!("no answer within {CONNECT:?}"))),
    }
}

async fn open(
    options: &RabbitOptions,
    host: &RabbitHost,
    tls: Option<&RustlsConnector>,
    purpose: &str,
) -> Result<Socket, String> {
    let runtime: TokioRuntime = Runtime::tokio_current();
    let plain = tcp(&runtime, host).await.map_err(|error| error.to_string())?;
    let second = plain.get_ref().as_fd().try_clone_to_owned();
    let cut = Cut(second.map_err(|error| error.to_string())?.into());
    let mut stream = AsyncTcpStream::Plain(plain);
    if let Some(connector) = tls {
        let secured = stream.into_rustls(connector, &host.host).await;
        stream = secured.map_err(|error| format!("TLS: {error}"))?;
    }
    let uri = AMQPUri {
        scheme: if tls.is_some() { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: host.user.clone(), password: host.password.clone() },
            host: host.host.clone(),
            port: host.port,
        },
        vhost: options.virtual_host.clone(),
        query: AMQPQueryString {
            heartbeat: Some(options.heartbeat.as_secs().clamp(1, 600) as u16),
            frame_max: Some(FRAME),
            ..AMQPQueryString::default()
        },
    };
    let name = format!("congress {} {} {purpose}", options.node_id, options.instance);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    // The library may ask for a stream again only after a loss, and is told to give up then.
    let once = Arc::new(Mutex::new(Some(stream)));
    let hand_over = async move |_: AMQPUri, _: TokioRuntime| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted).into())
    };
    let connection = Connection::connector(uri, runtime, hand_over, properties)
        .await
        .map_err(|error| error.to_string())?;
    Ok(Socket { connection, _cut: cut })
}

type Stream = <async_rs::Tokio as async_rs::traits::Reactor>::TcpStream;

/// Connects to the first address that answers.
async fn tcp(runtime: &TokioRuntime, host: &RabbitHost) -> io::Result<Stream> {
    let mut last = io::Error::other("the name has no address");
    for address in tokio::net::lookup_host((host.host.as_str(), host.port)).await? {
        match runtime.tcp_connect_addr(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads the files that TLS needs. Done at each attempt, so that renewed certificates are used.
pub(super) fn tls(options: &RabbitTls) -> Result<RustlsConnector, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &options.ca_file {
        None => builder.with_platform_verifier().map_err(|error| error.to_string())?,
        Some(file) => {
            let fail = |error| format!("ssl_ca_file {}: {error}", file.display());
            let mut roots = RootCertStore::empty();
            let certs = CertificateDer::pem_file_iter(file).map_err(|e| fail(e.to_string()))?;
            for cert in certs {
                let cert = cert.map_err(|error| fail(error.to_string()))?;
                roots.add(cert).map_err(|error| fail(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(fail("no certificate in it".to_owned()));
            }
            builder.with_root_certificates(roots)
        }
    };
    let config = match &options.cert_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let fail = |error| format!("ssl_cert_file {}: {error}", file.display());
            let chain = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect)
                .map_err(|error| fail(error.to_string()))?;
            let key_file = options.key_file.as_ref().unwrap_or(file);
            let key = PrivateKeyDer::from_pem_file(key_file)
                .map_err(|error| format!("ssl_key_file {}: {error}", key_file.display()))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| fail(error.to_string()))?
        }
    };
    Ok(Arc::new(config).into())
}
