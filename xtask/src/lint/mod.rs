//! `cargo xtask lint`: the rules for the sources, beside working code.

mod cycles;
mod deps;
mod feature_table;
mod features;
pub mod files;
mod guides;
mod limits;
mod links;
mod names;
mod platforms;
mod prose;

use crate::args::Args;
use crate::process::cmd;
use crate::session::{Log, Session, root, target};
use crate::setup;
use crate::version;

/// A check that may write its baseline: `true`.
type BaselineCheck = fn(&Log, bool) -> Result<(), String>;

/// Checks against a baseline that may only shrink; `--update` writes it.
const BASELINES: [(&str, BaselineCheck); 2] = [("import cycles", cycles::check), ("prose", prose::check)];

/// `cargo xtask lint`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let filter = args.option("--filter")?;
    let update = args.flag("--update");
    let of_platforms = args.flag("--platforms");
    args.done()?;
    if update {
        for (name, check) in BASELINES {
            if filter.as_deref().is_none_or(|part| name.contains(part)) {
                session.step(name, |log| check(log, true));
            }
        }
        return Ok(());
    }
    if of_platforms {
        other_platforms(session, filter.as_deref());
    } else {
        steps(session, filter.as_deref());
    }
    Ok(())
}

/// Every check, as a part of a longer run.
pub fn all(session: &Session) {
    steps(session, None);
}

fn steps(session: &Session, filter: Option<&str>) {
    let wanted = |name: &str| filter.is_none_or(|part| name.contains(part));
    let step = |name: &str, work: fn(&Log) -> Result<(), String>| {
        if wanted(name) {
            session.step(name, work);
        }
    };
    step("dependency direction", deps::direction);
    step("spec names outside core", names::outside_core);
    step("files", files::check);
    step("limits have tests", limits::have_tests);
    step("links of pages", links::lead_somewhere);
    step("chapters of the guides", guides::share_their_contents);
    step("feature table", feature_table::is_true);
    for (name, check) in BASELINES {
        if wanted(name) {
            session.step(name, |log| check(log, false));
        }
    }
    step("one version", version::agrees);
    step("rustfmt", |log| setup::cargo(&["fmt", "--all", "--check"]).run(log));
    step("one set of features", features::are_one);
    step("clippy", |log| {
        let words = ["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
        setup::cargo(&words).run(log)
    });
    // A workspace of its own, which nothing else compiles before it is fuzzed.
    step("fuzz targets", |log| {
        let folder = target().join("fuzz-check");
        let folder = folder.to_string_lossy();
        let words = [
            "check",
            "--quiet",
            "--locked",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--bins",
            "--target-dir",
            &*folder,
        ];
        setup::cargo(&words).run(log)
    });
    if wanted("python") {
        python(session);
    }
    if wanted("typescript") {
        typescript(session);
    }
}

/// Too dear for every run: each compiles all dependencies once more.
fn other_platforms(session: &Session, filter: Option<&str>) {
    for target in platforms::TARGETS.iter().filter(|target| filter.is_none_or(|part| target.contains(part))) {
        session.step(&format!("compiles for {target}"), |log| platforms::check(target, log));
    }
}

fn python(session: &Session) {
    if setup::some_languages(session, &["python"]).is_empty() {
        return;
    }
    let python = setup::venv_python();
    let python = python.to_string_lossy().into_owned();
    session.step("ruff (python)", |log| {
        let folders = ["python", "examples/python", "tests/interop/foreign/python", "bench/peers/python"];
        let folders = folders.into_iter().filter(|folder| root().join(folder).exists());
        cmd(&python, ["-m", "ruff", "check", "--quiet"].into_iter().chain(folders)).run(log)
    });
    session.step("mypy --strict (python)", |log| {
        cmd(&python, ["-m", "mypy", "--strict", "src/trunnion"]).dir(root().join("python")).run(log)
    });
}

fn typescript(session: &Session) {
    if setup::some_languages(session, &["node"]).is_empty() {
        return;
    }
    session.step("tsc (typescript)", |log| {
        cmd("npm", ["run", "--silent", "test:types"]).dir(root().join("node")).run(log)
    });
}
