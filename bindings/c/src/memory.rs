//! Memory at the language boundary: borrowed text in, owned text and batches out.

use std::collections::HashMap;
use std::ffi::{CStr, c_char};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use trunnion_facade::{Completion, Engine, Error, Event};

use crate::status::{forked, usage};

/// One engine. Made by trn_engine_new, freed by trn_engine_free.
pub struct trn_engine {
    engine: Engine,
    /// The process that made it.
    process: u32,
    /// Ends of operations that a trn_run without a handler came across while it waited for another one.
    unseen: Mutex<HashMap<u64, Event>>,
}

impl trn_engine {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, process: std::process::id(), unseen: Mutex::default() }
    }

    /// Close at once and wait at most `limit` for the threads.
    pub(crate) fn free(self, limit: Duration) {
        self.engine.end(limit);
    }

    /// The ends that nobody has seen.
    pub(crate) fn unseen(&self) -> MutexGuard<'_, HashMap<u64, Event>> {
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Borrowed UTF-8 text: `len` bytes at `ptr`. It need not end with a NUL. {NULL, 0} is the empty text; where
/// JSON options are asked for, the empty text stands for {}.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct trn_str {
    /// First byte.
    pub ptr: *const c_char,
    /// Number of bytes.
    pub len: usize,
}

/// One thing that happened. Valid until its batch is freed.
#[repr(C)]
pub struct trn_event {
    /// One of trn_event_kind. Ignore kinds you do not know: later versions may add some.
    pub kind: u32,
    /// Exchange, operation or client handle; see trn_event_kind.
    pub id: u64,
    /// The `target` given to trn_server_add for events that ask something of a server, else 0.
    pub target: u64,
    /// JSON text. A NUL follows it, so payload.ptr is also a C string.
    pub payload: trn_str,
}

/// The answer to one exchange, for trn_drain.
#[repr(C)]
pub struct trn_completion {
    /// The exchange: the id of the event that asked.
    pub id: u64,
    /// One of trn_outcome.
    pub outcome: u32,
    /// JSON or plain text, by outcome.
    pub payload: trn_str,
}

/// Events returned by one trn_drain. Freed by trn_batch_free.
pub struct trn_batch {
    events: Vec<trn_event>,
    /// The texts `events` points into; a boxed slice does not move when the batch does.
    _payloads: Vec<Box<[u8]>>,
}

impl trn_batch {
    pub(crate) fn new(drained: Vec<Event>) -> Self {
        let mut events = Vec::with_capacity(drained.len());
        let mut payloads = Vec::with_capacity(drained.len());
        for Event { kind, id, target, payload } in drained {
            let len = payload.len();
            let mut bytes = payload.into_bytes();
            bytes.reserve_exact(1);
            bytes.push(0);
            let bytes = bytes.into_boxed_slice();
            let payload = trn_str { ptr: bytes.as_ptr().cast(), len };
            events.push(trn_event { kind, id, target, payload });
            payloads.push(bytes);
        }
        Self { events, _payloads: payloads }
    }

    pub(crate) fn events(&self) -> &[trn_event] {
        &self.events
    }
}

/// Borrow a C string, without its NUL, as a trn_str. NULL gives the empty text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_cstr(text: *const c_char) -> trn_str {
    // SAFETY: the caller passes NULL or a C string.
    let len = if text.is_null() { 0 } else { unsafe { CStr::from_ptr(text) }.count_bytes() };
    trn_str { ptr: text, len }
}

/// Free a text that a function returned as `char *`. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_string_free(text: *mut c_char) {
    // SAFETY: every owned text comes from `own`, hence from malloc.
    unsafe { libc::free(text.cast()) }
}

/// Number of events in a batch. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_batch_len(batch: *const trn_batch) -> usize {
    // SAFETY: the caller passes NULL or a live batch.
    unsafe { batch.as_ref() }.map_or(0, |batch| batch.events.len())
}

/// The event at `index`, or NULL beyond the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_batch_at(batch: *const trn_batch, index: usize) -> *const trn_event {
    // SAFETY: the caller passes NULL or a live batch.
    unsafe { batch.as_ref() }
        .and_then(|batch| batch.events.get(index))
        .map_or(std::ptr::null(), std::ptr::from_ref)
}

