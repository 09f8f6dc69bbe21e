//! Where PostgreSQL's server programs are, and who may run them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};

/// A folder with `initdb`, `pg_ctl` and `postgres`.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    folder: PathBuf,
}

impl Installation {
    /// `TRIBUTARY_PG_BIN`, else what `pg_config` says, else the newest under `/usr/lib/postgresql`.
    pub(crate) fn find() -> Result<Self> {
        if let Some(folder) = std::env::var_os("TRIBUTARY_PG_BIN") {
            return complete(PathBuf::from(folder)).ok_or_else(|| {
                Error::refused(
                    "TRIBUTARY_PG_BIN names a folder without initdb, pg_ctl and postgres",
                    "let it name the bin folder of a PostgreSQL server, or unset it",
                )
            });
        }
        from_pg_config().or_else(|| newest_under(Path::new("/usr/lib/postgresql"))).ok_or_else(|| {
            Error::refused(
                "no PostgreSQL server programs (initdb, pg_ctl, postgres) are installed here",
                "apt-get install postgresql, or brew install postgresql@17, or set TRIBUTARY_PG_BIN \
                 to the bin folder of a PostgreSQL server",
            )
        })
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// `pg_config` comes with client packages too, so its folder may lack the server.
fn from_pg_config() -> Option<Installation> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    complete(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

fn newest_under(root: &Path) -> Option<Installation> {
    let versions = std::fs::read_dir(root).ok()?.filter_map(Result::ok).filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, complete(entry.path().join("bin"))?))
    });
    versions.max_by_key(|(version, _)| *version).map(|(_, installation)| installation)
}

fn complete(folder: PathBuf) -> Option<Installation> {
    let has = |name: &str| folder.join(name).is_file();
    (has("initdb") && has("pg_ctl") && has("postgres")).then_some(Installation { folder })
}

/// The unprivileged user that runs the server, since `initdb` refuses root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Owner {
    /// `postgres`, else `nobody`, where this process is root; `None` where it is not.
    pub(crate) fn when_root() -> Result<Option<Self>> {
        if id(&["-u"]) != Some(0) {
            return Ok(None);
        }
        let named = |user: &str| Some(Self { uid: id(&["-u", user])?, gid: id(&["-g", user])? });
        let owner = named("postgres").or_else(|| named("nobody"));
        owner.map(Some).ok_or_else(|| {
            Error::refused(
                "PostgreSQL does not run as root, and there is neither a user postgres nor nobody",
                "run as another user",
            )
        })
    }
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_server_is_no_installation() {
        let empty = tempfile::tempdir().unwrap();
        assert!(complete(empty.path().to_owned()).is_none());
        assert!(newest_under(empty.path()).is_none());
        for version in ["9", "15", "17"] {
            let bin = empty.path().join(version).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            for name in ["initdb", "pg_ctl", "postgres"].iter().take(version.len() + 1) {
                std::fs::write(bin.join(name), "").unwrap();
            }
        }
        assert_eq!(newest_under(empty.path()).unwrap().folder, empty.path().join("17/bin"));
    }
}
