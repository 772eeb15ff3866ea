//! `cargo xtask dist`: the packages that users install, into `target/dist`.
//!
//! The native libraries are compiled once for each platform and then packed; `--check` repeats the packing
//! and compares the results byte by byte. docs/RELEASING.md describes the use of the results in a release.

mod build;
mod c;
mod crates;
mod licenses;
mod npm;
mod python;
mod sbom;
mod swift;
pub mod target;

use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::process::{Cmd, cmd, read, write};
use crate::session::{Log, Session, root, target as target_folder};
use crate::setup;
use target::Target;

/// The packages to make: their contents, platform, source and target folders.
pub struct Plan {
    /// The platform.
    pub target: &'static Target,
    /// The folder of the compiled libraries.
    pub libraries: PathBuf,
    /// The folder of the finished packages.
    pub out: PathBuf,
    /// A folder of this run's own, in which packages are put together.
    pub stage: PathBuf,
    /// The version of all packages.
    pub version: String,
    /// The time of all files: that of the commit.
    pub epoch: String,
    /// Large archives, quickly made: they are deleted after a test.
    pub quick: bool,
}

/// The kinds of packages. A release makes all.
const KINDS: [&str; 5] = ["python", "npm", "c", "swift", "crates"];

/// The choice of the command line.
pub struct Choice {
    targets: Vec<&'static Target>,
    profile: String,
    system: bool,
    check: bool,
    kinds: Vec<String>,
    out: PathBuf,
    quick: bool,
    /// Libraries that are built already, by whatever means.
    libraries: Option<PathBuf>,
}

/// `cargo xtask dist [TARGET…]`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let profile = args.option("--profile")?.unwrap_or_else(|| "release".into());
    let (system, check) = (args.flag("--system-linker"), args.flag("--check"));
    let libraries = args.option("--libraries")?.map(|folder| root().join(folder));
    let kinds = match args.option("--only")? {
        None => KINDS.map(str::to_owned).to_vec(),
        Some(list) => list.split(',').map(str::to_owned).collect(),
    };
    if let Some(unknown) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        return Err(format!("nothing is packed under the name {unknown}; there are {}", KINDS.join(", ")));
    }
    let mut targets =
        args.rest()?.iter().map(|triple| Target::find(triple)).collect::<Result<Vec<_>, _>>()?;
    if targets.is_empty() {
        targets.push(Target::host()?);
    }
    if libraries.is_some() && targets.len() > 1 {
        return Err("--libraries is for one platform".into());
    }
    steps(
        session,
        &Choice {
            targets,
            profile,
            system,
            check,
            kinds,
            out: target_folder().join("dist"),
            quick: false,
            libraries,
        },
    )
}

/// The packages of this machine's platform as its own tools link them, for tests: they may want a newer C library than those
/// of a release. Their folder.
pub fn for_tests(session: &Session, profile: &str) -> Result<PathBuf, String> {
    let kinds = ["python", "npm", "c", "swift"].map(str::to_owned).to_vec();
    let (targets, out) = (vec![Target::host()?], target_folder().join("dist-tested"));
    let choice = Choice {
        targets,
        profile: profile.into(),
        system: true,
        check: true,
        kinds,
        out: out.clone(),
        quick: true,
        libraries: None,
    };
    steps(session, &choice)?;
    Ok(out)
}

/// The version of the workspace.
pub fn version() -> Result<String, String> {
    let manifest: toml::Table =
        read(&root().join("Cargo.toml"))?.parse().map_err(|e| format!("Cargo.toml: {e}"))?;
    let version = manifest["workspace"]["package"]["version"].as_str();
    version.map(str::to_owned).ok_or_else(|| "Cargo.toml names no version".into())
}

/// The time of the commit, in seconds since 1970; SOURCE_DATE_EPOCH has precedence.
fn epoch() -> Result<String, String> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(given) if given.parse::<u32>().is_ok() => Ok(given),
        Ok(given) => Err(format!("SOURCE_DATE_EPOCH is {given:?}, not seconds since 1970")),
        Err(_) => Ok(cmd("git", ["log", "-1", "--format=%ct"]).output()?.trim().to_owned()),
    }
}

fn steps(session: &Session, choice: &Choice) -> Result<(), String> {
    let (version, epoch, out) = (version()?, epoch()?, choice.out.clone());
    empty(&out)?;
    let mut plans = Vec::new();
    for target in &choice.targets {
        let triple = target.triple;
        let how = build::How { profile: &choice.profile, system: choice.system, epoch: &epoch };
        let mut libraries = choice.libraries.clone().unwrap_or_default();
        let built = choice.libraries.is_some()
            || session.step(&format!("build {triple} ({})", choice.profile), |log| {
                libraries = build::libraries(log, target, &how)?;
                Ok(())
            });
        if !built {
            return Err(format!("nothing to pack for {triple}: the build failed"));
        }
        let stage = target_folder().join("dist-stage").join(triple);
        let plan = Plan {
            target,
            libraries,
            out: out.clone(),
            stage,
            version: version.clone(),
            epoch: epoch.clone(),
            quick: choice.quick,
        };
        session.step(&format!("pack {triple}"), |log| pack(log, &plan, choice));
        plans.push(plan);
    }
    if choice.kinds.iter().any(|kind| kind == "crates") {
        session.step("pack crates", |log| crates::pack(log, &out, &epoch));
    }
    session.step("checksums", |log| sums(log, &out, &epoch));
    session.step("sizes", |_| {
        print!("{}", sizes(&out)?);
        Ok(())
    });
    if choice.check {
        session.step("packed twice, equal bytes", |log| again(log, &plans, choice));
        python::check(session, &out);
    }
    Ok(())
}

