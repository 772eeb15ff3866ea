//! Private files and directories, and file locks.

use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{
    ERROR_LOCK_VIOLATION, GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE, LocalFree,
};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW,
    SDDL_REVISION_1, SE_FILE_OBJECT,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, EqualSid, GetAce, GetTokenInformation,
    INHERIT_ONLY_ACE, IsWellKnownSid, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES, TOKEN_QUERY,
    TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid, WinCreatorOwnerRightsSid, WinLocalSystemSid,
};
use windows_sys::Win32::Storage::FileSystem::{
    CREATE_NEW, CreateDirectoryW, CreateFileW, FILE_ATTRIBUTE_NORMAL, FILE_CREATION_DISPOSITION,
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY,
    LockFileEx, OPEN_ALWAYS,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// The requirement for a private file.
pub(crate) const PRIVATE: &str = "its access list may name only the user, SYSTEM and the administrators (icacls FILE /inheritance:r /grant:r \"%USERNAME%\":F)";

/// Types of entries of an access list (winnt.h).
const ACCESS_ALLOWED: u8 = 0;
const ACCESS_DENIED: u8 = 1;

/// Makes a private directory, and those above it. An existing one stays unchanged.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_directory(above)?;
    }
    // New files in it inherit its access list.
    let descriptor = Descriptor::private("OICI")?;
    let name = wide(path)?;
    // SAFETY: the name ends with a zero, and both live through the call.
    let made = unsafe { CreateDirectoryW(name.as_ptr(), &descriptor.attributes()) };
    match io::Error::last_os_error() {
        _ if made != 0 => Ok(()),
        error if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        error => Err(error),
    }
}

/// Opens a file for writing. A missing file is created as a private file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_as(path, OPEN_ALWAYS)
}

/// Creates a private file for writing. Fails with `AlreadyExists` if it exists.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    open_as(path, CREATE_NEW)
}

fn open_as(path: &Path, how: FILE_CREATION_DISPOSITION) -> io::Result<File> {
    let descriptor = Descriptor::private("")?;
    let name = wide(path)?;
    let shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    // SAFETY: the name ends with a zero, and all live through the call; the handle is new, and valid unless
    // it is INVALID_HANDLE_VALUE.
    unsafe {
        let handle = CreateFileW(
            name.as_ptr(),
            GENERIC_READ | GENERIC_WRITE,
            shared,
            &descriptor.attributes(),
            how,
            FILE_ATTRIBUTE_NORMAL,
            null_mut(),
        );
        if handle == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        Ok(File::from(OwnedHandle::from_raw_handle(handle)))
    }
}

/// Returns true if a file is private: it permits access only to the user, SYSTEM and the administrators.
pub(crate) fn is_private(path: &Path) -> io::Result<bool> {
    let name = wide(path)?;
    let user = User::current()?;
    let (mut list, mut descriptor): (*mut ACL, PSECURITY_DESCRIPTOR) = (null_mut(), null_mut());
    // SAFETY: the name ends with a zero; the list lies in the descriptor, which is freed when `_kept` is
    // dropped.
    unsafe {
        let status = GetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION,
            null_mut(),
            null_mut(),
            &raw mut list,
            null_mut(),
            &raw mut descriptor,
        );
        if status != 0 {
            return Err(io::Error::from_raw_os_error(status as i32));
        }
        let _kept = Descriptor(descriptor);
        // A missing list permits everything to everybody.
        if list.is_null() {
            return Ok(false);
        }
        for index in 0..u32::from((*list).AceCount) {
            let mut entry = null_mut();
            done(GetAce(list, index, &raw mut entry))?;
            let header = *entry.cast::<ACE_HEADER>();
            let is_of_children = u32::from(header.AceFlags) & INHERIT_ONLY_ACE != 0;
            if is_of_children || header.AceType == ACCESS_DENIED {
                continue;
            }
            let sid = (&raw mut (*entry.cast::<ACCESS_ALLOWED_ACE>()).SidStart).cast();
            if header.AceType != ACCESS_ALLOWED || !is_trusted(sid, &user) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Returns true if this identity may have access to private files: it could obtain access anyway.
///
/// # Safety
///
/// `sid` points to a valid security identifier.
unsafe fn is_trusted(sid: PSID, user: &User) -> bool {
    let system = [WinLocalSystemSid, WinBuiltinAdministratorsSid, WinCreatorOwnerRightsSid];
    // SAFETY: both identifiers are valid.
    unsafe { EqualSid(sid, user.sid()) != 0 || system.iter().any(|&known| IsWellKnownSid(sid, known) != 0) }
}

/// Locks a file (it excludes other locks; nobody reads these files), and waits for the lock. Closing the file
/// unlocks it.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    lock_as(file, LOCKFILE_EXCLUSIVE_LOCK)
}

/// Tries to lock a file without waiting. Returns false if another program has it locked.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match lock_as(file, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(ERROR_LOCK_VIOLATION as i32) => Ok(false),
        Err(error) => Err(error),
    }
}

