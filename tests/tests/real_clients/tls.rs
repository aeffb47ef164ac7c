//! Whose certificates the client believes.

use std::sync::Arc;

use congress_tests::{Server, ServerOptions};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{Ran, own};

/// An authority that has signed nothing that counts, or that has.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { params, key: KeyPair::generate().unwrap() }
    }

    fn pem(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    /// What a proxy for this host needs.
    fn proxy(self, host: &str) -> TlsAcceptor {
        let issuer = Issuer::new(self.params, self.key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let own = own.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A proxy that ends TLS before a server; its port.
async fn before(server: &Server, acceptor: TlsAcceptor) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = server.authority().to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, target) = (acceptor.clone(), target.clone());
            tokio::spawn(async move {
                // A client that believes nothing hangs up.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let Ok(mut server) = TcpStream::connect(target).await else { return };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_counts_if_the_given_authority_signed_it() {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let authority = Authority::new();
    let good = file("good.pem", &authority.pem());
    let foreign = file("foreign.pem", &Authority::new().pem());
    let none = file("none.pem", "certainly none\n");
    let port = before(&server, authority.proxy("localhost")).await;
    let url = format!("https://localhost:{port}");
    let list = |variables: &[(&str, &str)], flags: &[&str]| -> Ran {
        let mut command = own();
        command.env("CONGRESS_URL", &url).envs(variables.iter().copied());
        command.args(flags).args(["policy", "list", "-f", "value", "-c", "name"]);
        command.output().unwrap().into()
    };
    tokio::task::block_in_place(|| {
        for ran in [
            list(&[("OS_CACERT", &good)], &[]),
            list(&[], &["--os-cacert", &good]),
            list(&[("OS_CACERT", &foreign)], &["--os-cacert", &good]),
            list(&[], &["--insecure"]),
        ] {
            assert!(ran.code == Some(0) && ran.out.contains("classification"), "{ran:?}");
        }
        for ran in [list(&[], &[]), list(&[("OS_CACERT", &foreign)], &[])] {
            assert!(ran.code == Some(1) && ran.out.is_empty(), "{ran:?}");
        }
        for (path, says) in
            [(none.as_str(), "holds no certificate"), ("/none", "cannot read /none")]
        {
            let ran = list(&[], &["--os-cacert", path]);
            assert!(ran.code == Some(1) && ran.err.contains(says), "{ran:?}");
        }
    });
}
