//! Compilation of the native libraries of every language for one platform.

use std::path::{Path, PathBuf};

use super::target::Target;
use crate::process::Cmd;
use crate::session::{Log, root, target as target_folder};
use crate::setup;

/// The oldest C library that the packages run with: of CentOS 7, Debian 8, Ubuntu 14.04; the oldest that Rust supports.
const GLIBC: &str = "2.17";
const PACKAGES: [&str; 4] = ["python", "node", "c", "swift"];

/// The settings of a compilation.
pub struct How<'a> {
    /// The profile of cargo.
    pub profile: &'a str,
    /// With the machine's own linker and C library, as tests are built, not for the oldest systems.
    pub system: bool,
    /// SOURCE_DATE_EPOCH.
    pub epoch: &'a str,
}

/// Compile; the folder of the libraries.
pub fn libraries(log: &Log, target: &Target, how: &How<'_>) -> Result<PathBuf, String> {
    let folder = if how.profile == "dev" { "debug" } else { how.profile };
    let packages = PACKAGES.map(setup::package);
    if how.system {
        // With the features of the whole workspace, so that crates built for the tests are not built again.
        if target.triple != Target::host()?.triple {
            return Err(format!("this machine's linker makes nothing for {}", target.triple));
        }
        let build = setup::build(&packages).words(&["--profile", how.profile]);
        build.env("SOURCE_DATE_EPOCH", how.epoch).run(log)?;
        return Ok(target_folder().join(folder));
    }
    let linux = target.glibc() || target.musl();
    let triple = if target.glibc() { format!("{}.{GLIBC}", target.triple) } else { target.triple.to_owned() };
    let words: Vec<String> = ["--locked", "--profile", how.profile, "--target", &triple]
        .into_iter()
        .chain(packages.iter().flat_map(|package| ["--package", *package]))
        .map(str::to_owned)
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = if linux { zig(log)? } else { setup::cargo(&["build"]) };
    let mut flags = paths()?;
    if target.musl() {
        // Shared libraries that a program with musl's own loader opens.
        flags.push("-Ctarget-feature=-crt-static".into());
    }
    command
        .words(&words)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("SOURCE_DATE_EPOCH", how.epoch)
        // The stable ABI is all that the module uses: no interpreter is asked.
        .env("PYO3_NO_PYTHON", "1")
        .env("MACOSX_DEPLOYMENT_TARGET", "11.0")
        .run(log)?;
    Ok(target_folder().join(target.triple).join(folder))
}

/// Cargo with Zig as the C compiler and linker: it has the C libraries of all versions of Linux.
fn zig(log: &Log) -> Result<Cmd, String> {
    let tools = super::tools(log)?.join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&path)))
        .map_err(|e| format!("PATH: {e}"))?;
    let cache = target_folder().join("zig");
    let mut command = setup::cargo(&["zigbuild"]).env("PATH", path);
    for name in ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR", "CARGO_ZIGBUILD_CACHE_DIR"] {
        if std::env::var_os(name).is_none() {
            command = command.env(name, &cache);
        }
    }
    Ok(command)
}

fn cargo_home() -> Result<PathBuf, String> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")))
        .ok_or_else(|| "neither CARGO_HOME nor HOME is set".into())
}

/// Flags that keep the folders of this machine out of the libraries.
fn paths() -> Result<Vec<String>, String> {
    let mut flags = vec![format!("--remap-path-prefix={}=/trunnion", root().display())];
    let registries = cargo_home()?.join("registry/src");
    let mut folders: Vec<_> = std::fs::read_dir(registries).into_iter().flatten().flatten().collect();
    folders.sort_by_key(std::fs::DirEntry::file_name);
    flags.extend(
        folders.iter().map(|folder| format!("--remap-path-prefix={}=/crates", folder.path().display())),
    );
    Ok(flags)
}

/// The newest symbol version of the GNU C library that these libraries want, such as (2, 17).
pub fn glibc(files: &[PathBuf]) -> Result<(u32, u32), String> {
    let mut newest = (2, 0);
    for file in files {
        let text = crate::process::cmd("readelf", ["--version-info", "--wide", &*file.to_string_lossy()])
            .output()?;
        newest = newest.max(newest_version(&text));
    }
    Ok(newest)
}

fn newest_version(needs: &str) -> (u32, u32) {
    let versions = needs.match_indices("GLIBC_").filter_map(|(at, word)| {
        let text: String =
            needs[at + word.len()..].chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let mut parts = text.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    });
    versions.max().unwrap_or((2, 0))
}

#[cfg(test)]
mod tests {
    use super::newest_version;

    #[test]
    fn newest_version_of_the_c_library() {
        let needs = "  0x10: Name: GLIBC_2.2.5  Flags: none  Version: 4\n  0x20: Name: GLIBC_2.17  Flags: none\n\
                       0x30: Name: GLIBC_2.9  Flags: none  Version: 5\n  0x40: Name: GCC_3.0  Flags: none  Version: 6\n";
        assert_eq!(newest_version(needs), (2, 17));
        assert_eq!(newest_version(""), (2, 0));
    }
}
