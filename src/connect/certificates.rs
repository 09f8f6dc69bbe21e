//! Which server certificates are believed, by `sslmode`.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError,
    RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use x509_cert::der::Decode as _;

use crate::config::{ClientCert, Server, TlsMode};
use crate::error::Error;

/// The parameter that names the authorities to trust.
const ROOTS: &str = "sslrootcert";

/// The TLS side of a connection, or what is wrong with the certificates to trust or to present.
/// Of `seen`, the end of its certificate is reported, or of ours where that ends first.
pub(super) fn client_config(
    server: &Server,
    seen: Option<&'static str>,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let own = server.client_cert.as_ref().map(presented).transpose()?;
    let ends = own.as_ref().and_then(|(chain, _)| expiry(chain.first()?));
    let seen = seen.map(|name| Seen { name, own_ends: ends.unwrap_or(f64::INFINITY) });
    let verifier = verifier(server.tls, server.ca_file.as_deref(), seen, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match own {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("sslcert and sslkey: {error}"))?,
        None => builder.with_no_client_auth(),
    };
    // Asked for by servers when encryption starts without PostgreSQL's own request (sslnegotiation).
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

/// What this client presents: the certificate with those that lead to its authority, and its key.
fn presented(
    own: &ClientCert,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = certificates(&own.certificate, "sslcert")?;
    let key = PrivateKeyDer::from_pem_file(&own.key)
        .map_err(|error| unusable("sslkey", &own.key, &error))?;
    Ok((chain, key))
}

/// The server whose certificate is looked at, and when the one that it is shown ends, in Unix time.
#[derive(Debug, Clone, Copy)]
struct Seen {
    name: &'static str,
    own_ends: f64,
}

fn verifier(
    mode: TlsMode,
    ca_file: Option<&Path>,
    seen: Option<Seen>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let provider = Arc::clone(provider);
    let checks_name = mode == TlsMode::VerifyFull;
    let pinned = match (mode, ca_file) {
        (TlsMode::VerifyCa | TlsMode::VerifyFull, Some(file)) => certificates(file, ROOTS)?,
        _ => Vec::new(),
    };
    let by_authority: Arc<dyn ServerCertVerifier> = match mode {
        TlsMode::Disable | TlsMode::Require => Arc::new(Trust { roots: None, provider }),
        TlsMode::VerifyCa => Arc::new(Trust { roots: Some(roots(ca_file)?), provider }),
        TlsMode::VerifyFull => {
            let roots = Arc::new(roots(ca_file)?);
            WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| error.to_string())?
        }
    };
    Ok(Arc::new(OrItself { by_authority, pinned, checks_name, seen }))
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
    for certificate in certificates(file, ROOTS)? {
        store.add(certificate).map_err(|error| unusable(ROOTS, file, &error))?;
    }
    Ok(store)
}

/// Those of the file that a parameter names.
fn certificates(file: &Path, parameter: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |error: &dyn std::fmt::Display| unusable(parameter, file, error);
    let read = CertificateDer::pem_file_iter(file).map_err(|error| unusable(&error))?;
    let read: Result<Vec<_>, _> = read.collect();
    let certificates = read.map_err(|error| unusable(&error))?;
    if certificates.is_empty() {
        return Err(unusable(&"the file holds no certificate"));
    }
    Ok(certificates)
}

fn unusable(parameter: &str, file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{parameter} {}: {error}", file.display())
}

/// Believes also a server whose certificate is itself in the file, as libpq does: a self-signed one is its own authority,
/// and usually says so, which others take for a mistake. Reports when the certificate ends, also where it is not checked.
#[derive(Debug)]
struct OrItself {
    by_authority: Arc<dyn ServerCertVerifier>,
    pinned: Vec<CertificateDer<'static>>,
    checks_name: bool,
    seen: Option<Seen>,
}

impl ServerCertVerifier for OrItself {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let (Some(seen), Some(at)) = (self.seen, expiry(end_entity)) {
            crate::metrics::set_certificate_expiry(seen.name, at.min(seen.own_ends));
        }
        let verified = self.by_authority.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // Its dates were looked at before.
            Err(error)
                if is_authority(&error) && self.pinned.iter().any(|own| own == end_entity) =>
            {
                if self.checks_name {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                }
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}

/// Whether all that is wrong is that the certificate is one of an authority.
fn is_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error
    else {
        return false;
    };
    cause.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity)
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

/// In Unix time; `None` where the certificate cannot be read.
fn expiry(certificate: &CertificateDer<'_>) -> Option<f64> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let at = certificate.tbs_certificate.validity.not_after;
    Some(at.to_unix_duration().as_secs_f64())
}

