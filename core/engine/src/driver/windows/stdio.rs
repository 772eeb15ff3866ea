//! Byte streams over handles that block: one thread for each reads or writes.
//!
//! The standard streams that a parent provides may be a pipe for synchronous calls, a console, a file or
//! `NUL`. None of them can be waited for, so the thread that reads blocks in its call until there is input;
//! it ends with the process at the latest.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, IntoRawHandle, OwnedHandle};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::sync::{mpsc, oneshot};
use windows_sys::Win32::System::Console::{STD_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, SetStdHandle};

use crate::driver::Driver;

/// Size of the buffer for one read.
const READ_SIZE: usize = 64 * 1024;

type Written = oneshot::Sender<io::Result<()>>;

/// A reader of bytes from a handle.
pub struct ByteReader(mpsc::Receiver<io::Result<Vec<u8>>>);

/// A writer of bytes to a handle.
pub struct ByteWriter(mpsc::UnboundedSender<(Vec<u8>, Written)>);

impl ByteReader {
    pub(in crate::driver) fn new(_: &Driver, handle: OwnedHandle) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(1);
        let mut file = File::from(handle);
        std::thread::Builder::new().name("trunnion-read".into()).spawn(move || {
            let mut chunk = vec![0; READ_SIZE];
            loop {
                let read = match file.read(&mut chunk) {
                    Ok(count) => Ok(chunk[..count].to_vec()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    // The end of a pipe.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Vec::new()),
                    Err(error) => Err(error),
                };
                let is_last = read.as_ref().map_or(true, Vec::is_empty);
                if sender.blocking_send(read).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Self(receiver))
    }

    /// Appends the available bytes, at least one, to `buf`; returns 0 at the end of the stream. Cancel-safe.
    pub(crate) async fn read(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let Some(read) = self.0.recv().await else { return Ok(0) };
        let read = read?;
        buf.extend_from_slice(&read);
        Ok(read.len())
    }
}

impl ByteWriter {
    pub(in crate::driver) fn new(_: &Driver, handle: OwnedHandle) -> io::Result<Self> {
        let (sender, mut receiver) = mpsc::unbounded_channel::<(Vec<u8>, Written)>();
        let mut file = File::from(handle);
        std::thread::Builder::new().name("trunnion-write".into()).spawn(move || {
            while let Some((bytes, written)) = receiver.blocking_recv() {
                let _ = written.send(file.write_all(&bytes));
            }
        })?;
        Ok(Self(sender))
    }

    /// Writes all of `bytes`. Not cancel-safe: a dropped call continues.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (sender, written) = oneshot::channel();
        self.0.send((bytes.to_vec(), sender)).map_err(|_| io::ErrorKind::BrokenPipe)?;
        written.await.map_err(|_| io::ErrorKind::BrokenPipe)?
    }
}

/// Takes over the process's standard input and output for a protocol stream.
///
/// Later requests to the system for them return `NUL` for the input and standard error for the output, so
/// that output of user code and its child processes cannot corrupt the stream. A C runtime has its own table,
/// which only its owner may change. Once per process: later calls fail with `AlreadyExists`.
pub fn take_stdio() -> io::Result<(OwnedHandle, OwnedHandle)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, SeqCst) {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the standard streams of this process are being served already",
        ));
    }
    let take = || {
        let input = copy(io::stdin().as_handle(), "input")?;
        let output = copy(io::stdout().as_handle(), "output")?;
        redirect(STD_INPUT_HANDLE, File::open("NUL")?.into())?;
        // A process without a console may have been started without standard error.
        let output_after = match copy(io::stderr().as_handle(), "error") {
            Ok(error) => error,
            Err(_) => File::options().write(true).open("NUL")?.into(),
        };
        redirect(STD_OUTPUT_HANDLE, output_after)?;
        Ok((input, output))
    };
    take().inspect_err(|_| TAKEN.store(false, SeqCst))
}

fn copy(handle: BorrowedHandle<'_>, name: &str) -> io::Result<OwnedHandle> {
    if handle.as_raw_handle().is_null() {
        let message = format!("this process was started without standard {name}");
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    handle.try_clone_to_owned()
}

/// Makes the system return another handle from now on. It stays open for the life of the process.
fn redirect(which: STD_HANDLE, to: OwnedHandle) -> io::Result<()> {
    // SAFETY: the handle is valid, and nobody closes it.
    if unsafe { SetStdHandle(which, to.into_raw_handle()) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
