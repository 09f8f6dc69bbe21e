//! Which server certificates are believed, by `sslmode`.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_cert::der::Decode as _;

use crate::config::TlsMode;
use crate::error::Error;

/// The TLS side of a connection, or what is wrong with the certificates to trust.
/// Of `seen`, the end of its certificate is reported.
pub(super) fn client_config(
    mode: TlsMode,
    ca_file: Option<&Path>,
    seen: Option<&'static str>,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match mode {
        TlsMode::Disable | TlsMode::Require => {
            Arc::new(Trust { roots: None, provider: Arc::clone(&provider) })
        }
        TlsMode::VerifyCa => {
            let roots = Some(roots(ca_file)?);
            Arc::new(Trust { roots, provider: Arc::clone(&provider) })
        }
        TlsMode::VerifyFull => {
            let roots = Arc::new(roots(ca_file)?);
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|error| error.to_string())?
        }
    };
    let verifier = Arc::new(Seen { verifier, server: seen });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config =
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    // Asked for by servers when encryption starts without PostgreSQL's own request (sslnegotiation).
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

/// The trusted authorities: of the file, else of the system.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let Some(file) = ca_file else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            return Err("this system has no trusted certificates; set sslrootcert".into());
        }
        return Ok(store);
    };
    let shown = file.display();
    let cannot = |error: &dyn std::fmt::Display| format!("sslrootcert {shown}: {error}");
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| cannot(&error))? {
        let certificate = certificate.map_err(|error| cannot(&error))?;
        store.add(certificate).map_err(|error| cannot(&error))?;
    }
    if store.is_empty() {
        return Err(cannot(&"the file holds no certificate"));
    }
    Ok(store)
}

/// Believes every server (`require`), or every one whose certificate an authority signed, whatever its
/// name (`verify-ca`). That the server has the certificate's private key is checked in both.
#[derive(Debug)]
struct Trust {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let certificate = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Reports when the certificate of a server ends, also where it is not checked otherwise.
#[derive(Debug)]
struct Seen {
    verifier: Arc<dyn ServerCertVerifier>,
    server: Option<&'static str>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let (Some(server), Some(at)) = (self.server, expiry(end_entity)) {
            crate::metrics::set_certificate_expiry(server, at);
        }
        let of = &self.verifier;
        of.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// In Unix time; `None` where the certificate cannot be read.
fn expiry(certificate: &CertificateDer<'_>) -> Option<f64> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let at = certificate.tbs_certificate.validity.not_after;
    Some(at.to_unix_duration().as_secs_f64())
}

/// A failure of encryption that trying again does not mend, with its remedy.
pub(super) fn refusal(what: &str, error: &tokio_postgres::Error) -> Option<Error> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // An I/O error hides what it carries from its own chain of sources.
        let carried = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let rustls = match carried {
            Some(carried) => carried.downcast_ref::<rustls::Error>(),
            None => cause.downcast_ref::<rustls::Error>(),
        };
        if let Some(rustls::Error::InvalidCertificate(problem)) = rustls {
            let problem = format!("{what}: the server's certificate is not valid here: {problem}");
            let remedy = "set sslrootcert to the authority that signed it, and connect by a name that \
                          it is for; sslmode=require does not check certificates";
            return Some(Error::refused(problem, remedy));
        }
        if cause.to_string().contains("server does not support TLS") {
            let remedy =
                "turn ssl on in the server, or set sslmode=disable where the network is safe";
            return Some(Error::refused(format!("{what}: the server has no TLS"), remedy));
        }
        source = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBiTCCAS+gAwIBAgIUR1UH2jxI+aVgKfqHqfd0bY2ByTYwCgYIKoZIzj0EAwIw\n\
        GTEXMBUGA1UEAwwOZGIuZXhhbXBsZS5jb20wIBcNMjYxMTI3MDA0NTAyWhgPMjEy\n\
        NjExMDMwMDQ1MDJaMBkxFzAVBgNVBAMMDmRiLmV4YW1wbGUuY29tMFkwEwYHKoZI\n\
        zj0CAQYIKoZIzj0DAQcDQgAEkWUk8QV0cIfR8XqTMo6se3k6nHWEBiDdTXTY1E8g\n\
        M0Z50gvG7uyVz9lbX85vaz/H/u2WMeEobVbuXqdBi8CK4aNTMFEwHQYDVR0OBBYE\n\
        FFoTwgxYQNtzCZRLln5ekykviyTkMB8GA1UdIwQYMBaAFFoTwgxYQNtzCZRLln5e\n\
        kykviyTkMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhANY+B5Ci\n\
        3xcczWcPzb6ZErc+FqN2Z4ZPbgazjZueduGlAiAhI71ttI7DUyXYTvLG5Fob2Uu3\n\
        9kYOGWxXWjhA4V+gPQ==\n\
        -----END CERTIFICATE-----\n";

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        assert_eq!(expiry(&certificate), Some(4_949_340_302.0));
        assert_eq!(expiry(&CertificateDer::from(vec![0x30, 0x03, 1, 1, 0])), None);
    }
}
