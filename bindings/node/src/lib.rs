//! The Node binding: the facade as one class of strings and numbers, and wake-ups of the event loop.
//!
//! Every value belongs to one environment (the main thread or one worker): there are no statics, and a
//! cleanup hook closes the engines of an environment that ends.

mod error;
mod lifetime;
#[cfg(unix)]
mod poll;

use std::rc::Rc;
use std::time::Duration;

use napi::bindgen_prelude::{Env, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;

use crate::error::guard;
use crate::lifetime::Lifetime;

/// The engine's version.
#[napi]
pub fn version() -> &'static str {
    trunnion_facade::version()
}

/// A callback that other threads queue on the event loop.
struct Wakeup(Option<Queued>);

type Queued = ThreadsafeFunction<(), (), (), napi::Status, false, true>;

impl Wakeup {
    fn queue(&self) {
        if let Some(callback) = &self.0 {
            callback.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

impl Drop for Wakeup {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            // Fails only if an ending environment has closed it already.
            #[expect(deprecated, reason = "dropping it would still deliver what is queued")]
            let _ = callback.abort();
        }
    }
}

/// One engine of one environment. The functions are those of `bindings/surface.toml`.
#[napi]
pub struct Engine {
    lifetime: Rc<Lifetime>,
}

#[napi]
impl Engine {
    /// `engine_new`: options as JSON text.
    #[napi(constructor)]
    pub fn new(env: Env, options: String) -> napi::Result<Self> {
        let engine = guard(env, || trunnion_facade::Engine::new(&options))?;
        Ok(Self { lifetime: Lifetime::new(env, engine)? })
    }

    /// The descriptor to watch, or -1.
    #[napi]
    pub fn fd(&self) -> i32 {
        self.inner().fd()
    }

    /// Calls `callback(events)` on the event loop with each non-empty batch, by watching [`Engine::fd`] with
    /// libuv. False: this runtime has no libuv, or there is no descriptor; use `setWake`.
    #[napi]
    pub fn watch(&self, env: Env, callback: Function<'_, String, ()>) -> napi::Result<bool> {
        #[cfg(unix)]
        return self.lifetime.watch(env, &callback);
        #[cfg(not(unix))]
        {
            let _ = (env, callback);
            Ok(false)
        }
    }

    /// Stops the callbacks; frees the resources of `watch` and `setWake`.
    #[napi]
    pub fn unwatch(&self) {
        self.inner().set_wake(Box::new(|| {}));
        #[cfg(unix)]
        self.lifetime.unwatch();
    }

    /// Sets whether a watched engine keeps the process alive (it does after `watch`).
    #[napi]
    pub fn keep_alive(&self, on: bool) {
        #[cfg(unix)]
        self.lifetime.keep_alive(on);
        #[cfg(not(unix))]
        let _ = on;
    }

    /// `drain`: completions as JSON text in, events as JSON text out.
    #[napi]
    pub fn drain_json(&self, env: Env, completions: String) -> napi::Result<String> {
        guard(env, || self.inner().drain_json(&completions))
    }

    /// `wait`: block up to `timeout_ms` milliseconds (negative: no limit).
    #[napi]
    pub fn wait(&self, timeout_ms: i64) -> bool {
        self.inner().wait(u64::try_from(timeout_ms).ok().map(Duration::from_millis))
    }

    /// `set_wake`: `callback()` runs on the event loop; it does not keep the process alive. There are no
    /// further calls once `close`, `unwatch` or another `setWake` has returned.
    #[napi]
    pub fn set_wake(&self, callback: Function<'_, (), ()>) -> napi::Result<()> {
        let wake = Wakeup(Some(callback.build_threadsafe_function().weak::<true>().build()?));
        self.inner().set_wake(Box::new(move || wake.queue()));
        Ok(())
    }

    /// `complete`: answer one exchange.
    #[napi]
    pub fn complete(&self, id: i64, outcome: u32, payload: String) -> bool {
        self.inner().complete(handle(id), outcome, &payload)
    }

    /// `progress` of an exchange.
    #[napi]
    pub fn progress(&self, env: Env, id: i64, payload: String) -> napi::Result<bool> {
        guard(env, || self.inner().progress(handle(id), &payload))
    }

    /// `log` with an exchange.
    #[napi]
    pub fn log(&self, env: Env, id: i64, payload: String) -> napi::Result<bool> {
        guard(env, || self.inner().log(handle(id), &payload))
    }

