//! Wake-ups of a host through a descriptor.

use pyo3::prelude::*;

/// A callback that writes eight bytes to `fd`. A full pipe means that a wake-up is pending already.
#[cfg(unix)]
pub(crate) fn writer(fd: i32) -> PyResult<Box<dyn Fn() + Send + Sync>> {
    use std::fs::File;
    use std::io::Write;
    use std::mem::ManuallyDrop;
    use std::os::fd::FromRawFd;

    if fd < 0 {
        return Err(pyo3::exceptions::PyValueError::new_err("not a descriptor"));
    }
    // SAFETY: the caller owns the descriptor: `ManuallyDrop` never closes it.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    Ok(Box::new(move || {
        let _ = (&*file).write(&1u64.to_ne_bytes());
    }))
}

#[cfg(not(unix))]
pub(crate) fn writer(_fd: i32) -> PyResult<Box<dyn Fn() + Send + Sync>> {
    Err(pyo3::exceptions::PyNotImplementedError::new_err("use wait() on this platform"))
}
