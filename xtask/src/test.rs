//! `cargo xtask test`: every test of every language, with all the set-up it needs, or one suite of them.

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::args::Args;
use crate::chaos;
use crate::codegen;
use crate::differential;
use crate::fixtures::LANGUAGES;
use crate::install;
use crate::interop;
use crate::process::{Cmd, cmd, exists, write};
use crate::session::{Log, Session, Work, root, target};
use crate::setup;
use crate::soak;

/// The suites, in the order in which they begin. Those of a language have its name.
const SUITES: [&str; 14] = [
    "rust",
    "swift",
    "python",
    "node",
    "c",
    "oidc",
    "chaos",
    "soak",
    "codegen",
    "messages",
    "differential",
    "interop",
    "tasks",
    "install",
];

/// The suites that `--quick` leaves out: they take minutes, and meet other people's programs or killed ones.
const SLOW: [&str; 9] =
    ["oidc", "chaos", "soak", "codegen", "messages", "differential", "interop", "tasks", "install"];

/// The step that meets a client of tasks as they were before they became an extension.
const OLDER_TASKS: &str = "interop: tasks of 2025-11-25 with the official SDK";

/// The selected tests.
struct Choice {
    suites: Vec<&'static str>,
    /// Only the tests of a language with this text in their name.
    name: Option<String>,
    quick: bool,
    /// A folder of finished packages, for the suite that installs them.
    packages: Option<PathBuf>,
    /// Writes the measurements of that suite into the README.
    readme: bool,
}

impl Choice {
    fn has(&self, suite: &str) -> bool {
        self.suites.contains(&suite)
    }

    fn any(&self, suites: &[&str]) -> bool {
        suites.iter().any(|suite| self.has(suite))
    }
}

/// `cargo xtask test [SUITE [NAME]] [--quick] [--packages FOLDER] [--readme]`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let readme = args.flag("--readme");
    let packages = args.option("--packages")?.map(|folder| root().join(folder));
    let quick = args.flag("--quick");
    let mut words = args.rest()?.into_iter();
    let suites = match words.next() {
        None => SUITES.into_iter().filter(|suite| !(quick && SLOW.contains(suite))).collect(),
        Some(word) => match SUITES.into_iter().find(|suite| *suite == word) {
            Some(suite) => vec![suite],
            None => return Err(format!("no suite {word}; there are {}", SUITES.join(", "))),
        },
    };
    let name = words.next();
    if let Some(extra) = words.next() {
        return Err(format!("unexpected argument {extra}"));
    }
    if name.is_some() && !LANGUAGES.contains(&suites[0]) {
        return Err(format!("{} takes no name of a test", suites[0]));
    }
    if (packages.is_some() || readme) && !suites.contains(&"install") {
        return Err("--packages and --readme are for the suite install".into());
    }
    steps(session, &Choice { suites, name, quick, packages, readme })
}

/// Every suite, as a part of a longer run.
pub fn all(session: &Session) -> Result<(), String> {
    steps(
        session,
        &Choice { suites: SUITES.to_vec(), name: None, quick: false, packages: None, readme: false },
    )
}

fn steps(session: &Session, choice: &Choice) -> Result<(), String> {
    // Packages are built with every language, or are there already.
    if choice.suites == ["install"] {
        return install::steps(session, choice.packages.as_deref(), choice.readme);
    }
    let languages = languages(session, choice)?;
    let usable = |language: &str| choice.has(language) && languages.iter().any(|known| known == language);
    if usable("c") && !choice.quick {
        valgrind(session);
    }
    let mut work: Vec<Work<'_>> = Vec::new();
    if usable("rust") {
        work.push(("test: rust".into(), Box::new(|log| rust(log, choice))));
    }
    if usable("swift") {
        work.push(("test: swift".into(), Box::new(|log| swift(log, choice))));
    }
    if usable("python") {
        work.push(("test: python".into(), Box::new(|log| python(log, choice))));
    }
    if usable("node") {
        work.push(("test: node".into(), Box::new(|log| node(log, choice))));
    }
    if usable("c") {
        work.push(("test: c".into(), Box::new(|log| c(log, choice))));
    }
    session.parallel(work);
    if choice.has("oidc")
        && let Some(provider) = setup::authorization_server(session)
    {
        session.step("certified authorization server (oidc)", |log| {
            let test =
                ["test", "--locked", "--package", "trunnion", "--test", "integration", "foreign_issuer"];
            setup::cargo(&test).env("TRUNNION_OIDC_PROVIDER", &provider).run(log)
        });
    }
    if choice.has("chaos") {
        chaos::steps(session, true, None, None);
    }
    if choice.has("soak") {
        soak::short(session);
    }
    if choice.has("codegen") {
        codegen::steps(session, true, &languages);
    }
    let peers = choice.any(&["messages", "differential", "interop", "tasks"]) && setup::peers(session);
    if choice.has("messages") && peers {
        session.step("messages in the official SDKs' types", messages);
    }
    if choice.has("differential") && peers {
        session.step("differential", differential::step);
    }
    if choice.has("interop") {
        session.step("interop", |log| interop::step(&languages, peers, log));
    }
    if choice.has("tasks") && peers {
        session.step(OLDER_TASKS, |log| interop::tasks::step(&languages, log));
    }
    if choice.has("install") {
        install::steps(session, choice.packages.as_deref(), choice.readme)?;
    }
    Ok(())
}

