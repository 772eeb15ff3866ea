//! Errors as JavaScript error objects with `code`, `kind` and `data` (JSON text) beside the message.

use std::panic::{AssertUnwindSafe, catch_unwind};

use napi::bindgen_prelude::Env;
use napi::{JsValue, Status};

/// Runs a facade call; a failure, or a panic, becomes a thrown error object.
pub fn guard<T>(env: Env, call: impl FnOnce() -> Result<T, trunnion_facade::Error>) -> napi::Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(throw(env, &error)),
        Err(panic) => Err(throw(env, &panicked(&*panic))),
    }
}

fn throw(env: Env, error: &trunnion_facade::Error) -> napi::Error {
    let thrown = (|| {
        let mut object = env.create_error(napi::Error::from_reason(error.message.clone()))?;
        object.set("code", error.code)?;
        object.set("kind", error.kind)?;
        object.set("data", error.data.as_deref())?;
        env.throw(object.to_unknown())
    })();
    match thrown {
        Ok(()) => napi::Error::new(Status::PendingException, error.message.clone()),
        Err(failure) => failure,
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> trunnion_facade::Error {
    let message = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the engine panicked".to_owned());
    trunnion_facade::Error { code: 9, kind: "panic", message, data: None }
}
