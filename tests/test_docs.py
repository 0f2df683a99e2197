"""What the pages name exists: tests, other pages, modules; and what scripts make of the package is up to date."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys

import pytest
from support.paths import ROOT
from support.scripts import load_script

PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "cluster").rglob("README.md")])
NAMED = re.compile(r"`(?:tests/)?(?:\w+/)?(test_\w+\.py)(?:::(test_\w+))?`")
LINK = re.compile(r"\]\(([^)#:]+\.(?:md|png|svg))(?:#[^)]*)?\)")
PATH = re.compile(r"`((?:hrrr_dask|tests|docs|benchmarks|cluster|notebooks)/[\w./-]*)`")


FILES = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
"""By name alone: no two folders have the same."""


def names_in(name: str) -> set[str]:
    tree = ast.parse(FILES[name].read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tests_and_pages_that_a_page_names_are_there(page):
    text = page.read_text()
    missing = [
        f"{file}::{test}"
        for file, test in NAMED.findall(text)
        if file not in FILES or (test and test not in names_in(file))
    ]
    missing += [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    missing += [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    assert not missing


def test_the_picture_of_the_floors_is_that_of_the_imports():
    drawn = subprocess.run(
        [sys.executable, "-c", "import architecture, sys; sys.stdout.write(architecture.draw())"],
        cwd=ROOT / "docs",
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ROOT / "docs" / "architecture.svg").read_text() == drawn.stdout, "run: python docs/architecture.py"


def test_the_page_of_eras_is_that_of_the_catalogue():
    written = (ROOT / "docs" / "eras.md").read_text(encoding="utf-8")
    assert written == load_script(ROOT / "docs" / "eras.py").write(), "run: python docs/eras.py"


def test_every_failure_names_the_test_that_proves_it():
    rows = [line for line in (ROOT / "docs/failure_modes.md").read_text().splitlines() if line.startswith("| ")]
    rows = [line for line in rows if not line.startswith("| failure |")]
    assert len(rows) > 35
    assert not [line for line in rows if not NAMED.search(line.rstrip("| ").rpartition(" | ")[2])]
