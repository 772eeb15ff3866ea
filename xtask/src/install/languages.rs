//! Each language's way to install its package, and one program that uses it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Place, copied, expect, path_without_rust, user};
use crate::dist;
use crate::process::{cmd, sh, write};
use crate::session::{Log, Session, root};
use crate::setup::Node;

const ROUND_TRIP: [&str; 2] = ["stdio ok", "http ok"];
/// Minor versions of Python 3 that the wheel is for.
const PYTHONS: std::ops::RangeInclusive<u32> = 10..=14;

/// Returns the interpreters of this machine, one for each version of Python. Missing ones are reported.
pub fn pythons(session: &Session) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for minor in PYTHONS {
        let name = format!("Python 3.{minor}");
        match candidates(minor).into_iter().find(|python| is_version(python, minor)) {
            Some(python) => found.push((name, python)),
            // The systems that CI runs on have one of them; there is no package of the others.
            None => println!("note: {name} is not on this machine"),
        }
    }
    if found.is_empty() {
        session.skip("install: Python", "no Python of 3.10 or later with the module venv");
    }
    found
}

fn candidates(minor: u32) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from(format!("python3.{minor}")), PathBuf::from("python3")];
    let homes = ["PYENV_ROOT", "HOME"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    for home in homes {
        for folder in [home.join("versions"), home.join(".pyenv/versions")] {
            let mut versions: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
            versions.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
            let prefix = format!("3.{minor}.");
            let named = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
            found.extend(
                versions.iter().filter(|entry| named(entry)).map(|entry| entry.path().join("bin/python")),
            );
        }
    }
    found
}

fn is_version(python: &Path, minor: u32) -> bool {
    let probe = "import sys, venv, ensurepip; print(sys.version_info[1])";
    let seen = cmd(&python.to_string_lossy(), ["-c", probe]).output();
    seen.is_ok_and(|version| version.trim() == minor.to_string())
}

/// A new virtual environment, the wheel from a folder, nothing from an index.
pub fn python(log: &Log, place: &Place, python: &Path, name: &str) -> Result<(), String> {
    let folder = place.folder(&name.replace(' ', "-"))?;
    let program = copied("round_trip.py", &folder)?;
    user(&python.to_string_lossy(), ["-m", "venv", "venv"]).dir(&folder).run(log)?;
    let installed = folder.join("venv/bin/python");
    let python = installed.to_string_lossy();
    let start = Instant::now();
    let packages = place.packages.to_string_lossy();
    let words =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--only-binary"];
    user(&python, words).words(&[":all:", "--find-links", &packages, "trunnion"]).dir(&folder).run(log)?;
    place.took("python", name, start.elapsed());
    let output = user(&python, ["-I".as_ref(), program.as_os_str()]).dir(&folder).output()?;
    expect(&output, &ROUND_TRIP)
}

/// `npm install trunnion` in an empty folder, then both kinds of modules.
pub fn node(log: &Log, place: &Place, node: &Node, registry: &str) -> Result<(), String> {
    let folder = place.folder(&node.name.replace(' ', "-"))?;
    write(&folder.join("package.json"), "{ \"private\": true }\n")?;
    let start = Instant::now();
    npm(node, &folder, registry, &["install", "trunnion"]).run(log)?;
    place.took("node", &node.name, start.elapsed());
    for program in ["round_trip.mjs", "round_trip.cjs"] {
        let program = copied(program, &folder)?;
        let output = user(&node.program.to_string_lossy(), [&program]).dir(&folder).output()?;
        expect(&output, &ROUND_TRIP)?;
    }
    Ok(())
}

/// npm as this version of Node runs it.
pub fn npm(node: &Node, folder: &Path, registry: &str, words: &[&str]) -> crate::process::Cmd {
    let own = node.program.parent().map(PathBuf::from).unwrap_or_default();
    let path = path_without_rust();
    let path = std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&path))).unwrap_or(path);
    let quiet = ["--no-audit", "--no-fund", "--silent", "--fetch-retries=0", "--registry", registry];
    user("npm", words)
        .words(&quiet)
        .env("npm_config_cache", folder.join("cache"))
        .env("PATH", path)
        .dir(folder)
}

