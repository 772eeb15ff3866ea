//! Writes the Swift sources of the binding: `swift-bindings LIBRARY OUT_DIR`.
//!
//! LIBRARY is the built `libtrunnion_swift.a` (or shared library), with its symbols. OUT_DIR receives
//! `TrunnionBindings.swift`, `TrunnionFFI.h` and `module.modulemap`.

use std::process::ExitCode;

use uniffi_bindgen::bindings::{SwiftBindingsOptions, generate_swift_bindings};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(library), Some(out_dir), None) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: swift-bindings LIBRARY OUT_DIR");
        return ExitCode::from(2);
    };
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bindings/swift/bindgen.toml");
    let options = SwiftBindingsOptions {
        generate_swift_sources: true,
        generate_headers: true,
        generate_modulemap: true,
        source: library.into(),
        out_dir: out_dir.into(),
        xcframework: false,
        module_name: Some("TrunnionFFI".into()),
        modulemap_filename: Some("module.modulemap".into()),
        metadata_no_deps: true,
        link_frameworks: Vec::new(),
        config: Some(config.into()),
    };
    match generate_swift_bindings(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swift-bindings: {error:#}");
            ExitCode::FAILURE
        }
    }
}
