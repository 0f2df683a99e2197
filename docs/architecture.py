"""Draw ``docs/architecture.svg``: the packages of hrrr_dask on their floors, taken from the imports and the captions.

Usage: python docs/architecture.py
"""

from __future__ import annotations

import ast
import textwrap
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1] / "hrrr_dask"
PICTURE = Path(__file__).with_suffix(".svg")

WIDTH, MARGIN, GAP, LINE, LETTER = 1180, 20, 12, 15, 6.6
"""Sizes in pixels: the picture, its border, between boxes, of a line of text, of a letter."""


def package_of(path: Path) -> str:
    """The package that a file is in, or the module at the top that it is."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def caption_of(package: str) -> str:
    """The first line of a package's docstring."""
    path = ROOT / package / "__init__.py"
    path = path if path.exists() else ROOT / f"{package}.py"
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0].replace("`", "")


def imports() -> dict[str, set[str]]:
    """Package to the packages that it imports, wherever in its modules."""
    found: dict[str, set[str]] = {}
    paths = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]
    packages = {package_of(path) for path in paths}
    for path in paths:
        names: list[str] = []
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names += [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
        used = {name.split(".")[1] for name in names if name.startswith("hrrr_dask.")}
        found.setdefault(package_of(path), set()).update(used & packages - {package_of(path)})
    return found


def floors(uses: dict[str, set[str]]) -> list[list[str]]:
    """The packages from the ground up: each one floor above the highest that it imports."""
    floor: dict[str, int] = {}
    for package in TopologicalSorter(uses).static_order():
        floor[package] = 1 + max((floor[other] for other in uses[package]), default=-1)
    return [sorted(p for p in floor if floor[p] == level) for level in range(max(floor.values()) + 1)]


def draw() -> str:
    """The picture as SVG: the top floor first."""
    uses = imports()
    rows, y = [], MARGIN
    for level, packages in reversed(list(enumerate(floors(uses), start=1))):
        width = (WIDTH - 2 * MARGIN - 40 - GAP * (len(packages) - 1)) / len(packages)
        boxes = [_lines(package, uses[package], width) for package in packages]
        height = LINE * max(map(len, boxes)) + 16
        rows.append(f'<text x="{MARGIN}" y="{y + height / 2 + 5:.0f}" class="floor">{level}</text>')
        for k, lines in enumerate(boxes):
            x = MARGIN + 40 + k * (width + GAP)
            rows.append(f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{height}" rx="4"/>')
            for n, (text, kind) in enumerate(lines):
                rows.append(f'<text x="{x + 10:.0f}" y="{y + 18 + n * LINE}" class="{kind}">{escape(text)}</text>')
        y += height + GAP
    style = (
        "rect{fill:#f4f7fb;stroke:#4a6785}text{font:12px sans-serif;fill:#1c2733}"
        ".name{font-weight:bold;font-size:13px}.uses{fill:#5a6b7b;font-size:11px}.floor{font-size:15px;fill:#4a6785}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img">'
    title = "<title>The packages of hrrr_dask: each imports only packages below it</title>"
    background = f'<path d="M0 0h{WIDTH}v{y}H0z" fill="#fff"/>'
    return "\n".join([head, title, f"<style>{style}</style>", background, *rows, "</svg>"]) + "\n"


def _lines(package: str, used: set[str], width: float) -> list[tuple[str, str]]:
    """Text and style of the lines of one box."""
    letters = int((width - 20) / LETTER)
    name = f"{package}/" if (ROOT / package).is_dir() else package
    caption = [(line, "caption") for line in textwrap.wrap(caption_of(package), letters)]
    below = textwrap.wrap(f"uses {', '.join(sorted(used))}", letters + letters // 10) if used else []
    return [(name, "name"), *caption, *((line, "uses") for line in below)]


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
