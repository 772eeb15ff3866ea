//! The engine: its loop, and answering exchanges.

use std::ffi::{c_char, c_int, c_void};
use std::time::Duration;

use trunnion_facade::Engine;

use crate::memory::{
    completions, engine, options, own, place, text, trn_batch, trn_completion, trn_engine, trn_str,
};
use crate::status::{answer, guard, shield, trn_error};
use crate::surface::trn_status;

/// Called when the queue turns from empty to non-empty. It may run on any thread and must only signal: no
/// function of this library may be called from it. trn_set_wake, trn_close and trn_engine_free wait for a call that
/// is running, so it must not wait for a lock that their caller holds.
pub type trn_wake = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// Make an engine. Nothing runs until something is served or connected.
/// options: JSON, keys of scope `engine`. engine: receives the engine; free it with trn_engine_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_engine_new(
    options: trn_str,
    engine: *mut *mut trn_engine,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let engine = place(engine, "engine")?;
            *engine = std::ptr::null_mut();
            let made = Engine::new(self::options(options)?)?;
            *engine = Box::into_raw(Box::new(trn_engine::new(made)));
            Ok(trn_status::Ok)
        })
    }
}

/// Time that freeing an engine gives its threads to end. Only a lookup of names or a file takes longer.
const JOIN: Duration = Duration::from_secs(1);

/// Close the engine at once, if trn_close has not done so in its own time, and free it. NULL is allowed. No
/// other function may be running on the engine; batches, texts and errors it gave out stay valid. The callback of
/// trn_set_wake is not running, and not called any more, when this has returned. The engine's threads have ended too,
/// except one that the operating system keeps for longer than a second. In a forked child only memory is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_engine_free(engine: *mut trn_engine) {
    if !engine.is_null() {
        // SAFETY: an engine is made by trn_engine_new and freed once.
        let owned = unsafe { Box::from_raw(engine) };
        shield((), move || owned.free(JOIN));
    }
}

/// The one descriptor to watch: readable means there is something to drain. It belongs to the engine; do not
/// read or close it. -1 where the platform has none, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_fd(engine: *const trn_engine) -> c_int {
    // SAFETY: the caller passes NULL or a live engine.
    shield(-1, || unsafe { self::engine(engine) }.map_or(-1, Engine::fd))
}

/// Apply `count` completions, make one turn of the hosted reactor, and take the queued events. With the
/// hosted driver this is where reading and writing happens. Drain until a batch is empty, or watch trn_fd,
/// which stays readable while more is queued.
/// completions: may be NULL if count is 0; copied. Outcomes that come too late are dropped.
/// batch: receives the events, maybe none; free it with trn_batch_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_drain(
    engine: *mut trn_engine,
    completions: *const trn_completion,
    count: usize,
    batch: *mut *mut trn_batch,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let batch = place(batch, "batch")?;
            *batch = std::ptr::null_mut();
            let engine = self::engine(engine)?;
            let events = engine.drain(self::completions(completions, count)?);
            *batch = Box::into_raw(Box::new(trn_batch::new(events)));
            Ok(trn_status::Ok)
        })
    }
}

/// Block until there is something to drain, or until `timeout_ms` milliseconds have passed (negative: no
/// limit; TRN_STATUS_FALSE says that they have). One thread at a time may wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_wait(
    engine: *mut trn_engine,
    timeout_ms: i64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
            Ok(answer(self::engine(engine)?.wait(timeout)))
        })
    }
}

/// Set the callback that tells a loop which cannot watch a descriptor to drain; NULL takes it away.
/// user: passed through. It must live until trn_close, trn_engine_free or another trn_set_wake has returned: after
/// each of these the callback is not running, and is not called any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_set_wake(
    engine: *mut trn_engine,
    wake: trn_wake,
    user: *mut c_void,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let user = User(user);
            self::engine(engine)?.set_wake(Box::new(move || {
                if let Some(wake) = wake {
                    // The caller gave function and user data for exactly this.
                    wake(user.get());
                }
            }));
            Ok(trn_status::Ok)
        })
    }
}

