//! The native module `trunnion._native`: the functions of the facade with Python types.
//!
//! This module contains conversion only. JSON stays text, no Rust thread enters the interpreter, and a call
//! that may block runs detached from it. A failure is one [`NativeError`] whose arguments are `(code, kind,
//! message, data)`; the Python layer converts it to its exception family.

use std::mem::ManuallyDrop;
use std::time::Duration;

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};
use trunnion_facade as facade;

mod wake;

create_exception!(
    trunnion._native,
    NativeError,
    PyException,
    "A failure of the engine. args: (code: int, kind: str, message: str, data: JSON text or None)."
);

/// The extension module.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::Engine;
    #[pymodule_export]
    use super::NativeError;
    #[pymodule_export]
    use super::version;
}

/// The engine's version.
#[pyfunction]
fn version() -> &'static str {
    facade::version()
}

/// One engine: one event queue, its servers, clients and connections.
///
/// Every method may be called from any thread, but only in the process that made the engine: in a forked
/// child they raise `NativeError` with kind `forked`.
#[pyclass(frozen, module = "trunnion._native")]
struct Engine {
    inner: ManuallyDrop<facade::Engine>,
    pid: u32,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // In a forked child the engine's threads do not exist and its descriptors belong to the parent. Using
        // either would hang or steal events, so the child does not touch the engine.
        if std::process::id() == self.pid {
            let engine = unsafe {
                // SAFETY: `drop` runs once and nothing reads `inner` after it.
                ManuallyDrop::take(&mut self.inner)
            };
            // Ending the engine's threads may wait for them.
            Python::attach(|py| py.detach(|| drop(engine)));
        }
    }
}

