//! Copies as files: JSON lines, compressed, each read back and compared with what was written.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use futures_util::TryStreamExt as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Backup;
use crate::error::{Context as _, Error, Result};
use crate::pg::Db;

const WHAT: &str = "exporting a backup";

/// A file that was written and read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The table.
    pub table: String,
    /// The file.
    pub file: PathBuf,
    /// Rows, one JSON object a line.
    pub rows: i64,
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the lines, uncompressed.
    pub sha256: String,
}

/// Writes each table of a backup to `<directory>/<role>.jsonl.gz`, which must not be there yet, with a `manifest.json` at the
/// end: a directory without one is not complete.
///
/// # Errors
/// Those of the target and of the file system; a file that does not read back as what was written.
pub async fn export(db: &Db, backup: &Backup, directory: &Path) -> Result<Vec<Exported>> {
    make_directory(directory)?;
    let mut all = Vec::new();
    for table in &backup.tables {
        let file = directory.join(format!("{}.jsonl.gz", table.role));
        let (rows, written) =
            write(db, &backup.copy_of(table), &table.key_list("t"), &file).await?;
        let (read_rows, read) = read_back(&file).map_err(failed)?;
        if (rows, &written) != (read_rows, &read) || rows != table.rows {
            let cause = format!("{} does not read back as what was written", file.display());
            return Err(Error::failed(WHAT, cause));
        }
        let bytes = std::fs::metadata(&file).map_err(failed)?.len();
        all.push(Exported { table: table.table.clone(), file, rows, bytes, sha256: written });
    }
    let manifest = serde_json::json!({ "backup": backup, "files": all });
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| Error::failed(WHAT, error))?;
    let mut file = create(&directory.join("manifest.json"))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(all)
}

fn failed(error: std::io::Error) -> Error {
    Error::failed(WHAT, error)
}

/// It holds customer data: nobody else may look into it.
fn make_directory(directory: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory).map_err(failed)
}

fn create(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return Error::refused(
                format!("{} is there already", path.display()),
                "export into an empty directory",
            );
        }
        Error::failed(WHAT, error)
    })
}

/// Streams the rows: memory does not grow with the table.
async fn write(db: &Db, copy: &str, order: &str, path: &Path) -> Result<(i64, String)> {
    let mut file = GzEncoder::new(BufWriter::new(create(path)?), Compression::default());
    let (mut rows, mut digest) = (0, Sha256::new());
    let sql = format!("select to_json(t)::text from {copy} t order by {order}");
    let stream = db.client().query_stream(&sql, &[]).await.context("target: reading a backup")?;
    tokio::pin!(stream);
    while let Some(row) = stream.try_next().await.context("target: reading a backup")? {
        let mut line: String = row.get(0);
        line.push('\n');
        digest.update(line.as_bytes());
        file.write_all(line.as_bytes()).map_err(failed)?;
        rows += 1;
    }
    let buffer = file.finish().map_err(failed)?;
    let file = buffer.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok((rows, hex(&digest.finalize())))
}

fn read_back(path: &Path) -> std::io::Result<(i64, String)> {
    let mut lines = BufReader::new(MultiGzDecoder::new(BufReader::new(File::open(path)?)));
    let (mut rows, mut digest, mut line) = (0, Sha256::new(), String::new());
    while lines.read_line(&mut line)? > 0 {
        serde_json::from_str::<&serde_json::value::RawValue>(line.trim_end())?;
        digest.update(line.as_bytes());
        line.clear();
        rows += 1;
    }
    Ok((rows, hex(&digest.finalize())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