/// A failure of encryption that a retry does not heal, with its remedy.
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
        if let Some(rustls::Error::AlertReceived(alert)) = rustls
            && is_about_ours(*alert)
        {
            let problem =
                format!("{what}: the server does not accept the client's certificate: {alert:?}");
            let remedy = "name with sslcert and sslkey a certificate that an authority of the server's ssl_ca_file \
                          signed and that has not ended";
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

/// Whether a server says so of what the client presents, or does not present.
fn is_about_ours(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateRequired
            | AlertDescription::DecryptError
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Of db.example.com, signed by itself, as `openssl req -x509` makes it; valid for 100 years from 2026.
    const OWN: &str = "\
-----BEGIN CERTIFICATE-----
MIIBpDCCAUqgAwIBAgIUMv/TzPw/tX8FL7jOTAHqs2hH2hswCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOZGIuZXhhbXBsZS5jb20wIBcNMjYxMTI3MDEyMzIzWhgPMjEy
NjExMDMwMTIzMjNaMBkxFzAVBgNVBAMMDmRiLmV4YW1wbGUuY29tMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEsMvh5NjjgxeB0vjkpQ1OgANRD117gGSTZp/+DwIr
RAghOgWLpW+8Y3h6rLBsqiPVKHJi7njHVdpNxXJevgXNg6NuMGwwHQYDVR0OBBYE
FFRJEhMtsvc6bfGS2Ppt3fUw0zFYMB8GA1UdIwQYMBaAFFRJEhMtsvc6bfGS2Ppt
3fUw0zFYMA8GA1UdEwEB/wQFMAMBAf8wGQYDVR0RBBIwEIIOZGIuZXhhbXBsZS5j
b20wCgYIKoZIzj0EAwIDSAAwRQIhANYJ4t1PUCJkJv9eqP7YLUXS/GFHaA3HpAVH
xsbHmQokAiBjVAyaXjf2ercpdFzsCJEsytIewQvEVZmud2J0jdcHxg==
-----END CERTIFICATE-----";
    /// Another one of the same name.
    const OTHER: &str = "\
-----BEGIN CERTIFICATE-----
MIIBozCCAUqgAwIBAgIUPYwLMiDOhVk1q+u52twXjJdvIeowCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOZGIuZXhhbXBsZS5jb20wIBcNMjYxMTI3MDEyMzIzWhgPMjEy
NjExMDMwMTIzMjNaMBkxFzAVBgNVBAMMDmRiLmV4YW1wbGUuY29tMFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEY5+z6h0Q6PzFDoLSxxjt0I/atQQuGt0GOAYqctHV
OVdImM2qVSmu6Kxj58sZu8iVN3p4bMSg9drVwHJKZRSjs6NuMGwwHQYDVR0OBBYE
FC9vvX0fLaNjuIqlUqmMuN+6667+MB8GA1UdIwQYMBaAFC9vvX0fLaNjuIqlUqmM
uN+6667+MA8GA1UdEwEB/wQFMAMBAf8wGQYDVR0RBBIwEIIOZGIuZXhhbXBsZS5j
b20wCgYIKoZIzj0EAwIDRwAwRAIgCPA6x3r9RRC9FuiNuFMJKJuuyAzSqCp10Qvd
cekOyewCID+4I75HBgOtGb3kUHaggEcdzUIpxwfDcwYQsShRW8Mk
-----END CERTIFICATE-----";

    /// As libpq: <https://www.postgresql.org/docs/current/libpq-ssl.html>.
    #[test]
    fn a_self_signed_certificate_is_its_own_authority() {
        let provider = Arc::new(ring::default_provider());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), OWN).unwrap();
        let day = 86_400;
        let check = |mode, pem: &str, name: &'static str, days: u64, expected: bool| {
            let verifier = verifier(mode, Some(file.path()), None, &provider).unwrap();
            let server = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            let name = ServerName::try_from(name).unwrap();
            let now = UnixTime::since_unix_epoch(Duration::from_secs(days * day));
            let verified = verifier.verify_server_cert(&server, &[], &name, &[], now);
            assert_eq!(verified.is_ok(), expected, "{mode:?} {name:?} {days}: {verified:?}");
        };
        const IN_2030: u64 = 22_000;
        check(TlsMode::VerifyCa, OWN, "db.example.com", IN_2030, true);
        check(TlsMode::VerifyCa, OWN, "other.example.com", IN_2030, true);
        check(TlsMode::VerifyFull, OWN, "db.example.com", IN_2030, true);
        check(TlsMode::VerifyFull, OWN, "other.example.com", IN_2030, false);
        // Not one that merely says the same, nor one that is over.
        for mode in [TlsMode::VerifyCa, TlsMode::VerifyFull] {
            check(mode, OTHER, "db.example.com", IN_2030, false);
            check(mode, OWN, "db.example.com", 80_000, false);
            check(mode, OWN, "db.example.com", 20_000, false);
        }
        check(TlsMode::Require, OTHER, "other.example.com", IN_2030, true);
    }

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
