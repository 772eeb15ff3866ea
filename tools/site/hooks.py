"""Differences between the hosting site's Markdown and this renderer's, and pages for the files that pages link to."""

import os
import re
import subprocess
from fnmatch import fnmatch
from functools import cache
from pathlib import Path, PurePosixPath
from posixpath import join, normpath
from urllib.parse import unquote

import markdown.extensions.toc
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from mkdocs.structure.files import File
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^\s*(```+)(.*)$")
ITEM = re.compile(r"(?:[-*]|1\.) ")
LINK = re.compile(r"\]\(([^)#\s]+)")


def unique(name, known, _counts=None):
    """An anchor that is not taken yet, numbered as on the hosting site: `a`, `a-1`, `a-2`."""
    count, candidate = 0, name
    while candidate in known:
        count += 1
        candidate = f"{name}-{count}"
    known.add(candidate)
    return candidate


markdown.extensions.toc.unique = unique


@cache
def tracked():
    """The files of the repository, new ones included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return frozenset(file for file in listed.stdout.splitlines() if (ROOT / file).exists())


def target_of(page, link):
    """The path in the repository that a relative link of a page leads to."""
    return normpath(join(PurePosixPath(page).parent, unquote(link))).rstrip("/")


def shown_at(path):
    """The place of a file's page. The renderer leaves out names that begin with a dot."""
    return "/".join(["source", *(part.lstrip(".") for part in path.split("/"))])


def source_page(path):
    """The page that shows a file or lists a folder of the repository, which is no page itself; `None` if there is none."""
    if path in tracked() and not path.endswith(".md"):
        return f"{shown_at(path)}.md"
    if any(file.startswith(f"{path}/") for file in tracked()):
        readme = f"{path}/README.md"
        return readme if readme in tracked() else f"{shown_at(path)}/index.md"
    return None


def shown(path):
    """The Markdown that shows a file of the repository, or lists the files of a folder."""
    head = f"---\ntitle: {path}\nsearch:\n  exclude: true\nhide: [toc]\n---\n\n# {PurePosixPath(path).name}\n\n"
    if path not in tracked():
        files = sorted(file for file in tracked() if file.startswith(f"{path}/"))
        return head + f"Files of `{path}` in the repository:\n\n" + "".join(f"- `{file}`\n" for file in files)
    try:
        language = get_lexer_for_filename(path).aliases[0]
    except ClassNotFound:
        language = "text"
    text = (ROOT / path).read_text(errors="replace")
    fence = "`" * 12
    return head + f"`{path}` in the repository.\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"


class SourceLinks(Treeprocessor):
    """Leads links to files of the repository to the pages that show them."""

    page = ""

    def run(self, root):
        for element in root.iter("a"):
            link = element.get("href", "")
            if not link or link.startswith(("#", "/")) or "://" in link or link.startswith("mailto:"):
                continue
            if page := source_page(target_of(self.page, link.split("#")[0])):
                element.set("href", os.path.relpath(page, PurePosixPath(self.page).parent))


class SourceLinksExtension(Extension):
    """Registers `SourceLinks` after the inline patterns and before the check of links."""

    page = ""

    def extendMarkdown(self, md):  # noqa: N802
        processor = SourceLinks(md)
        processor.page = self.page
        md.treeprocessors.register(processor, "source_links", 5)


LINKS = SourceLinksExtension()


def entries(nav):
    """The paths that the navigation names."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [path for part in parts for path in entries(part)]


def expanded(nav, pages, named):
    """The navigation with its patterns replaced by the pages that they stand for."""
    if isinstance(nav, dict):
        return {title: expanded(part, pages, named) for title, part in nav.items()}
    if not isinstance(nav, list):
        return nav
    result = []
    for part in nav:
        if isinstance(part, str) and "*" in part:
            same_folder = (page for page in pages if page.count("/") == part.count("/"))
            result += [page for page in same_folder if fnmatch(page, part) and page not in named]
        else:
            result.append(expanded(part, pages, named))
    return result


def on_config(config):
    """Expands the navigation and adds the extension."""
    pages = sorted(file for file in tracked() if file.endswith(".md"))
    config.nav = expanded(config.nav, pages, set(entries(config.nav)))
    config.markdown_extensions.append(LINKS)
    return config


def on_files(files, config):
    """Adds a page for each file of the repository that a page links to."""
    wanted = {}
    for file in files.documentation_pages():
        for link in LINK.findall(file.content_string):
            path = target_of(file.src_uri, link)
            page = source_page(path) if "://" not in link else None
            if page and page.startswith("source/"):
                wanted[page] = path
    for page, path in sorted(wanted.items()):
        files.append(File.generated(config, page, content=shown(path)))
    return files


def on_page_markdown(text, page, config, files):
    """Rewrites the forms that only the hosting site's renderer takes."""
    LINKS.page = page.file.src_uri
    if page.is_homepage:
        # Beside the tabs its navigation would be one entry. A phone's drawer stays.
        page.meta["hide"] = ["navigation"]
    if page.file.src_uri.startswith("source/"):
        return text
    lines, fence = [], None
    for line in text.splitlines():
        if mark := FENCE.match(line):
            if fence is None:
                fence = mark[1]
                words = re.split(r"[\s,]+", mark[2].strip())
                named = next((word[5:] for word in words if word.startswith("file=")), None)
                line = mark[1] + words[0] + (f' title="{named}"' if named else "")
            elif mark[1].startswith(fence) and not mark[2].strip():
                fence = None
        elif fence is None:
            line = re.sub(r"^ {2,3}(?=(?:[-*]|\d+\.) )", "    ", line)
            before = lines[-1] if lines else ""
            if ITEM.match(line) and before and not re.match(r"\s|[-*] |\d+\. |#|<|\|", before):
                lines.append("")
        lines.append(line)
    return "\n".join(lines)
