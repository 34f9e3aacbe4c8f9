//! Deliveries over TLS.

use std::{net::SocketAddr, sync::Arc};

use queue::Status;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use service::tasks::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use super::Setup;

/// A server with a certificate for this name; gives the certificate, which is its own authority.
async fn server(name: &str) -> (SocketAddr, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    Tasks::new().spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nsafe").await;
            let _ = stream.shutdown().await;
        }
    });
    (address, cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_trusted_for_its_authority_and_its_name() {
    let (address, authority) = server("localhost").await;
    let lines = |host: &str| format!("url = \"https://{host}:{}/\"\nca_file = \"DIR/ca.pem\"", address.port());
    let setup = Setup::kind_and(&lines("localhost"), &[("ca.pem", &authority)]).await;
    assert_eq!(setup.result("1").await["body"], "safe");

    let (_, stranger) = server("localhost").await;
    for (host, ca) in [("127.0.0.1", &authority), ("localhost", &stranger)] {
        let setup = Setup::kind_and(&lines(host), &[("ca.pem", ca)]).await;
        let error = setup.run("1", Status::Failed).await.error.expect("a reason");
        assert!(error.contains("certificate"), "{host}: {error}");
    }
    let system = Setup::kind(&format!("url = \"https://localhost:{}/\"", address.port())).await;
    let error = system.run("1", Status::Failed).await.error.expect("a reason");
    assert!(error.contains("certificate"), "the system does not know it: {error}");
}
