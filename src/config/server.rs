//! A server from its connection string, the environment of libpq and a password file (SPEC §9).

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::conninfo::{self, Parameters};
use super::environment::{Environment, lookup};
use super::section::{Problems, nearest};
use super::{ClientCert, Schema, Server, TlsMode};

/// Parameters that the driver understands, and the five that are dealt with here.
const KNOWN: [&str; 22] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslnegotiation",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

/// Parameters that hosting providers put into their URLs and that change nothing here.
const IGNORED: [&str; 3] = ["client_encoding", "gssencmode", "sslcompression"];

/// What libpq takes from the environment where the connection string is silent.
const FROM_ENVIRONMENT: [(&str, &str); 8] = [
    ("host", "PGHOST"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("dbname", "PGDATABASE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
];

/// A dead connection is noticed after 30 + 3 × 10 seconds of silence, not after the driver's two hours.
const KEEPALIVES: [(&str, &str); 4] = [
    ("keepalives_idle", "30"),
    ("keepalives_interval", "10"),
    ("keepalives_retries", "3"),
    ("tcp_user_timeout", "60"),
];

/// The connection in force, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    /// `key=value` pairs, the password as `***`.
    pub(super) conninfo: String,
    /// Where the password and everything else that the connection string does not say came from.
    pub(super) origins: Vec<String>,
}

/// The pieces a server is made of.
pub(super) struct Pieces<'p> {
    /// The URL or `key=value` pairs.
    pub(super) conninfo: &'p str,
    /// Where it stands, for messages.
    pub(super) path: &'p str,
    /// The password's file, resolved, with the path of its key.
    pub(super) password_file: Option<(PathBuf, &'p str)>,
    /// Whether it is replicated from, too.
    pub(super) streams: bool,
}

/// The server, or problems.
pub(super) fn server(
    pieces: &Pieces<'_>,
    env: Environment<'_>,
    problems: &mut Problems,
) -> Option<(Server, Shown)> {
    let before = problems.reported.len();
    let mut parameters = match conninfo::parse(pieces.conninfo) {
        Ok(parameters) => parameters,
        Err(problem) => {
            problems.add(pieces.path, problem);
            return None;
        }
    };
    check_names(&mut parameters, pieces.path, problems);
    let mut origins = Vec::new();
    fill_from_environment(&mut parameters, env, &mut origins);
    fill_password(&mut parameters, pieces, env, &mut origins, problems);
    fill_place(&mut parameters, env, pieces.path, problems);
    let tls = tls(&mut parameters, &mut origins, pieces.path, problems);
    let (tls, ca_file) = tls?;
    let client_cert = client_cert(&parameters, pieces.path, problems);
    if pieces.streams {
        refuse_binding(&parameters, pieces.path, problems);
    }

    let mut shown = parameters.clone();
    shown.insert("sslmode".into(), tls.as_str().into());
    if let Some(password) = shown.get_mut("password") {
        *password = "***".into();
    }
    let shown = Shown { conninfo: conninfo::render(&shown), origins };
    let postgres = driver_config(parameters, tls, pieces.path, problems)?;
    (problems.reported.len() == before).then_some((
        Server { postgres, tls, ca_file, client_cert, schema: Schema::default() },
        shown,
    ))
}

/// Refuses what nothing here understands, and takes it out, so that the driver does not show its name: a
/// name is only reported where it is nearly a known one, since it may be a piece of a password with a `?` in
/// it.
fn check_names(parameters: &mut Parameters, path: &str, problems: &mut Problems) {
    parameters.retain(|name, _| !IGNORED.contains(&name.as_str()));
    for name in parameters.keys().filter(|name| !KNOWN.contains(&name.as_str())) {
        let is_near = KNOWN.iter().any(|known| strsim::osa_distance(name, known) <= 2);
        match name.as_str() {
            "sslpassword" | "sslcrl" | "passfile" | "service" => {
                problems.add(path, format!("the parameter {name} is not supported"));
            }
            _ if is_near => {
                let hint = nearest(name, KNOWN.into_iter());
                problems.add(path, format!("unknown parameter {name}{hint}"));
            }
            _ => {
                let known = KNOWN.join(", ");
                problems.add(path, format!("an unknown parameter; the known ones are {known}"));
            }
        }
    }
    parameters.retain(|name, _| KNOWN.contains(&name.as_str()));
}

fn fill_from_environment(
    parameters: &mut Parameters,
    env: Environment<'_>,
    origins: &mut Vec<String>,
) {
    for (name, variable) in FROM_ENVIRONMENT {
        let present = parameters.contains_key(name)
            || (name == "host" && parameters.contains_key("hostaddr"));
        if let Some(value) = lookup(env, variable).filter(|_| !present) {
            parameters.insert(name.into(), value);
            origins.push(format!("{name} from {variable}"));
        }
    }
}

/// The password: of the connection string, else of the file, else of `PGPASSWORD`.
fn fill_password(
    parameters: &mut Parameters,
    pieces: &Pieces<'_>,
    env: Environment<'_>,
    origins: &mut Vec<String>,
    problems: &mut Problems,
) {
    if parameters.get("password").is_some_and(|password| !password.is_empty()) {
        origins.push("password from the connection string".into());
        return;
    }
    parameters.remove("password");
    if let Some((file, path)) = &pieces.password_file {
        match read_secret(file) {
            Ok(secret) => {
                parameters.insert("password".into(), secret);
                origins.push(format!("password from {}", file.display()));
            }
            Err(problem) => problems.add(path, problem),
        }
    } else if let Some(password) = env("PGPASSWORD").filter(|password| !password.is_empty()) {
        parameters.insert("password".into(), password);
        origins.push("password from PGPASSWORD".into());
    }
}

/// The content of a file without the newline that editors put at its end.
fn read_secret(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let content = std::fs::read_to_string(file)
        .map_err(|error| format!("the file {shown} cannot be read: {error}"))?;
    let secret = content.strip_suffix('\n').unwrap_or(&content);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(format!("the file {shown} is empty"));
    }
    if secret.contains(['\n', '\0']) {
        return Err(format!("the file {shown} must hold the password alone, on one line"));
    }
    Ok(secret.to_owned())
}

