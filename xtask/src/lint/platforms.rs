//! Checks for other platforms than this one, which `tools/cross.sh` makes possible.

use crate::process::cmd;
use crate::session::{Log, root};

/// Targets of `tools/cross.sh` that the workspace is checked for.
pub const TARGETS: [&str; 4] = ["windows", "macos-check", "aarch64", "musl"];

/// Type-check the workspace for one of [`TARGETS`]. Warnings are errors.
pub fn check(target: &str, log: &Log) -> Result<(), String> {
    cmd("tools/cross.sh", [target, "check", "--workspace", "--locked"])
        .dir(root())
        .env("RUSTFLAGS", "-D warnings")
        .run(log)
}
