//! Encryption between us and Postgres, by rustls.

use std::{path::Path, sync::Arc};

use clap::ValueEnum;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio_postgres::{Client, Connection, NoTls, Socket, config::SslMode as Wire, tls::TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::ConnectError;
use crate::{authorities, exit::Failure};

/// How a connection is encrypted, with libpq's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server offers it; the certificate is not checked.
    Prefer,
    /// Always; the certificate is not checked, so somebody in the middle can pose as the server.
    Require,
    /// Always, and the certificate must be valid for the host's name.
    VerifyFull,
}

/// A ready-made TLS connector.
#[derive(Clone)]
pub(super) struct Tls {
    mode: Wire,
    connector: Option<MakeRustlsConnect>,
}

impl Tls {
    /// Reads the authorities that `verify-full` needs.
    pub(super) fn new(mode: SslMode, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::software(format!("TLS: {error}")))?;
        let wire = match mode {
            SslMode::Disable => return Ok(Self { mode: Wire::Disable, connector: None }),
            SslMode::Prefer => Wire::Prefer,
            SslMode::Require | SslMode::VerifyFull => Wire::Require,
        };
        let config = match (mode, ca_file) {
            (SslMode::VerifyFull, _) => builder.with_root_certificates(roots(ca_file)?).with_no_client_auth(),
            (_, Some(_)) => return Err(Failure::usage("DATABASE_CA_FILE is checked with sslmode verify-full only")),
            (_, None) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth(),
        };
        Ok(Self { mode: wire, connector: Some(MakeRustlsConnect::new(config)) })
    }

    /// Opens a connection with this encryption.
    pub(super) async fn connect(&self, config: &tokio_postgres::Config) -> Result<AsyncPgConnection, ConnectError> {
        let mut config = config.clone();
        config.ssl_mode(self.mode);
        match &self.connector {
            None => set_up(config.connect(NoTls).await.map_err(refused)?).await,
            Some(connector) => set_up(config.connect(connector.clone()).await.map_err(refused)?).await,
        }
    }
}

/// The library prepares statements here and runs them in a second step. Behind a transaction pooler that holds together in a transaction only.
async fn set_up<T>((client, mut connection): (Client, Connection<Socket, T>)) -> Result<AsyncPgConnection, ConnectError>
where
    T: TlsStream + Unpin + Send + 'static,
{
    tokio::select! {
        begun = client.batch_execute("BEGIN") => begun.map_err(refused)?,
        ended = &mut connection => {
            let reason = ended.err().map_or_else(|| ConnectError::Refused("connection closed".to_owned()), refused);
            return Err(reason);
        }
    }
    let failed = |reason: String| ConnectError::Refused(reason);
    let connection = AsyncPgConnection::try_from_client_and_connection(client, connection).await;
    let mut connection = connection.map_err(|error| failed(error.to_string()))?;
    connection.batch_execute("COMMIT").await.map_err(|error| failed(error.to_string()))?;
    Ok(connection)
}

/// The library's text with its causes, which it does not print by itself.
fn refused(error: tokio_postgres::Error) -> ConnectError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    ConnectError::Refused(text)
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Failure> {
    match ca_file {
        Some(path) => authorities::read(path)
            .map_err(|reason| Failure::usage(format!("DATABASE_CA_FILE {}: {reason}", path.display()))),
        None => match authorities::of_the_system() {
            roots if roots.is_empty() => Err(Failure::usage(
                "sslmode verify-full: the system has no certificate authorities; set DATABASE_CA_FILE",
            )),
            roots => Ok(roots),
        },
    }
}

/// Accepts every certificate: what `require` means. Signatures are still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
