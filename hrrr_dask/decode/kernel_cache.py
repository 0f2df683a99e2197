"""Where compiled kernels are kept; those that an image ships are put there when that is another place.

numba reads no cache that it may not write to. On a read-only file system the kernels that were compiled when an image
was built, beside the package or in a ``NUMBA_CACHE_DIR``, would be of no use: a copy of them is, where one may write.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numba

__all__ = ["kept_at", "seed_kernel_cache"]

_VARIABLE: Final = "NUMBA_CACHE_DIR"

_KINDS: Final = (".nbc", ".nbi")
"""Code and index: numba looks into the index first, so that goes last."""


def seed_kernel_cache() -> Path | None:
    """See to a place where compiled kernels can be kept, and put those there that came with the package.

    It must be called before the kernels are imported. Processes may do it at once.

    Returns
    -------
    Path or None
        Where numba keeps them from now on, in this process and in those that it starts; None where nothing can be
        written, not even temporary files: then every process compiles anew.
    """
    given = os.environ.get(_VARIABLE)
    place = kept_at() or _move_to(Path(tempfile.gettempdir()) / f"hrrr-dask-kernels-{os.getuid()}")
    if place is not None:
        shipped = [Path(__file__).parent / "__pycache__", *([Path(given) / place.name] if given else [])]
        _copy([directory for directory in shipped if directory != place and directory.is_dir()], place)
    return place


def kept_at() -> Path | None:
    """Where numba keeps what it compiles of this directory's modules; None where it may write to no such place."""
    try:
        return Path(numba.njit(cache=True)(_nothing).stats.cache_path)
    except (RuntimeError, OSError):  # "no locator available"
        return None


def _nothing() -> None:
    """Never compiled: its place is asked for."""


def _move_to(directory: Path) -> Path | None:
    """Let numba keep things below that directory, if it is ours alone: an index is a pickle. Where it does then."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.stat()
    except OSError:
        return None
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        return None
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = str(directory)
    numba.config.reload_config()
    if (place := kept_at()) is None:
        os.environ.pop(_VARIABLE)
        if before is not None:
            os.environ[_VARIABLE] = before
        numba.config.reload_config()
    return place


def _copy(shipped: Iterable[Path], place: Path) -> None:
    """Add what is not there yet; each file appears whole. A full disk keeps nobody from compiling."""
    files = [path for directory in shipped for path in directory.iterdir()]
    for kind in _KINDS:
        for path in files:
            if path.suffix != kind or (place / path.name).exists():
                continue
            draft = place / f"{path.name}.{os.getpid()}"
            try:
                shutil.copyfile(path, draft)
                draft.replace(place / path.name)
            except OSError:
                draft.unlink(missing_ok=True)
                return
