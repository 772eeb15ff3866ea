//! Calling servers.

use std::ffi::c_char;

use crate::memory::{engine, name, options, place, text, trn_engine, trn_str};
use crate::status::{guard, trn_error};
use crate::surface::trn_status;

/// Connect to a server.
/// target: JSON {url}, {command: [program, argument, …], env?, cwd?}, or {server: handle} for a server of
/// this engine.
/// options: JSON, keys of scope `connect`.
/// client: receives the handle. TRN_EVENT_RESULT or TRN_EVENT_ERROR with it follows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_connect(
    engine: *mut trn_engine,
    target: trn_str,
    options: trn_str,
    client: *mut u64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let client = place(client, "client")?;
            *client = 0;
            let engine = self::engine(engine)?;
            *client = engine.connect(text(target, "target")?, self::options(options)?)?;
            Ok(trn_status::Ok)
        })
    }
}

/// Ask the peer one thing: of a client its server, of an exchange its client.
/// client: the handle of a client, or the id of an event that asks something of a server.
/// op: one of the TRN_OP_ texts. params: JSON, the request's parameters; empty stands for {}.
/// Of an exchange: op "ask", params {key: {op: "elicit", "sample" or "list_roots", params?}}, and the result is
/// {key: answer}. In the modern era questions that are not answered yet end this run of the handler:
/// TRN_EVENT_CANCELLED for the exchange with reason input_required, TRN_EVENT_ERROR of kind `cancelled` for the
/// operation. The caller sends its request again with the answers, as a new exchange. Or op "checkpoint", params
/// {value}, or "store", params {key, value}: the result is {} when it is stored, in a task where it outlives the
/// process; a later run has it in its context.
/// options: JSON, keys of scope `request`.
/// operation: receives its handle. One TRN_EVENT_RESULT or TRN_EVENT_ERROR with it follows, before it
/// perhaps TRN_EVENT_PROGRESS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_request(
    engine: *mut trn_engine,
    client: u64,
    op: *const c_char,
    params: trn_str,
    options: trn_str,
    operation: *mut u64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let operation = place(operation, "operation")?;
            *operation = 0;
            let engine = self::engine(engine)?;
            let params = self::options(params)?;
            *operation = engine.request(client, name(op, "op")?, params, self::options(options)?)?;
            Ok(trn_status::Ok)
        })
    }
}

/// Disconnect. Pending calls fail with kind `closed`; TRN_EVENT_CLOSED follows. Closing twice is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_client_close(
    engine: *mut trn_engine,
    client: u64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            self::engine(engine)?.client_close(client);
            Ok(trn_status::Ok)
        })
    }
}
