//! The loop that most C programs would write themselves.

use std::ffi::{c_char, c_void};

use crate::memory::{engine, own, trn_batch, trn_engine, trn_event, whole};
use crate::status::{closed, from_event, guard, trn_error};
use crate::surface::{trn_event_kind, trn_status};

/// Called for one event. Answer at once or later, from this thread or another. C++: do not throw.
pub type trn_handler =
    Option<unsafe extern "C" fn(engine: *mut trn_engine, event: *const trn_event, user: *mut c_void)>;

/// Wait, drain and call `handler` for every event, on this thread, until `operation` ends: a serve, a
/// request, or (with its client handle) a connect. The handler is given that last event too.
/// handler: NULL drops the other events, except that it keeps how other operations ended for their own trn_run:
/// ask several things, then run each. Right for a plain client, wrong with a server in the same engine. Do not call
/// trn_run, trn_drain or trn_engine_free from a handler; all else is allowed. An operation whose end a handler or
/// trn_drain was given is over; do not run it.
/// result: receives the operation's result as JSON; free it with trn_string_free. NULL: not wanted.
/// TRN_STATUS_OK: the operation ended with a result. Otherwise with the error given; kind `closed` also when the
/// engine was closed and the operation's end is not among its last events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_run(
    engine: *mut trn_engine,
    operation: u64,
    handler: trn_handler,
    user: *mut c_void,
    result: *mut *mut c_char,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let mut result = result.as_mut();
            if let Some(result) = &mut result {
                **result = std::ptr::null_mut();
            }
            let (reactor, unseen) = (self::engine(engine)?, whole(engine)?);
            let mut ended = unseen.unseen().remove(&operation);
            while ended.is_none() {
                if !reactor.wait(None) {
                    return Err(closed());
                }
                let drained = reactor.drain(Vec::new());
                ended = drained.iter().find(|it| it.id == operation && ends(it.kind)).cloned();
                let Some(handler) = handler else {
                    let others = drained.into_iter().filter(|it| it.id != operation && ends(it.kind));
                    unseen.unseen().extend(others.map(|it| (it.id, it)));
                    continue;
                };
                // The rest of the batch is delivered too: nobody else will see it.
                for event in trn_batch::new(drained).events() {
                    handler(engine, event, user);
                }
            }
            let end = ended.expect("the loop runs until it is there");
            if end.kind == trn_event_kind::Error as u32 {
                return Err(from_event(&end.payload));
            }
            if let Some(result) = result {
                *result = own(&end.payload);
            }
            Ok(trn_status::Ok)
        })
    }
}

fn ends(kind: u32) -> bool {
    kind == trn_event_kind::Result as u32 || kind == trn_event_kind::Error as u32
}