/// Builds and sets up the prerequisites of the chosen suites; returns the languages that are usable.
fn languages(session: &Session, choice: &Choice) -> Result<Vec<String>, String> {
    let wanted: Vec<&str> = if choice.any(&["codegen", "interop", "tasks"]) {
        LANGUAGES.to_vec()
    } else {
        LANGUAGES.into_iter().filter(|language| choice.has(language)).collect()
    };
    let mut usable = setup::present(session, &wanted);
    if usable.is_empty() && choice.any(&["differential", "messages"]) {
        usable.push("rust");
    }
    let mut packages: Vec<&str> = usable.iter().map(|language| setup::package(language)).collect();
    if choice.any(&["chaos", "soak"]) {
        packages.push("trunnion-chaos");
    }
    let built = session.step("build the engine for its languages", |log| {
        setup::build(&packages).run(log)?;
        // The programs that the tests of the languages sign in to; what these take, the libraries have built.
        if choice.any(&["python", "node", "swift", "c"]) {
            let signed_in =
                ["--package", "trunnion-auth-server", "--bins", "--package", "trunnion", "--examples"];
            setup::build(&[]).words(&signed_in).run(log)?;
        }
        Ok(())
    });
    if !built {
        return Err("nothing to test: the build failed".into());
    }
    Ok(usable
        .into_iter()
        .filter(|language| setup::language_layer(session, language))
        .map(str::to_owned)
        .collect())
}

/// The file in which the Rust tests record every message of the engine.
fn recorded() -> PathBuf {
    target().join("xtask/messages.jsonl")
}

fn rust(log: &Log, choice: &Choice) -> Result<(), String> {
    let named = choice.name.iter().map(String::as_str);
    if choice.name.is_none() {
        write(&recorded(), "")?;
    }
    let words: Vec<&str> =
        ["test", "--no-fail-fast"].into_iter().chain(setup::WORKSPACE).chain(named).collect();
    let mut tests = setup::cargo(&words);
    if choice.name.is_none() {
        tests = tests.env("MCP_MESSAGE_LOG", recorded());
    }
    tests.run(log)
}

/// Checks the messages that the Rust tests recorded last with the types of the official SDKs.
fn messages(log: &Log) -> Result<(), String> {
    if !recorded().exists() {
        return Err("there are no messages yet: the Rust tests note them (cargo xtask test rust)".into());
    }
    let python = target().join("peers/python/bin/python");
    let script = OsStr::new("tests/interop/foreign/python/check_messages.py");
    cmd(&python.to_string_lossy(), [script, recorded().as_os_str()]).run(log)?;
    let script = target().join("peers/node/foreign/check_messages.mjs");
    cmd("node", [script, recorded()]).run(log)
}

/// A language's own script, which need not build the engine again.
fn script(path: &str) -> Cmd {
    cmd(path, [""; 0]).env(setup::PREBUILT, "1")
}

fn swift(log: &Log, choice: &Choice) -> Result<(), String> {
    let named = choice.name.iter().flat_map(|name| ["--filter", name]).collect::<Vec<_>>();
    script("swift/test.sh").words(&named).run(log)
}

fn python(log: &Log, choice: &Choice) -> Result<(), String> {
    let named = choice.name.iter().flat_map(|name| ["-k", name]).collect::<Vec<_>>();
    let pytest = cmd(&setup::venv_python().to_string_lossy(), ["-m", "pytest"]);
    pytest.words(&named).dir(root().join("python")).run(log)
}

fn node(log: &Log, choice: &Choice) -> Result<(), String> {
    let tests = match &choice.name {
        None => cmd("npm", ["test", "--silent"]),
        // The shell finds the files: Node 20 takes no patterns of files.
        Some(name) => cmd("sh", ["-c", r#"exec node --test --test-name-pattern="$0" test/*.test.mjs"#, name]),
    };
    tests.dir(root().join("node")).run(log)
}

fn c(log: &Log, choice: &Choice) -> Result<(), String> {
    let named = choice.name.as_deref().into_iter().collect::<Vec<_>>();
    let script = script("tests/c/run.sh").words(&named);
    if choice.quick { script.env("WITHOUT_VALGRIND", "1").run(log) } else { script.run(log) }
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
