//! What the other commands need: builds, the virtual environment, node modules, toolchains, peers.
//! Every function is idempotent and cheap when there is nothing to do.

use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::fixtures::LANGUAGES;
use crate::process::{Cmd, cmd, copy_if_newer, exists, read, write};
use crate::session::{Log, Session, Task, root, target};

/// The Python packages of the test environment, besides the package's own dependencies.
const PYTHON_TOOLS: &[&str] = &["pytest==8.4.2", "mypy==2.4.1", "ruff==0.14.6", "pydantic>=2.11,<3"];
/// What it takes to build and link C programs.
const C_TOOLS: &[&str] = &["cc", "make", "pkg-config"];
/// The native module's file in the Python package.
const PYTHON_MODULE: &str = "_native.abi3.so";
/// The suite and the Node that it needs.
const SUITE: &[&str] = &["@modelcontextprotocol/conformance@0.2.0-alpha.12", "node@24.21.0"];

/// `cargo xtask setup`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let mut wanted = args.rest()?;
    if wanted.is_empty() {
        wanted = LANGUAGES.map(str::to_owned).to_vec();
    }
    let (languages, rest): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|name| LANGUAGES.contains(&name.as_str()));
    if !languages.is_empty() {
        some_languages(session, &languages.iter().map(String::as_str).collect::<Vec<_>>());
    }
    for name in rest {
        match name.as_str() {
            "peers" => drop(peers(session)),
            "suite" => drop(suite(session)),
            "bench" => drop(bench(session, true)),
            other => return Err(format!("nothing to set up under the name {other}")),
        }
    }
    Ok(())
}

/// Set up every language; those that are usable afterwards.
pub fn languages(session: &Session) -> Vec<String> {
    some_languages(session, &LANGUAGES)
}

/// Set up these languages; those that are usable afterwards.
pub fn some_languages(session: &Session, wanted: &[&str]) -> Vec<String> {
    if !session.step("build the Rust workspace", |log| cargo(["build"].iter().chain(&WHOLE)).run(log)) {
        return Vec::new();
    }
    let mut usable = Vec::new();
    for language in wanted {
        let (missing, work): (Option<String>, Task) = match *language {
            "rust" => (None, |_| Ok(())),
            "python" => (missing_python(), python),
            "node" => (missing_programs(&["node", "npm"]), node),
            "swift" => (missing_swift(), swift),
            "c" => (missing_programs(C_TOOLS), c),
            other => (Some(format!("no such language: {other}")), |_| Ok(())),
        };
        match missing {
            Some(why) => session.skip(language, &why),
            None if *language == "rust" => usable.push((*language).to_owned()),
            None => {
                if session.step(&format!("set up {language}"), work) {
                    usable.push((*language).to_owned());
                }
            }
        }
    }
    usable
}

/// The whole workspace, its tests and the generators. Lint, test and demo choose exactly this, and so the same features
/// of the shared dependencies: a build of one package alone, or without the tests, would compile most of them again.
pub const WHOLE: [&str; 4] = [
    "--workspace",
    "--all-targets",
    "--features",
    "trunnion/macros,trunnion-c/header,trunnion-swift/bindgen",
];

/// Tells the scripts of the languages that the libraries in the target folder are fresh.
pub const PREBUILT: &str = "TRUNNION_PREBUILT";

/// Cargo with the colours off.
pub fn cargo<'a>(args: impl IntoIterator<Item = &'a &'a str>) -> Cmd {
    cmd(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()), args.into_iter().copied())
        .env("CARGO_TERM_COLOR", "never")
}

/// The interpreter of the virtual environment.
pub fn venv_python() -> PathBuf {
    target().join("venv/bin/python")
}

/// The shared library of a workspace package, as cargo built it.
pub fn library(profile: &str, name: &str) -> PathBuf {
    let file = if cfg!(target_os = "macos") { format!("lib{name}.dylib") } else { format!("lib{name}.so") };
    target().join(profile).join(file)
}

fn missing_programs(programs: &[&str]) -> Option<String> {
    let missing: Vec<_> = programs.iter().filter(|program| !exists(program)).copied().collect();
    if missing.is_empty() { None } else { Some(format!("{} not found", missing.join(" and "))) }
}

fn missing_python() -> Option<String> {
    let probe = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";
    match cmd("python3", ["-c", probe]).output() {
        Ok(_) => None,
        Err(_) => {
            Some("python3 of version 3.10 or later with the modules venv and ensurepip not found".into())
        }
    }
}

fn missing_swift() -> Option<String> {
    if exists("swift") || (exists("apt-get") && exists("unshare")) {
        return None;
    }
    Some(
        "no swift found, and the toolchain can be installed on Debian only (tools/swift-toolchain.sh)".into(),
    )
}

/// Run `work` unless `inputs` are what they were when it last succeeded.
fn stamped(stamp: &Path, inputs: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    if read(stamp).is_ok_and(|known| known == inputs) {
        return Ok(());
    }
    work()?;
    write(stamp, inputs)
}

