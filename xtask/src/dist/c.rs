//! The C library: a relocatable folder, and Debian's packages.

use std::path::Path;

use super::{Plan, put, put_licenses, strip, tar};
use crate::process::{cmd, sh, write};
use crate::session::{Log, root};

const PAGE: &str = "https://github.com/trunnion-mcp/trunnion";
const MAINTAINER: &str = "The trunnion authors <trunnion@users.noreply.github.com>";

/// Runs `bindings/c/install.sh`, which puts header, libraries and their descriptions under a prefix.
fn install(log: &Log, plan: &Plan, dest: &Path, prefix: &str, libdir: &str) -> Result<(), String> {
    cmd("bindings/c/install.sh", [prefix])
        .env("DESTDIR", dest)
        .env("TRUNNION_LIBRARIES", &plan.libraries)
        .env("TRUNNION_TARGET", plan.target.triple)
        .env("TRUNNION_LIBDIR", libdir)
        .run(log)?;
    let libraries = dest.join(prefix.trim_start_matches('/')).join(libdir);
    for entry in std::fs::read_dir(&libraries).map_err(|e| e.to_string())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let library = name.starts_with("libtrunnion.");
        if library && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            strip(log, plan, &entry.path())?;
        }
    }
    Ok(())
}

/// `trunnion-c-<version>-<platform>.tar.gz`.
pub fn tarball(log: &Log, plan: &Plan, notices: &Path) -> Result<(), String> {
    let name = format!("trunnion-c-{}-{}", plan.version, plan.target.triple);
    let folder = plan.stage.join("c").join(&name);
    install(log, plan, &plan.stage.join("c"), &format!("/{name}"), "lib")?;
    let docs = folder.join("share/doc/trunnion");
    for (from, to) in [
        ("docs/c.md", "c.md"),
        ("docs/errors.md", "errors.md"),
        ("docs/options.md", "options.md"),
        ("docs/limits.md", "limits.md"),
        ("examples/c/server.c", "examples/server.c"),
    ] {
        put(&root().join(from), &docs.join(to))?;
    }
    put_licenses(&docs, Some(notices))?;
    tar(log, plan, &format!("{name}.tar.gz"), &folder)
}

/// `libtrunnion0` and `libtrunnion-dev`, laid out as Debian wants libraries (Debian Policy, chapter 8).
pub fn debian(log: &Log, plan: &Plan, notices: &Path) -> Result<(), String> {
    let Some(arch) = plan.target.debian else { return Ok(()) };
    let libdir = format!("lib/{}-linux-gnu", plan.target.arch());
    let whole = plan.stage.join("debian/whole");
    install(log, plan, &whole, "/usr", &libdir)?;
    let major = plan.version.split('.').next().unwrap_or_default();
    let (runtime, dev) = (format!("libtrunnion{major}"), "libtrunnion-dev".to_owned());
    let (runtime_folder, dev_folder) =
        (plan.stage.join("debian").join(&runtime), plan.stage.join("debian").join(&dev));
    let libraries = whole.join("usr").join(&libdir);
    let glibc = super::build::glibc(&[libraries.join(format!("libtrunnion.so.{}", plan.version))])?;
    let libc = format!("libc6 (>= {}.{})", glibc.0, glibc.1);
    // The runtime package has the versioned names, the other one all the rest.
    for entry in std::fs::read_dir(&libraries).map_err(|e| e.to_string())?.flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("libtrunnion.so.") {
            let to = runtime_folder.join("usr").join(&libdir);
            std::fs::create_dir_all(&to).map_err(|e| e.to_string())?;
            std::fs::rename(entry.path(), to.join(name)).map_err(|e| e.to_string())?;
        }
    }
    std::fs::rename(&whole, &dev_folder).map_err(|e| e.to_string())?;
    write(
        &runtime_folder.join("DEBIAN/shlibs"),
        &format!("libtrunnion {major} {runtime} (>= {})\n", plan.version),
    )?;
    write(&runtime_folder.join("DEBIAN/triggers"), "activate-noawait ldconfig\n")?;
    let depends = format!("{libc}, libgcc-s1 (>= 4.2)");
    package(
        log,
        plan,
        &runtime_folder,
        &Control {
            name: &runtime,
            arch,
            section: "libs",
            depends: &depends,
            summary: "Model Context Protocol for servers and clients (shared library)",
            notices,
        },
    )?;
    let depends = format!("{runtime} (= {})", plan.version);
    package(
        log,
        plan,
        &dev_folder,
        &Control {
            name: &dev,
            arch,
            section: "libdevel",
            depends: &depends,
            summary: "Model Context Protocol for servers and clients (development files)",
            notices,
        },
    )
}

