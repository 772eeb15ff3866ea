//! Failing installations: each message states the expected item, the item found, and the remedy.

use std::path::Path;
use std::time::Duration;

use super::languages::npm;
use super::{Place, copied, user};
use crate::dist::target::Target;
use crate::process::{sh, write};
use crate::session::Log;
use crate::setup::Node;

/// The import of the package fails, and its message has all of these in it.
fn refused(program: &str, folder: &Path, code: &str, wanted: &[&str]) -> Result<(), String> {
    let seen = user(program, ["-e", code]).dir(folder).output_within(Duration::from_secs(60))?;
    if seen.status.is_some_and(|status| status.success()) {
        return Err(format!("no error of: {code}"));
    }
    match wanted.iter().find(|part| !seen.stderr.contains(**part)) {
        None => Ok(()),
        Some(part) => Err(format!("{part:?} is not in the message of: {code}\n{}", seen.stderr)),
    }
}

/// Trees of npm that lack the native module, or have another one.
pub fn npm_trees(log: &Log, place: &Place, node: &Node, registry: &str) -> Result<(), String> {
    let (node_program, platform) = (node.program.to_string_lossy(), Target::host()?.npm);
    let package = format!("@trunnion/{platform}");
    let load = r#"new (require("trunnion").Server)({ name: "x", version: "1" }).listen({ port: 0 });"#;
    let whole = place.folder("npm-tree")?;
    write(&whole.join("package.json"), "{ \"private\": true }\n")?;

    // --omit=optional.
    npm(node, &whole, registry, &["install", "trunnion", "--omit=optional"]).run(log)?;
    let wanted = [package.as_str(), "--include=optional", "TRUNNION_NATIVE"];
    refused(&node_program, &whole, load, &wanted)?;

    // A platform without a package, and one whose package was left behind by another system.
    let foreign = format!(r#"Object.defineProperty(process, "platform", {{ value: "sunos" }}); {load}"#);
    refused(
        &node_program,
        &whole,
        &foreign,
        &["sunos-", "There are packages for linux-x64-gnu", "build:native"],
    )?;
    npm(node, &whole, registry, &["install", "trunnion", "--include=optional"]).run(log)?;
    refused(
        &node_program,
        &whole,
        &foreign,
        &["sunos-", "Found @trunnion/", "for another platform", "Install again"],
    )?;

    // Another version of the module, as a lock file that was merged by hand has it.
    let module = whole.join("node_modules").join(&package);
    let manifest = crate::process::read(&module.join("package.json"))?;
    let version = format!("\"version\": \"{}\"", place.version);
    write(&module.join("package.json"), &manifest.replace(&version, "\"version\": \"99.0.0\""))?;
    refused(
        &node_program,
        &whole,
        load,
        &[&place.version, "99.0.0", "the same version", "npm install trunnion@"],
    )?;
    write(&module.join("package.json"), &manifest)?;

    // A file that is no module of this platform.
    let file = module.join(format!("trunnion.{platform}.node"));
    write(&file, "MZ this is a library of another system")?;
    refused(
        &node_program,
        &whole,
        load,
        &[&file.to_string_lossy(), "another platform", "install again with this Node"],
    )
}

/// A program meets an older libtrunnion than its header, and a header another library than its own.
pub fn c(log: &Log, place: &Place) -> Result<(), String> {
    let folder = place.folder("c-mismatch")?;
    let prefix = place.unpack(log, "c", &folder)?;
    copied("c/check.c", &folder)?;
    copied("c/CMakeLists.txt", &folder)?;
    copied("c/round_trip.c", &folder)?;
    let pkg = prefix.join("lib/pkgconfig");
    let header = prefix.join("include/trunnion.h");
    let text = crate::process::read(&header)?;

    // The header of a later version, with another binary interface.
    let later = text
        .replace(&format!("#define TRN_VERSION \"{}\"", place.version), "#define TRN_VERSION \"99.1.0\"")
        .replace("#define TRN_ABI 1\n", "#define TRN_ABI 99\n");
    if later == text {
        return Err("the header has no version to change".into());
    }
    let build = |output: &str| {
        let line = format!("cc -Wall -Werror check.c $(pkg-config --cflags --libs trunnion) -o {output}");
        user("sh", ["-c", &line]).env("PKG_CONFIG_PATH", &pkg).dir(&folder).run(log)
    };
    build("fitting")?;
    write(&header, &later)?;
    build("later")?;
    let run = |program: &str| {
        let program = folder.join(program);
        let libraries = prefix.join("lib");
        user(&program.to_string_lossy(), [""; 0])
            .env("LD_LIBRARY_PATH", libraries)
            .output_within(Duration::from_secs(60))
    };
    run("fitting")?.success()?;
    let seen = run("later")?;
    let library = prefix.join("lib").join("libtrunnion.so");
    let wanted = [
        "99.1.0",
        "interface 99",
        &place.version,
        "interface 1",
        &*library.to_string_lossy(),
        "LD_LIBRARY_PATH",
    ];
    if seen.success().is_ok() {
        return Err("a header of another interface was accepted".into());
    }
    if let Some(part) = wanted.iter().find(|part| !seen.stderr.contains(**part)) {
        return Err(format!("{part:?} is not in:\n{}", seen.stderr));
    }

    // CMake reports it when the project is configured.
    if crate::process::exists("cmake") {
        let line = format!("cmake -S . -B built -DCMAKE_PREFIX_PATH={} 2>&1 || true", prefix.display());
        let said = sh(&line).dir(&folder).output()?;
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["99.1.0", &place.version, "trunnion.h", "nstall"] {
            if !said.contains(part) {
                return Err(format!("{part:?} is not in what CMake says of a later header:\n{said}"));
            }
        }
    }
    Ok(())
}
