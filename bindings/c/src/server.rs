//! Serving.

use std::ffi::c_char;

use crate::memory::{bytes, engine, name, options, place, text, trn_engine, trn_str};
use crate::status::{answer, guard, trn_error};
use crate::surface::trn_status;

/// Register a server.
/// definition: JSON {name, version, title?, instructions?, websiteUrl?, icons?} plus keys of scope `server`.
/// server: receives the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_server_new(
    engine: *mut trn_engine,
    definition: trn_str,
    server: *mut u64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let server = place(server, "server")?;
            *server = 0;
            *server = self::engine(engine)?.server_new(text(definition, "definition")?)?;
            Ok(trn_status::Ok)
        })
    }
}

/// Add something to a server.
/// item: "tool", "resource", "resource_template", "prompt" or "completion".
/// definition: JSON; the protocol's object of that name. Tool: {name, description?, inputSchema, …}.
/// Resource: {uri, name, mimeType?, …}. Template: {uriTemplate, name, …}. Prompt: {name, arguments?, …}.
/// Completion: {ref: {type: "ref/prompt", name} or {type: "ref/resource", uri}}.
/// options: JSON, keys of scope `tool` for a tool.
/// target: comes back in the events that ask for this item. An index, or a pointer cast to uint64_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_server_add(
    engine: *mut trn_engine,
    server: u64,
    item: *const c_char,
    definition: trn_str,
    options: trn_str,
    target: u64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let engine = self::engine(engine)?;
            let definition = text(definition, "definition")?;
            engine.server_add(server, name(item, "item")?, definition, self::options(options)?, target)?;
            Ok(trn_status::Ok)
        })
    }
}

/// Remove what was added under that name, URI or template; a completion goes by "prompt NAME" or "resource TEMPLATE".
/// TRN_STATUS_FALSE: there was none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_server_remove(
    engine: *mut trn_engine,
    server: u64,
    item: *const c_char,
    key: trn_str,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let engine = self::engine(engine)?;
            Ok(answer(engine.server_remove(server, name(item, "item")?, text(key, "key")?)?))
        })
    }
}

/// Serve the process's standard streams. The engine takes the real standard output and points descriptor 1 at
/// standard error, so that printf cannot break the protocol.
/// operation: receives its handle. TRN_EVENT_RESULT with it when the peer has closed them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_serve_stdio(
    engine: *mut trn_engine,
    server: u64,
    options: trn_str,
    operation: *mut u64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let operation = place(operation, "operation")?;
            *operation = 0;
            *operation = self::engine(engine)?.serve_stdio(server, self::options(options)?)?;
            Ok(trn_status::Ok)
        })
    }
}

/// Serve Streamable HTTP.
/// options: JSON, keys of scope `serve_http`.
/// operation: receives its handle. TRN_EVENT_LISTENING with it says the URL, TRN_EVENT_RESULT ends it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_serve_http(
    engine: *mut trn_engine,
    server: u64,
    options: trn_str,
    operation: *mut u64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let operation = place(operation, "operation")?;
            *operation = 0;
            *operation = self::engine(engine)?.serve_http(server, self::options(options)?)?;
            Ok(trn_status::Ok)
        })
    }
}

/// Hand a request to an endpoint that the program carries itself: the operation of trn_serve_http with the option `carried`.
/// head: JSON {method, target, headers: [[name, value], ...], peer?}; target is path and query.
/// body: the request's body; any bytes.
/// operation: receives its handle. TRN_EVENT_HTTP_HEAD with it, TRN_EVENT_HTTP_CHUNKs, then TRN_EVENT_RESULT. When the
/// caller has left, trn_cancel it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_http_request(
    engine: *mut trn_engine,
    endpoint: u64,
    head: trn_str,
    body: trn_str,
    operation: *mut u64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let operation = place(operation, "operation")?;
            *operation = 0;
            let (head, body) = (text(head, "head")?, bytes(body, "body")?);
            *operation = self::engine(engine)?.http_request(endpoint, head, body)?;
            Ok(trn_status::Ok)
        })
    }
}

/// Tell the peers of a server or of a client that something has changed.
/// event: for a server "resource_updated" {uri}, "tools_changed", "resources_changed", "prompts_changed" or
/// "elicitation_complete" {elicitationId}, which only the session hears that was asked to visit a page under that id; for a
/// client "roots_changed" {roots}.
/// params: JSON. TRN_STATUS_FALSE: there is no server or client of that id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_notify(
    engine: *mut trn_engine,
    id: u64,
    event: *const c_char,
    params: trn_str,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            let (event, params) = (name(event, "event")?, self::options(params)?);
            Ok(answer(self::engine(engine)?.notify(id, event, params)?))
        })
    }
}

/// End every serve operation of a server and forget it. Forgetting it twice is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_server_close(
    engine: *mut trn_engine,
    server: u64,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        guard(error, || {
            self::engine(engine)?.server_close(server);
            Ok(trn_status::Ok)
        })
    }
}
