//! Wake-ups by libuv: a `uv_poll` handle on the engine's descriptor, in the environment's own loop.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use libloading::os::unix::Library;
use napi::bindgen_prelude::{Env, Function};
use napi::{JsValue, check_status, sys};

use crate::lifetime::Lifetime;

const UV_POLL: c_int = 8;
const UV_READABLE: c_int = 1;
const NOTHING: &str = "[]";

type Handle = *mut c_void;

/// The few functions of libuv that are needed. They are resolved on first use, so that the addon also loads
/// in a runtime that does not have them.
struct Uv {
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    poll_init: unsafe extern "C" fn(*mut sys::uv_loop_s, Handle, c_int) -> c_int,
    poll_start: unsafe extern "C" fn(Handle, c_int, extern "C" fn(Handle, c_int, c_int)) -> c_int,
    poll_stop: unsafe extern "C" fn(Handle) -> c_int,
    close: unsafe extern "C" fn(Handle, extern "C" fn(Handle)),
    reference: unsafe extern "C" fn(Handle),
    unreference: unsafe extern "C" fn(Handle),
}

impl Uv {
    fn find() -> Option<Self> {
        let process = Library::this();
        // SAFETY: the types are those of libuv's stable C interface (uv.h).
        unsafe {
            Some(Self {
                handle_size: *process.get(b"uv_handle_size\0").ok()?,
                poll_init: *process.get(b"uv_poll_init\0").ok()?,
                poll_start: *process.get(b"uv_poll_start\0").ok()?,
                poll_stop: *process.get(b"uv_poll_stop\0").ok()?,
                close: *process.get(b"uv_close\0").ok()?,
                reference: *process.get(b"uv_ref\0").ok()?,
                unreference: *process.get(b"uv_unref\0").ok()?,
            })
        }
    }
}

/// The target of the handle's `data`. Freed with the handle, after libuv has released it.
struct State {
    uv: Uv,
    env: sys::napi_env,
    callback: sys::napi_ref,
    lifetime: Rc<Lifetime>,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    /// The handle itself.
    _memory: Vec<u128>,
}

/// A started watch.
pub struct Poll {
    handle: Handle,
    state: *mut State,
}

impl Poll {
    /// Calls `callback(events)` whenever a drain of the engine returns events. `None` without libuv or
    /// descriptor.
    pub fn start(
        env: Env,
        lifetime: &Rc<Lifetime>,
        callback: &Function<'_, String, ()>,
    ) -> napi::Result<Option<Self>> {
        let fd = lifetime.engine().fd();
        let (Some(uv), true) = (Uv::find(), fd >= 0) else { return Ok(None) };
        let env = env.raw();
        let mut uv_loop = ptr::null_mut();
        // SAFETY: `env` is the calling environment's.
        let status = unsafe { sys::napi_get_uv_event_loop(env, &raw mut uv_loop) };
        if status != sys::Status::napi_ok {
            return Ok(None);
        }
        // SAFETY: a handle of this size, aligned like the strictest C type, on the heap.
        let size = unsafe { (uv.handle_size)(UV_POLL) };
        let mut memory = vec![0_u128; size.div_ceil(size_of::<u128>())];
        let handle: Handle = memory.as_mut_ptr().cast();
        // SAFETY: loop and handle are valid; a failed init leaves nothing behind.
        let started = unsafe { (uv.poll_init)(uv_loop, handle, fd) };
        if started != 0 {
            return Err(napi::Error::from_reason(format!(
                "the event loop refused the engine's descriptor (libuv error {started})"
            )));
        }
        let mut reference = ptr::null_mut();
        // SAFETY: `callback` is a value of this environment and this call.
        let status = unsafe { sys::napi_create_reference(env, callback.raw(), 1, &raw mut reference) };
        let state = Box::into_raw(Box::new(State {
            uv,
            env,
            callback: reference,
            lifetime: Rc::clone(lifetime),
            hook: Cell::new(ptr::null_mut()),
            _memory: memory,
        }));
        let poll = Self { handle, state };
        let mut hook = ptr::null_mut();
        // An asynchronous hook: when the environment ends, its loop must iterate once more before libuv
        // releases the handle.
        // SAFETY: `state` lives until `on_closed`, which removes the hook.
        let hooked = unsafe {
            sys::napi_add_async_cleanup_hook(env, Some(on_environment_end), state.cast(), &raw mut hook)
        };
        // SAFETY: `state` was just made and lives until `on_closed`; the handle was initialised above.
        let started = unsafe {
            let uv = &(*state).uv;
            (*state).hook.set(hook);
            *data(handle) = state;
            (uv.unreference)(handle);
            (uv.poll_start)(handle, UV_READABLE, on_readable)
        };
        if status != sys::Status::napi_ok || hooked != sys::Status::napi_ok || started != 0 {
            poll.close();
            check_status!(status, "the callback cannot be kept")?;
            check_status!(hooked, "the environment is ending")?;
            return Err(napi::Error::from_reason(format!(
                "the event loop cannot watch the engine's descriptor (libuv error {started})"
            )));
        }
        Ok(Some(poll))
    }

