//! `cargo xtask docs`: the documentation site. Its pages are those of the repository, with the API references of five
//! languages beside them; a broken link is an error.

mod links;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::lint::files::tracked;
use crate::process::{cmd, copy_if_newer, read, write};
use crate::session::{Log, Session, root, target};
use crate::setup::{self, DocsTools};

/// The configuration, the renderer's hooks and the scripts.
const SOURCES: &str = "tools/site";
/// The address of `--serve`, unless a port is given.
const PORT: &str = "8000";

/// `cargo xtask docs`.
pub fn run(session: &mut Session, args: &mut Args) -> Result<(), String> {
    let serve = args.flag("--serve");
    let pages_only = args.flag("--pages");
    let port = args.option("--port")?.unwrap_or_else(|| PORT.into());
    args.done()?;
    let Some(tools) = build(session, pages_only) else { return Ok(()) };
    if serve {
        return show(&tools, &port);
    }
    Ok(())
}

/// Builds and checks the site, or only its pages beside the references of an earlier run; the tools, if it was built.
fn build(session: &Session, pages_only: bool) -> Option<DocsTools> {
    let tools = setup::docs_tools(session)?;
    let api = work().join("api");
    let references = pages_only
        || session.step("rust reference", |log| rust(log, &api.join("rust")))
            && session.step("python reference", |log| python(log, &tools, &api.join("python")))
            && session.step("typescript reference", |log| typescript(log, &tools, &api.join("typescript")))
            && session.step("swift reference", |log| swift(log, &tools, &api.join("swift")))
            && session.step("c reference", |log| c(log, &api.join("c")));
    let built = references
        && session.step("pages of the repository", |_| stage(&api, &work().join("pages")))
        && session.step("site", |log| mkdocs(&tools, &["build", "--strict"]).run(log))
        && session.step("links of the site", |log| links::lead_somewhere(log, &site()));
    if !built {
        return None;
    }
    match &tools.browser {
        Some(browser) => {
            session.step("site in a browser", |log| browse(log, browser));
        }
        None => session.skip("site in a browser", "no chromium found (on Debian: apt-get install chromium)"),
    }
    Some(tools)
}

fn work() -> PathBuf {
    target().join("docs")
}

fn site() -> PathBuf {
    work().join("site")
}

/// Links to the references and to the Markdown files of the repository, at their paths, so that their links to each other
/// hold.
fn stage(api: &Path, pages: &Path) -> Result<(), String> {
    empty(pages)?;
    let listed = tracked()?;
    let shown = listed.iter().filter(|file| file.ends_with(".md"));
    for file in shown.filter(|file| !file.starts_with(".github/") && !file.starts_with(SOURCES)) {
        link(&root().join(file), &pages.join(file))?;
    }
    for reference in ["rust", "python", "typescript", "swift", "c"] {
        let made = api.join(reference);
        if !made.exists() {
            return Err(format!("{} is missing: run without --pages first", made.display()));
        }
        link(&made, &pages.join("api").join(reference))?;
    }
    let sources = root().join(SOURCES);
    link(&sources.join("api.md.in"), &pages.join("api/index.md"))?;
    link(&sources.join("site.css"), &pages.join("api/site.css"))
}

/// A new and empty folder.
fn empty(folder: &Path) -> Result<(), String> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}

