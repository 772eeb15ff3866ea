//! `cargo xtask test`: every test of every language, with all the set-up it needs.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::args::Args;
use crate::chaos;
use crate::codegen;
use crate::differential;
use crate::interop;
use crate::process::{cmd, exists, write};
use crate::session::{Log, Session, Task, Work, root, target};
use crate::setup;

/// The step that meets a client of tasks as they were before they became an extension.
const OLDER_TASKS: &str = "interop: tasks of 2025-11-25 with the official SDK";

/// `cargo xtask test`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let filter = args.option("--filter")?;
    args.done()?;
    let wanted = |name: &str| filter.as_ref().is_none_or(|part| name.contains(part.as_str()));

    let languages = setup::languages(session);
    if languages.is_empty() {
        return Err("nothing to test: the build failed".into());
    }
    if wanted("rust") {
        session.step("test: rust", rust);
    }
    if wanted("chaos") {
        chaos::steps(session, true, None, None);
    }
    if wanted("oidc")
        && let Some(provider) = setup::authorization_server(session)
    {
        session.step("certified authorization server (oidc)", |log| {
            let test = ["test", "--workspace", "--test", "foreign_issuer"];
            setup::cargo(test.iter().chain(&setup::WHOLE[2..]))
                .env("TRUNNION_OIDC_PROVIDER", &provider)
                .run(log)
        });
    }
    if languages.iter().any(|language| language == "c") && wanted("c") {
        valgrind(session);
    }
    // The suites of the languages build nothing that another one builds too, so two of them run at a time.
    let suites: [(&str, &'static str, Task); 4] = [
        ("swift", "test: swift", |log| script("swift/test.sh", log)),
        ("python", "test: python", python),
        ("node", "test: node", |log| cmd("npm", ["test", "--silent"]).dir(root().join("node")).run(log)),
        ("c", "test: c", |log| script("tests/c/run.sh", log)),
    ];
    let mut work: Vec<Work<'_>> = Vec::new();
    for (language, name, suite) in suites {
        if languages.iter().any(|usable| usable == language) && wanted(name) {
            work.push((name, Box::new(suite)));
        }
    }
    session.parallel(work);
    if wanted("codegen") {
        codegen::steps(session, true, &languages);
    }
    let foreign = ["messages", "differential", "interop", OLDER_TASKS].map(wanted);
    let peers = foreign.contains(&true) && setup::peers(session);
    if foreign[0] && peers {
        session.step("messages in the official SDKs' types", messages);
    }
    if foreign[1] && peers {
        session.step("differential", differential::step);
    }
    if foreign[2] {
        session.step("interop", |log| interop::step(&languages, peers, log));
    }
    if foreign[3] && peers {
        session.step(OLDER_TASKS, |log| interop::tasks::step(&languages, log));
    }
    Ok(())
}

/// Where the Rust tests note every message that the engine sent.
fn recorded() -> PathBuf {
    target().join("xtask/messages.jsonl")
}

fn rust(log: &Log) -> Result<(), String> {
    write(&recorded(), "")?;
    setup::cargo(["test", "--no-fail-fast"].iter().chain(&setup::WHOLE))
        .env("MCP_MESSAGE_LOG", recorded())
        .run(log)?;
    // Of the documentation's examples only cargo's default targets have any; --all-targets leaves them out.
    setup::cargo(["test", "--doc", "--workspace"].iter().chain(&setup::WHOLE[2..])).run(log)
}

/// What the Rust tests noted last, in the eyes of the official SDKs.
fn messages(log: &Log) -> Result<(), String> {
    let python = target().join("peers/python/bin/python");
    let script = OsStr::new("tests/interop/foreign/python/check_messages.py");
    cmd(&python.to_string_lossy(), [script, recorded().as_os_str()]).run(log)?;
    let script = target().join("peers/node/foreign/check_messages.mjs");
    cmd("node", [script, recorded()]).run(log)
}

/// A language's own script, which need not build the engine again.
fn script(path: &str, log: &Log) -> Result<(), String> {
    cmd(path, [""; 0]).env(setup::PREBUILT, "1").run(log)
}

fn python(log: &Log) -> Result<(), String> {
    cmd(&setup::venv_python().to_string_lossy(), ["-m", "pytest"]).dir(root().join("python")).run(log)
}

/// The C tests run under valgrind; on Debian as root it is installed.
fn valgrind(session: &Session) {
    if exists("valgrind") {
        return;
    }
    if exists("apt-get") && rustix::process::geteuid().is_root() {
        session.step("install valgrind", |log| {
            cmd("apt-get", ["-qq", "update"]).run(log)?;
            cmd("apt-get", ["-qq", "-y", "install", "valgrind", "libc6-dbg"])
                .env("DEBIAN_FRONTEND", "noninteractive")
                .run(log)
        });
    } else {
        session.skip("valgrind", "not found, and it can be installed on Debian as root only");
    }
}
