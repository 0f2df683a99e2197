"""What some tests need besides the extra ``test``; without it they are skipped, for one of these few reasons."""

from __future__ import annotations

import os
import shutil
from types import ModuleType

import pytest

from support.paths import SHARED_DATA

EXTRAS = "needs optional packages: pip install -e '.[dev]'"
REAL_BYTES = "needs real HRRR bytes in ../shared/data, which are not published with the package"
PROGRAMS = "needs kubectl, nginx, Prometheus, Alertmanager and Chromium or Chrome: .ci/system_packages"
LONG = "takes long: pytest --all"
CHECKOUT = "needs the benchmarks, which are not part of the wheel"

real_bytes = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason=REAL_BYTES)


def program(name: str) -> pytest.MarkDecorator:
    """Skip a test where a program of the system is missing."""
    return pytest.mark.skipif(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None, reason=PROGRAMS)


def browser() -> str:
    """Return the path of a browser, or skip the test that needs it."""
    found = [path for name in ("chromium", "google-chrome", "chromium-browser") if (path := shutil.which(name))]
    if not found:
        pytest.skip(PROGRAMS)
    return found[0]


def extra(name: str) -> ModuleType:
    """Import a module of an optional package, or skip the test or the test module that needs it."""
    module: ModuleType = pytest.importorskip(name, reason=EXTRAS)
    return module