    /// `remember` a JSON value with an exchange.
    #[napi]
    pub fn remember(&self, env: Env, id: i64, key: String, value: String) -> napi::Result<bool> {
        guard(env, || self.inner().remember(handle(id), &key, &value))
    }

    /// `close_stream` of an exchange.
    #[napi]
    pub fn close_stream(&self, id: i64) -> bool {
        self.inner().close_stream(handle(id))
    }

    /// `context` of an exchange as JSON text; null when it is over.
    #[napi]
    pub fn context(&self, id: i64) -> Option<String> {
        self.inner().context(handle(id))
    }

    /// `cancel` an operation.
    #[napi]
    pub fn cancel(&self, id: i64, reason: String) -> bool {
        self.inner().cancel(handle(id), &reason)
    }

    /// `close` within `deadline_ms` milliseconds.
    #[napi]
    pub fn close(&self, env: Env, deadline_ms: u32) -> napi::Result<()> {
        guard(env, || {
            self.inner().close(Duration::from_millis(u64::from(deadline_ms)));
            Ok(())
        })
    }

    /// `live` counters as JSON text.
    #[napi]
    pub fn live(&self) -> String {
        self.inner().live()
    }

    /// `server_new`.
    #[napi]
    pub fn server_new(&self, env: Env, definition: String) -> napi::Result<i64> {
        guard(env, || self.inner().server_new(&definition)).map(number)
    }

    /// `server_add`.
    #[napi]
    pub fn server_add(
        &self,
        env: Env,
        server: i64,
        item: String,
        definition: String,
        options: String,
        target: i64,
    ) -> napi::Result<()> {
        guard(env, || self.inner().server_add(handle(server), &item, &definition, &options, handle(target)))
    }

    /// `server_remove`.
    #[napi]
    pub fn server_remove(&self, env: Env, server: i64, item: String, key: String) -> napi::Result<bool> {
        guard(env, || self.inner().server_remove(handle(server), &item, &key))
    }

    /// `serve_stdio`.
    #[napi]
    pub fn serve_stdio(&self, env: Env, server: i64, options: String) -> napi::Result<i64> {
        guard(env, || self.inner().serve_stdio(handle(server), &options)).map(number)
    }

    /// `serve_http`.
    #[napi]
    pub fn serve_http(&self, env: Env, server: i64, options: String) -> napi::Result<i64> {
        guard(env, || self.inner().serve_http(handle(server), &options)).map(number)
    }

    /// `http_request` to an endpoint that is embedded in the host's web server.
    #[napi]
    pub fn http_request(&self, env: Env, endpoint: i64, head: String, body: &[u8]) -> napi::Result<i64> {
        guard(env, || self.inner().http_request(handle(endpoint), &head, body)).map(number)
    }

    /// `notify` the peers of a server or a client.
    #[napi]
    pub fn notify(&self, env: Env, id: i64, event: String, params: String) -> napi::Result<bool> {
        guard(env, || self.inner().notify(handle(id), &event, &params))
    }

    /// `server_close`.
    #[napi]
    pub fn server_close(&self, env: Env, server: i64) -> napi::Result<()> {
        guard(env, || {
            self.inner().server_close(handle(server));
            Ok(())
        })
    }

    /// `connect`.
    #[napi]
    pub fn connect(&self, env: Env, target: String, options: String) -> napi::Result<i64> {
        guard(env, || self.inner().connect(&target, &options)).map(number)
    }

    /// `request`.
    #[napi]
    pub fn request(
        &self,
        env: Env,
        client: i64,
        op: String,
        params: String,
        options: String,
    ) -> napi::Result<i64> {
        guard(env, || self.inner().request(handle(client), &op, &params, &options)).map(number)
    }

    /// `client_close`.
    #[napi]
    pub fn client_close(&self, env: Env, client: i64) -> napi::Result<()> {
        guard(env, || {
            self.inner().client_close(handle(client));
            Ok(())
        })
    }

    fn inner(&self) -> &trunnion_facade::Engine {
        self.lifetime.engine()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.lifetime.end();
    }
}

/// Converts a handle. Handles are small counters; a negative number is no handle, and 0 names nothing.
fn handle(id: i64) -> u64 {
    u64::try_from(id).unwrap_or(0)
}

fn number(handle: u64) -> i64 {
    i64::try_from(handle).unwrap_or(i64::MAX)
}
