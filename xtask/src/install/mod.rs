//! `cargo xtask test install`: the packages, installed as users install them, outside the source tree and
//! without Rust.

mod bad;
mod languages;
mod report;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::dist;
use crate::process::{Cmd, cmd, read, write};
use crate::session::{Log, Session, Work, root};
use crate::setup;

/// The steps. Packages are made first, as the tests are built, unless a folder of finished ones is named.
pub fn steps(session: &Session, packages: Option<&Path>, readme: bool) -> Result<(), String> {
    let packages = match packages {
        Some(folder) => folder.to_owned(),
        None => dist::for_tests(session, "dev")?,
    };
    let scratch = std::env::temp_dir().join(format!("trunnion-install-{}", std::process::id()));
    dist::empty(&scratch)?;
    let place =
        Place { packages, scratch: scratch.clone(), version: dist::version()?, times: Mutex::default() };
    let pythons = languages::pythons(session);
    let work = pythons.iter().map(|(name, python)| -> Work<'_> {
        let place = &place;
        (format!("install: {name}"), Box::new(move |log| languages::python(log, place, python, name)))
    });
    session.parallel(work.collect());
    if let Some(nodes) = setup::nodes(session) {
        match Registry::start(&place) {
            Ok(registry) => {
                for node in &nodes {
                    let name = node.name.clone();
                    session.step(&format!("install: {name}"), |log| {
                        languages::node(log, &place, node, &registry.url)
                    });
                }
                if let Some(node) = nodes.first() {
                    session.step("install: incomplete npm trees", |log| {
                        bad::npm_trees(log, &place, node, &registry.url)
                    });
                }
            }
            Err(why) => return Err(format!("npm registry of the packages: {why}")),
        }
    }
    if cfg!(target_os = "linux") {
        session.step("install: C by CMake and pkg-config", |log| languages::c(log, &place));
        session.step("install: C from Debian's packages", |log| languages::debian(log, &place));
        session.step("install: mismatched C libraries", |log| bad::c(log, &place));
        if setup::has_swift() {
            session.step("install: Swift package", |log| languages::swift(log, &place));
        } else {
            println!("note: no Swift toolchain here, so the Swift package is not installed");
        }
    }
    if readme {
        let times = place.times.lock().expect("no step panics with the lock");
        let (file, table) = (root().join("README.md"), report::table(&place, &times)?);
        write(&file, &report::replace(&read(&file)?, &table)?)?;
    }
    std::fs::remove_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))
}

/// The folders of the packages and of their installation.
pub struct Place {
    /// The folder of the packages.
    pub packages: PathBuf,
    /// A folder outside the source tree, for one run.
    pub scratch: PathBuf,
    /// The version of the packages.
    pub version: String,
    /// Installation times, in seconds, by kind of package.
    times: Mutex<Vec<(&'static str, f64)>>,
}

impl Place {
    /// Note how long installing took.
    pub fn took(&self, kind: &'static str, name: &str, time: Duration) {
        println!("note: {name}: installed in {:.1} s", time.as_secs_f64());
        self.times.lock().expect("no step panics with the lock").push((kind, time.as_secs_f64()));
    }

    /// An empty folder.
    pub fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.scratch.join(name);
        dist::empty(&folder)?;
        Ok(folder)
    }

    /// The package whose file name begins and ends like this.
    pub fn package(&self, begin: &str, end: &str) -> Result<PathBuf, String> {
        let entries =
            std::fs::read_dir(&self.packages).map_err(|e| format!("{}: {e}", self.packages.display()))?;
        let mut found: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(begin) && name.ends_with(end)
            })
            .collect();
        found.sort();
        found.pop().ok_or_else(|| format!("no {begin}…{end} in {}", self.packages.display()))
    }

    /// Unpack an archive of this platform, such as that of C; the folder in it.
    pub fn unpack(&self, log: &Log, kind: &str, to: &Path) -> Result<PathBuf, String> {
        let name = format!("trunnion-{kind}-{}-{}", self.version, dist::target::Target::host()?.triple);
        let archive = self.package(&name, ".tar.gz")?;
        cmd("tar", ["-xzf".as_ref(), archive.as_os_str(), "-C".as_ref(), to.as_os_str()]).run(log)?;
        Ok(to.join(name))
    }
}

/// A program that finds no Rust, and nothing of the source tree by way of variables.
pub fn user<S: AsRef<std::ffi::OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Cmd {
    let mut command = cmd(program, args).env("PATH", path_without_rust());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours = text.starts_with("CARGO") || text.starts_with("RUST") || text.starts_with("TRUNNION_");
        if ours
            || ["PYTHONPATH", "NODE_PATH", "LIBRARY_PATH", "LD_LIBRARY_PATH", "PKG_CONFIG_PATH"]
                .contains(&&*text)
        {
            command = command.without(&name);
        }
    }
    command
}

/// PATH without the folders of rustup and cargo.
pub fn path_without_rust() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let kept = std::env::split_paths(&path)
        .filter(|folder| !folder.join("cargo").exists() || folder.join("sh").exists());
    std::env::join_paths(kept).unwrap_or_default()
}

/// A program of tests/install, copied out of the source tree.
pub fn copied(name: &str, to: &Path) -> Result<PathBuf, String> {
    let file = to.join(Path::new(name).file_name().unwrap_or_default());
    dist::put(&root().join("tests/install").join(name), &file)?;
    Ok(file)
}

/// A program printed these lines, as part of its output.
pub fn expect(output: &str, lines: &[&str]) -> Result<(), String> {
    match lines.iter().find(|line| !output.lines().any(|seen| seen.trim() == **line)) {
        None => Ok(()),
        Some(missing) => Err(format!("the program did not print {missing:?}, but:\n{output}")),
    }
}

/// The packages as npm finds them.
struct Registry {
    url: String,
    _process: crate::process::Group,
}

impl Registry {
    fn start(place: &Place) -> Result<Self, String> {
        use std::io::BufRead;
        let script = root().join("tests/install/registry.mjs");
        let mut process = cmd("node", [script.as_os_str(), place.packages.as_os_str()]).conversation()?;
        let output = process.0.stdout.take().ok_or("no output")?;
        let mut url = String::new();
        std::io::BufReader::new(output).read_line(&mut url).map_err(|e| e.to_string())?;
        if url.trim().is_empty() {
            return Err("it ended at once".into());
        }
        Ok(Self { url: url.trim().to_owned(), _process: process })
    }
}