fn link(to: &Path, at: &Path) -> Result<(), String> {
    let parent = at.parent().expect("a page lies in a folder");
    std::fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    symlink(to, at).map_err(|e| format!("{}: {e}", at.display()))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The public crate, with the features of the workspace, so that nothing is compiled twice.
fn rust(log: &Log, out: &Path) -> Result<(), String> {
    // Rustdoc adds to the folder, so crates of earlier runs would appear beside this one.
    let made = target().join("doc");
    empty(&made)?;
    let words = [
        "doc",
        "--quiet",
        "--locked",
        "--no-deps",
        "--all-features",
        "--package",
        "trunnion",
        "--package",
        "workspace-hack",
    ];
    setup::cargo(&words).env("RUSTDOCFLAGS", "-D warnings").run(log)?;
    // The crate's page is one folder below, and rustdoc's own pages link to this one.
    let first = "<!DOCTYPE html><title>trunnion</title><meta http-equiv=\"refresh\" content=\"0; url=trunnion/index.html\">";
    write(&made.join("index.html"), first)?;
    let _ = std::fs::remove_file(out);
    std::fs::create_dir_all(work().join("api")).map_err(|e| format!("{}: {e}", out.display()))?;
    link(&made, out)
}

fn python(log: &Log, tools: &DocsTools, out: &Path) -> Result<(), String> {
    let (script, sources) = (root().join(SOURCES).join("python_api.py"), root().join("python/src"));
    empty(out)?;
    cmd(&text(&tools.python), [&text(&script), &text(&sources), &text(out)]).run(log)
}

fn typescript(log: &Log, tools: &DocsTools, out: &Path) -> Result<(), String> {
    let package = root().join("node");
    let config = serde_json::json!({
        "extends": package.join("tsconfig.json"),
        "compilerOptions": { "typeRoots": [tools.modules.join("@types")] },
        "include": [package.join("src")],
    });
    let project = work().join("tsconfig.json");
    write(&project, &config.to_string())?;
    let typedoc = text(&tools.modules.join("typedoc/bin/typedoc"));
    let options = text(&root().join(SOURCES).join("typedoc.json"));
    let words = [&typedoc, "--options", &options, "--tsconfig", &text(&project), "--out", &text(out)];
    cmd("node", words.into_iter().chain(["--entryPoints", "node/src/index.ts"])).run(log)
}

/// From the symbol graph that the compiler writes: the toolchain that we unpack has no DocC. Only the module is compiled,
/// so the engine is not needed.
fn swift(log: &Log, tools: &DocsTools, out: &Path) -> Result<(), String> {
    cmd("tools/swift-toolchain.sh", ["install"]).run(log)?;
    let (scratch, graphs) = (work().join("swift"), work().join("symbols"));
    std::fs::create_dir_all(&graphs).map_err(|e| format!("{}: {e}", graphs.display()))?;
    let graph = graphs.join("Trunnion.symbols.json");
    if !graph.exists() {
        // The compiler writes the graph only if it has something to compile.
        let _ = std::fs::remove_dir_all(&scratch);
    }
    let (scratch, folder) = (text(&scratch), text(&graphs));
    let build = ["run", "swift", "build", "--scratch-path", &scratch, "--target", "Trunnion"];
    let emit = ["-emit-symbol-graph", "-emit-symbol-graph-dir", &folder];
    let emit = emit.into_iter().flat_map(|word| ["-Xswiftc", word]);
    cmd("tools/swift-toolchain.sh", build.into_iter().chain(emit)).run(log)?;
    empty(out)?;
    let script = root().join(SOURCES).join("swift_api.py");
    cmd(&text(&tools.python), [&text(&script), &text(&graph), &text(out)]).run(log)
}

fn c(log: &Log, out: &Path) -> Result<(), String> {
    empty(out)?;
    let sources = root().join(SOURCES);
    let own = read(&sources.join("Doxyfile"))?;
    let config = format!(
        "{own}INPUT = \"{}\"\nOUTPUT_DIRECTORY = \"{}\"\nHTML_EXTRA_STYLESHEET = \"{}\"\n",
        root().join("bindings/c/include").display(),
        out.display(),
        sources.join("c_api.css").display()
    );
    let file = work().join("Doxyfile");
    write(&file, &config)?;
    cmd("doxygen", [&file]).run(log)
}

fn mkdocs(tools: &DocsTools, words: &[&str]) -> crate::process::Cmd {
    let config = text(&root().join(SOURCES).join("mkdocs.yml"));
    cmd(&text(&tools.python), ["-m", "mkdocs"].iter().chain(words).chain(&["--config-file", &config]))
        .env("TRUNNION_SITE_PAGES", work().join("pages"))
        .env("TRUNNION_SITE_OUT", site())
        .env("NO_MKDOCS_2_WARNING", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
}

/// Opens every page in a browser; the screenshots are in `target/docs/screenshots`.
fn browse(log: &Log, browser: &Path) -> Result<(), String> {
    // Node searches packages from a module's own folder upwards, so the script must lie beside these.
    let script = work().join("browse.mjs");
    copy_if_newer(&root().join(SOURCES).join("browse.mjs"), &script)?;
    let shots = work().join("screenshots");
    empty(&shots)?;
    cmd("node", [&script, &site(), &shots, &browser.to_path_buf()]).run(log)
}

/// Serves the pages until it is interrupted, and renders them again when one changes. The references stay as they are.
fn show(tools: &DocsTools, port: &str) -> Result<(), String> {
    mkdocs(tools, &["serve", "--dev-addr", &format!("127.0.0.1:{port}")]).show()
}
