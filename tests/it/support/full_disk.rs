//! A server whose disk is full when a test says so. A file system of its own would need the right to mount one, which
//! containers seldom have, and the small one that they do have (`/dev/shm`) belongs to every server: so the functions that make
//! files grow are put before those of the C library, and fail as they do on a full disk (ENOSPC, SQLSTATE 53100).

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use testkit::cluster::{Cluster, ClusterOptions};

/// The switch of a server's disk.
pub(crate) struct FullDisk {
    folder: tempfile::TempDir,
}

impl FullDisk {
    /// A server with these settings, and its switch.
    pub(crate) fn server(settings: &[(&str, &str)]) -> (&'static Cluster, Self) {
        let folder = tempfile::Builder::new().prefix("tributary-disk-").tempdir_in("/tmp").unwrap();
        // The server may be another user's.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let disk = Self { folder };
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/full_disk.c");
        let library = disk.folder.path().join("full_disk.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let compiled = compiler.output().unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let environment = vec![
            ("LD_PRELOAD".to_owned(), text(library)),
            ("TEST_FULL_DISK".to_owned(), text(disk.flag())),
        ];
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let settings = settings.collect();
        let options = ClusterOptions { durable: true, settings, environment };
        (Box::leak(Box::new(Cluster::start(&options).unwrap())), disk)
    }

    fn flag(&self) -> PathBuf {
        self.folder.path().join("full")
    }

    /// From now on no file grows whose path holds this.
    pub(crate) fn fill(&self, path: &str) {
        std::fs::write(self.flag(), path).unwrap();
    }

    /// There is room again.
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.flag()).unwrap();
    }
}
