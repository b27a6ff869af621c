//! TLS as libpq's `sslmode` means it. rustls by itself always verifies fully, so the weaker modes need verifiers of
//! their own: PostgreSQL's chapter "SSL Support", table "SSL Mode Descriptions".

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresError;
use super::conninfo::{ConnInfo, SslMode, TlsVersion};

/// Lists of revoked certificates can be long; a file of this size is none.
const FILE_BYTES: u64 = 64 << 20;

/// The connector for these settings.
///
/// # Errors
/// If a certificate or key file cannot be read or used.
pub fn connector(conninfo: &ConnInfo) -> Result<MakeRustlsConnect, PostgresError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = [
        (TlsVersion::V1_2, &rustls::version::TLS12),
        (TlsVersion::V1_3, &rustls::version::TLS13),
    ];
    let versions = versions
        .iter()
        .filter(|(version, _)| conninfo.tls_versions.contains(version));
    let versions: Vec<_> = versions.map(|(_, spoken)| *spoken).collect();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| PostgresError::Tls(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = match conninfo.sslmode {
        SslMode::VerifyFull => chain_verifier(conninfo, &provider)?,
        _ if conninfo.verifies_issuer() => Arc::new(AnyName {
            inner: chain_verifier(conninfo, &provider)?,
        }),
        _ => Arc::new(AnyCertificate { provider }),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match (&conninfo.sslcert, &conninfo.sslkey) {
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| PostgresError::Tls(error.to_string()))?,
        _ => builder.with_no_client_auth(),
    };
    // PostgreSQL resumes no session, and to remember them takes memory
    config.resumption = Resumption::disabled();
    config.enable_sni = conninfo.sslsni;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

/// A file whole, or not at all: a part of a list of revoked certificates would let the others in.
fn read(path: &Path) -> Result<Vec<u8>, PostgresError> {
    let unreadable = |why: String| PostgresError::Tls(format!("cannot read {}: {why}", path.display()));
    let mut bytes = Vec::new();
    let length = File::open(path)
        .and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(error.to_string()))?;
    if length as u64 > FILE_BYTES {
        return Err(unreadable(format!("it is larger than {} MB", FILE_BYTES >> 20)));
    }
    Ok(bytes)
}

fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, PostgresError> {
    let unusable = |why: String| PostgresError::Tls(format!("{} (sslcrl): {why}", path.display()));
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(error.to_string()))?;
    if lists.is_empty() {
        return Err(unusable(
            "it holds no PEM list of revoked certificates".to_owned(),
        ));
    }
    Ok(lists)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PostgresError> {
    CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| PostgresError::Tls(format!("{} holds no PEM certificates: {error}", path.display())))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, PostgresError> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|error| PostgresError::Tls(format!("{} holds no PEM key: {error}", path.display())))
}

fn chain_verifier(
    conninfo: &ConnInfo,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, PostgresError> {
    let mut roots = RootCertStore::empty();
    match &conninfo.sslrootcert {
        Some(path) if path.as_os_str() != "system" => {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| PostgresError::Tls(format!("{}: {error}", path.display())))?;
            }
        }
        _ => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let mut verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    if let Some(path) = &conninfo.sslcrl {
        // as OpenSSL: a list that is out of date is no answer
        verifier = verifier.with_crls(revoked(path)?).enforce_revocation_expiration();
    }
    verifier
        .build()
        .map_err(|error| PostgresError::Tls(format!("sslrootcert or sslcrl cannot be used: {error}")))
}

/// `verify-ca`: the chain must be right, the name need not be.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
}

/// `require` and below: encrypted, but not verified.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.inner
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

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
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
