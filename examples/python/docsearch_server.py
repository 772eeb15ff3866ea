"""Full-text search in a folder of texts, as an MCP server.

    python docsearch_server.py --http 8000 [--root DIR] [--db FILE --store FILE]
    python docsearch_server.py --stdio [--root DIR] [--db FILE --store FILE]

Tool `index(path)` reads the text files below a folder into SQLite FTS5, reporting progress; clients can have it as a task,
which goes on when the process has died and another one is there, if index and tasks are in files. `search(query, limit)`
finds passages; `doc://{path}` is the text of an indexed file; prompt `summarise` asks for a summary.
Nothing outside the root (by default the repository this file is in) is ever read.
"""

import argparse
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Annotated, TypedDict

from trunnion import Context, Field, InvalidParamsError, ResourceNotFoundError, Server, ToolError

SKIPPED_FOLDERS = {".git", "target", "node_modules", "__pycache__", ".venv", "dist", ".build"}
LARGEST = 1 << 20
LINES_PER_PASSAGE = 12
FILES_PER_BATCH = 20


class Hit(TypedDict):
    """One passage that fits."""

    path: str
    line: int
    snippet: str


class Hits(TypedDict):
    hits: list[Hit]


class Indexed(TypedDict):
    files: int
    passages: int


class Library:
    """The root folder and the index of what is below it. Any thread may use it."""

    def __init__(self, root: Path, database: str = ":memory:") -> None:
        self.root = root.resolve()
        self.lock = Lock()
        self.db = sqlite3.connect(database, check_same_thread=False)
        self.db.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS passage USING fts5(path UNINDEXED, line UNINDEXED, text)"
        )

    def locate(self, path: str) -> Path | None:
        """The file or folder of a path inside the root; None if it leads outside."""
        try:
            found = (self.root / path).resolve()
        except (OSError, ValueError):
            return None
        return found if found == self.root or self.root in found.parents else None

    def texts(self, folder: Path) -> list[Path]:
        """The files to read, sorted."""
        found = []
        for where, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
            found += [Path(where, name) for name in names]
        return sorted(path for path in found if not path.is_symlink() and path.is_file())

    def read(self, path: Path) -> str | None:
        """The text of a file; None if it is too large or is not text."""
        if path.stat().st_size > LARGEST:
            return None
        data = path.read_bytes()
        if b"\0" in data:
            return None
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return None

    def name(self, path: Path) -> str:
        """The path of a file relative to the root."""
        return path.relative_to(self.root).as_posix()

    def passages(self, path: Path) -> list[tuple[str, int, str]]:
        """Path, first line and text of the passages of a file."""
        lines = (self.read(path) or "").splitlines()
        starts = range(0, len(lines), LINES_PER_PASSAGE)
        return [(self.name(path), start + 1, "\n".join(lines[start : start + LINES_PER_PASSAGE])) for start in starts]

    def forget(self, folder: Path) -> None:
        """Drop what is known of the files below a folder."""
        below = "" if folder == self.root else self.name(folder) + "/"
        with self.lock, self.db as db:
            db.execute("DELETE FROM passage WHERE substr(path, 1, ?) = ?", (len(below), below))

    def replace(self, files: Iterable[Path], rows: Iterable[tuple[str, int, str]]) -> None:
        """Put passages in place of what is known of some files, all of it or nothing."""
        names = [self.name(file) for file in files]
        with self.lock, self.db as db:
            db.execute(f"DELETE FROM passage WHERE path IN ({','.join('?' * len(names))})", names)
            db.executemany("INSERT INTO passage VALUES (?, ?, ?)", rows)


def make_server(library: Library, store: str | None, lease: float) -> Server:
    """The server of a library. `store`: where its tasks are; `lease`: seconds after which those of a dead process go on."""
    server = Server(
        "docsearch",
        "0.1.0",
        instructions="Call index once, then search; read doc://{path} for more.",
        store=store,
        task_lease=lease,
        task_poll=0.1,
    )

    @server.tool(task="optional", resumable=True, task_concurrency=1)
    def index(ctx: Context, path: str = ".") -> Indexed:
        """Read the text files below a folder into the index, in place of what was known of them.

        Args:
            path: the folder, relative to the root or absolute; it must be inside the root
        """
        folder = library.locate(path)
        if folder is None or not folder.is_dir():
            raise ToolError(f"{path!r} is not a folder inside the root")
        # The position of an earlier run: a batch that it wrote without a checkpoint is written again.
        done = ctx.last_checkpoint or {"file": None, "files": 0, "passages": 0}
        files = [file for file in library.texts(folder) if done["file"] is None or file > library.root / done["file"]]
        total = done["files"] + len(files)
        if done["file"] is None:
            library.forget(folder)
        for start in range(0, len(files), FILES_PER_BATCH):
            batch, rows = files[start : start + FILES_PER_BATCH], []
            for number, file in enumerate(batch, done["files"] + 1):
                ctx.raise_if_cancelled()
                rows += library.passages(file)
                # As a task's status it is the text alone.
                ctx.progress(number, total, f"{number} of {total}: {library.name(file)}")
            library.replace(batch, rows)
            done = {
                "file": library.name(batch[-1]),
                "files": done["files"] + len(batch),
                "passages": done["passages"] + len(rows),
            }
            ctx.checkpoint(done)
        return {"files": done["files"], "passages": done["passages"]}

    @server.tool
    def search(
        query: Annotated[str, Field("words that must all occur", min_length=1)],
        limit: Annotated[int, Field("how many passages at most", ge=1, le=50)] = 5,
    ) -> Hits:
        """Find the passages that fit best."""
        words = " ".join('"' + word.replace('"', '""') + '"' for word in query.split())
        with library.lock:
            rows = library.db.execute(
                "SELECT path, line, snippet(passage, 2, '[', ']', ' … ', 16) FROM passage"
                " WHERE passage MATCH ? ORDER BY rank, path, line LIMIT ?",
                (words, limit),
            ).fetchall()
        return {"hits": [{"path": path, "line": line, "snippet": snippet} for path, line, snippet in rows]}

    @server.resource("doc://{+path}", name="doc", mime_type="text/plain")
    def doc(path: str, uri: str) -> str:
        """The text of a file inside the root."""
        file = library.locate(path)
        if file is None:
            raise InvalidParamsError("the path leads outside the root", {"uri": uri})
        text = library.read(file) if file.is_file() else None
        if text is None:
            raise ResourceNotFoundError("there is no such text", {"uri": uri})
        return text

    @server.prompt
    def summarise(path: str) -> str:
        """Ask for a summary of one text.

        Args:
            path: the file, relative to the root
        """
        file = library.locate(path)
        text = library.read(file) if file is not None and file.is_file() else None
        if text is None:
            raise InvalidParamsError(f"there is no text {path!r}")
        return f"Summarise the following text, {path}, in five sentences.\n\n{text}"

    return server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--stdio", action="store_true")
    how.add_argument("--http", type=int, metavar="PORT")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--db", default=":memory:", help="SQLite file of the index")
    parser.add_argument("--store", help="where tasks are kept: a SQLite file, or the URL of a database")
    parser.add_argument("--lease", type=float, default=30, help="seconds until the tasks of a process that died go on")
    arguments = parser.parse_args()
    if arguments.store and arguments.db == ":memory:":
        parser.error("tasks that outlive the process need an index that does: give --db too")
    server = make_server(Library(arguments.root, arguments.db), arguments.store, arguments.lease)
    if arguments.stdio:
        server.run()
    else:
        server.run("http", port=arguments.http)


if __name__ == "__main__":
    main()
