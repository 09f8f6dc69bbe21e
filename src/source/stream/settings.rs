//! The configured server in the library's terms.

use std::path::PathBuf;
use std::time::Duration;

use pgwire_replication::config::{ReplicationConfig, SslMode, TlsConfig};
use tokio_postgres::config::Host;

use super::Wanted;
use crate::config::{Server, TlsMode, quote_identifier};
use crate::error::{Error, Result};
use crate::pg::settings;

/// Shortest time between two reports of a raised position: one a second is what `pg_recvlogical` and
/// subscriptions cost at most, and bounds how long a stopping source waits.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Longest time in which the client says nothing while it has nothing to confirm. Far above half of any
/// sensible `wal_sender_timeout`, for the reason given in [`super`].
const IDLE_WAKEUP: Duration = Duration::from_secs(3600);

/// Messages that the library reads ahead, which it counts without their size: at 1 MiB a row that is 8 MiB
/// (P13). The queue that bounds bytes is the receiver's, which empties this one at once.
const BUFFER_MESSAGES: usize = 8;

/// A name that the server's certificate is for, from an error that says that `name` is none: what
/// `verify-ca` connects with instead.
///
/// The library means to overlook the name in that mode, but looks for an error that its TLS library no
/// longer gives. Checking the certificate for a name of its own is the same check: the signature counts,
/// the name does not.
pub(super) fn certified_name(tls: TlsMode, error: &Error) -> Option<String> {
    let Error::Failed { cause, .. } = error else { return None };
    let (_, names) = cause.split_once("certificate is only valid for ")?;
    let (_, name) = names.split_once("DnsName(\"")?;
    let (name, _) = name.split_once('"')?;
    // A wildcard stands for one label.
    (tls == TlsMode::VerifyCa).then(|| name.replacen('*', "any", 1))
}

/// One place to connect to.
pub(super) struct Endpoint {
    /// A host name, an address, or the directory of a Unix socket.
    host: String,
    /// The name that a certificate must have.
    pub(super) name: String,
    port: u16,
}

pub(super) fn endpoints(server: &Server) -> Result<Vec<Endpoint>> {
    let (hosts, addresses) = (server.postgres.get_hosts(), server.postgres.get_hostaddrs());
    let ports = server.postgres.get_ports();
    let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let mut found = Vec::new();
    for index in 0..hosts.len().max(addresses.len()) {
        let address = addresses.get(index).map(ToString::to_string);
        let (host, name) = match hosts.get(index) {
            Some(Host::Tcp(name)) => (address.unwrap_or_else(|| name.clone()), name.clone()),
            #[cfg(unix)]
            Some(Host::Unix(directory)) => {
                let Some(directory) = directory.to_str() else {
                    let problem = "the source's socket directory is not UTF-8";
                    return Err(Error::Config(problem.into()));
                };
                (directory.to_owned(), String::new())
            }
            None => (address.clone().unwrap_or_default(), address.unwrap_or_default()),
        };
        found.push(Endpoint { host, name, port: port(index) });
    }
    Ok(found)
}

/// The password in the forms in which a server may know it: prepared as SCRAM asks (SASLprep, as ordinary connections do), and
/// as it is, for other methods.
pub(super) fn passwords(server: &Server) -> Vec<String> {
    let password = server.postgres.get_password().unwrap_or_default();
    let Ok(password) = std::str::from_utf8(password) else {
        return vec![String::from_utf8_lossy(password).into_owned()];
    };
    let mut forms: Vec<String> =
        stringprep::saslprep(password).map(std::borrow::Cow::into_owned).into_iter().collect();
    forms.push(password.to_owned());
    forms.dedup();
    forms
}

pub(super) fn settings(
    server: &Server,
    endpoint: &Endpoint,
    wanted: &Wanted<'_>,
    password: &str,
) -> Result<ReplicationConfig> {
    let postgres = &server.postgres;
    let Some(user) = postgres.get_user() else {
        return Err(Error::Config("the source's URL names no user".into()));
    };
    let options = match postgres.get_options() {
        // The last setting of a name wins, so that the pinned ones hold.
        Some(own) => format!("{own} {}", settings::startup_options()),
        None => settings::startup_options(),
    };
    let database = postgres.get_dbname().unwrap_or(user);
    // The server reads the publication as a list of identifiers, hence the quotes.
    let &Wanted { reader, slot, start, .. } = wanted;
    let publication = quote_identifier(wanted.publication);
    let config =
        ReplicationConfig::new(&endpoint.host, user, password, database, slot, publication)
            .with_port(endpoint.port)
            .with_tls(tls(server, endpoint)?)
            .with_start_lsn(pgwire_replication::Lsn::from_u64(start.0))
            .with_status_interval(STATUS_INTERVAL)
            .with_wakeup_interval(IDLE_WAKEUP)
            .with_buffer_size(BUFFER_MESSAGES)
            .with_options(options)
            .with_application_name(reader);
    Ok(config)
}