/// Answer one exchange: the id of an event that asks something. Any thread may.
/// outcome: one of trn_outcome; it says what payload is.
/// TRN_STATUS_FALSE: it was answered or cancelled before, which is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_complete(
    engine: *mut trn_engine,
    id: u64,
    outcome: u32,
    payload: trn_str,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || Ok(answer(self::engine(engine)?.complete(id, outcome, text(payload, "payload")?))))
    }
}

/// Report progress of an exchange.
/// payload: JSON {progress, total?, message?}; progress must grow.
/// TRN_STATUS_FALSE: the caller did not ask for progress, or the exchange is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_progress(
    engine: *mut trn_engine,
    id: u64,
    payload: trn_str,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe { guard(error, || Ok(answer(self::engine(engine)?.progress(id, text(payload, "payload")?)?))) }
}

/// Send a log message with an exchange.
/// payload: JSON {level, data, logger?}.
/// TRN_STATUS_FALSE: the exchange is over. Messages below the level that the caller asked for are dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_log(
    engine: *mut trn_engine,
    id: u64,
    payload: trn_str,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe { guard(error, || Ok(answer(self::engine(engine)?.log(id, text(payload, "payload")?)?))) }
}

/// Store a value with an exchange, for this run of its handler and those that follow when it asks the client something.
/// value: JSON. What was stored is in trn_context as `memory`. TRN_STATUS_FALSE: the exchange is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_remember(
    engine: *mut trn_engine,
    id: u64,
    key: trn_str,
    value: trn_str,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let (key, value) = (text(key, "key")?, text(value, "value")?);
            Ok(answer(self::engine(engine)?.remember(id, key, value)?))
        })
    }
}

/// Close the response stream of an exchange over legacy HTTP; the call goes on and the client comes back for the rest.
/// TRN_STATUS_FALSE: it has none that can be closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_close_stream(
    engine: *mut trn_engine,
    id: u64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe { guard(error, || Ok(answer(self::engine(engine)?.close_stream(id)))) }
}

/// What is known of an exchange, as JSON: {requestId, era, revision, transport, progressToken?, clientInfo?,
/// clientCapabilities, meta?, answers?, memory?, checkpoint?, task?: {taskId, run}, claims?, principal?}. Free it with
/// trn_string_free. NULL when the exchange is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_context(engine: *mut trn_engine, id: u64) -> *mut c_char {
    shield(std::ptr::null_mut(), || {
        // SAFETY: the caller passes NULL or a live engine.
        let context = unsafe { self::engine(engine) }.ok().and_then(|it| it.context(id));
        context.map_or(std::ptr::null_mut(), |it| own(&it))
    })
}

/// Give up an operation (a call, a connect, a serve). Its TRN_EVENT_ERROR of kind `cancelled` follows.
/// reason: told to the peer; may be empty. TRN_STATUS_FALSE: it had ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_cancel(
    engine: *mut trn_engine,
    operation: u64,
    reason: trn_str,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe { guard(error, || Ok(answer(self::engine(engine)?.cancel(operation, text(reason, "reason")?)))) }
}

/// Stop everything: final frames, then at most `deadline_ms` milliseconds for what is under way, then a hard
/// stop. Closing twice is allowed. The events that end the operations can still be drained.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_close(
    engine: *mut trn_engine,
    deadline_ms: u64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            self::engine(engine)?.close(Duration::from_millis(deadline_ms));
            Ok(trn_status::Ok)
        })
    }
}

/// Live-handle counters, as JSON: {servers, clients, exchanges, operations, connections, sessions}. Free it with
/// trn_string_free. NULL for NULL, and after a fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_live(engine: *mut trn_engine) -> *mut c_char {
    shield(std::ptr::null_mut(), || {
        // SAFETY: the caller passes NULL or a live engine.
        unsafe { self::engine(engine) }.map_or(std::ptr::null_mut(), |it| own(&it.live()))
    })
}

/// User data of a callback; what crosses threads is the caller's promise.
struct User(*mut c_void);

impl User {
    /// A method, so that the closure takes the whole struct and not its field, which is not `Send`.
    fn get(&self) -> *mut c_void {
        self.0
    }
}

// SAFETY: the header asks for user data that any thread may be given.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}
