//! The file of rejected records: one a line, which can be corrected and imported again.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures_util::TryStreamExt as _;
use serde_json::value::RawValue;

use super::batch::SECOND_PASS;
use super::ids::Identity;
use super::read::begins;
use crate::error::{Context as _, Error, Result};
use crate::pg::Tx;

/// Writes the file from what the run kept. It appears under its name when it is whole.
///
/// # Errors
/// Those of the target and of the disk.
pub(super) async fn write(tx: &Tx, identity: &Identity, path: &Path) -> Result<()> {
    const WHAT: &str = "target: reading rejected records";
    let failed =
        |error: std::io::Error| Error::failed(format!("writing {}", path.display()), error);
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut file = std::io::BufWriter::new(private(&partial).map_err(failed)?);
    let header = serde_json::json!({ "tributary_rejects": identity.import, "run": identity.run });
    writeln!(file, "{header}").map_err(failed)?;
    let sql = "select load, record, outcome, key, field, reason, other_key, text \
               from tributary.import_reject \
               where import = $1 and run = $2 order by replace(load, $3, ''), record, load, element";
    let params: [crate::pg::Param<'_>; 3] = [&identity.import, &identity.run, &SECOND_PASS];
    let rows = tx.db().client().query_stream(sql, &params).await.context(WHAT)?;
    let mut rows = pin!(rows);
    let mut last: Option<(String, i64)> = None;
    while let Some(row) = rows.try_next().await.context(WHAT)? {
        let place = (load_of(&row), row.get(1));
        // Of several elements and both passes the record is written once: it is imported again as a whole.
        if last.as_ref() == Some(&place) {
            continue;
        }
        let line = line(&row);
        writeln!(file, "{line}").map_err(failed)?;
        last = Some(place);
    }
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&partial, path).map_err(failed)
}

fn load_of(row: &tokio_postgres::Row) -> String {
    let name: String = row.get(0);
    name.strip_suffix(SECOND_PASS).map(str::to_owned).unwrap_or(name)
}

/// A file that only its owner reads: it holds records as they are. What another run left there, or somebody put there, may be
/// readable to others, or lead elsewhere.
fn private(path: &Path) -> std::io::Result<std::fs::File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn line(row: &tokio_postgres::Row) -> String {
    let text = |at: usize| row.get::<_, Option<String>>(at).unwrap_or_default();
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let record = text(7);
    // What is no JSON stands there as a text, for a person to correct.
    let record = match serde_json::from_str::<Box<RawValue>>(&record) {
        Ok(_) => record.replace(['\n', '\r'], " "),
        Err(_) => quoted(&record),
    };
    let mut line = begins(&load_of(row));
    line.push_str(&format!(",\"row\":{}", row.get::<_, i64>(1)));
    for (name, at) in [("outcome", 2), ("key", 3), ("field", 4), ("reason", 5), ("other", 6)] {
        if let Some(value) = row.get::<_, Option<String>>(at) {
            line.push_str(&format!(",\"{name}\":{}", quoted(&value)));
        }
    }
    line.push_str(&format!(",\"record\":{record}}}"));
    line
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn nobody_else_reads_what_was_rejected_whatever_lay_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("partial"), folder.path().join("other"));
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        std::fs::write(&path, "left").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        drop(private(&path).unwrap());
        assert_eq!((mode(), std::fs::read(&path).unwrap().len()), (0o600, 0));
        std::fs::write(&other, "other").unwrap();
        std::fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        drop(private(&path).unwrap());
        assert_eq!((mode(), std::fs::read(&other).unwrap()), (0o600, b"other".to_vec()));
    }
}
