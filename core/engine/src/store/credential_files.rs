//! A credential store in files.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use trunnion_proto::auth::Credentials;

use super::credential_store::{CredentialStore, Turn, swapped};
use crate::driver::files;
use crate::store::{StoreError, StoreFuture};

/// Interval of attempts to acquire a lock that another program holds. A thread that blocks in the lock itself
/// could not be cancelled.
const AGAIN: Duration = Duration::from_millis(20);
/// Maximum size of a record. A record has a few kilobytes; a larger file was not written by this store.
const LARGEST: u64 = 1024 * 1024;

/// Credentials in a directory: one file for each MCP server, readable only by the user (directory 0700, files
/// 0600; on Windows an access list of the user, SYSTEM and the administrators).
///
/// Processes may share it. File locks (`flock`, on Windows `LockFileEx`) serialize them, and a record that
/// another process has changed is not overwritten. The contents of the files are not encrypted.
#[derive(Debug, Clone)]
pub struct FileStore {
    directory: Arc<PathBuf>,
}

impl FileStore {
    /// Returns a store in this directory, which is created when it is needed.
    pub fn new(directory: impl Into<PathBuf>) -> FileStore {
        FileStore { directory: Arc::new(directory.into()) }
    }

    /// Returns the path of a server's file: URLs contain characters that file names may not.
    fn path(&self, server: &str, extension: &str) -> PathBuf {
        let digest = ring::digest::digest(&ring::digest::SHA256, server.as_bytes());
        let name: String = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory.join(format!("{name}.{extension}"))
    }
}

impl CredentialStore for FileStore {
    fn load(&self, server: &str) -> StoreFuture<Option<Credentials>> {
        let (path, server) = (self.path(server, "json"), server.to_owned());
        blocking(move || read(&path, &server))
    }

    fn swap(&self, record: Credentials) -> StoreFuture<bool> {
        let (path, guard) = (self.path(&record.server, "json"), self.path(&record.server, "lock"));
        let directory = Arc::clone(&self.directory);
        blocking(move || {
            make(&directory)?;
            // Locked for a few file operations only, so the wait is no longer than disk access.
            let guard = open(&guard)?;
            files::lock(&guard).map_err(|error| failed(&path, &error))?;
            let mut slot = read(&path, &record.server)?;
            if !swapped(record, &mut slot)? {
                return Ok(false);
            }
            let text = serde_json::to_vec(&slot).map_err(StoreError::new)?;
            write(&path, &text).map_err(|error| failed(&path, &error))?;
            Ok(true)
        })
    }

    fn turn(&self, server: &str) -> StoreFuture<Turn> {
        let path = self.path(server, "turn");
        let directory = Arc::clone(&self.directory);
        Box::pin(async move {
            make(&directory)?;
            let file = open(&path)?;
            loop {
                match files::try_lock(&file) {
                    Ok(true) => return Ok(Box::new(file) as Turn),
                    Ok(false) => tokio::time::sleep(AGAIN).await,
                    Err(error) => return Err(failed(&path, &error)),
                }
            }
        })
    }
}

fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> StoreFuture<T> {
    Box::pin(async move { tokio::task::spawn_blocking(work).await.map_err(StoreError::new)? })
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::new(format!("{}: {error}", path.display()))
}

fn make(directory: &Path) -> Result<(), StoreError> {
    files::make_directory(directory).map_err(|error| failed(directory, &error))
}

fn open(path: &Path) -> Result<File, StoreError> {
    files::open(path).map_err(|error| failed(path, &error))
}

fn read(path: &Path, server: &str) -> Result<Option<Credentials>, StoreError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, &error)),
    };
    if !files::is_private(path).map_err(|error| failed(path, &error))? {
        return Err(StoreError::new(format!(
            "{}: others may read or write it; {}",
            path.display(),
            files::PRIVATE
        )));
    }
    if metadata.len() > LARGEST {
        return Err(StoreError::new(format!("{}: it is larger than {LARGEST} bytes", path.display())));
    }
    let text = fs::read(path).map_err(|error| failed(path, &error))?;
    // The message of serde may quote the text, which contains tokens.
    let record: Option<Credentials> = serde_json::from_slice(&text)
        .map_err(|_| StoreError::new(format!("{}: it holds no credentials", path.display())))?;
    Ok(record.filter(|record| record.server == server))
}

/// Writes the file atomically: a concurrent reader sees the old file or the new one.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    // Left by a process that died; the holder of the lock is the only writer here.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = files::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
