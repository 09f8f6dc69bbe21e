//! Servers and databases of scenarios.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use testkit::cluster::{Cluster, ClusterOptions};
use tokio_postgres::Client;
use tributary::lsn::Lsn;

/// A server with room for the slots of all scenarios.
pub(crate) fn start_cluster(durable: bool) -> Cluster {
    let settings = [("max_replication_slots", "400"), ("max_wal_senders", "60")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Cluster::start(&ClusterOptions { durable, settings, ..ClusterOptions::default() }).unwrap()
}

/// The server that most scenarios share. It is never dropped; its watchdog ends it with the process.
pub(super) fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| start_cluster(false))
}

pub(super) fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}_{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A server and a database there.
pub(crate) struct Place {
    pub(crate) cluster: &'static Cluster,
    pub(crate) database: String,
}

impl Place {
    pub(crate) async fn new(cluster: &'static Cluster, prefix: &str) -> Self {
        let database = unique(prefix);
        cluster.create_database(&database).await.unwrap();
        Self { cluster, database }
    }

    pub(crate) async fn connect(&self) -> Client {
        self.cluster.connect(&self.database).await.unwrap()
    }

    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.database)
    }

    /// The same for a role of the server.
    pub(crate) fn url_as(&self, role: &str, password: &str) -> String {
        let url = self.url();
        let (_, server) = url.split_once('@').unwrap();
        format!("postgresql://{role}:{password}@{server}")
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.cluster.execute(&self.database, sql).await.unwrap();
    }

    /// The end of the log now.
    pub(crate) async fn lsn(&self) -> Lsn {
        Lsn::parse(&self.value("pg_current_wal_lsn()").await).unwrap()
    }

    /// The one value of a query, as text; empty for NULL.
    pub(crate) async fn value(&self, sql: &str) -> String {
        let sql = format!("select coalesce((select ({sql})::text), '')");
        self.connect().await.query_one(&sql, &[]).await.unwrap().get(0)
    }
}