/// Host, port, user and database as libpq chooses them.
fn fill_place(
    parameters: &mut Parameters,
    env: Environment<'_>,
    path: &str,
    problems: &mut Problems,
) {
    if !parameters.contains_key("hostaddr") {
        let host = parameters.entry("host".into()).or_default();
        let hosts =
            host.split(',').map(|host| if host.is_empty() { socket_folder() } else { host });
        *host = hosts.collect::<Vec<_>>().join(",");
    }
    let port = parameters.entry("port".into()).or_default();
    let ports = port.split(',').map(|port| if port.is_empty() { "5432" } else { port });
    *port = ports.collect::<Vec<_>>().join(",");

    let account = || lookup(env, "USER").or_else(|| lookup(env, "LOGNAME"));
    let user = parameters.get("user").filter(|user| !user.is_empty()).cloned().or_else(account);
    let Some(user) = user else {
        problems.add(path, "names no user");
        return;
    };
    let dbname = parameters.entry("dbname".into()).or_default();
    if dbname.is_empty() {
        dbname.clone_from(&user);
    }
    parameters.insert("user".into(), user);

    let count = |name: &str| parameters.get(name).map(|list| list.split(',').count());
    let places = count("host").max(count("hostaddr"));
    for name in ["host", "hostaddr", "port"] {
        let fits = count(name).is_none_or(|n| Some(n) == places || (name == "port" && n == 1));
        if !fits {
            problems.add(path, format!("{name} must list as many values as there are hosts"));
        }
    }
}

/// Where a server of the same machine most likely has its socket.
fn socket_folder() -> &'static str {
    const DEBIAN: &str = "/var/run/postgresql";
    if Path::new(DEBIAN).is_dir() { DEBIAN } else { "/tmp" }
}

