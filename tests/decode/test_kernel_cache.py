"""Kernels that came compiled with the package are copied to where numba may write; nothing else is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numba
import pytest
from numba.core import caching

from hrrr_dask.decode import kernel_cache
from hrrr_dask.decode.kernel_cache import kept_at, seed_kernel_cache


@pytest.fixture
def read_only(monkeypatch, tmp_path):
    """As on a file system where only temporary files may be written; gives the shipped cache."""
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


def test_shipped_kernels_are_copied_where_temporary_files_are_and_numba_looks_there(read_only, tmp_path):
    assert kept_at() is None, "numba would compile in every process"
    place = seed_kernel_cache()
    assert place == kept_at()
    assert tmp_path / "tmp" in place.parents
    assert os.environ["NUMBA_CACHE_DIR"] == str(place.parent), "processes that are started from here look there too"
    assert sorted(path.name for path in place.iterdir()) == ["kernels.f-1.py311.1.nbc", "kernels.f-1.py311.nbi"]
    assert (place / "kernels.f-1.py311.nbi").read_text() == "shipped kernels.f-1.py311.nbi"
    assert place.parent.stat().st_mode & 0o777 == 0o700


def test_kernels_that_are_there_stay(read_only):
    place = seed_kernel_cache()
    (place / "kernels.f-1.py311.nbi").write_text("of a newer version")
    assert seed_kernel_cache() == place
    assert (place / "kernels.f-1.py311.nbi").read_text() == "of a newer version"


def test_a_directory_that_is_given_is_seeded_from_the_package(read_only, monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "given"))
    numba.config.reload_config()
    place = seed_kernel_cache()
    assert place.parent == tmp_path / "given"
    assert len(list(place.iterdir())) == 2


def test_a_directory_that_is_given_and_cannot_be_written_to_is_copied_itself(read_only, monkeypatch, tmp_path):
    given = tmp_path / "image"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(given))
    numba.config.reload_config()
    name = kept_at().name
    (given / name / "kernels.g-2.py311.nbi").write_text("of the image")
    monkeypatch.setattr(caching.UserProvidedCacheLocator, "ensure_cache_path", refuse_below(given))
    place = seed_kernel_cache()
    assert tmp_path / "tmp" in place.parents
    assert (place / "kernels.g-2.py311.nbi").read_text() == "of the image"


def refuse_below(directory: Path):
    def ensure(self):
        if directory in Path(self.get_cache_path()).parents:
            raise PermissionError("read-only")
        Path(self.get_cache_path()).mkdir(parents=True, exist_ok=True)

    return ensure


def test_a_directory_that_others_may_write_to_is_not_trusted(read_only, tmp_path):
    theirs = tmp_path / "tmp" / f"hrrr-dask-kernels-{os.getuid()}"
    theirs.mkdir()
    theirs.chmod(0o777)
    assert seed_kernel_cache() is None
    assert list(theirs.iterdir()) == []
    assert os.environ["NUMBA_CACHE_DIR"] == ""