struct Control<'a> {
    name: &'a str,
    arch: &'a str,
    section: &'a str,
    depends: &'a str,
    summary: &'a str,
    notices: &'a Path,
}

fn package(log: &Log, plan: &Plan, folder: &Path, control: &Control<'_>) -> Result<(), String> {
    let Control { name, arch, section, depends, summary, notices } = control;
    let docs = folder.join("usr/share/doc").join(name);
    let (mit, third) = (root().join("LICENSE-MIT"), crate::process::read(notices)?);
    let copyright = format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
         Upstream-Name: trunnion\nSource: {PAGE}\n\nFiles: *\nCopyright: The trunnion authors\n\
         License: Apache-2.0 or Expat\n\nLicense: Apache-2.0\n \
         On Debian systems, the text is in /usr/share/common-licenses/Apache-2.0.\n\nLicense: Expat\n{}",
        indented(&crate::process::read(&mit)?)
    );
    write(&docs.join("copyright"), &copyright)?;
    write(&docs.join("THIRD-PARTY-LICENSES.txt"), &third)?;
    let changelog = format!(
        "trunnion ({}) unstable; urgency=medium\n\n  * See {PAGE}/blob/main/CHANGELOG.md\n\n -- {MAINTAINER}  {}\n",
        plan.version,
        sh(&format!("LC_ALL=C date -u -R -d @{}", plan.epoch)).output()?.trim()
    );
    write(&docs.join("changelog"), &changelog)?;
    let size = sh(&format!("du -sk --apparent-size '{}'", folder.display())).output()?;
    let size = size.split_whitespace().next().unwrap_or("0").to_owned();
    let text = format!(
        "Package: {name}\nSource: trunnion\nVersion: {}\nArchitecture: {arch}\nMulti-Arch: same\nMaintainer: {MAINTAINER}\n\
         Installed-Size: {size}\nDepends: {depends}\nSection: {section}\nPriority: optional\nHomepage: {PAGE}\n\
         Description: {summary}\n trunnion speaks the Model Context Protocol, by which programs that use language\n \
         models reach tools, resources and prompts: over standard streams and HTTP,\n in all revisions of the protocol.\n",
        plan.version
    );
    write(&folder.join("DEBIAN/control"), &text)?;
    // One time for every file, no writing for the group, checksums of all, packed without compression surprises.
    let script = format!(
        "set -e; cd '{}'; gzip -9n usr/share/doc/{name}/changelog; \
         chmod -R u=rwX,go=rX .; find usr -type f -name '*.so.*' -exec chmod 644 {{}} +; \
         find usr -type f | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums; \
         find . -exec touch -h -d @{} {{}} +; \
         dpkg-deb --root-owner-group {} --build . '{}'",
        folder.display(),
        plan.epoch,
        if plan.quick { "-Zgzip -z1" } else { "-Zxz" },
        plan.out.join(format!("{name}_{}_{arch}.deb", plan.version)).display()
    );
    sh(&script).env("SOURCE_DATE_EPOCH", &plan.epoch).run(log)
}

/// Text as a field of a control file: each line begins with a blank, an empty one with a dot.
fn indented(text: &str) -> String {
    text.lines()
        .map(|line| if line.trim().is_empty() { " .\n".into() } else { format!(" {line}\n") })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_of_a_control_field() {
        assert_eq!(super::indented("a\n\nb"), " a\n .\n b\n");
    }
}
