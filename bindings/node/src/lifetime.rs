//! What ties an engine to its environment: the cleanup hook, and the watch that must end before the loop does.

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

/// An engine, and its ties to one environment. Only ever touched on that environment's thread.
pub struct Lifetime {
    engine: trunnion_facade::Engine,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    ended: Cell<bool>,
    closing: Cell<i32>,
    #[cfg(unix)]
    poll: RefCell<Option<Poll>>,
}

impl Lifetime {
    /// Tie `engine` to `env`: when the environment ends first, the engine is closed.
    pub fn new(env: Env, engine: trunnion_facade::Engine) -> napi::Result<Rc<Self>> {
        let lifetime = Rc::new(Self {
            engine,
            hook: Cell::new(ptr::null_mut()),
            ended: Cell::new(false),
            closing: Cell::new(0),
            #[cfg(unix)]
            poll: RefCell::new(None),
        });
        // An asynchronous hook: the loop has to turn once more for libuv to let go of the poll handle.
        let mut hook = ptr::null_mut();
        let data = Rc::into_raw(Rc::clone(&lifetime)).cast_mut().cast::<c_void>();
        // SAFETY: `data` is an `Rc` count that `release` gives back after the hook is gone.
        let status = unsafe {
            sys::napi_add_async_cleanup_hook(env.raw(), Some(on_environment_end), data, &raw mut hook)
        };
        if status != sys::Status::napi_ok {
            // SAFETY: the count taken above; no hook holds it.
            drop(unsafe { Rc::from_raw(data.cast::<Self>()) });
        }
        check_status!(status, "the environment is ending")?;
        lifetime.hook.set(hook);
        Ok(lifetime)
    }

    /// The engine.
    pub fn engine(&self) -> &trunnion_facade::Engine {
        &self.engine
    }

    /// Watch the engine's descriptor; see [`Poll::start`].
    #[cfg(unix)]
    pub fn watch(self: &Rc<Self>, env: Env, callback: &Function<'_, String, ()>) -> napi::Result<bool> {
        self.unwatch();
        let poll = Poll::start(env, self, callback)?;
        let watching = poll.is_some();
        *self.poll.borrow_mut() = poll;
        Ok(watching)
    }

    /// Stop watching. The handle's memory goes when the loop has turned once more.
    #[cfg(unix)]
    pub fn unwatch(&self) {
        if let Some(poll) = self.poll.borrow_mut().take() {
            poll.close();
        }
    }

    /// Make the watch count, or not, as something the process waits for.
    #[cfg(unix)]
    pub fn keep_alive(&self, on: bool) {
        if let Some(poll) = &*self.poll.borrow() {
            poll.keep_alive(on);
        }
    }

    /// The JavaScript object, or the environment, is gone: nothing can reach the engine any more.
    pub fn end(&self) {
        self.engine.set_wake(Box::new(|| {}));
        self.engine.close(Duration::ZERO);
        #[cfg(unix)]
        self.unwatch();
        self.ended.set(true);
        self.release_if_done();
    }

    /// A watch began to close (+1) or has closed (-1). The cleanup hook stays until none is left.
    #[cfg(unix)]
    pub fn closing(&self, change: i32) {
        self.closing.set(self.closing.get() + change);
        self.release_if_done();
    }

    /// Remove the cleanup hook (or, while it runs, report it done) and give back the count it held.
    /// The caller holds another count.
    fn release_if_done(&self) {
        if !self.ended.get() || self.closing.get() > 0 {
            return;
        }
        let hook = self.hook.replace(ptr::null_mut());
        if !hook.is_null() {
            // SAFETY: `hook` is live: it is nulled at its one removal. The count is the one `new` leaked.
            unsafe {
                sys::napi_remove_async_cleanup_hook(hook);
                Rc::decrement_strong_count(ptr::from_ref(self));
            }
        }
    }
}

extern "C" fn on_environment_end(hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: the hook holds a count of this `Rc`; this second one keeps it whole while `end` drops that.
    let lifetime = unsafe {
        Rc::increment_strong_count(data.cast::<Lifetime>());
        Rc::from_raw(data.cast::<Lifetime>())
    };
    lifetime.hook.set(hook);
    // A panic must not unwind into the host. It is a defect, and nobody is left to tell.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lifetime.end()));
}
