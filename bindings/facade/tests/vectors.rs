//! The golden transcripts of `tests/vectors/`, played to a host of the facade over its standard streams, with
//! both drivers.

#[path = "../../../tests/vectors/runner.rs"]
mod runner;

fn on(driver: &str) {
    runner::run_all(|definition| {
        let mut server = std::process::Command::new(runner::example("vectors_host"));
        server.args([driver, &definition.to_string()]);
        server
    });
}

#[test]
fn golden_transcripts_hosted() {
    on("hosted");
}

#[test]
fn golden_transcripts_threaded() {
    on("threaded");
}
