//! The wheel (stable ABI of Python 3.10, one for each platform) and the source distribution.

use std::path::{Path, PathBuf};

use super::{Plan, archive, build, put, put_licenses, put_tracked, strip};
use crate::process::{cmd, read, write};
use crate::session::{Log, Session, root};

/// The native module in the package.
const MODULE: &str = "_native.abi3.so";

/// The platform in the names of wheels: the measured needs of the module, not the requested platform.
fn tag(plan: &Plan, module: &Path) -> Result<String, String> {
    let arch = plan.target.arch();
    Ok(match plan.target.triple {
        _ if plan.target.glibc() => {
            let (major, minor) = build::glibc(&[PathBuf::from(module)])?;
            format!("manylinux_{major}_{}_{arch}", if (major, minor) < (2, 17) { 17 } else { minor })
        }
        _ if plan.target.musl() => format!("musllinux_1_2_{arch}"),
        "aarch64-apple-darwin" => "macosx_11_0_arm64".into(),
        _ => "macosx_11_0_x86_64".into(),
    })
}

/// The wheel. Its metadata is written by the build backend, from `pyproject.toml`.
pub fn wheel(log: &Log, plan: &Plan, notices: &Path) -> Result<(), String> {
    let folder = plan.stage.join("wheel");
    put_tracked("python/src/trunnion", &folder.join("trunnion"))?;
    let module = folder.join("trunnion").join(MODULE);
    put(&plan.libraries.join(plan.target.shared("trunnion_python")), &module)?;
    strip(log, plan, &module)?;

    let info = maturin(log, plan, &["pep517", "write-dist-info", "--metadata-directory"], &folder)?;
    let info = info.join(format!("trunnion-{}.dist-info", plan.version));
    let tag = tag(plan, &module)?;
    let generator = read(&info.join("WHEEL"))?;
    let generator = generator.lines().find(|line| line.starts_with("Generator:")).unwrap_or_default();
    let lines =
        ["Wheel-Version: 1.0", generator, "Root-Is-Purelib: false", &format!("Tag: cp310-abi3-{tag}"), ""];
    write(&info.join("WHEEL"), &lines.join("\n"))?;
    put_licenses(&info.join("licenses"), Some(notices))?;
    // Software bill of materials (PEP 770).
    let bill = super::sbom::name(plan);
    put(&plan.out.join(&bill), &info.join("sboms").join(&bill))?;

    let out = plan.out.join(format!("trunnion-{}-cp310-abi3-{tag}.whl", plan.version));
    archive(plan).words(&["wheel", &out.to_string_lossy(), &folder.to_string_lossy()]).run(log)
}

/// The source distribution: the Python package and the parts of the workspace that its module is compiled from.
pub fn sdist(log: &Log, plan: &Plan) -> Result<(), String> {
    maturin(log, plan, &["sdist", "--out"], &plan.out).map(drop)
}

fn maturin(log: &Log, plan: &Plan, words: &[&str], folder: &Path) -> Result<PathBuf, String> {
    let maturin = super::tools(log)?.join("bin/maturin");
    cmd(&maturin.to_string_lossy(), words.iter().map(|word| word.as_ref()).chain([folder.as_os_str()]))
        .dir(root().join("python"))
        .env("SOURCE_DATE_EPOCH", &plan.epoch)
        .run(log)?;
    Ok(folder.to_owned())
}

/// Checks the packages against the rules of PyPI and of the stable ABI.
pub fn check(session: &Session, out: &Path) {
    session.step("twine, auditwheel, abi3audit", |log| {
        let tools = super::tools(log)?.join("bin");
        let tool = |name: &str| tools.join(name).to_string_lossy().into_owned();
        let files: Vec<_> = std::fs::read_dir(out).map_err(|e| e.to_string())?.flatten().collect();
        let files: Vec<_> = files.iter().map(|entry| entry.path().to_string_lossy().into_owned()).collect();
        let wheels: Vec<_> = files.iter().filter(|file| file.ends_with(".whl")).collect();
        let sources = format!("trunnion-{}.tar.gz", super::version()?);
        let uploads = wheels.iter().copied().chain(files.iter().filter(|file| file.ends_with(&sources)));
        cmd(&tool("twine"), ["check", "--strict"].into_iter().chain(uploads.map(String::as_str))).run(log)?;
        for wheel in wheels {
            cmd(&tool("abi3audit"), ["--strict", wheel]).run(log)?;
            if wheel.contains("linux_") {
                // Its second line names the oldest system that the wheel is for.
                let seen = cmd(&tool("auditwheel"), ["show", wheel]).output()?;
                let tag = wheel.rsplit('-').next().unwrap_or_default().trim_end_matches(".whl");
                log.line(&seen);
                if !seen.contains(tag) {
                    return Err(format!("auditwheel does not find that {wheel} is for {tag}"));
                }
            }
        }
        Ok(())
    });
}