fn tls(server: &Server, endpoint: &Endpoint) -> Result<TlsConfig> {
    let mode = match server.tls {
        // A Unix socket is never encrypted, as with libpq.
        _ if endpoint.host.starts_with('/') => SslMode::Disable,
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Require => SslMode::Require,
        TlsMode::VerifyCa => SslMode::VerifyCa,
        TlsMode::VerifyFull => SslMode::VerifyFull,
    };
    let verifies = matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull);
    let ca_pem_path = match &server.ca_file {
        Some(file) => Some(file.clone()),
        None if verifies => Some(system_authorities()?),
        None => None,
    };
    let sni_hostname = (mode != SslMode::Disable).then(|| endpoint.name.clone());
    let own = server.client_cert.as_ref().filter(|_| mode != SslMode::Disable);
    Ok(TlsConfig {
        mode,
        ca_pem_path,
        sni_hostname,
        client_cert_pem_path: own.map(|own| own.certificate.clone()),
        client_key_pem_path: own.map(|own| own.key.clone()),
    })
}

/// The system's file of certificate authorities. The library would otherwise trust a list of its own,
/// and not what the ordinary connections trust.
fn system_authorities() -> Result<PathBuf> {
    let usual = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let mut candidates = named.into_iter().chain(usual.into_iter().map(PathBuf::from));
    candidates.find(|file| file.is_file()).ok_or_else(|| {
        Error::Config(
            "no file of the system's certificate authorities was found: set sslrootcert".into(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, tls: TlsMode) -> Server {
        Server {
            postgres: url.parse().unwrap(),
            tls,
            ca_file: Some("/ca.pem".into()),
            client_cert: None,
            schema: crate::config::Schema::default(),
        }
    }

    fn wanted(publication: &str) -> Wanted<'_> {
        let start = crate::lsn::Lsn(7);
        Wanted { reader: "tributary", slot: "slot", publication, start, begins: true }
    }

    #[test]
    fn a_server_is_reached_as_configured() {
        let check = |url: &str, tls: TlsMode, expected: &[(&str, u16, SslMode, Option<&str>)]| {
            let server = server(url, tls);
            let found = endpoints(&server).unwrap();
            let seen: Vec<_> = found
                .iter()
                .map(|endpoint| settings(&server, endpoint, &wanted("Pub"), "").unwrap())
                .map(|c| (c.host, c.port, c.tls.mode, c.tls.sni_hostname))
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(host, port, mode, name)| {
                    ((*host).into(), *port, *mode, name.map(Into::into))
                })
                .collect();
            assert_eq!(seen, expected, "{url}");
        };
        let full = (SslMode::VerifyFull, Some("db.example.com"));
        check(
            "host=db.example.com user=u dbname=d",
            TlsMode::VerifyFull,
            &[("db.example.com", 5432, full.0, full.1)],
        );
        check(
            "host=db.example.com hostaddr=192.0.2.1 port=6 user=u",
            TlsMode::VerifyFull,
            &[("192.0.2.1", 6, full.0, full.1)],
        );
        check(
            "host=a.example.com,b.example.com port=1,2 user=u",
            TlsMode::Require,
            &[
                ("a.example.com", 1, SslMode::Require, Some("a.example.com")),
                ("b.example.com", 2, SslMode::Require, Some("b.example.com")),
            ],
        );
        check(
            "host=/run/pg user=u",
            TlsMode::VerifyFull,
            &[("/run/pg", 5432, SslMode::Disable, None)],
        );
    }

    #[test]
    fn a_password_is_prepared_as_for_ordinary_connections() {
        let check = |password: &str, expected: &[&str]| {
            let mut server = server("host=/run/pg user=u", TlsMode::Disable);
            server.postgres.password(password);
            assert_eq!(passwords(&server), expected);
        };
        check("secret", &["secret"]);
        check("se\u{a0}cret", &["se cret", "se\u{a0}cret"]);
        check("", &[""]);
        // What SASLprep does not allow is used as it is.
        check("a\u{7}b", &["a\u{7}b"]);
    }

    #[test]
    fn verify_ca_takes_a_name_from_the_certificate_and_other_modes_do_not() {
        let check = |names: &str, tls: TlsMode, expected: Option<&str>| {
            let cause = format!(
                "certificate not valid for name \"a\"; certificate is only valid for {names}"
            );
            let name = certified_name(tls, &Error::failed("x", cause));
            assert_eq!(name.as_deref(), expected, "{names}");
        };
        check("DnsName(\"localhost\")", TlsMode::VerifyCa, Some("localhost"));
        check("DnsName(\"*.example.com\") or b", TlsMode::VerifyCa, Some("any.example.com"));
        check("IpAddress(192.0.2.1)", TlsMode::VerifyCa, None);
        check("DnsName(\"localhost\")", TlsMode::VerifyFull, None);
        assert_eq!(certified_name(TlsMode::VerifyCa, &Error::failed("x", "UnknownIssuer")), None);
    }

    #[test]
    fn the_publication_is_quoted_and_the_settings_are_pinned() {
        let server =
            server("host=/run/pg user=u options='-c TimeZone=Asia/Manila'", TlsMode::Disable);
        let endpoint = endpoints(&server).unwrap().remove(0);
        let config = settings(&server, &endpoint, &wanted("My \"Pub\""), "").unwrap();
        assert_eq!(config.publication.names(), ["\"My \"\"Pub\"\"\""]);
        let pinned = r"-c quote_all_identifiers=off -c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c default_transaction_isolation=read\ committed";
        assert!(config.options.unwrap().ends_with(pinned));
        assert_eq!(config.database, "u");
    }
}
