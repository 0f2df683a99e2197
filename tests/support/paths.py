"""Paths of the repository, and of real HRRR files beside it, which exist only on some machines."""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


def pythonpath_for(file: str) -> str:
    """``PYTHONPATH`` for a subprocess that imports a test module, before what this process has."""
    return os.pathsep.join(filter(None, [str(Path(file).parent), str(TESTS), os.environ.get("PYTHONPATH")]))
