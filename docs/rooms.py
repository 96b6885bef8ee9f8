"""The rooms of the house, read from the code: a list with a line for each, and who imports whom.

python docs/rooms.py     # writes both into architecture.md; a test fails where that page is not up to date
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = "sb3_ddpg_custom"
#: folders with names of their own in imports
TOP = {PACKAGE: PACKAGE, "wrappers": f"{PACKAGE}.wrappers", "cli": f"{PACKAGE}.cli"}


def modules() -> Iterator[tuple[Path, str]]:
    """List the files and the names under which they are imported."""
    for folder, name in TOP.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            # Inside the core, links show wrappers/ and cli/ once more.
            if not (folder == PACKAGE and parts[0] in ("wrappers", "cli", "zoo_configs")):
                yield path, ".".join([name, *(part for part in parts if part != "__init__")])


def listing() -> str:
    """Write a line for each file: its name, and the first sentence of its docstring."""
    return "\n".join(f"{line}" for folder in TOP for line in [f"{folder}/", *_lines(ROOT / folder, 1)])


def _lines(folder: Path, depth: int) -> Iterator[str]:
    own = [path for path in sorted(folder.iterdir()) if not path.is_symlink()]
    indent = "    " * depth
    for path in own:
        if path.suffix == ".py" and path.name != "__init__.py":
            yield f"{indent}{path.name:<22}  {_first_sentence(path)}"
    for path in own:
        if (path / "__init__.py").exists():
            yield f"{indent}{path.name + '/':<22}  {_first_sentence(path / '__init__.py')}"
            yield from _lines(path, depth + 1)


def _first_sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return text.split("\n")[0].rstrip(".").replace("``", "")


def room_of(name: str) -> str:
    """Name the room of a module: the folder that it lies in, down to two levels.

    :param name: such as ``sb3_ddpg_custom.updates.by_hand.mlp``
    """
    parts = name.split(".")[1:]
    depth = 2 if parts[:1] == ["cli"] else 1
    folders = {".".join(other.split(".")[1:-1][:depth]) for _, other in modules()}
    while parts and ".".join(parts[:depth]) not in folders:
        parts.pop()
    return ".".join(parts[:depth]) or "core"


def arrows() -> list[tuple[str, str]]:
    """List which room imports which other one, when it is imported itself or later."""
    names = dict(modules())
    found = set()
    for path, name in names.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            targets = []
            if isinstance(node, ast.ImportFrom) and node.module:
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            for target in targets:
                if target.startswith(f"{PACKAGE}."):
                    found.add((room_of(name), room_of(target)))
    return sorted((a, b) for a, b in found if a != b)


def page() -> str:
    """Give the text of the page with both parts up to date."""
    text = PAGE.read_text("utf-8")
    graph = "\n".join(["graph TD", *(f"    {a} --> {b}" for a, b in arrows())])
    text = re.sub(r"(?s)(```mermaid\n).*?(\n```)", lambda m: m[1] + graph + m[2], text)
    return re.sub(r"(?s)(```text\n).*?(\n```)", lambda m: m[1] + listing() + m[2], text)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
