//! Child processes: each has its own job object, which ends all its processes together, when this process
//! ends at the latest.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, Command};
use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation, SetInformationJobObject,
    TerminateJobObject,
};
use windows_sys::Win32::System::Threading::{
    CREATE_NO_WINDOW, CREATE_SUSPENDED, OpenThread, ResumeThread, THREAD_SUSPEND_RESUME,
};

/// Variables of this program's environment that a server inherits: the server may be a third-party program,
/// and the other variables may contain secrets. Without `SYSTEMROOT` it could not open sockets.
pub(crate) const SAFE_ENV: &[&str] = &[
    "APPDATA",
    "COMSPEC",
    "HOMEDRIVE",
    "HOMEPATH",
    "LOCALAPPDATA",
    "PATH",
    "PATHEXT",
    "PROCESSOR_ARCHITECTURE",
    "PROGRAMDATA",
    "PROGRAMFILES",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "USERNAME",
    "USERPROFILE",
    "WINDIR",
];

/// The program that opens a page in the user's browser, with the arguments before the URL. Not `cmd /c
/// start`, which treats the `&` of a query as the end of the command.
pub(crate) const OPEN_PAGE: &[&str] = &["rundll32.exe", "url.dll,FileProtocolHandler"];

/// Extensions of programs, unless `PATHEXT` names others.
const EXTENSIONS: &str = ".COM;.EXE;.BAT;.CMD";

/// A child and its descendants: a job object whose processes end when its handle is closed.
pub(crate) struct Group(OwnedHandle);

impl Group {
    fn new() -> io::Result<Group> {
        // SAFETY: neither attributes nor a name are passed; the handle is new, and valid if it is not null.
        let job = unsafe {
            let job = CreateJobObjectW(std::ptr::null(), std::ptr::null());
            if job.is_null() {
                return Err(io::Error::last_os_error());
            }
            OwnedHandle::from_raw_handle(job)
        };
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        // SAFETY: the structure is that of the class, and lives through the call.
        let set = unsafe {
            SetInformationJobObject(
                job.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                size_of_val(&limits) as u32,
            )
        };
        done(set)?;
        Ok(Group(job))
    }

    /// Ends all of them: for a process without a console, the end of its input is the only request to end.
    pub(crate) fn terminate(&self) {
        self.kill();
    }

    /// Kills all of them at once.
    pub(crate) fn kill(&self) {
        // SAFETY: the handle is that of a job. Fails when no process is left, which is the intended state.
        unsafe { TerminateJobObject(self.0.as_raw_handle(), 1) };
    }
}

/// The end of a child.
pub(crate) struct Exit(Child);

impl Exit {
    pub(crate) fn of(child: Child) -> io::Result<Exit> {
        Ok(Exit(child))
    }

    /// Waits for the end. Cancel-safe.
    pub(crate) async fn status(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }
}

/// Starts a program in a job of its own, without a console window. It runs only after it was added to the
/// job, so that the job contains all its descendants.
pub(crate) fn start(command: &mut Command) -> io::Result<(Child, Option<Group>)> {
    let group = Group::new()?;
    command.creation_flags(CREATE_NO_WINDOW | CREATE_SUSPENDED);
    // It is killed when it is dropped (`kill_on_drop`), in case the next steps fail.
    let child = command.spawn()?;
    let (Some(process), Some(id)) = (child.raw_handle(), child.id()) else {
        return Err(io::Error::other("the process has ended already"));
    };
    // SAFETY: both handles are open.
    done(unsafe { AssignProcessToJobObject(group.0.as_raw_handle(), process) })?;
    resume(id)?;
    Ok((child, Some(group)))
}

