"""What the pages in docs/ name is there."""

from __future__ import annotations

import ast
import re

import pytest
from support.paths import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
NAMED = re.compile(r"`(?:tests/)?(?:\w+/)?(test_\w+\.py)(?:::(test_\w+))?`")
LINK = re.compile(r"\]\(([^)#:]+\.(?:md|png))(?:#[^)]*)?\)")


FILES = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
"""By name alone: no two folders have the same."""


def names_in(name: str) -> set[str]:
    tree = ast.parse(FILES[name].read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_and_pages_that_a_page_names_are_there(page):
    text = page.read_text()
    missing = [
        f"{file}::{test}"
        for file, test in NAMED.findall(text)
        if file not in FILES or (test and test not in names_in(file))
    ]
    missing += [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert not missing


def test_every_failure_names_the_test_that_proves_it():
    rows = [line for line in (ROOT / "docs/failure_modes.md").read_text().splitlines() if line.startswith("| ")]
    rows = [line for line in rows if not line.startswith("| what happens")]
    assert len(rows) > 35
    assert not [line for line in rows if not NAMED.search(line.rstrip("| ").rpartition(" | ")[2])]