fn venv(log: &Log, folder: &Path, packages: &[&str]) -> Result<(), String> {
    stamped(&folder.join("trunnion.stamp"), &packages.join("\n"), || {
        cmd("python3", ["-m", "venv", &folder.to_string_lossy()]).run(log)?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        let python = folder.join("bin/python");
        cmd(&python.to_string_lossy(), pip.iter().chain(packages)).run(log)
    })
}

fn python(log: &Log) -> Result<(), String> {
    let folder = target().join("venv");
    venv(log, &folder, PYTHON_TOOLS)?;
    copy_if_newer(
        &library("debug", "trunnion_python"),
        &root().join("python/src/trunnion").join(PYTHON_MODULE),
    )?;
    // The sources in place, as an editable install has them, without a second build of the native module.
    let purelib = cmd(
        &venv_python().to_string_lossy(),
        ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
    )
    .output()?;
    let sources = root().join("python/src");
    write(&Path::new(purelib.trim()).join("trunnion.pth"), &format!("{}\n", sources.display()))
}

fn node(log: &Log) -> Result<(), String> {
    let folder = root().join("node");
    stamped(&folder.join("node_modules/.trunnion.stamp"), &read(&folder.join("package.json"))?, || {
        let how = if folder.join("package-lock.json").exists() { "ci" } else { "install" };
        cmd("npm", [how, "--no-audit", "--no-fund", "--silent"]).dir(&folder).run(log)
    })?;
    // The examples name the package by its folder, so there is nothing to download.
    let examples = root().join("examples/node");
    stamped(&examples.join("node_modules/.trunnion.stamp"), &read(&examples.join("package.json"))?, || {
        cmd("npm", ["install", "--no-audit", "--no-fund", "--silent"]).dir(&examples).run(log)
    })?;
    // What `npm run build:native` does, without a cargo build of this one package.
    let platform = cmd("node", ["-p", "require('./native/loader.cjs').platform()"]).dir(&folder).output()?;
    let module = folder.join(format!("native/trunnion.{}.node", platform.trim()));
    copy_if_newer(&library("debug", "trunnion_node"), &module)?;
    cmd("npm", ["run", "--silent", "build:ts"]).dir(&folder).run(log)
}

fn swift(log: &Log) -> Result<(), String> {
    cmd("tools/swift-toolchain.sh", ["install"]).run(log)?;
    cmd("swift/build.sh", ["swift", "build"]).env(PREBUILT, "1").run(log)
}

fn c(log: &Log) -> Result<(), String> {
    c_examples(log, &target(), "dev")
}

/// The library into `folder`/c-sdk, the examples into `folder`/c.
fn c_examples(log: &Log, folder: &Path, profile: &str) -> Result<(), String> {
    let (sdk, out) = (folder.join("c-sdk"), folder.join("c"));
    cmd("bindings/c/install.sh", [sdk.as_os_str(), profile.as_ref()]).env(PREBUILT, "1").run(log)?;
    let (sdk, out) = (format!("PREFIX={}", sdk.display()), format!("OUT={}", out.display()));
    cmd("make", ["-C", "examples/c", &sdk, &out]).run(log)
}

/// Set up the official SDKs; whether they are usable.
pub fn peers(session: &Session) -> bool {
    if let Some(why) = missing_python().or_else(|| missing_programs(&["node", "npm"])) {
        session.skip("foreign SDKs", &why);
        return false;
    }
    let rmcp = session.step("set up the official SDKs: rmcp", |log| {
        let manifest = "tests/interop/foreign/rmcp/Cargo.toml";
        cargo(&["build", "--locked", "--quiet", "--manifest-path", manifest])
            .env("CARGO_TARGET_DIR", target().join("peers/rmcp"))
            .run(log)
    });
    let others = session.step("set up the official SDKs: Python, TypeScript", |log| {
        let requirements = read(&root().join("tests/interop/foreign/python/requirements.txt"))?;
        venv(log, &target().join("peers/python"), &requirements.lines().collect::<Vec<_>>())?;
        let (folder, sources) = (target().join("peers/node"), root().join("tests/interop/foreign/node"));
        let manifest = read(&sources.join("package.json"))?;
        stamped(&folder.join("trunnion.stamp"), &manifest, || {
            write(&folder.join("package.json"), &manifest)?;
            cmd("npm", ["install", "--no-audit", "--no-fund", "--silent"]).dir(&folder).run(log)
        })?;
        // Node looks for packages from a module's own folder upwards, so the programs must lie below these.
        copy_modules(&sources, &folder.join("foreign"))?;
        copy_modules(&root().join("bench/peers/node"), &folder.join("bench"))
    });
    rmcp && others
}

/// Set up a certified authorization server; the script that starts it, if it is usable.
pub fn authorization_server(session: &Session) -> Option<PathBuf> {
    if let Some(why) = missing_programs(&["node", "npm"]) {
        session.skip("certified authorization server", &why);
        return None;
    }
    let (folder, sources) = (target().join("oidc-provider"), root().join("tests/auth-server/foreign"));
    let ready = session.step("set up a certified authorization server", |log| {
        let manifest = read(&sources.join("package.json"))?;
        stamped(&folder.join("trunnion.stamp"), &manifest, || {
            write(&folder.join("package.json"), &manifest)?;
            cmd("npm", ["install", "--no-audit", "--no-fund", "--silent"]).dir(&folder).run(log)
        })?;
        copy_modules(&sources, &folder)
    });
    ready.then(|| folder.join("provider.mjs"))
}

