"""The comparison of stores of two versions finds every difference, and only differences."""

from __future__ import annotations

import json
import shutil
from datetime import datetime

import pytest
from support.oracle import without_dask, write_points

import hrrr_dask
from benchmarks.two_versions import compare_stores, main
from hrrr_dask.store.settings_attribute import SETTINGS, settings_in
from hrrr_dask.testing import DEFAULT_WINDOW, write_archive


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same two runs, read twice by commands of their own."""
    root = tmp_path_factory.mktemp("versions")
    archive = write_archive(
        root / "archive",
        start=datetime(2024, 1, 1),
        end=datetime(2024, 1, 1, 12),
        cycles=[0, 12],
        lead_hours=[0, 1],
        variables=["temperature_2m"],
    )
    points = write_points(root / "points.csv", zip(*DEFAULT_WINDOW.latlon([3.0], [4.0]), strict=True))
    for name in ("one.zarr", "other.zarr"):
        with without_dask() as client:
            hrrr_dask.backfill(
                points,
                "2024-01-01",
                "2024-01-01",
                root / name,
                client=client,
                source=[str(archive.root)],
                cycles=[0, 12],
                lead_hours=[0, 1],
                variables=["temperature_2m"],
            )
    return root / "one.zarr", root / "other.zarr"


def test_stores_of_the_same_values_are_equal(stores):
    objects, rows, differences = compare_stores(*stores)
    assert objects > 10
    assert rows == 4
    assert differences == []


def test_settings_are_equal_as_an_object_and_as_a_string_and_a_changed_one_is_a_difference(stores, tmp_path):
    before = shutil.copytree(stores[1], tmp_path / "before.zarr")
    root = json.loads((before / "zarr.json").read_bytes())
    root["attributes"][SETTINGS] = settings_in(root)
    (before / "zarr.json").write_text(json.dumps(root, indent=1))
    assert compare_stores(stores[0], before)[2] == []
    root["attributes"][SETTINGS]["n_days"] += 1
    (before / "zarr.json").write_text(json.dumps(root, indent=1))
    assert compare_stores(stores[0], before)[2] == ["zarr.json: differs"]


def test_a_changed_byte_a_missing_object_and_a_lost_ledger_are_differences(stores, tmp_path):
    changed = shutil.copytree(stores[1], tmp_path / "changed.zarr")
    (shard,) = (path for path in (changed / "temperature_2m" / "c").rglob("*") if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    (changed / "status" / "zarr.json").unlink()
    differences = compare_stores(stores[0], changed)[2]
    assert differences == ["status/zarr.json: is only in one", f"{shard.relative_to(changed).as_posix()}: differs"]
    shutil.rmtree(changed / ".hrrr" / "ledger")
    assert sum(line.startswith("ledger: ") for line in compare_stores(stores[0], changed)[2]) == 4


def test_a_directory_without_the_package_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert f"{tmp_path} has no hrrr_dask/: give the directory of a checkout" in capsys.readouterr().err