impl Engine {
    fn engine(&self) -> PyResult<&facade::Engine> {
        if std::process::id() == self.pid { Ok(&self.inner) } else { Err(forked()) }
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (options = "{}"))]
    fn new(py: Python<'_>, options: &str) -> PyResult<Self> {
        let inner = py.detach(|| facade::Engine::new(options)).map_err(raise)?;
        Ok(Self { inner: ManuallyDrop::new(inner), pid: std::process::id() })
    }

    /// The descriptor to watch for readability; -1 where the platform has none.
    fn fd(&self) -> PyResult<i32> {
        Ok(self.engine()?.fd())
    }

    /// Applies completions `(id, outcome, payload)`, makes one turn, returns events `(kind, id, target,
    /// payload)`.
    fn drain<'py>(&self, py: Python<'py>, completions: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
        let engine = self.engine()?;
        let batch = completions.iter().map(|item| completion(&item)).collect::<PyResult<Vec<_>>>()?;
        let events = py.detach(|| engine.drain(batch));
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            let payload = PyString::new(py, &event.payload);
            rows.push((event.kind, event.id, event.target, payload).into_pyobject(py)?);
        }
        PyList::new(py, rows)
    }

    /// Blocks until there is something to drain; false if `timeout_ms` passed first (negative: no limit).
    fn wait(&self, py: Python<'_>, timeout_ms: i64) -> PyResult<bool> {
        let engine = self.engine()?;
        let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        Ok(py.detach(|| engine.wait(timeout)))
    }

    /// Writes eight bytes to a descriptor when the queue turns from empty to non-empty.
    ///
    /// The engine's threads never enter the interpreter, so they signal through a descriptor (an eventfd, a
    /// pipe or a socket, non-blocking), as with `signal.set_wakeup_fd`. The caller keeps it open until
    /// `close`, or another `set_wake`, has returned: the engine does not write to it afterwards.
    fn set_wake(&self, py: Python<'_>, fd: i32) -> PyResult<()> {
        let engine = self.engine()?;
        let callback = wake::writer(fd)?;
        py.detach(|| engine.set_wake(callback));
        Ok(())
    }

    /// Answers one exchange. False: it was answered or cancelled before.
    fn complete(
        &self,
        py: Python<'_>,
        id: u64,
        outcome: u32,
        payload: &Bound<'_, PyString>,
    ) -> PyResult<bool> {
        let engine = self.engine()?;
        let payload = text(payload);
        Ok(py.detach(|| engine.complete(id, outcome, &payload)))
    }

    /// Reports progress of an exchange. False: the client did not request progress, or the exchange is over.
    fn progress(&self, py: Python<'_>, id: u64, payload: &Bound<'_, PyString>) -> PyResult<bool> {
        let engine = self.engine()?;
        let payload = text(payload);
        py.detach(|| engine.progress(id, &payload)).map_err(raise)
    }

    /// Sends a log message with an exchange. False: it is below the requested level.
    fn log(&self, py: Python<'_>, id: u64, payload: &Bound<'_, PyString>) -> PyResult<bool> {
        let engine = self.engine()?;
        let payload = text(payload);
        py.detach(|| engine.log(id, &payload)).map_err(raise)
    }

    /// Stores a JSON value with an exchange. False: it is over.
    fn remember(&self, py: Python<'_>, id: u64, key: &str, value: &str) -> PyResult<bool> {
        let engine = self.engine()?;
        py.detach(|| engine.remember(id, key, value)).map_err(raise)
    }

    /// Closes the response stream of an exchange; the call continues. False: it has none.
    fn close_stream(&self, py: Python<'_>, id: u64) -> PyResult<bool> {
        let engine = self.engine()?;
        Ok(py.detach(|| engine.close_stream(id)))
    }

    /// The state of an exchange as JSON text; None when it is over.
    fn context(&self, py: Python<'_>, id: u64) -> PyResult<Option<String>> {
        let engine = self.engine()?;
        Ok(py.detach(|| engine.context(id)))
    }

    /// Cancels an operation. False: it had ended.
    #[pyo3(signature = (id, reason = ""))]
    fn cancel(&self, py: Python<'_>, id: u64, reason: &str) -> PyResult<bool> {
        let engine = self.engine()?;
        Ok(py.detach(|| engine.cancel(id, reason)))
    }

    /// Stops everything within `deadline_ms`. Idempotent.
    #[pyo3(signature = (deadline_ms = 1000))]
    fn close(&self, py: Python<'_>, deadline_ms: u64) -> PyResult<()> {
        let engine = self.engine()?;
        py.detach(|| engine.close(Duration::from_millis(deadline_ms)));
        Ok(())
    }

    /// Live-handle counters as JSON text.
    fn live(&self, py: Python<'_>) -> PyResult<String> {
        let engine = self.engine()?;
        Ok(py.detach(|| engine.live()))
    }

    /// Registers a server; returns its handle.
    fn server_new(&self, py: Python<'_>, definition: &str) -> PyResult<u64> {
        let engine = self.engine()?;
        py.detach(|| engine.server_new(definition)).map_err(raise)
    }

    /// Adds a tool, resource, resource_template, prompt or completion whose events carry `target`.
    fn server_add(
        &self,
        py: Python<'_>,
        server: u64,
        item: &str,
        definition: &str,
        options: &str,
        target: u64,
    ) -> PyResult<()> {
        let engine = self.engine()?;
        py.detach(|| engine.server_add(server, item, definition, options, target)).map_err(raise)
    }

    /// Removes an item by its name, URI or template. False: no such item.
    fn server_remove(&self, py: Python<'_>, server: u64, item: &str, key: &str) -> PyResult<bool> {
        let engine = self.engine()?;
        py.detach(|| engine.server_remove(server, item, key)).map_err(raise)
    }

    /// Serves the process's standard streams; returns the operation.
    #[pyo3(signature = (server, options = "{}"))]
    fn serve_stdio(&self, py: Python<'_>, server: u64, options: &str) -> PyResult<u64> {
        let engine = self.engine()?;
        py.detach(|| engine.serve_stdio(server, options)).map_err(raise)
    }

    /// Serves Streamable HTTP; returns the operation.
    #[pyo3(signature = (server, options = "{}"))]
    fn serve_http(&self, py: Python<'_>, server: u64, options: &str) -> PyResult<u64> {
        let engine = self.engine()?;
        py.detach(|| engine.serve_http(server, options)).map_err(raise)
    }

    /// Sends a request to an endpoint that is embedded in the host's web server; returns the operation.
    fn http_request(&self, py: Python<'_>, endpoint: u64, head: &str, body: &[u8]) -> PyResult<u64> {
        let engine = self.engine()?;
        py.detach(|| engine.http_request(endpoint, head, body)).map_err(raise)
    }

    /// Notifies the peers of a server or a client of a change. False: the id is unknown.
    #[pyo3(signature = (id, event, params = "{}"))]
    fn notify(&self, py: Python<'_>, id: u64, event: &str, params: &str) -> PyResult<bool> {
        let engine = self.engine()?;
        py.detach(|| engine.notify(id, event, params)).map_err(raise)
    }

    /// Ends every serve operation of a server and removes the server.
    fn server_close(&self, py: Python<'_>, server: u64) -> PyResult<()> {
        let engine = self.engine()?;
        py.detach(|| engine.server_close(server));
        Ok(())
    }

    /// Connects to `{"url"}`, `{"command"}` or `{"server"}`; returns the client.
    #[pyo3(signature = (target, options = "{}"))]
    fn connect(&self, py: Python<'_>, target: &str, options: &str) -> PyResult<u64> {
        let engine = self.engine()?;
        py.detach(|| engine.connect(target, options)).map_err(raise)
    }

    /// Sends one request to the server by its neutral name; returns the operation.
    #[pyo3(signature = (client, op, params = None, options = "{}"))]
    fn request(
        &self,
        py: Python<'_>,
        client: u64,
        op: &str,
        params: Option<&Bound<'_, PyString>>,
        options: &str,
    ) -> PyResult<u64> {
        let engine = self.engine()?;
        let params = params.map_or_else(|| "{}".to_owned(), text);
        py.detach(|| engine.request(client, op, &params, options)).map_err(raise)
    }

    /// Disconnects.
    fn client_close(&self, py: Python<'_>, client: u64) -> PyResult<()> {
        let engine = self.engine()?;
        py.detach(|| engine.client_close(client));
        Ok(())
    }
}

fn completion(item: &Bound<'_, PyAny>) -> PyResult<facade::Completion> {
    let row = item.cast::<PyTuple>()?;
    if row.len() != 3 {
        return Err(PyTypeError::new_err("a completion is (id, outcome, payload)"));
    }
    Ok(facade::Completion {
        id: row.get_item(0)?.extract()?,
        outcome: row.get_item(1)?.extract()?,
        payload: text(row.get_item(2)?.cast::<PyString>()?),
    })
}

/// UTF-8 of a Python string. A lone surrogate has no UTF-8 form; one bad answer must not fail its whole
/// batch, so the surrogate becomes U+FFFD.
fn text(value: &Bound<'_, PyString>) -> String {
    value.to_string_lossy().into_owned()
}

fn raise(error: facade::Error) -> PyErr {
    NativeError::new_err((error.code, error.kind, error.message, error.data))
}

fn forked() -> PyErr {
    NativeError::new_err((
        8i64,
        "forked",
        "the engine was made in another process; make a new one after fork",
        None::<String>,
    ))
}
