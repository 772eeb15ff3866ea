//! Versions: of the library in use, and whether it fits the header that a program was compiled with.

use std::ffi::{c_char, c_void};

use trunnion_facade::Error;

use crate::memory::name;
use crate::status::{guard, mismatch, trn_error};
use crate::surface::{ABI, trn_status};

/// The version of the library in use, such as "0.1.0". Static text. Compare TRN_VERSION, which is that of
/// the header.
#[unsafe(no_mangle)]
pub extern "C" fn trn_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The binary interface of the library in use. It must equal TRN_ABI, that of the header.
#[unsafe(no_mangle)]
pub extern "C" fn trn_abi() -> u32 {
    ABI
}

/// Whether the library in use fits a header; call it as TRN_CHECK(&error), first of all. TRN_STATUS_UNSUPPORTED_VERSION: it
/// is older, or has another binary interface; the message names both, the library's file and the cure.
/// abi: TRN_ABI. version: TRN_VERSION.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn trn_check(
    abi: u32,
    version: *const c_char,
    error: *mut *mut trn_error,
) -> trn_status {
    // SAFETY: the pointers are as the header asks.
    unsafe { guard(error, || fits(abi, name(version, "version")?, ABI, env!("CARGO_PKG_VERSION"))) }
}

/// The numbers of a version before what follows a `-` or `+`.
fn numbers(version: &str) -> Vec<u64> {
    let plain = version.split(['-', '+']).next().unwrap_or_default();
    plain.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// A program whose header has this interface and version may use a library that has those.
fn fits(abi: u32, version: &str, own_abi: u32, own_version: &str) -> Result<trn_status, Error> {
    if abi == own_abi && numbers(version) <= numbers(own_version) {
        return Ok(trn_status::Ok);
    }
    let file = library_file().unwrap_or_else(|| "the program itself (libtrunnion.a)".into());
    Err(mismatch(format!(
        "the program was compiled with trunnion.h {version} (interface {abi}), but found libtrunnion {own_version} \
         (interface {own_abi}) in {file}: install version {version} of the library and see that no other one comes \
         before it (LD_LIBRARY_PATH, the rpath, ld.so.conf), or compile the program with the header of {own_version}"
    )))
}

/// The file that this code was loaded from, where it is a shared library.
fn library_file() -> Option<String> {
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is one of this module, and the structure is written before it is read.
    let found = unsafe {
        if libc::dladdr(trn_abi as *const c_void, found.as_mut_ptr()) == 0 {
            return None;
        }
        found.assume_init()
    };
    if found.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the dynamic linker gives a text that lives as long as the module is loaded.
    let name = unsafe { std::ffi::CStr::from_ptr(found.dli_fname) }.to_string_lossy().into_owned();
    name.contains("libtrunnion").then_some(name)
}
