//! Full-text search in a folder of texts, as an MCP server.
//!
//! ```sh
//! docsearch_server --http 8000 [--root DIR] [--db FILE]
//! docsearch_server --stdio [--root DIR] [--db FILE]
//! ```
//!
//! Tool `index(path)` reads the text files below a folder into SQLite FTS5, reporting progress; `search(query, limit)`
//! finds passages; `doc://{path}` is the text of an indexed file; prompt `summarise` asks for a summary. Nothing outside
//! the root (by default the working directory) is ever read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use trunnion::Error;
use trunnion::server::{Args, Context, Json, Prompt, ResourceTemplate, Server, State, Tool, ToolError, Uri};

const SKIPPED_FOLDERS: [&str; 7] =
    [".git", "target", "node_modules", "__pycache__", ".venv", "dist", ".build"];
const LARGEST: u64 = 1 << 20;
const LINES_PER_PASSAGE: usize = 12;

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Index {
    /// the folder, relative to the root or absolute; it must be inside the root
    path: String,
}

impl Default for Index {
    fn default() -> Self {
        Index { path: ".".into() }
    }
}

#[derive(Serialize, JsonSchema)]
struct Indexed {
    files: usize,
    passages: usize,
}

#[derive(Deserialize, JsonSchema)]
struct Search {
    /// words that must all occur
    #[schemars(length(min = 1))]
    query: String,
    /// how many passages at most
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 50))]
    limit: u32,
}

fn five() -> u32 {
    5
}

/// One passage that fits.
#[derive(Serialize, JsonSchema)]
struct Hit {
    path: String,
    line: u32,
    snippet: String,
}

#[derive(Serialize, JsonSchema)]
struct Hits {
    hits: Vec<Hit>,
}

/// The root folder and the index of what is below it.
struct Library {
    root: PathBuf,
    database: Mutex<Connection>,
}

impl Library {
    fn open(root: &Path, database: &str) -> Result<Library, Box<dyn std::error::Error>> {
        let database = Connection::open(database)?;
        database.execute_batch(
            "CREATE VIRTUAL TABLE IF NOT EXISTS passage USING fts5(path UNINDEXED, line UNINDEXED, text)",
        )?;
        Ok(Library { root: root.canonicalize()?, database: Mutex::new(database) })
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        // A transaction that broke off was rolled back, so there is nothing half done.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file or folder of a path inside the root; `None` if there is none, or it leads outside.
    fn locate(&self, path: &str) -> Option<PathBuf> {
        self.root.join(path).canonicalize().ok().filter(|found| found.starts_with(&self.root))
    }

    /// The text of a file of the root; `None` if there is none, it is too large, or is not text.
    fn text(&self, path: &str) -> Option<String> {
        self.locate(path).and_then(|file| text(&file))
    }

    fn name<'a>(&self, file: &'a Path) -> std::borrow::Cow<'a, str> {
        file.strip_prefix(&self.root).unwrap_or(file).to_string_lossy()
    }
}

fn text(file: &Path) -> Option<String> {
    if !file.is_file() || file.metadata().ok()?.len() > LARGEST {
        return None;
    }
    String::from_utf8(std::fs::read(file).ok()?).ok().filter(|text| !text.contains('\0'))
}

/// The files below a folder, without links and the skipped folders.
fn files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_file() {
            found.push(entry.path());
        } else if kind.is_dir() && !SKIPPED_FOLDERS.iter().any(|skipped| entry.file_name() == *skipped) {
            files(&entry.path(), found)?;
        }
    }
    Ok(())
}

fn index(
    Args(Index { path }): Args<Index>,
    library: State<Library>,
    context: Context,
) -> Result<Json<Indexed>, ToolError> {
    let folder = library.locate(&path).filter(|folder| folder.is_dir());
    let folder = folder.ok_or_else(|| ToolError::new(format!("{path:?} is not a folder inside the root")))?;
    let mut found = Vec::new();
    files(&folder, &mut found)?;
    found.sort();
    let mut database = library.database();
    // One transaction: a cancelled run leaves the index as it was.
    let transaction = database.transaction()?;
    let below = match &*library.name(&folder) {
        "" => String::new(),
        name => format!("{name}/"),
    };
    let forget = "DELETE FROM passage WHERE substr(path, 1, length(?1)) = ?1";
    transaction.execute(forget, params![below])?;
    let mut passages = 0;
    for (done, file) in (1_u32..).zip(&found) {
        if context.is_cancelled() {
            return Err(ToolError::new("cancelled"));
        }
        let name = library.name(file);
        let mut insert = transaction.prepare_cached("INSERT INTO passage VALUES (?, ?, ?)")?;
        let lines = text(file).unwrap_or_default();
        let lines: Vec<&str> = lines.lines().collect();
        for (number, passage) in lines.chunks(LINES_PER_PASSAGE).enumerate() {
            insert.execute(params![name, number * LINES_PER_PASSAGE + 1, passage.join("\n")])?;
            passages += 1;
        }
        context.progress(done.into(), Some(found.len() as f64), Some(&name));
    }
    transaction.commit()?;
    Ok(Json(Indexed { files: found.len(), passages }))
}

fn search(
    Args(Search { query, limit }): Args<Search>,
    library: State<Library>,
) -> Result<Json<Hits>, ToolError> {
    let words: Vec<String> =
        query.split_whitespace().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
    let database = library.database();
    let mut select = database.prepare_cached(
        "SELECT path, line, snippet(passage, 2, '[', ']', ' … ', 16) FROM passage
         WHERE passage MATCH ? ORDER BY rank, path, line LIMIT ?",
    )?;
    let hits = select.query_map(params![words.join(" "), limit], |row| {
        Ok(Hit { path: row.get(0)?, line: row.get(1)?, snippet: row.get(2)? })
    })?;
    Ok(Json(Hits { hits: hits.collect::<Result<_, _>>()? }))
}

#[derive(Deserialize, JsonSchema)]
struct Document {
    /// the file, relative to the root
    path: String,
}

fn doc(
    Args(Document { path }): Args<Document>,
    Uri(uri): Uri,
    library: State<Library>,
) -> Result<String, Error> {
    library.text(&path).ok_or_else(|| Error::resource_not_found(&uri))
}

fn summarise(Args(Document { path }): Args<Document>, library: State<Library>) -> Result<String, Error> {
    let text = library.text(&path);
    let text = text.ok_or_else(|| Error::invalid_params(format!("there is no text {path:?}")))?;
    Ok(format!("Summarise the following text, {path}, in five sentences.\n\n{text}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut root, mut database, mut how) = (PathBuf::from("."), ":memory:".to_owned(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--root" => root = value()?.into(),
            "--db" => database = value()?,
            _ => how.push(argument),
        }
    }
    let server = Server::builder("docsearch", "0.1.0")
        .instructions("Call index once, then search; read doc://{path} for more.")
        .state(Library::open(&root, &database)?)
        .tool(Tool::blocking("index", index).description(
            "Read the text files below a folder into the index, in place of what was known of them.",
        ))
        .tool(Tool::blocking("search", search).description("Find the passages that fit best."))
        .resource_template(
            ResourceTemplate::blocking("doc://{+path}", doc)
                .name("doc")
                .description("The text of a file inside the root.")
                .mime_type("text/plain"),
        )
        .prompt(Prompt::blocking("summarise", summarise).description("Ask for a summary of one text."))
        .build()?;
    Ok(trunnion_examples::serve(&server, &how).await?)
}
