"""Writes the pages of the Swift reference from a symbol graph: swift_api.py GRAPH OUT.

One page for each type, with its members in the order of the source, and an index. DocC would need its own
compiler, which the toolchain that `tools/swift-toolchain.sh` unpacks does not have.
"""

import json
import sys
from pathlib import Path

WIDTH = 90
KINDS = {
    "class": "Classes",
    "actor": "Actors",
    "struct": "Structures",
    "enum": "Enumerations",
    "protocol": "Protocols",
    "typealias": "Type aliases",
    "func": "Functions",
    "var": "Variables",
    "macro": "Macros",
}
MEMBERS = {
    "init": "Initializers",
    "case": "Cases",
    "enum.case": "Cases",
    "property": "Properties",
    "type.property": "Type properties",
    "method": "Methods",
    "type.method": "Type methods",
    "subscript": "Subscripts",
    "typealias": "Type aliases",
    "associatedtype": "Associated types",
}


def kind(symbol):
    return symbol["kind"]["identifier"].removeprefix("swift.")


def place(symbol):
    at = symbol.get("location", {"uri": "", "position": {"line": 0}})
    return at["uri"], at["position"]["line"]


def declaration(symbol):
    """The declaration; a long one has a line for each parameter."""
    text = "".join(fragment["spelling"] for fragment in symbol["declarationFragments"])
    if len(text) <= WIDTH:
        return text
    lines, depth = [""], 0
    for at, character in enumerate(text):
        closes = character in ")]>" and text[at - 1] != "-"
        if closes:
            depth -= 1
            if depth == 0 and character == ")" and len(lines) > 1 and not lines[-1].startswith(")"):
                lines.append("")
        lines[-1] += character
        if character in "([<":
            depth += 1
            if depth == 1 and character == "(" and len(lines) == 1:
                lines.append("    ")
        elif character == "," and depth == 1 and len(lines) > 1:
            lines.append("   ")
    return "\n".join(lines)


def comment(symbol):
    return "\n".join(line["text"] for line in symbol.get("docComment", {"lines": []})["lines"]).strip()


def summary(symbol):
    paragraph = " ".join(comment(symbol).split("\n\n")[0].split())
    return paragraph.replace("|", "\\|")


def described(symbol):
    return f"```swift\n{declaration(symbol)}\n```\n\n{comment(symbol)}\n"


def documented(symbol, module_files):
    """Leaves out what the compiler derives: `==`, `hash(into:)` and the like are not in the sources."""
    return symbol["accessLevel"] in ("public", "open") and place(symbol)[0] in module_files


def page(symbol, members, nested):
    # A search finds the guides first.
    text = "---\nsearch:\n  boost: 0.5\n---\n\n"
    text += f"# {'.'.join(symbol['pathComponents'])}\n\n{described(symbol)}\n"
    if nested:
        names = (".".join(each["pathComponents"]) for each in nested)
        text += "Nested types: " + ", ".join(f"[`{name}`]({name}.md)" for name in names) + "\n\n"
    for title in dict.fromkeys(MEMBERS.values()):
        group = [each for each in members if MEMBERS.get(kind(each)) == title]
        if group:
            text += f"## {title}\n\n"
            text += "".join(f"### `{each['pathComponents'][-1]}`\n\n{described(each)}\n" for each in group)
    return text


def main(graph, out):
    graph = json.loads(Path(graph).read_text())
    files = {place(symbol)[0] for symbol in graph["symbols"]} - {""}
    symbols = sorted((s for s in graph["symbols"] if documented(s, files)), key=place)
    types = [s for s in symbols if kind(s) in KINDS and kind(s) not in MEMBERS or len(s["pathComponents"]) == 1]
    assert types, "no public symbols in the graph"
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for each in types:
        path = each["pathComponents"]
        inside = [s for s in symbols if s["pathComponents"][:-1] == path]
        nested = [s for s in inside if s in types]
        members = [s for s in inside if s not in types]
        (out / f"{'.'.join(path)}.md").write_text(page(each, members, nested))
    index = "# Swift\n\nThe public types of the module `Trunnion`. The [guide](../../docs/swift.md) explains their use.\n"
    for identifier, title in KINDS.items():
        group = sorted((s for s in types if kind(s) == identifier), key=lambda s: s["pathComponents"])
        if group:
            index += f"\n## {title}\n\n| name | description |\n| --- | --- |\n"
            names = ((".".join(s["pathComponents"]), summary(s)) for s in group)
            index += "".join(f"| [`{name}`]({name}.md) | {text} |\n" for name, text in names)
    (out / "index.md").write_text(index)


main(*sys.argv[1:])
