//! A writer of JSON, so that a result or a definition needs no escaping and no buffer of its own.

use std::ffi::c_char;

use serde_json::value::RawValue;
use trunnion_facade::Error;

use crate::memory::{name, own, place, text, trn_str};
use crate::status::{guard, shield, trn_error, usage};
use crate::surface::trn_status;

/// JSON text that is being written: one value, with commas, quotes and escapes put where they belong. Made by
/// trn_json_new, ended by trn_json_end. One thread at a time may use it.
/// In an object every value has a key; in an array, and for the whole value, the key is NULL. What does not fit (a
/// key that is missing, a text that is not UTF-8, a number that is not finite) is kept for trn_json_end to
/// report, so that nothing needs checking on the way.
pub struct trn_json {
    text: String,
    /// The objects (true) and arrays (false) that are open.
    open: Vec<bool>,
    /// Something is in the innermost of them, or there is a whole value.
    filled: bool,
    /// The first mistake.
    failed: Option<Error>,
}

impl trn_json {
    /// Write the start of a value: a comma if there is one before it, and its key.
    fn start(&mut self, key: Option<&str>) -> Result<(), Error> {
        match (self.open.last(), key) {
            (None, None) if self.filled => return Err(usage("json: there is a whole value already")),
            (None | Some(false), Some(key)) => {
                return Err(usage(format!("json: key {key:?} outside of an object")));
            }
            (Some(true), None) => return Err(usage("json: a value in an object needs a key")),
            _ => {}
        }
        if self.filled {
            self.text.push(',');
        }
        if let Some(key) = key {
            self.text.push_str(&quoted(key));
            self.text.push(':');
        }
        self.filled = true;
        Ok(())
    }

    fn begin(&mut self, key: Option<&str>, object: bool) -> Result<(), Error> {
        self.start(key)?;
        self.text.push(if object { '{' } else { '[' });
        self.open.push(object);
        self.filled = false;
        Ok(())
    }

    fn finish(&mut self, object: bool) -> Result<(), Error> {
        let what = if object { "object" } else { "array" };
        if self.open.pop() != Some(object) {
            return Err(usage(format!("json: no {what} is open here")));
        }
        self.text.push(if object { '}' } else { ']' });
        self.filled = true;
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Do one step, unless one before it failed.
unsafe fn step(json: *mut trn_json, body: impl FnOnce(&mut trn_json) -> Result<(), Error>) {
    shield((), || {
        // SAFETY: the caller passes NULL or a live writer.
        let Some(json) = (unsafe { json.as_mut() }) else { return };
        if json.failed.is_none() {
            json.failed = body(json).err();
        }
    });
}

/// Write one value under a key.
unsafe fn put(json: *mut trn_json, key: *const c_char, value: impl FnOnce() -> Result<String, Error>) {
    // SAFETY: the pointers are as the header asks.
    unsafe {
        step(json, |json| {
            json.start(optional(key)?)?;
            json.text.push_str(&value()?);
            Ok(())
        });
    }
}

unsafe fn optional<'a>(key: *const c_char) -> Result<Option<&'a str>, Error> {
    // SAFETY: the caller passes NULL or a C string.
    if key.is_null() { Ok(None) } else { unsafe { name(key, "key") }.map(Some) }
}

/// A new writer. End it with trn_json_end.
#[unsafe(no_mangle)]
pub extern "C" fn trn_json_new() -> *mut trn_json {
    let json = trn_json { text: String::new(), open: Vec::new(), filled: false, failed: None };
    Box::into_raw(Box::new(json))
}

/// Begin an object: the whole value and an element with key NULL, a member with its key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_object_begin(json: *mut trn_json, key: *const c_char) {
    // SAFETY: the pointers are as the header asks.
    unsafe { step(json, |json| json.begin(optional(key)?, true)) }
}

/// End the innermost object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_object_end(json: *mut trn_json) {
    // SAFETY: the pointer is as the header asks.
    unsafe { step(json, |json| json.finish(true)) }
}

/// Begin an array; the key is as for trn_json_object_begin.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_array_begin(json: *mut trn_json, key: *const c_char) {
    // SAFETY: the pointers are as the header asks.
    unsafe { step(json, |json| json.begin(optional(key)?, false)) }
}

/// End the innermost array.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_array_end(json: *mut trn_json) {
    // SAFETY: the pointer is as the header asks.
    unsafe { step(json, |json| json.finish(false)) }
}

/// Write a string. value: UTF-8 text, not yet escaped; NULs may be in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_put_string(json: *mut trn_json, key: *const c_char, value: trn_str) {
    // SAFETY: the pointers are as the header asks.
    unsafe { put(json, key, || Ok(quoted(text(value, "json: value")?))) }
}

/// Write a number. It must be finite: JSON has no other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_put_number(json: *mut trn_json, key: *const c_char, value: f64) {
    let number = || serde_json::Number::from_f64(value).map(|it| it.to_string());
    // SAFETY: the pointers are as the header asks.
    unsafe {
        put(json, key, || number().ok_or_else(|| usage(format!("json: {value} is not a finite number"))))
    }
}

/// Write a whole number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_put_integer(json: *mut trn_json, key: *const c_char, value: i64) {
    // SAFETY: the pointers are as the header asks.
    unsafe { put(json, key, || Ok(value.to_string())) }
}

/// Write true or false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_put_bool(json: *mut trn_json, key: *const c_char, value: bool) {
    // SAFETY: the pointers are as the header asks.
    unsafe { put(json, key, || Ok(value.to_string())) }
}

/// Write null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_put_null(json: *mut trn_json, key: *const c_char) {
    // SAFETY: the pointers are as the header asks.
    unsafe { put(json, key, || Ok("null".to_owned())) }
}

/// Write a value that is JSON text already, such as one of trn_json_raw.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_put_raw(json: *mut trn_json, key: *const c_char, value: trn_str) {
    let value = || {
        // SAFETY: the pointers are as the header asks.
        let raw = unsafe { text(value, "json: value") }?;
        let raw = serde_json::from_str::<&RawValue>(raw)
            .map_err(|error| usage(format!("json: a raw value is not JSON: {error}")))?;
        Ok(raw.get().to_owned())
    };
    // SAFETY: as above.
    unsafe { put(json, key, value) }
}

/// End the writer and free it.
/// text: receives the JSON text, or NULL if something did not fit; free it with trn_string_free. NULL: the writer is
/// only freed. TRN_STATUS_USAGE: the error says what was wrong first, or what is still open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_end(
    json: *mut trn_json,
    text: *mut *mut c_char,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks; a writer is made by trn_json_new and ended once.
    unsafe {
        let json = if json.is_null() { None } else { Some(Box::from_raw(json)) };
        if text.is_null() {
            drop(json);
            return guard(error, || Ok(trn_status::Ok));
        }
        guard(error, || {
            let text = place(text, "text")?;
            *text = std::ptr::null_mut();
            let json = json.ok_or_else(|| usage("json is NULL"))?;
            let trn_json { text: written, open, filled, failed } = *json;
            match (failed, open.last()) {
                (Some(failed), _) => Err(failed),
                (None, Some(true)) => Err(usage("json: an object is still open")),
                (None, Some(false)) => Err(usage("json: an array is still open")),
                (None, None) if !filled => Err(usage("json: nothing was written")),
                (None, None) => {
                    *text = own(&written);
                    Ok(trn_status::Ok)
                }
            }
        })
    }
}