/// Free a batch and its events. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_batch_free(batch: *mut trn_batch) {
    if !batch.is_null() {
        // SAFETY: a batch is made by Box::into_raw in trn_drain and freed once.
        drop(unsafe { Box::from_raw(batch) });
    }
}

/// Copy text into memory of C's malloc, with a NUL behind it: owned by the caller, visible to leak checkers
/// as one plain block. Null when memory is exhausted.
pub(crate) fn own(text: &str) -> *mut c_char {
    // SAFETY: the block holds len + 1 bytes, and both writes stay inside.
    unsafe {
        let block = libc::malloc(text.len() + 1).cast::<u8>();
        if !block.is_null() {
            block.copy_from_nonoverlapping(text.as_ptr(), text.len());
            block.add(text.len()).write(0);
        }
        block.cast()
    }
}

/// The engine behind a handle.
pub(crate) unsafe fn engine<'a>(engine: *const trn_engine) -> Result<&'a Engine, Error> {
    // SAFETY: as for `whole`.
    unsafe { whole(engine) }.map(|it| &it.engine)
}

/// The engine behind a handle, in the process that created it. In another process its descriptors are shared
/// with that process and its threads are missing, so that even waiting would do harm.
pub(crate) unsafe fn whole<'a>(engine: *const trn_engine) -> Result<&'a trn_engine, Error> {
    // SAFETY: the caller passes NULL or a live engine.
    let engine = unsafe { engine.as_ref() }.ok_or_else(|| usage("engine is NULL"))?;
    if engine.process == std::process::id() { Ok(engine) } else { Err(forked()) }
}

/// Borrowed bytes.
pub(crate) unsafe fn bytes<'a>(text: trn_str, name: &str) -> Result<&'a [u8], Error> {
    if text.ptr.is_null() {
        return if text.len == 0 {
            Ok(&[])
        } else {
            Err(usage(format!("{name}: ptr is NULL but len is not 0")))
        };
    }
    // SAFETY: the caller vouches for len readable bytes at ptr.
    Ok(unsafe { std::slice::from_raw_parts(text.ptr.cast::<u8>(), text.len) })
}

/// Borrowed text as UTF-8.
pub(crate) unsafe fn text<'a>(text: trn_str, name: &str) -> Result<&'a str, Error> {
    // SAFETY: as for `bytes`.
    let bytes = unsafe { bytes(text, name) }?;
    std::str::from_utf8(bytes).map_err(|error| usage(format!("{name} is not UTF-8: {error}")))
}

/// Like [`text`], for options: absent means the empty object.
pub(crate) unsafe fn options<'a>(options: trn_str) -> Result<&'a str, Error> {
    // SAFETY: as for `text`.
    let options = unsafe { text(options, "options") }?;
    Ok(if options.is_empty() { "{}" } else { options })
}

/// A C string as UTF-8.
pub(crate) unsafe fn name<'a>(text: *const c_char, name: &str) -> Result<&'a str, Error> {
    if text.is_null() {
        return Err(usage(format!("{name} is NULL")));
    }
    // SAFETY: the caller passes a C string.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|error| usage(format!("{name} is not UTF-8: {error}")))
}

/// A required place for a result.
pub(crate) unsafe fn place<'a, T>(place: *mut T, name: &str) -> Result<&'a mut T, Error> {
    // SAFETY: the caller passes NULL or a writable place.
    unsafe { place.as_mut() }.ok_or_else(|| usage(format!("{name} is NULL")))
}

/// The completions of a batch, copied.
pub(crate) unsafe fn completions(
    list: *const trn_completion,
    count: usize,
) -> Result<Vec<Completion>, Error> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if list.is_null() {
        return Err(usage("completions is NULL but count is not 0"));
    }
    // SAFETY: the caller vouches for count completions.
    let list = unsafe { std::slice::from_raw_parts(list, count) };
    list.iter()
        .map(|it| {
            // SAFETY: as above, for the text of each.
            let payload = unsafe { text(it.payload, "payload") }?.to_owned();
            Ok(Completion { id: it.id, outcome: it.outcome, payload })
        })
        .collect()
}