fn lock_as(file: &File, flags: u32) -> io::Result<()> {
    let mut at = OVERLAPPED::default();
    // SAFETY: the file is open for synchronous calls, so nothing uses `at` after the call.
    done(unsafe { LockFileEx(file.as_raw_handle(), flags, 0, u32::MAX, u32::MAX, &raw mut at) })
}

/// A security descriptor that the system has allocated.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    /// Returns a descriptor with full access for the user, SYSTEM and the administrators, without inherited
    /// entries. `flags`: of each entry, in SDDL.
    fn private(flags: &str) -> io::Result<Descriptor> {
        let user = User::current()?.name()?;
        let text = format!("D:P(A;{flags};FA;;;{user})(A;{flags};FA;;;SY)(A;{flags};FA;;;BA)\0");
        let text: Vec<u16> = text.encode_utf16().collect();
        let mut descriptor = null_mut();
        // SAFETY: the text ends with a zero.
        done(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        })?;
        Ok(Descriptor(descriptor))
    }

    fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the system allocated it, and this is the only free.
        unsafe { LocalFree(self.0) };
    }
}

/// The user of this process: a `TOKEN_USER` and the identifier that it points to.
struct User(Vec<u64>);

impl User {
    fn current() -> io::Result<User> {
        // SAFETY: the handle is new, and valid if the call succeeds; the buffer has the stated length and is
        // aligned.
        unsafe {
            let mut token = null_mut();
            done(OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token))?;
            let token = OwnedHandle::from_raw_handle(token);
            let mut size = 0;
            GetTokenInformation(token.as_raw_handle(), TokenUser, null_mut(), 0, &raw mut size);
            let mut buffer = vec![0_u64; (size as usize).max(size_of::<TOKEN_USER>()).div_ceil(8)];
            done(GetTokenInformation(
                token.as_raw_handle(),
                TokenUser,
                buffer.as_mut_ptr().cast(),
                (buffer.len() * 8) as u32,
                &raw mut size,
            ))?;
            Ok(User(buffer))
        }
    }

    fn sid(&self) -> PSID {
        // SAFETY: the buffer begins with a TOKEN_USER, written by the system.
        unsafe { (*self.0.as_ptr().cast::<TOKEN_USER>()).User.Sid }
    }

    /// Returns the identifier as text.
    fn name(&self) -> io::Result<String> {
        let mut text = null_mut();
        // SAFETY: the identifier is valid; the text that the system allocates ends with a zero, and is freed
        // once.
        unsafe {
            done(ConvertSidToStringSidW(self.sid(), &raw mut text))?;
            let length = (0..).take_while(|&at| *text.add(at) != 0).count();
            let name = String::from_utf16_lossy(std::slice::from_raw_parts(text, length));
            LocalFree(text.cast());
            Ok(name)
        }
    }
}

fn wide(path: &Path) -> io::Result<Vec<u16>> {
    let mut name: Vec<u16> = std::path::absolute(path)?.as_os_str().encode_wide().collect();
    if name.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has a zero in it"));
    }
    name.push(0);
    Ok(name)
}

fn done(result: i32) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_files_are_private_and_others_are_not() {
        let folder = std::env::temp_dir().join(format!("trunnion-private-{}", std::process::id()));
        make_directory(&folder.join("inner")).expect("made");
        make_directory(&folder.join("inner")).expect("there already");
        let file = folder.join("inner").join("file");
        open(&file).expect("made");
        assert!(is_private(&file).expect("looked at"));
        assert_eq!(create(&file).expect_err("there already").kind(), io::ErrorKind::AlreadyExists);
        let public = folder.join("public");
        let text: Vec<u16> = "D:P(A;;FA;;;WD)\0".encode_utf16().collect();
        let mut descriptor = null_mut();
        // SAFETY: the text ends with a zero.
        done(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        })
        .expect("a descriptor");
        let descriptor = Descriptor(descriptor);
        // SAFETY: the name ends with a zero, and both live through the call.
        let made =
            unsafe { CreateDirectoryW(wide(&public).expect("a name").as_ptr(), &descriptor.attributes()) };
        assert_ne!(made, 0);
        assert!(!is_private(&public).expect("looked at"));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_lock_is_held_by_one_at_a_time() {
        let path = std::env::temp_dir().join(format!("trunnion-lock-{}", std::process::id()));
        let (first, second) = (open(&path).expect("open"), open(&path).expect("open"));
        lock(&first).expect("locked");
        assert!(!try_lock(&second).expect("asked"));
        drop(first);
        assert!(try_lock(&second).expect("asked"));
        drop(second);
        std::fs::remove_file(&path).expect("removed");
    }
}