fn pack(log: &Log, plan: &Plan, choice: &Choice) -> Result<(), String> {
    empty(&plan.stage)?;
    let wants = |kind: &str| choice.kinds.iter().any(|wanted| wanted == kind);
    let components = sbom::components(plan.target)?;
    let notices = plan.stage.join("THIRD-PARTY-LICENSES.txt");
    write(&notices, &licenses::notices(&components)?)?;
    sbom::write(plan, &components)?;
    if wants("python") {
        python::wheel(log, plan, &notices)?;
        python::sdist(log, plan)?;
    }
    if wants("npm") {
        npm::platform(log, plan, &notices)?;
        npm::main(log, plan)?;
    }
    if wants("c") {
        c::tarball(log, plan, &notices)?;
        c::debian(log, plan, &notices)?;
    }
    if wants("swift") && plan.target.glibc() {
        swift::tarball(log, plan, &notices)?;
    }
    Ok(())
}

/// Packs everything a second time, elsewhere, and compares.
fn again(log: &Log, plans: &[Plan], choice: &Choice) -> Result<(), String> {
    let other = target_folder().join("dist-again");
    empty(&other)?;
    for plan in plans {
        let plan = Plan {
            target: plan.target,
            libraries: plan.libraries.clone(),
            out: other.clone(),
            stage: target_folder().join("dist-again-stage").join(plan.target.triple),
            version: plan.version.clone(),
            epoch: plan.epoch.clone(),
            quick: plan.quick,
        };
        pack(log, &plan, choice)?;
    }
    let epoch = &plans.first().ok_or("nothing was packed")?.epoch;
    if choice.kinds.iter().any(|kind| kind == "crates") {
        crates::pack(log, &other, epoch)?;
    }
    sums(log, &other, epoch)?;
    let (first, second) = (read(&choice.out.join("SHA256SUMS"))?, read(&other.join("SHA256SUMS"))?);
    let different: Vec<_> = second.lines().filter(|line| !first.contains(line)).collect();
    if different.is_empty() && first.lines().count() == second.lines().count() {
        Ok(())
    } else {
        Err(format!("other bytes at the second time:\n{}", different.join("\n")))
    }
}

/// Creates the folder anew.
pub fn empty(folder: &Path) -> Result<(), String> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}

/// Copies a file, with the folders above it.
pub fn put(from: &Path, to: &Path) -> Result<(), String> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    }
    std::fs::copy(from, to).map_err(|e| format!("{} to {}: {e}", from.display(), to.display()))?;
    Ok(())
}

/// Copies a folder as it is in version control, without built or downloaded files beside it.
pub fn put_tracked(folder: &str, to: &Path) -> Result<(), String> {
    let listed = cmd("git", ["ls-files", "--cached", "--others", "--exclude-standard", folder]).output()?;
    for name in listed.lines() {
        let from = root().join(name);
        if from.exists() {
            put(&from, &to.join(name.strip_prefix(folder).unwrap_or(name).trim_start_matches('/')))?;
        }
    }
    Ok(())
}

/// Puts the licenses of the project, and those of the code that is compiled into it, into a folder.
fn put_licenses(to: &Path, notices: Option<&Path>) -> Result<(), String> {
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        put(&root().join(name), &to.join(name))?;
    }
    match notices {
        Some(notices) => put(notices, &to.join("THIRD-PARTY-LICENSES.txt")),
        None => Ok(()),
    }
}

/// The program that makes archives.
fn archive(plan: &Plan) -> Cmd {
    let level = if plan.quick { "1" } else { "9" };
    cmd("python3", ["tools/archive.py"]).env("SOURCE_DATE_EPOCH", &plan.epoch).env("COMPRESSION", level)
}

/// A `.tar.gz` of a folder.
fn tar(log: &Log, plan: &Plan, name: &str, folder: &Path) -> Result<(), String> {
    let out = plan.out.join(name);
    archive(plan).words(&["tar", &out.to_string_lossy(), &folder.to_string_lossy()]).run(log)
}

fn sums(log: &Log, out: &Path, epoch: &str) -> Result<(), String> {
    let command = cmd("python3", ["tools/archive.py", "sums"]).words(&[&out.to_string_lossy()]);
    command.env("SOURCE_DATE_EPOCH", epoch).run(log)
}

/// Returns the library without debugging data.
fn strip(log: &Log, plan: &Plan, file: &Path) -> Result<(), String> {
    let file = file.to_string_lossy();
    if plan.target.triple.contains("apple") {
        return cmd("strip", ["-S", &*file]).run(log);
    }
    let foreign = format!("{}-linux-gnu-strip", plan.target.arch());
    let program = if plan.target.arch() == std::env::consts::ARCH { "strip" } else { foreign.as_str() };
    if !crate::process::exists(program) {
        log.line(&format!("{file} keeps its symbols: {program} not found"));
        return Ok(());
    }
    cmd(program, ["--strip-debug", "--enable-deterministic-archives", &*file]).run(log)
}

/// Names and sizes of the packages.
fn sizes(out: &Path) -> Result<String, String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(out).map_err(|e| format!("{}: {e}", out.display()))?.flatten() {
        let size = entry.metadata().map_err(|e| e.to_string())?.len();
        lines.push(format!("{:>9.2} MB  {}\n", size as f64 / 1e6, entry.file_name().to_string_lossy()));
    }
    lines.sort_by_key(|line| line[14..].to_owned());
    Ok(lines.concat())
}

/// The environment with the tools that pack and check Python packages, and link for older systems.
fn tools(log: &Log) -> Result<PathBuf, String> {
    setup::packing_tools(log)
}
