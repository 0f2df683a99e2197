"""Selects a writable cache directory for the compiled numba kernels, and copies shipped kernels into it.

numba does not read a cache that it cannot write to. On a read-only file system it would ignore kernels that were
compiled when the image was built, beside the package or in a ``NUMBA_CACHE_DIR``. This module copies them to a
writable directory.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numba

__all__ = ["cache_directory", "seed_kernel_cache"]

_VARIABLE: Final = "NUMBA_CACHE_DIR"

_SUFFIXES: Final = (".nbc", ".nbi")
"""Code and index: numba reads the index first, so it is copied last."""


def seed_kernel_cache() -> Path | None:
    """Select a writable kernel cache and copy the kernels that came with the package into it.

    Must be called before the kernels are imported. Safe to call from several processes at once.

    Returns
    -------
    Path or None
        The cache directory of numba from now on, in this process and in those that it starts. None if not even the
        directory for temporary files is writable: then each process compiles the kernels.
    """
    given = os.environ.get(_VARIABLE)
    cache = cache_directory() or _move_cache(Path(tempfile.gettempdir()) / f"hrrr-dask-kernels-{os.getuid()}")
    if cache is not None:
        shipped = [Path(__file__).parent / "__pycache__", *([Path(given) / cache.name] if given else [])]
        _copy([directory for directory in shipped if directory != cache and directory.is_dir()], cache)
    return cache


def cache_directory() -> Path | None:
    """Return the directory in which numba caches the kernels of this package; None if it finds no writable one."""
    try:
        return Path(numba.njit(cache=True)(_probe).stats.cache_path)
    except (RuntimeError, OSError):  # "no locator available"
        return None


def _probe() -> None:
    """Only its cache path is used; never compiled."""


def _move_cache(directory: Path) -> Path | None:
    """Set numba's cache below a directory and return its path.

    None if the directory is writable for other users: the index files are pickles, which must be trusted.
    """
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
    if (cache := cache_directory()) is None:
        os.environ.pop(_VARIABLE)
        if before is not None:
            os.environ[_VARIABLE] = before
        numba.config.reload_config()
    return cache


def _copy(shipped: Iterable[Path], cache: Path) -> None:
    """Copy missing files, each atomically. A full disk is ignored: kernels are then compiled in memory."""
    files = [path for directory in shipped for path in directory.iterdir()]
    for suffix in _SUFFIXES:
        for path in files:
            if path.suffix != suffix or (cache / path.name).exists():
                continue
            draft = cache / f"{path.name}.{os.getpid()}"
            try:
                shutil.copyfile(path, draft)
                draft.replace(cache / path.name)
            except OSError:
                draft.unlink(missing_ok=True)
                return
