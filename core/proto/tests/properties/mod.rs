//! Properties of the two connection machines under any order of events.
//!
//! The cases are the same in every run. `PROPTEST_CASES=n` makes 4 n of them (1024 otherwise), `PROPTEST_RNG_SEED=n`
//! others.

mod client;
mod following;
mod frames;
mod server;
mod tasks;

use proptest::test_runner::{Config, RngAlgorithm, RngSeed};

/// Every connection machine gets this many steps at most.
const STEPS: usize = 80;

fn config() -> Config {
    let default = Config::default();
    let rng_seed = match default.rng_seed {
        RngSeed::Random => RngSeed::Fixed(0x7472_756e),
        chosen => chosen,
    };
    // The default generator is a cipher, which would take half of the time.
    let rng_algorithm = RngAlgorithm::XorShift;
    Config {
        cases: default.cases.saturating_mul(4),
        rng_seed,
        rng_algorithm,
        failure_persistence: None,
        ..default
    }
}