/// Set up the official conformance suite; the command that starts it, if it is usable.
pub fn suite(session: &Session) -> Option<Vec<String>> {
    if let Some(why) = missing_programs(&["node", "npm"]) {
        session.skip("conformance suite", &why);
        return None;
    }
    let folder = target().join("conformance");
    let ready = session.step("set up the conformance suite", |log| {
        stamped(&folder.join("trunnion.stamp"), &SUITE.join("\n"), || {
            write(&folder.join("package.json"), "{\"private\": true}\n")?;
            let options = ["install", "--no-audit", "--no-fund", "--silent", "--save-exact"];
            cmd("npm", options.iter().chain(SUITE)).dir(&folder).run(log)
        })?;
        cmd(&folder.join("node_modules/node/bin/node").to_string_lossy(), ["--version"]).run(log)
    });
    let modules = folder.join("node_modules");
    let command =
        [modules.join("node/bin/node"), modules.join("@modelcontextprotocol/conformance/dist/index.js")];
    ready.then(|| command.map(|path| path.to_string_lossy().into_owned()).to_vec())
}

/// How the fuzz targets are built.
pub struct Fuzzer {
    /// The toolchain's name; `None`: the default one, made to act as nightly.
    pub toolchain: Option<&'static str>,
}

/// Set up cargo-fuzz, if it can be.
pub fn fuzzer(session: &Session) -> Option<Fuzzer> {
    if let Some(why) = missing_programs(&["cargo", "c++"]) {
        session.skip("fuzzing", &why);
        return None;
    }
    if !exists("cargo-fuzz")
        && !session.step("install cargo-fuzz", |log| {
            cmd("cargo", ["install", "--quiet", "--locked", "cargo-fuzz"]).run(log)
        })
    {
        return None;
    }
    let nightly = cmd("cargo", ["+nightly", "--version"]).output().is_ok();
    Some(Fuzzer { toolchain: nightly.then_some("nightly") })
}

/// Build what the benchmarks measure, with the release profile, and the peers; the names of ours that are usable,
/// and whether the peers are. Swift is built for the full run only, as it takes minutes.
pub fn bench(session: &Session, quick: bool) -> (Vec<String>, bool) {
    let mut ours = some_languages(session, &["rust", "python", "node"]);
    let peers = peers(session);
    let built = session.step("build for release", |log| {
        let packages = [
            "trunnion-examples",
            "trunnion-python",
            "trunnion-node",
            "trunnion-c",
            "trunnion-bench",
            "trunnion-chaos",
        ];
        let chosen: Vec<_> = packages.iter().flat_map(|package| ["--package", *package]).collect();
        cargo(["build", "--release"].iter().chain(&chosen)).run(log)?;
        let folder = target().join("bench");
        copy_if_newer(&library("release", "trunnion_node"), &folder.join("trunnion.node"))?;
        let package = folder.join("python/trunnion");
        copy_python_package(&root().join("python/src/trunnion"), &package)?;
        copy_if_newer(&library("release", "trunnion_python"), &package.join(PYTHON_MODULE)).map(drop)
    });
    if !built {
        ours.clear();
    }
    let c_tools = missing_programs(C_TOOLS);
    if let Some(why) = &c_tools {
        session.skip("c", why);
    } else if session.step("build C for release", |log| c_examples(log, &target().join("bench"), "release")) {
        ours.push("c".into());
    }
    if !quick {
        match missing_swift() {
            Some(why) => session.skip("swift", &why),
            None => {
                let built = session.step("build Swift for release", |log| {
                    cmd("swift/build.sh", ["swift", "build", "-c", "release", "--product", "bench_server"])
                        .env("TRUNNION_SWIFT_PROFILE", "release")
                        .run(log)
                });
                ours.extend(built.then(|| "swift".to_owned()));
            }
        }
    }
    let rmcp = session.step("build rmcp for release", |log| {
        let manifest = "bench/peers/rmcp/Cargo.toml";
        cargo(&["build", "--release", "--quiet", "--manifest-path", manifest])
            .env("CARGO_TARGET_DIR", target().join("peers/rmcp"))
            .run(log)
    });
    (ours, peers && rmcp)
}

fn copy_python_package(from: &Path, to: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(from).map_err(|e| format!("{}: {e}", from.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let to = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() && !path.ends_with("__pycache__") {
            copy_python_package(&path, &to)?;
        } else if path.extension().is_some_and(|extension| extension == "py") {
            copy_if_newer(&path, &to)?;
        }
    }
    Ok(())
}

fn copy_modules(from: &Path, to: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(from).map_err(|e| format!("{}: {e}", from.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "mjs") {
            copy_if_newer(&path, &to.join(path.file_name().expect("an entry has a name")))?;
        }
    }
    Ok(())
}
