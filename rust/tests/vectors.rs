//! The golden transcripts of `tests/vectors/`, played to a Rust server over its standard streams.

#[path = "../../tests/vectors/runner.rs"]
mod runner;

#[test]
fn golden_transcripts() {
    runner::run_all(|definition| {
        let mut server = std::process::Command::new(runner::example("vectors_server"));
        server.arg(definition.to_string());
        server
    });
}
