"""Structure of the Markdown pages: one table of contents for the guides, links that resolve."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
GUIDES = ["python", "typescript", "swift", "rust", "c"]
CONTENTS = [
    "Install",
    "Quick start",
    "Tools",
    "Resources",
    "Prompts and completion",
    "Context",
    "Elicitation and sampling",
    "Tasks",
    "Server authorization",
    "Deploying",
    "Client",
    "Client sign-in (OAuth)",
    "Tracing",
    "Errors",
]


def prose(page):
    """The text of a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def headings(page, level=r"#+"):
    return re.findall(rf"^{level} (.+)$", prose(page), re.MULTILINE)


def anchors(page):
    """Anchors of the headings, as GitHub derives them; a repeated one gets a number."""
    found = set()
    for heading in headings(page):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        unique, number = anchor, 0
        while unique in found:
            number += 1
            unique = f"{anchor}-{number}"
        found.add(unique)
    return found


@pytest.mark.parametrize("language", GUIDES)
def test_guides_share_one_table_of_contents(language):
    page = ROOT / "docs" / f"{language}.md"
    assert headings(page, "##") == CONTENTS
    listed = re.findall(r"\[([^\]]+)\]\(#[^)]+\)", prose(page).split("\n## ")[0])
    assert [entry.replace("\n", " ") for entry in listed] == CONTENTS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), target
