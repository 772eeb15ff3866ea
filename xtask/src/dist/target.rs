//! The platforms that packages are made for.

/// One platform and its names in each registry.
#[derive(Debug)]
pub struct Target {
    /// Rust's name.
    pub triple: &'static str,
    /// Node's name, as in `@trunnion/<npm>`; `os`, `cpu` and `libc` of the package are its parts.
    pub npm: &'static str,
    /// The architecture of Debian's packages, where there are any.
    pub debian: Option<&'static str>,
}

/// Every platform that a release has packages for.
pub const TARGETS: [Target; 6] = [
    Target { triple: "x86_64-unknown-linux-gnu", npm: "linux-x64-gnu", debian: Some("amd64") },
    Target { triple: "aarch64-unknown-linux-gnu", npm: "linux-arm64-gnu", debian: Some("arm64") },
    Target { triple: "x86_64-unknown-linux-musl", npm: "linux-x64-musl", debian: None },
    Target { triple: "aarch64-unknown-linux-musl", npm: "linux-arm64-musl", debian: None },
    Target { triple: "x86_64-apple-darwin", npm: "darwin-x64", debian: None },
    Target { triple: "aarch64-apple-darwin", npm: "darwin-arm64", debian: None },
];

impl Target {
    /// The platform of that name.
    pub fn find(triple: &str) -> Result<&'static Target, String> {
        TARGETS.iter().find(|target| target.triple == triple).ok_or_else(|| {
            let known: Vec<_> = TARGETS.iter().map(|target| target.triple).collect();
            format!("no packages are made for {triple}; there are {}", known.join(", "))
        })
    }

    /// The platform of this machine.
    pub fn host() -> Result<&'static Target, String> {
        let system = match std::env::consts::OS {
            "linux" if cfg!(target_env = "musl") => "unknown-linux-musl",
            "linux" => "unknown-linux-gnu",
            "macos" => "apple-darwin",
            other => other,
        };
        Self::find(&format!("{}-{system}", std::env::consts::ARCH))
    }

    /// The name of the processor in Rust's and Python's terms.
    pub fn arch(&self) -> &'static str {
        self.triple.split('-').next().unwrap_or_default()
    }

    /// Returns true if it is Linux with the GNU C library.
    pub fn glibc(&self) -> bool {
        self.triple.ends_with("linux-gnu")
    }

    /// Returns true if it is Linux with musl.
    pub fn musl(&self) -> bool {
        self.triple.ends_with("linux-musl")
    }

    /// The file name of a shared library that cargo makes.
    pub fn shared(&self, name: &str) -> String {
        match self.triple {
            triple if triple.contains("apple") => format!("lib{name}.dylib"),
            _ => format!("lib{name}.so"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TARGETS, Target};

    #[test]
    fn names_of_targets() {
        assert_eq!(Target::find("x86_64-unknown-linux-gnu").map(|target| target.npm), Ok("linux-x64-gnu"));
        let unknown = Target::find("riscv64gc-unknown-linux-gnu").expect_err("there is no such package");
        assert!(unknown.contains("riscv64gc") && unknown.contains("x86_64-apple-darwin"), "{unknown}");
        for target in &TARGETS {
            assert_eq!(target.debian.is_some(), target.glibc(), "{target:?}");
            assert_eq!(target.npm.ends_with("musl"), target.musl(), "{target:?}");
        }
    }
}
