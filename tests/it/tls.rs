//! Encryption, on a server with certificates made here: every `sslmode`, client certificates, channel binding; on ordinary sessions
//! and on the replication connection alike (SPEC §9).

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use testkit::cluster::Cluster;
use testkit::source_schema::SourceLayout;

use crate::noticed::ROWS;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::world::{Place, Places, World};

/// The name that the server's certificate is for. Its address is that of the loopback.
const NAME: &str = "db.example.com";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "An authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key in files of this folder, named after what they are for.
fn write(folder: &Path, name: &str, certificate: &str, key: &KeyPair) -> [PathBuf; 2] {
    let files = [folder.join(format!("{name}.crt")), folder.join(format!("{name}.key"))];
    for (file, text) in files.iter().zip([certificate.to_owned(), key.serialize_pem()]) {
        std::fs::write(file, text).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    files
}

/// A client's certificate, whose common name is the role.
fn client(folder: &Path, name: &str, role: &str, by: &Authority) -> [PathBuf; 2] {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, role);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, by).unwrap();
    write(folder, name, &signed.pem(), &key)
}

/// Gives the server these files, and the roles their ways in.
async fn encrypt(cluster: &Cluster, certificate: &str, key: &KeyPair, authority: &Authority) {
    let folder = cluster.directory();
    let mut files = write(folder, "server", certificate, key).to_vec();
    files.push(folder.join("clients.crt"));
    std::fs::write(&files[2], authority.pem()).unwrap();
    let owner = folder.metadata().unwrap();
    for file in &files {
        chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let hba = "local all all trust\n\
               hostnossl all plain 127.0.0.1/32 scram-sha-256\n\
               hostssl all encrypted 127.0.0.1/32 scram-sha-256\n\
               hostssl all certified 127.0.0.1/32 cert\n\
               host all postgres 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(folder.join("data/pg_hba.conf"), hba).unwrap();
    for (setting, file) in ["ssl_cert_file", "ssl_key_file", "ssl_ca_file"].iter().zip(&files) {
        let set = format!("alter system set {setting} = '{}'", file.display());
        cluster.execute("postgres", &set).await.unwrap();
    }
    cluster.execute("postgres", "alter system set ssl = on").await.unwrap();
    for role in ["plain", "encrypted", "certified"] {
        let create = format!(
            "do $$ begin create role {role} superuser login password 'secret'; exception when duplicate_object then null; end $$"
        );
        cluster.execute("postgres", &create).await.unwrap();
    }
    cluster.execute("postgres", "select pg_reload_conf()").await.unwrap();
    let is_on = || async {
        let session = cluster.connect("postgres").await.unwrap();
        let row = session.query_one("select current_setting('ssl')", &[]).await.unwrap();
        row.get::<_, String>(0) == "on"
    };
    eventually("the server encrypts", || cluster.log(), is_on).await;
}

struct Tls {
    world: World,
}

impl Tls {
    /// The connection strings of source and target for a role, with what `query` adds.
    fn urls(&self, role: &str, query: &str) -> [(&'static str, String); 2] {
        let url = |database: &str| {
            let port = self.world.source.cluster.port();
            format!(
                "postgresql://{role}:secret@{NAME}:{port}/{database}?hostaddr=127.0.0.1&{query}"
            )
        };
        [
            ("TRIBUTARY_SOURCE_URL", url(&self.world.source.database)),
            ("TRIBUTARY_TARGET_URL", url(&self.world.target.database)),
        ]
    }

    /// `check` passes and `run` streams, on sessions that are all encrypted, or none; gives the client certificate of its walsender.
    async fn streams(
        &self,
        role: &str,
        urls: &[(&'static str, String)],
        encrypted: bool,
    ) -> String {
        let urls: Vec<(&str, &str)> =
            urls.iter().map(|(name, url)| (*name, url.as_str())).collect();
        let check =
            self.world.command(&["check"]).envs(urls.iter().copied()).output().await.unwrap();
        let said = String::from_utf8_lossy(&check.stdout);
        assert_eq!(
            check.status.code(),
            Some(0),
            "{urls:?}\n{said}{}",
            String::from_utf8_lossy(&check.stderr)
        );
        let mut daemon = Daemon::start_with(&self.world, &urls);
        daemon.wait_for_phase("streaming").await;
        let sessions = format!(
            "select string_agg(distinct ssl::text, ' ') || ' ' || count(*) filter (where backend_type = 'walsender') \
             from pg_stat_ssl join pg_stat_activity using (pid) where usename = '{role}'"
        );
        assert_eq!(self.world.source.value(&sessions).await, format!("{encrypted} 1"), "{urls:?}");
        let certificate = "select string_agg(client_dn, ' ') from pg_stat_ssl join pg_stat_replication using (pid)";
        let certificate = self.world.source.value(certificate).await;
        assert_eq!(daemon.terminate().await.code(), Some(0));
        self.world.slot_is_free().await;
        certificate
    }

    /// `check` says so and ends with this code.
    async fn refused(&self, urls: &[(&'static str, String)], code: i32, says: &str) {
        let output =
            self.world.command(&["check"]).envs(urls.iter().cloned()).output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{urls:?}\n{said}");
        assert!(said.contains(says), "{urls:?} {says}\n{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_encrypted_and_authenticated_as_configured() {
    let mut world = World::new(SourceLayout::Canonical, Places::TwoServers).await;
    world.target = Place::new(world.source.cluster, "target").await;
    world.source.execute(ROWS).await;
    let (ours, theirs) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &ours).unwrap();
    encrypt(world.source.cluster, &certificate.pem(), &key, &ours).await;

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [root, wrong_root] = [("ours", &ours), ("theirs", &theirs)].map(|(name, authority)| {
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, authority.pem()).unwrap();
        format!("sslrootcert={}", file.display())
    });
    let tls = Tls { world };
    let by_address = |urls: [(&'static str, String); 2]| {
        urls.map(|(name, url)| {
            (name, url.replace(NAME, "127.0.0.1").replace("hostaddr=127.0.0.1&", ""))
        })
    };

    tls.streams("plain", &tls.urls("plain", "sslmode=disable"), false).await;
    tls.refused(&tls.urls("encrypted", "sslmode=disable"), 3, "no encryption").await;
    tls.streams("encrypted", &tls.urls("encrypted", "sslmode=require"), true).await;

    // The name does not count, the authority does.
    let verify_ca = format!("sslmode=verify-ca&{root}");
    tls.streams("encrypted", &by_address(tls.urls("encrypted", &verify_ca)), true).await;
    let invalid = "the server's certificate is not valid here";
    tls.refused(&tls.urls("encrypted", &format!("sslmode=verify-ca&{wrong_root}")), 3, invalid)
        .await;

    // Both count; without a file, the system's authorities, to whom ours is not known.
    let verify_full = format!("sslmode=verify-full&{root}");
    tls.streams("encrypted", &tls.urls("encrypted", &verify_full), true).await;
    tls.refused(&by_address(tls.urls("encrypted", &verify_full)), 3, invalid).await;
    tls.refused(&tls.urls("encrypted", &format!("sslmode=verify-full&{wrong_root}")), 3, invalid)
        .await;

    // Certificates of clients, on the replication connection too.
    let presents = |[certificate, key]: [PathBuf; 2]| {
        let files = format!("sslcert={}&sslkey={}", certificate.display(), key.display());
        tls.urls("certified", &format!("{verify_full}&{files}"))
    };
    let urls = presents(client(folder, "good", "certified", &ours));
    assert_eq!(tls.streams("certified", &urls, true).await, "/CN=certified");
    tls.refused(&tls.urls("certified", &verify_full), 3, "client certificate").await;
    let urls = presents(client(folder, "foreign", "certified", &theirs));
    tls.refused(&urls, 3, "the server does not accept the client's certificate").await;
    let urls = presents(client(folder, "other", "plain", &ours));
    tls.refused(&urls, 3, "SQLSTATE 28").await;
    let [certificate, _] = client(folder, "pair", "certified", &ours);
    let [_, other] = client(folder, "unlike", "certified", &ours);
    tls.refused(&presents([certificate, other]), 3, "sslcert and sslkey").await;

    // SCRAM with channel binding: a session that is required to bind comes about only where it does.
    let [source, _] = tls.urls("encrypted", &verify_full);
    let [_, bound] = tls.urls("encrypted", &format!("{verify_full}&channel_binding=require"));
    tls.streams("encrypted", &[source, bound], true).await;
    let [source, _] = tls.urls("plain", "sslmode=disable");
    let [_, unbound] = tls.urls("plain", "sslmode=disable&channel_binding=require");
    tls.refused(&[source, unbound], 3, "channel binding").await;
    let urls = tls.urls("encrypted", &format!("{verify_full}&channel_binding=require"));
    tls.refused(&urls, 78, "cannot be kept by the replication connection").await;

    // A certificate that signed itself and says that it is an authority's: ordinary sessions take it, the library of the stream does
    // not, which `check` finds by trying.
    let mut own = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = own.self_signed(&key).unwrap();
    encrypt(tls.world.source.cluster, &own.pem(), &key, &ours).await;
    let file = folder.join("own.pem");
    std::fs::write(&file, own.pem()).unwrap();
    let urls =
        tls.urls("encrypted", &format!("sslmode=verify-full&sslrootcert={}", file.display()));
    tls.refused(&urls, 3, "FAIL source.replication: ").await;
}

/// Passwords and rows of customers in plaintext between machines: said at each start, whether or not the server answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_server_without_tls_is_warned_of() {
    let world = World::canonical("select 1").await;
    let check = |mode: &str| {
        let url = format!("postgresql://u:p@192.0.2.1/x?connect_timeout=1&sslmode={mode}");
        world.command(&["check"]).env("TRIBUTARY_TARGET_URL", url).output()
    };
    let (open, encrypted) = tokio::join!(check("disable"), check("require"));
    let warns = |output: std::io::Result<std::process::Output>| {
        String::from_utf8_lossy(&output.unwrap().stderr).contains("is reached without TLS")
    };
    assert_eq!((warns(open), warns(encrypted)), (true, false));
}