    /// Sets whether the loop waits for this handle.
    pub fn keep_alive(&self, on: bool) {
        let uv = &self.state().uv;
        // SAFETY: the handle is open as long as this value exists.
        unsafe { if on { (uv.reference)(self.handle) } else { (uv.unreference)(self.handle) } }
    }

    /// Stops, and frees the handle after one more iteration of the loop.
    pub fn close(self) {
        let State { uv, env, callback, .. } = self.state();
        // SAFETY: the handle is open; the reference is deleted once, on the environment's own thread.
        unsafe {
            (uv.poll_stop)(self.handle);
            (uv.close)(self.handle, on_closed);
            if !callback.is_null() {
                sys::napi_delete_reference(*env, *callback);
            }
        }
    }

    fn state(&self) -> &State {
        // SAFETY: freed by `on_closed`, which cannot run before `close` consumed this value.
        unsafe { &*self.state }
    }
}

/// `uv_handle_t.data`: the first field of every handle, free for the user of libuv.
fn data(handle: Handle) -> *mut *mut State {
    handle.cast()
}

extern "C" fn on_closed(handle: Handle) {
    // SAFETY: `data` is the box of `start`; libuv does not use the handle any more.
    let state = unsafe { Box::from_raw(*data(handle)) };
    let hook = state.hook.get();
    drop(state);
    if !hook.is_null() {
        // SAFETY: added by `start` and removed here only; while it runs, this reports it done.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    }
}

extern "C" fn on_environment_end(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: the state lives until `on_closed`, which removes this hook. The count keeps the engine alive
    // meanwhile.
    let lifetime = unsafe { Rc::clone(&(*data.cast::<State>()).lifetime) };
    lifetime.unwatch();
}

extern "C" fn on_readable(handle: Handle, status: c_int, _events: c_int) {
    // SAFETY: `data` is the box of `start`, and the handle is open while it calls back.
    let state = unsafe { &**data(handle) };
    // Events are drained before JavaScript is entered: readiness without events (a handshake, half a message)
    // never costs a call.
    let drained = match status {
        0 => catch_unwind(AssertUnwindSafe(|| state.lifetime.engine().drain_json(NOTHING)))
            .map_err(|_| "the engine panicked".to_owned())
            .and_then(|drained| drained.map_err(|error| error.message)),
        status => Err(format!("the engine's descriptor cannot be watched any more (libuv error {status})")),
    };
    match drained {
        Ok(events) if events == NOTHING => {}
        Ok(events) => scoped(state.env, || call(state, &events)),
        Err(message) => {
            // If it kept running, libuv would call it again at once, without end.
            // SAFETY: the handle is open.
            unsafe { (state.uv.poll_stop)(handle) };
            scoped(state.env, || fatal(state.env, &message));
        }
    }
}

fn scoped(env: sys::napi_env, body: impl FnOnce()) {
    let mut scope = ptr::null_mut();
    // SAFETY: on the environment's thread, inside its loop.
    unsafe {
        if sys::napi_open_handle_scope(env, &raw mut scope) == sys::Status::napi_ok {
            body();
            sys::napi_close_handle_scope(env, scope);
        }
    }
}

/// Calls the callback with the events, as the outermost frame: microtasks and `process.nextTick` run after
/// it.
fn call(state: &State, events: &str) {
    // The callback may close the engine; nothing of `state` is used after it.
    let env = state.env;
    let (mut function, mut receiver, mut exception) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: on the environment's thread; every value lives in the caller's scope.
    unsafe {
        let argument = text(env, events);
        sys::napi_get_reference_value(env, state.callback, &raw mut function);
        sys::napi_get_global(env, &raw mut receiver);
        if function.is_null() || argument.is_null() {
            return;
        }
        let none = ptr::null_mut();
        let status =
            sys::napi_make_callback(env, none, receiver, function, 1, &raw const argument, none.cast());
        if status == sys::Status::napi_pending_exception
            && sys::napi_get_and_clear_last_exception(env, &raw mut exception) == sys::Status::napi_ok
        {
            sys::napi_fatal_exception(env, exception);
        }
    }
}

/// Raises an uncaught exception, because no caller can catch it.
fn fatal(env: sys::napi_env, message: &str) {
    let mut error = ptr::null_mut();
    // SAFETY: on the environment's thread; every value lives in the caller's scope.
    unsafe {
        if sys::napi_create_error(env, ptr::null_mut(), text(env, message), &raw mut error)
            == sys::Status::napi_ok
        {
            sys::napi_fatal_exception(env, error);
        }
    }
}

/// A JavaScript string; null when the environment is ending.
fn text(env: sys::napi_env, text: &str) -> sys::napi_value {
    let mut value = ptr::null_mut();
    // SAFETY: on the environment's thread, in an open scope.
    unsafe {
        sys::napi_create_string_utf8(env, text.as_ptr().cast(), text.len().cast_signed(), &raw mut value);
    }
    value
}
