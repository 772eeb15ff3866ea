//! The engine as the Swift package links it on Linux, with the package itself.

use std::path::Path;

use super::{Plan, put, put_licenses, put_tracked, strip, tar};
use crate::process::{read, write};
use crate::session::{Log, root};

/// `trunnion-swift-<version>-<platform>.tar.gz`: `lib/` for pkg-config and the linker, `trunnion/` for Package.swift.
pub fn tarball(log: &Log, plan: &Plan, notices: &Path) -> Result<(), String> {
    let name = format!("trunnion-swift-{}-{}", plan.version, plan.target.triple);
    let folder = plan.stage.join("swift").join(&name);
    let library = folder.join("lib/libtrunnion_swift.a");
    put(&plan.libraries.join("libtrunnion_swift.a"), &library)?;
    strip(log, plan, &library)?;
    let description = read(&root().join("bindings/swift/trunnion-swift.pc.in"))?
        .replace("@PREFIX@", "${pcfiledir}/../..")
        .replace("@LIBDIR@", "${prefix}/lib")
        .replace("@VERSION@", &plan.version);
    write(&folder.join("lib/pkgconfig/trunnion-swift.pc"), &description)?;
    let package = folder.join("trunnion");
    write(&package.join("Package.swift"), &manifest(&read(&root().join("Package.swift"))?)?)?;
    put_tracked("swift/Sources", &package.join("swift/Sources"))?;
    put(&root().join("docs/swift.md"), &folder.join("share/doc/trunnion/swift.md"))?;
    put_licenses(&folder.join("share/doc/trunnion"), Some(notices))?;
    tar(log, plan, &format!("{name}.tar.gz"), &folder)
}

/// The manifest without the parts that only the repository has: programs, tests.
fn manifest(text: &str) -> Result<String, String> {
    let begin = text.find("        .executableTarget(").ok_or("Package.swift: no programs")?;
    let end = text.find("    ],\n    swiftLanguageModes").ok_or("Package.swift: no end of the targets")?;
    if text[..begin].contains(".testTarget(") {
        return Err("Package.swift: tests stand before programs".into());
    }
    Ok(format!("{}{}", &text[..begin], &text[end..]))
}

#[cfg(test)]
mod tests {
    #[test]
    fn manifest_of_the_package_alone() {
        let whole = include_str!("../../../Package.swift");
        let alone = super::manifest(whole).expect("the manifest has both parts");
        assert!(alone.contains(r#".target(name: "Trunnion""#) && alone.contains("swiftLanguageModes"));
        assert!(!alone.contains("Tests") && !alone.contains("examples"), "{alone}");
    }
}
