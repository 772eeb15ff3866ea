//! The tie between an engine and its environment: an environment that ends first closes the engine.

use std::cell::Cell;
#[cfg(unix)]
use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

use napi::bindgen_prelude::Env;
#[cfg(unix)]
use napi::bindgen_prelude::Function;
use napi::{check_status, sys};

#[cfg(unix)]
use crate::poll::Poll;

/// An engine, and its ties to one environment. Used only on that environment's thread.
pub struct Lifetime {
    engine: trunnion_facade::Engine,
    env: sys::napi_env,
    ended: Cell<bool>,
    #[cfg(unix)]
    poll: RefCell<Option<Poll>>,
}

impl Lifetime {
    /// Ties `engine` to `env`.
    pub fn new(env: Env, engine: trunnion_facade::Engine) -> napi::Result<Rc<Self>> {
        let lifetime = Rc::new(Self {
            engine,
            env: env.raw(),
            ended: Cell::new(false),
            #[cfg(unix)]
            poll: RefCell::new(None),
        });
        // SAFETY: `end` removes the hook before the last count is dropped.
        let status = unsafe {
            sys::napi_add_env_cleanup_hook(env.raw(), Some(on_environment_end), hook_data(&lifetime))
        };
        if status != sys::Status::napi_ok {
            lifetime.ended.set(true);
        }
        check_status!(status, "the environment is ending")?;
        Ok(lifetime)
    }

    /// The engine.
    pub fn engine(&self) -> &trunnion_facade::Engine {
        &self.engine
    }

    /// Watches the engine's descriptor; see [`Poll::start`].
    #[cfg(unix)]
    pub fn watch(self: &Rc<Self>, env: Env, callback: &Function<'_, String, ()>) -> napi::Result<bool> {
        self.unwatch();
        let poll = Poll::start(env, self, callback)?;
        let watching = poll.is_some();
        *self.poll.borrow_mut() = poll;
        Ok(watching)
    }

    /// Stops watching. The memory of the handle is freed after one more iteration of the loop.
    #[cfg(unix)]
    pub fn unwatch(&self) {
        let poll = self.poll.borrow_mut().take();
        if let Some(poll) = poll {
            poll.close();
        }
    }

    /// Sets whether the watch keeps the process alive.
    #[cfg(unix)]
    pub fn keep_alive(&self, on: bool) {
        if let Some(poll) = &*self.poll.borrow() {
            poll.keep_alive(on);
        }
    }

    /// Ends the tie: the JavaScript object, or the environment, is closed and nothing can reach the engine
    /// any more.
    pub fn end(&self) {
        if self.ended.replace(true) {
            return;
        }
        // SAFETY: added by `new`, and it has not run: it would have set `ended`.
        unsafe {
            sys::napi_remove_env_cleanup_hook(self.env, Some(on_environment_end), hook_data(self));
        }
        self.close();
    }

    fn close(&self) {
        self.engine.set_wake(Box::new(|| {}));
        self.engine.close(Duration::ZERO);
        #[cfg(unix)]
        self.unwatch();
    }
}

impl Drop for Lifetime {
    fn drop(&mut self) {
        self.end();
    }
}

fn hook_data(lifetime: &Lifetime) -> *mut c_void {
    ptr::from_ref(lifetime).cast_mut().cast()
}

unsafe extern "C" fn on_environment_end(data: *mut c_void) {
    // SAFETY: the hook is only registered while the lifetime exists.
    let lifetime = unsafe { &*data.cast::<Lifetime>() };
    lifetime.ended.set(true);
    // A panic must not unwind into the host. It is a defect, and there is no caller to report it to.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lifetime.close()));
}
