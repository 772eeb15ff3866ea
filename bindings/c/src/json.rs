//! The few JSON accessors that every handler needs, so that small programs need no JSON library.
//!
//! They walk the text and build no tree; what they do not look at they only skip.

use std::ffi::c_char;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::memory::{name, own, text, trn_str};
use crate::status::shield;

/// The value at `path`, as JSON text borrowed from `json`, byte for byte. False: there is none, or `json` is
/// not JSON.
/// path: the name of a member, or a JSON Pointer (RFC 6901) if it begins with '/': "/content/0/text". The
/// empty text is the whole value. The other trn_json_ functions take the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_raw(json: trn_str, path: *const c_char, value: *mut trn_str) -> bool {
    shield(false, || {
        // SAFETY: the pointers are as the header asks.
        unsafe { put(value, find(json, path).map(|it| trn_str { ptr: it.as_ptr().cast(), len: it.len() })) }
    })
}

/// The string at `path`, decoded, or NULL: no such value, or not a string. Free it with trn_string_free.
/// len: receives the number of bytes without the NUL behind them, for strings that hold NULs; may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_string(json: trn_str, path: *const c_char, len: *mut usize) -> *mut c_char {
    shield(std::ptr::null_mut(), || {
        // SAFETY: the pointers are as the header asks.
        let string = unsafe { find(json, path) }.and_then(|it| serde_json::from_str::<String>(it).ok());
        // SAFETY: as above.
        unsafe { give(string, len) }
    })
}

/// The number at `path`. False: no such value, or not a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_number(json: trn_str, path: *const c_char, value: *mut f64) -> bool {
    // SAFETY: the pointers are as the header asks.
    shield(false, || unsafe { put(value, find(json, path).and_then(|it| serde_json::from_str(it).ok())) })
}

/// The whole number at `path`. False: no such value, or not a whole number of 64 bits. 3.0 is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_integer(json: trn_str, path: *const c_char, value: *mut i64) -> bool {
    shield(false, || {
        // SAFETY: the pointers are as the header asks.
        let found = unsafe { find(json, path) };
        let integer = found.and_then(|it| serde_json::from_str(it).ok().or_else(|| whole(it)));
        // SAFETY: as above.
        unsafe { put(value, integer) }
    })
}

/// The truth value at `path`. False: no such value, or neither true nor false.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_bool(json: trn_str, path: *const c_char, value: *mut bool) -> bool {
    // SAFETY: the pointers are as the header asks.
    shield(false, || unsafe { put(value, find(json, path).and_then(|it| serde_json::from_str(it).ok())) })
}

/// Text as a JSON string, quotes included, ready for a "%s". Free it with trn_string_free. NULL: not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_json_escape(text: trn_str) -> *mut c_char {
    shield(std::ptr::null_mut(), || {
        // SAFETY: the pointers are as the header asks.
        let text = unsafe { self::text(text, "text") }.ok();
        // SAFETY: no length is asked for.
        unsafe { give(text.and_then(|it| serde_json::to_string(it).ok()), std::ptr::null_mut()) }
    })
}

unsafe fn find<'a>(json: trn_str, path: *const c_char) -> Option<&'a str> {
    // SAFETY: the caller's pointers are as the header asks.
    let (json, path) = unsafe { (text(json, "json").ok()?, name(path, "path").ok()?) };
    let whole = serde_json::from_str::<&RawValue>(json).ok()?.get();
    match path.strip_prefix('/') {
        _ if path.is_empty() => Some(whole),
        None => step(whole, path),
        Some(pointer) => pointer
            .split('/')
            .try_fold(whole, |at, token| step(at, &token.replace("~1", "/").replace("~0", "~"))),
    }
}

/// The member or element `token` of a JSON text, as it stands there.
fn step<'a>(json: &'a str, token: &str) -> Option<&'a str> {
    let mut reader = serde_json::Deserializer::from_str(json);
    Step { token }.deserialize(&mut reader).ok()?.map(RawValue::get)
}

struct Step<'t> {
    token: &'t str,
}

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key == self.token {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let wanted = self.token.parse::<usize>().ok().filter(|it| it.to_string() == self.token);
        let mut found = None;
        for index in 0.. {
            if Some(index) == wanted {
                found = list.next_element()?;
                if found.is_none() {
                    break;
                }
            } else if list.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

fn whole(json: &str) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let number = serde_json::from_str::<f64>(json).ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    (number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number)).then_some(number as i64)
}

unsafe fn put<T>(place: *mut T, value: Option<T>) -> bool {
    match value {
        Some(value) if !place.is_null() => {
            // SAFETY: the caller passes NULL or a writable place.
            unsafe { place.write(value) };
            true
        }
        _ => false,
    }
}

unsafe fn give(string: Option<String>, len: *mut usize) -> *mut c_char {
    let Some(string) = string else { return std::ptr::null_mut() };
    if !len.is_null() {
        // SAFETY: the caller passes NULL or a writable place.
        unsafe { len.write(string.len()) };
    }
    own(&string)
}