/// Resumes the threads of a process; a process that was started suspended has one.
fn resume(process: u32) -> io::Result<()> {
    // SAFETY: the handle is new, and valid if it is not INVALID_HANDLE_VALUE.
    let snapshot = unsafe {
        let snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
        if snapshot == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        OwnedHandle::from_raw_handle(snapshot)
    };
    let mut entry = THREADENTRY32 { dwSize: size_of::<THREADENTRY32>() as u32, ..Default::default() };
    let mut resumed = false;
    // SAFETY: the entry states its size, and lives through the calls.
    let mut found = unsafe { Thread32First(snapshot.as_raw_handle(), &raw mut entry) };
    while found != 0 {
        if entry.th32OwnerProcessID == process {
            // SAFETY: the handle is new, and valid if it is not null.
            let thread = unsafe {
                let thread = OpenThread(THREAD_SUSPEND_RESUME, 0, entry.th32ThreadID);
                if thread.is_null() {
                    return Err(io::Error::last_os_error());
                }
                OwnedHandle::from_raw_handle(thread)
            };
            // SAFETY: the handle is that of a thread, with the right to resume it.
            if unsafe { ResumeThread(thread.as_raw_handle()) } == u32::MAX {
                return Err(io::Error::last_os_error());
            }
            resumed = true;
        }
        // SAFETY: as above.
        found = unsafe { Thread32Next(snapshot.as_raw_handle(), &raw mut entry) };
    }
    if resumed { Ok(()) } else { Err(io::Error::other("the process has no thread")) }
}

fn done(result: i32) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Returns a command of this program. `CreateProcess` finds only `.exe` files by a bare name, and `npx` is
/// `npx.cmd`; so the program is searched for in PATH (the child's own, if it has one) with the extensions of
/// PATHEXT.
pub(crate) fn command(program: &str, path: Option<&str>) -> Command {
    let path = path.map(OsString::from).or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    let extensions = std::env::var("PATHEXT").unwrap_or_else(|_| EXTENSIONS.to_owned());
    match find(program, &path, &extensions) {
        Some(found) => Command::new(found),
        None => Command::new(program),
    }
}

fn find(program: &str, path: &OsStr, extensions: &str) -> Option<PathBuf> {
    let extensions = || extensions.split(';').filter(|extension| extension.len() > 1);
    let is_whole = |extension: &str| {
        program.len() > extension.len()
            && program
                .get(program.len() - extension.len()..)
                .is_some_and(|end| end.eq_ignore_ascii_case(extension))
    };
    let whole = extensions().any(is_whole).then(|| program.to_owned());
    let names: Vec<String> =
        whole.into_iter().chain(extensions().map(|extension| format!("{program}{extension}"))).collect();
    let in_directory = |directory: &Path| {
        names.iter().map(|name| directory.join(name)).find(|candidate| candidate.is_file())
    };
    if program.contains(['\\', '/', ':']) {
        return in_directory(Path::new(""));
    }
    std::env::split_paths(path).find_map(|directory| in_directory(&directory))
}

/// Returns the standard error of this process, for a child.
pub(crate) fn inherited_stderr() -> Stdio {
    let stderr = io::stderr();
    let handle = stderr.as_handle();
    // A process without a console may have none.
    if handle.as_raw_handle().is_null() {
        return Stdio::null();
    }
    handle.try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_the_extensions_of_pathext() {
        let folder = std::env::temp_dir().join(format!("trunnion-find-{}", std::process::id()));
        let (first, second) = (folder.join("first"), folder.join("second"));
        for directory in [&first, &second] {
            std::fs::create_dir_all(directory).expect("a folder");
        }
        // A script for other systems is in the same directory as the one for this system.
        for file in
            [first.join("npx"), second.join("npx.cmd"), second.join("tool.v2.exe"), first.join("notes.txt")]
        {
            std::fs::write(file, "").expect("written");
        }
        let path = std::env::join_paths([&first, &second]).expect("a path");
        let found = |program: &str| find(program, &path, EXTENSIONS);
        assert_eq!(found("npx"), Some(second.join("npx.CMD")));
        assert_eq!(found("npx.cmd"), Some(second.join("npx.cmd")));
        assert_eq!(found("tool.v2"), Some(second.join("tool.v2.EXE")));
        assert_eq!(found("notes.txt"), None);
        assert_eq!(found("nothing"), None);
        let whole = second.join("npx").to_str().expect("UTF-8").to_owned();
        assert_eq!(find(&whole, OsStr::new(""), EXTENSIONS), Some(second.join("npx.CMD")));
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test]
    async fn all_processes_of_a_group_end_together() {
        let mut command = command("cmd", None);
        // The inner one waits for input that never arrives, and would outlive the outer one.
        command.args(["/c", "cmd /k"]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(false);
        let (mut child, group) = start(&mut command).expect("started");
        let input = child.stdin.take();
        let mut output = child.stdout.take().expect("an output");
        group.expect("a group").kill();
        assert!(!child.wait().await.expect("ended").success());
        // The output ends only when no process has it open any longer.
        let mut said = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut output, &mut said).await.expect("an end");
        drop(input);
    }
}