/// How the connection is protected, and the certificates it trusts. Takes `sslmode` and `sslrootcert`
/// out of the parameters.
///
/// Unlike with libpq nothing falls back to plaintext: without an `sslmode`, only a connection that does
/// not leave the machine is not encrypted. As with libpq, `require` with a certificate file checks it.
fn tls(
    parameters: &mut Parameters,
    origins: &mut Vec<String>,
    path: &str,
    problems: &mut Problems,
) -> Option<(TlsMode, Option<PathBuf>)> {
    let mode = parameters.remove("sslmode").filter(|mode| !mode.is_empty());
    let root = parameters.get("sslrootcert").filter(|root| !root.is_empty()).cloned();
    let system = root.as_deref() == Some("system");
    let ca_file = root.filter(|_| !system).map(PathBuf::from);

    let places = parameters.get("hostaddr").or_else(|| parameters.get("host"));
    let places: Vec<&str> = places.map(|list| list.split(',').collect()).unwrap_or_default();
    let sockets = places.iter().filter(|place| place.starts_with('/')).count();
    if sockets == places.len() {
        return Some((TlsMode::Disable, None));
    }
    let Some(mode) = mode else {
        let mode = match () {
            () if system || ca_file.is_some() => TlsMode::VerifyFull,
            () if places.iter().all(|place| is_local(place)) => TlsMode::Disable,
            () => TlsMode::Require,
        };
        origins.push(format!("sslmode {} by default", mode.as_str()));
        return checked(mode, ca_file, sockets, path, problems);
    };
    let mode = match mode.as_str() {
        "disable" => TlsMode::Disable,
        "require" if system => TlsMode::VerifyFull,
        "require" if ca_file.is_some() => TlsMode::VerifyCa,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        "prefer" | "allow" => {
            let reason = "falls back to plaintext silently";
            let instead = "write disable, require, verify-ca or verify-full";
            problems.add(path, format!("sslmode={mode} {reason}; {instead}"));
            return None;
        }
        other => {
            let modes = ["disable", "require", "verify-ca", "verify-full"];
            let hint = nearest(other, modes.into_iter());
            problems.add(path, format!("unknown sslmode{hint}"));
            return None;
        }
    };
    checked(mode, ca_file, sockets, path, problems)
}

fn checked(
    mode: TlsMode,
    ca_file: Option<PathBuf>,
    sockets: usize,
    path: &str,
    problems: &mut Problems,
) -> Option<(TlsMode, Option<PathBuf>)> {
    if sockets > 0 && mode != TlsMode::Disable {
        problems.add(path, "lists sockets and hosts together; a socket cannot be encrypted");
        return None;
    }
    Some((mode, ca_file))
}

/// The certificate that this client presents, with its key. Nothing is looked for where neither is named.
fn client_cert(parameters: &Parameters, path: &str, problems: &mut Problems) -> Option<ClientCert> {
    let file = |name: &str| parameters.get(name).filter(|file| !file.is_empty()).map(PathBuf::from);
    match (file("sslcert"), file("sslkey")) {
        (Some(certificate), Some(key)) => Some(ClientCert { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            problems.add(path, "sslcert needs sslkey, the file of its private key");
            None
        }
        (None, Some(_)) => {
            problems.add(path, "sslkey needs sslcert, the file of its certificate");
            None
        }
    }
}

/// The library of the replication connection binds no channel: what is required must not be left out silently.
fn refuse_binding(parameters: &Parameters, path: &str, problems: &mut Problems) {
    let required = parameters.get("channel_binding").is_some_and(|mode| mode == "require");
    if required {
        problems.add(
            path,
            "channel_binding=require cannot be kept by the replication connection: write channel_binding=prefer, and \
             sslmode=verify-full, which lets nobody stand in between either",
        );
    }
}

/// Whether a connection there stays on this machine.
fn is_local(place: &str) -> bool {
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    place.starts_with('/') || place == "localhost" || place.parse().is_ok_and(is_loopback)
}

/// The driver's configuration of checked parameters.
fn driver_config(
    mut parameters: Parameters,
    tls: TlsMode,
    path: &str,
    problems: &mut Problems,
) -> Option<tokio_postgres::Config> {
    for ours in ["sslrootcert", "sslcert", "sslkey"] {
        parameters.remove(ours);
    }
    // libpq counts milliseconds, the driver seconds.
    if let Some(timeout) = parameters.get_mut("tcp_user_timeout") {
        match timeout.parse::<u64>() {
            Ok(milliseconds) => *timeout = milliseconds.div_ceil(1000).to_string(),
            Err(_) => problems.add(path, "tcp_user_timeout must be milliseconds"),
        }
    }
    for (name, value) in KEEPALIVES {
        parameters.entry(name.into()).or_insert_with(|| value.into());
    }
    let encrypted = if tls == TlsMode::Disable { "disable" } else { "require" };
    parameters.insert("sslmode".into(), encrypted.into());
    match conninfo::render(&parameters).parse() {
        Ok(config) => Some(config),
        Err(error) => {
            // The driver names the parameter, not its value.
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            problems.add(path, cause.unwrap_or_else(|| "cannot be read".into()));
            None
        }
    }
}
