"""Where the repository lies, and the real bytes beside it, which are there only on some machines."""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
SHARED_DATA = ROOT.parent / "shared" / "data"


def importable(file: str) -> str:
    """A ``PYTHONPATH`` with which a process of its own finds a test module and what it imports."""
    return os.pathsep.join([str(Path(file).parent), str(TESTS)])