/// The archive, unpacked: both libraries by CMake, and by pkg-config.
pub fn c(log: &Log, place: &Place) -> Result<(), String> {
    let folder = place.folder("c")?;
    let prefix = place.unpack(log, "c", &folder)?;
    for name in ["c/round_trip.c", "c/CMakeLists.txt"] {
        copied(name, &folder)?;
    }
    if crate::process::exists("cmake") {
        let prefix = format!("-DCMAKE_PREFIX_PATH={}", prefix.display());
        user("cmake", ["-S", ".", "-B", "built", &prefix]).dir(&folder).run(log)?;
        user("cmake", ["--build", "built"]).dir(&folder).run(log)?;
        for kind in ["trunnion", "static"] {
            runs(&folder.join(format!("built/round_trip_{kind}")))?;
        }
    } else {
        println!("note: cmake not found, so its package is not tried");
    }
    by_pkg_config(log, &folder, &prefix.join("lib"))
}

/// Debian's packages, unpacked beside the system: with root they would be installed into it.
pub fn debian(log: &Log, place: &Place) -> Result<(), String> {
    let folder = place.folder("debian")?;
    copied("c/round_trip.c", &folder)?;
    let root = folder.join("root");
    for name in ["libtrunnion0", "libtrunnion-dev"] {
        let package = place.package(&format!("{name}_"), ".deb")?;
        cmd("dpkg-deb", ["-x".as_ref(), package.as_os_str(), root.as_os_str()]).run(log)?;
    }
    let arch = dist::target::Target::host()?.arch();
    by_pkg_config(log, &folder, &root.join(format!("usr/lib/{arch}-linux-gnu")))
}

fn by_pkg_config(log: &Log, folder: &Path, libraries: &Path) -> Result<(), String> {
    // Both programs start themselves as servers, which get a short environment: no LD_LIBRARY_PATH reaches them.
    let rpath = format!("-Wl,-rpath,{}", libraries.display());
    for (kind, flags, extra) in [("shared", "", rpath.as_str()), ("static", "--static", "")] {
        let line = format!(
            "cc -Wall -Werror round_trip.c $(pkg-config {flags} --cflags --libs trunnion) {extra} -o round_trip_{kind}"
        );
        let path = libraries.join("pkgconfig");
        user("sh", ["-c", &line]).env("PKG_CONFIG_PATH", path).dir(folder).run(log)?;
        runs(&folder.join(format!("round_trip_{kind}")))?;
    }
    Ok(())
}

fn runs(program: &Path) -> Result<(), String> {
    expect(&user(&program.to_string_lossy(), [""; 0]).output()?, &ROUND_TRIP)
}

/// The archive beside a package of SwiftPM, which finds the engine by pkg-config.
pub fn swift(log: &Log, place: &Place) -> Result<(), String> {
    let folder = place.folder("swift")?;
    let unpacked = place.unpack(log, "swift", &folder)?;
    let package = folder.join("package");
    dist::put_tracked("tests/install/swift", &package)?;
    std::fs::rename(unpacked.join("trunnion"), package.join("trunnion")).map_err(|e| e.to_string())?;
    let toolchain = root().join("tools/swift-toolchain.sh");
    let line = format!("'{}' run swift build --quiet", toolchain.display());
    let path = unpacked.join("lib/pkgconfig");
    let found = "swift-build.log";
    let build = user("sh", ["-c", &format!("{line} >{found} 2>&1 || {{ cat {found}; exit 1; }}")]);
    build.env("PKG_CONFIG_PATH", path).dir(&package).run(log)?;
    let said = crate::process::read(&package.join(found))?;
    if said.contains("couldn't find pc file") {
        return Err(format!("SwiftPM did not find the engine by pkg-config:\n{said}"));
    }
    let program = format!("'{}' run .build/debug/round_trip", toolchain.display());
    let output = sh(&program).env("PATH", path_without_rust()).dir(&package).output()?;
    expect(&output, &ROUND_TRIP)
}
