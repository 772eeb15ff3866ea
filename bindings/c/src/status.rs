//! Errors and panics on their way to C.

use std::any::Any;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Deserialize;
use trunnion_facade::Error;

use crate::surface::trn_status;

/// Why a call failed. Freed by trn_error_free.
#[repr(C)]
pub struct trn_error {
    /// The code: negative ones are the protocol's, positive ones the library's. See trn_status.
    pub code: i64,
    /// The kind, one of the TRN_KIND_ texts.
    pub kind: *const c_char,
    /// One sentence for a person.
    pub message: *const c_char,
    /// JSON text of the error's data, or NULL.
    pub data: *const c_char,
}

/// Free an error. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_error_free(error: *mut trn_error) {
    if error.is_null() {
        return;
    }
    // SAFETY: an error is made by `report` and freed once; its texts come from CString::into_raw.
    unsafe {
        let error = Box::from_raw(error);
        for text in [error.kind, error.message, error.data] {
            if !text.is_null() {
                drop(CString::from_raw(text.cast_mut()));
            }
        }
    }
}

/// Run the body of an exported function: a panic becomes a status, an error also goes to `error`, which is
/// set to NULL when there is none.
pub(crate) unsafe fn guard(
    error: *mut *mut trn_error,
    body: impl FnOnce() -> Result<trn_status, Error>,
) -> trn_status {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(&*panic)));
    let (status, detail) = match result {
        Ok(status) => (status, std::ptr::null_mut()),
        Err(failure) => {
            let status = trn_status::of_kind(failure.kind);
            (status, if error.is_null() { std::ptr::null_mut() } else { report(failure) })
        }
    };
    if !error.is_null() {
        // SAFETY: the caller passes NULL or a writable place.
        unsafe { error.write(detail) };
    }
    status
}

/// Run a body that has no status to return; `otherwise` stands for a panic.
pub(crate) fn shield<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// Yes or no as a status.
pub(crate) fn answer(yes: bool) -> trn_status {
    if yes { trn_status::Ok } else { trn_status::False }
}

/// The host called wrongly.
pub(crate) fn usage(message: impl Into<String>) -> Error {
    failure(trn_status::Usage, "usage", message.into())
}

/// The engine was made in another process.
pub(crate) fn forked() -> Error {
    let message = "this engine was made in another process; engines do not survive fork: make a new one";
    failure(trn_status::Forked, "forked", message.into())
}

/// The library is another one than the header says.
pub(crate) fn mismatch(message: String) -> Error {
    failure(trn_status::UnsupportedVersion, "unsupported_version", message)
}

/// The engine is closed, and nothing is left to wait for.
pub(crate) fn closed() -> Error {
    failure(trn_status::Closed, "closed", "the engine is closed".into())
}

/// The error that an ERROR event carries: {code, kind, message, data?}.
pub(crate) fn from_event(payload: &str) -> Error {
    #[derive(Deserialize)]
    struct Payload<'a> {
        code: i64,
        kind: String,
        message: String,
        #[serde(borrow)]
        data: Option<&'a serde_json::value::RawValue>,
    }
    match serde_json::from_str::<Payload<'_>>(payload) {
        Ok(it) => Error {
            code: it.code,
            kind: trn_status::kind(&it.kind),
            message: it.message,
            data: it.data.map(|data| data.get().to_owned()),
        },
        Err(error) => failure(trn_status::Panic, "panic", format!("an error event is malformed: {error}")),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    failure(trn_status::Panic, "panic", format!("a defect in the engine: {what}"))
}

fn failure(status: trn_status, kind: &'static str, message: String) -> Error {
    Error { code: status as i64, kind, message, data: None }
}

fn report(error: Error) -> *mut trn_error {
    Box::into_raw(Box::new(trn_error {
        code: error.code,
        kind: own_text(error.kind.to_owned()),
        message: own_text(error.message),
        data: error.data.map_or(std::ptr::null(), own_text),
    }))
}

/// Text of an error as a C string; a NUL inside, which only a hostile peer sends, ends it early.
fn own_text(mut text: String) -> *const c_char {
    if let Some(end) = text.find('\0') {
        text.truncate(end);
    }
    CString::new(text).expect("the NULs were cut off").into_raw()
}
