"""Paths of the repository, and of real HRRR files beside it, which exist only on some machines."""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


def pythonpath_for(file: str) -> str:
    """``PYTHONPATH`` for a subprocess that imports a test module."""
    return pythonpath(Path(file).parent, TESTS)


def pythonpath(*paths: Path) -> str:
    """``PYTHONPATH`` for a subprocess: these, and what this process has, so that both import the same package."""
    return os.pathsep.join(filter(None, [*map(str, paths), os.environ.get("PYTHONPATH")]))
