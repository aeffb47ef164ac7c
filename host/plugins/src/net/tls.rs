//! Whom to trust: the system's certificate authorities, a datasource's own, or (if its
//! configuration says so) anybody.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// A datasource's choice.
#[derive(Clone, Default)]
pub(crate) enum Trust {
    /// The system's certificate authorities.
    #[default]
    System,
    /// These instead.
    Only(Arc<RootCertStore>),
    /// Anybody: `insecure` is set.
    Anybody,
}

impl Trust {
    /// Reads certificates in PEM.
    pub(crate) fn only(pem: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| format!("is not valid PEM: {e}"))?;
            roots.add(certificate).map_err(|e| format!("holds an unusable certificate: {e}"))?;
        }
        if roots.is_empty() {
            return Err("holds no certificate in PEM form".to_owned());
        }
        Ok(Self::Only(Arc::new(roots)))
    }
}

/// Makes TLS configurations; those for the system's authorities share one, for reading these
/// takes milliseconds.
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    system: OnceLock<Result<ClientConfig, String>>,
}

impl Tls {
    pub(crate) fn new() -> Self {
        Self {
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            system: OnceLock::new(),
        }
    }

    /// A configuration for connections without TLS, where the client wants one nevertheless.
    pub(crate) fn unused(&self) -> Result<ClientConfig, String> {
        self.build(|builder| builder.with_root_certificates(RootCertStore::empty()))
    }

    pub(crate) fn config(&self, trust: &Trust) -> Result<ClientConfig, String> {
        match trust {
            Trust::System => self.system.get_or_init(|| self.for_system()).clone(),
            Trust::Only(roots) => self.build(|b| b.with_root_certificates(roots.clone())),
            Trust::Anybody => {
                let verifier = Arc::new(NoVerifier(self.provider.clone()));
                self.build(|b| b.dangerous().with_custom_certificate_verifier(verifier))
            }
        }
    }

    fn for_system(&self) -> Result<ClientConfig, String> {
        let verifier = rustls_platform_verifier::Verifier::new(self.provider.clone())
            .map_err(|e| format!("the system's certificate authorities cannot be read: {e}"))?;
        self.build(|b| b.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
    }

    fn build(
        &self,
        trust: impl FnOnce(
            rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>,
        )
            -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
    ) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        let mut config = trust(builder).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Accepts every certificate, but still has its holder prove that it is theirs.
#[derive(Debug)]
struct NoVerifier(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::HostConfig;
    use crate::net::{Network, Request, SendError, Sender, parse_url};

    /// A TLS service of one answer per connection, and its certificate.
    async fn service() -> (u16, String) {
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
        (port, cert.pem())
    }

    async fn fetch(port: u16, host: &str, trust: Trust) -> Result<bytes::Bytes, SendError> {
        let config = HostConfig {
            allowed_hosts: vec!["127.0.0.1".parse().unwrap(), "localhost".parse().unwrap()],
            ..HostConfig::default()
        };
        let network = Arc::new(Network::new(&config, tokio::runtime::Handle::current()));
        let request = Request {
            method: http::Method::GET,
            url: parse_url(&format!("https://{host}:{port}/")).unwrap(),
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
        };
        Sender::new(network, trust)
            .fetch(request, &|| Ok(std::time::Duration::MAX))
            .await
            .map(|answer| answer.body)
    }

    #[tokio::test]
    async fn certificates_are_verified_unless_the_datasource_says_otherwise() {
        let (port, pem) = service().await;
        let unknown = fetch(port, "localhost", Trust::System).await.unwrap_err().to_string();
        assert!(unknown.contains("certificate"), "{unknown}");
        let own = Trust::only(pem.as_bytes()).unwrap();
        assert_eq!(fetch(port, "localhost", own.clone()).await.unwrap(), "ok");
        let other_name = fetch(port, "127.0.0.1", own).await.unwrap_err().to_string();
        assert!(other_name.contains("certificate"), "{other_name}");
        assert_eq!(fetch(port, "127.0.0.1", Trust::Anybody).await.unwrap(), "ok");
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for pem in ["", "no pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            assert!(Trust::only(pem.as_bytes()).is_err(), "{pem:?}");
        }
    }
}
