"""Compiled kernels shipped with the package are copied to a writable cache directory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numba
import pytest
from numba.core import caching

from hrrr_dask.decode import kernel_cache
from hrrr_dask.decode.kernel_cache import cache_directory, seed_kernel_cache


@pytest.fixture
def read_only(monkeypatch, tmp_path):
    """Emulate a file system where only temporary files are writable; yields the shipped cache."""
    shipped = tmp_path / "site-packages" / "decode" / "__pycache__"
    shipped.mkdir(parents=True)
    for name in ("kernels.f-1.py311.nbi", "kernels.f-1.py311.1.nbc", "kernels.cpython-311.pyc"):
        (shipped / name).write_text(f"shipped {name}")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(kernel_cache, "__file__", str(shipped.parent / "kernel_cache.py"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    with monkeypatch.context() as patch:
        patch.setattr(caching.CacheImpl, "_locator_classes", [caching.UserProvidedCacheLocator])
        numba.config.reload_config()
        yield shipped
    monkeypatch.undo()
    numba.config.reload_config()


def test_shipped_kernels_are_copied_to_a_temporary_directory_that_numba_uses(read_only, tmp_path):
    assert cache_directory() is None, "without seeding, numba compiles in every process"
    cache = seed_kernel_cache()
    assert cache == cache_directory()
    assert tmp_path / "tmp" in cache.parents
    assert os.environ["NUMBA_CACHE_DIR"] == str(cache.parent), "child processes use it, too"
    assert sorted(path.name for path in cache.iterdir()) == ["kernels.f-1.py311.1.nbc", "kernels.f-1.py311.nbi"]
    assert (cache / "kernels.f-1.py311.nbi").read_text() == "shipped kernels.f-1.py311.nbi"
    assert cache.parent.stat().st_mode & 0o777 == 0o700


def test_existing_kernels_are_not_overwritten(read_only):
    cache = seed_kernel_cache()
    (cache / "kernels.f-1.py311.nbi").write_text("of a newer version")
    assert seed_kernel_cache() == cache
    assert (cache / "kernels.f-1.py311.nbi").read_text() == "of a newer version"


def test_a_given_cache_directory_is_seeded_from_the_package(read_only, monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "given"))
    numba.config.reload_config()
    cache = seed_kernel_cache()
    assert cache.parent == tmp_path / "given"
    assert len(list(cache.iterdir())) == 2


def test_a_read_only_given_cache_directory_is_copied(read_only, monkeypatch, tmp_path):
    given = tmp_path / "image"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(given))
    numba.config.reload_config()
    name = cache_directory().name
    (given / name / "kernels.g-2.py311.nbi").write_text("of the image")
    monkeypatch.setattr(caching.UserProvidedCacheLocator, "ensure_cache_path", deny_below(given))
    cache = seed_kernel_cache()
    assert tmp_path / "tmp" in cache.parents
    assert (cache / "kernels.g-2.py311.nbi").read_text() == "of the image"


def deny_below(directory: Path):
    def ensure(self):
        if directory in Path(self.get_cache_path()).parents:
            raise PermissionError("read-only")
        Path(self.get_cache_path()).mkdir(parents=True, exist_ok=True)

    return ensure


def test_a_directory_that_is_writable_for_others_is_not_used(read_only, tmp_path):
    foreign = tmp_path / "tmp" / f"hrrr-dask-kernels-{os.getuid()}"
    foreign.mkdir()
    foreign.chmod(0o777)
    assert seed_kernel_cache() is None
    assert list(foreign.iterdir()) == []
    assert os.environ["NUMBA_CACHE_DIR"] == ""
