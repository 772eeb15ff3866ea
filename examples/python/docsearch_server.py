"""Full-text search in a folder of texts, as an MCP server.

    python docsearch_server.py --http 8000 [--root DIR]
    python docsearch_server.py --stdio [--root DIR]

Tool `index(path)` reads the text files below a folder into SQLite FTS5, reporting progress; `search(query,
limit)` finds passages; `doc://{path}` is the text of an indexed file; prompt `summarise` asks for a summary.
Nothing outside the root (by default the repository this file is in) is ever read.
"""

import argparse
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Annotated, TypedDict

from trunnion import Context, Field, InvalidParamsError, ResourceNotFoundError, Server, ToolError

SKIPPED_FOLDERS = {".git", "target", "node_modules", "__pycache__", ".venv", "dist", ".build"}
LARGEST = 1 << 20
LINES_PER_PASSAGE = 12

server = Server("docsearch", "0.1.0", instructions="Call index once, then search; read doc://{path} for more.")


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

    def passages(self, path: Path) -> Iterator[tuple[str, int, str]]:
        """Path, first line and text of the passages of a file."""
        text = self.read(path)
        if text is None:
            return
        name = path.relative_to(self.root).as_posix()
        lines = text.splitlines()
        for start in range(0, len(lines), LINES_PER_PASSAGE):
            yield name, start + 1, "\n".join(lines[start : start + LINES_PER_PASSAGE])


library: Library


@server.tool
def index(ctx: Context, path: str = ".") -> Indexed:
    """Read the text files below a folder into the index, in place of what was known of them.

    Args:
        path: the folder, relative to the root or absolute; it must be inside the root
    """
    folder = library.locate(path)
    if folder is None or not folder.is_dir():
        raise ToolError(f"{path!r} is not a folder inside the root")
    files = library.texts(folder)
    count = 0
    # One transaction: a cancelled run leaves the index as it was.
    with library.lock, library.db as db:
        below = folder.relative_to(library.root).as_posix()
        if below == ".":
            db.execute("DELETE FROM passage")
        else:
            db.execute("DELETE FROM passage WHERE substr(path, 1, ?) = ?", (len(below) + 1, below + "/"))
        for done, file in enumerate(files, 1):
            ctx.raise_if_cancelled()
            rows = list(library.passages(file))
            db.executemany("INSERT INTO passage VALUES (?, ?, ?)", rows)
            count += len(rows)
            ctx.progress(done, len(files), file.relative_to(library.root).as_posix())
    return {"files": len(files), "passages": count}


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


def main() -> None:
    global library
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--stdio", action="store_true")
    how.add_argument("--http", type=int, metavar="PORT")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--db", default=":memory:", help="SQLite file of the index")
    arguments = parser.parse_args()
    library = Library(arguments.root, arguments.db)
    if arguments.stdio:
        server.run()
    else:
        server.run("http", port=arguments.http)


if __name__ == "__main__":
    main()
