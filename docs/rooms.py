"""The rooms of the house, read from the code: a list with a line for each, and a picture of who imports whom.

python docs/rooms.py     # writes architecture.md's list and rooms.svg; a test fails where they are not up to date
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "rooms.svg"
PACKAGE = "sb3_ddpg_custom"
#: files beside the folders that use them; the others there are what the folders share
ABOVE = {"ddpg": "DDPG", "zoo": "zoo", "yaml_values": "zoo", "cli.app": "ddpg", "cli.__main__": "ddpg"}
#: folders with names of their own in imports
TOP = {PACKAGE: PACKAGE, "wrappers": f"{PACKAGE}.wrappers", "cli": f"{PACKAGE}.cli"}


@cache
def modules() -> tuple[tuple[Path, str], ...]:
    """List the files and the names under which they are imported."""
    return tuple(_modules())


def _modules() -> Iterator[tuple[Path, str]]:
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
    for file, room in ABOVE.items():
        if parts[: file.count(".") + 1] == file.split("."):
            return room
    depth = 2 if parts[:1] == ["cli"] else 1
    folders = {".".join(other.split(".")[1:-1][:depth]) for _, other in modules()}
    while parts and ".".join(parts[:depth]) not in folders:
        parts.pop()
    return {"": "shared", "cli": "cli.shared"}.get(".".join(parts[:depth]), ".".join(parts[:depth]))


def arrows() -> list[tuple[str, str]]:
    """List which room imports which other one, when it is imported itself or later."""
    names = dict(modules())
    found = set()
    for path, name in names.items():
        if name == PACKAGE:
            continue  # it imports what is asked of it, when it is asked
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


def picture() -> str:
    """Draw the rooms as SVG, each above those that it imports; arrows that follow from others are left out."""
    needs: dict[str, set[str]] = {}
    for room, other in arrows():
        needs.setdefault(room, set()).add(other)
        needs.setdefault(other, set())
    reach = {room: _reachable(room, needs) for room in needs}
    drawn = [(a, b) for a in needs for b in needs[a] if not any(b in reach[c] for c in needs[a] - {b})]
    depth = {room: _height(room, needs) for room in needs}
    rows = [sorted(room for room in needs if depth[room] == row) for row in range(max(depth.values()), -1, -1)]
    place = {
        room: (_WIDTH * (column + 0.5) / len(row), _ROW * (index + 0.5))
        for index, row in enumerate(rows)
        for column, room in enumerate(row)
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_ROW * len(rows)}" font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#777"/></marker></defs>',
    ]
    for room, other in sorted(drawn):
        (x, y), (u, v) = place[room], place[other]
        line = f'x1="{x:.0f}" y1="{y + _BOX / 2:.0f}" x2="{u:.0f}" y2="{v - _BOX / 2:.0f}"'
        parts.append(f'<line {line} stroke="#777" marker-end="url(#tip)"/>')
    for room, (x, y) in sorted(place.items()):
        fill = "#d7e3f4" if room.startswith("cli") or room == "ddpg" else "#f4e3d7" if room == "wrappers" else "#e0f0d9"
        wide = 8.5 * len(room) + 24
        box = f'x="{x - wide / 2:.0f}" y="{y - _BOX / 2:.0f}" width="{wide:.0f}" height="{_BOX}" rx="6"'
        parts.append(f'<rect {box} fill="{fill}" stroke="#555"/>')
        parts.append(f'<text x="{x:.0f}" y="{y + 5:.0f}" font-size="15" fill="#111" text-anchor="middle">{room}</text>')
    return "\n".join([*parts, "</svg>", ""])


_WIDTH, _ROW, _BOX = 820, 84, 34


def _reachable(room: str, needs: dict[str, set[str]], via: tuple[str, ...] = ()) -> set[str]:
    if room in via:
        raise SystemExit(f"these rooms import each other in a circle: {' → '.join([*via[via.index(room) :], room])}")
    return needs[room].union(*(_reachable(other, needs, (*via, room)) for other in needs[room]))


def _height(room: str, needs: dict[str, set[str]]) -> int:
    return 1 + max((_height(other, needs) for other in needs[room]), default=-1)


def page() -> str:
    """Give the text of the page with its list up to date."""
    text = PAGE.read_text("utf-8")
    return re.sub(r"(?s)(```text\n).*?(\n```)", lambda m: m[1] + listing() + m[2], text)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    PICTURE.write_text(picture(), "utf-8")
