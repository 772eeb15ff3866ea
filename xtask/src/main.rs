//! `cargo xtask …`: all development commands of this repository, set-up included.

mod args;
mod bench;
mod bill;
mod chaos;
mod ci;
mod codegen;
mod conformance;
mod demo;
mod differential;
mod dist;
mod docs;
mod fixtures;
mod fuzz;
mod install;
mod interop;
mod lint;
mod process;
mod session;
mod setup;
mod soak;
mod test;
mod version;

use std::process::ExitCode;

use session::Session;

const USAGE: &str = "usage: cargo xtask COMMAND

  demo [--swift]                         set up, serve docsearch in Python, search from every language
  test [SUITE [NAME]] [--quick] [--packages FOLDER]
                                         set up and run every test; only one suite, only the tests of a name
                                         (rust python node swift c: the others take no name; --quick: those alone;
                                         --packages: those that the suite install takes, such as target/dist)
  lint [--filter TEXT] [--update | --platforms]
                                         formatting, clippy, dependency direction, types, house rules
                                         (--update: write the baselines, which only shrink; --platforms: compile
                                         for Windows, macOS, aarch64 and musl instead)
  codegen [--check]                      write what comes from bindings/surface.toml and from
                                         the engine's model types (or only compare)
  interop [--foreign] [--filter TEXT] [--json FILE]
                                         every client x every server x {stdio, http}, the official SDKs
                                         included (--foreign: those alone, as a control)
  differential [--json FILE]             500 messages to our server and to the official SDKs', the outcomes compared
  docs [--pages] [--serve [--port N]]    the documentation site with the API references of five languages, its links
                                         checked and its pages opened in a browser (--pages: beside the references
                                         of an earlier run; --serve: shown at port 8000)
  fuzz [--smoke] [--seconds N] [--filter TEXT]
                                         every target of fuzz/, 10 minutes each (--smoke: one)
  bench [--quick] [--filter TEXT] [--json FILE]
                                         our servers, the official SDKs and the floor, side by side
  chaos [--quick] [--seed N] [--filter TEXT]
                                         tasks under load while servers and stores are killed (sqlite, postgres, redis)
  bill [ROW…] [--against COMMIT] [--here] [--write]
                                         CPU time, wall time and disk of the other commands from nothing, here and
                                         at the commit (--here: measured before); --write puts the table into
                                         docs/benchmarks.md
  dist [TARGET…] [--profile P] [--only KIND,…] [--system-linker] [--check]
       [--libraries FOLDER]              
                                         the packages that users install, into target/dist (python npm c swift crates);
                                         --check: packed twice with equal bytes, and held against what registries demand
  ci                                     lint, test and conformance, as one run
  soak [--minutes N] [--seed N]          hostile and careless clients beside well-behaved ones, on both drivers
  conformance [--lang L] [--filter TEXT] [--json FILE] [--readme]
                                         the official conformance suite, with the strict gate
  setup [rust|python|node|swift|c|peers|suite|bench|docs]…
                                         only the set-up of those (default: the languages)
  version [X | --notes]                  write version X into every manifest; --notes: what CHANGELOG.md says of it

With CI=true a missing toolchain is a failure, not a skip. VERBOSE=1 shows the output of every step.";

fn main() -> ExitCode {
    let mut args = args::Args::new(std::env::args().skip(1));
    let Some(command) = args.next() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let known: fn(&mut Session, &mut args::Args) -> Result<(), String> = match command.as_str() {
        "demo" => demo::run,
        "test" => test::run,
        "lint" => lint::run,
        "codegen" => codegen::run,
        "differential" => differential::run,
        "dist" => dist::run,
        "docs" => docs::run,
        "fuzz" => fuzz::run,
        "interop" => interop::run,
        "bench" => bench::run,
        "bill" => bill::run,
        "chaos" => chaos::run,
        "ci" => ci::run,
        "conformance" => conformance::run,
        "setup" => setup::run,
        "soak" => soak::run,
        "version" => version::run,
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("unknown command {other}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut session = Session::new(&command);
    if let Err(message) = known(&mut session, &mut args) {
        eprintln!("error: {message}");
        session.fail();
    }
    session.finish()
}
