"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import hrrr_dask

ROOT = Path(hrrr_dask.__file__).parent
MODULES = [
    ".".join(["hrrr_dask", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
    for path in sorted(ROOT.rglob("*.py"))
    if ">>>" in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_give_what_they_say(name):
    assert not doctest.testmod(import_module(name)).failed  # prints what differs
